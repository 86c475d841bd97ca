"""list, tuple and dict as values: they come back as what they were, or the error says why not."""

import collections
import datetime
import gc
import json
import os
import pickle
import random
import tempfile
import threading

import pytest
from helpers import segment_path
from hypothesis import given, settings
from hypothesis import strategies as st
from independent_reader import read
from strategies import ALL_VALUES, CONTAINERS, KEYS, by_key, exact, exact_items, in_lists

import sharedmap

CONFIGURATION = {
    "db": {"host": "db.example.org", "port": 5432, "options": {"ssl": True, "retries": None}},
    "rates": [0.5, -0.0, float("inf"), 2**70, -(2**63) - 1],
    "mixed": ("tuple", [b"bytes", ()], {}, {"": [[]], "\ud800": "\0"}),
}


def through_tree(entries, path):
    tree = sharedmap.rbtree(entries)
    return {key: tree[key] for key in entries}


def through_bytes(entries, path):
    shared = sharedmap.sharedmap.frombuffer(sharedmap.rbtree(entries).dump())
    shared.verify()
    return dict(shared)


def through_pickle(entries, path):
    return dict(pickle.loads(pickle.dumps(sharedmap.rbtree(entries))))


def through_file(entries, path):
    sharedmap.rbtree(entries).save(path, force=True)
    with sharedmap.sharedmap.open(path) as opened:
        return dict(zip(entries, opened.get_many(list(entries)), strict=True))


def through_shared_memory(entries, path):
    name = f"test:containers:{os.getpid()}"
    try:
        sharedmap.share(entries, name, force=True)
        with sharedmap.sharedmap(name) as opened:
            return {key: opened[key] for key in entries}
    finally:
        sharedmap.remove(name)


def through_update(entries, path):
    """One after the other into a map that is large enough for deltas."""
    name = f"test:containers:{os.getpid()}"
    try:
        sharedmap.share(((f"{number:05}", None) for number in range(5000)), name, force=True)
        for key, value in entries.items():
            sharedmap.update(name, {"~" + key: value})
        with sharedmap.sharedmap(name) as opened:
            opened.verify()
            return {key: opened["~" + key] for key in entries}
    finally:
        sharedmap.remove(name)


THROUGH = [
    through_tree,
    through_bytes,
    through_pickle,
    through_file,
    through_shared_memory,
    through_update,
]
each_way = pytest.mark.parametrize("through", THROUGH)


@pytest.fixture(scope="module")
def path():
    with tempfile.TemporaryDirectory() as folder:
        yield os.path.join(folder, "map")


@each_way
def test_container_comes_back_as_what_it_was(through, path):
    found = through(CONFIGURATION, path)
    assert by_key(exact_items(found.items())) == by_key(exact_items(CONFIGURATION.items()))


@each_way
@settings(max_examples=40, deadline=None, print_blob=True)
@given(entries=st.dictionaries(KEYS, ALL_VALUES, max_size=5))
def test_any_containers_come_back(through, path, entries):
    found = through(entries, path)
    assert by_key(exact_items(found.items())) == by_key(exact_items(entries.items()))


@settings(max_examples=200, deadline=None, print_blob=True)
@given(value=CONTAINERS)
def test_other_reader_reads_the_same(value):
    ((_, found),) = read(sharedmap.rbtree(a=value).dump())
    assert exact(found) == exact(value)


def test_container_comes_back_in_another_process(name, other):
    sharedmap.share(CONFIGURATION, name)
    found = other.eval("dict(sharedmap.sharedmap(name))", name=name)
    assert exact_items(found.items()) == by_key(exact_items(CONFIGURATION.items()))


def test_order_of_a_dict_is_kept():
    keys = [str(number) for number in random.Random(1).sample(range(1000), 500)]
    assert list(sharedmap.rbtree(a=dict.fromkeys(keys))["a"]) == keys


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 255, 256, 65535, 65536, 100_000])
def test_container_of_any_size_comes_back(count):
    for value in (
        list(range(count)),
        tuple(range(count)),
        {str(n): n for n in range(count)},
        ["x" * count, b"x" * count],
        [1 << 8 * count],
    ):
        found = sharedmap.rbtree(a=value)["a"]
        assert type(found) is type(value)
        assert found == value


# ---- fresh each time ---------------------------------------------------------------------------


@pytest.fixture(params=["tree", "map", "large map"])
def mapping(request):
    entries = {"a": [1, {"b": [2]}], "t": ([], 1)}
    if request.param == "large map":
        entries |= {f"{number:05}": number for number in range(5000)}
    tree = sharedmap.rbtree(entries)
    return tree if request.param == "tree" else sharedmap.sharedmap.frombuffer(tree.dump())


WAYS_OUT = {
    "[]": lambda m: m["a"],
    "get": lambda m: m.get("a"),
    "values": lambda m: next(value for value in m.values() if type(value) is list),
    "items": lambda m: dict(m.items())["a"],
    "slice": lambda m: m["a":]["a"],
    "prefix": lambda m: m.prefix("a")["a"],
    "dict": lambda m: dict(m)["a"],
    "rbtree of it": lambda m: sharedmap.rbtree(m)["a"],
}


@pytest.mark.parametrize("get", WAYS_OUT.values(), ids=WAYS_OUT)
def test_changes_of_what_came_back_change_nothing(mapping, get):
    for _ in range(10):  # more often than a cache would need
        found = get(mapping)
        assert found == [1, {"b": [2]}]
        found[1]["b"].append(3)
        found.clear()


def test_get_many_returns_an_object_for_each_key():
    shared = sharedmap.sharedmap.frombuffer(sharedmap.rbtree(a=[1], b=({},)).dump())
    for _ in range(10):
        first, second, absent, again = shared.get_many(["a", "b", "x", "a"])
        assert (first, second, absent, again) == ([1], ({},), None, [1])
        assert first is not again
        first.append(2)
        second[0]["changed"] = True


def test_view_gives_the_bytes():
    shared = sharedmap.sharedmap.frombuffer(sharedmap.rbtree(a=[1, "x"]).dump())
    assert bytes(shared.view("a")) == b"\x92\x01\xa1x"


def test_maps_with_containers_are_compared_shown_and_searched():
    entries = {"a": [1, (2,)], "b": {"c": None}}
    tree = sharedmap.rbtree(entries)
    shared = sharedmap.sharedmap.frombuffer(tree.dump())
    for mapping in (tree, shared):
        assert mapping == entries
        assert mapping == {"b": {"c": None}, "a": [1, (2,)]}
        assert mapping != {"a": [1, [2]], "b": {"c": None}}
        assert {"c": None} in mapping.values()
        assert ("a", [1, (2,)]) in mapping.items()
        assert repr(mapping.items()).endswith("([('a', [1, (2,)]), ('b', {'c': None})])")
        assert mapping.first() == ("a", [1, (2,)])
    assert tree == shared


def test_container_is_taken_out_of_a_tree():
    tree = sharedmap.rbtree(a=[1], b=(2,), c={"d": 3})
    assert tree.setdefault("a", []) == [1]
    assert tree.setdefault("z", [9]) == [9]
    assert tree.pop("a") == [1]
    assert tree.popitem(0) == ("b", (2,))
    assert tree.pop("a", None) is None
    assert dict(tree) == {"c": {"d": 3}, "z": [9]}


def test_update_of_an_equal_container_publishes_nothing(name):
    sharedmap.share({"a": {"b": [1, 2**70, (0.5, None)]}}, name)
    sharedmap.update(name, {"a": {"b": [1, 2**70, (0.5, None)]}})
    with sharedmap.sharedmap(name) as opened:
        assert opened.generation == 1
    # Its order is part of a dict.
    sharedmap.share({"a": {"b": 1, "c": 2}}, name, force=True)
    sharedmap.update(name, {"a": {"c": 2, "b": 1}})
    with sharedmap.sharedmap(name) as opened:
        assert (list(opened["a"]), opened.generation) == (["c", "b"], 3)


def test_first_container_of_a_large_map_is_a_new_base_and_the_next_is_a_delta(name):
    """Readers that do not know containers have to refuse the file, which its header tells them."""
    sharedmap.share(((f"{number:05}", number) for number in range(5000)), name)
    segment = segment_path(name)
    before = os.stat(segment)
    with sharedmap.sharedmap(name, follow=True) as following:
        sharedmap.update(name, {"00001": [1]})
        after = os.stat(segment)
        assert after.st_ino != before.st_ino
        assert following["00001"] == [1]
        sharedmap.update(name, {"00002": {"a": 2}})
        assert os.stat(segment).st_ino == after.st_ino
        assert following["00002"] == {"a": 2}
        sharedmap.update(name, {}, ["00001"])
        assert "00001" not in following
        following.verify()


# ---- what is refused ---------------------------------------------------------------------------


REFUSED = {
    "set": ({"a": [{1}]}, TypeError, "object of type set"),
    "date": ([datetime.date(2024, 1, 1)], TypeError, "object of type datetime.date"),
    "object": ((object(),), TypeError, "object of type object"),
    "deque": ([collections.deque()], TypeError, "object of type collections.deque"),
    "key that is an int": ({"a": {1: 2}}, TypeError, "a key of type int; keys must be str"),
    "key that is None": ([{None: 2}], TypeError, "a key of type NoneType"),
    "201 levels": (in_lists(1, 201), ValueError, "more than 200 levels deep"),
}


@pytest.mark.parametrize(("value", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_what_a_container_cannot_have_is_refused_with_the_key(name, value, error, message):
    tree = sharedmap.rbtree(other=1)
    for put in (
        lambda: tree.set("the key", value),
        lambda: tree.update({"the key": value}),
        lambda: sharedmap.rbtree({"the key": value}),
        lambda: sharedmap.share({"the key": value}, name),
    ):
        with pytest.raises(error, match=f"value of key 'the key' .*{message}"):
            put()
    assert tree == {"other": 1}


def endless_list():
    value = []
    value.append([value])
    return value


def endless_dict():
    value = {}
    value["a"] = (value,)
    return value


@pytest.mark.parametrize("make", [endless_list, endless_dict])
def test_container_that_contains_itself_is_refused(make):
    with pytest.raises(ValueError, match=r"key 'a' .* contains itself"):
        sharedmap.rbtree(a=make())


def test_two_hundred_levels_are_stored():
    value = in_lists("x", 200)
    assert exact(sharedmap.rbtree(a=value)["a"]) == exact(value)


# ---- damage ------------------------------------------------------------------------------------


def test_damaged_container_is_read_or_is_a_snapshot_error():
    """In place: the checksum of the contents is not compared when a key is looked up."""
    data = bytearray(sharedmap.rbtree(a=CONFIGURATION).dump())
    shared = sharedmap.sharedmap.frombuffer(data)
    sound = bytes(shared.view("a"))
    begin = data.index(sound)
    chance = random.Random(1)
    refused = 0
    for _ in range(5000):
        for _ in range(chance.randint(1, 3)):
            at = begin + chance.randrange(len(sound))
            data[at] = chance.choice((0x80, 0x90, 0xC6, 0xDD, 0xDF, chance.randrange(256)))
        try:
            assert type(shared["a"]) in (list, tuple, dict)
        except sharedmap.SnapshotError:
            refused += 1
        data[begin : begin + len(sound)] = sound
    assert 1000 < refused < 5000
    assert exact(shared["a"]) == exact(CONFIGURATION)


# ---- hooks -------------------------------------------------------------------------------------


def test_with_an_encoder_containers_go_to_the_encoder():
    tree = sharedmap.rbtree(encode=lambda v: json.dumps(v).encode(), decode=lambda data: data)
    tree["a"] = [1, 2]
    assert tree["a"] == b"[1, 2]"


def test_native_containers_are_read_without_calling_the_decoder():
    def fail(data):
        raise AssertionError(data)

    tree = sharedmap.rbtree({"a": [1]}, decode=fail)
    shared = sharedmap.sharedmap.frombuffer(tree.dump(), decode=fail)
    assert (tree["a"], shared["a"], shared.get_many(["a"])) == ([1], [1], [[1]])


def test_encoder_leaves_containers_to_the_map_with_not_implemented():
    def encode(value):
        return b"set" if type(value) is set else NotImplemented

    tree = sharedmap.rbtree({"a": [1], "b": {1}}, encode=encode, decode=bytes.decode)
    assert dict(tree) == {"a": [1], "b": "set"}
    with pytest.raises(TypeError, match="of type complex"):
        tree["c"] = 1j


# ---- memory and threads ------------------------------------------------------------------------


def test_object_that_came_back_is_tracked_by_the_garbage_collector():
    for value in ([1], ([],), {"a": []}):
        found = sharedmap.rbtree(a=value)["a"]
        assert gc.is_tracked(found)
    found = sharedmap.rbtree(a=[1])["a"]
    found.append(found)
    alive = [found]
    count = sum(item is found for item in gc.get_objects())
    assert count == 1
    del alive[:]


class Sweeper:
    """Whatever is freed while a container is read changes what it is read from."""

    def __init__(self, change):
        self.change, self.itself = change, self

    def __del__(self):
        self.change()


def test_finalizers_that_run_while_a_container_is_read_do_no_harm():
    value = [[number, {"a": [number]}, (number, [])] for number in range(300)]
    threshold = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        for _ in range(20):
            tree = sharedmap.rbtree(a=value, b=1)
            shared = sharedmap.sharedmap.frombuffer(tree.dump())
            Sweeper(tree.clear)
            assert tree["a"] == value
            Sweeper(shared.close)
            assert shared["a"] == value
    finally:
        gc.set_threshold(*threshold)


def test_containers_may_change_in_one_thread_while_another_stores_them():
    inner, items, done = {"x": 0}, [1], threading.Event()

    def change():
        number = 0
        while not done.is_set():
            number += 1
            inner[str(number % 50)] = number
            inner.pop(str((number + 25) % 50), None)
            items.append([number])
            if len(items) > 50:
                items.clear()

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(300):
            tree = sharedmap.rbtree({"a": [inner, items], "b": {"c": inner}})
            found = tree["a"]
            assert found[0]["x"] == 0
            assert all(type(item) in (int, list) for item in found[1])
            sharedmap.sharedmap.frombuffer(tree.dump()).verify()
    finally:
        done.set()
        thread.join()


def test_several_threads_read_containers_of_one_map():
    value = [{"id": number, "name": f"name {number}", "tags": ("a", "b")} for number in range(50)]
    shared = sharedmap.sharedmap.frombuffer(sharedmap.rbtree(a=value).dump())
    failures = []

    def look():
        for _ in range(200):
            if shared["a"] != value:
                failures.append(1)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
