"""Maps that are open when something newer is published: stale, refresh, follow, snapshot.

Whatever holds for a name in shared memory holds for a saved file.
"""

import os
import pathlib
import pickle
import re
import shutil
import signal
import subprocess
import sys
import threading

import pytest
from helpers import TESTS, exit_code, forked
from live import (
    NEW,
    OLD,
    Saved,
    Shm,
    descriptors,
    mappings_of,
    wait_until,
)

import sharedmap

# --- stale and refresh ------------------------------------------------------------------------


def test_open_map_is_not_stale_while_nothing_newer_is_published(opened):
    assert opened.stale is False


def test_open_map_is_stale_after_a_publication(place, opened):
    place.publish(NEW)
    assert opened.stale is True


def test_open_map_is_stale_after_a_publication_of_another_process(place, opened, other):
    other.run(place.publish_source, entries=NEW, name=place.name)
    assert opened.stale is True


def test_open_map_of_another_process_is_stale_after_a_publication(place, opened, other):
    other.run(f"m = {place.open_source}", name=place.name, follow=False)
    assert other.eval("m.stale") is False
    place.publish(NEW)
    assert other.eval("m.stale") is True
    other.run("m.close()")


def test_map_that_does_not_follow_keeps_its_snapshot(place, opened):
    place.publish(NEW)
    assert (dict(opened), opened.generation, len(opened)) == (OLD, 1, len(OLD))


def test_refresh_moves_to_the_new_snapshot_and_returns_true(place, opened):
    place.publish(NEW)
    assert opened.refresh() is True
    assert (dict(opened), opened.generation) == (NEW, 2)


def test_refresh_returns_false_when_nothing_newer_is_published(opened):
    assert opened.refresh() is False
    assert dict(opened) == OLD


def test_refresh_skips_what_was_published_in_between(place, opened):
    for number in range(5):
        place.publish({"a": number})
    assert opened.refresh() is True
    assert opened["a"] == 4
    assert opened.refresh() is False


def test_refreshed_map_is_not_stale(place, opened):
    place.publish(NEW)
    opened.refresh()
    assert opened.stale is False


def test_following_map_is_stale_until_it_is_used(place, following):
    place.publish(NEW)
    assert following.stale is True
    following["a"]
    assert following.stale is False


def test_refresh_keeps_the_decoder(names):
    name = names()
    sharedmap.share({"a": (1,)}, name, encode=lambda value: b"1")
    with sharedmap.sharedmap(name, decode=lambda data: (bytes(data), "decoded")) as shared:
        sharedmap.share({"a": (2,)}, name, force=True, encode=lambda value: b"2")
        shared.refresh()
        assert shared["a"] == (b"2", "decoded")


def test_map_in_a_buffer_has_nothing_newer():
    shared = sharedmap.sharedmap.frombuffer(sharedmap.rbtree(a=1).dump())
    assert (shared.stale, shared.refresh(), shared.snapshot()["a"]) == (False, False, 1)


# --- following --------------------------------------------------------------------------------

# Each kind of operation, as an expression of m, and what it gives for OLD and for NEW.
OPERATIONS = {
    "m['a']": ("old", "new"),
    "m.get('e')": (None, "new"),
    "'e' in m": (False, True),
    "len(m)": (5, 7),
    "bool(m['e':])": (False, True),
    "list(m)": (sorted(OLD), sorted(NEW)),
    "list(reversed(m))": (sorted(OLD, reverse=True), sorted(NEW, reverse=True)),
    "list(m.keys())": (sorted(OLD), sorted(NEW)),
    "set(m.values())": ({"old"}, {"new"}),
    "dict(m.items())": (OLD, NEW),
    "dict(m)": (OLD, NEW),
    "dict(m['b':'d'])": (
        {"b": "old", "ca": "old", "cb": "old"},
        {"b": "new", "ca": "new", "cb": "new", "cc": "new"},
    ),
    "list(m.prefix('c'))": (["ca", "cb"], ["ca", "cb", "cc"]),
    "m.floor('cd')": ("cb", "cc"),
    "m.ceiling('cc')": ("d", "cc"),
    "m.first()": (("a", "old"), ("a", "new")),
    "m.last()": (("d", "old"), ("e", "new")),
    "m.peekitem(0)": (("a", "old"), ("a", "new")),
    "m.peekitem()": (("d", "old"), ("e", "new")),
    "m.index('d')": (4, 5),
    "m.bisect_left('d')": (4, 5),
    "m.bisect_right('d')": (5, 6),
    "bytes(m.view('a'))": (b"old", b"new"),
    "m.generation": (1, 2),
    "m == NEW": (False, True),
    "m != NEW": (True, False),
    "m.snapshot()['a']": ("old", "new"),
    "m.verify()": (None, None),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation_of_a_following_map_sees_the_newest(place, following, operation):
    space = {"m": following, "NEW": NEW}
    before, after = OPERATIONS[operation]
    assert eval(operation, space) == before
    place.publish(NEW)
    assert eval(operation, space) == after


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation_of_a_following_map_sees_what_another_process_published(
    place, following, operation, other
):
    space = {"m": following, "NEW": NEW}
    other.run(place.publish_source, entries=NEW, name=place.name)
    assert eval(operation, space) == OPERATIONS[operation][1]


def test_nbytes_of_a_following_map_is_that_of_the_newest(place, following):
    place.publish({"a": "x" * 10_000})
    assert following.nbytes == os.stat(place.path).st_size > 10_000


def test_following_map_of_another_process_sees_what_is_published_here(place, following, other):
    other.run(f"m = {place.open_source}", name=place.name, follow=True)
    for number in range(30):
        place.publish({"a": number})
        assert other.eval("m['a'], len(m)") == (number, 1)
    other.run("m.close()")


def test_following_map_sees_an_update(names):
    name = names()
    sharedmap.share(OLD, name)
    with sharedmap.sharedmap(name, follow=True) as shared:
        sharedmap.update(name, {"a": "changed"}, remove=["b"])
        assert shared["a"] == "changed"
        assert "b" not in shared


def test_following_map_goes_from_empty_to_full_and_back(place):
    place.publish({})
    with place.open(follow=True) as shared:
        for _ in range(3):
            assert dict(shared) == {}
            place.publish(NEW)
            assert dict(shared) == NEW
            place.publish({})


def test_repr_moves_the_map_as_every_operation_does(place, following):
    place.publish(NEW)
    assert f"{len(NEW)} entries" in repr(following)
    assert following.stale is False


def test_pickled_following_map_follows_in_another_process(place, following, other):
    other.run("import pickle; m = pickle.loads(data)", data=pickle.dumps(following))
    assert other.eval("m['a']") == "old"
    place.publish(NEW)
    assert other.eval("m['a']") == "new"
    other.run("m.close()")


def test_pickled_map_that_does_not_follow_is_that_version_or_a_stale_error(place, opened):
    data = pickle.dumps(opened)
    with pickle.loads(data) as again:
        assert (again.id, again["a"]) == (opened.id, "old")
        place.publish(NEW)
        assert again["a"] == "old"
    with pytest.raises(sharedmap.StaleError) as caught:
        pickle.loads(data)
    assert (caught.value.expected, caught.value.found) == (opened.id, 2)


def test_pickled_map_that_follows_is_whatever_is_published(place, following):
    data = pickle.dumps(following)
    place.publish(NEW)
    with pickle.loads(data) as again:
        assert again["a"] == "new"
        place.publish({"a": "newer"})
        assert again["a"] == "newer"


def test_pickled_snapshot_of_a_following_map_is_that_version(place, following):
    with following.snapshot() as pinned:
        data = pickle.dumps(pinned)
    with pickle.loads(data) as again:
        assert again["a"] == "old"
    place.publish(NEW)
    with pytest.raises(sharedmap.StaleError):
        pickle.loads(data)


def test_following_map_goes_on_following_in_a_forked_child(place, following):
    reading, writing = os.pipe()

    def wait_and_look():
        os.read(reading, 1)
        return following["a"] == "new" and following.generation == 2

    child = forked(wait_and_look)
    place.publish(NEW)
    os.write(writing, b".")
    assert exit_code(child) == 0
    assert following["a"] == "new"
    os.close(reading)
    os.close(writing)


# --- what stays on the snapshot it began with -------------------------------------------------


def test_iterator_stays_on_its_snapshot(place, following):
    iterator = iter(following.items())
    first = next(iterator)
    place.publish(NEW)
    assert following["a"] == "new"
    assert [first, *iterator] == list(OLD.items())


def test_reversed_iterator_stays_on_its_snapshot(place, following):
    iterator = reversed(following)
    first = next(iterator)
    place.publish(NEW)
    assert following["a"] == "new"
    assert [first, *iterator] == sorted(OLD, reverse=True)


@pytest.mark.parametrize("kind", ["keys", "values", "items"])
def test_view_stays_on_its_snapshot(place, following, kind):
    view = getattr(following, kind)()
    place.publish(NEW)
    assert following["a"] == "new"
    assert list(view) == list(getattr(dict(sorted(OLD.items())), kind)())
    assert len(view) == len(OLD)


@pytest.mark.parametrize("part", ["m['b':]", "m[:]", "m.prefix('c')", "m['b':]['ca':]"])
def test_range_stays_on_its_snapshot(place, following, part):
    part = eval(part, {"m": following})
    content = dict(part)
    place.publish(NEW)
    assert following["a"] == "new"
    assert dict(part) == content
    assert set(part.values()) == {"old"}


def test_memoryview_stays_on_its_snapshot(place, following):
    view = following.view("a")
    place.publish(NEW)
    assert following["a"] == "new"
    assert bytes(view) == b"old"


def test_comparison_of_a_following_map_is_with_one_snapshot(place):
    """Neither of the two snapshots equals the dict, so nothing may come out but False."""

    class Publishing(dict):
        def __len__(self):
            place.publish({"a": 1})
            return super().__len__()

    place.publish({"a": 1, "b": 3})
    with place.open(follow=True) as shared:
        assert (shared == Publishing(a=1, b=2)) is False


def test_snapshot_of_a_following_map_does_not_follow(place, following):
    pinned = following.snapshot()
    place.publish(NEW)
    assert (dict(following), dict(pinned)) == (NEW, OLD)
    assert (following.generation, pinned.generation) == (2, 1)


def test_snapshot_of_a_following_map_is_of_the_newest(place, following):
    place.publish(NEW)
    assert dict(following.snapshot()) == NEW


def test_snapshot_outlives_the_map_it_came_from(place):
    place.publish(OLD)
    with place.open(follow=True) as shared:
        pinned = shared.snapshot()
    assert dict(pinned) == OLD
    pinned.close()


def test_snapshot_is_closed_on_its_own(following):
    following.snapshot().close()
    assert dict(following) == OLD


def test_snapshot_can_refresh_like_any_map(place, following):
    pinned = following.snapshot()
    place.publish(NEW)
    assert pinned.stale is True
    assert pinned.refresh() is True
    assert dict(pinned) == NEW


def test_snapshot_of_a_map_that_does_not_follow_is_what_it_has(place, opened):
    place.publish(NEW)
    assert dict(opened.snapshot()) == OLD


# --- generations ------------------------------------------------------------------------------


def test_generation_counts_the_publications(place):
    for number in range(1, 6):
        place.publish({"a": number})
        with place.open() as shared:
            assert shared.generation == number


def test_generation_of_a_following_map_counts_along(place, following):
    for number in range(2, 6):
        place.publish({"a": number})
        assert following.generation == number


def test_generation_begins_again_after_remove(place, following):
    place.publish(NEW)
    place.remove()
    place.publish(OLD)
    with place.open() as shared:
        assert shared.generation == 1


# --- what it costs ----------------------------------------------------------------------------


def test_snapshots_that_nobody_looks_at_any_more_are_unmapped(place, following):
    for number in range(50):
        place.publish({"a": number})
        assert following["a"] == number
        assert mappings_of(place.path) == 1


def test_snapshots_that_somebody_looks_at_stay_mapped(place, following):
    held = []
    for number in range(20):
        place.publish({"a": number})
        held.append(following.snapshot())
    assert mappings_of(place.path) == 20
    assert [shared["a"] for shared in held] == list(range(20))
    held.clear()
    assert mappings_of(place.path) == 1


def test_following_opens_no_descriptor_for_good(place, following):
    before = descriptors()
    for number in range(50):
        place.publish({"a": number})
        assert following["a"] == number
        following.refresh()
    assert descriptors() == before


COUNTED = """
import os, sys, sharedmap
m = sharedmap.{open}(sys.argv[1], follow=True)
def use():
    for _ in range(1000):
        m["a"]; m.get("b"); "c" in m; len(m); m.stale; m.generation; m.floor("b")
        for key in m: pass
use()
os.access("/begin", os.F_OK)
use()
os.access("/end", os.F_OK)
"""


@pytest.mark.skipif(
    shutil.which("strace") is None,
    reason="NOT TESTED that following makes no system call: strace is not installed",
)
def test_following_makes_no_system_call_while_nothing_changes(place, tmp_path):
    place.publish(OLD)
    source = COUNTED.format(open="sharedmap" if isinstance(place, Shm) else "sharedmap.open")
    trace = tmp_path / "trace"
    subprocess.run(
        ["strace", "-f", "-o", trace, sys.executable, "-c", source, place.name], check=True
    )
    calls = trace.read_text().splitlines()
    first = next(i for i, call in enumerate(calls) if '"/begin"' in call)
    last = next(i for i, call in enumerate(calls) if '"/end"' in call)
    # What the interpreter does to its own memory is not ours.
    ours = [call for call in calls[first + 1 : last] if not re.search(r"\b(brk|munmap|mmap)", call)]
    assert ours == []
    assert not any(os.path.basename(place.path) in call for call in calls[first + 1 : last])


# --- threads and processes --------------------------------------------------------------------


def test_threads_that_share_a_following_map_never_go_back(names):
    name = names()
    sharedmap.share({"version": 0}, name)
    stop = threading.Event()
    errors = []

    def read(shared):
        seen = 0
        try:
            while not stop.is_set():
                found = shared["version"]
                assert found >= seen, (found, seen)
                seen = found
                shared.refresh()
        except BaseException as error:
            errors.append(error)

    with sharedmap.sharedmap(name, follow=True) as shared:
        threads = [threading.Thread(target=read, args=(shared,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for version in range(1, 500):
            sharedmap.share({"version": version}, name, force=True)
        wait_until(lambda: shared["version"] == 499, "the last version is seen")
        stop.set()
        for thread in threads:
            thread.join()
    assert errors == []


def error_of_reading_until_closed(shared, errors):
    try:
        while True:
            shared["a"]
    except BaseException as error:
        errors.append(type(error))


def test_close_while_another_thread_follows_is_an_answer_or_value_error(names):
    name = names()
    sharedmap.share({"a": 0}, name)
    for version in range(1, 100):
        shared = sharedmap.sharedmap(name, follow=True)
        errors = []
        thread = threading.Thread(target=error_of_reading_until_closed, args=(shared, errors))
        thread.start()
        sharedmap.share({"a": version}, name, force=True)
        shared.close()
        thread.join()
        assert errors == [ValueError]
        assert shared.closed


def test_reader_that_is_stopped_in_the_middle_does_not_hold_up_a_publisher(names, workers):
    name = names()
    sharedmap.share({f"{i:05}": i for i in range(1000)}, name)
    readers = [workers() for _ in range(3)]
    for reader in readers:
        reader.run("m = sharedmap.sharedmap(name, follow=True); i = iter(m); next(i)", name=name)
        os.kill(reader.pid, signal.SIGSTOP)
    try:
        for number in range(100):
            sharedmap.share({"a": number}, name, force=True)
            sharedmap.update(name, {"b": number})
    finally:
        for reader in readers:
            os.kill(reader.pid, signal.SIGCONT)
    for reader in readers:
        assert reader.eval("len(list(i))") == 999
        assert reader.eval("m['a'], m['b'], m.generation") == (99, 99, 201)


def test_eight_following_readers_each_read_exactly_one_published_version(names):
    """The full size, 100,000 publications of 10,000 entries, is for `make faults`."""
    command = [sys.executable, TESTS / "faults/republish.py", "--publications", "800"]
    command += ["--entries", "500", "--name", names()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_name_in_another_place_is_followed_there_only(names):
    first, second = names(), names()
    sharedmap.share({"a": 1}, first)
    sharedmap.share({"a": 2}, second)
    with sharedmap.sharedmap(first, follow=True) as shared:
        sharedmap.share({"a": 3}, second, force=True)
        assert shared["a"] == 1
        assert shared.stale is False


def test_saved_file_is_followed_through_a_symbolic_link(tmp_path):
    place = Saved(tmp_path / "a.map")
    other = Saved(tmp_path / "b.map")
    place.publish(OLD)
    other.publish(NEW)
    link = tmp_path / "link"
    link.symlink_to("a.map")
    with sharedmap.sharedmap.open(link, follow=True) as shared:
        assert dict(shared) == OLD
        place.publish({"a": "newer"})
        assert dict(shared) == {"a": "newer"}
        # A link that leads elsewhere is no publication; who asks gets what it leads to.
        link.unlink()
        link.symlink_to("b.map")
        assert dict(shared) == {"a": "newer"}
        assert shared.refresh() is True
        assert dict(shared) == NEW


def test_saved_file_opened_by_a_relative_path_is_followed_from_elsewhere(tmp_path, monkeypatch):
    place = Saved(tmp_path / "a.map")
    place.publish(OLD)
    monkeypatch.chdir(tmp_path)
    with sharedmap.sharedmap.open(pathlib.Path("a.map"), follow=True) as shared:
        monkeypatch.chdir("/")
        place.publish(NEW)
        assert dict(shared) == NEW
