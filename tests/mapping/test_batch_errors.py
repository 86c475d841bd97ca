"""Many entries at once: all of them or none, and for wrong arguments the errors of dict."""

import collections

import pytest

import sharedmap

BEFORE = {"a": 1, "m": 2, "z": 3}
GOOD = {"a": 10, "b": 20, "n": 30, "zz": 40}


@pytest.fixture
def tree():
    return sharedmap.rbtree(BEFORE)


class HasKeys:
    def __init__(self, entries):
        self.entries = entries

    def keys(self):
        return list(self.entries)

    def __getitem__(self, key):
        return self.entries[key]


class SubDict(dict):
    pass


FORMS = {
    "dict": dict,
    "dict subclass": SubDict,
    "UserDict": collections.UserDict,
    "keys and []": HasKeys,
    "pairs": lambda entries: list(entries.items()),
    "lists": lambda entries: [[key, value] for key, value in entries.items()],
    "generator": lambda entries: ((key, value) for key, value in entries.items()),
}
each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())

WAYS = {
    "update": lambda tree, source: tree.update(source),
    "update with keywords": lambda tree, source: tree.update(source, q=1),
    "|=": lambda tree, source: tree.__ior__(source),
    "constructor again": lambda tree, source: tree.__init__(source),
}
each_way = pytest.mark.parametrize("change", WAYS.values(), ids=WAYS.keys())


def with_bad_one_in_the_middle(key, value):
    items = list(GOOD.items())
    return dict([*items[:2], (key, value), *items[2:]])


# ---- all or nothing ----------------------------------------------------------------------------


@each_form
@each_way
def test_good_entries_all_arrive(tree, change, form):
    change(tree, form(GOOD))
    expected = BEFORE | GOOD
    assert {key: tree[key] for key in expected} == expected


@each_form
@each_way
@pytest.mark.parametrize("key", [1, b"k", None, ("k",)], ids=repr)
def test_bad_key_in_the_middle_leaves_the_tree_as_it_was(tree, change, form, key):
    with pytest.raises(TypeError, match=f"keys must be str, not {type(key).__name__}"):
        change(tree, form(with_bad_one_in_the_middle(key, 0)))
    assert list(tree.items()) == list(BEFORE.items())


@each_form
@each_way
def test_bad_value_in_the_middle_leaves_the_tree_as_it_was(tree, change, form):
    with pytest.raises(TypeError, match=r"of type set"):
        change(tree, form(with_bad_one_in_the_middle("k", {1})))
    assert list(tree.items()) == list(BEFORE.items())


@each_form
def test_bad_keyword_leaves_the_tree_as_it_was(tree, form):
    with pytest.raises(TypeError, match=r"of type set"):
        tree.update(form(GOOD), k={1})
    assert list(tree.items()) == list(BEFORE.items())


@each_form
@each_way
def test_bad_entry_leaves_an_empty_tree_empty(change, form):
    tree = sharedmap.rbtree()
    with pytest.raises(TypeError):
        change(tree, form(with_bad_one_in_the_middle(1, 1)))
    assert list(tree) == []
    assert len(tree) == 0


@each_way
def test_iterator_that_raises_in_the_middle_leaves_the_tree_as_it_was(tree, change):
    def pairs():
        yield "a", 10
        yield "k", 10
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change(tree, pairs())
    assert list(tree.items()) == list(BEFORE.items())


@each_way
def test_mapping_that_raises_in_the_middle_leaves_the_tree_as_it_was(tree, change):
    class Failing(HasKeys):
        def __getitem__(self, key):
            if key == "n":
                raise ZeroDivisionError
            return super().__getitem__(key)

    with pytest.raises(ZeroDivisionError):
        change(tree, Failing(GOOD))
    assert list(tree.items()) == list(BEFORE.items())


@each_way
@pytest.mark.parametrize("pair", [("k",), ("k", 1, 2), (), "k", "kvw"], ids=repr)
def test_pair_of_another_length_in_the_middle_leaves_the_tree_as_it_was(tree, change, pair):
    with pytest.raises(ValueError, match=r"#1 has length \d; 2 is required"):
        change(tree, [("b", 1), pair, ("n", 1)])
    assert list(tree.items()) == list(BEFORE.items())


def test_failed_or_leaves_both_sides_as_they_were(tree):
    bad = with_bad_one_in_the_middle(1, 1)
    for operation in (lambda: tree | bad, lambda: bad | tree):
        with pytest.raises(TypeError):
            operation()
    assert list(tree.items()) == list(BEFORE.items())


def test_failed_share_of_a_mapping_publishes_nothing(name):
    with pytest.raises(TypeError, match="keys must be str"):
        sharedmap.share(with_bad_one_in_the_middle(1, 1), name)
    with pytest.raises(FileNotFoundError):
        sharedmap.sharedmap(name)


def test_failed_share_of_a_mapping_leaves_what_was_published(name):
    sharedmap.share(BEFORE, name)
    with pytest.raises(TypeError, match="encode="):
        sharedmap.share(with_bad_one_in_the_middle("k", {1}), name, force=True)
    assert dict(sharedmap.sharedmap(name)) == BEFORE


def test_failed_update_does_not_end_an_iteration(tree):
    keys = iter(tree)
    next(keys)
    with pytest.raises(TypeError):
        tree.update(with_bad_one_in_the_middle(1, 1))
    assert list(keys) == ["m", "z"]


def test_failed_fromkeys_makes_nothing():
    with pytest.raises(TypeError, match="keys must be str, not int"):
        sharedmap.rbtree.fromkeys(["a", 1, "b"])


# ---- the error that dict raises ----------------------------------------------------------------


class RaisingKeys:
    def keys(self):
        raise ZeroDivisionError

    def __getitem__(self, key):
        raise AssertionError("nobody said that there was such a key")


class KeysOfNoIterable(RaisingKeys):
    def keys(self):
        return 1


class KeysWithoutItems:
    def keys(self):
        return ["a"]


class RaisingIter:
    def __iter__(self):
        raise ZeroDivisionError


class RaisingNext:
    def __iter__(self):
        return self

    def __next__(self):
        raise ZeroDivisionError


class NoIterator:
    def __iter__(self):
        return 1


class PairThatRaises:
    def __iter__(self):
        raise ZeroDivisionError


WRONG_SOURCES = {
    "None": None,
    "int": 1,
    "object": object(),
    "str": "ab",
    "list of ints": [1],
    "list of None": [None],
    "list of str": ["abc"],
    "list of short str": ["a"],
    "list of single": [("a",)],
    "list of triples": [("a", 1, 2)],
    "list of empty": [()],
    "good and bad": [("a", 1), 2],
    "keys that raise": RaisingKeys(),
    "keys that are not iterable": KeysOfNoIterable(),
    "keys without items": KeysWithoutItems(),
    "iter that raises": RaisingIter(),
    "next that raises": RaisingNext(),
    "iter that is none": NoIterator(),
    "pair that raises": [PairThatRaises()],
    "class": HasKeys,
}
each_wrong_source = pytest.mark.parametrize(
    "source", WRONG_SOURCES.values(), ids=WRONG_SOURCES.keys()
)


def type_of_error(call, *arguments):
    try:
        call(*arguments)
    except Exception as error:
        return type(error)
    raise AssertionError("nothing was raised")


@each_wrong_source
@pytest.mark.parametrize("method", ["update", "__ior__"])
def test_wrong_source_raises_the_error_of_dict_and_changes_nothing(tree, source, method):
    expected = type_of_error(getattr({}, method), source)
    assert type_of_error(getattr(tree, method), source) is expected
    assert list(tree.items()) == list(BEFORE.items())


@each_wrong_source
def test_constructor_raises_the_error_of_dict_for_a_wrong_source(source):
    assert type_of_error(sharedmap.rbtree, source) is type_of_error(dict, source)


@pytest.mark.parametrize("source", [None, 1, object(), RaisingIter(), RaisingNext()])
def test_fromkeys_raises_the_error_of_dict_for_wrong_keys(source):
    expected = type_of_error(dict.fromkeys, source)
    assert type_of_error(sharedmap.rbtree.fromkeys, source) is expected


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.update({}, {}),
        lambda m: type(m)({}, {}),
        lambda m: m.pop(),
        lambda m: m.pop("a", 1, 2),
        lambda m: m.popitem(1, 2),
        lambda m: m.setdefault(),
        lambda m: m.setdefault("a", 1, 2),
        lambda m: m.clear(1),
        lambda m: m.copy(1),
        lambda m: m.fromkeys(),
        lambda m: m.fromkeys([], 1, 2),
        lambda m: m.keys(1),
        lambda m: m.values(1),
        lambda m: m.items(1),
        lambda m: m | 1,
        lambda m: 1 | m,
        lambda m: m | [("a", 1)],
        lambda m: m < m,
        lambda m: m.get(),
        lambda m: m.get("a", 1, 2),
        lambda m: m.pop("a", default=1),
    ],
)
def test_wrong_call_raises_the_error_of_dict(tree, call):
    assert type_of_error(call, tree) is type_of_error(call, dict(BEFORE)) is TypeError
    assert list(tree.items()) == list(BEFORE.items())


def test_source_that_grows_while_it_is_read_gives_the_keys_that_it_had(tree):
    # Reading it runs code of the user: each key that is asked for adds another one.
    class Growing(dict):
        def __getitem__(self, key):
            self[key + "!"] = 0
            return super().__getitem__(key)

    source = Growing(GOOD)
    tree.update(source)
    assert {key: tree[key] for key in GOOD} == GOOD


def test_tree_may_be_its_own_source(tree):
    for source in (tree, tree[:], tree["a":"n"], tree.items(), tree.prefix("")):
        tree.update(source)
        tree |= source
    assert list(tree.items()) == list(BEFORE.items())
    assert tree | tree == BEFORE


def test_tree_that_changes_while_it_is_the_source_raises_runtime_error():
    other = sharedmap.rbtree(encode=lambda value: source.clear() or b"x")
    source = sharedmap.rbtree({"a": [1], "b": [2]}, encode=lambda v: b"", decode=lambda data: [])
    with pytest.raises(RuntimeError, match="changed"):
        other.update(source)
    assert len(other) == 0


def test_last_of_equal_keys_counts():
    pairs = [("a", number) for number in range(1000)]
    tree = sharedmap.rbtree(pairs)
    assert list(tree.items()) == [("a", 999)]
    tree.update([("a", "x"), ("b", "y"), ("a", "z")], b="last")
    assert list(tree.items()) == [("a", "z"), ("b", "last")]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 63, 64, 65, 1000])
@pytest.mark.parametrize("order", ["sorted", "reversed", "shuffled"])
def test_tree_built_at_once_can_be_changed_like_one_built_step_by_step(count, order):
    keys = [f"{number * 617 % 1000:04}" for number in range(count)]
    keys = {"sorted": sorted(keys), "reversed": sorted(keys)[::-1], "shuffled": keys}[order]
    tree = sharedmap.rbtree((key, key) for key in keys)
    assert list(tree) == sorted(keys)
    for key in keys[::2]:
        del tree[key]
    for key in keys[::4]:
        tree[key + "!"] = key
    expected = [key for key in keys if key not in keys[::2]] + [key + "!" for key in keys[::4]]
    assert list(tree) == sorted(expected)


class Overriding(sharedmap.rbtree):
    def __setitem__(self, key, value):
        raise AssertionError("dict would not call it either")


def test_update_and_constructor_do_not_call_an_overridden_setitem():
    tree = Overriding({"a": 1}, b=2)
    tree.update(c=3)
    tree |= {"d": 4}
    assert tree.setdefault("e", 5) == 5
    assert list(tree) == ["a", "b", "c", "d", "e"]


# ---- subclasses --------------------------------------------------------------------------------


class WithOr(sharedmap.rbtree):
    def __or__(self, other):
        return super().__or__(other)

    def __ror__(self, other):
        return super().__ror__(other)


class WithRorOnly(sharedmap.rbtree):
    def __ror__(self, other):
        return "its own"


def test_or_of_a_subclass_may_call_that_of_the_tree():
    left, right = WithOr(a=1) | {"b": 2}, {"b": 2} | WithOr(a=1)
    assert left == right == {"a": 1, "b": 2}
    assert type(left) is type(right) is WithOr
    assert WithOr(a=1) | WithOr(b=2) == sharedmap.rbtree(a=1) | WithOr(b=2) == left


def test_or_of_a_subclass_refuses_what_is_no_mapping():
    for wrong in (1, None, [("a", 1)], object()):
        with pytest.raises(TypeError):
            WithOr(a=1) | wrong
        with pytest.raises(TypeError):
            wrong | WithOr(a=1)


def test_reversed_or_of_a_subclass_leaves_the_other_direction_alone():
    assert WithRorOnly(a=1) | {"b": 2} == {"a": 1, "b": 2}
    assert {"b": 2} | WithRorOnly(a=1) == "its own"


def test_fromkeys_of_a_subclass_makes_one():
    class Subclass(sharedmap.rbtree):
        pass

    tree = Subclass.fromkeys("ba", 1)
    assert type(tree) is Subclass
    assert list(tree.items()) == [("a", 1), ("b", 1)]


@pytest.mark.parametrize(
    "made", [{}, None, 1, sharedmap.rbtree()[:]], ids=lambda m: type(m).__name__
)
def test_fromkeys_of_a_class_that_makes_no_tree_raises_type_error(made):
    class Other(sharedmap.rbtree):
        def __new__(cls):
            return made

    with pytest.raises(TypeError, match="did not return an rbtree"):
        Other.fromkeys("ab", 1)


def test_exception_in_the_constructor_of_a_class_passes_through_fromkeys():
    class Failing(sharedmap.rbtree):
        def __init__(self):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Failing.fromkeys("ab", 1)
