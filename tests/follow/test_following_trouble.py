"""Maps that are open when their name goes away, or when what is newer is not to be had.

Whatever holds for a name in shared memory holds for a saved file.
"""

import os
import time

import pytest
from helpers import segment_path
from live import (
    NEW,
    OLD,
    Shm,
    damaged,
    mark_superseded,
    published_by_hand,
    put_in_place,
    wait_until,
)

import sharedmap

# test_delivery.py has what is said of failures.
pytestmark = pytest.mark.filterwarnings("ignore::sharedmap.FollowWarning")

# --- names that go away -----------------------------------------------------------------------


def test_map_whose_name_was_removed_is_stale_and_keeps_its_snapshot(names):
    name = names()
    sharedmap.share(OLD, name)
    with sharedmap.sharedmap(name) as shared:
        sharedmap.remove(name)
        assert shared.stale is True
        assert shared.refresh() is False
        assert dict(shared) == OLD


def test_following_map_whose_name_was_removed_keeps_its_snapshot(names):
    name = names()
    sharedmap.share(OLD, name)
    with sharedmap.sharedmap(name, follow=True) as shared:
        sharedmap.remove(name)
        assert dict(shared) == OLD
        assert (shared["a"], shared.generation, len(shared)) == ("old", 1, 5)


def test_following_map_follows_again_when_its_name_comes_back(names):
    name = names()
    sharedmap.share(OLD, name)
    with sharedmap.sharedmap(name, follow=True) as shared:
        for number in range(5):
            sharedmap.remove(name)
            shared["a"]
            sharedmap.share({"a": number}, name)
            assert shared["a"] == number
            assert (shared.generation, shared.stale) == (1, False)


def test_following_map_finds_a_name_again_that_was_gone_for_long(names):
    name = names()
    sharedmap.share(OLD, name)
    with sharedmap.sharedmap(name, follow=True) as shared:
        sharedmap.remove(name)
        begin = time.monotonic()
        wait_until(lambda: shared["a"] == "old" and time.monotonic() - begin > 1.1, "long")
        sharedmap.share(NEW, name)
        # It asks every millisecond only by now.
        wait_until(lambda: shared["a"] == "new", "the map moves on")


def test_following_map_that_was_refreshed_after_long_looks_with_each_operation(names):
    maps = []
    for name in (names() for _ in range(8)):
        sharedmap.share(OLD, name)
        maps.append((name, sharedmap.sharedmap(name, follow=True)))
        sharedmap.remove(name)
    begin = time.monotonic()
    wait_until(
        lambda: all(m["a"] == "old" for _, m in maps) and time.monotonic() - begin > 1.1, "long"
    )
    for name, shared in maps:
        sharedmap.share(NEW, name)
        assert shared.refresh() is True
        # As between the mark and the rename.
        mark_superseded(segment_path(name))
        assert shared["a"] == "new"
        sharedmap.share(OLD, name, force=True)
        assert shared["a"] == "old"
        shared.close()


def test_following_map_that_has_lost_its_name_gets_over_what_is_no_snapshot(names, plant_bytes):
    name = names()
    sharedmap.share(OLD, name)
    with sharedmap.sharedmap(name, follow=True) as shared:
        os.unlink(segment_path(name))
        assert shared.refresh() is False
        plant_bytes(name, b"no snapshot")
        assert shared["a"] == "old"
        sharedmap.share(NEW, name, force=True)
        wait_until(lambda: shared["a"] == "new", "the map advances")


PUBLISH_ON_AND_ON = """
value = 0
while True:
    value += 1
    sharedmap.update(name, {"a": value})
"""


def test_no_reader_sees_what_is_older_than_what_another_has_seen(names, workers):
    """Whoever begins to read when somebody has read a new version gets it, too, or a newer one."""
    name = names()
    sharedmap.share({"a": 0}, name)
    publisher = workers()
    publisher.send("run", PUBLISH_ON_AND_ON, {"name": name})
    readers = [sharedmap.sharedmap(name, follow=True) for _ in range(4)]
    last = 0
    try:
        while last < 2000:
            for reader in readers:
                value = reader["a"]
                assert value >= last
                last = value
    finally:
        publisher.kill()
    for reader in readers:
        reader.close()


def test_following_map_that_was_not_used_while_its_name_was_gone_moves_at_once(names):
    name = names()
    sharedmap.share(OLD, name)
    with sharedmap.sharedmap(name, follow=True) as shared:
        sharedmap.remove(name)
        sharedmap.share(NEW, name)
        assert shared["a"] == "new"


def test_refresh_finds_a_name_that_came_back(names):
    name = names()
    sharedmap.share(OLD, name)
    with sharedmap.sharedmap(name) as shared:
        sharedmap.remove(name)
        assert shared.refresh() is False
        sharedmap.share(NEW, name)
        assert shared.refresh() is True
        assert (dict(shared), shared.stale) == (NEW, False)


def test_refresh_notices_a_file_that_was_deleted_behind_our_back(place, opened):
    os.unlink(place.path)
    assert opened.stale is False  # nobody said so
    assert opened.refresh() is False
    assert opened.stale is True
    assert dict(opened) == OLD


def test_refresh_finds_what_came_after_a_file_that_was_deleted_behind_our_back(place, opened):
    os.unlink(place.path)
    opened.refresh()
    place.publish(NEW)
    assert opened.refresh() is True
    assert (dict(opened), opened.stale) == (NEW, False)


def test_refresh_finds_what_was_moved_into_the_place_behind_our_back(place, opened):
    put_in_place(place.path, sharedmap.rbtree(NEW).dump())
    assert opened.refresh() is True
    assert (dict(opened), opened.generation) == (NEW, 0)


def test_following_map_goes_on_once_it_knows_that_its_file_was_deleted(place, following):
    os.unlink(place.path)
    assert following.refresh() is False
    place.publish(NEW)
    wait_until(lambda: following["a"] == "new", "the map moves on")


# --- new snapshots that are not to be had -----------------------------------------------------

SNAPSHOT = sharedmap.rbtree(NEW).dump()
BAD = {
    "text": b"no snapshot\n" * 100,
    "empty": b"",
    "cut short": SNAPSHOT[:-64],
    "header damaged": damaged(SNAPSHOT),
    "other version": SNAPSHOT[:8] + b"\x02" + SNAPSHOT[9:],
}
each_bad = pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())


@each_bad
def test_refresh_raises_and_keeps_what_it_has_when_the_new_snapshot_is_bad(place, opened, bad):
    published_by_hand(place, bad)
    for _ in range(2):
        with pytest.raises(sharedmap.SnapshotError):
            opened.refresh()
        assert (dict(opened), opened.generation) == (OLD, 1)


@each_bad
def test_following_map_keeps_what_it_has_when_the_new_snapshot_is_bad(place, following, bad):
    published_by_hand(place, bad)
    assert (dict(following), following.generation, following["a"]) == (OLD, 1, "old")


@each_bad
def test_following_map_moves_on_from_a_bad_snapshot_to_a_good_one(place, following, bad):
    published_by_hand(place, bad)
    assert following["a"] == "old"
    place.publish(NEW)
    wait_until(lambda: following["a"] == "new", "the map moves on")
    assert dict(following) == NEW


def test_refresh_of_a_file_that_others_may_write_raises_permission_error(place, opened):
    published_by_hand(place, SNAPSHOT, mode=0o666)
    with pytest.raises(PermissionError):
        opened.refresh()
    assert dict(opened) == OLD


def test_following_map_does_not_move_to_a_file_that_others_may_write(place, following):
    published_by_hand(place, SNAPSHOT, mode=0o666)
    assert dict(following) == OLD


def test_following_map_does_not_move_to_another_users_map(as_root, names):
    name = names()
    place = Shm(name)
    place.publish(OLD)
    with place.open(follow=True) as shared:
        mark_superseded(place.path)
        put_in_place(place.path, SNAPSHOT, mode=0o644)
        os.chown(place.path, 65534, 65534)
        assert dict(shared) == OLD
        with pytest.raises(PermissionError):
            shared.refresh()
        assert dict(shared) == OLD


def test_following_map_moves_to_the_map_of_a_user_it_trusts(as_root, names):
    name = names()
    place = Shm(name)
    place.publish(OLD)
    with place.open(follow=True, owner=65534) as shared:
        mark_superseded(place.path)
        put_in_place(place.path, SNAPSHOT, mode=0o644)
        os.chown(place.path, 65534, 65534)
        assert dict(shared) == NEW


@pytest.mark.parametrize("kind", ["directory", "fifo", "link"])
def test_following_name_keeps_what_it_has_when_something_else_takes_the_name(names, plant, kind):
    make = {
        "directory": os.mkdir,
        "fifo": os.mkfifo,
        "link": lambda path: os.symlink(b"/dev/null", path),
    }[kind]
    name = names()
    sharedmap.share(OLD, name)
    with sharedmap.sharedmap(name, follow=True) as shared:
        sharedmap.remove(name)
        plant(name, make)
        assert dict(shared) == OLD
        with pytest.raises(sharedmap.SnapshotError):
            shared.refresh()
        assert dict(shared) == OLD


def test_hint_that_came_early_is_harmless(place, following, opened):
    """As if a publisher had been killed between the mark and the rename."""
    mark_superseded(place.path)
    for shared in (following, opened):
        assert shared.stale is True
        assert dict(shared) == OLD
        assert shared.refresh() is False
    place.publish(NEW)
    wait_until(lambda: following["a"] == "new", "the map moves on")
    assert opened.refresh() is True
