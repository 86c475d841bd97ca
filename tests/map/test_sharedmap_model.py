"""A map that was published, saved or dumped answers like the dict that it was made from."""

import copy
import mmap
import pickle

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test
from mapping_model import ABSENT, Part, ReadingMachine
from strategies import KEYS, VALUES, exact, exact_items

import sharedmap

ENTRIES = st.dictionaries(KEYS, VALUES, max_size=8) | st.dictionaries(
    st.integers(0, 999).map(str), VALUES, min_size=20, max_size=60
)


def share(entries, place):
    assert sharedmap.rbtree(entries).share(place.name, force=True) is True
    return sharedmap.sharedmap(place.name)


def share_without_tree(entries, place):
    assert sharedmap.share(entries, place.name, force=True) is True
    return sharedmap.sharedmap(place.name)


def share_without_hash_index(entries, place):
    sharedmap.share(entries, place.name, force=True, index="tree")
    return sharedmap.sharedmap(place.name)


def follow(entries, place):
    """Nothing newer comes, so that it must read like all others."""
    sharedmap.share(entries, place.name, force=True)
    return sharedmap.sharedmap(place.name, follow=True)


def save(entries, place):
    assert sharedmap.rbtree(entries).save(place.path, force=True) is True
    return sharedmap.sharedmap.open(place.path)


def dump(entries, place):
    return sharedmap.sharedmap.frombuffer(sharedmap.rbtree(entries).dump())


def dump_to_bytearray(entries, place):
    return sharedmap.sharedmap.frombuffer(bytearray(sharedmap.rbtree(entries).dump()))


def save_and_map(entries, place):
    sharedmap.rbtree(entries).save(place.path, force=True)
    with open(place.path, "rb") as file:
        return sharedmap.sharedmap.frombuffer(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))


def pickled(handle):
    return pickle.loads(pickle.dumps(handle))


BY_NAME = [share, share_without_tree, share_without_hash_index, follow]
FORMS = [*BY_NAME, save, dump, dump_to_bytearray, save_and_map]

# What a closed map refuses, whatever is in it. Its name, repr() and closed stay.
USES = [
    lambda m: m["a"],
    lambda m: m["a":"b"],
    lambda m: m.get("a"),
    lambda m: "a" in m,
    len,
    bool,
    iter,
    reversed,
    lambda m: m == {},
    lambda m: m.keys(),
    lambda m: m.values(),
    lambda m: m.items(),
    lambda m: m.prefix("a"),
    lambda m: m.floor("a"),
    lambda m: m.ceiling("a"),
    lambda m: m.lower("a"),
    lambda m: m.higher("a"),
    lambda m: m.longest_prefix("a"),
    lambda m: m.to_dict(),
    lambda m: m.derived(len),
    lambda m: m.diff(m),
    lambda m: m | {},
    lambda m: m.first(),
    lambda m: m.last(),
    lambda m: m.peekitem(),
    lambda m: m.index("a"),
    lambda m: m.bisect_left("a"),
    lambda m: m.bisect_right("a"),
    lambda m: m.view("a"),
    lambda m: m.get_many(["a"]),
    lambda m: m.get_many([]),
    lambda m: m.snapshot(),
    lambda m: m.refresh(),
    lambda m: m.stale,
    lambda m: m.wait(0),
    lambda m: m.verify(),
    lambda m: m.nbytes,
    lambda m: m.generation,
    lambda m: m.__enter__(),
    pickle.dumps,
    copy.copy,
]


class Place:
    """One name and one path for all examples: each replaces what the one before it left there."""

    def __init__(self, name, path):
        self.name = name
        self.path = path


class MapMachine(ReadingMachine):
    def __init__(self, place):
        super().__init__()
        self.place = place

    @initialize(target=ReadingMachine.parts, entries=ENTRIES, form=st.sampled_from(FORMS))
    def construct(self, entries, form):
        self.dict = dict(entries)
        self.form = form
        self.handle = form(entries, self.place)
        self.whole = Part(self.handle)
        return self.whole

    # ---- places in the order --------------------------------------------------------------

    @rule(part=ReadingMachine.parts, index=st.integers(-70, 70))
    def peek_item(self, part, index):
        items = list(self.entries(part).items())
        if -len(items) <= index < len(items):
            assert exact_items([part.mapping.peekitem(index)]) == exact_items([items[index]])
            assert exact_items([part.mapping.peekitem()]) == exact_items(items[-1:])
        else:
            with pytest.raises(IndexError):
                part.mapping.peekitem(index)

    @rule(part=ReadingMachine.parts, key=KEYS)
    def look_for_place(self, part, key):
        keys = list(self.entries(part))
        assert part.mapping.bisect_left(key) == sum(other < key for other in keys)
        assert part.mapping.bisect_right(key) == sum(other <= key for other in keys)
        if key in keys:
            assert part.mapping.index(key) == keys.index(key)
        else:
            with pytest.raises(ValueError, match="is not in"):
                part.mapping.index(key)

    @rule(part=ReadingMachine.parts)
    def look_for_all_places(self, part):
        keys = list(self.entries(part))
        places = list(range(len(keys)))
        assert [part.mapping.index(key) for key in keys] == places
        assert [part.mapping.bisect_left(key) for key in keys] == places
        assert [part.mapping.bisect_right(key) for key in keys] == [at + 1 for at in places]
        assert [part.mapping.peekitem(at)[0] for at in places] == keys

    @rule(part=ReadingMachine.parts, key=KEYS)
    def view_bytes(self, part, key):
        entries = self.entries(part)
        if key not in entries:
            with pytest.raises(KeyError) as caught:
                part.mapping.view(key)
            assert caught.value.args == (key,)
        for key, value in entries.items():
            view = part.mapping.view(key)
            assert view.readonly
            if type(value) is bytes:
                assert view == value
            elif type(value) is str:
                assert view == value.encode("utf-8", "surrogatepass")

    # ---- the handle -----------------------------------------------------------------------

    @rule(target=ReadingMachine.parts, take=st.sampled_from([copy.copy, copy.deepcopy, pickled]))
    def copy(self, take):
        another = take(self.handle)
        assert another is not self.handle
        assert type(another) is sharedmap.sharedmap
        assert (another.name, another.nbytes) == (self.handle.name, self.handle.nbytes)
        return Part(another)

    @rule()
    def close_and_open_again(self):
        """Parts, views and iterators made so far go on; only the handle is of no use any more."""
        closed = self.handle
        self.handle = self.whole.mapping = self.form(self.dict, self.place)
        assert closed.close() is None
        assert closed.closed is True
        for use in USES:
            # What a map in a buffer never can, it cannot when it is closed either.
            with pytest.raises(ValueError, match=r"closed|in a buffer"):
                use(closed)
        assert "closed" in repr(closed)
        assert closed.name == self.handle.name

    @rule(
        keys=st.lists(KEYS, max_size=20),
        default=st.none() | st.just(ABSENT),
        form=st.sampled_from([list, tuple, iter, dict.fromkeys]),
    )
    def get_many(self, keys, default, form):
        keys = [*keys, *self.dict, *keys]
        asked = list(dict.fromkeys(keys)) if form == dict.fromkeys else keys
        expected = [self.dict.get(key, default) for key in asked]
        found = self.handle.get_many(form(keys), default)
        assert type(found) is list
        assert list(map(exact, found)) == list(map(exact, expected))

    @rule(target=ReadingMachine.parts)
    def take_snapshot(self):
        return Part(self.handle.snapshot())

    @rule()
    def look_for_something_newer(self):
        assert self.handle.stale is False
        assert self.handle.refresh() is False

    @rule()
    def describe(self):
        handle = self.handle
        assert handle.closed is False
        assert handle.verify() is None
        assert handle.nbytes % 64 == 0
        assert repr(handle).startswith("<sharedmap ")
        if self.form in BY_NAME:
            assert handle.name == self.place.name
            assert handle.generation >= 1
        elif self.form is save:
            assert handle.name == self.place.path
            assert handle.generation >= 1
        else:
            assert handle.name is None
            assert handle.generation >= (1 if self.form is save_and_map else 0)

    def teardown(self):
        if hasattr(self, "handle"):
            self.handle.close()


def test_map_answers_like_the_dict_it_was_made_from(name, tmp_path):
    place = Place(name, str(tmp_path / "model.map"))
    run_state_machine_as_test(
        lambda: MapMachine(place),
        settings=settings(
            max_examples=100,
            stateful_step_count=40,
            deadline=None,
            print_blob=True,
            report_multiple_bugs=False,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
