"""What the commands say of a map with deltas, and do with it: as of any other."""

import json
import os
import pathlib
import threading

import pytest
from helpers import segment_path
from live import mark_superseded
from strategies import exact_items
from versions import ENTRIES, deltas_of, key_of, make

import sharedmap
from sharedmap import _header
from sharedmap._cli import doctor, reading


@pytest.fixture(params=["one delta", "two deltas", "many"])
def history(request, name):
    return make(request.param, name)


def objects(done):
    assert (done.code, done.err) == (0, "")
    return [json.loads(line) for line in done.out.splitlines()]


def test_stat_and_ls_are_of_the_newest_version(command, history):
    (found,) = objects(command("stat", history.name, "--json"))
    assert [found] == [
        listed | {"age": found["age"]}
        for listed in objects(command("ls", "--json", "--prefix", history.name))
    ]
    with history.open() as opened:
        assert found["entries"] == len(history.dict) == len(opened)
        assert found["bytes"] == opened.nbytes == os.stat(segment_path(history.name)).st_size
        assert found["generation"] == opened.generation > 1
        assert found["id"] == opened.id
        assert found["superseded"] is False
        assert found["published"] == reading.time_text(opened.published_at)


def test_map_of_another_user_is_listed_with_its_newest_version(
    as_root, command, history, monkeypatch
):
    """Without being mapped: its owner can truncate it, which ends who has it mapped."""
    (fields,) = objects(command("ls", "--json", "--prefix", history.name))
    path = segment_path(history.name)
    os.chown(path, 65533, 65533)

    def refuse(*arguments, **options):
        raise AssertionError("it is opened")

    monkeypatch.setattr(reading, "sharedmap", refuse)
    (found,) = objects(command("ls", "--json", "--prefix", history.name))
    assert found | {"age": 0, "owner": 0} == fields | {"age": 0, "owner": 0}
    # Within the newest delta, within its header, within the base.
    for size in (fields["bytes"] - 1, deltas_of(history.name)[0].begin + 64, 1000):
        os.truncate(path, size)
        assert "truncated" in command("ls", "--prefix", history.name).out


def test_header_that_leads_nowhere_is_incomplete(history, tmp_path):
    data = bytearray(pathlib.Path(os.fsdecode(segment_path(history.name))).read_bytes())
    path = os.fsencode(tmp_path / "copy")
    for head, is_complete in ((2, True), (2**31 - 2, False), (2**32 - 2, False), (4, False)):
        data[192:196] = head.to_bytes(4, "little")
        (tmp_path / "copy").write_bytes(data)
        found = _header.read(path)
        assert found.is_complete is is_complete
        assert found.header.is_superseded is False


def test_file_that_is_longer_than_its_limit_is_incomplete(history, tmp_path):
    data = pathlib.Path(os.fsdecode(segment_path(history.name))).read_bytes()
    limit = _header.parse(data).limit
    for size, is_complete in ((limit, True), (limit + 1, False)):
        (tmp_path / "copy").write_bytes(data + bytes(size - len(data)))
        assert _header.read(os.fsencode(tmp_path / "copy")).is_complete is is_complete


def test_doctor_finds_no_mark_in_a_map_that_is_updated(history):
    """A handle that is stale because of a newer delta is none."""
    is_over = threading.Event()

    def update():
        number = 0
        while not is_over.is_set():
            history.update({key_of(0): number})
            number += 1

    thread = threading.Thread(target=update)
    thread.start()
    try:
        problems = []
        for _ in range(20):
            doctor._inspect_maps(problems, {})
    finally:
        is_over.set()
        thread.join()
    assert [problem for problem in problems if history.name in problem] == []


def test_doctor_finds_the_mark_of_a_map_with_deltas(history):
    problems = []
    mark_superseded(segment_path(history.name))
    doctor._inspect_maps(problems, {})
    (problem,) = [problem for problem in problems if history.name in problem]
    assert "marked as superseded" in problem
    assert reading.describe_named(history.name)["superseded"] is True


def test_verify_get_scan_and_export_read_through_the_deltas(command, history):
    (found,) = objects(command("verify", history.name, "--json"))
    assert found["entries"] == len(history.dict)
    key = next(key for key, value in history.dict.items() if type(value) is int)
    assert json.loads(command("get", history.name, key, "--json").out)["value"] == history.dict[key]
    assert command("get", history.name, "absent").code != 0
    assert command("scan", history.name, "--count").out == f"{len(history.dict)}\n"
    keys = command("scan", history.name, "--keys", "--prefix", "key 0000").out.splitlines()
    assert keys == sorted(key for key in history.dict if key.startswith("key 0000"))
    exported = objects(command("export", history.name, "--format", "jsonl"))
    assert [line["key"] for line in exported] == sorted(history.dict)


def test_save_and_publish_take_the_version_without_its_deltas(command, history, names, tmp_path):
    path, other = tmp_path / "saved", names()
    assert command("save", history.name, path).code == 0
    assert path.read_bytes()[192:196] == bytes(4)
    assert command("publish", path, other).code == 0
    with sharedmap.sharedmap(other) as opened:
        opened.verify()
        assert exact_items(opened.items()) == exact_items(sorted(history.dict.items()))
    assert deltas_of(other) == []


def test_update_command_appends(command, history):
    before = os.stat(segment_path(history.name)).st_ino
    done = command(
        "update", history.name, "by hand=text", "--remove", key_of(ENTRIES - 2), "--json"
    )
    (found,) = objects(done)
    with history.open() as opened:
        assert (opened["by hand"], opened.generation) == ("text", found["generation"])
        assert key_of(ENTRIES - 2) not in opened
    assert os.stat(segment_path(history.name)).st_ino == before
