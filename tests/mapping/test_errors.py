"""Wrong arguments, one by one: the right exception, and nothing has changed."""

import errno
import inspect
import operator
import os

import pytest
from helpers import segment_path

import sharedmap

# What is no value without a hook.
NO_VALUES = [
    1j,
    {"x"},
    [object()],
    ({1: "y"},),
    {"x": {"y": {"z"}}},
    object(),
    str,
    Ellipsis,
    NotImplemented,
]
# Of each type that is one, the plain and the odd.
VALUES = [
    "",
    "x",
    "\ud800\0",
    b"",
    b"x\0",
    0,
    -1,
    2**63,
    -(2**100),
    0.0,
    1.5,
    float("inf"),
    True,
    False,
    None,
]

NO_KEYS = [b"a", 1, 1.5, None, True, ("a",), ["a"], bytearray(b"a"), object()]

each_value = pytest.mark.parametrize("value", NO_VALUES, ids=lambda v: type(v).__name__)
each_key = pytest.mark.parametrize("key", NO_KEYS, ids=lambda k: type(k).__name__)


@pytest.fixture
def tree():
    tree = sharedmap.rbtree()
    tree["a"] = "1"
    yield tree
    # Whatever a test asked for in vain, the tree is what it was.
    assert [(key, tree[key]) for key in tree] == [("a", "1")]
    assert len(tree) == 1


@pytest.fixture(scope="module")
def shared_name(module_names):
    tree = sharedmap.rbtree()
    tree["a"] = "1"
    name = module_names()
    tree.share(name)
    return name


@pytest.fixture
def shared(shared_name):
    with sharedmap.sharedmap(shared_name) as shared:
        yield shared
        assert [(key, shared[key]) for key in shared] == [("a", "1")]


# --- keys of a tree ---------------------------------------------------------------------------


# Each use of a key: what has it, and what an error calls it.
USES = {
    "get": ("tree shared", "get()", lambda mapping, key: mapping.get(key)),
    "item": ("tree shared", "m[key]", lambda mapping, key: mapping[key]),
    "in": ("tree shared", "key in m", lambda mapping, key: key in mapping),
    "slice from": ("tree shared", "m[low:high]", lambda mapping, key: mapping[key or 0 :]),
    "slice to": ("tree shared", "m[low:high]", lambda mapping, key: mapping["" : key or 0]),
    "prefix": ("tree shared", "prefix()", lambda mapping, key: mapping.prefix(key)),
    "floor": ("tree shared", "floor()", lambda mapping, key: mapping.floor(key)),
    "ceiling": ("tree shared", "ceiling()", lambda mapping, key: mapping.ceiling(key)),
    "lower": ("tree shared", "lower()", lambda mapping, key: mapping.lower(key)),
    "higher": ("tree shared", "higher()", lambda mapping, key: mapping.higher(key)),
    "longest": ("tree shared", "longest_prefix()", lambda m, key: m.longest_prefix(key)),
    "get_many": ("tree shared", "get_many()", lambda mapping, key: mapping.get_many(["a", key])),
    "index": ("shared", "index()", lambda mapping, key: mapping.index(key)),
    "bisect_left": ("shared", "bisect_left()", lambda mapping, key: mapping.bisect_left(key)),
    "bisect_right": ("shared", "bisect_right()", lambda mapping, key: mapping.bisect_right(key)),
    "view": ("shared", "view()", lambda mapping, key: mapping.view(key)),
    "set": ("tree", "set()", lambda mapping, key: mapping.set(key, "x")),
    "item assignment": (
        "tree",
        "m[key] = value",
        lambda mapping, key: mapping.__setitem__(key, "x"),
    ),
    "setdefault": ("tree", "setdefault()", lambda mapping, key: mapping.setdefault(key, "x")),
    "pop": ("tree", "pop()", lambda mapping, key: mapping.pop(key)),
    "del": ("tree", "del m[key]", lambda mapping, key: mapping.__delitem__(key)),
}


@each_key
@pytest.mark.parametrize(
    ("kind", "caller", "use"),
    [(kind, caller, use) for kinds, caller, use in USES.values() for kind in kinds.split()],
    ids=[f"{use} of a {kind}" for use, (kinds, *_) in USES.items() for kind in kinds.split()],
)
def test_wrong_key_raises_type_error_that_names_its_type_and_the_caller(
    request, kind, caller, use, key
):
    with pytest.raises(TypeError) as caught:
        use(request.getfixturevalue(kind), key)
    expected = "int" if caller == "m[low:high]" and not key else type(key).__name__
    assert f"{caught.value}: ".startswith(f"{caller}: keys must be str, not {expected}: ")


# --- values of a tree -------------------------------------------------------------------------


# Each way to put one value, or among others, into a tree, and what an error calls it.
PUTS = {
    "set": lambda tree, key, value: tree.set(key, value),
    "item assignment": lambda tree, key, value: tree.__setitem__(key, value),
    "setdefault": lambda tree, key, value: tree.setdefault(key, value),
    "update with a dict": lambda tree, key, value: tree.update({"b": 1, key: value, "z": 2}),
    "update with pairs": lambda tree, key, value: tree.update([("b", 1), (key, value)]),
    "update with a keyword": lambda tree, key, value: tree.update({"b": 1}, **{key: value}),
    "|=": lambda tree, key, value: tree.__ior__({"b": 1, key: value}),
    "|": lambda tree, key, value: tree | {"b": 1, key: value},
    "reversed |": lambda tree, key, value: {"b": 1, key: value} | tree,
    "constructor": lambda tree, key, value: type(tree)({"b": 1, key: value}),
    "fromkeys": lambda tree, key, value: type(tree).fromkeys(["b", key], value),
    "share": lambda tree, key, value: sharedmap.share({"b": 1, key: value}, "never published"),
    "update": lambda tree, key, value: sharedmap.update("never published", {"b": 1, key: value}),
}
CALLERS = {
    "set": "set()",
    "item assignment": "m[key] = value",
    "setdefault": "setdefault()",
    "|=": "m |= other",
    "|": "m | other",
    "reversed |": "other | m",
    "constructor": "rbtree()",
    "fromkeys": "fromkeys()",
    "share": "share()",
}
each_put = pytest.mark.parametrize("put", PUTS.values(), ids=PUTS.keys())


@each_put
@each_value
def test_wrong_value_raises_type_error_that_names_its_type(tree, put, value):
    wrong = {list: "object", tuple: "int", dict: "set"}.get(type(value), type(value).__name__)
    with pytest.raises(TypeError, match=f"value of key.* type {wrong}"):
        put(tree, "c", value)


@pytest.mark.parametrize("how", PUTS)
def test_wrong_entry_raises_type_error_that_begins_with_the_caller(tree, how):
    wrong = {"'c' is of type object;": object(), "'c' contains an object of type set;": [{1}]}
    for what, value in wrong.items():
        with pytest.raises(TypeError) as caught:
            PUTS[how](tree, "c", value)
        what = what.replace("'c'", "'b'") if how == "fromkeys" else what  # its first key
        start = f"{CALLERS.get(how, 'update()')}: value of key {what}"
        assert str(caught.value).startswith(start)
    if how != "update with a keyword":
        with pytest.raises(TypeError) as caught:
            PUTS[how](tree, 1, "x")
        assert str(caught.value) == f"{CALLERS.get(how, 'update()')}: keys must be str, not int"


def test_wrong_removals_raise_type_error_that_begins_with_update():
    with pytest.raises(TypeError, match=r"^update\(\): keys must be str, not int$"):
        sharedmap.update("never published", {}, [1])
    with pytest.raises(TypeError, match=r"^update\(\): remove must be an iterable of keys"):
        sharedmap.update("never published", {}, "a")


@pytest.mark.parametrize(
    ("caller", "call"),
    [
        ("share()", lambda name: sharedmap.share({}, name)),
        ("share()", lambda name: sharedmap.rbtree().share(name)),
        ("update()", lambda name: sharedmap.update(name, {})),
        ("remove()", lambda name: sharedmap.remove(name)),
        ("sharedmap()", lambda name: sharedmap.sharedmap(name)),
    ],
)
def test_name_that_is_no_str_raises_type_error_that_begins_with_the_caller(caller, call):
    with pytest.raises(TypeError) as caught:
        call(1)
    assert str(caught.value) == f"{caller}: the name must be str, not int"


@pytest.mark.parametrize(
    ("caller", "add"),
    [
        ("rbtree()", sharedmap.rbtree),
        ("update()", lambda source: sharedmap.rbtree().update(source)),
        ("share()", lambda source: sharedmap.share(source, "never published")),
    ],
)
def test_what_is_no_pair_raises_an_error_that_begins_with_the_caller(caller, add):
    with pytest.raises(TypeError) as caught:
        add([("a", 1), 2])
    assert str(caught.value) == f"{caller}: element #1 is not a (key, value) pair"
    with pytest.raises(ValueError, match="length 3") as caught:
        add([("a", 1, 2)])
    assert str(caught.value) == f"{caller}: element #0 has length 3; 2 is required"


@each_value
def test_rbtree_overwriting_with_wrong_value_keeps_the_old_one(tree, value):
    with pytest.raises(TypeError):
        tree["a"] = value
    assert tree["a"] == "1"


@each_put
def test_wrong_value_raises_type_error_that_names_the_way_out(tree, put):
    # The tree is as it was, also where right values came before the wrong one.
    with pytest.raises(TypeError, match=r"of type set;.*encode=.*decode="):
        put(tree, "c", {"x"})


@pytest.mark.parametrize("key", [b"c", 1, None], ids=repr)
@pytest.mark.parametrize("how", [how for how in PUTS if how != "update with a keyword"])
def test_wrong_key_among_others_raises_type_error_and_changes_nothing(tree, how, key):
    with pytest.raises(TypeError, match=type(key).__name__):
        PUTS[how](tree, key, "x")


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_value_of_a_native_type_is_taken_as_it_is(value):
    tree = sharedmap.rbtree()
    tree["a"] = value
    assert (type(tree["a"]), tree["a"]) == (type(value), value)
    # In place of every other, too.
    for other in VALUES:
        tree["a"] = other
        assert (type(tree["a"]), tree["a"]) == (type(other), other)
        tree["a"] = value
        assert (type(tree["a"]), tree["a"]) == (type(value), value)


@each_value
def test_value_of_another_type_is_taken_with_a_hook(value):
    kept = []

    def encode(given):
        kept.append(given)
        return b"%d" % (len(kept) - 1)

    tree = sharedmap.rbtree(encode=encode, decode=lambda data: kept[int(data)])
    tree["a"] = value
    assert tree["a"] is value


@pytest.mark.parametrize("hook", ["encode", "decode"])
@pytest.mark.parametrize("no_function", [1, "bytes", b"x", ()], ids=repr)
def test_hook_that_cannot_be_called_raises_type_error(shared_name, hook, no_function):
    with pytest.raises(TypeError, match=hook):
        sharedmap.rbtree(**{hook: no_function})
    with pytest.raises(TypeError, match=hook):
        if hook == "encode":
            sharedmap.share({}, "never published", encode=no_function)
        else:
            sharedmap.sharedmap(shared_name, decode=no_function)


# --- keys of a map ----------------------------------------------------------------------------


# What else takes a key, of a tree and of a map.
KEYED = {
    "floor": lambda mapping, key: mapping.floor(key),
    "ceiling": lambda mapping, key: mapping.ceiling(key),
    "prefix": lambda mapping, key: mapping.prefix(key),
    "slice from": lambda mapping, key: mapping[key:],
    "slice to": lambda mapping, key: mapping[:key],
    "item of a slice": lambda mapping, key: mapping["a":][key],
    "in a slice": lambda mapping, key: key in mapping["a":],
}
KEYED_OF_TREES = {
    "pop": lambda tree, key: tree.pop(key),
    "pop with a default": lambda tree, key: tree.pop(key, "x"),
    "setdefault": lambda tree, key: tree.setdefault(key),
}
KEYED_OF_MAPS = {
    "get_many": lambda shared, key: shared.get_many(["a", key]),
    "view": lambda shared, key: shared.view(key),
    "index": lambda shared, key: shared.index(key),
    "bisect_left": lambda shared, key: shared.bisect_left(key),
    "bisect_right": lambda shared, key: shared.bisect_right(key),
}
EACH_KEYED = [
    *(("tree", how, call) for how, call in {**KEYED, **KEYED_OF_TREES}.items()),
    *(("shared", how, call) for how, call in {**KEYED, **KEYED_OF_MAPS}.items()),
]


@pytest.mark.parametrize(
    ("owner", "call"),
    [(owner, call) for owner, _, call in EACH_KEYED],
    ids=[f"{owner}-{how}" for owner, how, _ in EACH_KEYED],
)
@pytest.mark.parametrize("key", [b"a", 1, ("a",), object()], ids=lambda key: type(key).__name__)
def test_call_with_wrong_key_raises_type_error(owner, call, key, request):
    with pytest.raises(TypeError, match=type(key).__name__):
        call(request.getfixturevalue(owner), key)


@pytest.mark.parametrize("owner", ["tree", "shared"])
@pytest.mark.parametrize("step", [1, 2, -1, "a"], ids=repr)
def test_slice_with_a_step_raises_value_error(owner, step, request):
    with pytest.raises(ValueError, match="step"):
        request.getfixturevalue(owner)["a":"b":step]


# --- number and names of arguments ------------------------------------------------------------

BAD_TREE_CALLS = {
    "set()": lambda tree: tree.set(),
    "set of a key only": lambda tree: tree.set("b"),
    "set of three": lambda tree: tree.set("b", "2", "3"),
    "set with an unknown keyword": lambda tree: tree.set("b", "2", bogus=1),
    "get()": lambda tree: tree.get(),
    "get of three": lambda tree: tree.get("a", "b", "c"),
    "get with an unknown keyword": lambda tree: tree.get("a", bogus=1),
    "share()": lambda tree: tree.share(),
    "share of three": lambda tree: tree.share("a", True, "c"),
    "share with an unknown keyword": lambda tree: tree.share("a", bogus=1),
    "share with the name twice": lambda tree: tree.share("a", name="a"),
    "share of bytes": lambda tree: tree.share(b"a"),
    "share of a number": lambda tree: tree.share(1),
    "share of None": lambda tree: tree.share(None),
    "dump of bytes": lambda tree: tree.dump(b"label"),
    "dump of a number": lambda tree: tree.dump(1),
    "dump of two": lambda tree: tree.dump("a", "b"),
    "dump with an unknown keyword": lambda tree: tree.dump(bogus=1),
    "remove()": lambda tree: tree.remove(),
    "remove of two": lambda tree: tree.remove("a", "b"),
    "remove of a number": lambda tree: tree.remove(1),
    "remove of None": lambda tree: tree.remove(None),
    "remove with an unknown keyword": lambda tree: tree.remove("a", bogus=1),
    "constructor of a number": lambda tree: sharedmap.rbtree(1),
    "constructor of two": lambda tree: sharedmap.rbtree({}, {}),
    "constructor of keys only": lambda tree: sharedmap.rbtree([1, 2]),
    "share with a mode by position": lambda tree: tree.share("a", True, 0o600),
    "share with a mode that is no number": lambda tree: tree.share("a", mode="rw"),
    "share with an expectation that is no number": lambda tree: tree.share("a", expect=1.5),
    "save()": lambda tree: tree.save(),
    "save to a number": lambda tree: tree.save(1.5),
    "save to None": lambda tree: tree.save(None),
    "save of four": lambda tree: tree.save("a", True, 0o600, "hash"),
    "save with an unknown keyword": lambda tree: tree.save("a", bogus=1),
    "dump with an index by position": lambda tree: tree.dump("a", "hash"),
    "pop()": lambda tree: tree.pop(),
    "pop of three": lambda tree: tree.pop("a", "b", "c"),
    "popitem of a key": lambda tree: tree.popitem("a"),
    "popitem of two": lambda tree: tree.popitem(0, 1),
    "setdefault()": lambda tree: tree.setdefault(),
    "setdefault of three": lambda tree: tree.setdefault("b", "c", "d"),
    "update of a number": lambda tree: tree.update(1),
    "update of two": lambda tree: tree.update({}, {}),
    "clear of one": lambda tree: tree.clear(1),
    "copy of one": lambda tree: tree.copy(1),
    "fromkeys()": lambda tree: tree.fromkeys(),
    "fromkeys of a number": lambda tree: tree.fromkeys(1),
    "fromkeys of three": lambda tree: tree.fromkeys("ab", 1, 2),
    "floor()": lambda tree: tree.floor(),
    "ceiling of two": lambda tree: tree.ceiling("a", "b"),
    "prefix()": lambda tree: tree.prefix(),
    "first of one": lambda tree: tree.first("a"),
    "keys of one": lambda tree: tree.keys("a"),
    "| with a number": lambda tree: tree | 1,
    "|= with a number": lambda tree: tree.__ior__(1),
    "order of two trees": lambda tree: tree < sharedmap.rbtree(),
    "module's share()": lambda tree: sharedmap.share(),
    "module's share without a name": lambda tree: sharedmap.share({}),
    "module's share of a number": lambda tree: sharedmap.share(1, "a"),
    "module's share under a number": lambda tree: sharedmap.share({}, 1),
    "module's share with an unknown keyword": lambda tree: sharedmap.share({}, "a", bogus=1),
    "module's update without changes": lambda tree: sharedmap.update("a"),
    "module's update of a number": lambda tree: sharedmap.update("a", 1),
    "module's update that removes a number": lambda tree: sharedmap.update("a", {}, 1),
    "module's update that removes bytes": lambda tree: sharedmap.update("a", {}, [b"b"]),
    "module's remove()": lambda tree: sharedmap.remove(),
    "module's remove of bytes": lambda tree: sharedmap.remove(b"a"),
    "module's names of one": lambda tree: sharedmap.names("a"),
}


@pytest.mark.parametrize("call", BAD_TREE_CALLS.values(), ids=BAD_TREE_CALLS.keys())
def test_rbtree_call_with_wrong_arguments_raises_type_error(tree, call):
    with pytest.raises(TypeError):
        call(tree)


BAD_MAP_CALLS = {
    "get()": lambda shared: shared.get(),
    "get of three": lambda shared: shared.get("a", "b", "c"),
    "get with an unknown keyword": lambda shared: shared.get("a", bogus=1),
    "close of one": lambda shared: shared.close(1),
    "constructor of nothing": lambda shared: sharedmap.sharedmap(),
    "constructor of a number": lambda shared: sharedmap.sharedmap(1),
    "constructor of bytes": lambda shared: sharedmap.sharedmap(b"a"),
    "constructor of None": lambda shared: sharedmap.sharedmap(None),
    "constructor of a map": lambda shared: sharedmap.sharedmap(shared),
    "constructor of two": lambda shared: sharedmap.sharedmap("a", "b"),
    "constructor with an unknown keyword": lambda shared: sharedmap.sharedmap("a", bogus=1),
    "constructor with an owner that is no user": lambda _: sharedmap.sharedmap("a", owner=1.5),
    "open()": lambda shared: sharedmap.sharedmap.open(),
    "open of a number": lambda shared: sharedmap.sharedmap.open(1.5),
    "open of None": lambda shared: sharedmap.sharedmap.open(None),
    "frombuffer()": lambda shared: sharedmap.sharedmap.frombuffer(),
    "frombuffer of str": lambda shared: sharedmap.sharedmap.frombuffer("a"),
    "frombuffer of None": lambda shared: sharedmap.sharedmap.frombuffer(None),
    "get_many()": lambda shared: shared.get_many(),
    "get_many of a number": lambda shared: shared.get_many(1),
    "get_many of None": lambda shared: shared.get_many(None),
    "get_many of three": lambda shared: shared.get_many([], None, None),
    "get_many with an unknown keyword": lambda shared: shared.get_many([], bogus=1),
    "view()": lambda shared: shared.view(),
    "view of two": lambda shared: shared.view("a", "b"),
    "index()": lambda shared: shared.index(),
    "bisect_left()": lambda shared: shared.bisect_left(),
    "bisect_right of two": lambda shared: shared.bisect_right("a", "b"),
    "peekitem of a key": lambda shared: shared.peekitem("a"),
    "peekitem of two": lambda shared: shared.peekitem(0, 1),
    "first of one": lambda shared: shared.first("a"),
    "items of one": lambda shared: shared.items("a"),
    "refresh of one": lambda shared: shared.refresh(1),
    "snapshot of one": lambda shared: shared.snapshot(1),
    "verify of one": lambda shared: shared.verify(1),
    "wait for a str": lambda shared: shared.wait("a"),
    "| with a list": lambda shared: shared | [("a", 1)],
    "| of a list": lambda shared: [("a", 1)] | shared,
    "|= with a dict": lambda shared: operator.ior(shared, {}),
    "order of two maps": lambda shared: shared < shared,
}


@pytest.mark.parametrize("call", BAD_MAP_CALLS.values(), ids=BAD_MAP_CALLS.keys())
def test_sharedmap_call_with_wrong_arguments_raises_type_error(shared, call):
    with pytest.raises(TypeError):
        call(shared)


def test_force_asks_for_its_truth_and_passes_its_exception(tree, name):
    class Undecided:
        def __bool__(self):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        tree.share(name, force=Undecided())
    with pytest.raises(FileNotFoundError):
        sharedmap.sharedmap(name)


# --- absent and present names -----------------------------------------------------------------


def test_open_of_an_absent_name_raises_file_not_found_error_with_the_name(name):
    with pytest.raises(FileNotFoundError) as caught:
        sharedmap.sharedmap(name)
    assert caught.value.filename == name
    assert caught.value.errno == errno.ENOENT
    assert name in str(caught.value)


@pytest.mark.parametrize(
    "share", [sharedmap.rbtree.share, sharedmap.share], ids=["method", "function"]
)
def test_share_of_an_existing_name_raises_file_exists_error_with_the_name(shared_name, share):
    with pytest.raises(FileExistsError) as caught:
        share(sharedmap.rbtree(b="2"), shared_name)
    assert dict(sharedmap.sharedmap(shared_name)) == {"a": "1"}
    assert caught.value.filename == shared_name
    assert caught.value.errno == errno.EEXIST
    assert shared_name in str(caught.value)


# pytest.raises looks at the exception, an except clause at the type that was raised with it; until
# Python 3.12 these can differ.


def test_except_clause_catches_the_file_not_found_error_of_an_absent_name(name):
    try:
        sharedmap.sharedmap(name)
    except FileNotFoundError:
        return
    raise AssertionError("nothing was raised")


def test_except_clause_catches_the_file_exists_error_of_a_taken_name(tree, shared_name):
    try:
        tree.share(shared_name)
    except FileExistsError:
        return
    raise AssertionError("nothing was raised")


def test_except_clause_catches_the_permission_error_of_a_map_that_others_may_write(name):
    sharedmap.rbtree().share(name)
    os.chmod(segment_path(name), 0o666)
    try:
        sharedmap.sharedmap(name)
    except PermissionError:
        return
    raise AssertionError("nothing was raised")


def test_system_error_is_picklable_with_its_name(name, other):
    with pytest.raises(FileNotFoundError) as caught:
        other.eval("sharedmap.sharedmap(name)", name=name)
    assert caught.value.filename == name


# --- objects made in unusual ways -------------------------------------------------------------


def test_map_made_without_init_is_unusable_and_nothing_worse():
    with pytest.raises((TypeError, ValueError)):
        bare = sharedmap.sharedmap.__new__(sharedmap.sharedmap)
        list(bare)


def test_map_initialised_again_stays_usable(shared_name):
    shared = sharedmap.sharedmap(shared_name)
    keys = iter(shared)
    try:
        shared.__init__(shared_name)
    except (TypeError, ValueError):
        pass
    assert shared["a"] == "1"
    assert list(keys) == ["a"]


def test_map_whose_second_init_fails_stays_usable(shared_name, name):
    shared = sharedmap.sharedmap(shared_name)
    try:
        shared.__init__(name)
    except (OSError, TypeError, ValueError):
        pass
    assert shared["a"] == "1"


def test_tree_made_without_init_is_empty():
    assert list(sharedmap.rbtree.__new__(sharedmap.rbtree)) == []


@pytest.mark.parametrize("owner", ["tree", "shared"])
def test_iterator_type_cannot_be_called(owner, request):
    iterator_type = type(iter(request.getfixturevalue(owner)))
    with pytest.raises(TypeError):
        iterator_type()


# Types that the user meets without having asked for them.
INTERNAL = {
    "base of both": lambda tree, shared: type(tree).__base__,
    "range of a tree": lambda tree, shared: type(tree["a":]),
    "range of a map": lambda tree, shared: type(shared["a":]),
    "keys": lambda tree, shared: type(tree.keys()),
    "values": lambda tree, shared: type(tree.values()),
    "items": lambda tree, shared: type(tree.items()),
    "iterator of a tree's items": lambda tree, shared: type(iter(tree.items())),
    "iterator of a map's items": lambda tree, shared: type(iter(shared.items())),
    "buffer behind a view": lambda tree, shared: type(shared.view("a").obj),
}


@pytest.mark.parametrize("find", INTERNAL.values(), ids=INTERNAL.keys())
def test_internal_type_makes_no_empty_object(tree, shared, find):
    internal = find(tree, shared)
    with pytest.raises(TypeError):
        internal()
    with pytest.raises(TypeError):
        object.__new__(internal)
    with pytest.raises(TypeError):

        class Subclass(internal):
            def __new__(cls):
                return object.__new__(cls)

        Subclass()


@pytest.mark.parametrize("attribute", ["get", "share", "set", "__class__"])
@pytest.mark.parametrize("type_name", ["rbtree", "sharedmap"])
def test_type_cannot_be_changed_for_everybody(type_name, attribute):
    with pytest.raises(TypeError):
        setattr(getattr(sharedmap, type_name), attribute, None)


def methods_of(owner):
    """What the type itself defines, special methods included, by name."""
    return {
        name: method
        for name, method in vars(owner).items()
        if inspect.ismethoddescriptor(method) or inspect.isgetsetdescriptor(method)
    }


def is_refused(method, owner):
    """Whether the method refuses to be one of the owner's, before it looks at arguments."""
    with pytest.raises(TypeError, match=r"requires a|doesn't apply|needs a type"):
        method.__get__(owner) if inspect.isgetsetdescriptor(method) else method(owner)
    return True


@pytest.mark.parametrize("name", sorted(methods_of(sharedmap.sharedmap)))
def test_method_of_a_map_refuses_a_tree(tree, name):
    assert is_refused(methods_of(sharedmap.sharedmap)[name], tree)


@pytest.mark.parametrize("name", sorted(methods_of(sharedmap.rbtree)))
def test_method_of_a_tree_refuses_a_map(shared, name):
    assert is_refused(methods_of(sharedmap.rbtree)[name], shared)


@pytest.mark.parametrize("name", sorted(methods_of(sharedmap.rbtree.__base__)))
def test_method_of_both_refuses_a_dict(name):
    assert is_refused(methods_of(sharedmap.rbtree.__base__)[name], {"a": "1"})
