"""update() of a large map: the file stays, and what a handle says of itself is of its version."""

import copy
import os
import pickle
import random
import re
import stat
import struct
import time

import pytest
from helpers import files_of_map, read_header, segment_path, total_size
from independent_reader import label, seal
from live import mark_superseded
from strategies import exact, exact_items
from versions import (
    ENTRIES,
    SHAPES,
    History,
    allocated,
    base_entries,
    deltas_of,
    head_of,
    inode_of,
    key_of,
    limit_of,
    make,
    two_deltas,
    value_of,
)

import sharedmap

LOCK_TO_COMPACT = """
import fcntl, struct
file = open(path, "r+b")
second_byte = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 1, 1, 0)
fcntl.fcntl(file, fcntl.F_OFD_SETLK, second_byte)
"""

each_index = pytest.mark.parametrize("index", ["hash", "tree"])


@pytest.fixture
def history(name):
    return History(name)


def check(history):
    with history.open() as shared:
        shared.verify()
        assert exact_items(shared.items()) == exact_items(sorted(history.dict.items()))


# --- the file ---------------------------------------------------------------------------------


@each_index
def test_small_update_of_a_large_map_keeps_the_file(name, index):
    history = History(name, index=index)
    inode, base = inode_of(name), read_header(name)
    history.update({key_of(1): "changed"})
    assert inode_of(name) == inode
    assert files_of_map(name) == [os.path.basename(segment_path(name))]
    # Of the header only the head has changed.
    after = read_header(name)
    assert after[192:196] != base[192:196]
    assert after[:192] + after[196:] == base[:192] + base[196:]
    check(history)


def test_update_of_a_small_map_copies_it(name):
    history = History(name, base_entries(4095))
    inode = inode_of(name)
    history.update({key_of(1): "changed"})
    assert inode_of(name) != inode
    assert head_of(name) == limit_of(name) == 0
    check(history)


def test_update_of_more_than_an_eighth_copies_the_map(history):
    inode = inode_of(history.name)
    history.update({key_of(number): "changed" for number in range(ENTRIES // 8 + 1)})
    assert inode_of(history.name) != inode
    assert deltas_of(history.name) == []
    check(history)


def test_update_beyond_a_tenth_of_the_map_has_it_compacted_and_nothing_else(history):
    history.update({key_of(number): "changed" for number in range(ENTRIES // 10)})
    inode = inode_of(history.name)
    assert len(deltas_of(history.name)) == 1
    with history.open() as before:
        assert history.update({"one more": 1}) == 3
        assert inode_of(history.name) != inode
        assert deltas_of(history.name) == []
        with history.open() as compacted:
            assert compacted.generation == 3
            assert compacted.nbytes < before.nbytes
        assert before.refresh() is True
        assert before == history.dict
        assert (before.stale, before.refresh()) == (False, False)
    assert files_of_map(history.name) == [os.path.basename(segment_path(history.name))]
    check(history)


def test_updates_are_appended_while_another_process_compacts(history, workers):
    """It has the second byte of the file locked."""
    worker = workers()
    worker.run(LOCK_TO_COMPACT, path=segment_path(history.name))
    inode = inode_of(history.name)
    history.update({key_of(number): "changed" for number in range(ENTRIES // 10 + 1)})
    history.update({"one more": 1})
    assert inode_of(history.name) == inode
    check(history)
    worker.run("file.close()")
    history.update({"and one more": 2})
    assert inode_of(history.name) != inode
    assert deltas_of(history.name) == []
    check(history)


def test_map_that_was_copied_has_room_again(history):
    for _ in range(3):
        inode = inode_of(history.name)
        history.update({key_of(number): time.time() for number in range(ENTRIES // 4)})
        assert inode_of(history.name) != inode
        inode = inode_of(history.name)
        history.update({key_of(1): "appended"})
        assert inode_of(history.name) == inode
        check(history)


def test_map_that_shrinks_below_the_least_size_is_copied_from_then_on(history):
    for begin in range(0, 1500, 250):
        history.update(remove=[key_of(number) for number in range(begin, begin + 250)])
        check(history)
    history.update(remove=list(history.dict)[: ENTRIES // 4])
    assert limit_of(history.name) == 0
    history.update({"a": 1})
    assert head_of(history.name) == 0
    check(history)


def test_map_that_grows_to_the_least_size_is_appended_to_from_then_on(name):
    history = History(name, base_entries(4095))
    history.update({"one more": 1})
    assert limit_of(name) > 0
    inode = inode_of(name)
    history.update({"and one more": 2})
    assert inode_of(name) == inode
    check(history)


def test_saved_file_has_no_room(tmp_path):
    path = tmp_path / "a.map"
    sharedmap.rbtree(base_entries()).save(path)
    with open(path, "rb") as file:
        assert file.read(512)[168:200] == bytes(32)
    assert sharedmap.rbtree(base_entries()).dump()[168:200] == bytes(32)


def test_deltas_end_within_the_limit_and_all_of_the_file_is_allocated(history):
    inodes = set()
    for number in range(300):
        history.update({key_of(number * 7): number})
        inodes.add(inode_of(history.name))
        size = os.stat(segment_path(history.name)).st_size
        assert size <= limit_of(history.name)
        assert allocated(history.name) >= size
    assert len(inodes) > 1
    check(history)


def test_bytes_that_were_committed_never_change(history):
    path = segment_path(history.name)

    def committed():
        with open(path, "rb") as file:
            data = file.read()
        return data[:192] + data[208:]  # without the words that change

    before = committed()
    with open(path, "rb") as first:
        for number in range(100):
            history.update({key_of(number % 10): number}, remove=[key_of(number % 7 + 10)])
            after = committed()
            assert os.fstat(first.fileno()).st_ino == inode_of(history.name)
            assert after.startswith(before)
            before = after


# --- what a handle says of its version --------------------------------------------------------


def test_each_version_has_the_next_generation_an_id_and_a_time_of_its_own(history):
    handles = [history.open()]
    for number in range(10):
        begin = time.time()
        assert history.update({"a": number}) == number + 2
        handles.append(history.open())
        assert handles[-1].generation == number + 2
        assert begin - 0.1 <= handles[-1].published_at <= time.time() + 0.1
    assert len({handle.id for handle in handles}) == 11
    assert all(re.fullmatch("[0-9a-f]{32}", handle.id) for handle in handles)
    assert [handle.generation for handle in handles] == list(range(1, 12))
    times = [handle.published_at for handle in handles]
    assert times == sorted(times)
    for handle in handles:
        handle.close()


def test_generations_go_on_when_the_map_is_copied(history):
    for generation in range(2, 300):
        assert history.update({key_of(generation): f"changed {generation}"}) == generation
    sharedmap.share(history.dict, history.name, force=True)
    with history.open() as shared:
        assert shared.generation == 300


def test_nbytes_is_what_base_and_deltas_have_in_the_file(history):
    with history.open() as before:
        base = before.nbytes
        history.update({key_of(1): "x" * 1000})
        with history.open() as after:
            assert after.nbytes == os.stat(segment_path(history.name)).st_size
            assert base + 1000 < after.nbytes < base + 2000
        assert before.nbytes == base


def test_repr_has_the_number_of_entries_of_the_version(history):
    with history.open() as shared:
        history.update({"new": 1, "newer": 2}, remove=[key_of(1)])
        assert repr(shared) == f"<sharedmap {history.name!r}, {ENTRIES} entries>"
        shared.refresh()
        assert repr(shared) == f"<sharedmap {history.name!r}, {ENTRIES + 1} entries>"


def test_handle_is_stale_until_it_is_refreshed(history):
    with history.open() as shared:
        assert (shared.stale, shared.refresh()) == (False, False)
        for number in range(5):
            history.update({"a": number})
            assert shared.stale is True
            assert shared.get("a") == (number - 1 if number else None)
            assert shared.refresh() is True
            assert (shared["a"], shared.stale, shared.refresh()) == (number, False, False)


def test_refresh_skips_versions_and_files(history):
    with history.open() as shared:
        for rounds in (1, 2, 10, 150, 400):
            for number in range(rounds):
                history.update({key_of(number): rounds})
            assert shared.refresh() is True
            assert shared == history.dict
            assert shared.refresh() is False


def test_pickled_old_version_raises_stale_error_after_an_append(history):
    with history.open() as shared:
        data = pickle.dumps(shared)
        history.update({"a": 1})
        with pytest.raises(sharedmap.StaleError) as caught:
            pickle.loads(data)
        assert (caught.value.expected, caught.value.found) == (shared.id, 2)


def test_update_keeps_label_mode_and_index(name):
    history = History(name, mode=0o644, index="tree")
    for number in range(300):
        history.update({key_of(number): 1})
        assert label(read_header(name)) == name
        assert stat.S_IMODE(os.stat(segment_path(name)).st_mode) == 0o644
        assert read_header(name)[20:24] == bytes(4)
    check(history)


@pytest.mark.parametrize("shape", SHAPES)
def test_update_keeps_the_owner(name, shape, as_root):
    history = make(shape, name)
    owner = os.stat(segment_path(name)).st_uid
    assert owner == os.geteuid()
    for number in range(200):
        history.update({key_of(number): 1})
    assert os.stat(segment_path(name)).st_uid == owner


# --- expect -----------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["generation", "id"])
def test_expect_is_compared_with_the_newest_version(history, what):
    with history.open() as first:
        two_deltas(history)
        with history.open() as newest:
            old, new = getattr(first, what), getattr(newest, what)
    with pytest.raises(sharedmap.StaleError) as caught:
        sharedmap.share({"a": 1}, history.name, expect=old)
    assert (caught.value.expected, caught.value.found) == (old, 3)
    check(history)
    assert sharedmap.share({"a": 1}, history.name, expect=new) is True
    with history.open() as shared:
        assert (dict(shared), shared.generation) == ({"a": 1}, 4)


def test_expect_of_a_generation_that_is_to_come_is_not_met(history):
    two_deltas(history)
    with pytest.raises(sharedmap.StaleError):
        sharedmap.share({"a": 1}, history.name, expect=4)
    check(history)


def test_expect_of_the_base_is_not_met_again_when_all_is_as_it_was(history):
    with history.open() as base:
        history.update({key_of(1): "other"})
        history.update({key_of(1): base[key_of(1)]})
        assert base == history.dict
        with pytest.raises(sharedmap.StaleError):
            sharedmap.share({}, history.name, expect=base.id)


# --- changes that are none --------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_update_that_changes_nothing_publishes_nothing(name, shape):
    history = make(shape, name)
    with history.open() as shared:
        generation, head = shared.generation, head_of(name)
        some = dict(random.Random(1).sample(sorted(history.dict.items()), 300))
        absent = [key for key in base_entries() if key not in history.dict] + ["no", "", "zz"]
        absent = [key for key in absent if key not in history.dict]
        for changes, removed in [({}, []), (some, []), ({}, absent), (some, absent)]:
            assert sharedmap.update(name, changes, removed) == generation
        assert sharedmap.update(name, history.dict, absent) == generation
        assert (shared.stale, shared.refresh(), head_of(name)) == (False, False, head)


def test_update_of_a_marked_file_publishes_anew(history):
    """A publisher was killed between its two steps."""
    two_deltas(history)
    inode = inode_of(history.name)
    mark_superseded(segment_path(history.name))
    with history.open() as shared:
        assert shared == history.dict
        assert history.update() == 4
        assert inode_of(history.name) != inode
        assert head_of(history.name) == 0
        assert shared.refresh() is True
        assert shared.generation == 4
    check(history)


def test_equal_value_of_another_type_is_a_change(history):
    history.update({"n": 1})
    for generation, value in enumerate([1.0, True, "1", b"1", None, 1], 3):
        assert history.update({"n": value}) == generation
        with history.open() as shared:
            assert exact(shared["n"]) == exact(value)


def test_keys_that_are_removed_and_added_again(history):
    with history.open(follow=True) as shared:
        for number in range(40):
            keys = [key_of(at) for at in range(number, number + 20)]
            history.update(remove=keys)
            assert not any(key in shared for key in keys)
            assert shared.bisect_left(key_of(ENTRIES)) == len(shared) == ENTRIES - 20
            history.update(dict.fromkeys(keys, f"again {number}"))
            assert shared.get_many(keys) == [f"again {number}"] * 20
            assert len(shared) == ENTRIES
        assert exact_items(shared.items()) == exact_items(sorted(history.dict.items()))
    check(history)


@each_index
def test_all_keys_are_removed_and_added_again(name, index):
    history = History(name, index=index)
    entries, keys = history.dict, list(history.dict)
    random.Random(2).shuffle(keys)
    with history.open(follow=True) as shared:
        while history.dict:
            history.update(remove=keys[len(keys) - len(history.dict) :][:90])
            assert len(shared) == len(history.dict)
        assert (dict(shared), list(reversed(shared)), bool(shared)) == ({}, [], False)
        history.update(entries)
        assert exact_items(shared.items()) == exact_items(sorted(entries.items()))
        history.update({"appended": 1})
        assert len(deltas_of(name)) == 1
        assert shared == history.dict
    check(history)


def test_change_and_removal_of_one_key_at_once_removes_it_as_in_a_small_map(names):
    small, large = names(), names()
    sharedmap.share({"a": 1}, small)
    sharedmap.share(base_entries() | {"a": 1}, large)
    for changes, removed in [({"a": 2}, ["a"]), ({"b": 2}, ["b"])]:
        found = []
        for name in (small, large):
            try:
                sharedmap.update(name, changes, removed)
            except ValueError as error:
                found.append(str(error).replace(name, ""))
            else:
                with sharedmap.sharedmap(name) as shared:
                    found.append((shared.get("a"), shared.get("b")))
        assert found[0] == found[1]


# --- remembered values ------------------------------------------------------------------------


def copied(key):
    """An equal str whose hash nobody has asked for."""
    return (key + "x")[:-1]


LOOKUPS = {
    "item": lambda shared, key: shared[key],
    "item by another str": lambda shared, key: shared[copied(key)],
    "item by a hashed str": lambda shared, key: shared[next(iter({copied(key)}))],
    "get": lambda shared, key: shared.get(key),
    "get_many": lambda shared, key: shared.get_many([key])[0],
    "many of get_many": lambda shared, key: shared.get_many([key] * 40)[-1],
    "item of a range": lambda shared, key: shared[:][key],
    "item of a snapshot": lambda shared, key: shared.snapshot()[key],
    "item of a copy": lambda shared, key: copy.copy(shared)[key],
}


@pytest.mark.parametrize("count", [100, 4090, 4096, 5000], ids=str)
@pytest.mark.parametrize("lookup", LOOKUPS.values(), ids=LOOKUPS)
def test_lookup_of_a_hot_key_never_gives_the_value_of_another_version(name, lookup, count):
    history = History(name, base_entries(count))
    hot, cold = key_of(1), key_of(8)
    with history.open(follow=True) as followed, history.open() as pinned:
        for number in range(60):
            for _ in range(4):
                assert lookup(followed, hot) == history.dict[hot]
                assert lookup(followed, cold) == history.dict[cold]
                assert lookup(pinned, hot) == value_of(1)
            # Both in turns, so that the other one comes from the base at first.
            history.update({hot if number % 3 else cold: f"value {number}"})


def give_room(name):
    """What no publisher does with a map whose values can all be remembered."""
    with open(segment_path(name), "r+b", buffering=0) as file:
        header = bytearray(file.read(512))
        header[168:176] = struct.pack("<Q", total_size(header) + 64 * 1024)
        os.pwrite(file.fileno(), seal(bytes(header)), 0)


@pytest.mark.parametrize("lookup", LOOKUPS.values(), ids=LOOKUPS)
def test_small_map_that_has_room_all_the_same_never_gives_a_value_of_another_version(name, lookup):
    history = History(name, base_entries(300))
    give_room(name)
    inode = inode_of(name)
    keys = [key_of(number) for number in range(300)]
    with history.open(follow=True) as followed, history.open() as pinned:
        base = history.dict
        for number in range(20):
            for key in keys * 3:
                assert lookup(followed, key) == history.dict[key]
                assert lookup(pinned, key) == base[key]
            history.update({keys[number % 7]: f"value {number}"})
        assert inode_of(name) == inode
        assert len(deltas_of(name)) > 0
    check(history)


@pytest.mark.parametrize("count", [100, 5000], ids=str)
def test_hot_key_that_was_removed_is_absent(name, count):
    history = History(name, base_entries(count))
    hot = key_of(1)
    with history.open(follow=True) as shared:
        for number in range(20):
            for _ in range(4):
                assert shared[hot] == history.dict[hot]
            history.update(remove=[hot])
            for _ in range(4):
                assert hot not in shared
                assert shared.get(hot) is shared.get_many([hot])[0] is None
                with pytest.raises(KeyError):
                    shared[hot]
            history.update({hot: f"again {number}"})


def test_handles_of_two_versions_remember_each_their_own(history):
    hot = key_of(1)
    handles = []
    for number in range(30):
        history.update({hot: number})
        handles.append((history.open(), number))
        for _ in range(3):
            for handle, expected in handles:
                assert handle[hot] == handle.get(copied(hot)) == expected
    for handle, _ in handles:
        handle.close()
