"""derived(): what a function makes of a version, once in each process."""

import gc
import os
import pickle
import shutil
import threading
import weakref

import pytest
from helpers import segment_path
from live import map_of

import sharedmap

THREADS = 8


class Total:
    """A function that counts its calls; the result can be referred to weakly."""

    def __init__(self):
        self.calls = []

    def __call__(self, snapshot):
        self.calls.append(snapshot.generation)
        return Result(sum(snapshot.values()))


class Result:
    def __init__(self, total):
        self.total = total


@pytest.fixture
def total():
    return Total()


@pytest.fixture
def published(name):
    sharedmap.share({"a": 1, "b": 2}, name)
    return name


def test_function_is_called_once_for_a_version(published, total):
    with sharedmap.sharedmap(published) as m:
        first = m.derived(total)
        assert first.total == 3
        assert m.derived(total) is first
    assert total.calls == [1]


def test_all_handles_of_a_process_have_the_same_result(published, total):
    with (
        sharedmap.sharedmap(published) as m,
        sharedmap.sharedmap(published, follow=True) as other,
        m.snapshot() as pinned,
    ):
        result = m.derived(total)
        assert other.derived(total) is result
        assert pinned.derived(total) is result
        assert pickle.loads(pickle.dumps(m)).derived(total) is result
    assert total.calls == [1]


def test_result_of_a_saved_map_is_shared_by_its_handles(tmp_path, total):
    path = tmp_path / "a.map"
    sharedmap.rbtree(a=1).save(path)
    with sharedmap.sharedmap.open(path) as m, sharedmap.sharedmap.open(path) as other:
        assert m.derived(total) is other.derived(total)


def test_new_version_has_the_function_called_again(published, total):
    with sharedmap.sharedmap(published, follow=True) as m, m.snapshot() as old:
        before = m.derived(total)
        sharedmap.update(published, {"c": 10})
        assert m.derived(total).total == 13
        assert m.derived(total) is m.derived(total)
        assert old.derived(total) is before
    assert total.calls == [1, 2]


def test_map_that_does_not_follow_keeps_its_result(published, total):
    with sharedmap.sharedmap(published) as m:
        before = m.derived(total)
        sharedmap.update(published, {"c": 10})
        assert m.derived(total) is before
        m.refresh()
        assert m.derived(total).total == 13


def test_compacted_version_is_the_same_version(name, other):
    """The reader has appended versions before and after the update that appended them compacts."""
    seen = []

    def note(snapshot):
        seen.append(snapshot.generation)

    sharedmap.share({f"{number:06}": number for number in range(100_000)}, name)
    other.send("run", UPDATE_UNTIL_COMPACTED, {"name": name, "path": segment_path(name)})
    with sharedmap.sharedmap(name, follow=True) as m:
        while "stop" not in m:
            m.derived(note)
        other.answer()
        m.derived(note)
    assert len(seen) > 1
    assert len(seen) == len(set(seen))


UPDATE_UNTIL_COMPACTED = """
import itertools, os
numbers = itertools.cycle(range(100_000))
for _ in range(5):
    before = os.stat(path).st_ino
    while os.stat(path).st_ino == before:
        sharedmap.update(name, {f"{next(numbers):06}": 0 for _ in range(3000)})
        sharedmap.update(name, {f"{next(numbers):06}": 1 for _ in range(3000)})
sharedmap.update(name, {"stop": True})
"""


def test_each_function_has_a_result_of_its_own(published):
    with sharedmap.sharedmap(published) as m:
        assert (m.derived(len), m.derived(list), m.derived(dict)) == (
            2,
            ["a", "b"],
            {"a": 1, "b": 2},
        )


def test_function_is_given_a_snapshot_of_the_version(published):
    def keep(snapshot):
        sharedmap.update(published, {"a": 100})
        return snapshot, snapshot["a"], snapshot.generation

    with sharedmap.sharedmap(published, follow=True) as m:
        snapshot, value, generation = m.derived(keep)
        assert (value, generation) == (1, 1)
        assert snapshot is not m
        assert dict(snapshot) == {"a": 1, "b": 2}


def test_subclass_gives_its_function_one_of_its_own(published):
    class Named(sharedmap.sharedmap):
        pass

    with Named(published) as m:
        m.purpose = "prices"
        made = m.derived(lambda snapshot: (type(snapshot), snapshot.purpose))
    assert made == (Named, "prices")


def test_exception_is_raised_and_not_remembered(published):
    calls = []

    def fail_first(snapshot):
        calls.append(snapshot)
        if len(calls) == 1:
            raise LookupError("not yet")
        return len(snapshot)

    with sharedmap.sharedmap(published) as m:
        with pytest.raises(LookupError, match="not yet"):
            m.derived(fail_first)
        assert m.derived(fail_first) == m.derived(fail_first) == 2
    assert len(calls) == 2


def test_none_is_a_result(published):
    calls = []
    with sharedmap.sharedmap(published) as m:
        assert m.derived(calls.append) is None
        assert m.derived(calls.append) is None
    assert len(calls) == 1


def in_threads(call):
    """The results of so many threads that begin at the same time."""
    barrier = threading.Barrier(THREADS)
    results = []

    def run():
        barrier.wait()
        results.append(call())

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_threads_wait_for_one_call(published):
    arrived = threading.Event()
    calls = []

    def slow(snapshot):
        calls.append(threading.get_ident())
        arrived.wait(1)
        return object()

    with sharedmap.sharedmap(published) as m:
        results = in_threads(lambda: m.derived(slow))
    assert len(calls) == 1
    assert len(results) == THREADS
    assert len(set(map(id, results))) == 1


def test_thread_after_one_that_failed_tries_again(published):
    calls = []

    def fail_first(snapshot):
        calls.append(None)
        if len(calls) == 1:
            raise LookupError
        return len(snapshot)

    def attempt():
        try:
            return m.derived(fail_first)
        except LookupError:
            return "failed"

    with sharedmap.sharedmap(published) as m:
        results = in_threads(attempt)
    assert sorted(map(str, results)) == ["2"] * (THREADS - 1) + ["failed"]
    assert len(calls) == 2


def test_function_may_use_another_one(published):
    def doubled(snapshot):
        return 2 * snapshot.derived(len)

    with sharedmap.sharedmap(published) as m:
        assert m.derived(doubled) == 4


# ---- how long it is kept -----------------------------------------------------------------------


def test_result_is_dropped_with_the_last_handle_on_its_version(published, total):
    m = sharedmap.sharedmap(published)
    pinned = m.snapshot()
    result = weakref.ref(m.derived(total))
    m.close()
    assert result() is not None
    pinned.close()
    assert result() is None


def test_result_is_dropped_when_the_map_advances(published, total):
    with sharedmap.sharedmap(published, follow=True) as m:
        result = weakref.ref(m.derived(total))
        sharedmap.update(published, {"c": 1})
        assert result() is not None
        assert m["c"] == 1
        assert result() is None


def test_result_that_holds_its_snapshot_is_collected(published):
    class Holder:
        def __init__(self, snapshot):
            self.snapshot = snapshot

    m = sharedmap.sharedmap(published)
    result = weakref.ref(m.derived(Holder))
    m.close()
    del m
    gc.collect()
    assert result() is None


# ---- whose it is -------------------------------------------------------------------------------


def test_copy_of_a_map_has_results_of_its_own(tmp_path, total):
    """A file with the id of another cannot lend it results, or take them."""
    path, copy = tmp_path / "a.map", tmp_path / "b.map"
    sharedmap.rbtree(a=1).save(path)
    shutil.copy(path, copy)
    with sharedmap.sharedmap.open(path) as m, sharedmap.sharedmap.open(copy) as other:
        assert m.id == other.id
        assert m.derived(total) is not other.derived(total)


def test_map_in_a_buffer_has_results_of_its_own(total):
    data = sharedmap.rbtree(a=1).dump()
    m, other = (sharedmap.sharedmap.frombuffer(data) for _ in range(2))
    assert m.derived(total) is m.derived(total)
    assert m.derived(total) is not other.derived(total)


def test_maps_with_different_decoders_have_results_of_their_own(name):
    sharedmap.share({"a": object()}, name, encode=lambda value: b"1")
    with (
        sharedmap.sharedmap(name, decode=int) as m,
        sharedmap.sharedmap(name, decode=float) as other,
    ):
        assert repr(m.derived(dict)) == "{'a': 1}"
        assert repr(other.derived(dict)) == "{'a': 1.0}"


# ---- processes ---------------------------------------------------------------------------------


def status_of_child(work):
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_child_has_the_results_of_its_parent(published, total):
    with sharedmap.sharedmap(published) as m:
        result = m.derived(total)
        assert status_of_child(lambda: m.derived(total) is result and total.calls == [1]) == 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_child_does_not_wait_for_a_thread_that_it_does_not_have(published):
    begun, done = threading.Event(), threading.Event()
    parent = os.getpid()

    def slow(snapshot):
        begun.set()
        if os.getpid() == parent:
            done.wait()
        return len(snapshot)

    with sharedmap.sharedmap(published) as m:
        thread = threading.Thread(target=m.derived, args=(slow,))
        thread.start()
        begun.wait()
        try:
            assert status_of_child(lambda: m.derived(slow) == 2) == 0
        finally:
            done.set()
            thread.join()


# ---- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [None, 1, "len"])
def test_what_cannot_be_called_raises_type_error(published, wrong):
    with (
        sharedmap.sharedmap(published) as m,
        pytest.raises(TypeError, match=f"a function of a snapshot, not {type(wrong).__name__}"),
    ):
        m.derived(wrong)


def test_function_without_a_hash_raises_type_error(published):
    class Unhashable(list):
        def __call__(self, snapshot):
            return 1

    with sharedmap.sharedmap(published) as m:
        m.derived(len)
        for _ in range(2):
            with pytest.raises(TypeError, match="unhashable"):
                m.derived(Unhashable())


def test_closed_map_raises_value_error():
    m = map_of({"a": 1})
    m.close()
    with pytest.raises(ValueError, match="closed"):
        m.derived(len)
