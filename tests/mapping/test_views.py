"""keys(), values() and items(): live on a tree, fixed on a snapshot, sets as those of dict are."""

import collections
import collections.abc
import copy
import gc
import operator
import pickle

import pytest
from live import map_of, tree_of

import sharedmap

ENTRIES = {"b": 2, "a": 1, "c": 3}
SORTED = dict(sorted(ENTRIES.items()))


def part_of_tree_of(entries):
    return tree_of({**entries, "": 0, "~": 0})["\0":"~"]


def part_of_map_of(entries):
    return map_of({**entries, "": 0, "~": 0})["\0":"~"]


MAKERS = [tree_of, map_of, part_of_tree_of, part_of_map_of]
each_maker = pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
each_set_view = pytest.mark.parametrize("kind", ["keys", "items"])
each_view = pytest.mark.parametrize("kind", ["keys", "values", "items"])

OTHERS = [
    set(),
    {"a"},
    {"a", "b", "c"},
    {"a", "x"},
    {"a", "b", "c", "x"},
    {1, None, ("a", 1)},
    {("a", 1)},
    {("a", 1), ("b", 2), ("c", 3)},
    {("a", 2), ("x", 1)},
]


def named(other):
    """The same each time, unlike the order of a set."""
    return " ".join(sorted(map(str, other))) or "none"


# ---- what a view is ----------------------------------------------------------------------------


@each_maker
@each_view
def test_view_is_registered_with_its_abstract_class(make, kind):
    view = getattr(make(ENTRIES), kind)()
    abstract = {
        "keys": collections.abc.KeysView,
        "values": collections.abc.ValuesView,
        "items": collections.abc.ItemsView,
    }[kind]
    assert isinstance(view, abstract)
    assert isinstance(view, collections.abc.MappingView)
    assert isinstance(view, collections.abc.Reversible)
    assert isinstance(view, collections.abc.Set) is (kind != "values")


@each_maker
@each_view
def test_view_has_the_elements_in_order(make, kind):
    view = getattr(make(ENTRIES), kind)()
    expected = list(getattr(SORTED, kind)())
    assert list(view) == expected
    assert list(reversed(view)) == expected[::-1]
    assert len(view) == 3
    assert bool(view) is True
    assert not getattr(make({}), kind)()


@each_maker
@each_view
def test_repr_shows_the_elements(make, kind):
    view = getattr(make(ENTRIES), kind)()
    assert repr(view) == f"{kind}({list(getattr(SORTED, kind)())!r})"
    assert repr(getattr(make({}), kind)()) == f"{kind}([])"


@each_maker
@each_view
def test_repr_of_many_elements_is_cut(make, kind):
    exactly = {f"{number:03}": number for number in range(20)}
    assert "..." not in repr(getattr(make(exactly), kind)())
    many = {f"{number:03}": number for number in range(1000)}
    shown = repr(getattr(make(many), kind)())
    assert shown.endswith(", ...])")
    assert "19" in shown
    assert "'020'" not in shown
    assert len(shown) < 1000


@each_view
def test_mapping_of_a_view_is_what_it_looks_at(kind):
    tree, shared = tree_of(ENTRIES), map_of(ENTRIES)
    assert getattr(tree, kind)().mapping is tree
    assert getattr(shared, kind)().mapping == shared
    assert not hasattr(getattr(shared, kind)().mapping, "close")


@each_view
def test_mapping_of_a_view_cannot_be_set(kind):
    view = getattr(tree_of(ENTRIES), kind)()
    with pytest.raises(AttributeError):
        view.mapping = {}
    with pytest.raises((AttributeError, TypeError)):
        del view.mapping
    assert len(view) == 3


@each_maker
@each_view
def test_type_of_a_view_makes_no_instances(make, kind):
    view_type = type(getattr(make(ENTRIES), kind)())
    for make_instance in (
        view_type,
        lambda: view_type({}),
        lambda: view_type.__new__(view_type),
        lambda: object.__new__(view_type),
    ):
        with pytest.raises(TypeError):
            make_instance()
    with pytest.raises(TypeError):
        type("Subclass", (view_type,), {})


@each_maker
@each_view
@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
def test_view_is_not_pickled_or_copied(make, kind, take):
    with pytest.raises(TypeError):
        take(getattr(make(ENTRIES), kind)())


@each_maker
@each_set_view
def test_set_view_is_not_hashable(make, kind):
    with pytest.raises(TypeError):
        hash(getattr(make(ENTRIES), kind)())


# ---- live and fixed ----------------------------------------------------------------------------


@each_view
def test_view_of_a_tree_is_live(kind):
    tree = tree_of({})
    view = getattr(tree, kind)()
    assert list(view) == []
    tree.update(ENTRIES)
    assert list(view) == list(getattr(SORTED, kind)())
    tree["a"] = "other"
    del tree["c"]
    assert list(view) == list(getattr({"a": "other", "b": 2}, kind)())
    tree.clear()
    assert len(view) == 0


@each_view
@pytest.mark.parametrize("direction", [iter, reversed])
@pytest.mark.parametrize(
    "change",
    [
        lambda tree: tree.__setitem__("d", 4),
        lambda tree: tree.set("aa", 4),
        lambda tree: tree.__delitem__("c"),
        lambda tree: tree.pop("a"),
        lambda tree: tree.popitem(),
        lambda tree: tree.setdefault("d", 4),
        lambda tree: tree.update(d=4),
        lambda tree: tree.clear(),
        lambda tree: tree.__ior__({"d": 4}),
        lambda tree: tree.update(d=4) or tree.pop("d"),
    ],
)
def test_change_of_the_keys_during_iteration_raises_runtime_error(kind, direction, change):
    tree = tree_of(ENTRIES)
    elements = direction(getattr(tree, kind)())
    next(elements)
    change(tree)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="changed"):
            next(elements)


@each_view
@pytest.mark.parametrize("direction", [iter, reversed])
def test_change_after_the_last_element_raises_runtime_error_as_with_dict(kind, direction):
    tree, ordinary = tree_of(ENTRIES), dict(SORTED)
    for mapping in (tree, ordinary):
        elements = direction(getattr(mapping, kind)())
        for _ in range(3):
            next(elements)
        mapping["d"] = 4
        with pytest.raises(RuntimeError, match="changed"):
            next(elements)


@pytest.mark.parametrize("direction", [iter, reversed])
def test_change_before_the_end_of_an_empty_tree_raises_runtime_error_as_with_dict(direction):
    for mapping in (tree_of({}), {}):
        keys = direction(mapping)
        mapping["d"] = 4
        with pytest.raises(RuntimeError, match="changed"):
            next(keys)


@each_view
def test_change_after_the_end_leaves_the_iterator_at_its_end(kind):
    tree = tree_of(ENTRIES)
    elements = iter(getattr(tree, kind)())
    assert len(list(elements)) == 3
    tree["d"] = 4
    assert list(elements) == []


@each_view
@pytest.mark.parametrize(
    "no_change",
    [
        lambda tree: tree.__setitem__("b", "x" * 10_000),
        lambda tree: tree.update(a="x" * 10_000, b=None),
        lambda tree: tree.setdefault("b", 5),
        lambda tree: tree.pop("z", None),
        lambda tree: tree.update(),
        lambda tree: tree.update({}),
        lambda tree: tree.copy().clear(),
        lambda tree: tree.dump(),
    ],
)
def test_what_leaves_the_keys_alone_does_not_disturb_an_iteration(kind, no_change):
    tree = tree_of(ENTRIES)
    elements = iter(getattr(tree, kind)())
    next(elements)
    no_change(tree)
    assert len(list(elements)) == 2


@pytest.mark.parametrize(
    "no_change",
    [
        lambda mapping: mapping.update(),
        lambda mapping: mapping.update({}),
        lambda mapping: mapping.update([]),
        lambda mapping: mapping.__ior__({}),
        lambda mapping: mapping.clear(),
        lambda mapping: mapping.pop("a", None),
    ],
)
def test_nothing_done_to_an_empty_tree_does_not_disturb_an_iteration(no_change):
    for mapping in (tree_of({}), {}):
        keys = iter(mapping)
        no_change(mapping)
        assert list(keys) == []


@each_view
def test_view_of_a_map_outlives_its_close(kind):
    shared = map_of(ENTRIES)
    view = getattr(shared, kind)()
    shared.close()
    assert list(view) == list(getattr(SORTED, kind)())
    assert list(reversed(view)) == list(getattr(SORTED, kind)())[::-1]
    assert len(view) == 3
    assert dict(view.mapping) == ENTRIES


@each_maker
@each_view
def test_view_keeps_its_map_alive(make, kind):
    view = getattr(make(ENTRIES), kind)()
    gc.collect()
    assert list(view) == list(getattr(SORTED, kind)())


# ---- membership --------------------------------------------------------------------------------


@each_maker
def test_keys_contain_keys_and_nothing_else(make):
    keys = make(ENTRIES).keys()
    assert "a" in keys
    for absent in ("", "z", 1, None, b"a", ("a", 1), [], {}, object()):
        assert absent not in keys


@each_maker
def test_values_contain_what_is_equal(make):
    values = make({"a": 1, "b": "x", "c": None}).values()
    for present in (1, 1.0, True, "x", None):
        assert present in values
    for absent in (2, "a", b"x", [], object()):
        assert absent not in values


@each_maker
def test_items_contain_pairs_and_nothing_else(make):
    items = make(ENTRIES).items()
    assert ("a", 1) in items
    assert ("a", 1.0) in items
    for absent in (
        ("a", 2),
        ("z", 1),
        (1, 1),
        ("a",),
        ("a", 1, 1),
        (),
        ["a", 1],
        "a1",
        "a",
        None,
        ([], 1),
        ("a", []),
    ):
        assert absent not in items


@each_maker
def test_exception_of_a_comparison_passes(make):
    class Undecided:
        def __eq__(self, other):
            raise ZeroDivisionError

        __hash__ = None

    with pytest.raises(ZeroDivisionError):
        ("a", Undecided()) in make(ENTRIES).items()
    with pytest.raises(ZeroDivisionError):
        Undecided() in make(ENTRIES).values()
    with pytest.raises(ZeroDivisionError):
        make(ENTRIES) == {"a": Undecided(), "b": 2, "c": 3}


# ---- sets --------------------------------------------------------------------------------------


@each_maker
@each_set_view
@pytest.mark.parametrize("other", OTHERS, ids=named)
@pytest.mark.parametrize("operation", ["and_", "or_", "sub", "xor"])
def test_set_operation_gives_the_set_that_dict_gives(make, kind, other, operation):
    view, expected = getattr(make(ENTRIES), kind)(), getattr(SORTED, kind)()
    operation = getattr(operator, operation)
    for operand in (other, frozenset(other), dict.fromkeys(other).keys()):
        for result, wanted in (
            (operation(view, operand), operation(expected, operand)),
            (operation(operand, view), operation(operand, expected)),
        ):
            assert result == wanted
            assert type(result) is set


@each_maker
@each_set_view
@pytest.mark.parametrize("operation", ["and_", "or_", "sub", "xor"])
def test_set_operation_takes_any_iterable_as_dict_does(make, kind, operation):
    view, expected = getattr(make(ENTRIES), kind)(), getattr(SORTED, kind)()
    operation = getattr(operator, operation)
    elements = ["a", "x"] if kind == "keys" else [("a", 1), ("a", 2)]
    # A tuple could be mistaken for several arguments.
    for form in (list, tuple, iter, dict.fromkeys):
        assert operation(view, form(elements)) == operation(expected, form(elements))
        assert operation(form(elements), view) == operation(form(elements), expected)
    tree = sharedmap.rbtree.fromkeys(["a", "x"])
    assert operation(view, tree) == operation(expected, tree)
    assert operation(tree, view) == operation(tree, expected)


@each_maker
@each_set_view
@pytest.mark.parametrize("operation", ["and_", "or_", "sub", "xor"])
@pytest.mark.parametrize("wrong", [None, 1, object()], ids=lambda w: type(w).__name__)
def test_set_operation_with_what_is_not_iterable_raises_type_error(make, kind, operation, wrong):
    view = getattr(make(ENTRIES), kind)()
    for operands in ((view, wrong), (wrong, view)):
        with pytest.raises(TypeError):
            getattr(operator, operation)(*operands)


@each_maker
@each_set_view
@pytest.mark.parametrize("other", OTHERS, ids=named)
@pytest.mark.parametrize("operation", ["eq", "ne", "lt", "le", "gt", "ge"])
def test_comparison_of_sets_gives_what_dict_gives(make, kind, other, operation):
    view, expected = getattr(make(ENTRIES), kind)(), getattr(SORTED, kind)()
    operation = getattr(operator, operation)
    for operand in (other, frozenset(other), dict.fromkeys(other).keys()):
        assert operation(view, operand) is operation(expected, operand)
        assert operation(operand, view) is operation(operand, expected)


@each_set_view
@pytest.mark.parametrize("left", MAKERS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("right", MAKERS, ids=lambda make: make.__name__)
def test_views_of_different_maps_are_compared_and_combined(kind, left, right):
    ours, theirs = getattr(left(ENTRIES), kind)(), getattr(right({"a": 1, "b": 9}), kind)()
    expected_ours = set(getattr(ENTRIES, kind)())
    expected_theirs = set(getattr({"a": 1, "b": 9}, kind)())
    assert ours == getattr(right(ENTRIES), kind)()
    assert ours != theirs
    assert ours & theirs == expected_ours & expected_theirs
    assert ours | theirs == expected_ours | expected_theirs
    assert (ours > theirs) is (expected_ours > expected_theirs)


@each_maker
@each_set_view
def test_set_view_is_not_equal_to_what_is_no_set(make, kind):
    view = getattr(make(ENTRIES), kind)()
    for other in (list(view), tuple(view), None, 1, "abc", make(ENTRIES)):
        assert view != other
        assert other != view
    with pytest.raises(TypeError):
        view < list(view)


@each_maker
@each_set_view
def test_isdisjoint_is_that_of_dict(make, kind):
    view, expected = getattr(make(ENTRIES), kind)(), getattr(SORTED, kind)()
    for other in OTHERS:
        assert view.isdisjoint(other) is expected.isdisjoint(other)
        assert view.isdisjoint(iter(other)) is expected.isdisjoint(iter(other))
    assert view.isdisjoint(getattr(make({"x": 1}), kind)())
    assert not view.isdisjoint(view)
    with pytest.raises(TypeError):
        view.isdisjoint(1)


@each_maker
def test_values_are_no_set(make):
    values = make(ENTRIES).values()
    assert values != make(ENTRIES).values()
    assert values == values
    assert hash(values) is not None
    for operation in (operator.and_, operator.or_, operator.sub, operator.xor, operator.lt):
        with pytest.raises(TypeError):
            operation(values, {1})
    assert not hasattr(values, "isdisjoint")


def test_items_with_unhashable_values_can_be_iterated_but_not_combined():
    tree = sharedmap.rbtree({"a": [1]}, encode=lambda v: bytes(v), decode=lambda data: [*data])
    assert list(tree.items()) == [("a", [1])]
    assert ("a", [1]) in tree.items()
    with pytest.raises(TypeError, match="unhashable"):
        tree.items() & {1}


@each_maker
def test_views_of_a_user_dict_and_ours_are_equal(make):
    other = collections.UserDict(ENTRIES)
    assert make(ENTRIES).keys() == other.keys()
    assert make(ENTRIES).items() == other.items()
    assert other.keys() == make(ENTRIES).keys()
    assert other.items() == make(ENTRIES).items()
