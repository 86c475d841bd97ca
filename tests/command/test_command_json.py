"""docs/guide/command-line-json.md: --json of each command has the fields that the page says.

And whatever a map contains, it is JSON as other parsers understand it, too.
"""

import json
import math
import re
import signal
import subprocess
import sys

import machines
import pytest
from command import start
from helpers import HANG, TOP, segment_path
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live import Shm, published_by_hand, wait_until

import sharedmap
from sharedmap._cli import arguments, errors, manual, output
from sharedmap.replication._operations import Keys

PAGE = TOP / "docs/guide/command-line-json.md"
server, shared_server = machines.server, machines.shared_server


def refuse(constant):
    raise ValueError(f"{constant} is not JSON")


def strict(text):
    """As a parser that knows no more than the standard: no NaN, no bytes that are not UTF-8."""
    text.encode()
    return json.loads(text, parse_constant=refuse)


# ---- values ----------------------------------------------------------------------------------

VALUES = {
    "nan": math.nan,
    "inf": math.inf,
    "-inf": -math.inf,
    "-0": -0.0,
    "big": -(2**200),
    "bytes": b"\x00\xff",
    "lone": "\ud800\x1b\u202e\u2028",
    "\udcff\n": "key",
    "list": [math.nan, (b"x", 2**70), {"$tuple": []}, [math.inf]],
    "looks": {"base64": "x"},
    "dict": {"\ud800": None, "": True},
}


def test_every_value_is_valid_json_and_loaded_as_it_was(command, names, tmp_path):
    first, second = names(), names()
    sharedmap.share(VALUES, first)
    told = command("scan", first, "--json").out
    found = [strict(line) for line in told.splitlines()]
    assert [entry["key"] for entry in found] == sorted(VALUES)
    assert strict(command("export", first, "--format", "json").out).keys() == VALUES.keys()
    path = tmp_path / "out.jsonl"
    path.write_text(told, encoding="utf-8")
    assert command("load", second, path, "--allow-nan").code == 0
    with sharedmap.sharedmap(first) as before, sharedmap.sharedmap(second) as after:
        assert after.diff(before) == ([], [], [])


VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.binary()
    | st.text(st.characters(exclude_categories=())),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text(st.characters(exclude_categories=())), inner)
    ),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(VALUE)
def test_json_of_any_value_is_valid_and_in_one_line(value):
    text = output.value_to_json(value)
    strict(text)
    assert all(map(output.is_harmless, text))


def test_value_that_was_encoded_as_what_is_not_json_stays_encoded():
    for data in (b"[NaN]", b"[Infinity]", b"{", b"\xff", b"1"):
        assert strict(output.value_to_json(output.Encoded(data))).keys() == {"encoded"}


# ---- fields ----------------------------------------------------------------------------------

if not PAGE.exists():
    pytest.skip("an installed package is tested, its guide is elsewhere", allow_module_level=True)

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
IS_OF_TYPE = {
    "string": lambda value: type(value) is str,
    "integer": lambda value: type(value) is int,
    "number": lambda value: type(value) in (int, float),
    "boolean": lambda value: type(value) is bool,
    "null": lambda value: value is None,
    "array": lambda value: type(value) is list,
    "object": lambda value: type(value) is dict,
    "any": lambda value: True,
    "time": lambda value: type(value) is str and TIME.fullmatch(value),
}


def tables():
    """{heading: {field: [type, ...]}}"""
    found = {}
    for part in re.split(r"^##+ ", PAGE.read_text(), flags=re.M)[1:]:
        heading, _, text = part.partition("\n")
        rows = re.findall(r"^\| `(\w+)` \| ([a-z ]+) \| .+ \|$", text, re.M)
        if rows:
            found[heading] = {field: types.split(" or ") for field, types in rows}
    return found


TABLES = tables()
TABLES["Each map of doctor"] |= {
    field: types for field, types in TABLES["ls and stat"].items() if field != "problem"
}


def check(heading, objects):
    """Each object has documented fields only, of the documented types; together they have all."""
    table = TABLES[heading]
    seen = set()
    for each in objects:
        assert table.keys() >= each.keys(), (heading, each)
        seen |= each.keys()
        for field, value in each.items():
            assert any(IS_OF_TYPE[kind](value) for kind in table[field]), (heading, field, value)
    assert seen == table.keys(), heading


@pytest.fixture
def printed(command):
    """printed("ls"): the objects that the command prints."""

    def run(*words, code=0):
        done = command(*words, "--json")
        assert (done.code, done.err) == (code, ""), done
        return [strict(line) for line in done.out.splitlines()]

    return run


@pytest.fixture
def two(names):
    old, new = names(), names()
    sharedmap.share({"a": 1, "b": 2}, old)
    sharedmap.share({"b": 3, "c": VALUES["list"]}, new)
    return old, new


def test_every_command_has_a_section():
    headings = re.sub(r", | and ", "\n", "\n".join(TABLES)).splitlines()
    assert {*headings} >= {*manual.commands(arguments.make_parser())}


def test_fields_of_ls_and_stat(printed, two, tmp_path):
    path = tmp_path / "map"
    sharedmap.rbtree(a=1).save(path)
    data = bytearray(path.read_bytes())
    data[530] ^= 1
    published_by_hand(Shm(two[0]), bytes(data)[:520])
    listed = printed("ls", "--prefix", two[0].rpartition(".")[0])
    broken = [each for each in listed if "problem" in each]
    assert [each.keys() for each in broken] == [{"name", "problem"}]
    check("ls and stat", [*listed, *printed("stat", two[1]), *printed("stat", "-f", path)])


def test_fields_of_get_and_scan(printed, two):
    found = printed("get", two[1], "b", "c") + printed("scan", two[1])
    assert all(each.keys() == {"key", "value"} for each in found)
    found += printed("scan", two[0], "--keys") + printed("scan", two[0], "--values")
    check("get and scan", found + printed("scan", two[0], "--count"))


def test_fields_of_export_verify_and_save(printed, two, names, tmp_path):
    check("export", printed("export", two[0], "-o", tmp_path / "out.csv"))
    check("verify", printed("verify", *two))
    check("save", printed("save", two[0], tmp_path / "map"))
    check("publish", printed("publish", tmp_path / "map", names()))
    check("cp", printed("cp", two[0], names()))
    check("rm", printed("rm", *two))


def test_fields_of_history(printed, name, tmp_path):
    sharedmap.share({f"{number:06}": number for number in range(10_000)}, name)
    sharedmap.update(name, {"a": 1})
    sharedmap.rbtree(a=1).save(tmp_path / "map")
    found = printed("history", name) + printed("history", "-f", tmp_path / "map")
    check("history", found)
    check("Each version of history", [version for each in found for version in each["versions"]])


def test_fields_of_diff(printed, two):
    found = printed("diff", *two, code=1)
    assert [set(each) for each in found] == [
        {"key", "change", "old"},
        {"key", "change", "old", "new"},
        {"key", "change", "new"},
    ]
    check("diff", found + printed("diff", *two, "--count", code=1))


def test_fields_of_watch(name):
    sharedmap.share({"a": 1}, name)
    with start("watch", name, "--json", "--count", "2") as process:
        found = [strict(process.next_line().decode())]
        sharedmap.remove(name)
        found.append(strict(process.next_line().decode()))
    assert found[1].keys() == {"name", "event", "time"}
    check("watch", found)


READER = """
import sharedmap, sys
held = [sharedmap.sharedmap(name) for name in sys.argv[1:]]
print(flush=True)
sys.stdin.read()
"""


def test_fields_of_doctor(command, two):
    leftover = segment_path(two[0]) + b"~"
    words = [sys.executable, "-c", READER, *two]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(words, **pipes) as process:
        process.stdout.readline()
        sharedmap.share({}, two[0], force=True)
        with open(leftover, "wb") as file:
            file.write(bytes(10_000))
        try:
            found = strict(command("doctor", "--json").out)
        finally:
            command("doctor", "--clear")
            process.stdin.close()
    check("doctor", [found])
    check("The field shm of doctor", [found["shm"]])
    ours = [each for each in found["maps"] if each["name"] in two]
    check("Each map of doctor", ours)
    check("Each reader of doctor", [reader for each in ours for reader in each["readers"]])
    check("Each old snapshot of doctor", found["old_snapshots"])
    check("Each leftover of doctor", found["leftovers"])


def test_fields_of_load_and_update(printed, names, tmp_path):
    name, path, saved = names(), tmp_path / "in.csv", tmp_path / "map"
    path.write_text("key,value\na,1\na,2\n,3\n")
    options = (path, "--empty-key", "skip")
    dry = ("--force", "--dry-run")
    found = printed("load", name, *options) + printed("load", saved, *options, "--save")
    check("load", found)
    dry_runs = printed("load", name, *options, *dry)
    dry_runs += printed("load", saved, *options, "--save", *dry)
    dry_runs += printed("update", name, "b=1", "--dry-run")
    check("Dry runs", dry_runs + printed("publish", saved, name, *dry))
    check("update", printed("update", name, "b=1", "--remove", "a"))


def test_fields_of_push_follow_rollback_and_server(printed, server, names, tmp_path):
    name, local = names(), names()
    found = []
    for number in range(2):
        sharedmap.share({"number": number}, name, force=True)
        found += printed("push", server.url, name)
    found += printed("push", server.url, name) + printed("rollback", server.url, name)
    options = ("--map", local, "--state", tmp_path, "--once")
    found += printed("follow", server.url, name, *options)
    check("push, follow and rollback", found)
    server.client.sadd(Keys(name).names, name, local)
    listed = printed("server", "ls", server.url)
    assert {each["name"] for each in listed if "problem" in each} == {local}
    check("server ls", [each for each in listed if each["name"] in (name, local)])
    check("server stat", printed("server", "stat", server.url, name))
    check("server rm", printed("server", "rm", server.url, name, local))
    assert {each["done"] for each in found} == {"pushed", "unchanged", "rolled back", "published"}


def was_asked(health):
    return b'"waiting"' in health and b'"starting"' not in health


def test_fields_of_the_health_file(command, printed, server, name, tmp_path):
    sharedmap.share({"a": 1}, name)
    printed("push", server.url, name)
    path = tmp_path / "health.json"
    options = ("--state", tmp_path, "--health", path, "--json")
    with start("follow", server.url, name, f"{name}.none*", f"{name}.none", *options) as agent:
        agent.next_line()
        wait_until(lambda: was_asked(path.read_bytes()), "the server was asked for both")
        found = strict(path.read_text())
        check("The health file of follow", [found])
        check("Each map of the health file", found["maps"])
        told = printed("doctor", "--health", path, code=errors.FINDINGS)
        check("With --health", told)
        assert told[0]["problems"] == [f"{name}.none: waiting"]
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(HANG) == 0
    assert not path.exists()
