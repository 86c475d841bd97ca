"""Handles that follow a large map while it is updated: no system call, and nothing is missed."""

import asyncio
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
from helpers import HANG, exit_code, files_of_shm, forked
from live import WAITING, on_linux, wait_until, wait_until_asleep
from strategies import exact_items
from versions import ENTRIES, History, base_entries, inode_of, key_of, two_deltas

import sharedmap
from sharedmap import _sharedmap, watch

# Newer interpreters warn of a fork beside threads.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None,
    reason="NOT TESTED that following appends makes no system call: strace is not installed",
)

LONG = 30


@pytest.fixture
def history(name):
    return History(name)


@pytest.fixture
def with_much_room(name):
    """10,000 updates of one key fill less than half of its room, so that it stays one file."""
    entries = base_entries(8000)
    return History(name, dict.fromkeys(entries, b"x" * 3000) | {"n": 0})


# --- system calls -----------------------------------------------------------------------------


def calls_between(trace, begin, end):
    """What is called between two marks, without what the interpreter does to its own memory."""
    calls = trace.read_text().splitlines()
    first = next(at for at, call in enumerate(calls) if begin in call)
    last = next(at for at, call in enumerate(calls) if at > first and end in call)
    return [
        call for call in calls[first + 1 : last] if not re.search(r"\b(brk|munmap|mmap)\(", call)
    ]


SPINNING = """
import os, sys, sharedmap
m = sharedmap.sharedmap(sys.argv[1], follow=True)
assert m["n"] == 0
print("open", flush=True)
seen = set()
n = 0
os.access("/begin", os.F_OK)
while n < 10_000:
    n = m["n"]
    seen.add(n)
os.access("/end", os.F_OK)
print(len(seen), m.generation)
"""


@needs_strace
def test_follower_makes_no_system_call_during_ten_thousand_appends(with_much_room, tmp_path):
    name, trace = with_much_room.name, tmp_path / "trace"
    inode = inode_of(name)
    reader = subprocess.Popen(
        ["strace", "-f", "-o", trace, sys.executable, "-c", SPINNING, name],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdout.readline() == "open\n"
    wait_until(lambda: "/begin" in trace.read_text(), "the reader has begun")
    for number in range(1, 10_001):
        sharedmap.update(name, {"n": number})
    told, _ = reader.communicate(timeout=LONG)
    assert reader.returncode == 0
    seen, generation = map(int, told.split())
    assert generation == 10_001
    # Or there was nothing that it followed.
    assert seen > 100
    assert inode_of(name) == inode
    assert calls_between(trace, "/begin", "/end") == []


IN_TURNS = """
import os, sys, sharedmap
name = sys.argv[1]
m = sharedmap.sharedmap(name, follow=True)
for number in range(1, 301):
    sharedmap.update(name, {"n": number, f"new {number}": number})
    os.access(f"/updated {number}.", os.F_OK)
    n, new, size, stale = m["n"], m.get(f"new {number}"), len(m), m.stale
    os.access(f"/read {number}.", os.F_OK)
    assert (n, new, size, stale) == (number, number, 8001 + number, False)
"""


@needs_strace
def test_first_get_after_an_append_makes_no_system_call(with_much_room, tmp_path):
    trace = tmp_path / "trace"
    strace = ["strace", "-f", "-o", trace, sys.executable, "-c", IN_TURNS, with_much_room.name]
    subprocess.run(strace, check=True)
    for number in range(1, 301):
        assert calls_between(trace, f"/updated {number}.", f"/read {number}.") == []


# --- cached values ----------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 31, 32, 33, 1000])
def test_cached_values_do_not_outlive_their_version(history, count):
    """The arrays of a cache pass to the next version's, cleared."""
    keys = [key_of(number) for number in range(count)]
    with history.open(follow=True) as shared:
        for number in range(4):
            for pinned in (shared.snapshot(), shared):
                # The second time it is kept, the third time it comes from the cache.
                for _ in range(3):
                    assert [pinned[key] for key in keys] == [history.dict[key] for key in keys]
            before = [history.dict[key] for key in keys]
            pinned = shared.snapshot()
            history.update({key: f"{key} in {number}" for key in keys[::2]}, remove=keys[1::2])
            assert [shared.get(key) for key in keys] == [history.dict.get(key) for key in keys]
            assert [pinned[key] for key in keys] == before
            pinned.close()
            history.update({key: f"{key} again in {number}" for key in keys[1::2]})


def test_caches_of_many_versions_at_once_are_each_of_their_own(history):
    keys = [key_of(number) for number in range(3)]
    pinned, expected = [], []
    for number in range(20):
        history.update({keys[number % 3]: f"version {number}"})
        pinned.append(history.open())
        expected.append([history.dict[key] for key in keys])
    for _ in range(3):
        for shared, values in zip(pinned, expected, strict=True):
            for _ in range(3):
                assert [shared[key] for key in keys] == values
        # Half of them leave their arrays to others.
        for shared in pinned[::2]:
            shared.close()
        pinned, expected = pinned[1::2], expected[1::2]


# --- waiting ----------------------------------------------------------------------------------


@pytest.mark.parametrize("follow", [False, True])
def test_wait_is_woken_by_an_append(history, other, follow):
    other.run("m = sharedmap.sharedmap(name, follow=follow)", name=history.name, follow=follow)
    inode = inode_of(history.name)
    begin = time.monotonic()
    for number in range(20):
        other.send("eval", f"(m.wait({LONG}), m.refresh(), m['a'])", {})
        wait_until_asleep(other.pid)
        history.update({"a": number})
        assert other.answer() == (True, not follow, number)
    # It looks at the name every half second, and would find each of them then.
    assert time.monotonic() - begin < 20 * 0.5 / 2
    assert inode_of(history.name) == inode
    other.run("m.close()")


def test_wait_is_woken_by_the_update_after_a_compaction(history, other):
    other.run("m = sharedmap.sharedmap(name)", name=history.name)
    inode = inode_of(history.name)
    history.update({key_of(number): "changed" for number in range(ENTRIES // 10 + 1)})
    assert inode_of(history.name) != inode
    assert other.eval("(m.wait(0), m.refresh(), m.wait(0))") == (True, True, False)
    other.send("eval", f"(m.wait({LONG}), m.refresh(), m['a'])", {})
    wait_until_asleep(other.pid)
    history.update({"a": "appended to the new file"})
    assert other.answer() == (True, True, "appended to the new file")
    other.run("m.close()")


def test_wait_does_not_return_when_nothing_changes_in_an_appended_version(history):
    two_deltas(history)
    for follow in (False, True):
        with history.open(follow=follow) as shared:
            assert shared.wait(0) is False
            history.update(dict(list(history.dict.items())[:50]))
            assert shared.wait(0.6) is False


def test_one_append_wakes_all_who_wait(history, workers):
    waiting = [workers() for _ in range(4)]
    for worker in waiting:
        worker.run("m = sharedmap.sharedmap(name, follow=True)", name=history.name)
        worker.send("eval", f"(m.wait({LONG}), m['a'])", {})
    for worker in waiting:
        wait_until_asleep(worker.pid)
    history.update({"a": 1})
    assert [worker.answer() for worker in waiting] == [(True, 1)] * 4


def test_thread_that_waits_is_woken_by_an_append_of_its_process(history):
    answers = []
    with history.open(follow=True) as shared:
        thread = threading.Thread(target=lambda: answers.append((shared.wait(LONG), shared["a"])))
        thread.start()
        wait_until(lambda: is_asleep(thread), "the thread waits")
        history.update({"a": 1})
        thread.join()
    assert answers == [(True, 1)]


def is_asleep(thread):
    with open(f"/proc/self/task/{thread.native_id}/syscall") as file:
        return file.read().split()[0] in WAITING


def test_watch_is_told_of_each_append(history):
    """Each comes only after the one before was seen, so that none may be left out."""

    async def see():
        seen = []
        async for shared in watch(history.name):
            with shared:
                seen.append((shared.generation, shared.get("a")))
            if len(seen) > 30:
                return seen
            history.update({"a": len(seen)})

    seen = asyncio.run(asyncio.wait_for(see(), HANG))
    assert seen == [(1, None)] + [(number + 1, number) for number in range(1, 31)]


def test_watch_sees_appends_of_another_process(history, other):
    source = """
for number in range(300):
    sharedmap.update(name, {"a": number, f"key {number * 7:05}": number})
"""

    async def see():
        last, generations = None, []
        async for shared in watch(history.name):
            with shared:
                if not generations:
                    other.send("run", source, {"name": history.name})
                generations.append(shared.generation)
                last = shared.get("a")
            if last == 299:
                return generations

    generations = asyncio.run(asyncio.wait_for(see(), HANG))
    other.answer()
    assert generations == sorted(set(generations))
    assert generations[-1] == 301


@on_linux
def test_inotify_reports_each_append_with_the_name(history):
    descriptor = _sharedmap._watch_open()
    try:
        inode = inode_of(history.name)
        for number in range(5):
            assert history.name not in _sharedmap._watch_read(descriptor)
            history.update({"a": number})
            assert history.name in _sharedmap._watch_read(descriptor)
        assert inode_of(history.name) == inode
    finally:
        _sharedmap._watch_close(descriptor)


@on_linux
def test_reading_a_map_is_not_reported(history):
    """Or each reader would wake each event loop."""
    descriptor = _sharedmap._watch_open()
    try:
        with history.open(follow=True) as shared:
            assert shared["key 00001"] == history.dict["key 00001"]
            shared.refresh()
            shared.wait(0)
        assert history.name not in _sharedmap._watch_read(descriptor)
    finally:
        _sharedmap._watch_close(descriptor)


# --- pinned versions --------------------------------------------------------------------------


def test_fifty_pinned_snapshots_are_right_throughout_many_updates(history):
    rng = random.Random(1)
    pinned = []
    inodes = set()
    with history.open(follow=True) as shared:
        for number in range(1000):
            at = rng.randrange(ENTRIES)
            history.update(
                {key_of(at): f"changed {number}", f"new {number}": number},
                remove=[key_of(rng.randrange(ENTRIES)), f"new {number - 20}"],
            )
            inodes.add(inode_of(history.name))
            if number % 20 == 0:
                pinned.append((shared.snapshot(), history.dict))
            for snapshot, entries in rng.sample(pinned, min(len(pinned), 5)):
                keys = [key_of(at), f"new {number}", f"new {number - 20}", *rng.sample(KEYS, 3)]
                assert snapshot.get_many(keys) == [entries.get(key) for key in keys]
                assert len(snapshot) == len(entries)
            assert shared.get(key_of(at)) == history.dict.get(key_of(at))
        assert exact_items(shared.items()) == exact_items(sorted(history.dict.items()))
    assert len(pinned) == 50
    assert 2 < len(inodes) < 50
    for snapshot, entries in pinned:
        snapshot.verify()
        assert exact_items(snapshot.items()) == exact_items(sorted(entries.items()))
        snapshot.close()


KEYS = [key_of(number) for number in range(ENTRIES)]


def test_handle_that_does_not_follow_keeps_its_version(history):
    two_deltas(history)
    expected = history.dict
    with history.open() as shared:
        for number in range(50):
            history.update({key_of(number): number}, remove=[key_of(number + 100)])
            assert shared.get(key_of(number)) == expected.get(key_of(number))
            assert shared.get(key_of(number + 100)) == expected.get(key_of(number + 100))
        assert exact_items(shared.items()) == exact_items(sorted(expected.items()))


# --- processes --------------------------------------------------------------------------------


def test_forked_child_goes_on_following_appends(history):
    reading, writing = os.pipe()
    with history.open(follow=True) as shared:
        history.update({"a": "before"})
        assert shared["a"] == "before"

        def follow():
            os.read(reading, 1)
            assert shared["a"] == 99
            assert shared == history.dict | {"a": 99}
            sharedmap.update(history.name, {"child": 1})
            return shared["child"] == 1

        child = forked(follow)
        for number in range(100):
            sharedmap.update(history.name, {"a": number})
        os.write(writing, b".")
        assert exit_code(child) == 0
        assert (shared["a"], shared["child"]) == (99, 1)
    os.close(reading)
    os.close(writing)


FOLLOWING = """
m = sharedmap.sharedmap(name, follow=True)
def follow():
    while True:
        a, b = m.get_many(["a", "b"])
        assert a == b
        m.wait(0.001)
"""


def test_followers_that_are_killed_leave_nothing_behind(names, workers):
    name = names()
    history = History(name, base_entries() | {"a": 0, "b": 0})
    for round_number in range(5):
        worker = workers()
        worker.run(FOLLOWING, name=name)
        worker.send("run", "follow()", {})
        for number in range(100):
            history.update({"a": number + 100 * round_number, "b": number + 100 * round_number})
        os.kill(worker.pid, signal.SIGKILL)
        worker.kill()
        for number in range(20):
            history.update({key_of(number): round_number})
        assert len(names.files()) == 1
    with history.open() as shared:
        shared.verify()
        assert shared == history.dict
    assert files_of_shm(os.getpid()) == []


PUBLISHING = """
def publish(own):
    for number in range(count):
        sharedmap.update(name, {own: number, f"{own} {number}": number})
"""


def test_no_update_of_several_publishers_is_lost_and_no_follower_goes_back(history, workers):
    count = 300
    publishers = [workers() for _ in range(3)]
    for number, worker in enumerate(publishers):
        worker.run(PUBLISHING, name=history.name, count=count)
        worker.send("run", f"publish('own {number}')", {})
    with history.open(follow=True) as shared:
        seen, last = [-1] * 3, 0
        while seen != [count - 1] * 3:
            found = shared.snapshot()
            values = found.get_many([f"own {number}" for number in range(3)], -1)
            assert all(new >= old for new, old in zip(values, seen, strict=True))
            assert found.generation >= last
            # What was published before the newest is in the same version.
            for number, value in enumerate(values):
                assert len(found.prefix(f"own {number} ")) == value + 1
            assert len(found) == ENTRIES + sum(value + 1 + (value >= 0) for value in values)
            seen, last = values, found.generation
            found.close()
        for worker in publishers:
            worker.answer()
        assert shared.generation == 1 + 3 * count
        shared.verify()
        assert all(shared[f"own {n} {at}"] == at for n in range(3) for at in range(count))
