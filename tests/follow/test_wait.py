"""wait(): sleeping in the system until something newer is published."""

import os
import resource
import signal
import threading
import time

import pytest
from live import (
    Saved,
    Shm,
    damaged,
    has_answered,
    mark_superseded,
    on_linux,
    published_by_hand,
    put_in_place,
    wait_until_asleep,
    wait_until_it_has_looked,
)

import sharedmap

# test_delivery.py has what is said of failures.
pytestmark = pytest.mark.filterwarnings("ignore::sharedmap.FollowWarning")

# Long enough for any machine; a wait that takes as long has failed.
LONG = 30

OLD, NEW = {"a": "old"}, {"a": "new"}


# For what takes long and cannot depend on where the map is.
only_shm = pytest.mark.parametrize("place", ["shm"], indirect=True)


@pytest.fixture(params=["shm", "file"])
def place(request, names, tmp_path):
    place = Shm(names()) if request.param == "shm" else Saved(tmp_path / "a.map")
    place.publish(OLD)
    return place


@pytest.fixture(params=[False, True], ids=["", "follow"])
def follow(request):
    return request.param


@pytest.fixture
def waiting(place, follow, other):
    """The other process, asleep in m.wait(); answer() gives what that returned."""
    other.run(f"m = {place.open_source}", name=place.name, follow=follow)
    other.send("eval", f"m.wait({LONG})", {})
    wait_until_asleep(other.pid)
    return other


# --- something newer --------------------------------------------------------------------------


def test_wait_returns_true_at_once_when_something_newer_is_published_already(place, follow):
    with place.open(follow=follow) as shared:
        place.publish(NEW)
        assert shared.wait() is True


def test_wait_does_not_move_a_map_that_does_not_follow(place):
    with place.open() as shared:
        place.publish(NEW)
        assert shared.wait() is True
        assert (shared["a"], shared.stale) == ("old", True)


def test_wait_returns_true_again_until_the_map_is_refreshed(place):
    with place.open() as shared:
        place.publish(NEW)
        assert [shared.wait(LONG), shared.wait(LONG)] == [True, True]
        shared.refresh()
        assert shared["a"] == "new"
        assert shared.wait(0) is False


def test_wait_moves_a_map_that_follows(place):
    with place.open(follow=True) as shared:
        place.publish(NEW)
        assert shared.wait(LONG) is True
        assert shared.stale is False
        assert shared["a"] == "new"
        assert shared.wait(0) is False


def test_wait_is_woken_by_a_publication_of_another_process(place, waiting):
    place.publish(NEW)
    assert waiting.answer() is True
    waiting.run("m.refresh()")
    assert waiting.eval("m['a']") == "new"


def test_wait_is_woken_by_an_update(names, other):
    name = names()
    sharedmap.share(OLD, name)
    other.run("m = sharedmap.sharedmap(name)", name=name)
    other.send("eval", f"m.wait({LONG})", {})
    wait_until_asleep(other.pid)
    sharedmap.update(name, NEW)
    assert other.answer() is True


def test_wait_in_a_loop_sees_each_publication_that_is_waited_for(place, follow, other):
    other.run(f"m = {place.open_source}", name=place.name, follow=follow)
    for number in range(10):
        other.send("eval", f"(m.wait({LONG}), m.refresh(), m['a'])", {})
        wait_until_asleep(other.pid)
        place.publish({"a": number})
        assert other.answer() == (True, not follow, number)


def test_one_publication_wakes_all_who_wait(place, workers):
    waiting = [workers() for _ in range(4)]
    for worker in waiting:
        worker.run(f"m = {place.open_source}", name=place.name, follow=True)
        worker.send("eval", f"(m.wait({LONG}), m['a'])", {})
    for worker in waiting:
        wait_until_asleep(worker.pid)
    place.publish(NEW)
    assert [worker.answer() for worker in waiting] == [(True, "new")] * 4


@only_shm
@on_linux
def test_wait_sleeps_and_does_not_poll(place, follow):
    with place.open(follow=follow) as shared:
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
        assert shared.wait(0.6) is False
        # It looks at the name every half second, so it goes to sleep twice.
        assert resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - before <= 4


# --- the time is over -------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [0, 0.0, 0.001, 0.05, 1e-9])
def test_wait_returns_false_when_the_time_is_over(place, follow, timeout):
    with place.open(follow=follow) as shared:
        assert shared.wait(timeout) is False
        assert shared.wait(timeout=timeout) is False
        assert shared["a"] == "old"


@only_shm
def test_wait_does_not_return_before_the_time_is_over(place, follow):
    with place.open(follow=follow) as shared:
        begin = time.monotonic()
        assert shared.wait(0.6) is False  # more than it sleeps at a stretch
        assert time.monotonic() - begin >= 0.6


@pytest.mark.parametrize("timeout", [None, float("inf"), 1e300, 10**9])
def test_wait_takes_any_long_time(place, timeout):
    with place.open() as shared:
        place.publish(NEW)
        assert shared.wait(timeout) is True


@pytest.mark.parametrize("timeout", [-1, -0.001, float("nan"), float("-inf")])
def test_wait_with_a_time_that_is_none_raises_value_error(place, timeout):
    with place.open() as shared, pytest.raises(ValueError, match="timeout"):
        shared.wait(timeout)


@pytest.mark.parametrize("timeout", ["1", [], b""])
def test_wait_with_a_timeout_that_is_no_number_raises_type_error(place, timeout):
    with place.open() as shared, pytest.raises(TypeError):
        shared.wait(timeout)


# --- signals and threads ----------------------------------------------------------------------


class Alarm(Exception):
    pass


@pytest.fixture
def on_signal():
    """on_signal(number, handler), until the end of the test."""
    before = {}

    def install(number, handler):
        before.setdefault(number, signal.signal(number, handler))

    yield install
    for number, handler in before.items():
        signal.signal(number, handler)


def test_exception_of_a_signal_handler_ends_the_wait(place, follow, on_signal):
    def handler(number, frame):
        raise Alarm

    on_signal(signal.SIGALRM, handler)
    with place.open(follow=follow) as shared:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Alarm):
            shared.wait(LONG)


def test_keyboard_interrupt_ends_the_wait(waiting, place):
    os.kill(waiting.pid, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        waiting.answer()
    place.publish(NEW)
    assert waiting.eval(f"m.wait({LONG})") is True


def test_wait_goes_on_after_the_process_was_stopped(waiting, place):
    for _ in range(5):
        os.kill(waiting.pid, signal.SIGSTOP)
        os.kill(waiting.pid, signal.SIGCONT)
    wait_until_asleep(waiting.pid)
    place.publish(NEW)
    assert waiting.answer() is True


def test_handler_runs_while_it_waits_and_the_wait_goes_on(place, follow, on_signal):
    """The handler itself publishes what is waited for, at its third call."""
    calls = []

    def handler(number, frame):
        calls.append(number)
        if len(calls) == 3:
            signal.setitimer(signal.ITIMER_REAL, 0)
            place.publish(NEW)

    on_signal(signal.SIGALRM, handler)
    with place.open(follow=follow) as shared:
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
        assert shared.wait(LONG) is True
    assert len(calls) == 3


def test_another_thread_runs_and_publishes_while_one_waits(place, follow):
    """With the GIL held by the one who waits, nobody would ever publish."""
    results = []
    with place.open(follow=follow) as shared:
        thread = threading.Thread(target=lambda: results.append(shared.wait(LONG)))
        thread.start()
        wait_until_asleep(os.getpid(), thread.native_id)
        place.publish(NEW)
        thread.join()
    assert results == [True]


def test_several_threads_wait_for_one_map(place):
    results = []
    with place.open(follow=True) as shared:
        threads = [
            threading.Thread(target=lambda: results.append(shared.wait(LONG))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            wait_until_asleep(os.getpid(), thread.native_id)
        place.publish(NEW)
        for thread in threads:
            thread.join()
        assert shared["a"] == "new"
    # Who comes after another one that has moved the map already has something newer all the same.
    assert results == [True] * 4


def test_map_that_is_closed_by_another_thread_stays_closed(place, follow):
    results = []
    shared = place.open(follow=follow)
    thread = threading.Thread(target=lambda: results.append(shared.wait(LONG)))
    thread.start()
    wait_until_asleep(os.getpid(), thread.native_id)
    shared.close()
    place.publish(NEW)
    thread.join()
    assert results == [True]
    assert shared.closed
    with pytest.raises(ValueError, match="closed"):
        shared["a"]


# --- when things go wrong ---------------------------------------------------------------------


def test_wait_goes_on_when_the_name_is_removed_and_ends_when_it_comes_back(names, follow, other):
    name = names()
    sharedmap.share(OLD, name)
    other.run("m = sharedmap.sharedmap(name, follow=follow)", name=name, follow=follow)
    other.send("eval", f"(m.wait({LONG}), m.refresh(), m['a'])", {})
    wait_until_asleep(other.pid)
    sharedmap.remove(name)
    wait_until_it_has_looked(other.pid)
    assert not has_answered(other, 0)
    sharedmap.share(NEW, name)
    assert other.answer() == (True, not follow, "new")


def test_wait_for_a_name_that_was_removed_returns_false_when_the_time_is_over(names, follow):
    name = names()
    sharedmap.share(OLD, name)
    with sharedmap.sharedmap(name, follow=follow) as shared:
        sharedmap.remove(name)
        assert shared.wait(0.05) is False
        assert shared["a"] == "old"


@only_shm
def test_wait_notices_what_was_published_by_somebody_who_could_not_wake_us(place, waiting):
    """As if the publisher had been killed between the rename and the wake-up."""
    published_by_hand(place, sharedmap.rbtree(NEW).dump())
    assert waiting.answer() is True
    waiting.run("m.refresh()")
    assert waiting.eval("m['a']") == "new"


@only_shm
def test_wait_goes_on_after_a_hint_that_came_to_nothing(place, waiting):
    """As if the publisher had been killed between the mark and the rename."""
    mark_superseded(place.path)
    wait_until_it_has_looked(waiting.pid)
    assert not has_answered(waiting, 0)
    place.publish(NEW)
    assert waiting.answer() is True


@only_shm
def test_wait_notices_a_file_that_was_replaced_behind_our_back(place, waiting):
    put_in_place(place.path, sharedmap.rbtree(NEW).dump())
    assert waiting.answer() is True


@only_shm
def test_wait_notices_what_comes_after_a_file_that_was_deleted_behind_our_back(place, waiting):
    os.unlink(place.path)
    wait_until_it_has_looked(waiting.pid)
    assert not has_answered(waiting, 0)
    place.publish(NEW)
    assert waiting.answer() is True


def test_following_map_waits_on_when_the_new_snapshot_is_damaged(place):
    bad = damaged(sharedmap.rbtree(NEW).dump())
    with place.open(follow=True) as shared:
        published_by_hand(place, bad)
        assert shared.wait(0.05) is False
        assert shared["a"] == "old"
        place.publish(NEW)
        assert shared.wait(LONG) is True
        assert shared["a"] == "new"


def test_map_that_does_not_follow_learns_of_a_damaged_snapshot_by_refresh(place):
    with place.open() as shared:
        published_by_hand(place, damaged(sharedmap.rbtree(NEW).dump()))
        assert shared.wait(LONG) is True
        with pytest.raises(sharedmap.SnapshotError):
            shared.refresh()
        assert shared["a"] == "old"


def test_wait_for_a_closed_map_raises_value_error(place):
    shared = place.open()
    shared.close()
    with pytest.raises(ValueError, match="closed"):
        shared.wait(0)


def test_wait_for_a_map_in_a_buffer_raises_value_error():
    with pytest.raises(ValueError, match="buffer"):
        sharedmap.sharedmap.frombuffer(sharedmap.rbtree().dump()).wait(0)


def test_wait_leaves_no_descriptor_and_no_mapping_behind(place):
    def mapped():
        with open("/proc/self/maps") as maps:
            return sum(os.path.basename(place.path) in line for line in maps)

    before = len(os.listdir("/proc/self/fd"))
    with place.open(follow=True) as shared:
        for number in range(20):
            place.publish({"a": number})
            assert shared.wait(LONG) is True
        assert mapped() == 1
    assert mapped() == 0
    assert len(os.listdir("/proc/self/fd")) == before


# --- for a map that is not there yet ------------------------------------------------------------


@pytest.fixture(params=["shm", "file"])
def absent(request, names, tmp_path):
    return Shm(names()) if request.param == "shm" else Saved(tmp_path / "a.map")


def test_opening_waits_until_the_map_is_published(absent, other):
    source = absent.open_source.replace("follow=follow", f"follow=follow, wait={LONG}")
    other.send("eval", f"{source}['a']", {"name": absent.name, "follow": True})
    wait_until_it_has_looked(other.pid)
    absent.publish(NEW)
    assert other.answer() == "new"


def test_opening_does_not_wait_for_what_is_there(place):
    with place.open(wait=None) as shared:
        assert shared["a"] == "old"


def test_opening_raises_file_not_found_when_the_time_is_over(absent):
    begin = time.monotonic()
    for wait in (0, 0.05):
        with pytest.raises(FileNotFoundError):
            absent.open(wait=wait)
    assert time.monotonic() - begin >= 0.05


def test_opening_waits_for_an_absent_map_only(place):
    put_in_place(place.path, damaged(sharedmap.rbtree(OLD).dump()))
    with pytest.raises(sharedmap.SnapshotError):
        place.open(wait=None)


def test_signal_handler_ends_waiting_for_a_map(absent):
    class Ended(Exception):
        pass

    def handler(number, frame):
        raise Ended

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
        with pytest.raises(Ended):
            absent.open(wait=None)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("wrong", [-1, float("nan")])
def test_wait_for_a_map_must_not_be_negative(absent, wrong):
    with pytest.raises(ValueError, match="wait must be None or a non-negative number of seconds"):
        absent.open(wait=wrong)


def test_time_to_wait_must_be_a_number(absent):
    with pytest.raises(TypeError):
        absent.open(wait="1")
