"""The commands that only look, and what they have in common: --json, exit codes, escapes."""

import getpass
import io
import json
import os
from pathlib import Path

import pytest
from command import failed
from helpers import segment_path
from live import Shm, damaged, published_by_hand

import sharedmap
from sharedmap import _names
from sharedmap._cli import arguments, errors, manual, reading

VALUES = {
    "apple": "red",
    "apple.weight": 0.182,
    "bytes": b"\x00\xff",
    "count": -3,
    "none": None,
    "quote\t\n\\": "a\x1b[31m\tb",
    "true": True,
    "红": "32是",
    "\udc80": "lone",
}


@pytest.fixture
def fruit(name):
    sharedmap.share(VALUES, name)
    return name


def lines(done):
    assert (done.code, done.err) == (0, "")
    return done.out.splitlines()


def objects(done):
    return [json.loads(line) for line in lines(done)]


# ---- ls, stat --------------------------------------------------------------------------------


def test_ls_lists_maps_with_what_they_are(command, fruit):
    titles, *rows = lines(command("ls", "--prefix", fruit))
    assert titles.split() == ["NAME", "ENTRIES", "SIZE", "GENERATION", "AGE", "MODE"]
    assert [row.split()[:2] for row in rows] == [[fruit, str(len(VALUES))]]


def test_ls_json_says_the_same_to_programs(command, fruit):
    (found,) = objects(command("ls", "--json", "--prefix", fruit))
    assert (found["name"], found["entries"], found["generation"]) == (fruit, len(VALUES), 1)
    assert found["mode"] == "0600"
    assert found["index"] == "hash"


def test_ls_lists_also_what_is_damaged_and_says_so(command, fruit):
    data = Path(os.fsdecode(segment_path(fruit))).read_bytes()
    published_by_hand(Shm(fruit), damaged(data))
    told = lines(command("ls", "--prefix", fruit))
    assert told[1].split() == [fruit, "-", "-", "-", "-", "-"]
    assert "checksum" in told[2]
    (found,) = objects(command("ls", "--json", "--prefix", fruit))
    assert "checksum" in found["problem"]


def test_ls_without_maps_says_nothing(command, name):
    assert lines(command("ls", "--prefix", name)) == []


def test_stat_says_what_there_is_to_know(command, fruit):
    sharedmap.update(fruit, {"more": 1})
    (found,) = objects(command("stat", fruit, "--json"))
    with sharedmap.sharedmap(fruit) as opened:
        assert (found["entries"], found["bytes"]) == (len(opened), opened.nbytes)
    assert found["generation"] == 2
    assert found["superseded"] is False
    assert found["path"] == segment_path(fruit).decode()
    told = dict(line.split(None, 1) for line in lines(command("stat", fruit)))
    assert told["generation"] == "2"
    assert told["name"] == fruit


def test_stat_of_a_file(command, tmp_path):
    path = tmp_path / "map"
    sharedmap.rbtree(VALUES).save(path, index="tree")
    (found,) = objects(command("stat", "--file", path, "--json"))
    assert (found["entries"], found["index"]) == (len(VALUES), "tree")


# ---- get -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "printed"),
    [
        ("apple", "red"),
        ("apple.weight", "0.182"),
        ("count", "-3"),
        ("none", ""),
        ("true", "true"),
        ("红", "32是"),
        ("quote\t\n\\", "a\\x1b[31m\\tb"),
    ],
)
def test_get_prints_the_value(command, fruit, key, printed):
    assert lines(command("get", fruit, key)) == [printed]


def test_get_of_several_keys_prints_them_too(command, fruit):
    assert lines(command("get", fruit, "count", "apple")) == ["count\t-3", "apple\tred"]


@pytest.mark.parametrize("key", VALUES)
def test_get_json_keeps_the_type(command, fruit, key):
    (found,) = objects(command("get", fruit, key, "--json"))
    expected = {"base64": "AP8="} if key == "bytes" else VALUES[key]
    assert found == {"key": key, "value": expected}
    assert type(found["value"]) is type(expected)


def test_get_raw_writes_the_bytes_and_nothing_else(fruit, monkeypatch, command):
    out = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr("sys.stdout", out)
    command("get", fruit, "bytes", "apple", "--raw")
    out.flush()
    assert out.buffer.getvalue() == b"\x00\xffred"


def test_get_prints_what_is_there_and_names_what_is_not(command, fruit):
    done = command("get", fruit, "apple", "plum", "pear")
    assert done.code == errors.ABSENT
    assert done.out == "apple\tred\n"
    assert done.err == "sharedmap: no such key: 'plum', 'pear'\n"


def test_value_that_somebody_encoded_is_shown_as_the_json_it_is(command, name):
    tree = sharedmap.rbtree(encode=lambda value: json.dumps(value).encode())
    tree["list"] = [1, {"a": None}]
    tree.share(name)
    assert objects(command("get", name, "list", "--json")) == [
        {"key": "list", "value": [1, {"a": None}]}
    ]
    assert lines(command("get", name, "list")) == ['[1, {"a": null}]']


def test_value_that_somebody_encoded_otherwise_is_shown_in_base64(command, name):
    tree = sharedmap.rbtree(encode=lambda value: b"\x80\x04")
    tree["object"] = object()
    tree.share(name)
    assert objects(command("get", name, "object", "--json")) == [
        {"key": "object", "value": {"encoded": "gAQ="}}
    ]


# ---- scan ------------------------------------------------------------------------------------


@pytest.fixture
def letters(name):
    sharedmap.share({f"{a}{b}": ord(b) for a in "abc" for b in "xyz"}, name)
    return name


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ((), "ax ay az bx by bz cx cy cz"),
        (("--prefix", "b"), "bx by bz"),
        (("--from", "by"), "by bz cx cy cz"),
        (("--to", "ay"), "ax"),
        (("--from", "az", "--to", "by"), "az bx"),
        (("--prefix", "b", "--from", "by", "--limit", "1"), "by"),
        (("--limit", "0"), ""),
        (("--reverse", "--limit", "2"), "cz cy"),
        (("--prefix", "q"), ""),
    ],
)
def test_scan_selects(command, letters, options, keys):
    told = lines(command("scan", letters, *options))
    assert told == [f"{key}\t{ord(key[1])}" for key in keys.split()]
    assert lines(command("scan", letters, *options, "--keys")) == keys.split()
    assert [found["key"] for found in objects(command("scan", letters, *options, "--json"))] == (
        keys.split()
    )


def test_scan_counts(command, letters):
    assert lines(command("scan", letters, "--prefix", "b", "--count")) == ["3"]
    assert objects(command("scan", letters, "--count", "--json")) == [{"count": 9}]
    assert lines(command("scan", letters, "--count", "--limit", "2")) == ["2"]
    assert lines(command("scan", letters, "--count", "--limit", "20")) == ["9"]


def test_scan_escapes_what_could_control_a_terminal(command, fruit):
    told = command("scan", fruit).out
    assert "quote\\t\\n\\\\\ta\\x1b[31m\\tb\n" in told
    assert not any(ord(c) < 32 and c not in "\t\n" for c in told)


def test_scan_json_keeps_every_key(command, fruit):
    assert [found["key"] for found in objects(command("scan", fruit, "--json"))] == sorted(VALUES)
    found = objects(command("scan", fruit, "--json", "--keys"))
    assert found == [{"key": key} for key in sorted(VALUES)]


# ---- verify, watch ---------------------------------------------------------------------------


def test_verify_of_good_maps_says_so(command, names):
    two = [names(), names()]
    for name in two:
        sharedmap.share(VALUES, name)
    told = lines(command("verify", *two))
    assert [line.split(":")[0] for line in told] == two
    assert all(line.endswith(", valid") for line in told)


def test_verify_of_a_damaged_file_names_it_and_what_is_wrong(command, tmp_path):
    path = tmp_path / "map"
    sharedmap.rbtree(VALUES).save(path)
    data = bytearray(path.read_bytes())
    data[530] ^= 1
    path.write_bytes(data)
    assert failed(command("verify", "--file", path), errors.BAD_DATA, str(path), "checksum")


def test_watch_prints_what_is_published_now(command, fruit):
    (found,) = objects(command("watch", fruit, "--count", "1", "--json"))
    assert (found["generation"], found["entries"]) == (1, len(VALUES))
    (told,) = lines(command("watch", fruit, "--count", "1"))
    assert f"generation 1, {len(VALUES)} entries" in told


def test_watch_of_nothing_prints_nothing(command, fruit):
    assert command("watch", fruit, "--count", "0") == (0, "", "")


# ---- failures --------------------------------------------------------------------------------

WITH_A_NAME = ["stat", "get", "scan", "export", "verify", "save", "update", "rm"]
MORE = {"get": ["k"], "save": ["/nowhere/at/all"], "update": ["k=v"]}


@pytest.mark.parametrize("what", WITH_A_NAME)
def test_missing_map_is_one_line_and_an_exit_code(command, name, what):
    done = command(what, name, *MORE.get(what, []))
    assert failed(done, errors.ABSENT, name)


@pytest.mark.parametrize("what", [*WITH_A_NAME, "load", "watch"])
@pytest.mark.parametrize("bad", ["", "x" * 300], ids=["empty", "too long"])
def test_bad_name_is_one_line_and_an_exit_code(command, tmp_path, what, bad):
    (tmp_path / "in.jsonl").write_text('["a", 1]\n')
    more = {**MORE, "load": [tmp_path / "in.jsonl"]}
    assert failed(command(what, bad, *more.get(what, [])), errors.FAILED, "name")


def test_owner_that_is_no_user_is_one_line_and_an_exit_code(command, fruit):
    done = command("stat", fruit, "--owner", "nobody has this name")
    assert failed(done, errors.USAGE, "sharedmap: unknown user 'nobody has this name'")
    assert command("stat", fruit, "--owner", getpass.getuser()).code == errors.DONE


@pytest.mark.parametrize("what", ["stat", "get", "scan", "export", "verify"])
def test_file_that_is_no_snapshot_is_one_line_and_an_exit_code(command, tmp_path, what):
    path = tmp_path / "text"
    path.write_text("not a map" * 100)
    path.chmod(0o600)
    done = command(what, "--file", path, *MORE.get(what, []))
    assert failed(done, errors.BAD_DATA, str(path))


def test_map_that_others_may_write_to_is_refused(command, fruit, tmp_path):
    path = tmp_path / "map"
    sharedmap.rbtree(VALUES).save(path)
    path.chmod(0o666)
    assert failed(command("stat", "--file", path), errors.DENIED, str(path))


def test_line_feed_in_a_name_does_not_make_the_message_two_lines(command, names):
    assert failed(command("stat", names("{}\nx")), errors.ABSENT, "\\nx")


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("get",), ("scan", "m", "--limit", "x")])
def test_wrong_command_line_says_how_it_should_be(command, arguments):
    done = command(*arguments)
    assert done.code == errors.USAGE
    assert done.err.startswith("usage: sharedmap")


# ---- help ------------------------------------------------------------------------------------


def subcommands():
    found = manual.commands(arguments.make_parser())
    return {name: parser for name, (_, parser) in found.items()}


@pytest.mark.parametrize("what", [[], *(name.split() for name in subcommands())], ids=str)
def test_help_is_complete_and_fits_a_terminal(command, what, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    done = command(*what, "--help")
    assert (done.code, done.err) == (0, "")
    assert all(len(line) <= 100 for line in done.out.splitlines())
    for code, meaning in errors.MEANINGS.items():
        assert f"  {code}  {meaning}\n" in done.out + "\n"
    if what:
        assert "--json" in done.out


def test_every_command_takes_json():
    for parser in subcommands().values():
        assert "--json" in parser._option_string_actions


# ---- names and files -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["a", "feature flags/eu", "..", "100%", "a~", "红", "\n", "\udcff"]
)
def test_file_of_a_name_is_the_one_that_the_package_uses(text):
    path = segment_path(text)
    assert _names.path_of(text) == path
    assert _names.name_of(_names.file_name(text)) == text


@pytest.mark.parametrize(
    "file", [b"sharedmap.", b"other.a", b"sharedmap.a~", b"sharedmap.%61", b"sharedmap.\xff"]
)
def test_file_that_is_no_map_has_no_name(file):
    assert _names.name_of(file) is None


HOSTILE = {
    "controls": "a\x1b[31m\x9b31m\x7f",
    "order": "\u202eabc\u2066",
    "lone": "\ud800",
    "tag": "\U000e0041",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
def test_nothing_that_a_terminal_obeys_is_printed(command, names, text, options):
    name = names("{} " + text)
    sharedmap.share({text: text, "encoded": text.encode("utf-8", "surrogatepass")}, name)
    os.chmod(segment_path(name), 0o600)
    told = [
        command(*line, *options)
        for line in (
            ["ls"],
            ["stat", name],
            ["get", name, text],
            ["get", name, text + "absent"],
            ["scan", name],
            ["scan", name, "--keys"],
            ["get", name + "absent", text],
            ["update", name, text + "=1"],
            ["update", name, text + "=1", "encoded=@/no/" + text],
            ["doctor"],
            ["ls", "--names"][: None if not options else 1],
            ["scan", name, "--values"],
            ["diff", name, name + "absent"],
            ["diff", "--old-file", "/no/" + text, name],
            ["cp", name, name + " copy"],
            ["diff", name + " copy", name],
            ["history", name],
            ["verify", name],
            ["watch", name, "--count", "1"],
            ["watch", name, "--count", "1", "--exec", "false " + "\u202e\x1b"],
            ["rm", name + " copy"],
        )
    ]
    for done in told:
        for line in (done.out + done.err).splitlines():
            assert line.replace("\t", "").isprintable(), line
    if options:
        assert json.loads(told[1].out)["name"] == name
        assert any(json.loads(line).get("key") == text for line in told[4].out.splitlines())


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_nothing_of_the_arguments_that_a_terminal_obeys_is_printed(command, text):
    """A shell puts file names there."""
    for line in (["ls", "--" + text], ["ls", text], [text], ["load", "a", "--type", text]):
        done = command(*line)
        assert done.code != 0
        assert all(told.isprintable() for told in (done.out + done.err).splitlines())


def test_map_of_another_user_is_listed_without_being_mapped(as_root, command, names, monkeypatch):
    """Its owner can truncate it, which ends who has it mapped."""
    name = names()
    sharedmap.share({"a": 1, "b": 2}, name, mode=0o644)
    path = segment_path(name)
    (fields,) = [
        f for f in map(json.loads, command("ls", "--json").out.splitlines()) if f["name"] == name
    ]
    os.chown(path, 65533, 65533)

    def refuse(*arguments, **options):
        raise AssertionError("it is opened")

    monkeypatch.setattr(reading, "sharedmap", refuse)
    (line,) = command("ls", "--json", "--prefix", name).out.splitlines()
    found = json.loads(line)
    assert found | {"age": 0, "owner": 0} == fields | {"age": 0, "owner": 0}
    os.truncate(path, 600)
    assert "truncated" in command("ls", "--prefix", name).out
