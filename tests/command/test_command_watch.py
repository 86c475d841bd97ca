"""watch: publications and removals of several maps, a command for each, a limit of time."""

import json
import os
import select
import signal

import pytest
from command import failed, run, start
from helpers import HANG, segment_path
from live import Shm, published_by_hand

import sharedmap
from sharedmap._cli import errors


def next_event(process):
    return json.loads(process.next_line())


def test_watch_reports_removal_and_what_is_published_afterwards(name):
    sharedmap.share({"a": 1}, name)
    with start("watch", name, "--json") as process:
        first = next_event(process)
        assert (first["event"], first["generation"], first["entries"]) == ("published", 1, 1)
        with sharedmap.sharedmap(name) as opened:
            assert first["id"] == opened.id
        sharedmap.remove(name)
        removed = next_event(process)
        assert removed.keys() == {"name", "event", "time"}
        assert (removed["name"], removed["event"]) == (name, "removed")
        sharedmap.share({"a": 1, "b": 2}, name)
        again = next_event(process)
        assert (again["event"], again["generation"], again["entries"]) == ("published", 1, 2)
        sharedmap.update(name, {"c": 3})
        assert next_event(process)["generation"] == 2
        process.send_signal(signal.SIGINT)
        assert process.wait(HANG) == -signal.SIGINT
        assert process.stderr.read() == b""


def test_watch_says_removed_to_people(name):
    sharedmap.share({"a": 1}, name)
    with start("watch", name, "--count", "2") as process:
        assert b"  generation 1, 1 entry, " in process.next_line()
        sharedmap.remove(name)
        assert process.next_line().endswith(b"  removed\n")
        assert process.wait(HANG) == 0


def test_watch_of_several_maps_names_each(names):
    first, second = names(), names()
    sharedmap.share({"a": 1}, first)
    with start("watch", first, second, first) as process:
        assert f"  {first}: generation 1, ".encode() in process.next_line()
        sharedmap.share({"a": 1}, second)
        assert f"  {second}: generation 1, ".encode() in process.next_line()
        sharedmap.remove(first)
        assert process.next_line().endswith(f"  {first}: removed\n".encode())


def test_watch_waits_for_all_maps_that_are_not_there(names):
    first, second = names(), names()
    with start("watch", first, second, "--json", "--count", "2") as process:
        for name in (second, first):
            sharedmap.share({"a": 1}, name)
            assert next_event(process)["name"] == name
        assert process.wait(HANG) == 0


# ---- --timeout -------------------------------------------------------------------------------


def test_watch_that_sees_too_little_in_time_has_an_exit_code(command, name):
    sharedmap.share({"a": 1}, name)
    done = command("watch", name, "--count", "2", "--timeout", "0.05")
    assert done.code == errors.CONFLICT
    assert done.out.count("\n") == 1
    assert done.err == "sharedmap: time is up after 0.05 s: 1 of 2 events\n"


def test_watch_without_count_ends_in_time_and_well(command, name):
    done = command("watch", name, "--timeout", "0.05")
    assert done == (0, "", "")


def test_watch_that_sees_enough_does_not_wait_for_the_time(command, name):
    sharedmap.share({"a": 1}, name)
    assert command("watch", name, "--count", "1", "--timeout", str(10 * HANG)).code == 0


# ---- --exec ----------------------------------------------------------------------------------

TELL = (
    'printf "%s|" "$SHAREDMAP_NAME" "$SHAREDMAP_EVENT" "$SHAREDMAP_GENERATION"'
    ' "$SHAREDMAP_ENTRIES"; echo'
)


def test_watch_runs_a_command_that_knows_the_event(names):
    name = names("{} 'quoted' $HOME 红")
    sharedmap.share({"a": 1}, name)
    with start("watch", name, "--exec", TELL, "--count", "2") as process:
        process.next_line()
        assert process.next_line().decode() == f"{name}|published|1|1|\n"
        sharedmap.remove(name)
        process.next_line()
        assert process.next_line().decode() == f"{name}|removed|||\n"
        assert process.wait(HANG) == 0


@pytest.mark.parametrize(
    ("command_line", "how"), [("exit 3", "has exit code 3"), ("kill -9 $$", "killed by signal 9")]
)
def test_watch_tells_of_a_command_that_fails_and_goes_on(names, command_line, how):
    both = [names(), names()]
    for name in both:
        sharedmap.share({"a": 1}, name)
    done = run("watch", *both, "--exec", command_line, "--count", "2")
    assert done.code == errors.FAILED
    assert done.out.count(b"\n") == 2
    told = done.err.decode().splitlines()
    assert len(told) == 2
    assert all(line.startswith(f"sharedmap: {command_line}: ") for line in told)
    assert all(line.endswith(how) for line in told)


def test_watch_reports_only_the_newest_of_what_happens_during_a_command(name, tmp_path):
    sharedmap.share({"a": 1}, name)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    command_line = f"read line < {fifo}"
    # Open for reading, too, so that it has both ends all the time.
    with (
        open(fifo, "r+b", buffering=0) as pipe,
        start("watch", name, "--exec", command_line, "--json", "--count", "2") as process,
    ):
        assert next_event(process)["generation"] == 1
        for number in range(5):
            sharedmap.update(name, {"b": number})
        pipe.write(b"\n")
        assert next_event(process)["generation"] == 6
        pipe.write(b"\n")
        assert process.wait(HANG) == 0


# ---- failures --------------------------------------------------------------------------------


def test_watch_of_a_map_that_is_not_trusted_fails_for_all(as_root, command, names):
    good, bad = names(), names()
    sharedmap.share({"a": 1}, good)
    sharedmap.share({"a": 1}, bad)
    os.chown(segment_path(bad), 65533, 65533)
    done = command("watch", bad, "--count", "1")
    assert failed(done, errors.DENIED, bad)
    assert command("watch", good, bad, "--timeout", str(HANG)).code == errors.DENIED


def test_watch_of_nothing_that_is_a_name_fails(command):
    assert failed(command("watch", ""), errors.FAILED, "name")
    assert command("watch").code == errors.USAGE


def test_reader_of_watch_that_has_enough_ends_it(name):
    sharedmap.share({"a": 1}, name)
    with start("watch", name) as process:
        process.next_line()
        process.stdout.close()
        sharedmap.update(name, {"a": 2})
        assert process.wait(HANG) == -signal.SIGPIPE
        assert process.stderr.read() == b""


def test_limit_of_one_event_is_in_the_singular(command, name):
    done = command("watch", name, "--count", "1", "--timeout", "0.05")
    assert failed(done, errors.CONFLICT, "0 of 1 event\n")


def test_watch_tells_in_one_line_of_a_version_that_it_cannot_open(names):
    name = names("{} \u202e")
    sharedmap.share({"a": 1}, name)
    with start("watch", name, "--json") as process:
        assert next_event(process)["generation"] == 1
        published_by_hand(Shm(name), b"\x89SMAP\r\n\x1a" + bytes(1000))
        ready, _, _ = select.select([process.stderr], [], [], HANG)
        assert ready
        told = process.stderr.readline().decode()
        assert told.startswith("sharedmap: ")
        assert told.rstrip("\n").isprintable()
        sharedmap.share({"a": 2}, name, force=True)
        assert next_event(process)["event"] == "published"
