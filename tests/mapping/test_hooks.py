"""Hooks that raise: the exception arrives, no result is shortened, and nothing is published."""

import math
import pickle

import pytest
from live import map_of

import sharedmap


class Marker:
    """A value that needs the hooks."""


class Unhashable(Exception):
    __hash__ = None


EXCEPTIONS = [
    StopIteration,
    KeyError,
    IndexError,
    AttributeError,
    TypeError,
    RuntimeError,
    LookupError,
    GeneratorExit,
    KeyboardInterrupt,
    SystemExit,
    Unhashable,
]
each_exception = pytest.mark.parametrize("kind", EXCEPTIONS, ids=lambda kind: kind.__name__)


def raising(kind):
    def hook(argument):
        raise kind("from the hook")

    return hook


def encode(value):
    return b"encoded"


def tree_with(decode):
    tree = sharedmap.rbtree(encode=encode, decode=decode)
    tree.update({"a": 1, "b": Marker(), "c": 3})
    return tree


def map_with(decode):
    return sharedmap.sharedmap.frombuffer(tree_with(decode).dump(), decode=decode)


MAKERS = {
    "tree": tree_with,
    "map": map_with,
    "range of tree": lambda decode: tree_with(decode)["a":"d"],
    "range of map": lambda decode: map_with(decode)["a":"d"],
}
each_maker = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)

OTHER = {"a": 1, "b": 2, "c": 3}
PAIRS = {("a", 1), ("b", 2), ("c", 3)}

READS = {
    "subscript": lambda m: m["b"],
    "get": lambda m: m.get("b"),
    "get with default": lambda m: m.get("b", 0),
    "values": lambda m: list(m.values()),
    "items": lambda m: list(m.items()),
    "reversed values": lambda m: list(reversed(m.values())),
    "reversed items": lambda m: list(reversed(m.items())),
    "values in a loop": lambda m: [value for value in m.values()],  # noqa: C416
    "tuple": lambda m: tuple(m.items()),
    "unpacking": lambda m: [*m.values()],
    "sum": lambda m: sum(1 for _ in m.values()),
    "dict": dict,
    "dict of items": lambda m: dict(m.items()),
    "set of items": lambda m: set(m.items()),
    "tree": sharedmap.rbtree,
    "tree of items": lambda m: sharedmap.rbtree(m.items()),
    "tree of pairs": lambda m: sharedmap.rbtree([m["b":"d"].values()]),
    "tree update": lambda m: sharedmap.rbtree().update(m),
    "tree | ": lambda m: sharedmap.rbtree() | m,
    "equal": lambda m: m == OTHER,
    "not equal": lambda m: m != OTHER,
    "dict equal": lambda m: OTHER == m,  # noqa: SIM300
    "in values": lambda m: 3 in m.values(),
    "in items": lambda m: ("b", 2) in m.items(),
    "items equal": lambda m: m.items() == PAIRS,
    "items <=": lambda m: m.items() <= PAIRS,
    "items >=": lambda m: m.items() >= PAIRS,
    "items <": lambda m: m.items() < PAIRS | {("d", 4)},
    "items >": lambda m: m.items() > {("b", 2)},
    "items &": lambda m: m.items() & PAIRS,
    "items |": lambda m: m.items() | PAIRS,
    "items -": lambda m: m.items() - PAIRS,
    "items ^": lambda m: m.items() ^ PAIRS,
    "& items": lambda m: PAIRS & m.items(),
    "isdisjoint": lambda m: m.items().isdisjoint([("b", 2)]),
    "last": lambda m: m["a":"c"].last(),
    "first": lambda m: m["b":"d"].first(),
    "prefix": lambda m: m.prefix("b")["b"],
}
TREE_READS = {
    "setdefault": lambda t: t.setdefault("b", 0),
    "pop": lambda t: t.pop("b"),
    "pop with default": lambda t: t.pop("b", 0),
    "popitem": lambda t: t.popitem(1),
    "update with its items": lambda t: t.update(t.copy().items()),
    "items of a copy": lambda t: list(t.copy().items()),
}
MAP_READS = {
    "get_many": lambda m: m.get_many(["a", "b", "c"]),
    "get_many of 100": lambda m: m.get_many(["a"] * 99 + ["b"]),
    "peekitem": lambda m: m.peekitem(1),
}


def assert_raises(kind, operation, *arguments):
    """The exception of the hook itself, or a RuntimeError that it is the cause of."""
    expected = RuntimeError if kind is StopIteration else kind
    with pytest.raises(expected) as caught:
        operation(*arguments)
    assert caught.type is expected
    error = caught.value.__cause__ if kind is StopIteration else caught.value
    assert type(error) is kind
    assert error.args == ("from the hook",)


@each_exception
@each_maker
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_exception_of_decode_arrives(make, read, kind):
    assert_raises(kind, read, make(raising(kind)))


@each_exception
@pytest.mark.parametrize("read", TREE_READS.values(), ids=TREE_READS)
def test_exception_of_decode_arrives_from_a_tree_and_changes_nothing(read, kind):
    tree = tree_with(raising(kind))
    before = tree.dump("same")
    assert_raises(kind, read, tree)
    assert list(tree) == ["a", "b", "c"]
    assert len(tree.dump("same")) == len(before)


@each_exception
@pytest.mark.parametrize("read", MAP_READS.values(), ids=MAP_READS)
def test_exception_of_decode_arrives_from_a_map(read, kind):
    assert_raises(kind, read, map_with(raising(kind)))


@each_exception
@each_maker
def test_exception_of_decode_arrives_from_share_and_nothing_is_published(make, name, kind):
    assert_raises(kind, sharedmap.share, make(raising(kind)), name)
    assert name not in sharedmap.names()


@each_exception
@each_maker
def test_exception_of_decode_arrives_from_update_and_nothing_is_published(make, name, kind):
    sharedmap.share({"a": 0}, name)
    with sharedmap.sharedmap(name) as shared:
        assert_raises(kind, sharedmap.update, name, make(raising(kind)))
        assert not shared.stale


def set_item(tree, value):
    tree["b"] = value


WRITES = {
    "set item": set_item,
    "set": lambda t, value: t.set("b", value),
    "setdefault": lambda t, value: t.setdefault("b", value),
    "update": lambda t, value: t.update({"a": 0, "b": value}),
    "update of pairs": lambda t, value: t.update([("a", 0), ["b", value]]),
    "update of an iterator": lambda t, value: t.update(iter([("a", 0), ("b", value)])),
    "update of keywords": lambda t, value: t.update(a=0, b=value),
    "|=": lambda t, value: t.__ior__({"a": 0, "b": value}),
    "|": lambda t, value: t | {"a": 0, "b": value},
    "of the right": lambda t, value: {"a": 0, "b": value} | t,
    "init": lambda t, value: t.__init__({"a": 0, "b": value}),
}


@each_exception
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_exception_of_encode_arrives_and_changes_nothing(write, kind):
    tree = sharedmap.rbtree({"a": 1}, encode=raising(kind))
    assert_raises(kind, write, tree, Marker())
    assert tree == {"a": 1}


@each_exception
@pytest.mark.parametrize("source", [dict, list], ids=["dict", "pairs"])
def test_exception_of_encode_arrives_from_share_and_nothing_is_published(name, source, kind):
    entries = source({"a": 0, "b": Marker()}.items())
    assert_raises(kind, lambda: sharedmap.share(entries, name, encode=raising(kind)))
    assert name not in sharedmap.names()


@each_exception
def test_exception_of_encode_arrives_from_update_and_publishes_nothing(name, kind):
    sharedmap.share({"a": 1}, name)
    with sharedmap.sharedmap(name) as shared:
        assert_raises(
            kind,
            lambda: sharedmap.update(name, {"a": 2, "b": Marker()}, encode=raising(kind)),
        )
        assert not shared.stale


def never_called(data):
    raise AssertionError("called")


@pytest.mark.parametrize(
    "operation",
    [pickle.dumps, sharedmap.rbtree.dump, sharedmap.rbtree.copy, list, len],
    ids=["pickle", "dump", "copy", "keys", "len"],
)
def test_operations_without_values_call_no_decoder(operation):
    operation(tree_with(never_called))


class KeysRaise:
    @property
    def keys(self):
        raise KeyboardInterrupt


def test_exception_of_the_attribute_keys_is_not_taken_for_its_absence():
    with pytest.raises(KeyboardInterrupt):
        sharedmap.rbtree(KeysRaise())


@pytest.mark.parametrize("make", [tree_with, map_with])
def test_mapping_is_equal_to_itself_without_a_decoder_as_a_dict_without_comparing(make):
    mapping = make(never_called)
    same = mapping
    assert mapping == same
    assert (mapping != same) is False


# ---- errors that name the key ------------------------------------------------------------------

PUTS = {
    "share": lambda value, encode: sharedmap.share({"plum": value}, "never", encode=encode),
    "update": lambda value, encode: sharedmap.update("never", {"plum": value}, encode=encode),
    "tree": lambda value, encode: sharedmap.rbtree({"plum": value}, encode=encode),
    "set": lambda value, encode: sharedmap.rbtree(encode=encode).set("plum", value),
    "setdefault": lambda value, encode: sharedmap.rbtree(encode=encode).setdefault("plum", value),
}
each_put = pytest.mark.parametrize("put", PUTS.values(), ids=PUTS)


@each_put
def test_error_about_a_value_names_its_key_and_type(put):
    with pytest.raises(TypeError, match=r"value of key 'plum' is of type set;.*pass encode="):
        put({"x"}, None)


def to_text(value):
    return "text"


@each_put
def test_error_about_a_result_of_encode_names_the_key_and_the_function(put):
    expected = r"encode must return bytes, not str: encode=to_text, .*'plum'"
    with pytest.raises(TypeError, match=expected):
        put(["x"], to_text)


@each_put
def test_exception_of_encode_gets_a_note_that_names_the_key(put):
    def encode_point(value):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        put(["x"], encode_point)
    (note,) = caught.value.__notes__
    assert "encode_point" in note
    assert "'plum'" in note


# ---- repr --------------------------------------------------------------------------------------


@each_maker
def test_repr_of_views_shows_encoded_values_without_a_decoder(make):
    mapping = make(None)
    assert repr(mapping.items()) == "items([('a', 1), ('b', <encoded, 7 bytes>), ('c', 3)])"
    assert repr(mapping.values()) == "values([1, <encoded, 7 bytes>, 3])"
    assert repr(mapping.keys()) == "keys(['a', 'b', 'c'])"


def test_repr_of_a_tree_shows_encoded_values_without_a_decoder():
    assert repr(tree_with(None)) == "rbtree({'a': 1, 'b': <encoded, 7 bytes>, 'c': 3})"
    one = sharedmap.rbtree({"a": Marker()}, encode=lambda value: b"x")
    assert repr(one) == "rbtree({'a': <encoded, 1 byte>})"


@each_exception
@each_maker
def test_repr_names_the_exception_of_decode(make, kind):
    mapping = make(raising(kind))
    shown = "RuntimeError" if kind is StopIteration else kind.__name__
    if not issubclass(kind, Exception):
        with pytest.raises(kind):
            repr(mapping.items())
        return
    assert f"<encoded, 7 bytes: {shown}>" in repr(mapping.items())
    assert f"<encoded, 7 bytes: {shown}>" in repr(mapping.values())
    if isinstance(mapping, sharedmap.rbtree):
        assert f"<encoded, 7 bytes: {shown}>" in repr(mapping)


@pytest.mark.parametrize("kind", [MemoryError, RecursionError])
def test_repr_passes_on_what_is_not_about_the_value(kind):
    with pytest.raises(kind):
        repr(tree_with(raising(kind)))


def test_decoder_that_changes_the_tree_does_not_disturb_repr_of_its_views():
    def decode(data):
        tree.pop("c", None)
        return "decoded"

    tree = tree_with(decode)
    assert repr(tree.items()) == "items([('a', 1), ('b', 'decoded')])"


# ---- NaN ---------------------------------------------------------------------------------------

NAN = float("nan")
WITH_NAN = {"a": 1.5, "nan": NAN}
NAN_MAKERS = {
    "tree": sharedmap.rbtree,
    "map": map_of,
    "range of tree": lambda entries: sharedmap.rbtree(entries)["a":],
    "range of map": lambda entries: map_of(entries)["a":],
}


@pytest.mark.parametrize("make", NAN_MAKERS.values(), ids=NAN_MAKERS)
def test_nan_is_equal_to_itself_as_in_dict(make):
    mapping = make(WITH_NAN)
    same = mapping
    assert mapping == same
    assert mapping == make(WITH_NAN)
    assert (mapping != make(WITH_NAN)) is False
    assert mapping == WITH_NAN
    assert WITH_NAN == mapping  # noqa: SIM300
    assert NAN in mapping.values()
    assert ("nan", NAN) in mapping.items()
    assert mapping.items() == mapping.items()
    assert mapping != {"a": NAN, "nan": NAN}
    assert mapping["nan"] != NAN


@pytest.mark.parametrize("make", NAN_MAKERS.values(), ids=NAN_MAKERS)
@pytest.mark.parametrize("nan", [NAN, -NAN])
def test_sets_and_lists_of_values_find_a_nan_equal_to_itself_as_those_of_dict(make, nan):
    mapping, other = make({"a": 1.5, "nan": nan}), make({"a": 2.5, "nan": nan})
    items = mapping.items()
    assert list(mapping.values()) == list(mapping.values())
    assert dict(mapping) == dict(mapping)
    assert set(items) == set(items)
    assert len(items | items) == len(items & items) == 2
    assert items - items == items ^ items == set()
    assert [key for key, _ in items & other.items()] == ["nan"]
    assert math.copysign(1, mapping["nan"]) == math.copysign(1, nan)


# ---- a str where a list of str is meant --------------------------------------------------------

SINGLE = ["plum", "", b"plum", bytearray(b"plum")]


@pytest.mark.parametrize("single", SINGLE)
def test_single_str_to_remove_is_a_type_error(name, single):
    sharedmap.share(dict.fromkeys("plum", 1), name)
    with pytest.raises(TypeError, match=r"remove must be an iterable of keys.*pass a list of str"):
        sharedmap.update(name, {}, remove=single)
    with sharedmap.sharedmap(name) as shared:
        assert list(shared) == sorted("plum")


@pytest.mark.parametrize("single", SINGLE)
def test_single_str_for_get_many_is_a_type_error(single):
    with pytest.raises(TypeError, match=r"keys must be an iterable of keys.*pass a list of str"):
        map_of({"p": 1}).get_many(single)
