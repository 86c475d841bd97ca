"""Objects whose content is exactly a native value are stored as that value, and come back as it."""

import array
import collections
import ctypes
import decimal
import enum
import fractions
import gc
import json
import pickle
import sys
import threading

import pytest
from strategies import exact, in_lists

import sharedmap


class Text(str):
    """Nothing that it overrides counts: the content is what it is as a str."""

    def __str__(self):
        return "another"

    def __hash__(self):
        return 1

    def __eq__(self, other):
        return self is other

    def encode(self, *_):
        raise AssertionError("the content is read without calling methods")


class Integer(int):
    def __index__(self):
        raise AssertionError("the content is read without calling methods")

    __int__ = __index__


class Float(float):
    def __float__(self):
        raise AssertionError("the content is read without calling methods")


class Bytes(bytes):
    def __bytes__(self):
        raise AssertionError("the content is read without calling methods")


class Color(enum.IntEnum):
    RED = 3


class Name(enum.StrEnum):
    HOST = "host"
    WIDE = "größe"


class Flag(enum.IntFlag):
    READ = 4


class List(list):
    pass


class OwnList(list):
    def __iter__(self):
        return iter(["its", "own"])


class OwnDict(dict):
    def __iter__(self):
        return iter(self.keys())

    def keys(self):
        return ["z", "a"]

    def __getitem__(self, key):
        return key * 2


# Without one, bytes() of a bytearray that another thread changes is wrong in CPython itself.
HAS_GIL = getattr(sys, "_is_gil_enabled", lambda: True)()

Pair = collections.namedtuple("Pair", "left right")

MOVED = collections.OrderedDict(a=1, b=2)
MOVED.move_to_end("a")

# Name: the object, what comes back.
CONVERTIBLE = {
    "str subclass": (Text("x"), "x"),
    "str subclass, wide": (Text("größe \ud800"), "größe \ud800"),
    "long str subclass": (Text("x" * 10_000), "x" * 10_000),
    "StrEnum": (Name.WIDE, "größe"),
    "bytes subclass": (Bytes(b"x\0"), b"x\0"),
    "long bytes subclass": (Bytes(b"x" * 10_000), b"x" * 10_000),
    "int subclass": (Integer(-1), -1),
    "long int subclass": (Integer(2**100), 2**100),
    "IntEnum": (Color.RED, 3),
    "IntFlag": (Flag.READ, 4),
    "float subclass": (Float(-0.0), -0.0),
    "bytearray": (bytearray(b"x\0"), b"x\0"),
    "empty bytearray": (bytearray(), b""),
    "long bytearray": (bytearray(10_000), bytes(10_000)),
    "memoryview": (memoryview(b"x\0"), b"x\0"),
    "memoryview of numbers": (memoryview(array.array("i", [1])), array.array("i", [1]).tobytes()),
    "memoryview with steps": (memoryview(b"abcdef")[::-2], b"fdb"),
    "list subclass": (List([1, Color.RED]), [1, 3]),
    "list subclass that iterates": (OwnList([1]), ["its", "own"]),
    "namedtuple": (Pair(1, Pair(2, [])), (1, (2, []))),
    "OrderedDict": (MOVED, {"b": 2, "a": 1}),
    "defaultdict": (collections.defaultdict(list, a=[1]), {"a": [1]}),
    "Counter": (collections.Counter("aab"), {"a": 2, "b": 1}),
    "dict subclass that iterates": (OwnDict(b=1), {"z": "zz", "a": "aa"}),
    "keys of subclasses": ({Name.HOST: 1, "b": {Text("x"): 2}}, {"host": 1, "b": {"x": 2}}),
    "keys of the same text": ({Text("x"): 1, "b": 2, Text("x"): 3}, {"x": 3, "b": 2}),
}
each_convertible = pytest.mark.parametrize(
    ("value", "native"), CONVERTIBLE.values(), ids=CONVERTIBLE.keys()
)


def through_tree(value):
    return sharedmap.rbtree(a=value)["a"]


def through_set(value):
    tree = sharedmap.rbtree()
    tree["a"] = value
    return tree["a"]


def through_pairs(value):
    return sharedmap.rbtree([("a", value)])["a"]


def through_snapshot(value):
    shared = sharedmap.sharedmap.frombuffer(sharedmap.rbtree(a=value).dump())
    shared.verify()
    return shared["a"]


WAYS = [through_tree, through_set, through_pairs, through_snapshot]
each_way = pytest.mark.parametrize("through", WAYS)


@each_convertible
@each_way
def test_convertible_is_stored_as_the_native_value(through, value, native):
    assert exact(through(value)) == exact(native)


@each_convertible
@each_way
def test_convertible_in_a_container_is_stored_as_the_native_value(through, value, native):
    stored = [[1, value], {"a": (value, value)}, value]
    assert exact(through(stored)) == exact([[1, native], {"a": (native, native)}, native])


@each_convertible
def test_convertible_is_published_and_updated(name, value, native):
    sharedmap.share({"a": value}, name)
    with sharedmap.sharedmap(name) as shared:
        assert exact(shared["a"]) == exact(native)
    sharedmap.update(name, {"b": value, "a": native})
    with sharedmap.sharedmap(name) as shared:
        assert exact(list(shared.values())) == exact([native, native])


def test_setdefault_gives_the_object_and_stores_the_native_value():
    tree = sharedmap.rbtree()
    assert tree.setdefault("a", Color.RED) is Color.RED
    assert exact(tree["a"]) == exact(3)


# ---- numpy -------------------------------------------------------------------------------------


def numbers_of_numpy():
    np = pytest.importorskip("numpy")
    integers = [
        *(np.int8, np.int16, np.int32, np.int64, np.intc, np.longlong),
        *(np.uint8, np.uint16, np.uint32, np.uint64, np.uintc, np.ulonglong),
    ]
    for kind in integers:
        info = np.iinfo(kind)
        yield from ((kind(number), int(number)) for number in (info.min, 1, info.max))
    for kind in (np.float16, np.float32, np.float64):
        for number in (0.5, -0.0, float("inf"), 1 / 3):
            yield kind(number), float(kind(number))
    yield np.True_, True
    yield np.False_, False
    yield np.str_("größe"), "größe"
    yield np.bytes_(b"x"), b"x"


@each_way
def test_scalar_of_numpy_is_stored_as_the_python_number(through):
    pairs = list(numbers_of_numpy())
    for value, native in pairs:
        assert exact(through(value)) == exact(native)
    scalars, natives = zip(*pairs, strict=True)
    assert exact(through(list(scalars))) == exact(list(natives))


def test_nan_of_numpy_stays_one():
    np = pytest.importorskip("numpy")
    for kind in (np.float16, np.float32, np.float64):
        for found in (through_tree(kind("nan")), *through_tree([kind("nan")])):
            assert type(found) is float
            assert found != found


def others_of_numpy():
    np = pytest.importorskip("numpy")
    return [
        np.array([1, 2]),
        np.array(["x"]),
        np.complex64(1),
        np.datetime64("2024-01-01"),
        np.timedelta64(1, "D"),  # an Integral, numpy says, but with a unit
        np.longdouble(1),  # its float may be another number
        np.void(b"xx"),
    ]


def test_what_is_no_number_of_python_is_refused():
    others = [decimal.Decimal(1), fractions.Fraction(1), ctypes.c_int(1), ctypes.c_char(b"x")]
    for value in others + others_of_numpy():
        for stored in (value, [value]):
            with pytest.raises(TypeError, match=f"type .*{type(value).__name__}"):
                sharedmap.rbtree(a=stored)


# ---- hooks -------------------------------------------------------------------------------------


@each_convertible
def test_encoder_gets_the_convertible_itself(value, native):
    asked = []
    tree = sharedmap.rbtree(encode=lambda v: asked.append(v) or b"encoded", decode=bytes)
    tree["a"] = value
    assert len(asked) == 1
    assert asked[0] is value


@each_convertible
def test_encoder_leaves_the_convertible_to_the_map_with_not_implemented(value, native):
    tree = sharedmap.rbtree(a=value, encode=lambda value: NotImplemented)
    assert "a" in tree
    tree["b"] = value
    assert exact(tree["b"]) == exact(native)


def test_pickle_as_hooks_gives_back_the_very_type():
    tree = sharedmap.rbtree(encode=pickle.dumps, decode=pickle.loads)
    tree["color"], tree["pair"] = Color.RED, Pair(1, 2)
    assert tree["color"] is Color.RED
    assert type(tree["pair"]) is Pair


# ---- keys --------------------------------------------------------------------------------------


@pytest.fixture(params=["tree", "map", "large map", "range"])
def mapping(request):
    entries = {"host": 1, "größe": 2}
    if request.param == "large map":
        entries |= {f"{number:05}": number for number in range(5000)}
    tree = sharedmap.rbtree(entries)
    shared = sharedmap.sharedmap.frombuffer(tree.dump())
    return {"tree": tree, "range": shared["":]}.get(request.param, shared)


def test_convertible_of_a_str_is_looked_up_by_its_text(mapping):
    for key, value in {Name.HOST: 1, Name.WIDE: 2, Text("host"): 1, Text("größe"): 2}.items():
        for _ in range(3):
            assert mapping[key] == mapping.get(key) == value
            assert key in mapping
            assert key in mapping.keys()  # noqa: SIM118
            assert (key, value) in mapping.items()
            assert mapping.floor(key) == str.__str__(key)
    assert Text("absent") not in mapping
    with pytest.raises(KeyError):
        mapping[Text("absent")]
    assert dict(mapping[Text("größe") : Text("host")]) == {"größe": 2}


def test_get_many_looks_up_the_text():
    shared = sharedmap.sharedmap.frombuffer(sharedmap.rbtree(host=1, größe=2).dump())
    assert shared.get_many([Text("größe"), Name.HOST, Text("no")]) == [2, 1, None]


def test_keys_that_are_convertible_objects_come_back_as_str(name):
    tree = sharedmap.rbtree({Name.HOST: 1, Text("größe"): 2})
    tree[Text("host")] = 3
    assert exact(list(tree)) == exact(["größe", "host"])
    assert tree.pop(Text("host")) == 3
    del tree[Name.WIDE]
    assert len(tree) == 0
    sharedmap.share({Text("a"): 1, Text("a"): 2}, name)
    sharedmap.update(name, {Name.HOST: 1}, [Text("a")])
    with sharedmap.sharedmap(name) as shared:
        assert exact(dict(shared)) == exact({"host": 1})


# ---- code of the user runs ---------------------------------------------------------------------


class Failing(list):
    def __iter__(self):
        raise ZeroDivisionError("inside the convertible object")


@pytest.mark.parametrize("value", [Failing(), [1, {"a": Failing()}]], ids=["itself", "inside"])
def test_exception_of_a_convertible_passes_with_a_note_and_stores_nothing(name, value):
    tree = sharedmap.rbtree(other=1)
    for put in (
        lambda: tree.set("the key", value),
        lambda: tree.update({"the key": value}),
        lambda: sharedmap.share({"a": 1, "the key": value}, name),
    ):
        with pytest.raises(ZeroDivisionError, match="inside the convertible object") as caught:
            put()
        assert any("'the key'" in note for note in caught.value.__notes__)
    assert tree == {"other": 1}
    assert name not in sharedmap.names()


def test_released_memoryview_is_an_error_with_a_note():
    view = memoryview(b"x")
    view.release()
    for value in (view, [view]):
        with pytest.raises(ValueError, match="released") as caught:
            sharedmap.rbtree(a=value)
        assert any("'a'" in note for note in caught.value.__notes__)


class Endless(list):
    def __iter__(self):
        return iter([self])


def test_convertible_that_contains_itself_is_refused():
    with pytest.raises(ValueError, match="more than 200 levels deep"):
        sharedmap.rbtree(a=Endless())
    with pytest.raises(ValueError, match="more than 200 levels deep"):
        sharedmap.rbtree(a=in_lists(Pair(1, 2), 200))
    assert through_tree(in_lists(Pair(1, 2), 199)) == in_lists((1, 2), 199)


class Acting(list):
    """A convertible object that does something when it is read."""

    def __init__(self, act):
        self.act = act

    def __iter__(self):
        self.act()
        return iter(())


def test_container_that_a_convertible_changes_is_stored_as_it_was():
    def act():
        items.clear()
        items.extend([object()] * 100)
        config.clear()
        config["new"] = [0]
        gc.collect()

    items = ["x" * 10, Acting(act), "y" * 10, [1]]
    config = {"a" * 10: Acting(act), "b" * 10: ["z"]}
    assert through_tree([items, config]) == [["x" * 10, [], "y" * 10, [1]], {"new": [0]}]
    items = ["x"]
    config = {"a" * 10: Acting(act), "b" * 10: ["z"]}
    assert through_tree(config) == {"a" * 10: [], "b" * 10: ["z"]}


def test_dict_that_a_convertible_changes_is_a_runtime_error_or_stored_as_it_was(name):
    """The second without a GIL, where it is read from a copy."""

    def act():
        source.clear()
        gc.collect()

    for put in (sharedmap.rbtree, lambda source: sharedmap.share(source, name) and name):
        source = {f"{number:04}": f"{number:04}" * 2 for number in range(100)}
        expected = source | {"0010": []}
        source["0010"] = Acting(act)
        try:
            stored = put(source)
        except RuntimeError as error:
            assert "changed size" in str(error)
            assert name not in sharedmap.names()
        else:
            assert (sharedmap.sharedmap(name) if stored == name else stored) == expected


def test_tree_may_be_changed_and_read_by_a_convertible_that_it_stores():
    tree = sharedmap.rbtree((f"{number:04}", number) for number in range(100))

    def act():
        tree.clear()
        tree["new"] = 1

    tree["0050"] = Acting(act)
    assert dict(tree) == {"new": 1, "0050": []}
    assert tree.setdefault("a", Acting(lambda: tree.set("a", "first"))) == "first"
    tree.update({"z": Acting(act), "y": 1})
    assert dict(tree) == {"new": 1, "z": [], "y": 1}


def test_finalizers_that_run_while_convertible_objects_are_read_do_no_harm():
    class Sweeper:
        def __init__(self):
            self.itself = self

        def __del__(self):
            items.clear()
            for found in gc.get_objects():
                if type(found) is dict and "of the test" in found:
                    found.clear()

    threshold = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        for _ in range(50):
            items = [memoryview(b"x"), *([number] for number in range(50)), Pair(1, 2)]
            items += [MOVED, {"of the test": memoryview(b"y"), "b": [1] * 10}]
            Sweeper()
            tree = sharedmap.rbtree(a=items)
            sharedmap.sharedmap.frombuffer(tree.dump()).verify()
            assert type(tree["a"]) is list
    finally:
        gc.set_threshold(*threshold)


def test_convertible_objects_may_change_in_one_thread_while_another_stores_them():
    data, items, done = bytearray(b"x" * 100), List([1]), threading.Event()
    moved = collections.OrderedDict(a=1, b=2)

    def change():
        while not done.is_set():
            if HAS_GIL:
                data[:] = b"y" * (len(data) % 300 + 1)
            items.append(Pair(1, [2]))
            if len(items) > 50:
                items.clear()
            moved.move_to_end("a")

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(300):
            tree = sharedmap.rbtree({"a": [moved, data, items], "b": data, "c": items})
            sharedmap.sharedmap.frombuffer(tree.dump()).verify()
            assert set(tree["b"]) <= {*b"xy"}
            assert all(item in (1, (1, [2])) for item in tree["a"][2])
    finally:
        done.set()
        thread.join()


def test_what_comes_back_is_what_json_would_give():
    value = [Pair(1, Color.RED), MOVED, Name.WIDE, List([Float(0.5)]), collections.Counter("aa")]
    assert json.dumps(through_tree(value)) == json.dumps(value)
