"""Values come back with the same type and value, and what cannot goes through the user's hooks."""

import array
import collections
import datetime
import decimal
import fractions
import gc
import json
import pickle
import struct
import types
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import KEYS, VALUES, exact, exact_items

import sharedmap


def through_tree(entries):
    tree = sharedmap.rbtree(entries)
    return {key: tree[key] for key in entries}


def through_snapshot(entries):
    shared = sharedmap.sharedmap.frombuffer(sharedmap.rbtree(entries).dump())
    shared.verify()
    return {key: shared[key] for key in entries}


each_way = pytest.mark.parametrize("through", [through_tree, through_snapshot])


def assert_same(through, values):
    entries = {f"{number:06}": value for number, value in enumerate(values)}
    assert exact_items(through(entries).items()) == exact_items(entries.items())


# ---- native types ------------------------------------------------------------------------------

OF_EACH_TYPE = ["text", "", b"bytes", b"", 0, 1, -1, 2**64, 0.5, 1.0, True, False, None]


@each_way
def test_value_of_each_native_type_comes_back(through):
    assert_same(through, OF_EACH_TYPE)


def test_values_come_back_in_another_process(name, other):
    values = [*OF_EACH_TYPE, float("nan"), -0.0, 10**400, "\ud800\0", b"\0" * 5000]
    sharedmap.rbtree({f"{at:02}": value for at, value in enumerate(values)}).share(name)
    found = other.eval("list(sharedmap.sharedmap(name).values())", name=name)
    assert list(map(exact, found)) == list(map(exact, values))


@each_way
def test_values_that_are_equal_stay_apart_by_their_types(through):
    assert_same(through, [1, True, 1.0, "1", b"1", 0, False, 0.0, -0.0, "", b"", None])


@pytest.mark.parametrize("singleton", [True, False, None])
@each_way
def test_singleton_comes_back_as_itself(through, singleton):
    assert through({"a": singleton})["a"] is singleton


@each_way
def test_int_around_every_power_of_two_comes_back(through):
    numbers = {
        sign * (2**power + near)
        for power in range(201)
        for near in (-2, -1, 0, 1, 2)
        for sign in (1, -1)
    }
    assert_same(through, sorted(numbers))


@each_way
def test_int_of_every_size_in_bytes_comes_back(through):
    # With the highest bit of the first byte clear and set: there the sign could get lost.
    patterns = (b"\x01", b"\x7f", b"\x80", b"\xff")
    numbers = [
        sign * int.from_bytes(first + bytes(size - 1), "big")
        for size in range(1, 40)
        for first in patterns
        for sign in (1, -1)
    ]
    assert_same(through, numbers)


@each_way
def test_int_of_a_hundred_thousand_bits_comes_back(through):
    assert_same(through, [2**100_000, -(2**100_000), 3**60_000, -(3**60_000)])


@each_way
def test_float_of_every_exponent_comes_back_bit_by_bit(through):
    fractions = (0, 1, 0x8_0000_0000_0000, 0xF_FFFF_FFFF_FFFF, 0x5_5555_5555_5555)
    patterns = [
        sign << 63 | exponent << 52 | fraction
        for sign in (0, 1)
        for exponent in range(2048)
        for fraction in fractions
    ]
    assert_same(through, [struct.unpack("<d", struct.pack("<Q", bits))[0] for bits in patterns])


@each_way
def test_message_of_a_nan_comes_back(through):
    nan = struct.unpack("<d", struct.pack("<Q", 0x7FF8_DEAD_BEEF_CAFE))[0]
    assert struct.pack("<d", through({"a": nan})["a"]) == struct.pack("<d", nan)


@each_way
def test_negative_zero_keeps_its_sign(through):
    assert str(through({"a": -0.0})["a"]) == "-0.0"


@each_way
@settings(max_examples=100, deadline=None, print_blob=True)
@given(entries=st.dictionaries(KEYS, VALUES, max_size=20))
def test_any_native_values_come_back(through, entries):
    assert exact_items(through(entries).items()) == exact_items(entries.items())


def test_value_of_another_type_replaces_the_one_before():
    tree = sharedmap.rbtree(a=None)
    for value in [*OF_EACH_TYPE, *OF_EACH_TYPE[::-1]]:
        tree["a"] = value
        assert exact(tree["a"]) == exact(value)
    assert len(tree) == 1


def test_none_as_a_value_is_not_an_absent_key():
    tree = sharedmap.rbtree(a=None)
    shared = sharedmap.sharedmap.frombuffer(tree.dump())
    for mapping in (tree, shared):
        assert "a" in mapping
        assert mapping["a"] is None
        assert mapping.get("a", "default") is None


def test_bytes_value_is_a_copy_that_its_source_cannot_change():
    source = bytearray(b"before")
    tree = sharedmap.rbtree(a=bytes(source))
    source[:] = b"after!"
    assert tree["a"] == b"before"


# ---- what is not native ------------------------------------------------------------------------


class Integer(int):
    pass


# For what is converted to a native value, see tests/mapping/test_convertible.py.
REFUSED = [
    {1},
    1j,
    array.array("i", [1]),
    decimal.Decimal(1),
    fractions.Fraction(1, 2),
    datetime.date(2024, 1, 1),
    types.MappingProxyType({}),
    collections.deque(),
    range(3),
    object(),
    int,
    len,
    Ellipsis,
    NotImplemented,
]
NOT_NATIVE = [*REFUSED, Integer(1), bytearray(b"x"), [1]]

each_refused = pytest.mark.parametrize("value", REFUSED, ids=lambda v: type(v).__name__)
each_not_native = pytest.mark.parametrize("value", NOT_NATIVE, ids=lambda v: type(v).__name__)

WAYS_IN = {
    "[]": lambda tree, value: tree.__setitem__("b", value),
    "set": lambda tree, value: tree.set("b", value),
    "setdefault": lambda tree, value: tree.setdefault("b", value),
    "update": lambda tree, value: tree.update({"b": value}),
    "update with a keyword": lambda tree, value: tree.update(b=value),
    "|=": lambda tree, value: tree.__ior__({"b": value}),
    "|": lambda tree, value: tree | {"b": value},
    "reversed |": lambda tree, value: {"b": value} | tree,
}
each_way_in = pytest.mark.parametrize("put", WAYS_IN.values(), ids=WAYS_IN.keys())


@each_refused
def test_value_of_another_type_is_refused_and_the_error_names_type_and_hooks(value):
    tree = sharedmap.rbtree(a=1)
    with pytest.raises(TypeError) as caught:
        tree["b"] = value
    message = str(caught.value)
    assert type(value).__name__ in message
    assert "encode=" in message
    assert "decode=" in message
    assert tree == {"a": 1}


@each_way_in
def test_value_of_another_type_is_refused_in_every_way_in(put):
    tree = sharedmap.rbtree(a=1)
    with pytest.raises(TypeError, match="encode="):
        put(tree, {1})
    assert tree == {"a": 1}


@pytest.mark.parametrize(
    "make",
    [
        lambda value: sharedmap.rbtree({"a": value}),
        lambda value: sharedmap.rbtree([("a", value)]),
        lambda value: sharedmap.rbtree(a=value),
        lambda value: sharedmap.rbtree.fromkeys(["a"], value),
    ],
)
def test_constructor_refuses_a_value_of_another_type(make):
    with pytest.raises(TypeError, match="encode="):
        make({1})


@each_not_native
def test_encoder_is_asked_for_every_value_that_is_not_native(value):
    asked = []
    tree = sharedmap.rbtree(encode=lambda value: asked.append(value) or b"encoded", decode=bytes)
    tree["a"] = value
    assert len(asked) == 1
    assert asked[0] is value
    assert tree["a"] == b"encoded"


# ---- hooks -------------------------------------------------------------------------------------


def encode(value):
    return pickle.dumps(value)


def decode(data):
    return pickle.loads(data)


def failing(_):
    raise ZeroDivisionError("inside the hook")


class Recorder:
    """A pair of hooks that remember what they were called with."""

    def __init__(self):
        self.encoded = []
        self.decoded = []

    def encode(self, value):
        self.encoded.append(value)
        return pickle.dumps(value)

    def decode(self, data):
        self.decoded.append(data)
        return pickle.loads(data)


@pytest.fixture
def hooks():
    return Recorder()


@pytest.fixture
def tree(hooks):
    return sharedmap.rbtree(encode=hooks.encode, decode=hooks.decode)


@each_way_in
def test_encoder_is_not_asked_for_native_values(tree, hooks, put):
    for value in OF_EACH_TYPE:
        put(tree, value)
    assert hooks.encoded == []


@each_way_in
def test_encoder_is_asked_once_for_each_value(tree, hooks, put):
    put(tree, [1])
    assert hooks.encoded == [[1]]


def test_setdefault_does_not_ask_the_encoder_when_the_key_is_there(tree, hooks):
    tree["a"] = 1
    assert tree.setdefault("a", [2]) == 1
    assert hooks.encoded == []


WAYS_OUT = {
    "[]": lambda m: m["a"],
    "get": lambda m: m.get("a"),
    "values": lambda m: next(iter(m.values())),
    "reversed values": lambda m: next(reversed(m.values())),
    "items": lambda m: next(iter(m.items()))[1],
    "first": lambda m: m.first()[1],
    "last": lambda m: m.last()[1],
    "slice": lambda m: m["a":]["a"],
    "values of a slice": lambda m: next(iter(m["a":].values())),
    "dict": lambda m: dict(m)["a"],
}
WAYS_OUT_OF_TREE = WAYS_OUT | {
    "setdefault": lambda t: t.setdefault("a", None),
    "pop": lambda t: t.copy().pop("a"),
    "popitem": lambda t: t.copy().popitem()[1],
    "copy": lambda t: t.copy()["a"],
    "|": lambda t: (t | {})["a"],
}
WAYS_OUT_OF_MAP = WAYS_OUT | {
    "peekitem": lambda m: m.peekitem()[1],
    "peekitem of a slice": lambda m: m["a":].peekitem()[1],
}
each_way_out_of_tree = pytest.mark.parametrize(
    "take", WAYS_OUT_OF_TREE.values(), ids=WAYS_OUT_OF_TREE.keys()
)
each_way_out_of_map = pytest.mark.parametrize(
    "take", WAYS_OUT_OF_MAP.values(), ids=WAYS_OUT_OF_MAP.keys()
)


def open_dump(tree, **hooks):
    return sharedmap.sharedmap.frombuffer(tree.dump(), **hooks)


@each_way_out_of_tree
def test_value_of_another_type_comes_out_of_a_tree_decoded(tree, take):
    tree["a"] = [1, {"b": 2}]
    assert take(tree) == [1, {"b": 2}]


@each_way_out_of_map
def test_value_of_another_type_comes_out_of_a_map_decoded(tree, take):
    tree["a"] = [1, {"b": 2}]
    assert take(open_dump(tree, decode=decode)) == [1, {"b": 2}]


@each_way_out_of_map
def test_decoder_is_not_asked_for_native_values(hooks, take):
    for value in OF_EACH_TYPE:
        shared = open_dump(sharedmap.rbtree(a=value), decode=hooks.decode)
        assert exact(take(shared)) == exact(value)
    assert hooks.decoded == []


def test_decoder_gets_the_very_bytes_that_the_encoder_returned(tree, hooks):
    tree["a"] = [1]
    tree["a"]
    assert hooks.decoded == [pickle.dumps([1])]
    assert type(hooks.decoded[0]) is bytes


def test_decoder_is_not_asked_by_what_reads_only_keys(tree, hooks):
    tree["a"] = [1]
    shared = open_dump(tree, decode=hooks.decode)
    for mapping in (tree, shared):
        assert list(mapping) == list(mapping.keys()) == list(reversed(mapping)) == ["a"]
        assert "a" in mapping
        assert len(mapping) == 1
        assert mapping.floor("b") == mapping.ceiling("") == "a"
        assert len(mapping["a":].keys()) == 1
    assert shared.index("a") == 0
    shared.verify()
    assert hooks.decoded == []


@pytest.mark.parametrize("how", ["share", "save", "dump"])
def test_hooks_work_across_processes(tree, name, tmp_path, other, how):
    tree["a"] = {"b": [1, None]}
    tree["c"] = 1
    source = {
        "share": lambda: tree.share(name) and ("sharedmap", name),
        "save": lambda: tree.save(tmp_path / "x") and ("open", str(tmp_path / "x")),
        "dump": lambda: ("frombuffer", tree.dump()),
    }[how]()
    other.run("import pickle; from sharedmap import sharedmap as opened")
    call = "opened" if how == "share" else f"opened.{source[0]}"
    found = other.eval(f"dict({call}(where, decode=pickle.loads))", where=source[1])
    assert found == {"a": {"b": [1, None]}, "c": 1}


def test_encoder_may_write_text_that_other_programs_read():
    tree = sharedmap.rbtree(
        {"a": [1, 2]}, encode=lambda value: json.dumps(value).encode(), decode=json.loads
    )
    shared = open_dump(tree)
    assert bytes(shared.view("a")) == b"[1, 2]"
    assert tree == {"a": [1, 2]}


@each_way_out_of_tree
def test_missing_decoder_of_a_tree_is_a_type_error_that_says_what_to_give(take):
    tree = sharedmap.rbtree(encode=encode)
    tree["a"] = [1]
    with pytest.raises(TypeError, match="decode=") as caught:
        take(tree)
    assert "view()" in str(caught.value)
    assert list(tree) == ["a"]


@each_way_out_of_map
def test_missing_decoder_of_a_map_is_a_type_error_that_says_what_to_give(tree, take):
    tree["a"] = [1]
    with pytest.raises(TypeError, match="decode="):
        take(open_dump(tree))


def test_without_a_decoder_the_other_entries_can_be_read(tree):
    tree.update(a=[1], b=2)
    shared = open_dump(tree)
    assert shared["b"] == 2
    assert pickle.loads(shared.view("a")) == [1]


@each_way_in
def test_exception_in_the_encoder_passes_and_the_tree_is_as_before(put):
    tree = sharedmap.rbtree(a=1, encode=failing)
    with pytest.raises(ZeroDivisionError, match="inside the hook"):
        put(tree, [1])
    assert list(tree.items()) == [("a", 1)]


@each_way_out_of_tree
def test_exception_in_the_decoder_of_a_tree_passes(take):
    tree = sharedmap.rbtree(encode=encode, decode=failing)
    tree["a"] = [1]
    with pytest.raises(ZeroDivisionError, match="inside the hook"):
        take(tree)
    assert list(tree) == ["a"]


@each_way_out_of_map
def test_exception_in_the_decoder_of_a_map_passes(tree, take):
    tree["a"] = [1]
    with pytest.raises(ZeroDivisionError, match="inside the hook"):
        take(open_dump(tree, decode=failing))


@pytest.mark.parametrize("operation", ["in items", "=="])
def test_exception_in_the_decoder_passes_through_comparisons(operation):
    def not_found(data):
        # Must not be taken for the map's own way to say that a key is absent.
        raise KeyError("inside the hook")

    tree = sharedmap.rbtree(encode=encode, decode=not_found)
    tree["a"] = [1]
    with pytest.raises(KeyError, match="inside the hook"):
        if operation == "in items":
            ("a", [1]) in tree.items()
        else:
            tree == {"a": [1]}


@pytest.mark.parametrize("remove", [lambda t: t.pop("a"), lambda t: t.popitem()])
def test_value_that_cannot_be_decoded_is_not_lost_by_removing_it(remove):
    tree = sharedmap.rbtree(encode=encode, decode=failing)
    tree["a"] = [1]
    with pytest.raises(ZeroDivisionError):
        remove(tree)
    assert list(tree) == ["a"]
    assert pickle.loads(open_dump(tree).view("a")) == [1]


@pytest.mark.parametrize("answer", ["text", bytearray(b"x"), memoryview(b"x"), None, 1])
@each_way_in
def test_encoder_that_returns_no_bytes_is_a_type_error_that_names_the_type(put, answer):
    tree = sharedmap.rbtree(a=1, encode=lambda value: answer)
    with pytest.raises(TypeError, match=f"encode must return bytes, not {type(answer).__name__}"):
        put(tree, [1])
    assert list(tree.items()) == [("a", 1)]


@pytest.mark.parametrize("hook", ["encode", "decode"])
@pytest.mark.parametrize("wrong", [1, "name", b"", [], object()], ids=lambda w: type(w).__name__)
def test_hook_that_cannot_be_called_is_a_type_error_that_names_it(hook, wrong):
    with pytest.raises(TypeError, match=f"{hook} must be callable"):
        sharedmap.rbtree(**{hook: wrong})


@pytest.mark.parametrize("wrong", [1, "name", object()], ids=lambda w: type(w).__name__)
def test_decoder_of_a_map_that_cannot_be_called_is_a_type_error(name, tmp_path, wrong):
    tree = sharedmap.rbtree(a=1)
    tree.share(name)
    tree.save(tmp_path / "x")
    for call in (
        lambda: sharedmap.sharedmap(name, decode=wrong),
        lambda: sharedmap.sharedmap.open(tmp_path / "x", decode=wrong),
        lambda: sharedmap.sharedmap.frombuffer(tree.dump(), decode=wrong),
    ):
        with pytest.raises(TypeError, match="decode must be callable"):
            call()


def test_none_as_a_hook_is_no_hook(name):
    tree = sharedmap.rbtree(a=1, encode=None, decode=None)
    with pytest.raises(TypeError, match="encode="):
        tree["b"] = {1}
    tree.share(name)
    assert sharedmap.sharedmap(name, decode=None)["a"] == 1


def test_decoder_of_a_map_is_given_by_keyword_only(name):
    sharedmap.rbtree(a=1).share(name)
    with pytest.raises(TypeError):
        sharedmap.sharedmap(name, decode)


@pytest.mark.parametrize(
    "take",
    [
        sharedmap.rbtree.copy,
        lambda tree: tree | {},
        lambda tree: {} | tree,
        lambda tree: pickle.loads(pickle.dumps(tree)),
    ],
)
def test_hooks_go_with_a_tree_that_is_made_from_another(take):
    tree = sharedmap.rbtree({"a": [1]}, encode=encode, decode=decode)
    another = take(tree)
    another["b"] = {2}
    assert another == {"a": [1], "b": {2}}


def test_pickled_tree_calls_no_hook(tree, hooks):
    tree["a"] = [1]
    hooks.encoded.clear()
    restored = pickle.loads(pickle.dumps(sharedmap.rbtree.copy(tree)))
    assert hooks.encoded == hooks.decoded == []
    assert restored["a"] == [1]


def test_decoder_goes_with_a_pickled_map():
    tree = sharedmap.rbtree({"a": [1]}, encode=encode, decode=decode)
    assert pickle.loads(pickle.dumps(open_dump(tree, decode=decode)))["a"] == [1]


def test_encoded_value_and_bytes_stay_apart(tree):
    tree["a"] = [1]
    tree["b"] = pickle.dumps([1])
    assert tree == {"a": [1], "b": pickle.dumps([1])}


def test_native_keys_can_be_called_like_the_hooks_but_not_by_keyword():
    tree = sharedmap.rbtree({"encode": 1, "decode": 2})
    tree.update(encode=3)
    assert tree == {"decode": 2, "encode": 3}


# ---- hooks that do more than they should -------------------------------------------------------


@each_way_in
def test_encoder_may_use_the_tree_it_encodes_for(put):
    def encode(value):
        tree.clear()
        tree.update({str(number): "x" * 1000 for number in range(100)})
        tree.clear()
        tree["from the encoder"] = 1
        return b"encoded"

    tree = sharedmap.rbtree(a=1)
    tree.__init__(encode=encode, decode=bytes)
    result = put(tree, [1])
    tree = result if isinstance(result, sharedmap.rbtree) else tree
    assert tree["b"] == b"encoded"
    assert list(tree) == sorted(tree)


def test_decoder_may_change_the_tree_it_decodes_for():
    def decode(data):
        tree.clear()
        return "decoded"

    for take in WAYS_OUT_OF_TREE.values():
        tree = sharedmap.rbtree(encode=encode, decode=decode)
        tree.update(a=[1] * 1000)
        try:
            assert take(tree) in ("decoded", None)
        except RuntimeError as error:
            assert "changed" in str(error)
        assert len(tree) <= 1


def test_encoder_that_raises_in_the_middle_of_an_update_leaves_the_tree_alone():
    def encode(value):
        if value == [2]:
            raise ZeroDivisionError
        return b"encoded"

    tree = sharedmap.rbtree(z=0, encode=encode)
    with pytest.raises(ZeroDivisionError):
        tree.update({"a": [1], "b": [2], "c": [3]})
    assert list(tree) == ["z"]


def test_hook_in_a_cycle_with_its_tree_is_collected():
    class Holder:
        pass

    def make():
        holder = Holder()
        holder.tree = sharedmap.rbtree(encode=lambda value: holder and b"")
        shared = open_dump(sharedmap.rbtree(a=1), decode=lambda data: holder)
        holder.others = [shared, shared["a":], shared.keys(), iter(shared), shared.view("a")]
        holder.parts = [holder.tree["a":], holder.tree.keys(), iter(holder.tree)]
        return weakref.ref(holder)

    gone = make()
    gc.collect()
    assert gone() is None
