"""Whatever is done to maps and handles in whatever order, each handle reads like the dict of its
version.

A large map, which takes deltas, and a small one, which is copied; both are updated a little and a
lot, published anew, and read by handles that follow, that are refreshed, and that are pinned.
"""

import copy
import pickle

import pytest
from helpers import files_of_map
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    rule,
    run_state_machine_as_test,
)
from strategies import ALL_VALUES, KEYS, by_key, exact, exact_items, has_nan_inside
from versions import base_entries, key_of

import sharedmap

ABSENT = object()

# Around the number from which on a map has room, and far from it.
LARGE = st.sampled_from([4096, 4100, 4500, 6000])
SMALL = st.sampled_from([0, 1, 20, 1000, 4090])

# Few different ones, which are in both maps, and any other.
OFTEN = st.sampled_from([key_of(number) for number in (0, 1, 2, 3, 500, 501, 999)])
SOME_KEYS = OFTEN | KEYS


class Version:
    """What was published once."""

    def __init__(self, entries, generation):
        self.dict = entries
        self.generation = generation
        self._items = None

    @property
    def items(self):
        if self._items is None:
            self._items = by_key(self.dict.items())
        return self._items


class Published:
    """A name, and the newest version of it."""

    def __init__(self, name, version):
        self.name = name
        self.newest = version

    def publish(self, entries, generation):
        if generation != self.newest.generation:
            assert generation == self.newest.generation + 1
            self.newest = Version(entries, generation)


class Handle:
    """An open map, and the version that it must read like."""

    def __init__(self, published, opened, version, follows):
        self.published = published
        self.map = opened
        self.version = version
        self.follows = follows

    def now(self):
        """What the next operation sees."""
        if self.follows:
            self.version = self.published.newest
        return self.version


class VersionsMachine(RuleBasedStateMachine):
    maps = Bundle("maps")
    handles = Bundle("handles")
    iterators = Bundle("iterators")

    def __init__(self, names):
        super().__init__()
        self.names = names
        self.opened = []

    def begin(self, name, count, index):
        sharedmap.remove(name)
        entries = base_entries(count)
        sharedmap.share(entries, name, index=index)
        return Published(name, Version(entries, 1))

    @initialize(target=maps, count=LARGE, index=st.sampled_from(["hash", "tree"]))
    def begin_large(self, count, index):
        return self.begin(self.names[0], count, index)

    @initialize(target=maps, count=SMALL, index=st.sampled_from(["hash", "tree"]))
    def begin_small(self, count, index):
        return self.begin(self.names[1], count, index)

    def keep(self, published, opened, version, follows):
        handle = Handle(published, opened, version, follows)
        self.opened.append(handle)
        return handle

    # ---- publishing ----------------------------------------------------------------------------

    @rule(
        published=maps,
        changes=st.dictionaries(SOME_KEYS, ALL_VALUES, max_size=6),
        removed=st.lists(SOME_KEYS, max_size=4),
    )
    def update(self, published, changes, removed):
        before = published.newest.dict
        changes = {key: value for key, value in changes.items() if key not in removed}
        entries = {k: v for k, v in before.items() if k not in removed} | changes
        generation = sharedmap.update(published.name, changes, removed)
        is_same = entries.keys() == before.keys() and all(
            exact(entries[key]) == exact(before[key]) for key in changes
        )
        assert (generation == published.newest.generation) is is_same
        published.publish(entries, generation)

    @rule(
        published=maps,
        begin=st.integers(0, 6000),
        count=st.integers(1, 700),
        value=st.integers(0, 3),
        is_removed=st.booleans(),
    )
    def update_many(self, published, begin, count, value, is_removed):
        """As many as has it folded, compacted or copied, as the case may be."""
        keys = [key_of(begin + number) for number in range(count)]
        before = published.newest.dict
        if is_removed:
            entries = dict(before)
            for key in keys:
                entries.pop(key, None)
            generation = sharedmap.update(published.name, {}, keys)
        else:
            changes = dict.fromkeys(keys, value)
            entries = before | changes
            generation = sharedmap.update(published.name, changes)
        published.publish(entries, generation)

    @rule(published=maps, count=st.integers(2, 60), step=st.integers(1, 300))
    def update_often(self, published, count, step):
        entries = published.newest.dict
        generation = published.newest.generation
        for number in range(count):
            key = key_of(number * step % 4500)
            # Not what the other map, which may be published here, has under this key.
            entries = entries | {key: f"often {generation} in {published.name}"}
            generation += 1
            assert sharedmap.update(published.name, {key: entries[key]}) == generation
        published.newest = Version(entries, generation)

    @rule(published=maps, data=st.data())
    def share_anew(self, published, data):
        # Not often: it begins with a base again.
        if data.draw(st.integers(0, 3)) > 0:
            return
        entries = base_entries(data.draw(LARGE if published.name == self.names[0] else SMALL))
        sharedmap.share(entries, published.name, True)
        published.publish(entries, published.newest.generation + 1)

    @rule(published=maps, handle=handles)
    def share_a_version(self, published, handle):
        """Of this map or of the other one: a new base of what base and deltas hold."""
        entries = handle.now().dict
        sharedmap.share(handle.map, published.name, True)
        published.publish(entries, published.newest.generation + 1)

    @rule(handle=handles)
    def share_what_was_expected(self, handle):
        published, expected = handle.published, handle.now().generation
        try:
            sharedmap.share(handle.map, published.name, expect=expected)
        except sharedmap.StaleError as error:
            assert (error.expected, error.found) == (expected, published.newest.generation)
            assert expected != published.newest.generation
        else:
            assert expected == published.newest.generation
            published.publish(handle.version.dict, expected + 1)

    # ---- handles -------------------------------------------------------------------------------

    @rule(target=handles, published=maps, follow=st.booleans())
    def open(self, published, follow):
        opened = sharedmap.sharedmap(published.name, follow=follow)
        return self.keep(published, opened, published.newest, follow)

    @rule(target=handles, handle=handles)
    def pin(self, handle):
        version = handle.now()
        return self.keep(handle.published, handle.map.snapshot(), version, False)

    @rule(target=handles, handle=handles, take=st.sampled_from([copy.copy, copy.deepcopy]))
    def copy(self, handle, take):
        version = handle.now()
        return self.keep(handle.published, take(handle.map), version, handle.follows)

    @rule(handle=handles)
    def pickle(self, handle):
        version = handle.now()
        data = pickle.dumps(handle.map)
        if version is handle.published.newest:
            with pickle.loads(data) as again:
                assert again.generation == version.generation
                assert len(again) == len(version.dict)
        else:
            with pytest.raises(sharedmap.StaleError):
                pickle.loads(data)

    @rule(handle=handles)
    def refresh(self, handle):
        newest = handle.published.newest
        # One that follows may have it already.
        seen = handle.version if handle.follows else handle.now()
        is_newer = handle.map.refresh()
        if not handle.follows:
            assert is_newer is (seen is not newest)
        handle.version = newest
        assert handle.map.stale is False
        assert handle.map.refresh() is False

    @rule(handle=handles)
    def wait(self, handle):
        newest = handle.published.newest
        if not handle.follows:
            assert handle.map.wait(0) is (handle.version is not newest)
        else:
            handle.map.wait(0)
            handle.version = newest

    @rule(handle=consumes(handles))
    def close(self, handle):
        handle.map.close()
        self.opened.remove(handle)

    # ---- reading -------------------------------------------------------------------------------

    @rule(handle=handles)
    def describe(self, handle):
        version = handle.now()
        assert len(handle.map) == len(version.dict)
        assert handle.map.generation == version.generation
        assert f"{len(version.dict)} entr" in repr(handle.map)

    @rule(handle=handles, keys=st.lists(SOME_KEYS, min_size=1, max_size=8))
    def look_up(self, handle, keys):
        entries = handle.now().dict
        expected = [exact(entries.get(key, ABSENT)) for key in keys]
        assert [exact(handle.map.get(key, ABSENT)) for key in keys] == expected
        assert list(map(exact, handle.map.get_many(keys, ABSENT))) == expected
        assert [key in handle.map for key in keys] == [key in entries for key in keys]
        assert [exact(handle.map.get(key, ABSENT)) for key in keys] == expected

    @rule(handle=handles, keys=st.lists(SOME_KEYS, min_size=1, max_size=4))
    def search(self, handle, keys):
        ordered = [key for key, _ in handle.now().items]
        for key in keys:
            below = sum(other < key for other in ordered)
            is_there = below < len(ordered) and ordered[below] == key
            assert handle.map.bisect_left(key) == below
            assert handle.map.bisect_right(key) == below + is_there
            assert handle.map.ceiling(key) == (ordered[below] if below < len(ordered) else None)
            at_or_below = below + is_there
            assert handle.map.floor(key) == (ordered[at_or_below - 1] if at_or_below else None)
            assert handle.map.lower(key) == (ordered[below - 1] if below else None)
            above = ordered[at_or_below : at_or_below + 1]
            assert handle.map.higher(key) == (above[0] if above else None)
            prefixes = [other for other in ordered if key.startswith(other)]
            assert handle.map.longest_prefix(key) == (prefixes[-1] if prefixes else None)

    @rule(handle=handles, index=st.integers(-7000, 7000))
    def peek_item(self, handle, index):
        items = handle.now().items
        if -len(items) <= index < len(items):
            assert exact_items([handle.map.peekitem(index)]) == exact_items([items[index]])
        else:
            with pytest.raises(IndexError):
                handle.map.peekitem(index)

    @rule(handle=handles, low=SOME_KEYS, high=SOME_KEYS)
    def take_range(self, handle, low, high):
        expected = [(key, value) for key, value in handle.now().items if low <= key < high]
        assert exact_items(handle.map[low:high].items()) == exact_items(expected)

    @rule(handle=handles, prefix=KEYS | st.sampled_from(["key 00", "key 0050", "key 04"]))
    def take_prefix(self, handle, prefix):
        items = [(key, value) for key, value in handle.now().items if key.startswith(prefix)]
        part = handle.map.prefix(prefix)
        assert list(reversed(part)) == [key for key, _ in reversed(items)]
        assert exact_items(part.items()) == exact_items(items)

    @rule(handle=handles)
    def read_all(self, handle):
        self.check(handle)

    def check(self, handle):
        items = handle.now().items
        assert exact_items(handle.map.items()) == exact_items(items)
        assert list(reversed(handle.map)) == [key for key, _ in reversed(items)]
        has_nan = any(has_nan_inside(value) for _, value in items)
        assert (handle.map == handle.version.dict) is not has_nan
        assert handle.map.verify() is None

    @rule(target=iterators, handle=handles, way=st.sampled_from([iter, reversed]))
    def iterate(self, handle, way):
        items = handle.now().items
        return [way(handle.map.items()), list(items if way is iter else reversed(items)), 0]

    @rule(iterator=iterators, count=st.integers(1, 3000))
    def go_on(self, iterator, count):
        """Whatever was published meanwhile."""
        walk, items, at = iterator
        found = [item for item, _ in zip(walk, range(count), strict=False)]
        # zip() takes one more before it sees that there are enough.
        assert exact_items(found) == exact_items(items[at : at + len(found)])
        iterator[2] = at + count + 1

    def teardown(self):
        for handle in self.opened:
            self.check(handle)
        for handle in self.opened:
            handle.map.close()
        for name in self.names:
            assert len(files_of_map(name)) == 1


def test_each_handle_reads_like_the_dict_of_its_version(names):
    both = [names(), names()]
    run_state_machine_as_test(
        lambda: VersionsMachine(both),
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            print_blob=True,
            report_multiple_bugs=False,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
