"""Delivery: what is published arrives, also when the first attempts to open it fail.

Nothing happens to the name after the failure: only a reader that tries again by itself gets it. And
a reader that cannot get it says so.
"""

import asyncio
import contextlib
import errno
import os
import resource
import sys
import threading
import warnings

import pytest
from helpers import HANG
from live import NEW, OLD, Shm, damaged, published_by_hand, put_in_place, wait_until

import sharedmap


@contextlib.contextmanager
def no_descriptor_left():
    """Opening anything fails with EMFILE."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def follow_warnings(caught):
    return [w for w in caught if issubclass(w.category, sharedmap.FollowWarning)]


# --- lookups of a map that follows ------------------------------------------------------------


def test_following_map_says_once_why_it_cannot_advance_and_advances_later(place, following):
    assert following.follow_error is None
    place.publish(NEW)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with no_descriptor_left():
            assert following["a"] == "old"
            error = following.follow_error
            wait_until(lambda: following["a"] == "old" and following.follow_error is not error, "")
    assert isinstance(error, OSError)
    assert (error.errno, error.filename) == (errno.EMFILE, place.name)
    assert (error.__traceback__, error.__context__) == (None, None)
    (warning,) = follow_warnings(caught)
    assert place.name in str(warning.message) and os.strerror(errno.EMFILE) in str(warning.message)
    assert warning.filename == __file__
    wait_until(lambda: following["a"] == "new", "the map advances")
    assert following.follow_error is None


def test_each_kind_of_failure_warns_for_itself(place, following):
    place.publish(NEW)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with no_descriptor_left():
            assert following["a"] == "old"
        put_in_place(place.path, damaged(sharedmap.rbtree(NEW).dump()))
        wait_until(
            lambda: (
                following["a"] == "old"
                and isinstance(following.follow_error, sharedmap.SnapshotError)
            ),
            "the other failure",
        )
        with no_descriptor_left():
            wait_until(
                lambda: following["a"] == "old" and isinstance(following.follow_error, OSError),
                "the first failure again",
            )
    assert len(follow_warnings(caught)) == 2


def test_lookups_after_a_failure_do_not_try_each_time(place, following):
    place.publish(NEW)
    errors = set()
    with warnings.catch_warnings(), no_descriptor_left():
        warnings.simplefilter("ignore")
        begin = last = following["a"] and following.follow_error
        kept = [begin]
        for _ in range(20_000):
            following["a"]
            if following.follow_error is not last:
                last = following.follow_error
                kept.append(last)
    errors.update(map(id, kept))
    # 20,000 attempts without the backoff; 10, 20, 40 ms ... with it.
    assert len(errors) < 12


def test_warning_that_is_an_error_does_not_take_the_answer_of_a_lookup(
    place, following, monkeypatch
):
    place.publish(NEW)
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", lambda hooked: unraisable.append(hooked.exc_type))
    with warnings.catch_warnings(), no_descriptor_left():
        warnings.simplefilter("error")
        assert following["a"] == "old"
        assert following.get("b") == "old"
    assert unraisable == [sharedmap.FollowWarning]


def test_context_of_the_caller_is_not_kept_by_the_error(place, following):
    place.publish(NEW)
    with warnings.catch_warnings(), no_descriptor_left():
        warnings.simplefilter("ignore")
        try:
            raise KeyError("something else")
        except KeyError:
            assert following["a"] == "old"
    assert following.follow_error.__context__ is None


FOLLOW_AS_ANOTHER_USER = """
import os, warnings
m = sharedmap.sharedmap(name, follow=True)
os.setuid(65534)
"""


def test_following_map_of_a_process_that_dropped_root_says_why_and_advances_when_it_may(
    as_root, names, workers
):
    name = names()
    place = Shm(name)
    place.publish(OLD)
    worker = workers()
    worker.run(FOLLOW_AS_ANOTHER_USER, name=name)
    place.publish(NEW)
    worker.run(
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    found = m['a'], type(m.follow_error), m.follow_error.errno\n"
        "    found = (*found, [w.category for w in caught] == [sharedmap.FollowWarning])\n"
    )
    assert worker.eval("found") == ("old", PermissionError, errno.EACCES, True)
    os.chmod(place.path, 0o644)
    wait_until(lambda: worker.eval("m['a'], m.follow_error") == ("new", None), "the map advances")


# --- refresh() --------------------------------------------------------------------------------


def test_refresh_that_fails_raises_and_remembers_without_a_warning(place, opened):
    place.publish(NEW)
    with warnings.catch_warnings(), no_descriptor_left():
        warnings.simplefilter("error")
        with pytest.raises(OSError, match=os.strerror(errno.EMFILE)) as raised:
            opened.refresh()
    assert raised.value.errno == opened.follow_error.errno == errno.EMFILE
    assert opened.follow_error is not raised.value  # which has a traceback, and so the frames
    assert opened.stale is True
    assert opened.refresh() is True
    assert (opened["a"], opened.follow_error, opened.stale) == ("new", None, False)


def test_absent_name_is_no_failure(place, opened):
    place.remove()
    assert opened.refresh() is False
    assert opened.follow_error is None


def test_copies_have_failures_of_their_own(place, following):
    place.publish(NEW)
    with warnings.catch_warnings(), no_descriptor_left():
        warnings.simplefilter("ignore")
        assert following["a"] == "old"
        with following.snapshot() as pinned:
            assert (pinned["a"], pinned.follow_error) == ("old", None)
    assert following.follow_error is not None


# --- wait() -----------------------------------------------------------------------------------


@pytest.mark.parametrize("follow", [False, True], ids=["", "follow"])
def test_wait_delivers_what_the_first_attempts_could_not_open(place, follow):
    place.publish(OLD)
    with place.open(follow=follow) as shared:
        published_by_hand(place, damaged(sharedmap.rbtree(NEW).dump()))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if follow:
                assert shared.wait(0.05) is False
            else:
                assert shared.wait(0) is True
                with pytest.raises(sharedmap.SnapshotError):
                    shared.refresh()
            assert isinstance(shared.follow_error, sharedmap.SnapshotError)
            # No publication marks what the map has: it is marked already.
            put_in_place(place.path, sharedmap.rbtree(NEW).dump())
            assert shared.wait(HANG) is True
        shared.refresh()
        assert (shared["a"], shared.follow_error) == ("new", None)


def test_loop_of_wait_and_refresh_keeps_to_the_backoff(place):
    place.publish(OLD)
    failures = 0
    with place.open() as shared:
        published_by_hand(place, b"no snapshot" * 100)
        # 10 + 20 + 40 + 80 + 160 ms: what came before the fifth failure is over by then.
        while shared.wait(0.15):
            with pytest.raises(sharedmap.SnapshotError):
                shared.refresh()
            failures += 1
            assert failures < 20
        assert failures >= 2
        place.publish(NEW)
        assert shared.wait(HANG) is True
        assert shared.refresh() is True


def test_thread_that_waits_and_refreshes_gets_what_it_could_not_open_at_first(name):
    """The thread of the guide."""
    sharedmap.share(OLD, name)
    failures, seen = [], []

    def reload_on_change(m):
        with m:
            while m["a"] == "old":
                try:
                    m.wait()
                    m.refresh()
                except (OSError, ValueError) as error:
                    failures.append(error)
            seen.append(dict(m))

    thread = threading.Thread(target=reload_on_change, args=[sharedmap.sharedmap(name)])
    thread.start()
    with no_descriptor_left_after(lambda: sharedmap.share(NEW, name, force=True)):
        wait_until(lambda: failures or seen, "an attempt")
    thread.join(HANG)
    assert not thread.is_alive()
    assert seen == [NEW]


@contextlib.contextmanager
def no_descriptor_left_after(publish):
    """Publishing takes descriptors itself, so the limit comes just after it."""
    publish()
    with no_descriptor_left():
        yield


# --- watch() ----------------------------------------------------------------------------------


def test_watch_delivers_what_the_first_attempt_could_not_open(name):
    """One publication, one failure; then nothing more happens to the name."""
    attempts = []

    async def play():
        seen = []
        sharedmap.share(OLD, name)
        async for shared in sharedmap.watch(name):
            seen.append(dict(shared))
            if len(seen) == 2:
                return seen
            sharedmap.share(NEW, name, force=True)
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
            loop = asyncio.get_running_loop()
            restore = resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard)
            attempts.append(loop.call_later(0.1, *restore))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert asyncio.run(asyncio.wait_for(play(), HANG)) == [OLD, NEW]
    assert len(attempts) == 1
    assert len(follow_warnings(caught)) == 1


def test_watch_whose_first_snapshot_meets_a_shortage_waits_for_its_end(name):
    sharedmap.share(OLD, name)

    async def play():
        loop = asyncio.get_running_loop()
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
        loop.call_later(0.1, resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        async for shared in sharedmap.watch(name):
            return dict(shared)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert asyncio.run(asyncio.wait_for(play(), HANG)) == OLD
    assert len(follow_warnings(caught)) == 1
