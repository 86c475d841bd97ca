"""Long work handles signals while it goes on, so Ctrl-C ends it.

The interpreter's own loop would run the handler between two calls. Therefore each case is one call
that is made from C, after a signal has come and before that loop has a turn:

    interrupt -> the call -> mark        all by the C function map()

A call that looks for signals meets this one, and the mark is never set. Work without the GIL looks
for the first time after 20 milliseconds; it has a million entries, which take longer.
"""

import _thread
import collections
import functools
import itertools
import operator
import pickle
import signal
import sysconfig
import types

import pytest

import sharedmap
from sharedmap import rbtree

COUNT = 5000
MANY = 1_000_000

partial = functools.partial
run = operator.methodcaller("__call__")


class Interrupted(Exception):
    pass


def raise_interrupted():
    raise Interrupted


def make_calls(calls, handler, number=signal.SIGINT):
    """The results of calls that are made from C, one after the other, with this handler."""
    previous = signal.signal(number, lambda *_: handler())
    try:
        return list(map(run, calls))
    finally:
        signal.signal(number, previous)


def is_ended(call, *, interrupt=_thread.interrupt_main):
    """Whether the exception of a handler ends the call before the call has an end of its own."""
    marks = []
    with pytest.raises(Interrupted):
        make_calls([interrupt, call, partial(marks.append, None)], raise_interrupted)
        # Here it is handled if it was not before.
    return marks == []


def result_of(call, handler, *, interrupt=_thread.interrupt_main):
    """The result of a call during which the handler has run."""
    handled = []

    def handle():
        handler()
        handled.append(None)

    _, result, handled_by_then = make_calls([interrupt, call, partial(len, handled)], handle)
    assert handled_by_then == 1, "the call did not look for signals"
    return result


# ---- each operation ------------------------------------------------------------------------------


class World:
    """What the operations work on: `some` is every other entry, with other values."""

    def __init__(self, big, name, folder):
        self.big = big
        self.name = name
        self.path = folder / "saved"
        self.entries = {f"{number:07}": number for number in range(COUNT)}
        self.keys = list(self.entries)
        self.pairs = list(self.entries.items())
        self.tree = rbtree(self.entries)
        self.some = rbtree((key, "old") for key in self.keys[::2])
        self.map = sharedmap.sharedmap.frombuffer(self.tree.dump())
        self.same = sharedmap.sharedmap.frombuffer(self.tree.dump())
        self.nothing = sharedmap.sharedmap.frombuffer(rbtree().dump())
        self.proxy = types.MappingProxyType(self.entries)  # a mapping that is no dict

    def interrupted_at_the_end(self, values):
        """The values, after the last of which the signal comes."""
        return itertools.chain(values, filter(None, map(run, [_thread.interrupt_main])))

    def published(self):
        sharedmap.share({"before": 1}, self.name, force=True)
        return self.name


class Big:
    """A million entries, made once."""

    def __init__(self):
        self.tree = rbtree((f"{number:07}", number) for number in range(MANY))
        self.data = self.tree.dump()
        self.map = sharedmap.sharedmap.frombuffer(self.data)
        self.same = sharedmap.sharedmap.frombuffer(self.tree.dump())
        self.pickled = pickle.dumps(self.tree)


NEVER = "never"

# What is called, and after a colon how.
OPERATIONS = {
    "rbtree.__init__: of a dict": lambda w: partial(rbtree, w.entries),
    "rbtree.__init__: of pairs": lambda w: partial(rbtree, w.pairs),
    "rbtree.__init__: of a mapping": lambda w: partial(rbtree, w.proxy),
    "rbtree.__init__: of a sharedmap": lambda w: partial(rbtree, w.map),
    "rbtree.__init__: of a tree": lambda w: partial(rbtree, w.tree),
    "rbtree.fromkeys": lambda w: partial(rbtree.fromkeys, w.keys),
    "rbtree.update: of a dict": lambda w: partial(w.some.update, w.entries),
    "rbtree.update: of pairs": lambda w: partial(w.some.update, w.pairs),
    "rbtree.update: of a sharedmap": lambda w: partial(w.some.update, w.map),
    "rbtree.copy": lambda w: w.tree.copy,
    "rbtree.popitem": lambda w: partial(w.tree.popitem, COUNT // 2),
    "rbtree.__delitem__: of a slice": lambda w: partial(operator.delitem, w.tree, slice("0", "9")),
    "rbtree.dump": lambda w: w.big.tree.dump,
    "rbtree.share": lambda w: partial(w.big.tree.share, w.name),
    "rbtree.save": lambda w: partial(w.big.tree.save, w.path),
    "rbtree.__or__": lambda w: partial(operator.or_, w.tree, {}),
    "rbtree.__ror__": lambda w: partial(operator.or_, {}, w.tree),
    "rbtree.__ior__": lambda w: partial(operator.ior, w.some, w.entries),
    "rbtree.__iter__": lambda w: partial(list, w.tree),
    "rbtree.__reversed__": lambda w: partial(list, reversed(w.tree)),
    "rbtree.__eq__": lambda w: partial(operator.eq, w.tree, w.entries),
    "rbtree.__ne__": lambda w: partial(operator.ne, w.tree, w.map),
    "rbtree.__repr__": lambda w: partial(repr, w.tree),
    "rbtree.__reduce__": lambda w: w.big.tree.__reduce__,
    "rbtree._restore": lambda w: partial(pickle.loads, w.big.pickled),
    "_rbtree_range.__len__": lambda w: partial(len, w.tree["0":"9"]),
    "_rbtree_range.__eq__": lambda w: partial(operator.eq, w.tree["0":"9"], w.entries),
    "_rbtree_range.__ne__": lambda w: partial(operator.ne, w.tree["0":"9"], w.entries),
    "_rbtree_range.__iter__": lambda w: partial(list, w.tree["0":"9"]),
    "_rbtree_range.__reversed__": lambda w: partial(list, reversed(w.tree["0":"9"])),
    "rbtree.get_many": lambda w: partial(w.tree.get_many, w.keys),
    "_rbtree_range.get_many": lambda w: partial(w.tree["0":"9"].get_many, w.keys),
    "_sharedmap_range.get_many": lambda w: partial(w.map["0":"9"].get_many, w.keys),
    "_rbtree_range.__repr__": lambda w: partial(repr, w.tree["0":"9"]),
    "sharedmap.get_many": lambda w: partial(w.map.get_many, w.keys),
    "sharedmap.diff: from nothing": lambda w: partial(w.big.map.diff, w.nothing),
    "sharedmap.diff: to the same": lambda w: partial(w.big.map.diff, w.big.same),
    "sharedmap._content_digest": lambda w: partial(w.map._content_digest, w.keys),
    "sharedmap.verify": lambda w: w.big.map.verify,
    "sharedmap.__iter__": lambda w: partial(list, w.map),
    "sharedmap.__reversed__": lambda w: partial(list, reversed(w.map)),
    "sharedmap.__eq__": lambda w: partial(operator.eq, w.map, w.same),
    "sharedmap.__ne__": lambda w: partial(operator.ne, w.map, w.entries),
    "_sharedmap_range.__iter__": lambda w: partial(list, w.map["0":"9"]),
    "_sharedmap_range.__reversed__": lambda w: partial(list, reversed(w.map["0":"9"])),
    "_sharedmap_range.__eq__": lambda w: partial(operator.eq, w.map["0":"9"], w.same),
    "_sharedmap_range.__ne__": lambda w: partial(operator.ne, w.map["0":"9"], w.same),
    "rbtree.to_dict": lambda w: w.tree.to_dict,
    "_rbtree_range.to_dict": lambda w: w.tree["0":"9"].to_dict,
    "_rbtree_range.__or__": lambda w: partial(operator.or_, w.tree["0":"9"], {}),
    "_rbtree_range.__ror__": lambda w: partial(operator.or_, {}, w.tree["0":"9"]),
    "sharedmap.to_dict": lambda w: w.map.to_dict,
    "sharedmap.__or__": lambda w: partial(operator.or_, w.map, {}),
    "sharedmap.__ror__": lambda w: partial(operator.or_, {}, w.map),
    "_sharedmap_range.to_dict": lambda w: w.map["0":"9"].to_dict,
    "_sharedmap_range.__or__": lambda w: partial(operator.or_, w.map["0":"9"], {}),
    "_sharedmap_range.__ror__": lambda w: partial(operator.or_, {}, w.map["0":"9"]),
    "KeysView.__iter__": lambda w: partial(set, w.map.keys()),
    "KeysView.__reversed__": lambda w: partial(list, reversed(w.map.keys())),
    "KeysView.__eq__": lambda w: partial(operator.eq, w.map.keys(), w.entries.keys()),
    "KeysView.__ne__": lambda w: partial(operator.ne, w.map.keys(), w.entries.keys()),
    "KeysView.__le__": lambda w: partial(operator.le, w.map.keys(), w.same.keys()),
    "KeysView.__lt__": lambda w: partial(operator.lt, w.some.keys(), w.same.keys()),
    "KeysView.__ge__": lambda w: partial(operator.ge, w.map.keys(), set(w.keys)),
    "KeysView.__gt__": lambda w: partial(operator.gt, w.map.keys(), set(w.keys[1:])),
    "KeysView.__and__": lambda w: partial(operator.and_, w.map.keys(), w.same.keys()),
    "KeysView.__rand__": lambda w: partial(operator.and_, set(w.keys), w.map.keys()),
    "KeysView.__or__": lambda w: partial(operator.or_, w.map.keys(), w.same.keys()),
    "KeysView.__ror__": lambda w: partial(operator.or_, set(w.keys), w.map.keys()),
    "KeysView.__sub__": lambda w: partial(operator.sub, w.map.keys(), w.same.keys()),
    "KeysView.__rsub__": lambda w: partial(operator.sub, set(w.keys), w.map.keys()),
    "KeysView.__xor__": lambda w: partial(operator.xor, w.map.keys(), w.same.keys()),
    "KeysView.__rxor__": lambda w: partial(operator.xor, set(w.keys), w.map.keys()),
    "KeysView.isdisjoint": lambda w: partial(w.map.keys().isdisjoint, [NEVER] * COUNT),
    "ItemsView.__iter__": lambda w: partial(dict, w.map.items()),
    "ItemsView.__reversed__": lambda w: partial(list, reversed(w.tree.items())),
    "ItemsView.__eq__": lambda w: partial(operator.eq, w.map.items(), w.entries.items()),
    "ItemsView.__ne__": lambda w: partial(operator.ne, w.map.items(), w.entries.items()),
    "ItemsView.__le__": lambda w: partial(operator.le, w.map.items(), w.same.items()),
    "ItemsView.__lt__": lambda w: partial(operator.lt, w.tree["0":"1"].items(), set(w.pairs)),
    "ItemsView.__ge__": lambda w: partial(operator.ge, w.map.items(), set(w.pairs)),
    "ItemsView.__gt__": lambda w: partial(operator.gt, w.map.items(), set(w.pairs[1:])),
    "ItemsView.__and__": lambda w: partial(operator.and_, w.map.items(), w.same.items()),
    "ItemsView.__rand__": lambda w: partial(operator.and_, set(w.pairs), w.map.items()),
    "ItemsView.__or__": lambda w: partial(operator.or_, w.map.items(), w.same.items()),
    "ItemsView.__ror__": lambda w: partial(operator.or_, set(w.pairs), w.map.items()),
    "ItemsView.__sub__": lambda w: partial(operator.sub, w.map.items(), w.same.items()),
    "ItemsView.__rsub__": lambda w: partial(operator.sub, set(w.pairs), w.map.items()),
    "ItemsView.__xor__": lambda w: partial(operator.xor, w.map.items(), w.same.items()),
    "ItemsView.__rxor__": lambda w: partial(operator.xor, set(w.pairs), w.map.items()),
    "ItemsView.isdisjoint": lambda w: partial(w.map.items().isdisjoint, [NEVER] * COUNT),
    "ValuesView.__iter__": lambda w: partial(list, w.map.values()),
    "ValuesView.__reversed__": lambda w: partial(list, reversed(w.map.values())),
    "ValuesView.__contains__": lambda w: partial(operator.contains, w.map.values(), NEVER),
    "share: of a dict": lambda w: partial(sharedmap.share, w.entries, w.name),
    "share: of a mapping": lambda w: partial(sharedmap.share, w.proxy, w.name),
    "share: of a sharedmap": lambda w: partial(sharedmap.share, w.big.map, w.name),
    "share: of a tree": lambda w: partial(sharedmap.share, w.tree, w.name),
    "update: of a dict": lambda w: partial(sharedmap.update, w.published(), w.entries),
    "update: with remove": lambda w: partial(sharedmap.update, w.published(), {}, w.keys),
}

# The signal comes when all is gathered, and before anything is done with it.
AT_THE_END = {
    "rbtree.__init__: of pairs": lambda w: partial(rbtree, w.interrupted_at_the_end(w.pairs)),
    "rbtree.fromkeys": lambda w: partial(rbtree.fromkeys, w.interrupted_at_the_end(w.keys)),
    "rbtree.update": lambda w: partial(w.some.update, w.interrupted_at_the_end(w.pairs)),
    "update: with remove": lambda w: partial(
        sharedmap.update,
        w.published(),
        {key + "?": 1 for key in w.keys},
        w.interrupted_at_the_end(w.keys),
    ),
}

# What need not look for signals.
SHORT = {
    "a constant number of steps, or O(log n)": [
        "__class_getitem__ __contains__ __copy__ __deepcopy__ __delitem__ __enter__ __exit__",
        "__getitem__ __len__ __new__ __setitem__ __sizeof__",
        "bisect_left bisect_right ceiling close closed first floor frombuffer generation get",
        "higher id index items keys last longest_prefix lower mapping name nbytes open peekitem",
        "pop prefix published_at refresh set setdefault snapshot stale follow_error values view",
        "_reopen _warn_of_failure __dask_tokenize__",
    ],
    "the code of verify, of which it is a part": ["_verify_deltas"],
    "some entries of a long map": [
        "_ipython_key_completions_",
        "ItemsView.__repr__ KeysView.__repr__ ValuesView.__repr__",
    ],
    "a line about a map": ["sharedmap.__repr__ _sharedmap_range.__repr__"],
    "one copy of bytes": ["sharedmap.__reduce__"],
    "memory is freed, which cannot stop half way": ["rbtree.clear"],
    "a wait, which has tests of its own": ["remove wait"],
    "the files of a folder": ["names"],
    "Python code": ["watch derived"],
    "no operation": [
        "FollowWarning SnapshotError StaleError __version__ __hash__ __doc__ __module__",
        *(
            f"{kind}.__{order}__"
            for kind in ("rbtree", "_rbtree_range", "sharedmap", "_sharedmap_range")
            for order in ("lt", "le", "gt", "ge")
        ),
        *(f"{kind}.__ior__" for kind in ("_rbtree_range", "sharedmap", "_sharedmap_range")),
    ],
}


@pytest.fixture(scope="module")
def big():
    return Big()


@pytest.fixture
def world(big, name, tmp_path):
    return World(big, name, tmp_path)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_signal_is_handled_during(world, operation):
    assert is_ended(OPERATIONS[operation](world))
    assert not world.path.exists()
    assert sharedmap.names().count(world.name) == operation.startswith("update:")
    if operation.startswith("update:"):
        with sharedmap.sharedmap(world.name) as published:
            assert dict(published) == {"before": 1}


@pytest.mark.parametrize("operation", AT_THE_END)
def test_signal_is_handled_when_all_is_gathered_for(world, operation):
    assert is_ended(AT_THE_END[operation](world), interrupt=partial(len, ""))


def plain(result):
    """Something that can be compared."""
    if isinstance(result, (rbtree, sharedmap.sharedmap)):
        return list(result.items())
    if isinstance(result, bytes):
        return list(sharedmap.sharedmap.frombuffer(result).items())
    if isinstance(result, tuple) and callable(result[0]):
        return plain(result[1][0])
    return result


@pytest.mark.parametrize("operation", OPERATIONS)
def test_handler_that_returns_changes_nothing_about(world, big, names, tmp_path, operation):
    undisturbed = World(big, names(), tmp_path / "undisturbed")
    undisturbed.path.parent.mkdir()
    expected = OPERATIONS[operation](undisturbed)()
    result = result_of(OPERATIONS[operation](world), lambda: None)
    assert plain(result) == plain(expected)
    assert (world.tree, world.some) == (undisturbed.tree, undisturbed.some)
    assert world.path.exists() == undisturbed.path.exists()
    assert (world.name in sharedmap.names()) == (undisturbed.name in sharedmap.names())


def operations_of(kind):
    """The names that a type has itself, or from our base type."""
    own = [vars(base) for base in kind.__mro__ if base.__module__.startswith("sharedmap")]
    return {name for names in own for name in names}


def test_each_public_operation_is_known_to_be_long_or_short():
    tree = rbtree(a=1)
    shared = sharedmap.sharedmap.frombuffer(tree.dump())
    views = [tree.keys(), tree.values(), tree.items()]
    objects = [tree, tree["a":], shared, shared["a":], *views]
    public = {
        f"{type(one).__name__}.{name}" for one in objects for name in operations_of(type(one))
    }
    public |= set(sharedmap.__all__) - {"rbtree", "sharedmap"}
    long = {operation.partition(":")[0] for operation in OPERATIONS}
    short = {name for lines in SHORT.values() for line in lines for name in line.split()}
    unknown = {name for name in public - long if not {name, name.rpartition(".")[2]} & short}
    assert unknown == set(), "long ones look for signals, short ones belong to SHORT"
    assert long & short == set()
    gone = {name for name in long if name not in public and "__" not in name}
    assert gone - {"rbtree._restore"} == set()


# ---- what a handler finds and does ---------------------------------------------------------------


def test_interrupted_update_leaves_each_entry_old_or_new(world):
    before = dict(world.some)
    assert is_ended(AT_THE_END["rbtree.update"](world), interrupt=partial(len, ""))
    for key, value in world.some.items():
        assert value in (world.entries[key], before.get(key, value))
    assert set(before) <= set(world.some)
    assert list(world.some) == sorted(world.some)
    world.some.update(world.entries)
    assert world.some == world.entries


def test_interrupted_init_leaves_an_empty_tree(world):
    tree = rbtree()
    pairs = world.interrupted_at_the_end(world.pairs)
    assert is_ended(partial(tree.__init__, pairs), interrupt=partial(len, ""))
    assert dict(tree) == {}
    tree.update(world.entries)
    assert tree == world.entries


def test_update_puts_all_though_a_handler_has_cleared_the_tree(world):
    def handler():
        world.some.clear()
        world.some["handler"] = 1

    call = AT_THE_END["rbtree.update"](world)
    result_of(call, handler, interrupt=partial(len, ""))
    assert dict(world.some) == world.entries | {"handler": 1}


def test_tree_that_a_handler_fills_is_filled_further(world):
    tree = rbtree()
    call = partial(tree.update, world.interrupted_at_the_end(world.pairs))
    result_of(call, partial(tree.set, "handler", 1), interrupt=partial(len, ""))
    assert dict(tree) == world.entries | {"handler": 1}


def test_interrupted_del_of_a_slice_can_be_called_again(world):
    call = partial(operator.delitem, world.tree, slice(None))
    assert is_ended(call)
    assert 0 < len(world.tree) < COUNT
    call()
    assert len(world.tree) == 0


@pytest.mark.parametrize("operation", ["rbtree.copy", "rbtree.__or__"])
def test_copy_has_what_a_handler_has_put(world, operation):
    copy = result_of(OPERATIONS[operation](world), partial(world.tree.set, "handler", 1))
    assert dict(copy) == dict(world.tree) == world.entries | {"handler": 1}


def test_repr_has_what_a_handler_has_put(world):
    text = result_of(partial(repr, world.tree), partial(world.tree.set, "handler", 1))
    assert text.endswith("'handler': 1})")


def test_dump_has_what_a_handler_has_put(big):
    tree = big.tree.copy()
    data = result_of(tree.dump, partial(tree.set, "handler", 1))
    with sharedmap.sharedmap.frombuffer(data) as dumped:
        assert dumped["handler"] == 1
        assert len(dumped) == MANY + 1


def test_length_of_a_range_counts_what_a_handler_has_put(world):
    part = world.tree["0":"i"]
    assert result_of(partial(len, part), partial(world.tree.set, "handler", 1)) == COUNT + 1


def test_popitem_takes_the_entry_that_has_the_index_after_the_handler(world):
    call = partial(world.tree.popitem, COUNT // 2)
    key, _ = result_of(call, partial(world.tree.pop, world.keys[0]))
    assert key == world.keys[COUNT // 2 + 1]
    assert len(world.tree) == COUNT - 2


def test_popitem_of_a_tree_that_a_handler_clears_is_a_key_error(world):
    with pytest.raises(KeyError):
        result_of(partial(world.tree.popitem, COUNT // 2), world.tree.clear)


@pytest.mark.parametrize(
    "operation",
    ["rbtree.__iter__", "rbtree.__reversed__", "rbtree.__eq__", "rbtree.__init__: of a tree"],
)
def test_iteration_ends_when_a_handler_changes_the_tree(world, operation):
    with pytest.raises(RuntimeError, match="changed size during iteration"):
        result_of(OPERATIONS[operation](world), world.tree.clear)


def test_gathering_of_a_dict_that_a_handler_changes_ends_or_has_all_of_before(world):
    """Without a GIL, where any thread could do that at any time, a copy is gathered."""
    before = dict(world.entries)
    call = partial(rbtree, world.entries)
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        assert result_of(call, world.entries.popitem) == before
    else:
        with pytest.raises(RuntimeError, match="changed size during iteration"):
            result_of(call, world.entries.popitem)


def test_get_many_answers_though_a_handler_closes_the_map(world):
    values = result_of(partial(world.map.get_many, world.keys), world.map.close)
    assert values == list(world.entries.values())


@pytest.mark.parametrize("kind", ["tree", "map"])
def test_iteration_goes_on_after_the_exception_of_a_handler(world, kind):
    iterator = iter(getattr(world, kind))
    seen = []
    assert is_ended(partial(seen.extend, iterator))
    assert len(seen) < COUNT
    assert seen + list(iterator) == world.keys


def test_only_sigint_is_noticed_while_a_tree_is_guarded(world):
    """Of other signals Python does not say that they have come, but runs their handlers at once."""
    interrupt = partial(_thread.interrupt_main, signal.SIGUSR1)
    handled = []
    calls = [interrupt, world.tree.copy, partial(len, handled)]
    _, copy, handled_by_then = make_calls(calls, partial(handled.append, None), signal.SIGUSR1)
    assert copy == world.tree
    assert (handled_by_then, len(handled)) == (0, 1)


# ---- signals that come at any time ---------------------------------------------------------------


def calls_left(call, *arguments):
    """How many of some calls are not made any more when the first signal's handler raises."""
    left = itertools.repeat(arguments, 20)
    previous = signal.signal(signal.SIGALRM, lambda *_: raise_interrupted())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with pytest.raises(Interrupted):
            collections.deque(itertools.starmap(call, left), maxlen=0)
            signal.pause()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    return left.__length_hint__()


def test_verify_handles_a_signal_that_comes_meanwhile(big):
    assert calls_left(big.map.verify) > 0


def test_unpickling_a_tree_handles_a_signal_that_comes_meanwhile(big):
    assert calls_left(pickle.loads, big.pickled) > 0


def test_sharing_handles_a_signal_that_comes_meanwhile(big, name):
    assert calls_left(sharedmap.share, big.map, name, True) > 0
