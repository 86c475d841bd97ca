"""get_many(): what get() would answer for each key, in one call."""

import gc

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sharedmap

ENTRIES = {
    **{f"key {number}": number for number in range(1000)},
    "": "the empty key",
    "\0": b"",
    "é": 2.5,
    "红": "32是",
    "\ud800": True,
    "k" * 5000: None,
    "é" * 5000: -(2**100),
    "big": "x" * 100_000,
    "bytes": b"y" * 100_000,
}
ABSENT = ["absent", "key", "key 1000", "\0\0", "\ud800\udc00", "k" * 4999, "é" * 5001]
# Keys are looked up in groups, so these are around the size of one and of several.
COUNTS = [0, 1, 2, 31, 32, 33, 63, 64, 65, 1000]


@pytest.fixture(scope="module", params=["hash", "tree"])
def index(request):
    return request.param


@pytest.fixture(scope="module")
def shared_name(module_names, index):
    name = module_names()
    sharedmap.share(ENTRIES, name, index=index)
    return name


@pytest.fixture(scope="module")
def path(tmp_path_factory, index):
    path = tmp_path_factory.mktemp("saved") / "map"
    sharedmap.rbtree(ENTRIES).save(path, index=index)
    return path


# One after the other from shared memory, a file and a buffer; and one that follows.
@pytest.fixture(params=["name", "following", "file", "buffer"])
def shared(request, index):
    opened = {
        "name": lambda: sharedmap.sharedmap(request.getfixturevalue("shared_name")),
        "following": lambda: sharedmap.sharedmap(
            request.getfixturevalue("shared_name"), follow=True
        ),
        "file": lambda: sharedmap.sharedmap.open(request.getfixturevalue("path")),
        "buffer": lambda: sharedmap.sharedmap.frombuffer(
            sharedmap.rbtree(ENTRIES).dump(index=index)
        ),
    }[request.param]()
    with opened:
        yield opened


@pytest.fixture
def one(index):
    """For what does not depend on where the map lies."""
    return sharedmap.sharedmap.frombuffer(sharedmap.rbtree(ENTRIES).dump(index=index))


def same(answers, expected):
    return [(type(answer), answer) for answer in answers] == [
        (type(answer), answer) for answer in expected
    ]


# --- answers ----------------------------------------------------------------------------------


def test_all_keys_are_answered_in_the_order_of_the_question(shared):
    keys = [*reversed(ENTRIES), *ENTRIES]
    assert same(shared.get_many(keys), [ENTRIES[key] for key in keys])


@pytest.mark.parametrize("count", COUNTS)
def test_any_number_of_keys_is_answered(shared, count):
    keys = [f"key {number}" for number in range(count)]
    assert same(shared.get_many(keys), range(count))


@pytest.mark.parametrize("count", COUNTS)
def test_any_number_of_absent_keys_is_none(one, count):
    assert one.get_many([f"absent {number}" for number in range(count)]) == [None] * count


def test_absent_keys_among_others_are_none(shared):
    keys = [key for pair in zip(ABSENT, ENTRIES, strict=False) for key in pair]
    assert same(shared.get_many(keys), [ENTRIES.get(key) for key in keys])


def test_absent_keys_are_the_default(shared):
    default = object()
    answers = shared.get_many(["key 1", *ABSENT, "key 2"], default)
    assert answers[0] == 1
    assert all(answer is default for answer in answers[1:-1])
    assert answers[-1] == 2


def test_default_can_be_given_by_its_name(one):
    assert one.get_many(["absent"], default=5) == [5]
    assert one.get_many(keys=["absent"], default=5) == [5]


def test_value_none_is_not_the_default(one):
    assert one.get_many(["k" * 5000, "absent"], 5) == [None, 5]


def test_key_asked_for_several_times_is_answered_each_time(one):
    assert same(one.get_many(["key 7", "absent", "key 7"] * 50), [7, None, 7] * 50)


def test_answer_is_a_new_list_each_time(one):
    first, second = one.get_many(["key 1"]), one.get_many(["key 1"])
    assert type(first) is list
    assert first is not second
    assert one.get_many([]) == []
    assert one.get_many([]) is not one.get_many([])


def test_answers_outlive_the_map(one):
    answers = one.get_many(["big", "bytes"])
    one.close()
    assert answers == ["x" * 100_000, b"y" * 100_000]


def test_empty_map_has_none_of_the_keys(index):
    empty = sharedmap.sharedmap.frombuffer(sharedmap.rbtree().dump(index=index))
    assert empty.get_many(["a", "", "b"] * 20) == [None] * 60
    assert empty.get_many([]) == []


# --- what keys can come in --------------------------------------------------------------------


class Text(str):
    def __hash__(self):
        raise AssertionError("a key counts by its characters")

    def __eq__(self, other):
        raise AssertionError("a key counts by its characters")


class ByItem:
    """Iterable the old way only."""

    def __getitem__(self, place):
        return [f"key {number}" for number in range(100)][place]


CONTAINERS = {
    "list": list,
    "tuple": tuple,
    "generator": lambda keys: (key for key in keys),
    "iterator": iter,
    "dict": dict.fromkeys,
    "keys of a dict": lambda keys: dict.fromkeys(keys).keys(),
    "str subclasses": lambda keys: [Text(key) for key in keys],
    "subclass of list": type("List", (list,), {}),
    "subclass of tuple": type("Tuple", (tuple,), {}),
    "old sequence": lambda keys: ByItem(),
    "map()": lambda keys: map(str, keys),
}


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS.keys())
def test_any_iterable_of_keys_is_answered(one, container):
    keys = container([f"key {number}" for number in range(100)])
    assert same(one.get_many(keys), range(100))


def test_map_answers_for_its_own_keys(one):
    keys = list(one)
    expected = [ENTRIES[key] for key in keys]
    for asked in (one, one.keys(), one[:], (pair[0] for pair in one.items())):
        assert same(one.get_many(asked), expected)


def test_set_is_answered_in_its_own_order(one):
    keys = {"key 1", "key 2", "absent"}
    assert one.get_many(keys) == [ENTRIES.get(key) for key in keys]


def test_generator_is_taken_to_its_end(one):
    keys = iter(["key 1", "key 2"])
    one.get_many(keys)
    assert list(keys) == []


# --- wrong keys -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong", [b"key 1", 1, None, ("key 1",), object()], ids=lambda w: type(w).__name__
)
@pytest.mark.parametrize("place", [0, 1, 31, 32, 33, 99])
@pytest.mark.parametrize("container", [list, tuple, iter])
def test_key_that_is_no_str_raises_type_error(one, wrong, place, container):
    keys = [f"key {number}" for number in range(99)]
    keys.insert(place, wrong)
    with pytest.raises(TypeError, match=f"must be str, not {type(wrong).__name__}"):
        one.get_many(container(keys))
    assert one["key 1"] == 1


@pytest.fixture(params=["map", "tree", "range of a map", "range of a tree"])
def each(request, one):
    """All mappings have get_many(), and that of maps is its own."""
    tree = sharedmap.rbtree(ENTRIES)
    return {"map": one, "tree": tree, "range of a map": one[:], "range of a tree": tree[:]}[
        request.param
    ]


def test_all_mappings_answer_alike(each):
    keys = [*ABSENT, *reversed(ENTRIES)]
    assert same(each.get_many(keys, 5), [ENTRIES.get(key, 5) for key in keys])
    assert each.get_many([]) == []


NO_STR = [float("nan"), None, 1, b"key 1", ("key 1",), object()]


@pytest.mark.parametrize("wrong", NO_STR, ids=lambda w: type(w).__name__)
@pytest.mark.parametrize("at", [0, 33])
def test_error_names_the_key_that_is_no_str_its_index_and_what_to_do(each, wrong, at):
    keys = [f"key {number}" for number in range(40)]
    keys.insert(at, wrong)
    with pytest.raises(TypeError) as raised:
        each.get_many(keys)
    assert str(raised.value) == (
        f"get_many(): keys must be str, not {type(wrong).__name__}: element #{at} is {wrong!r}; "
        "pass missing='default' to get the default for such keys"
    )


def test_error_does_not_repeat_a_key_that_is_long(each):
    with pytest.raises(TypeError) as raised:
        each.get_many([b"x" * 10_000])
    assert len(str(raised.value)) < 300


def test_key_that_is_no_str_is_absent_with_missing_default(each):
    keys = [*NO_STR, "key 1", "absent"]
    assert each.get_many(keys, missing="default") == [None] * 6 + [1, None]
    assert each.get_many(keys, "x", missing="default") == ["x"] * 6 + [1, "x"]
    with pytest.raises(TypeError):
        each.get_many(keys, missing="error")


def test_missing_is_one_of_two_words(each):
    with pytest.raises(ValueError, match="missing must be 'error' or 'default', not 'ignore'"):
        each.get_many([], missing="ignore")
    with pytest.raises(TypeError):
        each.get_many([], None, "default")


# --- arrays -----------------------------------------------------------------------------------


def test_arrays_of_numpy_are_keys(each):
    keys = ["key 1", "absent", "é", "key 2"]
    expected = [1, None, 2.5, 2]
    assert each.get_many(numpy.array(keys)) == expected
    assert each.get_many(numpy.array(keys, object)) == expected
    assert each.get_many(numpy.array(keys)[::-1]) == expected[::-1]
    some = numpy.array(["key 1", None, numpy.nan], object)
    assert each.get_many(some, 0, missing="default") == [1, 0, 0]


def test_array_without_a_dimension_is_a_single_str(each):
    with pytest.raises(TypeError, match="not a single str"):
        each.get_many(numpy.array("key 1"))


def test_exception_of_tolist_is_passed_on(each):
    class Array:
        def tolist(self):
            raise ZeroDivisionError

    class Failing:
        @property
        def tolist(self):
            raise ZeroDivisionError

    for array in (Array(), Failing()):
        with pytest.raises(ZeroDivisionError):
            each.get_many(array)


@pytest.mark.parametrize("wrong", [1, None, 1.5, object()], ids=lambda w: type(w).__name__)
def test_keys_that_cannot_be_iterated_raise_type_error(one, wrong):
    with pytest.raises(TypeError, match="iterable"):
        one.get_many(wrong)


def test_exception_of_a_generator_is_passed_on(one):
    def keys():
        yield "key 1"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        one.get_many(keys())


# --- what happens meanwhile -------------------------------------------------------------------


def test_map_closed_by_its_own_keys_still_answers(shared_name):
    shared = sharedmap.sharedmap(shared_name)

    def keys():
        yield "key 1"
        shared.close()
        gc.collect()
        yield "key 2"

    assert shared.get_many(keys()) == [1, 2]
    assert shared.closed


@pytest.mark.parametrize("follow", [False, True], ids=["pinned", "following"])
def test_all_answers_are_of_one_snapshot(name, index, follow):
    """Not of the one that is published while the keys are counted up."""
    keys = [str(number) for number in range(100)]
    sharedmap.share(dict.fromkeys(keys, "old"), name, index=index)
    with sharedmap.sharedmap(name, follow=follow) as shared:

        def while_published():
            yield from keys[:50]
            sharedmap.share(dict.fromkeys(keys, "new"), name, force=True, index=index)
            yield from keys[50:]

        assert shared.get_many(while_published()) == ["old"] * 100
        assert shared.get_many(keys) == ["new" if follow else "old"] * 100


def test_index_may_change_with_the_next_snapshot(name):
    with pytest.raises(FileNotFoundError):
        sharedmap.sharedmap(name)
    for number, index in enumerate(["hash", "tree", "hash", "tree"]):
        sharedmap.share({"number": number}, name, force=True, index=index)
        if number == 0:
            shared = sharedmap.sharedmap(name, follow=True)
        assert shared.get_many(["number", "absent"]) == [number, None]
        assert shared["number"] == number
    shared.close()


def test_list_that_the_garbage_collector_empties_is_no_danger(workers):
    """Its finalizers may run whenever an object is made, also between two looks at the list."""
    worker = workers()
    worker.run("""
import gc
m = sharedmap.sharedmap.frombuffer(sharedmap.rbtree(a=1).dump())

class Emptying:
    def __init__(self, keys):
        self.cycle, self.keys = self, keys
    def __del__(self):
        self.keys.clear()
        self.keys.extend(["a"] * 3)

def ask(threshold):
    keys = [f"key {number}" for number in range(100_000)]
    gc.disable()
    gc.collect()
    Emptying(keys)
    gc.set_threshold(threshold, 1, 1)
    gc.enable()
    return len(m.get_many(keys))

answers = {ask(threshold) for threshold in range(1, 12)}
gc.set_threshold(700, 10, 10)
""")
    assert worker.eval("answers <= {3, 100_000}")


# --- values that are encoded ------------------------------------------------------------------


@pytest.fixture
def encoded(index):
    """encoded(decode): a map of such values and others, read with this hook."""
    entries = {f"key {number}": [number] for number in range(100)} | {"native": 1}
    data = sharedmap.rbtree(entries, encode=bytes).dump(index=index)
    return lambda decode=None: sharedmap.sharedmap.frombuffer(data, decode=decode)


def test_encoded_values_are_decoded_in_order_and_others_are_not(encoded):
    seen = []

    def decode(data):
        seen.append(data)
        return list(data)

    keys = ["key 5", "native", "absent", "key 7", "key 5"]
    assert encoded(decode).get_many(keys, "x") == [[5], 1, "x", [7], [5]]
    assert seen == [b"\5", b"\7", b"\5"]


def test_encoded_value_without_a_hook_raises_type_error_that_names_it(encoded):
    assert encoded().get_many(["native", "absent"]) == [1, None]
    for keys in (["key 5"], ["native"] * 40 + ["key 5"]):
        with pytest.raises(TypeError, match="decode="):
            encoded().get_many(keys)


def test_exception_of_the_hook_is_passed_on(encoded):
    def decode(data):
        if data == b"\x32":
            raise ZeroDivisionError
        return data

    with pytest.raises(ZeroDivisionError):
        encoded(decode).get_many([f"key {number}" for number in range(100)])


def test_hook_that_changes_the_keys_or_closes_the_map_does_not_disturb(encoded):
    keys = [f"key {number}" for number in range(100)]

    def decode(data):
        if keys:
            keys.clear()
            shared.close()
            gc.collect()
        return data[0]

    shared = encoded(decode)
    assert shared.get_many(keys) == list(range(100))
    assert keys == []
    assert shared.closed


def test_hook_may_look_up_in_the_same_map(encoded):
    def decode(data):
        return [*shared.get_many(["native", "absent"] * 20)[:2], data[0]]

    shared = encoded(decode)
    assert shared.get_many(["key 1", "key 2"]) == [[1, None, 1], [1, None, 2]]


# --- all at once ------------------------------------------------------------------------------

TEXT = st.text(st.one_of(st.characters(), st.sampled_from("ab\0\ud800é")), max_size=20)
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXT, st.binary()
)


@settings(
    deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(entries=st.dictionaries(TEXT, VALUES, max_size=60), others=st.lists(TEXT, max_size=60))
def test_any_keys_are_answered_as_get_answers_each(index, entries, others):
    shared = sharedmap.sharedmap.frombuffer(sharedmap.rbtree(entries).dump(index=index))
    keys = [*others, *entries, *others]
    default = object()
    assert same(shared.get_many(keys, default), [shared.get(key, default) for key in keys])
    assert same(shared.get_many(keys, default), [entries.get(key, default) for key in keys])
