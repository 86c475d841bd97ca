"""What the commands say of one entry, one map and one byte, and of none."""

import re

import pytest

import sharedmap

# No unit is in the plural after a one: "1 B" and "1 s" are units that have none.
WRONG = re.compile(
    r"(?<![\d.,])1 (?:\w+s|entries)\b(?! \d)|(?<![\d.,])(?:0|[2-9]|\d\d+) (?:entry|map)\b"
)


@pytest.mark.parametrize("text", ["1 entries", "1 maps with", "of 1 bytes", "0 entry", "12 map"])
def test_wrong_plurals_are_found(text):
    assert WRONG.search(text)


@pytest.mark.parametrize("text", ["1 entry", "21 entries", "1 s", "1,001 entries", "0 maps"])
def test_right_plurals_are_not(text):
    assert not WRONG.search(text)


@pytest.mark.parametrize("entries", [0, 1, 2])
def test_every_command_counts_in_correct_english(command, names, tmp_path, entries):
    name, copy = names(), names()
    path, table = tmp_path / "saved", tmp_path / "entries.jsonl"
    table.write_text("".join(f'["key {number}", {number}]\n' for number in range(entries)))
    commands = [
        ("load", name, table, "--allow-empty"),
        ("load", name, table, "--allow-empty", "--force"),
        ("ls", "--prefix", name),
        ("stat", name),
        ("verify", name),
        ("export", name, "-o", tmp_path / "copy.csv"),
        ("save", name, path),
        ("publish", path, copy),
        ("watch", name, "--count", "1"),
        ("history", name),
        ("cp", name, copy, "--force"),
        ("scan", name, "--count"),
        ("update", name, "key 0=1"),
        ("rm", copy),
    ]
    told = {}
    for words in commands:
        done = command(*words)
        told[words[0]] = done.out
        assert done.code == 0, done
        assert not WRONG.search(done.out), done.out
    expected = f"{entries} {'entry' if entries == 1 else 'entries'}"
    for verb in ("load", "verify", "export", "save", "publish", "watch", "cp"):
        assert expected in told[verb], told[verb]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_doctor_counts_in_correct_english(command, names, monkeypatch, count):
    from sharedmap._cli import doctor

    maps = [names() for _ in range(count)]
    for name in maps:
        sharedmap.share({"a": 1}, name)
    monkeypatch.setattr(doctor, "names", lambda: maps)
    first = command("doctor").out.splitlines()[0]
    assert f", {count} {'map' if count == 1 else 'maps'} with " in first
    assert not WRONG.search(first), first


@pytest.mark.parametrize("free", [0, 1, 2])
def test_doctor_tells_of_inodes_in_correct_english(command, monkeypatch, free):
    import os

    class Space:
        def __init__(self, space):
            self.space = space

        def __getattr__(self, attribute):
            return free if attribute == "f_favail" else getattr(self.space, attribute)

    statvfs = os.statvfs
    monkeypatch.setattr(os, "statvfs", lambda path: Space(statvfs(path)))
    told = command("doctor").out
    assert f"! /dev/shm is nearly out of inodes, free: {free}; " in told
    assert not re.search(r"\b1 are\b", told)
