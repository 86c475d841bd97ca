"""Long work on a map handles signals while it goes on.

Each case calls a C function many times from C, so that the interpreter's own loop, which would run
the handler between two calls, has no turn until the last one has ended.
"""

import collections
import itertools
import pickle
import signal

import pytest

from sharedmap import rbtree, sharedmap

CALLS = 20


class Interrupted(Exception):
    pass


def raise_interrupted(_number, _frame):
    raise Interrupted


def calls_left(call, *arguments):
    """How many of the calls are not made any more when the first signal's handler raises."""
    left = itertools.repeat(arguments, CALLS)
    previous = signal.signal(signal.SIGALRM, raise_interrupted)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with pytest.raises(Interrupted):
            collections.deque(itertools.starmap(call, left), maxlen=0)
            signal.pause()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    return left.__length_hint__()


@pytest.fixture(scope="module")
def data():
    return rbtree((f"{number:07}", number) for number in range(1_000_000)).dump()


def test_verify_handles_signals(data):
    assert calls_left(sharedmap.frombuffer(data).verify) > 0


def test_unpickling_a_tree_handles_signals(data):
    pickled = pickle.dumps(rbtree(sharedmap.frombuffer(data)))
    assert calls_left(pickle.loads, pickled) > 0
