"""diff, cp and history: two maps, and the versions of one."""

import json
import os

import pytest
from command import failed, run
from helpers import segment_path

import sharedmap
from sharedmap import _header
from sharedmap._cli import errors

OLD = {"a": 1, "b": 2, "c": "3", "d": b"\xff", "t\t": None}
NEW = {"a": 1, "b": 2.0, "c": "4\x1b", "e": [1, (2,)], "z": float("inf")}
CHANGES = [
    ("b", "changed", 2, 2.0),
    ("c", "changed", "3", "4\x1b"),
    ("d", "removed", {"base64": "/w=="}),
    ("e", "added", [1, {"$tuple": [2]}]),
    ("t\t", "removed", None),
    ("z", "added", float("inf")),
]


@pytest.fixture
def two(names):
    old, new = names(), names()
    sharedmap.share(OLD, old)
    sharedmap.share(NEW, new)
    return old, new


# ---- diff ------------------------------------------------------------------------------------


def test_diff_prints_what_differs_in_key_order(command, two):
    done = command("diff", *two)
    assert (done.code, done.err) == (errors.DIFFERENT, "")
    assert done.out.splitlines() == [
        "~ b\t2\t2.0",
        "~ c\t3\t4\\x1b",
        "- d\t\\\\xff",
        '+ e\t[1, {"$tuple": [2]}]',
        "- t\\t\t",
        "+ z\tinf",
    ]


def test_diff_of_maps_without_difference_says_nothing(command, two):
    assert command("diff", two[0], two[0]) == (0, "", "")
    assert command("diff", two[0], two[0], "--count") == (0, "0 added, 0 changed, 0 removed\n", "")


def test_diff_json_has_the_values_of_both(command, two):
    done = command("diff", *two, "--json")
    assert done.code == errors.DIFFERENT
    found = [json.loads(line) for line in done.out.splitlines()]
    assert [(line["key"], line["change"]) for line in found] == [line[:2] for line in CHANGES]
    assert [line.get("old") for line in found[:3]] == [2, "3", {"base64": "/w=="}]
    assert [set(line) - {"key", "change"} for line in found] == [
        {"old", "new"},
        {"old", "new"},
        {"old"},
        {"new"},
        {"old"},
        {"new"},
    ]


def test_diff_prints_less_on_request(command, two):
    assert command("diff", *two, "--keys").out.split("\n") == [
        *("~ b", "~ c", "- d", "+ e", "- t\\t", "+ z", "")
    ]
    assert command("diff", *two, "--count").out == "2 added, 2 changed, 2 removed\n"
    counts = json.loads(command("diff", *two, "--count", "--json").out)
    assert counts == {"added": 2, "changed": 2, "removed": 2}
    assert command("diff", *two, "--quiet") == (errors.DIFFERENT, "", "")


def test_diff_of_files_and_maps(command, two, tmp_path):
    paths = [tmp_path / "old", tmp_path / "new"]
    for name, path in zip(two, paths, strict=True):
        assert command("save", name, path).code == 0
    expected = command("diff", *two)
    assert command("diff", "--file", *paths) == expected
    assert command("diff", paths[0], two[1], "--old-file") == expected
    assert command("diff", two[0], "--new-file", paths[1]) == expected
    assert command("diff", two[0], "--new-file", paths[0]).code == 0


def test_diff_of_values_that_an_encoder_made(command, names):
    maps = [names(), names()]
    for name, data in zip(maps, (b'{"a": [1]}', b"\x80"), strict=True):
        tree = sharedmap.rbtree(encode=lambda value, data=data: data)
        tree["k"] = object()
        tree.share(name)
    (line,) = command("diff", *maps, "--json").out.splitlines()
    found = json.loads(line)
    assert (found["old"], found["new"]) == ({"a": [1]}, {"encoded": "gA=="})


def test_diff_that_fails_does_not_look_like_a_difference(command, two):
    assert failed(command("diff", two[0], two[0] + ".absent"), errors.ABSENT, "absent")
    assert failed(command("diff", two[0], ""), errors.USAGE, "name")
    with open("/dev/full", "wb") as full:
        assert run("diff", *two, stdout=full).code == errors.NO_SPACE


# ---- cp --------------------------------------------------------------------------------------


def test_cp_publishes_the_same_entries(command, two, names):
    target = names()
    done = command("cp", two[1], target)
    assert done == (0, f"copied {two[1]} to {target}: 5 entries\n", "")
    assert command("diff", two[1], target).code == 0
    assert os.stat(segment_path(target)).st_mode & 0o777 == 0o600


def test_cp_replaces_a_map_only_on_request(command, two):
    assert failed(command("cp", *two), errors.CONFLICT, two[1], "--force")
    assert command("diff", *two).code == errors.DIFFERENT
    assert command("cp", *two, "--force", "--mode", "640").code == 0
    assert command("diff", *two).code == 0
    assert os.stat(segment_path(two[1])).st_mode & 0o777 == 0o640


def test_cp_keeps_what_an_encoder_made(command, names):
    source, target = names(), names()
    tree = sharedmap.rbtree(encode=lambda value: b"\x80\x04")
    tree["object"] = object()
    tree.share(source)
    assert command("cp", source, target).code == 0
    assert sharedmap.sharedmap(target, decode=bytes)["object"] == b"\x80\x04"


def test_cp_of_a_map_that_is_not_there(command, names):
    assert failed(command("cp", names(), names()), errors.ABSENT)


# ---- history ---------------------------------------------------------------------------------


@pytest.fixture
def updated(name):
    sharedmap.share({f"{number:06}": number for number in range(10_000)}, name)
    for number in range(5):
        sharedmap.update(name, {f"new {number}": "x" * 100 * number}, remove=["000007"])
    return name


def test_history_has_each_version_in_the_file(command, updated):
    found = json.loads(command("history", updated, "--json").out)
    assert [version["part"] for version in found["versions"]] == ["base", *["delta"] * 5]
    assert [version["generation"] for version in found["versions"]] == [1, 2, 3, 4, 5, 6]
    assert [version["entries"] for version in found["versions"]] == [10_000, *range(10_000, 10_005)]
    with sharedmap.sharedmap(updated) as opened:
        assert found["versions"][-1]["id"] == opened.id
        assert found["bytes"] == opened.nbytes
    assert sum(version["bytes"] for version in found["versions"]) == found["bytes"]
    assert found["bytes"] <= found["allocated"] <= found["limit"] + 4096
    assert found["allocated"] == os.stat(segment_path(updated)).st_blocks * 512


def test_history_is_a_table_for_people(command, updated):
    told = command("history", updated).out.splitlines()
    assert told[0].split() == ["PART", "GENERATION", "PUBLISHED", "ENTRIES", "SIZE"]
    assert [line.split()[0] for line in told[1:7]] == ["base", *["delta"] * 5]
    assert told[8].startswith("allocated ")


def test_history_of_a_file_has_one_version(command, tmp_path):
    path = tmp_path / "map"
    sharedmap.rbtree(OLD).save(path)
    found = json.loads(command("history", "--file", path, "--json").out)
    (version,) = found["versions"]
    assert (version["part"], version["entries"]) == ("base", 5)
    assert found["limit"] == found["bytes"] == version["bytes"] == path.stat().st_size


def test_deltas_of_a_damaged_file_end_where_it_is_not_valid(updated):
    path = segment_path(updated)
    header = _header.read(path).header
    second = [*_header.deltas(path, header)][1]
    with open(path, "r+b") as file:
        file.seek(second.offset + 8)
        file.write(bytes(8))
    assert len([*_header.deltas(path, header)]) == 2
    with open(path, "r+b") as file:
        file.seek(second.offset)
        file.write(bytes(8))
    assert len([*_header.deltas(path, header)]) == 1
