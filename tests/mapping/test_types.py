"""rbtree and sharedmap as Python types: subclasses, weak references, what they are not."""

import ast
import copy
import gc
import inspect
import pickle
import sys
import sysconfig
import types
import weakref

import pytest

import sharedmap


@pytest.fixture
def tree():
    tree = sharedmap.rbtree()
    tree["a"] = "1"
    return tree


@pytest.fixture
def shared_name(tree, name):
    tree.share(name)
    return name


@pytest.fixture
def shared(shared_name):
    with sharedmap.sharedmap(shared_name) as shared:
        yield shared


called = []


def encode_hook(value):
    called.append("encode")
    return repr(value).encode()


def decode_hook(data):
    called.append("decode")
    return ast.literal_eval(data.decode())


class Tree(sharedmap.rbtree):
    def first(self):
        return next(iter(self))


class Map(sharedmap.sharedmap):
    def first(self):
        return next(iter(self))


def test_subclass_of_rbtree_works_with_attributes(name):
    tree = Tree()
    tree["b"] = "2"
    tree.note = "attribute"
    assert tree.first() == "b"
    assert tree.share(name) is True
    assert Tree.remove(name) is True
    assert tree.note == "attribute"


def test_subclass_of_sharedmap_works_with_attributes(tree, name):
    tree.share(name)
    with Map(name) as shared:
        shared.note = "attribute"
        assert shared.first() == "a"
        assert shared.note == "attribute"


def test_operators_of_a_subclass_can_call_those_of_the_tree(workers):
    """In a process of its own, since the wrong object in the right place is the end of one."""
    worker = workers()
    worker.run("""
class Tree(sharedmap.rbtree):
    def __or__(self, other):
        return super().__or__(other)
    def __ror__(self, other):
        return super().__ror__(other)
    def __ior__(self, other):
        return super().__ior__(other)
tree, plain = Tree(a=1, b=1), sharedmap.rbtree(b=2)
""")
    assert worker.eval("dict(tree | {'b': 2})") == {"a": 1, "b": 2}
    assert worker.eval("dict({'b': 2} | tree)") == {"a": 1, "b": 1}
    assert worker.eval("dict(tree | plain)") == {"a": 1, "b": 2}
    assert worker.eval("dict(plain | tree)") == {"a": 1, "b": 1}
    assert worker.eval("dict(tree | tree)") == {"a": 1, "b": 1}
    assert worker.eval("sharedmap.rbtree.__or__(tree, 5)") is NotImplemented
    worker.run("tree |= {'c': 3}")
    assert worker.eval("(type(tree).__name__, dict(tree))") == ("Tree", {"a": 1, "b": 1, "c": 3})


@pytest.mark.parametrize("instead", ["{}", "None", "object()", "sharedmap.rbtree", "plain"])
def test_fromkeys_of_a_subclass_that_makes_something_else_does_not_touch_it(workers, instead):
    worker = workers()
    worker.run(
        """
plain = sharedmap.rbtree()
class Tree(sharedmap.rbtree):
    def __new__(cls):
        return eval(instead)
""",
        instead=instead,
    )
    if instead == "plain":
        assert worker.eval("Tree.fromkeys('ab', 1) is plain and dict(plain)") == {"a": 1, "b": 1}
    else:
        with pytest.raises(TypeError):
            worker.run("Tree.fromkeys('ab')")


def test_hook_that_is_replaced_while_it_works_is_kept_until_then(workers):
    worker = workers()
    worker.run("""
class Encode:
    def __init__(self):
        self.data = b"x" * 100
    def __call__(self, value):
        tree.__init__(encode=bytes, decode=len)
        # Whatever is free now is used again.
        many = [Encode.__new__(Encode) for _ in range(1000)]
        return self.data

tree = sharedmap.rbtree(encode=Encode())
tree.update([("a", [1]), ("b", [2]), ("c", [3])])
""")
    assert worker.eval("(list(tree), tree['a'])") == (["a", "b", "c"], 100)
    worker.run("tree = sharedmap.rbtree(encode=Encode()); tree['a'] = [1]")
    assert worker.eval("dict(tree)") == {"a": 100}
    worker.run("tree = sharedmap.rbtree(encode=Encode()); tree.setdefault('a', [1])")
    assert worker.eval("dict(tree)") == {"a": 100}


def test_subclass_instance_in_a_cycle_is_collected():
    tree = Tree()
    tree.itself = tree
    gone = weakref.ref(tree)
    del tree
    gc.collect()
    assert gone() is None


# What a tree or a map can be looked at through, and then keeps alive.
LOOKS = {
    "iterator": iter,
    "keys": lambda mapping: mapping.keys(),
    "values": lambda mapping: mapping.values(),
    "items": lambda mapping: mapping.items(),
    "iterator of items": lambda mapping: iter(mapping.items()),
    "slice": lambda mapping: mapping["a":],
    "keys of a slice of a slice": lambda mapping: mapping["a":][:"b"].keys(),
}
each_look = pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())


@each_look
def test_subclass_instance_that_keeps_a_look_at_itself_is_collected(look):
    tree = Tree(a="1")
    tree.look = look(tree)
    gone = weakref.ref(tree)
    del tree
    gc.collect()
    assert gone() is None


@each_look
def test_map_that_keeps_a_look_at_itself_is_collected_and_unmapped(shared_name, look):
    shared = Map(shared_name)
    shared.look = look(shared)
    shared.view = shared.view("a")
    gone = weakref.ref(shared)
    del shared
    gc.collect()
    assert gone() is None
    with open("/proc/self/maps") as file:
        assert shared_name not in file.read()


def test_tree_whose_hooks_know_it_is_collected():
    class Owner:
        def encode(self, value):
            return b""

        def decode(self, data):
            return self

    owner = Owner()
    owner.tree = sharedmap.rbtree({"a": owner}, encode=owner.encode, decode=owner.decode)
    owner.look = owner.tree.items()
    assert owner.tree["a"] is owner
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None


def test_map_whose_hook_knows_it_is_collected(name):
    class Owner:
        def decode(self, data):
            return self

    owner = Owner()
    sharedmap.share({"a": owner}, name, encode=lambda value: b"")
    owner.shared = sharedmap.sharedmap(name, decode=owner.decode)
    owner.look = iter(owner.shared.values())
    assert owner.shared["a"] is owner
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None


@pytest.mark.skipif(
    bool(sysconfig.get_config_var("Py_GIL_DISABLED")) and sys.version_info < (3, 14),
    reason="no class is ever collected by Python 3.13 without a GIL once a thread was started",
)
def test_subclass_itself_is_collected():
    class Temporary(sharedmap.rbtree):
        pass

    Temporary()["a"] = "1"
    gone = weakref.ref(Temporary)
    del Temporary
    gc.collect()
    assert gone() is None


def test_tree_can_be_weakly_referenced(tree):
    another = sharedmap.rbtree()
    reference = weakref.ref(another)
    assert reference() is another
    del another
    gc.collect()
    assert reference() is None


def test_map_can_be_weakly_referenced(shared):
    assert weakref.ref(shared)() is shared


def test_objects_give_back_their_references_to_their_types(tree, name):
    tree.share(name)

    def use():
        another = sharedmap.rbtree()
        another["a"] = "1"
        iter(another)
        with sharedmap.sharedmap(name) as shared:
            iter(shared)

    use()
    gc.collect()
    before = [sys.getrefcount(kind) for kind in (sharedmap.rbtree, sharedmap.sharedmap)]
    for _ in range(100):
        use()
    gc.collect()
    assert [sys.getrefcount(kind) for kind in (sharedmap.rbtree, sharedmap.sharedmap)] == before


def test_calls_give_back_their_references_to_keys_and_values(shared):
    key, value, data, default = "k" * 100, "v" * 100, b"b" * 100, object()
    tree = sharedmap.rbtree()
    involved = (key, value, data, default)

    def use():
        tree.set(key, value)
        tree[key] = data
        tree.get(key, default)
        tree.get("absent", default)
        key in tree
        del tree[key]
        tree.setdefault(key, value)
        tree.setdefault(key, data)
        tree.pop(key)
        tree.pop(key, default)
        tree.update({key: value}, **{key: data})
        tree.update([(key, data), [key, value]])
        tree.update(tree.copy() | {key: data} | tree)
        tree.__ior__([(key, value)])
        assert tree == {key: value}
        assert tree != shared
        tree.popitem(0)
        tree.clear()
        type(tree).fromkeys([key, key], value)
        tree[key:value].get(key, default), tree.prefix(key), tree.floor(key)
        hooked = sharedmap.rbtree({key: default}, encode=lambda _: data, decode=lambda _: value)
        hooked[key], hooked.items(), hooked.copy()
        shared.get(key, default)
        shared.get_many([key, "a", key], default)
        shared.get_many((key for _ in range(3)), default)
        shared[key:value].get(key, default), shared.prefix(key), shared.floor(key)
        assert (key, value) not in shared.items()
        assert default not in shared.values()
        shared.keys() & {key}, shared.items() - {(key, value)}
        for call in (lambda: tree[key], lambda: shared[key], lambda: tree.__delitem__(key)):
            with pytest.raises(KeyError):
                call()
        with pytest.raises(TypeError):
            tree[key] = default
        with pytest.raises(TypeError):
            tree[data] = value
        with pytest.raises(TypeError):
            tree.update([(key, value), (key, default)])
        with pytest.raises(TypeError):
            shared.get_many([key, "a", default])
        with pytest.raises(ValueError, match="not in"):
            shared.index(key)

    use()
    before = [sys.getrefcount(thing) for thing in involved]
    for _ in range(100):
        use()
    assert [sys.getrefcount(thing) for thing in involved] == before


@pytest.mark.parametrize("kind", [sharedmap.rbtree, sharedmap.sharedmap, Tree, Map])
def test_type_with_a_parameter_is_an_alias_that_makes_the_same(kind, tree, shared_name):
    alias = kind[int]
    assert type(alias) is types.GenericAlias
    assert (alias.__origin__, alias.__args__) == (kind, (int,))
    if issubclass(kind, sharedmap.rbtree):
        assert type(alias(tree)) is kind
    else:
        with alias(shared_name) as shared:
            assert type(shared) is kind
            assert shared == tree


def test_tree_is_not_hashable(tree):
    with pytest.raises(TypeError):
        hash(tree)


def pickled(protocol):
    return lambda thing: pickle.loads(pickle.dumps(thing, protocol))


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {p}": pickled(p) for p in range(2, pickle.HIGHEST_PROTOCOL + 1)},
}
each_copy = pytest.mark.parametrize("take", COPIES.values(), ids=COPIES.keys())


@each_copy
def test_copy_of_a_tree_has_its_entries_and_is_another(take):
    tree = sharedmap.rbtree({"a": "1", "b": b"2", "c": 2**100, "d": -0.0, "e": True, "f": None})
    tree["\ud800\0"] = ""
    taken = take(tree)
    assert type(taken) is sharedmap.rbtree
    assert repr(taken) == repr(tree)
    taken["a"] = "changed"
    del taken["b"]
    assert (tree["a"], tree["b"]) == ("1", b"2")
    tree["c"] = "changed"
    assert taken["c"] == 2**100


@each_copy
def test_copy_of_an_empty_tree_is_an_empty_tree(take):
    taken = take(sharedmap.rbtree())
    taken["a"] = "1"
    assert list(taken) == ["a"]


@each_copy
def test_copy_of_a_tree_keeps_its_hooks_and_calls_none(take):
    tree = sharedmap.rbtree({"a": [1, 2]}, encode=encode_hook, decode=decode_hook)
    called.clear()
    taken = take(tree)
    assert called == []
    assert taken["a"] == [1, 2]
    taken["b"] = {"x": 1}
    assert taken["b"] == {"x": 1}
    assert called == ["decode", "encode", "decode"]


@each_copy
def test_copy_of_a_tree_of_a_subclass_is_one_with_its_attributes(take):
    tree = Tree(b="2")
    tree.note = ["attribute"]
    taken = take(tree)
    assert type(taken) is Tree
    assert taken.first() == "b"
    assert taken.note == ["attribute"]
    assert "note" not in vars(take(Tree()))


@each_copy
def test_copy_of_a_map_is_another_handle_on_the_same(shared, shared_name, take):
    taken = take(shared)
    assert type(taken) is sharedmap.sharedmap
    assert (taken["a"], taken.name, taken.generation) == ("1", shared_name, 1)
    taken.close()
    assert shared["a"] == "1"


@each_copy
def test_copy_of_a_map_of_a_subclass_is_one(tree, name, take):
    tree.share(name)
    with Map(name) as shared, take(shared) as taken:
        assert type(taken) is Map
        assert taken.first() == "a"


@each_copy
def test_copy_of_a_closed_map_raises_value_error(shared_name, take):
    shared = sharedmap.sharedmap(shared_name)
    shared.close()
    with pytest.raises(ValueError, match="closed"):
        take(shared)


def test_unpickled_map_whose_name_is_gone_raises_file_not_found_error(tree, name):
    # A map does not come back silently empty, nor with its content: it is opened again.
    tree.share(name)
    with sharedmap.sharedmap(name) as shared:
        data = pickle.dumps(shared)
    sharedmap.remove(name)
    with pytest.raises(FileNotFoundError) as caught:
        pickle.loads(data)
    assert caught.value.filename == name


def test_pickle_of_a_map_does_not_hold_its_content(name):
    sharedmap.share({"a": "x" * 100_000}, name)
    with sharedmap.sharedmap(name) as shared:
        assert len(pickle.dumps(shared)) < 1000


@pytest.mark.parametrize("protocol", [0, 1, 2, pickle.HIGHEST_PROTOCOL])
def test_pickled_tree_and_map_are_read_by_another_process(tree, shared, other, protocol):
    for thing in (tree, shared):
        other.run("import pickle; thing = pickle.loads(data)", data=pickle.dumps(thing, protocol))
        assert other.eval("(type(thing).__name__, dict(thing))") == (
            type(thing).__name__,
            {"a": "1"},
        )
    other.run("thing.close()")


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"", bytes.upper])
def test_tree_from_a_damaged_pickle_raises_snapshot_error(tree, damage):
    rebuild, (kind, data, *hooks), *_ = tree.__reduce__()
    assert rebuild(kind, data, *hooks) == tree
    with pytest.raises(sharedmap.SnapshotError):
        rebuild(kind, damage(data), *hooks)


def steps_of(mapping):
    return [
        *(iter(mapping), reversed(mapping)),
        *(iter(view) for view in (mapping.keys(), mapping.values(), mapping.items())),
        *(reversed(view) for view in (mapping.keys(), mapping.values(), mapping.items())),
    ]


@pytest.mark.parametrize("owner", ["tree", "shared"])
def test_length_hint_of_an_iterator_counts_what_is_left(owner, name):
    tree = sharedmap.rbtree(a=1, b=2, c=3)
    tree.share(name)
    with sharedmap.sharedmap(name) as shared:
        for steps in steps_of(tree if owner == "tree" else shared):
            hints = [steps.__length_hint__()]
            for _ in steps:
                hints.append(steps.__length_hint__())
            assert hints == [3, 2, 1, 0]
            assert list(steps) == []
            assert steps.__length_hint__() == 0


@pytest.mark.parametrize("owner", ["tree", "shared"])
def test_length_hint_of_a_slices_iterator_is_never_too_high(owner, name):
    tree = sharedmap.rbtree(a=1, b=2, c=3)
    tree.share(name)
    with sharedmap.sharedmap(name) as shared:
        for steps in steps_of((tree if owner == "tree" else shared)["b":]):
            assert steps.__length_hint__() <= 2
            assert len(list(steps)) == 2


def public_things():
    """What help() shows: the package's names, and what the types have, by their full names."""
    things = {name: getattr(sharedmap, name) for name in sharedmap.__all__}
    del things["__version__"]
    for owner in (sharedmap.rbtree, sharedmap.sharedmap):
        for name in dir(owner):
            if not name.startswith("_"):
                things[f"{owner.__name__}.{name}"] = getattr(owner, name)
    return things


PUBLIC = public_things()
SIGNATURES = {
    "rbtree": "(data=(), /, *, encode=None, decode=None, **items)",
    "rbtree.get": "(self, key, /, default=None)",
    "rbtree.set": "(self, key, value, /)",
    "rbtree.pop": "(self, key, default=Ellipsis, /)",
    "rbtree.popitem": "(self, /, index=-1)",
    "rbtree.setdefault": "(self, key, /, default=None)",
    "rbtree.update": "(self, data=(), /, **items)",
    "rbtree.clear": "(self, /)",
    "rbtree.copy": "(self, /)",
    "rbtree.fromkeys": "(keys, value=None, /)",
    "rbtree.share": "(self, /, name, force=False, *, mode=384, expect=None, index='hash', "
    "huge_pages=False, timeout=5.0, exist_ok=False, align=8)",
    "rbtree.save": "(self, /, path, force=False, *, mode=384, index='hash', timeout=5.0, align=8)",
    "rbtree.dump": "(self, /, name='', *, index='hash', align=8)",
    "rbtree.remove": "(name, /, *, timeout=5.0)",
    "sharedmap": "(name, *, follow=False, decode=None, owner=None, wait=0)",
    "sharedmap.open": "(path, *, follow=False, decode=None, owner=None, wait=0)",
    "sharedmap.frombuffer": "(data, *, decode=None)",
    "sharedmap.get": "(self, key, /, default=None)",
    "sharedmap.get_many": "(self, /, keys, default=None, *, missing='error')",
    "sharedmap.peekitem": "(self, /, index=-1)",
    "sharedmap.wait": "(self, /, timeout=None)",
    "sharedmap.close": "(self, /)",
    "share": "(mapping, name, force=False, *, mode=384, expect=None, index='hash', "
    "huge_pages=False, encode=None, timeout=5.0, exist_ok=False, align=8)",
    "update": "(name, changes, remove=(), *, encode=None, timeout=60.0, expect=None)",
    "remove": "(name, /, *, timeout=5.0)",
    "names": "()",
}


@pytest.mark.parametrize("public", SIGNATURES)
def test_signature_is_that_of_the_documentation(public):
    assert str(inspect.signature(PUBLIC[public])) == SIGNATURES[public]


def test_arguments_by_keyword_are_those_of_the_signature(tree, shared_name, tmp_path):
    path = tmp_path / "map"
    assert tree.get("z", default=1) == 1
    assert tree.setdefault("a", default=1) == "1"
    assert tree.share(name=shared_name, force=True, mode=0o600, expect=1, index="tree") is True
    assert tree.save(path=path, force=False, mode=0o600, index="tree") is True
    with sharedmap.sharedmap(name=shared_name, follow=False, decode=None, owner=None) as shared:
        assert shared.get_many(keys=["z"], default=1) == [1]
        assert shared.peekitem(index=0) == ("a", "1")
        assert shared.wait(timeout=0) is False
    with sharedmap.sharedmap.open(path=path, follow=False, decode=None, owner=None) as shared:
        assert shared["a"] == "1"
    data = tree.dump(name="label", index="hash")
    assert sharedmap.sharedmap.frombuffer(data=data, decode=None)["a"] == "1"
    assert tree.popitem(index=0) == ("a", "1")
    assert sharedmap.share(mapping={"b": 2}, name=shared_name, force=True, encode=None) is True
    assert sharedmap.update(name=shared_name, changes={"c": 3}, remove=["b"], encode=None) == 4


def test_module_imported_again_has_types_of_its_own_that_work(workers, name):
    worker = workers()
    worker.run(
        """
import sys
first = sharedmap
for module in [module for module in sys.modules if module.partition(".")[0] == "sharedmap"]:
    del sys.modules[module]
import sharedmap as second
t = first.rbtree()
t["a"] = "1"
t.share(name)
assert second.sharedmap(name)["a"] == first.sharedmap(name)["a"] == "1"
try:
    second.sharedmap("absent " + name)
except FileNotFoundError:
    pass
""",
        name=name,
    )
    assert worker.eval("second.rbtree is not first.rbtree")
