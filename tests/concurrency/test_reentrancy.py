"""Python code that runs in the middle of an operation, and does the worst that it can there.

Encoders, decoders and error handlers of codecs are such code, and so are finalizers: the garbage
collector calls them when an object that it tracks is created, up to Python 3.11 at once.
"""

import codecs
import gc

import pytest

from sharedmap import SnapshotError, rbtree, sharedmap


class Other:
    """Of no type that is stored without an encoder."""


def lists_with(element):
    """What the collector knows of lists that hold this very object."""
    return [
        found
        for found in gc.get_objects()
        if type(found) is list and any(each is element for each in found)
    ]


# ---- encoders ----------------------------------------------------------------------------------


def test_encoder_may_clear_the_pair_that_it_is_called_for():
    key = "key" * 20 + str(id(gc))
    pair = [key + "?", Other()]
    kept = []

    def encode(_):
        pair.clear()
        # Takes the place of the key, should that be gone.
        kept.extend("Q" * len(key) + str(i % 10) for i in range(50))
        return b"value"

    tree = rbtree([pair], encode=encode, decode=bytes)
    assert list(tree.items()) == [(key + "?", b"value")]


def test_pairs_may_be_lists_tuples_and_iterators():
    assert rbtree([["a", 1], ("b", 2), iter(["c", 3])]) == {"a": 1, "b": 2, "c": 3}


def test_encoder_does_not_find_what_the_entries_borrow_from():
    large = b"x" * 10_000
    found = []

    def encode(_):
        found.extend(lists_with(large))
        return b"value"

    rbtree((pair for pair in [("a", large), ("b", Other())]), encode=encode)
    assert found == []


# ---- decoders ----------------------------------------------------------------------------------


def test_decoder_does_not_find_the_answers_of_get_many():
    fallback = Other()
    found = []

    def decode(data):
        found.extend(lists_with(fallback))
        return data

    tree = rbtree({f"k{number}": Other() for number in range(3)}, encode=lambda _: b"value")
    with sharedmap.frombuffer(tree.dump(), decode=decode) as shared:
        answers = shared.get_many(["none", "k0", "k1", "k2"], fallback)
    assert answers == [fallback, b"value", b"value", b"value"]
    assert found == []
    # Now that it is finished, it is a list like any other.
    assert gc.is_tracked(answers)


# ---- the garbage collector, and codecs ---------------------------------------------------------

# Runs `operation` with an unreachable object whose finalizer runs `trouble`, as soon as the
# collector is allowed to.
WITH_FINALIZER = """
import gc
from sharedmap import rbtree, sharedmap

class Trouble:
    def __init__(self):
        self.me = self

    def __del__(self):
        trouble()

def run(operation, argument):
    gc.disable()
    Trouble()
    gc.set_threshold(1)
    gc.enable()
    result = operation(argument)  # without a frame, which is an object too
    gc.disable()
    return result
"""

CLOSES = r"""
m = sharedmap.frombuffer(rbtree({f"k{i}": f"v\udc80{i}" for i in range(50)}).dump())

def trouble():
    global kept
    m.close()
    kept = [bytearray(b"\xff" * size) for size in range(200, 1200, 16) for _ in range(200)]
"""

REPLACES = r"""
t = rbtree({f"k{i:04}\udc80": f"value-{i:04}" + "v" * 30 for i in range(2000)})
iterator = iter(t.items())
next(iterator)

def trouble():
    t.clear()
    t.update((f"n{i:04}", f"WRONG-{i:04}" + "w" * 30) for i in range(3000))
"""


def test_finalizer_does_not_close_a_map_while_a_lone_surrogate_is_read(other):
    other.run(WITH_FINALIZER + CLOSES)
    assert other.eval("run(m.get, 'k3')") == "v\udc803"


def test_finalizer_does_not_change_a_tree_while_a_lone_surrogate_is_read(other):
    other.run(WITH_FINALIZER + REPLACES)
    assert other.eval("run(next, iterator)") == ("k0001\udc80", "value-0001" + "v" * 30)


@pytest.fixture
def calls():
    """The names of the error handlers that were called."""
    calls = []
    originals = {name: codecs.lookup_error(name) for name in ("strict", "surrogatepass")}
    for name, original in originals.items():

        def handler(error, name=name, original=original):
            calls.append(name)
            return original(error)

        codecs.register_error(name, handler)
    yield calls
    for name, original in originals.items():
        codecs.register_error(name, original)


def test_no_error_handler_of_a_codec_is_called(calls):
    tree = rbtree({"\udc80": "\ud800", "\u4e16\udfff": "\U0001f600\udfff"})
    with sharedmap.frombuffer(tree.dump()) as shared:
        assert dict(shared) == dict(tree) == dict(tree.items())
        assert shared.get_many(tree.keys()) == list(tree.values())
    damaged = rbtree({"a": "\u00e4" * 9}).dump().replace(b"\xc3\xa4", b"\xc3\xc3")
    with sharedmap.frombuffer(damaged) as shared, pytest.raises(SnapshotError, match="UTF-8"):
        shared["a"]
    assert calls == []
