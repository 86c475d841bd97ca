"""Any order of calls leaves a tree with what a dict would hold, and its answers are sorted()'s."""

import collections
import copy
import pickle
import sys

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from mapping_model import ABSENT, BOUNDS, Part, ReadingMachine
from strategies import KEYS, VALUES, by_key, exact, exact_items

import sharedmap

ENTRIES = st.dictionaries(KEYS, VALUES, max_size=8)
# More of them only now and then: enough for a red-black tree to turn around in.
MANY_ENTRIES = st.dictionaries(st.integers(0, 999).map(str), VALUES, min_size=20, max_size=60)


class HasKeys:
    """What update() takes for a mapping: keys() and [], nothing else."""

    def __init__(self, entries):
        self.entries = entries

    def keys(self):
        return iter(self.entries)

    def __getitem__(self, key):
        return self.entries[key]


def pairs(entries):
    return [[key, value] for key, value in entries.items()]


def read_back(entries):
    return sharedmap.sharedmap.frombuffer(sharedmap.rbtree(entries).dump())


SOURCES = {
    "dict": dict,
    "pairs": pairs,
    "iterator of pairs": lambda entries: iter(entries.items()),
    "items": lambda entries: entries.items(),
    "keys and []": HasKeys,
    "UserDict": collections.UserDict,
    "rbtree": lambda entries: sharedmap.rbtree(pairs(entries)),
    "items of an rbtree": lambda entries: sharedmap.rbtree(entries).items(),
    "range of an rbtree": lambda entries: sharedmap.rbtree(entries)[:],
    "sharedmap": read_back,
    "range of a sharedmap": lambda entries: read_back(entries)[:],
}
sources = st.sampled_from(sorted(SOURCES)).map(SOURCES.__getitem__)


class TreeMachine(ReadingMachine):
    @initialize(target=ReadingMachine.parts, entries=ENTRIES | MANY_ENTRIES, source=sources)
    def construct(self, entries, source):
        self.tree = sharedmap.rbtree(source(entries))
        self.dict = dict(entries)
        self.keys_before = set(entries)
        return Part(self.tree)

    @invariant()
    def entries_are_those_of_the_dict(self):
        if self.dict.keys() != self.keys_before:
            self.keys_before = set(self.dict)
            self.changes += 1
        assert len(self.tree) == len(self.dict)
        assert exact_items(self.tree.items()) == exact_items(by_key(self.dict.items()))

    # ---- one key --------------------------------------------------------------------------

    @rule(key=KEYS, value=VALUES)
    def set_item(self, key, value):
        self.tree[key] = value
        self.dict[key] = value

    @rule(key=KEYS, value=VALUES)
    def call_set(self, key, value):
        assert self.tree.set(key, value) is True
        self.dict[key] = value

    @rule(data=st.data(), value=VALUES)
    def overwrite(self, data, value):
        if self.dict:
            key = data.draw(st.sampled_from(sorted(self.dict)))
            self.tree[key] = value
            self.dict[key] = value

    @rule(data=st.data(), key=KEYS)
    def delete(self, data, key):
        if self.dict and data.draw(st.booleans()):
            key = data.draw(st.sampled_from(sorted(self.dict)))
        if key in self.dict:
            del self.tree[key]
            del self.dict[key]
        else:
            with pytest.raises(KeyError) as caught:
                del self.tree[key]
            assert caught.value.args == (key,)

    @rule(low=BOUNDS, high=BOUNDS)
    def delete_slice(self, low, high):
        inside = [
            key for key in self.dict if (low is None or low <= key) and (high is None or key < high)
        ]
        # Few: the tests would mostly be of trees with nothing in them.
        if len(inside) <= 3:
            del self.tree[low:high]
            for key in inside:
                del self.dict[key]

    @rule(data=st.data(), key=KEYS)
    def pop(self, data, key):
        if self.dict and data.draw(st.booleans()):
            key = data.draw(st.sampled_from(sorted(self.dict)))
        if key not in self.dict:
            assert self.tree.pop(key, ABSENT) is ABSENT
            with pytest.raises(KeyError) as caught:
                self.tree.pop(key)
            assert caught.value.args == (key,)
        elif data.draw(st.booleans()):
            assert exact(self.tree.pop(key)) == exact(self.dict.pop(key))
        else:
            assert exact(self.tree.pop(key, ABSENT)) == exact(self.dict.pop(key))

    @rule(index=st.integers(-70, 70), given=st.booleans())
    def pop_item(self, index, given):
        items = by_key(self.dict.items())
        index = index if given else -1
        arguments = (index,) if given else ()
        if not items:
            with pytest.raises(KeyError):
                self.tree.popitem(*arguments)
        elif not -len(items) <= index < len(items):
            with pytest.raises(IndexError):
                self.tree.popitem(*arguments)
        else:
            assert exact_items([self.tree.popitem(*arguments)]) == exact_items([items[index]])
            del self.dict[items[index][0]]

    @rule(key=KEYS, value=VALUES)
    def set_default(self, key, value):
        assert exact(self.tree.setdefault(key, value)) == exact(self.dict.setdefault(key, value))

    @rule(key=KEYS)
    def set_default_of_none(self, key):
        assert exact(self.tree.setdefault(key)) == exact(self.dict.setdefault(key))

    # ---- many -----------------------------------------------------------------------------

    @rule(entries=ENTRIES, source=sources)
    def update(self, entries, source):
        assert self.tree.update(source(entries)) is None
        self.dict.update(entries)

    @rule(entries=ENTRIES, more=ENTRIES)
    def update_with_keywords(self, entries, more):
        self.tree.update(entries, **more)
        self.dict.update(entries, **more)

    @rule(doubled=st.lists(st.tuples(KEYS, VALUES), max_size=8))
    def update_where_the_last_of_equal_keys_counts(self, doubled):
        self.tree.update(doubled + doubled[::-1])
        self.dict.update(doubled + doubled[::-1])

    @rule()
    def update_with_itself(self):
        self.tree.update(self.tree)
        self.tree |= self.tree.items()

    @rule(entries=ENTRIES, source=sources)
    def or_in_place(self, entries, source):
        before = self.tree
        self.tree |= source(entries)
        assert self.tree is before
        self.dict |= entries

    # Not from few: the tests would mostly be of trees with nothing in them.
    @precondition(lambda self: not 0 < len(self.dict) < 12)
    @rule()
    def clear(self):
        assert self.tree.clear() is None
        self.dict.clear()

    # ---- new trees ------------------------------------------------------------------------

    @rule(
        entries=ENTRIES,
        form=st.sampled_from([dict, collections.UserDict, sharedmap.rbtree, read_back]),
    )
    def or_into_a_new_tree(self, entries, form):
        right, left = self.tree | form(entries), form(entries) | self.tree
        assert exact_items(right.items()) == exact_items(by_key((self.dict | entries).items()))
        if form is collections.UserDict:
            # It comes first and answers with one of its own.
            assert exact_items(by_key(left.items())) == exact_items(
                by_key((entries | self.dict).items())
            )
        else:
            assert type(left) is sharedmap.rbtree
            assert exact_items(left.items()) == exact_items(by_key((entries | self.dict).items()))
        assert type(right) is sharedmap.rbtree

    @rule(
        take=st.sampled_from(
            [
                sharedmap.rbtree,
                sharedmap.rbtree.copy,
                copy.copy,
                copy.deepcopy,
                lambda tree: pickle.loads(pickle.dumps(tree, 0)),
                lambda tree: pickle.loads(pickle.dumps(tree, pickle.HIGHEST_PROTOCOL)),
            ]
        ),
        key=KEYS,
    )
    def copy(self, take, key):
        another = take(self.tree)
        assert type(another) is sharedmap.rbtree
        assert exact_items(another.items()) == exact_items(by_key(self.dict.items()))
        another[key] = "only in the copy"
        another.clear()

    @rule(value=VALUES)
    def from_keys(self, value):
        tree = sharedmap.rbtree.fromkeys(self.dict, value)
        assert exact_items(tree.items()) == [(key, exact(value)) for key in sorted(self.dict)]

    @rule(label=st.text("lé", max_size=5))
    def dump(self, label):
        read = sharedmap.sharedmap.frombuffer(self.tree.dump(label))
        read.verify()
        assert exact_items(read.items()) == exact_items(by_key(self.dict.items()))
        assert read == self.tree

    # ---- about the tree -------------------------------------------------------------------

    @rule()
    def describe(self):
        entries = dict(by_key(self.dict.items()))
        assert repr(self.tree) == (f"rbtree({entries!r})" if entries else "rbtree()")
        assert sys.getsizeof(self.tree) > sum(map(len, entries))


def test_tree_answers_like_a_dict_that_is_sorted():
    run_state_machine_as_test(
        TreeMachine,
        settings=settings(
            max_examples=120,
            stateful_step_count=40,
            deadline=None,
            print_blob=True,
            report_multiple_bugs=False,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
