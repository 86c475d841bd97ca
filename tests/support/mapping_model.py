"""The reading half of the models in test_rbtree_model.py and test_sharedmap_model.py.

The machine holds a dict, and any number of maps that must read like a part of it: the whole,
slices, prefixes, slices of these, and views of each. Every answer of theirs is compared with what
the dict and sorted() say at that moment, so what was made long ago must still be right, or, on a
tree, have changed with it.
"""

import collections
import operator

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, rule
from strategies import KEYS, VALUES, by_key, exact, exact_items, is_nan

import sharedmap

BOUNDS = st.none() | KEYS
ABSENT = object()


class Part:
    """A map, and whether it should have a key that is in the dict."""

    def __init__(self, mapping, inside=lambda key: True):
        self.mapping = mapping
        self.inside = inside


def is_same(left, right):
    """Equal, or NaN with the same bytes."""
    return left == right or (is_nan(left) and exact(left) == exact(right))


def without_nan(elements):
    return {
        element[0] if type(element) is tuple and is_nan(element[1]) else element
        for element in elements
    }


class ReadingMachine(RuleBasedStateMachine):
    parts = Bundle("parts")
    views = Bundle("views")
    walks = Bundle("walks")

    def __init__(self):
        super().__init__()
        self.dict = {}
        # How often a key came or went: iterators older than the last time are of no use.
        self.changes = 0

    def entries(self, part):
        """What the part must hold, in order."""
        return dict(by_key((key, self.dict[key]) for key in self.dict if part.inside(key)))

    # ---- parts ----------------------------------------------------------------------------

    @rule(target=parts, part=parts, low=BOUNDS, high=BOUNDS)
    def take_slice(self, part, low, high):
        def inside(key):
            return part.inside(key) and (low is None or low <= key) and (high is None or key < high)

        return Part(part.mapping[low:high], inside)

    @rule(target=parts, part=parts, prefix=KEYS)
    def take_prefix(self, part, prefix):
        return Part(
            part.mapping.prefix(prefix), lambda key: part.inside(key) and key.startswith(prefix)
        )

    # ---- one key --------------------------------------------------------------------------

    @rule(part=parts, key=KEYS)
    def look_up(self, part, key):
        mapping, entries = part.mapping, self.entries(part)
        assert (key in mapping) is (key in entries)
        if key in entries:
            expected = exact(entries[key])
            assert exact(mapping[key]) == expected
            assert exact(mapping.get(key)) == expected
            assert exact(mapping.get(key, ABSENT)) == expected
        else:
            assert mapping.get(key) is None
            assert mapping.get(key, ABSENT) is ABSENT
            assert mapping.get(key, default=ABSENT) is ABSENT
            with pytest.raises(KeyError) as caught:
                mapping[key]
            assert caught.value.args == (key,)

    @rule(part=parts)
    def look_up_all(self, part):
        entries = self.entries(part)
        found = [(key, part.mapping[key]) for key in entries]
        assert exact_items(found) == exact_items(entries.items())

    @rule(part=parts, key=KEYS)
    def look_for_neighbours(self, part, key):
        keys = list(self.entries(part))
        at_or_below = [other for other in keys if other <= key]
        at_or_above = [other for other in keys if other >= key]
        assert part.mapping.floor(key) == (at_or_below[-1] if at_or_below else None)
        assert part.mapping.ceiling(key) == (at_or_above[0] if at_or_above else None)
        below = [other for other in keys if other < key]
        above = [other for other in keys if other > key]
        assert part.mapping.lower(key) == (below[-1] if below else None)
        assert part.mapping.higher(key) == (above[0] if above else None)

    @rule(part=parts, text=KEYS, more=KEYS)
    def look_for_the_longest_prefix(self, part, text, more):
        keys = list(self.entries(part))
        for asked in (text, text + more):
            prefixes = [key for key in keys if asked.startswith(key)]
            assert part.mapping.longest_prefix(asked) == max(prefixes, key=len, default=None)

    # ---- all of them ----------------------------------------------------------------------

    @rule(part=parts)
    def look_at_both_ends(self, part):
        items = list(self.entries(part).items())
        if items:
            assert exact_items([part.mapping.first()]) == exact_items(items[:1])
            assert exact_items([part.mapping.last()]) == exact_items(items[-1:])
        else:
            for end in (part.mapping.first, part.mapping.last):
                with pytest.raises(KeyError):
                    end()

    @rule(part=parts)
    def read_all(self, part):
        mapping, entries = part.mapping, self.entries(part)
        assert len(mapping) == len(entries)
        assert bool(mapping) is bool(entries)
        assert list(mapping) == list(entries)
        assert list(reversed(mapping)) == list(reversed(entries))
        assert exact_items(dict(mapping).items()) == exact_items(entries.items())
        assert exact_items(mapping.to_dict().items()) == exact_items(entries.items())

    @rule(part=parts, key=KEYS, value=VALUES)
    def compare(self, part, key, value):
        mapping, entries = part.mapping, self.entries(part)
        theirs = collections.UserDict(entries)
        for other in [entries, theirs, sharedmap.rbtree(entries), mapping]:
            assert mapping == other
            assert (mapping != other) is False
            # Its own comparison, to which each NaN that is read is a new object.
            has_nan = other is theirs and any(map(is_nan, entries.values()))
            assert (other == mapping) is not has_nan
        another = entries | {key: value}
        expected = key in entries and is_same(entries[key], value)
        assert (mapping == another) is expected
        assert (another == mapping) is expected
        assert mapping != list(entries)
        assert (mapping == None) is False  # noqa: E711

    # ---- views, which may be older than the last change --------------------------------------

    @rule(target=views, part=parts, kind=st.sampled_from(["keys", "values", "items"]))
    def take_view(self, part, kind):
        return kind, getattr(part.mapping, kind)(), part

    @rule(view=views)
    def read_view(self, view):
        kind, view, part = view
        expected = list(getattr(self.entries(part), kind)())
        if kind == "items":
            assert exact_items(view) == exact_items(expected)
            assert exact_items(reversed(view)) == exact_items(reversed(expected))
        else:
            assert list(map(exact, view)) == list(map(exact, expected))
            assert list(map(exact, reversed(view))) == list(map(exact, reversed(expected)))
        assert len(view) == len(expected)
        assert repr(view).startswith(f"{kind}([")
        for element in expected:
            assert element in view

    @rule(view=views, key=KEYS, value=VALUES)
    def look_into_view(self, view, key, value):
        kind, view, part = view
        entries = self.entries(part)
        if kind == "keys":
            assert (key in view) is (key in entries)
            assert (value in view) is (value in entries)
        elif kind == "items":
            assert ((key, value) in view) is (key in entries and is_same(entries[key], value))
            assert key not in view
            assert (key, value, value) not in view
        else:
            assert (value in view) is any(is_same(value, other) for other in entries.values())

    @rule(
        view=views,
        some=st.randoms(use_true_random=False),
        more=st.dictionaries(KEYS, VALUES, max_size=3),
        form=st.sampled_from([set, frozenset, list, tuple, dict.fromkeys, "view"]),
    )
    def use_view_as_set(self, view, some, more, form):
        kind, view, part = view
        if kind == "values":
            return
        entries = self.entries(part)
        chosen = {key: value for key, value in entries.items() if some.random() < 0.5} | more
        chosen = {key: value for key, value in chosen.items() if not is_nan(value)}
        ours = set(getattr(entries, kind)())
        theirs = set(getattr(chosen, kind)())
        other = getattr(chosen, kind)() if form == "view" else form(getattr(chosen, kind)())
        for operation in (operator.and_, operator.or_, operator.sub, operator.xor):
            forward, backward = operation(view, other), operation(other, view)
            assert type(forward) is type(backward) is set
            assert without_nan(forward) == without_nan(operation(ours, theirs))
            assert without_nan(backward) == without_nan(operation(theirs, ours))
        assert view.isdisjoint(other) is ours.isdisjoint(theirs)
        if form in (list, tuple, dict.fromkeys):
            assert view != other
            return
        for comparison in (
            operator.eq,
            operator.ne,
            operator.lt,
            operator.le,
            operator.gt,
            operator.ge,
        ):
            assert comparison(view, other) is comparison(ours, theirs)
            assert comparison(other, view) is comparison(theirs, ours)

    # ---- iterators, taken one step at a time -------------------------------------------------

    @rule(
        target=walks,
        part=parts,
        kind=st.sampled_from(["keys", "values", "items"]),
        direction=st.sampled_from([iter, reversed]),
    )
    def start_walk(self, part, kind, direction):
        view = getattr(part.mapping, kind)()
        return [kind, direction(view), list(direction(self.entries(part))), self.changes]

    @rule(walk=walks)
    def take_step(self, walk):
        kind, iterator, keys_left, changes = walk
        if keys_left is None:
            assert next(iterator, ABSENT) is ABSENT
        elif changes != self.changes:
            with pytest.raises(RuntimeError, match="changed"):
                next(iterator)
        elif keys_left:
            key = keys_left.pop(0)
            value = exact(self.dict[key])
            found = next(iterator)
            if kind == "keys":
                assert found == key
            elif kind == "values":
                assert exact(found) == value
            else:
                assert exact_items([found]) == [(key, value)]
        else:
            assert next(iterator, ABSENT) is ABSENT
            # From now on it is exhausted, whatever comes.
            walk[2] = None
