"""Threads that have versions in common: one iterator, one handle that follows, one name."""

import collections
import functools
import itertools
import threading

import pytest
from live import run_together
from versions import ENTRIES, History, key_of, many_deltas, two_deltas

import sharedmap

pytestmark = pytest.mark.usefixtures("often_switched")


@pytest.fixture
def history(name):
    return History(name)


@pytest.mark.parametrize("direction", [iter, reversed])
@pytest.mark.parametrize("shape", [two_deltas, many_deltas])
def test_threads_that_share_an_iterator_get_each_item_once(history, shape, direction):
    shape(history)
    expected = collections.Counter(map(repr, history.dict.items()))

    def take(iterator, own):
        for item in iterator:
            own.append(item)

    with history.open() as shared:
        for _ in range(5):
            iterator = direction(shared.items())
            found = [[] for _ in range(4)]
            run_together(*(functools.partial(take, iterator, own) for own in found))
            assert collections.Counter(map(repr, itertools.chain(*found))) == expected
            for own in found:
                keys = [key for key, _ in own]
                assert keys == sorted(keys, reverse=direction is reversed)


def test_threads_that_share_a_follower_never_go_back(history):
    history.update({"n": 0, "same": 0})
    is_over = threading.Event()
    with history.open(follow=True) as shared:

        def read():
            last = 0
            while not is_over.is_set():
                found = shared["n"]
                assert found >= last
                n, same = shared.get_many(["n", "same"])
                assert n == same >= found
                last = found

        def publish():
            try:
                for number in range(1, 1001):
                    sharedmap.update(history.name, {"n": number, "same": number})
            finally:
                is_over.set()

        run_together(read, read, read, publish)
        assert (shared["n"], shared.generation) == (1000, 1002)
        shared.verify()


def test_threads_that_pin_refresh_and_close_have_versions_that_belong_together(history):
    history.update({"n": 0, "same": 0})
    is_over = threading.Event()

    def read():
        with history.open() as shared:
            while not is_over.is_set():
                shared.refresh()
                pinned = shared.snapshot()
                n, same, length = pinned["n"], pinned["same"], len(pinned)
                assert n == same
                assert length == ENTRIES + 2 + n
                assert pinned[f"new {n}"] == n if n else True
                pinned.close()

    def publish():
        try:
            for n in range(1, 401):
                sharedmap.update(history.name, {"n": n, "same": n, f"new {n}": n})
        finally:
            is_over.set()

    run_together(read, read, publish)


def test_threads_that_update_one_map_lose_nothing(history):
    def publish(own):
        for number in range(150):
            sharedmap.update(history.name, {f"{own} {number}": number, key_of(own * 200): number})

    run_together(*(lambda own=own: publish(own) for own in range(4)))
    with history.open() as shared:
        shared.verify()
        assert shared.generation == 1 + 4 * 150
        assert len(shared) == ENTRIES + 4 * 150
        assert all(shared[f"{own} {n}"] == n for own in range(4) for n in range(150))
        assert [shared[key_of(own * 200)] for own in range(4)] == [149] * 4
