"""Python code that runs in the middle of an operation, and does the worst that it can there.

Encoders, decoders and error handlers of codecs are such code, and so are finalizers: the garbage
collector calls them when an object that it tracks is created, up to Python 3.11 at once.
"""

import gc

from sharedmap import rbtree, sharedmap


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
