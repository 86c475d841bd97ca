"""share(expect=) and update(expect=): publishing only if no other publisher was faster."""

import os
import pickle

import pytest
from helpers import generation, read_header, segment_path, superseded

import sharedmap


@pytest.fixture(params=["function", "method"])
def share(request):
    """share(entries, name, **options), by the function and by the tree's method."""
    if request.param == "function":
        return sharedmap.share
    return lambda entries, name, **options: sharedmap.rbtree(entries).share(name, **options)


def content(name):
    with sharedmap.sharedmap(name) as shared:
        return dict(shared), shared.generation


def test_share_with_the_published_generation_replaces(name, share):
    share({"a": 1}, name)
    assert share({"a": 2}, name, expect=1) is True
    assert share({"a": 3}, name, expect=2) is True
    assert content(name) == ({"a": 3}, 3)


@pytest.mark.parametrize("expect", [2, 4, 2**63, 2**64 - 1])
def test_share_with_another_generation_raises_stale_error_with_both(name, share, expect):
    for number in range(3):
        share({"a": number}, name, force=True)
    with pytest.raises(sharedmap.StaleError) as caught:
        share({"a": "mine"}, name, expect=expect)
    assert (caught.value.expected, caught.value.found) == (expect, 3)
    assert str(expect) in str(caught.value)
    assert "3" in str(caught.value)
    assert repr(name) in str(caught.value)


def test_share_that_was_refused_changes_nothing(names, share):
    name = names()
    share({"a": "his"}, name)
    before = read_header(name)
    with pytest.raises(sharedmap.StaleError):
        share({"a": "mine"}, name, expect=7)
    assert read_header(name) == before
    assert superseded(before) == 0
    assert content(name) == ({"a": "his"}, 1)
    assert len(names.files()) == 1


def test_share_that_expects_nobody_takes_a_free_name(name, share):
    assert share({"a": 1}, name, expect=0) is True
    assert content(name) == ({"a": 1}, 1)


def test_share_that_expects_nobody_raises_stale_error_when_the_name_is_taken(name, share):
    share({"a": "his"}, name)
    with pytest.raises(sharedmap.StaleError) as caught:
        share({"a": "mine"}, name, expect=0)
    assert (caught.value.expected, caught.value.found) == (0, 1)
    assert str(caught.value) == f"generation 1 of {name!r} is published, but none was expected"
    assert content(name) == ({"a": "his"}, 1)


def test_share_that_expects_nobody_leaves_a_file_that_is_no_map(name, share, plant_bytes):
    """Somebody holds the name, even if what he has there is no snapshot."""
    path = plant_bytes(name, b"somebody's notes")
    with pytest.raises((sharedmap.StaleError, FileExistsError)):
        share({"a": "mine"}, name, expect=0)
    with open(path, "rb") as file:
        assert file.read() == b"somebody's notes"


def test_share_that_expects_somebody_raises_stale_error_when_the_name_is_free(names, share):
    name = names()
    with pytest.raises(sharedmap.StaleError) as caught:
        share({"a": 1}, name, expect=1)
    assert (caught.value.expected, caught.value.found) == (1, 0)
    assert str(caught.value) == (
        f"nothing is published under {name!r}, but generation 1 was expected"
    )
    assert names.files() == []


def test_share_that_expects_a_removed_map_raises_stale_error(name, share):
    share({"a": 1}, name)
    sharedmap.remove(name)
    with pytest.raises(sharedmap.StaleError):
        share({"a": 2}, name, expect=1)


def test_expect_none_is_as_if_it_was_not_there(name, share):
    share({"a": 1}, name, expect=None)
    with pytest.raises(FileExistsError):
        share({"a": 2}, name, expect=None)
    share({"a": 2}, name, force=True, expect=None)
    assert content(name) == ({"a": 2}, 2)


def test_expect_counts_also_with_force(name, share):
    share({"a": 1}, name)
    with pytest.raises(sharedmap.StaleError):
        share({"a": 2}, name, force=True, expect=7)
    assert share({"a": 2}, name, force=True, expect=1) is True


def test_expect_is_met_by_the_generation_that_a_map_tells(name, share):
    share({"count": 1}, name)
    with sharedmap.sharedmap(name, follow=True) as shared:
        for _ in range(5):
            share({"count": shared["count"] + 1}, name, expect=shared.generation)
        assert shared["count"] == 6


def test_expect_keeps_the_mode_that_is_asked_for(name, share):
    share({}, name)
    share({}, name, expect=1, mode=0o644)
    assert os.stat(segment_path(name)).st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("expect", "error"),
    [
        ("1", ValueError),
        ("A" * 32, ValueError),
        (b"1", TypeError),
        (1.0, TypeError),
        ([], TypeError),
        (-1, OverflowError),
        (2**64, OverflowError),
    ],
)
def test_expect_that_is_neither_generation_nor_id_raises(names, share, expect, error):
    name = names()
    with pytest.raises(error):
        share({}, name, expect=expect)
    with pytest.raises(error):
        sharedmap.update(name, {}, expect=expect)
    assert names.files() == []


# --- update -----------------------------------------------------------------------------------


@pytest.fixture(params=["copied", "appended"])
def published(request, name):
    """A map that updates copy, or one with room for deltas; and its second version."""
    entries = {str(number): number for number in range(5 if request.param == "copied" else 5000)}
    sharedmap.share(entries, name)
    sharedmap.update(name, {"count": 0})
    with sharedmap.sharedmap(name, follow=True) as shared:
        yield shared


def test_update_changes_the_expected_version(name, published):
    for number in range(5):
        assert sharedmap.update(name, {"count": number + 1}, expect=published.generation) > 2
        assert sharedmap.update(name, {"b": number}, ["0"], expect=published.id) > 3
    assert (published["count"], published["b"], published.get("0")) == (5, 4, None)


@pytest.mark.parametrize("expect", [0, 1, 3, 2**64 - 1, "0" * 32, "first"])
def test_update_of_another_version_raises_stale_error_and_changes_nothing(name, published, expect):
    first = published.id
    sharedmap.update(name, {"count": 1})
    sharedmap.update(name, {"count": 2})
    expect = first if expect == "first" else expect
    before = read_header(name), os.stat(segment_path(name)), published.id
    for changes in ({"count": 3}, {"count": 2}, {}):  # also those that would change nothing
        with pytest.raises(sharedmap.StaleError) as caught:
            sharedmap.update(name, changes, expect=expect)
        with pytest.raises(sharedmap.StaleError) as of_share:
            sharedmap.share(changes, name, expect=expect)
        assert (caught.value.expected, caught.value.found) == (expect, 4)
        assert str(caught.value) == str(of_share.value)
    assert (read_header(name), os.stat(segment_path(name)), published.id) == before


def test_update_that_changes_nothing_in_the_expected_version_returns_it(name, published):
    now = published.id
    assert sharedmap.update(name, {"count": 0}, expect=2) == 2
    assert sharedmap.update(name, {}, expect=now) == 2
    assert published.id == now


@pytest.mark.parametrize("expect", [1, "0" * 32])
def test_update_that_expects_a_map_raises_stale_error_when_the_name_is_free(names, expect):
    name = names()
    with pytest.raises(sharedmap.StaleError) as caught:
        sharedmap.update(name, {"a": 1}, expect=expect)
    assert (caught.value.expected, caught.value.found) == (expect, 0)
    with pytest.raises(sharedmap.StaleError) as of_share:
        sharedmap.share({"a": 1}, name, expect=expect)
    assert str(caught.value) == str(of_share.value)
    assert names.files() == []


def test_update_that_expects_no_map_has_nothing_to_change(names):
    with pytest.raises(FileNotFoundError):
        sharedmap.update(names(), {"a": 1}, expect=0)


def test_update_that_expects_a_version_leaves_a_file_that_is_no_map(name, plant_bytes):
    path = plant_bytes(name, b"somebody's notes")
    with pytest.raises(sharedmap.StaleError):
        sharedmap.update(name, {"a": 1}, expect=1)
    with pytest.raises(sharedmap.SnapshotError):
        sharedmap.update(name, {"a": 1}, expect=0)
    with open(path, "rb") as file:
        assert file.read() == b"somebody's notes"


def test_stale_error_is_a_runtime_error():
    assert issubclass(sharedmap.StaleError, RuntimeError)


def test_stale_error_keeps_its_generations_when_pickled(name):
    sharedmap.share({}, name)
    with pytest.raises(sharedmap.StaleError) as caught:
        sharedmap.share({}, name, expect=5)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), again.expected, again.found) == (sharedmap.StaleError, 5, 1)
    assert str(again) == str(caught.value)


COUNT_UP = """
def count_up(change, name, times):
    lost = 0
    while times > 0:
        with sharedmap.sharedmap(name) as shared:
            count, generation = shared["count"], shared.generation
        try:
            change(name, {"count": count + 1}, expect=generation)
            times -= 1
        except sharedmap.StaleError as error:
            assert error.found > error.expected == generation
            lost += 1
    return lost
"""


SHARE = "lambda name, entries, expect: sharedmap.share(entries, name, expect=expect)"


@pytest.mark.parametrize("change", [SHARE, "sharedmap.update"], ids=["share", "update"])
def test_processes_that_compare_and_replace_lose_no_step(name, workers, change):
    sharedmap.share({"count": 0}, name)
    counting = [workers() for _ in range(3)]
    for worker in counting:
        worker.run(COUNT_UP)
        worker.send("eval", f"count_up({change}, name, 100)", {"name": name})
    for worker in counting:
        worker.answer()
    assert content(name) == ({"count": 300}, 301)
    assert generation(read_header(name)) == 301
