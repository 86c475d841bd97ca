"""The lock of publishers: nobody waits for ever, and nobody who is gone holds it."""

import fcntl
import itertools
import os
import signal
import struct
import threading

import pytest
from helpers import (
    HANG,
    exit_code,
    files_of_shm,
    forked,
    read_header,
    segment_path,
)
from live import has_answered, mappings_of, wait_until, wait_until_waiting_for_a_lock

import sharedmap

# Newer interpreters warn of a fork beside threads; here that is the very thing to test.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@pytest.fixture
def shared_name(name):
    sharedmap.share({"a": 1}, name)
    return name


def is_locked(path):
    with open(path, "r+b") as file:
        whole_file = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        try:
            fcntl.fcntl(file, fcntl.F_OFD_SETLK, whole_file)
        except BlockingIOError:
            return True
        return False


def test_lock_that_is_never_given_back_is_a_timeout_error(shared_name, holder, workers):
    """All three at once, because it takes five seconds, which an update has to ask for."""
    publishers = [workers() for _ in range(3)]
    before = read_header(shared_name)
    sources = [
        "sharedmap.share({'a': 2}, name, force=True)",
        "sharedmap.update(name, {'a': 2}, timeout=5)",
        "sharedmap.remove(name)",
    ]
    for worker, source in zip(publishers, sources, strict=True):
        worker.send("eval", source, {"name": shared_name})
    for worker in publishers:
        with pytest.raises(TimeoutError) as caught:
            worker.answer()
        assert caught.value.filename == shared_name
    assert read_header(shared_name) == before
    with sharedmap.sharedmap(shared_name) as shared:
        assert (dict(shared), shared.generation, shared.stale) == ({"a": 1}, 1, False)
    # Nothing is left of the three, and the name works as before.
    holder.run("file.close()")
    assert sharedmap.update(shared_name, {"a": 3}) == 2


@pytest.mark.parametrize(
    "source",
    [
        "sharedmap.share({'a': 2}, name, force=True)",
        "sharedmap.share({'a': 2}, name, expect=1)",
        "sharedmap.update(name, {'a': 2})",
        "sharedmap.remove(name)",
    ],
)
def test_publisher_goes_on_when_the_lock_is_given_back(shared_name, holder, other, source):
    other.send("eval", source, {"name": shared_name})
    wait_until_waiting_for_a_lock(other.pid)
    assert not has_answered(other, 0.02)
    holder.run("file.close()")
    assert other.answer()


def test_publisher_goes_on_when_the_holder_of_the_lock_is_killed(shared_name, holder, other):
    other.send("eval", "sharedmap.update(name, {'a': 2})", {"name": shared_name})
    wait_until_waiting_for_a_lock(other.pid)
    holder.kill()
    assert other.answer() == 2


def test_readers_do_not_mind_the_lock(shared_name, holder):
    with sharedmap.sharedmap(shared_name, follow=True) as shared:
        assert shared["a"] == 1
        assert shared.refresh() is False
        assert shared.wait(0) is False


def test_publication_under_a_free_name_needs_no_lock(names, holder):
    assert sharedmap.share({}, names())


def test_readers_that_have_the_map_open_hold_up_no_publisher(shared_name, workers):
    readers = [workers() for _ in range(3)]
    for reader in readers:
        reader.run("m = sharedmap.sharedmap(name, follow=True); v = m.view('a')", name=shared_name)
        reader.run("i = iter(m); next(i)")
    for number in range(50):
        sharedmap.share({"a": number}, shared_name, force=True)
        sharedmap.update(shared_name, {"b": number})
    assert [reader.eval("m['b']") for reader in readers] == [49] * 3
    assert sharedmap.remove(shared_name) is True


def test_lock_is_given_back_after_each_operation(shared_name):
    path = segment_path(shared_name)
    sharedmap.share({"a": 2}, shared_name, force=True)
    assert not is_locked(path)
    sharedmap.update(shared_name, {"a": 3})
    assert not is_locked(path)
    with pytest.raises(sharedmap.StaleError):
        sharedmap.share({}, shared_name, expect=1)
    assert not is_locked(path)
    with pytest.raises(ValueError, match="'a'"):
        sharedmap.update(shared_name, {"a": 3}, ["a"])
    assert not is_locked(path)


def test_threads_that_publish_one_name_take_turns(shared_name):
    def update(key):
        for number in range(1, 51):
            sharedmap.update(shared_name, {key: number})

    threads = [threading.Thread(target=update, args=(f"key {n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with sharedmap.sharedmap(shared_name) as shared:
        assert dict(shared) == {"a": 1} | {f"key {n}": 50 for n in range(8)}
        assert shared.generation == 401


# --- forks ------------------------------------------------------------------------------------


class Publishing:
    """A thread of this process that publishes without a pause."""

    def __init__(self, publish):
        self.publish = publish
        self.count = 0
        self.is_over = False
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        while not self.is_over:
            self.publish()
            self.count += 1

    def end(self):
        self.is_over = True
        self.thread.join()


@pytest.fixture(params=["share", "update"])
def publishing(request, shared_name):
    content = {f"key {number:05}": "x" * 50 for number in range(5000)}
    numbers = itertools.count()
    sharedmap.share(content, shared_name, force=True)
    publish = {
        "share": lambda: sharedmap.share(content, shared_name, force=True),
        "update": lambda: sharedmap.update(shared_name, {"key 00001": next(numbers)}),
    }
    publishing = Publishing(publish[request.param])
    yield publishing
    publishing.end()


def test_forked_child_publishes_while_a_thread_of_its_parent_does(shared_name, publishing):
    """A lock held at the moment of a fork must not stay locked in the child, nor for others."""
    for number in range(50):
        work = [
            lambda: sharedmap.update(shared_name, {"child": os.getpid()}),
            lambda: sharedmap.share({"a": 1}, shared_name, force=True),
        ][number % 2]
        assert exit_code(forked(work)) == 0
    wait_until(lambda: publishing.count, "the thread publishes")
    publishing.end()
    with sharedmap.sharedmap(shared_name) as shared:
        assert shared.generation == 2 + publishing.count + 50


def test_forked_child_has_neither_a_draft_nor_a_locked_map_open(shared_name, publishing):
    """A draft would keep its memory, and a locked map its lock, as long as the child lives."""
    for _ in range(50):
        assert exit_code(forked(lambda: files_of_shm("self") == [])) == 0


def test_forked_child_has_nothing_mapped_that_its_parent_was_publishing(shared_name, publishing):
    """A mapping keeps the memory of what was replaced long ago, and it keeps a lock, too."""
    path = os.fsdecode(segment_path(shared_name))
    for _ in range(50):
        assert exit_code(forked(lambda: mappings_of(path) == 0)) == 0


def test_parent_sees_that_its_child_has_nothing_open(shared_name, publishing):
    """The same from outside, while the child sits there."""
    children = []
    begun, begin = os.pipe()
    ended, end = os.pipe()

    def sit():
        os.close(end)
        os.write(begin, b".")  # fork() has returned here, and not only over there
        return os.read(ended, 1) == b""

    try:
        for _ in range(20):
            children.append(forked(sit))
            assert os.read(begun, 1) == b"."
            assert files_of_shm(children[-1]) == []
    finally:
        os.close(end)
        codes = [exit_code(child) for child in children]
        for descriptor in (begun, begin, ended):
            os.close(descriptor)
    assert codes == [0] * 20


FORKING = """
import itertools, signal, threading

def update_without_pause(name):
    def update():
        for number in itertools.count():
            sharedmap.update(name, {"a": number})
    threading.Thread(target=update, daemon=True).start()

def fork_a_child():
    begun, begin = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(begin, b".")
        signal.pause()
    os.read(begun, 1)
    return child
"""


def test_killed_publisher_leaves_no_lock_to_its_children(name, workers):
    """A child is forked while a thread holds the lock, the parent is killed, the child lives on.

    The map is large, so that almost all the time is spent between locking and giving back.
    """
    sharedmap.share({f"key {n:06}": n for n in range(100_000)}, name)
    for _ in range(3):
        publisher = workers()
        publisher.run(FORKING)
        publisher.run("update_without_pause(name)", name=name)
        with sharedmap.sharedmap(name) as shared:
            assert shared.wait(HANG)  # until it is at it
        child = publisher.eval("fork_a_child()")
        publisher.kill()
        try:
            assert not is_locked(segment_path(name))
        finally:
            os.kill(child, signal.SIGKILL)


def test_fork_does_not_wait_for_a_publisher_that_waits_for_a_lock(shared_name, holder):
    """The thread is asleep between two attempts most of the time, without anything locked.

    So few forks that they are over long before the thread waits no more.
    """
    results = []
    thread = threading.Thread(
        target=lambda: results.append(sharedmap.update(shared_name, {"b": 1}))
    )
    thread.start()
    wait_until_waiting_for_a_lock(os.getpid(), thread.native_id)
    for _ in range(5):
        assert exit_code(forked(lambda: files_of_shm("self") == [])) == 0
    assert results == []
    holder.run("file.close()")
    thread.join()
    assert results == [2]
