"""What comes in between: other threads, forks and signals in the middle of something."""

import collections
import functools
import gc
import itertools
import operator
import os
import signal
import threading
import time

import pytest
from helpers import HANG, exit_code, forked, segment_path
from live import mappings_of, mark_superseded, wait_until_asleep

from sharedmap import rbtree, share, sharedmap

pytestmark = [
    pytest.mark.usefixtures("often_switched"),
    # Newer interpreters warn of a fork beside threads; here that is the very thing to test.
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


class Background:
    """Threads that repeat something until the end of the block, which raises what they raised."""

    def __init__(self, *works):
        self.errors = []
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._repeat, args=(work,)) for work in works]

    def _repeat(self, work):
        try:
            while not self._is_over.is_set():
                work()
        except BaseException as error:
            self.errors.append(error)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *raised):
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        if self.errors and raised[0] is None:
            raise self.errors[0]


def often(work, *arguments):
    """Calls it with next to nothing in between, so that others meet it in the middle."""

    def call_often():
        each = [itertools.repeat(argument, 10_000) for argument in arguments]
        collections.deque(map(work, *each), maxlen=0)

    return call_often


# --- forks --------------------------------------------------------------------------------------


def test_forked_child_reads_a_map_that_its_parents_threads_read():
    shared = sharedmap.frombuffer(rbtree(a=1).dump())
    with Background(*[often(len, shared)] * 12):
        for _ in range(40):
            assert exit_code(forked(lambda: shared["a"] == 1)) == 0


def test_forked_child_goes_on_with_an_iterator_that_its_parents_threads_use():
    keys = iter(sharedmap.frombuffer(rbtree(a=1).dump()))
    with Background(*[often(operator.length_hint, keys)] * 12):
        for _ in range(40):
            assert exit_code(forked(lambda: next(keys) == "a")) == 0


def test_forked_child_has_no_mapping_of_what_a_thread_was_opening(name):
    """It would be nobody's, and keep the memory of the map for as long as the child lives."""
    path = os.fsdecode(segment_path(name))
    share({"a": "x" * 3_000_000}, name)
    opened = []

    def open_some():
        opened.extend(sharedmap(name) for _ in range(200))

    def owners():
        return sum(type(thing).__name__ == "_Snapshot" for thing in gc.get_objects())

    for _ in range(20):
        thread = threading.Thread(target=open_some)
        thread.start()
        try:
            assert exit_code(forked(lambda: mappings_of(path) <= owners())) == 0
        finally:
            thread.join()
            opened.clear()


def test_forked_child_has_what_was_open(name):
    share({"a": 1}, name)
    with sharedmap(name) as shared:
        assert exit_code(forked(lambda: shared["a"] == 1)) == 0


# Few trees, and locked for most of the time: with many, each put waits for a lock that is handed
# over, and on a busy machine a child ran out of its time without anything being wrong.
def trees_to_lock():
    return [rbtree((f"{number}", number) for number in range(200)) for _ in range(20)]


def lock_each(trees):
    for tree in trees:
        tree["parent"] = len(tree.dump())


def put_by_threads(trees, meanwhile):
    """Whether what eight threads put at the same time is all there."""
    start = threading.Barrier(9)

    def put(number):
        start.wait()
        for tree in trees:
            tree[f"thread {number}"] = number

    threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    start.wait()
    meanwhile()
    for thread in threads:
        thread.join()
    return all(tree.get(f"thread {number}") == number for tree in trees for number in range(8))


def test_threads_of_a_forked_child_use_the_trees_that_threads_of_its_parent_use():
    """Without a GIL, some trees are locked by threads that the child does not have."""
    trees = trees_to_lock()
    with Background(*[functools.partial(lock_each, trees)] * 4):
        for _ in range(20):
            assert exit_code(forked(lambda: put_by_threads(trees, lambda: None))) == 0


def test_threads_of_a_grandchild_use_the_trees_that_threads_of_the_child_use_first():
    """Without a GIL, some trees are just being unlocked, by threads that are not there either."""
    trees = trees_to_lock()

    def fork_again():
        for _ in range(3):
            assert exit_code(forked(lambda: put_by_threads(trees, lambda: None))) == 0

    with Background(*[functools.partial(lock_each, trees)] * 4):
        for _ in range(10):
            assert exit_code(forked(lambda: put_by_threads(trees, fork_again))) == 0


# --- threads ------------------------------------------------------------------------------------


def test_several_threads_pop_each_entry_once():
    numbers = range(2000)
    tree = rbtree(encode=lambda job: job[0], decode=lambda data: int(data))
    tree.update((f"{number:05}", [b"%d" % number]) for number in numbers)
    popped = []

    def pop_all():
        try:
            while True:
                popped.append(tree.popitem(0)[1])
        except KeyError:
            pass

    threads = [threading.Thread(target=pop_all) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(popped) == list(numbers)


def test_hooks_are_replaced_while_threads_call_them(workers):
    """In another process: it would crash."""
    workers().run(
        """if True:
            import collections, itertools, threading

            class Job:
                pass

            def set():
                for _ in range(1000):
                    jobs = itertools.repeat(job, 1000)
                    collections.deque(map(tree.__setitem__, itertools.repeat("a"), jobs), maxlen=0)

            def use():
                for _ in range(6000):
                    tree.setdefault("b", job)
                    tree.update(c=job)
                    assert tree.copy()["b"] == tree.pop("c") == b"x"

            def replace():
                while any(thread.is_alive() for thread in threads[1:]) and not errors:
                    tree.__init__(encode=found.__getitem__)
                    tree.__init__(decode=lambda data: data)
                    found.keys(), found.items(), [found]  # what takes the place of the old hook

            def run(work):
                try:
                    work()
                except Exception as error:
                    errors.append(error)

            job = Job()
            found = {job: b"x"}
            tree = sharedmap.rbtree(encode=found.__getitem__, decode=lambda data: data)
            errors = []
            works = (replace, set, set, use)
            threads = [threading.Thread(target=run, args=(work,)) for work in works]
            for thread in reversed(threads):
                thread.start()
            for thread in threads:
                thread.join()
            assert errors == []
        """
    )


@pytest.mark.parametrize(
    ("look", "keys"),
    [
        (lambda tree: often(operator.contains, tree.items(), ("k25", 25)), range(50)),
        (lambda tree: often(operator.eq, rbtree(k25=25), tree), [25]),
        (lambda tree: lambda: [repr(tree) for _ in range(30)], range(50)),
    ],
    ids=["in items", "compare", "repr"],
)
def test_key_that_comes_and_goes_is_no_key_error(look, keys):
    tree = rbtree((f"k{number}", number) for number in keys)

    def come_and_go():
        for _ in range(10):
            tree.pop("k25")
            tree["k25"] = 25

    look_often = look(tree)
    with Background(come_and_go):
        for _ in range(150):
            look_often()


# --- waiting ------------------------------------------------------------------------------------

both_ways = pytest.mark.parametrize("follow", [False, True])


@both_ways
def test_signal_that_another_thread_gets_is_handled_during_the_wait(name, follow):
    """Its handler publishes what is waited for."""

    def handler(number, frame):
        share({"a": 1}, name, force=True)

    def signal_myself():
        wait_until_asleep(os.getpid())
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handler)
    share({}, name)
    thread = threading.Thread(target=signal_myself)
    try:
        with sharedmap(name, follow=follow) as shared:
            thread.start()
            assert shared.wait(HANG) is True
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)


@both_ways
def test_close_by_another_thread_ends_the_wait(name, follow):
    share({}, name)
    shared = sharedmap(name, follow=follow)

    def close():
        wait_until_asleep(os.getpid())
        shared.close()

    thread = threading.Thread(target=close)
    thread.start()
    with pytest.raises(ValueError, match="closed"):
        shared.wait(HANG)
    thread.join()


# --- following ----------------------------------------------------------------------------------


def test_hint_after_a_lost_name_came_back_is_a_new_one(name, names):
    """The name is away for longer than any publication takes, and then leads to the same file."""
    path = os.fsdecode(segment_path(name))
    beside = os.fsdecode(segment_path(names()))
    away = os.fsdecode(segment_path(names()))
    share({"a": "old"}, name)
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(rbtree(a="new").dump())
    with sharedmap(name, follow=True) as shared:
        os.rename(path, away)
        assert shared.refresh() is False
        deadline = time.monotonic() + 1.1
        while time.monotonic() < deadline:
            assert shared["a"] == "old"
        os.rename(away, path)
        assert shared.refresh() is False
        # Now as a publisher does it, with an operation between its mark and its rename.
        mark_superseded(path)
        assert shared["a"] == "old"
        os.rename(beside, path)
        assert shared["a"] == "new"
