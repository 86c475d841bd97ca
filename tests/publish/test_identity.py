"""Which version a map is: its id, which is never used twice, and when it was published."""

import copy
import os
import pickle
import re
import time

import pytest

import sharedmap


def id_of(name):
    with sharedmap.sharedmap(name) as shared:
        return shared.id


def test_id_is_32_digits_and_that_of_the_version(name):
    sharedmap.share({"a": 1}, name)
    first = id_of(name)
    assert re.fullmatch("[0-9a-f]{32}", first)
    assert id_of(name) == first
    sharedmap.update(name, {"a": 2})
    assert id_of(name) != first


def test_equal_maps_have_different_ids(names):
    for name in (one := names(), other := names()):
        sharedmap.share({"a": 1}, name)
    assert id_of(one) != id_of(other)


def test_copies_of_a_handle_have_its_id(name):
    sharedmap.share({"a": 1}, name)
    with sharedmap.sharedmap(name) as shared:
        copies = [copy.copy(shared), copy.deepcopy(shared), shared.snapshot()]
        assert {other.id for other in copies} == {shared.id}


def test_expect_takes_an_id(name):
    sharedmap.share({"a": 1}, name)
    first = id_of(name)
    assert sharedmap.share({"a": 2}, name, expect=first)
    with pytest.raises(sharedmap.StaleError) as caught:
        sharedmap.share({"a": 3}, name, expect=first)
    assert (caught.value.expected, caught.value.found) == (first, 2)
    assert name in str(caught.value)
    assert first in str(caught.value)
    with sharedmap.sharedmap(name) as shared:
        assert dict(shared) == {"a": 2}


def test_expect_of_an_id_is_not_met_by_a_later_lineage(name):
    """Generations begin again with 1, so a generation is met."""
    sharedmap.share({"a": 1}, name)
    first = id_of(name)
    sharedmap.remove(name)
    with pytest.raises(sharedmap.StaleError) as caught:
        sharedmap.share({"mine": 1}, name, expect=first)
    assert caught.value.found == 0
    sharedmap.share({"another publisher's": 1}, name)
    with pytest.raises(sharedmap.StaleError) as caught:
        sharedmap.rbtree(mine=1).share(name, expect=first)
    assert caught.value.found == 1
    with sharedmap.sharedmap(name) as shared:
        assert dict(shared) == {"another publisher's": 1}


def test_stale_error_of_an_id_pickles(name):
    with pytest.raises(sharedmap.StaleError) as caught:
        sharedmap.share({}, name, expect="0" * 32)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.expected, again.found) == ("0" * 32, 0)


def test_published_at_is_the_time_of_publication(name, tmp_path):
    before = time.time()
    sharedmap.share({"a": 1}, name)
    tree = sharedmap.rbtree(a=1)
    tree.save(path := os.fspath(tmp_path / "map"))
    after = time.time()
    with sharedmap.sharedmap(name) as shared, sharedmap.sharedmap.open(path) as saved:
        assert before <= shared.published_at <= saved.published_at <= after
        sharedmap.update(name, {"a": 2})
        with sharedmap.sharedmap(name) as newer:
            assert newer.published_at >= shared.published_at


def test_dumped_map_was_never_published():
    assert sharedmap.sharedmap.frombuffer(sharedmap.rbtree(a=1).dump()).published_at is None


@pytest.mark.parametrize("attribute", ["id", "published_at"])
def test_closed_map_has_no_identity(name, attribute):
    sharedmap.share({"a": 1}, name)
    shared = sharedmap.sharedmap(name)
    shared.close()
    with pytest.raises(ValueError, match="closed"):
        getattr(shared, attribute)
    with pytest.raises(AttributeError):
        setattr(shared, attribute, "")
