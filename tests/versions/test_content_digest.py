"""m._content_digest(): a number that tells the content of a version, by which agents compare maps.

It is stored on servers and compared on other machines, so its values must never change.
"""

import inspect
import itertools
import struct

import pytest
from helpers import segment_path
from hypothesis import given
from hypothesis import strategies as st
from independent_reader import hash_bytes
from strategies import ALL_VALUES, KEYS, exact
from versions import ENTRIES, SHAPES, History, key_of, make

import sharedmap

WHOLE = 2**128
KEY_SEED, VALUE_SEED = 0xBE5466CF34E90C6C, 0xC0AC29B7C97C50DD
FEW = {"a": 1, "b": "text", "c": b"\0bytes", "d": 1.5, "e": None, "é": [True, (2**70, {"k": "v"})]}


def map_of(entries, **options):
    return sharedmap.sharedmap.frombuffer(sharedmap.rbtree(entries).dump(**options))


def digest(entries, keys=None, **options):
    return map_of(entries, **options)._content_digest(keys)


def test_digest_is_the_same_in_every_process_and_release():
    assert digest({}) == 0
    assert digest(FEW) == 0xE311CADAFD5296931EED48275168092C


def independent_digest(entries):
    """From the comment at the top of version_digest.c, with the types of FORMAT.md, section 4."""
    total = 0
    for key, value in entries.items():
        kind = {type(None): 0, str: 4, bytes: 5}[type(value)]
        key, value = key.encode(), value.encode() if type(value) is str else value or b""
        low = hash_bytes(value, hash_bytes(key, KEY_SEED) ^ kind)
        total += hash_bytes(key, hash_bytes(value, VALUE_SEED ^ kind)) << 64 | low
    return total % WHOLE


def test_digest_is_the_documented_sum():
    entries = {"k" * 20: "v" * 100, "": "", "a": b"", "b": None, "é": "x" * 10, "c": b"y" * 40}
    for key in entries:
        assert digest({key: entries[key]}) == independent_digest({key: entries[key]})
    assert digest(entries) == independent_digest(entries)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("index", ["hash", "tree"])
def test_digest_of_versions_is_that_of_the_same_entries_published_anew(name, shape, index):
    history = make(shape, name, index=index)
    with history.open() as shared:
        found = shared._content_digest()
        assert 0 < found < WHOLE
        for options in ({}, {"index": "tree"}, {"align": 64}):
            assert digest(history.dict, **options) == found
        assert digest(reversed(history.dict.items())) == found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("index", ["hash", "tree"])
def test_digest_follows_from_the_differences(name, shape, index):
    history = History(name, index=index)
    with history.open() as old:
        SHAPES[shape][0](history)
        with history.open() as new:
            keys = [key for part in new.diff(old) for key in part]
            assert keys
            before, after = old._content_digest(keys), new._content_digest(keys)
            expected = (old._content_digest() - before + after) % WHOLE
            assert new._content_digest() == expected


def test_digest_of_keys_counts_each_that_is_there_once():
    shared = map_of(FEW)
    assert shared._content_digest(FEW) == shared._content_digest()
    assert shared._content_digest([]) == shared._content_digest(["nobody"]) == 0
    once = shared._content_digest(["a", "c"])
    assert once == digest({"a": 1, "c": b"\0bytes"})
    assert shared._content_digest(iter(["c", "a", "nobody", "a", "c"])) == once


def test_digest_tells_values_apart_that_are_equal_or_have_equal_bytes():
    values = [
        *(0, 0.0, -0.0, False, None, 1, 1.0, True),
        *("", b"", [], (), {}, "a", b"a", ["a"], ("a",), {"a": None}),
        *([1], [1.0], [True], {"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ]
    alone = [digest({key: value}) for key in ("", "a", "b") for value in values]
    assert len(set(alone)) == len(alone)
    encoded = sharedmap.rbtree({"": {1}}, encode=lambda value: b"a").dump()
    assert sharedmap.sharedmap.frombuffer(encoded)._content_digest() not in alone


def test_digest_tells_which_key_has_which_value():
    pairs = [("a", "bc"), ("ab", "c"), ("abc", ""), ("", "abc"), ("bc", "a")]
    assert len({digest([pair]) for pair in pairs}) == len(pairs)
    swapped = [dict(zip("abc", values, strict=True)) for values in itertools.permutations("xyz")]
    assert len({digest(entries) for entries in swapped}) == len(swapped)


@given(
    st.dictionaries(KEYS, ALL_VALUES, max_size=20),
    st.dictionaries(KEYS, ALL_VALUES, max_size=20),
    st.data(),
)
def test_digest_of_any_change_follows(old, puts, data):
    removed = data.draw(st.sets(st.sampled_from(sorted(old)))) if old else set()
    new = {key: value for key, value in (old | puts).items() if key not in removed}
    keys = [*removed, *puts]
    expected = digest(old) - digest(old, keys) + digest(new, keys)
    assert digest(new) == expected % WHOLE
    is_equal = {k: exact(v) for k, v in old.items()} == {k: exact(v) for k, v in new.items()}
    assert (digest(new) == digest(old)) is is_equal


def test_digest_does_not_ask_the_decoder(name):
    sharedmap.share({"a": {1}}, name, encode=lambda value: b"one")
    with sharedmap.sharedmap(name) as plain, sharedmap.sharedmap(name, decode=int) as decoded:
        assert plain._content_digest() == decoded._content_digest() != 0


def test_digest_of_a_map_that_follows_is_of_the_present_version(name):
    history = make("one delta", name)
    with history.open(follow=True) as following, history.open() as shared:
        history.update({"a": 1})
        assert following._content_digest() == digest(history.dict)
        assert following._content_digest() != shared._content_digest()


def test_digest_of_a_damaged_map_raises_snapshot_error(name):
    history = History(name)
    with history.open() as shared, open(segment_path(name), "r+b") as file:
        keys = list(history.dict)
        data = file.read()
        # References that lead nowhere: those of the order, and those of the buckets.
        for region in (64, 80):
            offset, size = struct.unpack_from("<2Q", data, region)
            file.seek(offset)
            file.write(b"\xff" * size)
        file.flush()
        with pytest.raises(sharedmap.SnapshotError):
            shared._content_digest()
        with pytest.raises(sharedmap.SnapshotError):
            shared._content_digest(keys)


def test_digest_refuses_what_are_no_keys():
    shared = map_of(FEW)
    for keys in ("a", 1, [1], [b"a"], [None]):
        with pytest.raises(TypeError, match=r"_content_digest\(\)|not iterable"):
            shared._content_digest(keys)
    with pytest.raises(TypeError):
        shared._content_digest([], [])
    shared.close()
    with pytest.raises(ValueError, match="closed"):
        shared._content_digest()
    with pytest.raises(ValueError, match="closed"):
        shared._content_digest([key_of(ENTRIES)])


def test_digest_has_a_signature():
    signature = inspect.signature(sharedmap.sharedmap._content_digest)
    assert str(signature) == "(self, keys=None, /)"
