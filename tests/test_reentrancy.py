"""Python code that runs in the middle of an operation, and does the worst that it can there.

Encoders, decoders and error handlers of codecs are such code, and so are finalizers: the garbage
collector calls them when an object that it tracks is created, up to Python 3.11 at once.
"""

import gc

from sharedmap import rbtree


class Other:
    """Of no type that is stored without an encoder."""


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
