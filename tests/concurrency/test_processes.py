"""Every way to start a process, and how little parents and children do to each other's maps."""

import contextlib
import multiprocessing
import os
import threading

import pytest
from helpers import HANG, exit_code, forked, segment_path
from process_targets import look_up, publish, read_all

import sharedmap

ENTRIES = {str(number): f"value {number}" for number in range(100)} | {"bytes": b"\0\xff"}

# Newer interpreters warn of a fork beside threads; here that is the very thing to test.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

each_method = pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])


@pytest.fixture
def shared_name(name):
    tree = sharedmap.rbtree()
    for key, value in ENTRIES.items():
        tree[key] = value
    tree.share(name)
    return name


def in_child(work):
    """Runs work() in a forked child; what it returns must be true."""
    return exit_code(forked(work))


@each_method
def test_child_reads_what_its_parent_shared_and_the_map_outlives_it(shared_name, method):
    # multiprocessing's own shared memory is unlinked when a child that only looked at it ends.
    context = multiprocessing.get_context(method)
    receiving, sending = context.Pipe(duplex=False)
    child = context.Process(target=read_all, args=(shared_name, sending))
    child.start()
    sending.close()
    assert receiving.poll(HANG)
    assert receiving.recv() == ENTRIES
    child.join(HANG)
    assert child.exitcode == 0
    assert os.path.exists(segment_path(shared_name))
    with sharedmap.sharedmap(shared_name) as shared:
        assert len(shared) == len(ENTRIES)


@each_method
def test_pool_reads_what_its_parent_shared(shared_name, method):
    keys = list(ENTRIES)
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.map(look_up, [(shared_name, key) for key in keys])
    assert found == [ENTRIES[key] for key in keys]


@each_method
def test_parent_reads_what_its_child_shared_and_the_map_outlives_the_child(name, method):
    child = multiprocessing.get_context(method).Process(target=publish, args=(name, method))
    child.start()
    child.join(HANG)
    assert child.exitcode == 0
    with sharedmap.sharedmap(name) as shared:
        assert shared["content"] == method


@pytest.mark.parametrize("end", ["close", "kill"])
def test_map_outlives_its_publisher(name, workers, end):
    publisher = workers()
    publisher.run("t = sharedmap.rbtree(); t['a'] = '1'; t.share(name)", name=name)
    getattr(publisher, end)()
    assert not publisher.is_alive()
    with sharedmap.sharedmap(name) as shared:
        assert shared["a"] == "1"


def test_publisher_writes_nothing_to_its_standard_error_at_its_end(name, capfd):
    # The resource tracker of multiprocessing would complain here of a leak.
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=publish, args=(name, "x"))
    child.start()
    child.join(HANG)
    assert capfd.readouterr().err == ""


def test_open_map_works_in_a_forked_child(shared_name):
    with sharedmap.sharedmap(shared_name) as shared:
        assert in_child(lambda: {key: shared[key] for key in shared} == ENTRIES) == 0


def test_close_in_a_forked_child_leaves_the_parents_map_open(shared_name):
    with sharedmap.sharedmap(shared_name) as shared:
        assert in_child(lambda: shared.close() is None) == 0
        assert shared["1"] == "value 1"


def test_close_in_the_parent_leaves_the_forked_childs_map_open(shared_name):
    shared = sharedmap.sharedmap(shared_name)
    reading, writing = os.pipe()

    def child_waits_for_the_close():
        assert os.read(reading, 1) == b"."
        return shared["1"] == "value 1"

    child = forked(child_waits_for_the_close)
    shared.close()
    os.write(writing, b".")
    assert exit_code(child) == 0
    os.close(reading)
    os.close(writing)


def test_iterator_works_on_in_a_forked_child(shared_name):
    with sharedmap.sharedmap(shared_name) as shared:
        keys = iter(shared)
        first = next(keys)
        assert in_child(lambda: [first, *keys] == sorted(ENTRIES)) == 0
        assert [first, *keys] == sorted(ENTRIES)


def test_tree_of_a_forked_child_is_its_own(name):
    tree = sharedmap.rbtree()
    tree["a"] = "parent"

    def change_and_share():
        tree["a"] = "child"
        return tree.share(name)

    assert in_child(change_and_share) == 0
    assert tree["a"] == "parent"
    with sharedmap.sharedmap(name) as shared:
        assert shared["a"] == "child"


@contextlib.contextmanager
def published_without_pause(tree, name, threads=1):
    stop = threading.Event()

    def publish():
        while not stop.is_set():
            tree.share(name, force=True)

    publishers = [threading.Thread(target=publish) for _ in range(threads)]
    for publisher in publishers:
        publisher.start()
    try:
        yield
    finally:
        stop.set()
        for publisher in publishers:
            publisher.join()


def test_forked_child_uses_the_tree_that_a_thread_of_its_parent_is_publishing(name):
    """The thread is not there in the child, so nobody would ever end its publication."""
    tree = sharedmap.rbtree()
    for number in range(20_000):
        tree[str(number)] = "x" * 100

    def use_tree():
        # What this is about is a wait for ever, which forked() ends.
        tree["child"] = "x"
        tree.dump()
        return len(tree) == 20_001

    with published_without_pause(tree, name):
        assert all(in_child(use_tree) == 0 for _ in range(5))


def test_forked_child_uses_the_tree_that_threads_of_its_parent_publish_in_turn(name):
    """One of them has just begun to wait for the other, or has just been let in."""
    tree = sharedmap.rbtree({str(number): "x" for number in range(10)})

    def use_tree():
        tree["child"] = "x"
        tree.dump()
        return len(tree) == 11

    with published_without_pause(tree, name, threads=2):
        assert all(in_child(use_tree) == 0 for _ in range(150))
