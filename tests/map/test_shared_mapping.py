"""Many handles of one version: one mapping, and no descriptor."""

import gc
import os
import threading

import pytest

import sharedmap

# Newer interpreters warn of a fork beside threads.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def file_of(name):
    return f"/dev/shm/sharedmap.{name}"


def count_mappings(path):
    gc.collect()
    with open("/proc/self/maps") as maps:
        return sum(os.fspath(path) in line for line in maps)


def count_descriptors():
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("follow", [False, True])
def test_thousand_handles_share_one_mapping_and_hold_no_descriptor(name, follow):
    sharedmap.share({"a": 1}, name)
    descriptors = count_descriptors()
    handles = [sharedmap.sharedmap(name, follow=follow) for _ in range(1000)]
    assert count_mappings(file_of(name)) == 1
    assert count_descriptors() == descriptors
    assert all(shared["a"] == 1 for shared in handles)
    sharedmap.share({"a": 2}, name, force=True)
    assert all(shared["a"] == (2 if follow else 1) for shared in handles)
    assert count_mappings(file_of(name)) == 1
    assert count_descriptors() == descriptors


def test_65536_handles_of_one_version_are_no_error(name):
    # The system lets a process have 65,530 mappings, unless told otherwise.
    sharedmap.share({"a": 1}, name)
    handles = [sharedmap.sharedmap(name) for _ in range(65_536)]
    assert count_mappings(file_of(name)) == 1
    assert handles[0]["a"] == handles[-1]["a"] == 1


@pytest.mark.parametrize("order", [1, -1])
def test_last_handle_that_is_closed_unmaps(name, order):
    sharedmap.share({"a": 1}, name)
    handles = [sharedmap.sharedmap(name) for _ in range(3)][::order]
    while handles:
        assert count_mappings(file_of(name)) == 1
        assert handles[-1]["a"] == 1
        handles.pop().close()
    assert count_mappings(file_of(name)) == 0


def test_buffer_keeps_the_mapping_that_closed_handles_shared(name):
    sharedmap.share({"a": 1, "b": 2}, name)
    first, second = sharedmap.sharedmap(name), sharedmap.sharedmap(name)
    view = first.view("a")
    first.close()
    second.close()
    assert count_mappings(file_of(name)) == 1
    del view
    assert count_mappings(file_of(name)) == 0


def test_handles_of_a_saved_file_share_one_mapping_until_it_is_replaced(tmp_path):
    path = tmp_path / "map"
    sharedmap.rbtree(a=1).save(path)
    old = [sharedmap.sharedmap.open(path) for _ in range(3)]
    assert count_mappings(path) == 1
    sharedmap.rbtree(a=2).save(path, force=True)
    new = [sharedmap.sharedmap.open(path) for _ in range(3)]
    assert count_mappings(path) == 2
    assert [shared["a"] for shared in old + new] == [1, 1, 1, 2, 2, 2]


def in_child(work):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


def test_child_and_parent_share_and_unmap_on_their_own(name):
    sharedmap.share({"a": 1}, name)
    first, second = sharedmap.sharedmap(name), sharedmap.sharedmap(name)

    def work():
        third = sharedmap.sharedmap(name)
        assert count_mappings(file_of(name)) == 1
        first.close()
        second.close()
        assert third["a"] == 1
        third.close()
        assert count_mappings(file_of(name)) == 0

    in_child(work)
    first.close()
    assert second["a"] == 1
    assert count_mappings(file_of(name)) == 1


def test_child_that_is_forked_while_threads_open_can_open(name):
    sharedmap.share({"a": 1}, name)
    stop = threading.Event()

    def work():
        while not stop.is_set():
            sharedmap.sharedmap(name).close()

    def check():
        with sharedmap.sharedmap(name) as shared:
            assert shared["a"] == 1
            assert count_mappings(file_of(name)) == 1

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(50):
            in_child(check)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert count_mappings(file_of(name)) == 0
