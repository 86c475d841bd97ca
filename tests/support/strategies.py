"""What the property tests draw keys and values from, and how they tell two values apart."""

import pickle
import struct

from hypothesis import strategies as st

# Surrogates, NUL and the edges of UTF-8 are rare among all characters: a place of their own.
CHARACTERS = st.one_of(
    st.characters(),
    st.characters(categories=["Cs"]),
    st.sampled_from("\0\x01ab\x7f\x80\xff\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff"),
)
TEXT = st.text(CHARACTERS, max_size=20)

# Few different ones, so that a key is often there already; the others are anything, and now and
# then longer than the room that short ones have.
KEYS = st.one_of(
    st.text("ab\0é\ud800\U0001f600", max_size=2),
    TEXT,
    st.builds(str.__mul__, st.text(CHARACTERS, min_size=1, max_size=2), st.integers(60, 300)),
)

# All bit patterns are floats: infinities, numbers without a leading one, NaNs with a message.
FLOATS = st.one_of(
    st.floats(),
    st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0]),
)
INTEGERS = st.one_of(
    st.integers(),
    st.builds(
        lambda power, near, sign: sign * (2**power + near),
        st.integers(0, 200),
        st.integers(-1, 1),
        st.sampled_from([-1, 1]),
    ),
)
# What can be an element of a set.
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    INTEGERS,
    FLOATS,
    TEXT,
    st.binary(max_size=100),
    st.integers(50, 5000).map(bytes),
)


def in_lists(value, depth):
    """The value in so many lists, tuples and dicts in each other."""
    for level in range(depth):
        value = [[value], (level, value), {"ab"[level % 2]: value}][level % 3]
    return value


# Empty ones, few and many elements, deep ones.
CONTAINERS = st.one_of(
    st.sampled_from([[], (), {}]),
    st.recursive(
        VALUES,
        lambda inner: st.one_of(
            st.lists(inner, max_size=20),
            st.lists(inner, max_size=4).map(tuple),
            st.dictionaries(KEYS, inner, max_size=20),
        ),
        max_leaves=30,
    ).filter(lambda value: type(value) in (list, tuple, dict)),
    st.builds(in_lists, VALUES, st.integers(1, 200)),
)
ALL_VALUES = st.one_of(VALUES, VALUES, CONTAINERS)


def exact(value):
    """Equal for two values only if nothing tells them apart: not 1 and True, not 0.0 and -0.0."""
    if type(value) in (list, tuple):
        return type(value), [exact(item) for item in value]
    if type(value) is dict:
        return dict, [(key, exact(item)) for key, item in value.items()]
    return type(value), struct.pack("<d", value) if type(value) is float else value


def exact_items(items):
    return [(key, exact(value)) for key, value in items]


def is_nan(value):
    """NaN is not equal to itself, and a map makes a new object each time it is asked."""
    return value != value


def has_nan_inside(value):
    """Such a container is not equal to one with the same content: each NaN is an object anew."""
    return type(value) in (list, tuple, dict) and pickle.loads(pickle.dumps(value)) != value


def by_key(items):
    """Sorted as a map is; no value is ever compared."""
    return sorted(items, key=lambda item: item[0])
