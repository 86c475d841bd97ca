"""share() and remove(): publishing without a tree."""

import ast
import collections
import os
import re
import stat
import types

import independent_reader
import pytest
from helpers import HEADER_SIZE, generation, read_header, segment_path, unique_id
from live import map_of

import sharedmap

ENTRIES = {"b": 2, "a": "one", "c": b"three"}


def content(name):
    with sharedmap.sharedmap(name) as shared:
        shared.verify()
        return dict(shared)


# ---- share -------------------------------------------------------------------------------------


class HasKeys:
    def keys(self):
        return iter(ENTRIES)

    def __getitem__(self, key):
        return ENTRIES[key]


SOURCES = {
    "dict": ENTRIES,
    "OrderedDict": collections.OrderedDict(ENTRIES),
    "UserDict": collections.UserDict(ENTRIES),
    "mappingproxy": types.MappingProxyType(ENTRIES),
    "keys and []": HasKeys(),
    "pairs": list(ENTRIES.items()),
    "pairs that are lists": [list(pair) for pair in ENTRIES.items()],
    "items": ENTRIES.items(),
    "rbtree": sharedmap.rbtree(ENTRIES),
    "items of an rbtree": sharedmap.rbtree(ENTRIES).items(),
    "part of an rbtree": sharedmap.rbtree({**ENTRIES, "x": 1})["a":"d"],
    "sharedmap": map_of(ENTRIES),
    "part of a sharedmap": map_of({**ENTRIES, "x": 1})["a":"d"],
    "items of a sharedmap": map_of(ENTRIES).items(),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_whatever_an_rbtree_is_made_from_can_be_shared(name, source):
    assert sharedmap.share(source, name) is True
    assert content(name) == ENTRIES
    with sharedmap.sharedmap(name) as shared:
        assert list(shared) == ["a", "b", "c"]


def test_exist_ok_publishes_where_nothing_is(names):
    first, second = names(), names()
    assert sharedmap.share(ENTRIES, first, exist_ok=True) is True
    assert sharedmap.rbtree(ENTRIES).share(second, exist_ok=True) is True
    assert content(first) == content(second) == ENTRIES


def test_exist_ok_keeps_what_is_published_and_returns_false(name):
    sharedmap.share(ENTRIES, name)
    before = read_header(name)
    assert sharedmap.share({"z": 1}, name, exist_ok=True) is False
    assert sharedmap.rbtree(z=1).share(name, exist_ok=True) is False
    assert read_header(name) == before
    assert content(name) == ENTRIES


def test_exist_ok_does_not_read_the_mapping_where_the_name_is_taken(name):
    sharedmap.share(ENTRIES, name)
    pairs = iter(ENTRIES.items())
    assert sharedmap.share(pairs, name, exist_ok=True) is False
    assert list(pairs) == list(ENTRIES.items())


def test_exist_ok_of_many_processes_publishes_once(name, workers):
    all_of_them = [workers() for _ in range(4)]
    for number, worker in enumerate(all_of_them):
        worker.send(
            "eval", f"sharedmap.share({{'a': {number}}}, name, exist_ok=True)", {"name": name}
        )
    published = [worker.answer() for worker in all_of_them]
    assert sorted(published) == [False, False, False, True]
    assert content(name) == {"a": published.index(True)}


@pytest.mark.parametrize("other", [{"force": True}, {"expect": 0}, {"expect": "0" * 32}])
def test_exist_ok_with_what_replaces_a_map_raises_value_error(name, other):
    for share in (
        sharedmap.rbtree(ENTRIES).share,
        lambda *a, **k: sharedmap.share(ENTRIES, *a, **k),
    ):
        with pytest.raises(ValueError, match="exist_ok keeps a published map"):
            share(name, exist_ok=True, **other)
    assert name not in sharedmap.names()


def test_iterator_can_be_shared(name):
    sharedmap.share(((key, value) for key, value in ENTRIES.items()), name)
    assert content(name) == ENTRIES


def test_last_of_equal_keys_is_shared(name):
    pairs = [(str(number % 10), number) for number in range(1000)]
    sharedmap.share(pairs, name)
    assert content(name) == dict(pairs)


@pytest.mark.parametrize("empty", [{}, [], (), sharedmap.rbtree()])
def test_empty_mapping_can_be_shared(name, empty):
    sharedmap.share(empty, name)
    assert content(name) == {}


def test_shared_mapping_is_read_in_another_process(name, other):
    sharedmap.share(ENTRIES, name)
    assert other.eval("dict(sharedmap.sharedmap(name))", name=name) == ENTRIES


@pytest.mark.parametrize("index", ["hash", "tree"])
def test_share_publishes_the_bytes_that_the_method_of_a_tree_does(names, index):
    entries = {f"key {number * 7919 % 1000}": str(number) for number in range(1000)}
    entries |= {"é" * 1000: "x", "": b"y" * 70_000, "\ud800": "z", "红": b""}
    tree = sharedmap.rbtree(entries)
    by_function, by_method = (names(), names())
    # The name is written into the file, so it has to be equally long and is cut out below.
    assert len(by_function) == len(by_method)
    assert sharedmap.share(entries, by_function, index=index) is True
    assert tree.share(by_method, index=index) is True
    files = []
    for name in (by_function, by_method):
        with open(segment_path(name), "rb") as file:
            files.append(file.read())
    assert files[0][HEADER_SIZE:] == files[1][HEADER_SIZE:] == tree.dump(index=index)[HEADER_SIZE:]
    assert files[0][:128] == files[1][:128]
    assert unique_id(files[0]) != unique_id(files[1])
    assert independent_reader.read(files[0]) == sorted(entries.items())
    assert independent_reader.label(files[0]) == by_function


def test_share_takes_the_mapping_as_it_is_and_leaves_it_so(name):
    source = dict(ENTRIES)
    sharedmap.share(source, name)
    assert source == ENTRIES
    source["a"] = "changed later"
    assert content(name) == ENTRIES


@pytest.mark.parametrize("force", [True, 1, "yes"])
def test_share_with_force_replaces(name, force):
    sharedmap.share(ENTRIES, name)
    assert sharedmap.share({"x": 1}, name, force=force) is True
    assert sharedmap.share({"x": 1}, name, force) is True
    assert content(name) == {"x": 1}
    assert generation(read_header(name)) == 3


def test_share_of_a_map_under_its_own_name_replaces_it(name):
    sharedmap.share(ENTRIES, name)
    shared = sharedmap.sharedmap(name)
    sharedmap.share(shared, name, force=True)
    sharedmap.share(shared["b":], name, force=True)
    assert content(name) == {"b": 2, "c": b"three"}
    assert shared == ENTRIES


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o604, 0o644])
def test_mode_of_the_file_is_what_was_asked_for(name, mode):
    sharedmap.share(ENTRIES, name, mode=mode)
    assert stat.S_IMODE(os.stat(segment_path(name)).st_mode) == mode
    assert content(name) == ENTRIES


def test_mode_is_0600_unless_asked_for(name):
    sharedmap.share(ENTRIES, name)
    assert stat.S_IMODE(os.stat(segment_path(name)).st_mode) == 0o600


@pytest.mark.parametrize("mode", [0, 0o400, 0o666, 0o620, 0o700, 0o4600, -1, 2**40])
def test_mode_that_lets_others_write_raises_value_error(names, name, mode):
    for share in (
        lambda: sharedmap.share(ENTRIES, name, mode=mode),
        lambda: sharedmap.rbtree(ENTRIES).share(name, mode=mode),
    ):
        with pytest.raises(ValueError, match="mode must be"):
            share()
    assert names.files() == []


def test_arguments_of_share_may_be_keywords(name):
    sharedmap.share(mapping=ENTRIES, name=name, force=True, mode=0o600)
    assert content(name) == ENTRIES


WRONG_CALLS = {
    "nothing": lambda name: sharedmap.share(),
    "no name": lambda name: sharedmap.share(ENTRIES),
    "no mapping": lambda name: sharedmap.share(name=name),
    "mode by position": lambda name: sharedmap.share(ENTRIES, name, False, 0o600),
    "unknown keyword": lambda name: sharedmap.share(ENTRIES, name, bogus=1),
    "name that is no str": lambda name: sharedmap.share(ENTRIES, 1),
    "name that is bytes": lambda name: sharedmap.share(ENTRIES, name.encode()),
    "mode that is no int": lambda name: sharedmap.share(ENTRIES, name, mode="600"),
    "mapping that is none": lambda name: sharedmap.share(1, name),
    "None": lambda name: sharedmap.share(None, name),
    "key that is no str": lambda name: sharedmap.share({1: 1}, name),
    "value that is not native": lambda name: sharedmap.share({"a": {1}}, name),
    "encode that cannot be called": lambda name: sharedmap.share({"a": []}, name, encode=1),
    "decode": lambda name: sharedmap.share({"a": 1}, name, decode=bytes),
    "expect that is no int": lambda name: sharedmap.share(ENTRIES, name, expect=1.5),
}


@pytest.mark.parametrize("call", WRONG_CALLS.values(), ids=WRONG_CALLS.keys())
def test_wrong_call_of_share_raises_type_error_and_publishes_nothing(names, name, call):
    with pytest.raises(TypeError):
        call(name)
    assert names.files() == []


@pytest.mark.parametrize("index", ["hash", "tree"])
def test_index_of_either_kind_gives_the_same_answers(name, index):
    sharedmap.share(ENTRIES, name, index=index)
    assert content(name) == ENTRIES
    with sharedmap.sharedmap(name) as shared:
        assert [shared.get(key) for key in ("a", "b", "c", "", "x")] == [
            "one",
            2,
            b"three",
            None,
            None,
        ]


@pytest.mark.parametrize("index", ["", "Hash", None, 1, b"hash"])
def test_index_of_another_kind_raises_value_error(names, name, index):
    with pytest.raises(ValueError, match="index must be"):
        sharedmap.share(ENTRIES, name, index=index)
    assert names.files() == []


def test_encoder_is_asked_for_values_that_are_not_native(name):
    asked = []

    def encode(value):
        asked.append(value)
        return repr(value).encode()

    sharedmap.share({"a": [1], "b": 2, "c": {3}}, name, encode=encode)
    assert asked == [[1], {3}]
    with sharedmap.sharedmap(name, decode=lambda data: ast.literal_eval(data.decode())) as shared:
        assert shared == {"a": [1], "b": 2, "c": {3}}


def encoded(data):
    tree = sharedmap.rbtree({"a": 1, "b": "x"}, encode=lambda value: data)
    tree["object"] = object()
    return sharedmap.sharedmap.frombuffer(tree.dump())


@pytest.mark.parametrize("index", ["hash", "tree"])
def test_sharedmap_is_copied_with_what_somebody_encoded(name, index):
    sharedmap.share(encoded(b"\x80secret"), name, index=index)
    with sharedmap.sharedmap(name, decode=bytes) as opened:
        opened.verify()
        assert dict(opened) == {"a": 1, "b": "x", "object": b"\x80secret"}


class Subclass(sharedmap.sharedmap):
    pass


PARTS = {
    "whole": (lambda shared: shared[:], ["a", "b", "object"]),
    "low": (lambda shared: shared["b":], ["b", "object"]),
    "high": (lambda shared: shared[:"b"], ["a"]),
    "middle": (lambda shared: shared["aa":"c"], ["b"]),
    "part of a part": (lambda shared: shared["b":].prefix("o"), ["object"]),
    "nothing": (lambda shared: shared["x":], []),
}


@pytest.mark.parametrize(("take", "keys"), PARTS.values(), ids=PARTS)
def test_part_of_a_sharedmap_is_copied_with_what_somebody_encoded(name, take, keys):
    sharedmap.share(take(encoded(b"\x80secret")), name)
    expected = {"a": 1, "b": "x", "object": b"\x80secret"}
    with sharedmap.sharedmap(name, decode=bytes) as opened:
        opened.verify()
        assert dict(opened) == {key: expected[key] for key in keys}


def test_sharedmap_of_a_subclass_is_copied_with_what_somebody_encoded(name):
    tree = sharedmap.rbtree(object=object(), encode=lambda value: b"\x80secret")
    sharedmap.share(Subclass.frombuffer(tree.dump()), name)
    with sharedmap.sharedmap(name, decode=bytes) as opened:
        assert dict(opened) == {"object": b"\x80secret"}


def test_part_of_a_sharedmap_with_a_decoder_is_shared_as_what_it_decodes(name):
    tree = sharedmap.rbtree({"a": object(), "b": 1}, encode=lambda value: b"7")
    sharedmap.share(sharedmap.sharedmap.frombuffer(tree.dump(), decode=int)[:"b"], name)
    assert content(name) == {"a": 7}


DAMAGES = {
    "key": (b"ccc\xc3\xa4", b"ccc\xc3\xff", "UTF-8"),
    "text": (b"text\xc3\xa4", b"text\xc3\xff", "UTF-8"),
    "order": (b"ccc", b"aaa", "order"),
}


@pytest.mark.parametrize(("good", "bad", "message"), DAMAGES.values(), ids=DAMAGES)
def test_damaged_part_of_a_sharedmap_is_not_shared(name, good, bad, message):
    data = sharedmap.rbtree({"aaa": 0, "bbb": "textä", "cccä": 1.5}).dump(index="tree")
    assert data.count(good) == 1
    shared = sharedmap.sharedmap.frombuffer(data.replace(good, bad))
    # Without an upper end: looking for one could find the damage.
    with pytest.raises(sharedmap.SnapshotError, match=message):
        sharedmap.share(shared["aab":], name)
    assert name not in sharedmap.names()


def test_sharedmap_with_a_decoder_is_shared_as_what_it_decodes(name):
    tree = sharedmap.rbtree(encode=lambda value: b"7")
    tree["object"] = object()
    shared = sharedmap.sharedmap.frombuffer(tree.dump(), decode=int)
    sharedmap.share(shared, name)
    assert content(name) == {"object": 7}


def test_sharedmap_shared_over_itself_is_the_next_generation(name):
    sharedmap.share(ENTRIES, name)
    with sharedmap.sharedmap(name, follow=True) as shared:
        sharedmap.share(shared, name, force=True)
        assert shared.generation == 2
        assert dict(shared) == ENTRIES


@pytest.mark.parametrize("is_checked", [True, False], ids=["checksum", "order"])
def test_damaged_sharedmap_is_not_shared_under_a_checksum_that_fits_it(name, is_checked):
    data = bytearray(sharedmap.rbtree({"a": 1, "b": 2, "c": 3}).dump(index="tree"))
    at = data.index(b"b\x02", HEADER_SIZE)
    data[at] = ord("d")
    if not is_checked:
        # One block, so that its hash is the checksum of all.
        checksum = independent_reader.hash_bytes(bytes(data[HEADER_SIZE:]))
        data[56:64] = checksum.to_bytes(8, "little")
        data = independent_reader.seal(bytes(data))
    shared = sharedmap.sharedmap.frombuffer(bytes(data))
    with pytest.raises(sharedmap.SnapshotError, match="checksum" if is_checked else "order"):
        sharedmap.share(shared, name)
    assert name not in sharedmap.names()


def test_closed_sharedmap_cannot_be_shared(name):
    shared = map_of(ENTRIES)
    shared.close()
    with pytest.raises(ValueError, match="closed"):
        sharedmap.share(shared, name)


def test_exception_in_the_encoder_passes_and_publishes_nothing(names, name):
    with pytest.raises(ZeroDivisionError):
        sharedmap.share({"a": [1]}, name, encode=lambda value: 1 / 0)
    with pytest.raises(TypeError, match="encode must return bytes, not str"):
        sharedmap.share({"a": [1]}, name, encode=repr)
    assert names.files() == []


@pytest.mark.parametrize("wrong", ["", "a\0b", "n" * 300])
def test_name_that_cannot_be_one_raises_value_error(wrong):
    with pytest.raises(ValueError, match="name"):
        sharedmap.share(ENTRIES, wrong)
    with pytest.raises(ValueError, match="name"):
        sharedmap.remove(wrong)


def test_share_with_a_wrong_name_does_not_read_the_mapping():
    def pairs():
        raise AssertionError("nobody should ask")
        yield

    with pytest.raises(ValueError, match="name"):
        sharedmap.share(pairs(), "")


def test_exception_of_the_mapping_passes_and_publishes_nothing(names, name):
    def pairs():
        yield "a", 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        sharedmap.share(pairs(), name)
    assert names.files() == []


def test_pair_of_three_raises_value_error_and_publishes_nothing(names, name):
    with pytest.raises(ValueError, match="length 3"):
        sharedmap.share([("a", 1), ("b", 2, 3)], name)
    assert names.files() == []


def test_mapping_may_publish_while_it_is_read(names):
    first, second = names(), names()

    def pairs():
        sharedmap.share({"inner": 1}, second)
        yield "outer", 1

    sharedmap.share(pairs(), first)
    assert (content(first), content(second)) == ({"outer": 1}, {"inner": 1})


# ---- remove ------------------------------------------------------------------------------------


def test_remove_frees_the_name_and_says_whether_there_was_one(names, name):
    sharedmap.share(ENTRIES, name)
    assert sharedmap.remove(name) is True
    assert names.files() == []
    assert sharedmap.remove(name) is False
    with pytest.raises(FileNotFoundError):
        sharedmap.sharedmap(name)


def test_remove_in_another_process_frees_the_name(name, other):
    sharedmap.share(ENTRIES, name)
    assert other.eval("sharedmap.remove(name)", name=name) is True
    assert sharedmap.remove(name) is False


def test_remove_and_the_method_of_a_tree_are_the_same(name):
    sharedmap.share(ENTRIES, name)
    assert sharedmap.rbtree.remove(name) is True
    sharedmap.rbtree(ENTRIES).share(name)
    assert sharedmap.remove(name) is True


@pytest.mark.parametrize("wrong", [1, None, b"a", ["a"]], ids=lambda w: type(w).__name__)
def test_remove_of_what_is_no_str_raises_type_error(wrong):
    with pytest.raises(TypeError):
        sharedmap.remove(wrong)


def test_remove_takes_one_argument_without_a_name(name):
    for call in (
        lambda: sharedmap.remove(),
        lambda: sharedmap.remove(name, name),
        lambda: sharedmap.remove(name=name),
    ):
        with pytest.raises(TypeError):
            call()


def test_remove_of_what_is_no_file_of_ours_raises_snapshot_error(name, plant):
    plant(name, os.mkdir)
    with pytest.raises(sharedmap.SnapshotError, match=re.escape(name)):
        sharedmap.remove(name)
