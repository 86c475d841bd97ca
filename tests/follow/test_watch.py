"""watch(): new snapshots inside an event loop, without a thread and with one descriptor."""

import asyncio
import contextlib
import gc
import os
import subprocess
import sys
import threading
import weakref

import pytest
from helpers import HANG
from live import Shm, damaged, descriptors, on_linux, published_by_hand, put_in_place

import sharedmap
from sharedmap import _sharedmap, _watch, watch

# test_delivery.py has what is said of failures.
pytestmark = pytest.mark.filterwarnings("ignore::sharedmap.FollowWarning")


@pytest.fixture(params=["inotify", "polling"])
def notice(request, monkeypatch):
    """How a loop notices: by its descriptor, or by looking, where there is none left."""
    if request.param == "polling":

        def no_descriptor_left():
            raise OSError(24, "Too many open files")

        monkeypatch.setattr(_sharedmap, "_watch_open", no_descriptor_left)
    return request.param


@pytest.fixture
def looks(monkeypatch):
    """Grows with each look that watch() takes at a name."""
    looks = []

    class Counted(sharedmap.sharedmap):
        def refresh(self):
            looks.append("refresh")
            return super().refresh()

    def open_counted(*arguments, **options):
        looks.append("open")
        return Counted(*arguments, **options)

    monkeypatch.setattr(_watch, "sharedmap", open_counted)
    return looks


def run(coroutine):
    """Runs it in a loop of its own; what would hang is a failure."""
    return asyncio.run(asyncio.wait_for(coroutine, HANG))


def inotify_descriptors():
    return [to for to in descriptors().values() if "inotify" in to]


async def until(is_true):
    while not is_true():
        await asyncio.sleep(0.001)


async def collect(name, seen, **options):
    """Adds what is published to the list."""
    async for shared in watch(name, **options):
        with shared:
            seen.append(dict(shared))


@contextlib.asynccontextmanager
async def watching(name, seen, **options):
    task = asyncio.create_task(collect(name, seen, **options))
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


# --- what it yields ---------------------------------------------------------------------------


def test_watch_yields_what_is_published_now(name, notice):
    sharedmap.share({"a": 1}, name)

    async def first():
        async for shared in watch(name):
            return dict(shared), shared.generation

    assert run(first()) == ({"a": 1}, 1)


def test_watch_yields_after_each_publication(name, notice):
    async def play():
        seen = []
        sharedmap.share({"a": 0}, name)
        async with watching(name, seen):
            for number in range(1, 5):
                await until(lambda number=number: len(seen) == number)
                sharedmap.share({"a": number}, name, force=True)
            await until(lambda: len(seen) == 5)
        return seen

    assert run(play()) == [{"a": number} for number in range(5)]


def test_watch_yields_what_another_process_publishes(name, notice, other):
    async def play():
        seen = []
        sharedmap.share({"a": 0}, name)
        async with watching(name, seen):
            for number in range(1, 4):
                await until(lambda number=number: len(seen) == number)
                other.run("sharedmap.share({'a': n}, name, force=True)", n=number, name=name)
            await until(lambda: len(seen) == 4)
        return seen

    assert run(play()) == [{"a": number} for number in range(4)]


def test_watch_yields_after_an_update(name, notice):
    async def play():
        seen = []
        sharedmap.share({"a": 0}, name)
        async with watching(name, seen):
            await until(lambda: seen)
            sharedmap.update(name, {"b": 1})
            await until(lambda: len(seen) == 2)
        return seen

    assert run(play()) == [{"a": 0}, {"a": 0, "b": 1}]


def test_watch_yields_only_the_newest_of_what_came_while_the_caller_was_busy(name, notice):
    async def play():
        seen = []
        sharedmap.share({"a": 0}, name)
        async for shared in watch(name):
            seen.append(shared["a"])
            if shared["a"] == 5:
                return seen
            for number in range(1, 6):
                sharedmap.share({"a": number}, name, force=True)

    assert run(play()) == [0, 5]


def test_watch_yields_what_was_published_between_two_turns_of_the_loop(name, notice):
    """No publication is missed, whenever it comes: the last one is always yielded."""

    async def play():
        seen = []
        sharedmap.share({"a": 0}, name)
        async with watching(name, seen):
            for number in range(1, 100):
                sharedmap.share({"a": number}, name, force=True)
                await asyncio.sleep(0)
            await until(lambda: seen and seen[-1] == {"a": 99})
        return seen

    seen = [content["a"] for content in run(play())]
    assert seen == sorted(set(seen))


def test_watch_waits_for_a_name_under_which_nothing_is_published_yet(name, notice, looks):
    async def play():
        seen = []
        async with watching(name, seen):
            # Nothing makes it look a second time if it has a descriptor to sleep on.
            await until(lambda: len(looks) >= (1 if notice == "inotify" else 3))
            assert seen == []
            sharedmap.share({"a": 1}, name)
            await until(lambda: seen)
        return seen

    assert run(play()) == [{"a": 1}]


def test_watch_yields_again_when_a_removed_name_comes_back(name, notice, looks):
    async def play():
        seen = []
        sharedmap.share({"a": 1}, name)
        async with watching(name, seen):
            await until(lambda: seen)
            before = len(looks)
            sharedmap.remove(name)
            await until(lambda: len(looks) > before)
            assert len(seen) == 1
            sharedmap.share({"a": 2}, name)
            await until(lambda: len(seen) == 2)
        return seen

    assert run(play()) == [{"a": 1}, {"a": 2}]


def test_watch_yields_what_came_after_a_file_that_was_deleted_behind_our_back(name, notice):
    async def play():
        seen = []
        sharedmap.share({"a": 1}, name)
        async with watching(name, seen):
            await until(lambda: seen)
            os.unlink(Shm(name).path)
            sharedmap.share({"a": 2}, name)
            await until(lambda: len(seen) == 2)
        return seen

    assert run(play()) == [{"a": 1}, {"a": 2}]


def test_watch_yields_what_was_moved_into_the_place_behind_our_back(name, notice):
    async def play():
        seen = []
        sharedmap.share({"a": 1}, name)
        async with watching(name, seen):
            await until(lambda: seen)
            put_in_place(Shm(name).path, sharedmap.rbtree({"a": 2}).dump())
            await until(lambda: len(seen) == 2)
        return seen

    assert run(play()) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("template", ["{}", "a/{}", "50%{}", "{}~", "{} \x7f", "红{}", "{}\udcff"])
def test_watch_knows_every_name_that_share_knows(names, template):
    name = names(template)

    async def play():
        seen = []
        async with watching(name, seen):
            await asyncio.sleep(0)
            sharedmap.share({"a": 1}, name)
            await until(lambda: seen)
        return seen

    assert run(play()) == [{"a": 1}]


def test_yielded_map_does_not_follow(name, notice):
    async def play():
        kept = []
        sharedmap.share({"a": 0}, name)
        async for shared in watch(name):
            kept.append(shared)
            if len(kept) == 3:
                return [shared["a"] for shared in kept]
            sharedmap.share({"a": len(kept)}, name, force=True)

    assert run(play()) == [0, 1, 2]


def test_yielded_map_may_be_closed_or_not(name, notice):
    async def play():
        count = 0
        sharedmap.share({"a": 0}, name)
        async for shared in watch(name):
            count += 1
            if count % 2:
                shared.close()
            if count == 6:
                return True
            sharedmap.share({"a": count}, name, force=True)

    assert run(play())


def test_watch_decodes(name):
    sharedmap.share({"a": (1,)}, name, encode=lambda value: b"encoded")

    async def first():
        async for shared in watch(name, decode=lambda data: bytes(data).upper()):
            return shared["a"]

    assert run(first()) == b"ENCODED"


# --- several at once --------------------------------------------------------------------------


def test_watchers_of_several_names_each_see_their_own(names, notice):
    several = [names() for _ in range(5)]

    async def play():
        seen = {name: [] for name in several}
        async with contextlib.AsyncExitStack() as stack:
            for name in several:
                await stack.enter_async_context(watching(name, seen[name]))
            for number in range(3):
                for name in several:
                    sharedmap.share({name: number}, name, force=True)
                await until(lambda number=number: all(len(s) == number + 1 for s in seen.values()))
        return seen

    expected = {name: [{name: 0}, {name: 1}, {name: 2}] for name in several}
    assert run(play()) == expected


def test_two_watchers_of_one_name_both_see_all(name, notice):
    async def play():
        first, second = [], []
        async with watching(name, first), watching(name, second):
            for number in range(3):
                sharedmap.share({"a": number}, name, force=True)
                await until(lambda number=number: len(first) == len(second) == number + 1)
        return first, second

    expected = [{"a": 0}, {"a": 1}, {"a": 2}]
    assert run(play()) == (expected, expected)


@on_linux
def test_loop_has_one_descriptor_and_no_thread_however_many_it_watches(names):
    several = [names() for _ in range(50)]

    async def play():
        seen = []
        async with contextlib.AsyncExitStack() as stack:
            for name in several:
                sharedmap.share({}, name)
                await stack.enter_async_context(watching(name, seen))
            await until(lambda: len(seen) == 50)
            return inotify_descriptors(), threading.active_count(), os.listdir("/proc/self/task")

    threads = os.listdir("/proc/self/task")
    assert run(play()) == (["anon_inode:inotify"], 1, threads)
    assert inotify_descriptors() == []


def test_loops_of_two_threads_watch_on_their_own(names):
    name = names()
    sharedmap.share({"a": 0}, name)
    results = []

    def watch_in_a_thread():
        async def play():
            async for shared in watch(name):
                if shared["a"] == 1:
                    return True

        results.append(run(play()))

    threads = [threading.Thread(target=watch_in_a_thread) for _ in range(2)]
    for thread in threads:
        thread.start()
    sharedmap.share({"a": 1}, name, force=True)
    for thread in threads:
        thread.join()
    assert results == [True, True]


def test_other_tasks_of_the_loop_run_while_it_watches(name, notice):
    async def play():
        seen, turns = [], 0
        sharedmap.share({}, name)
        async with watching(name, seen):
            await until(lambda: seen)
            for _ in range(1000):
                await asyncio.sleep(0)
                turns += 1
        return turns

    assert run(play()) == 1000


def test_watch_yields_nothing_for_other_names(names, notice):
    watched, noisy = names(), names()

    async def play():
        seen = []
        sharedmap.share({}, watched)
        async with watching(watched, seen):
            await until(lambda: seen)
            for number in range(100):
                sharedmap.share({"a": number}, noisy, force=True)
                await asyncio.sleep(0)
            sharedmap.share({"end": True}, watched, force=True)
            await until(lambda: len(seen) > 1)
        return seen

    assert run(play()) == [{}, {"end": True}]


def test_watch_sees_its_name_in_a_storm_of_others(names):
    """More happens than the system keeps for one descriptor: names are dropped, none is missed."""
    name = names()
    noisy = [names() for _ in range(3)]
    with open("/proc/sys/fs/inotify/max_queued_events") as file:
        most = int(file.read())

    async def play():
        seen = []
        sharedmap.share({"a": 0}, name)
        async with watching(name, seen):
            await until(lambda: seen)
            for number in range(most // 2 + 100):  # two events each, at least
                sharedmap.share({}, noisy[number % 3], force=True)
            sharedmap.share({"a": 1}, name, force=True)
            await until(lambda: len(seen) == 2)
        return seen

    assert run(play()) == [{"a": 0}, {"a": 1}]


# --- the end of it ----------------------------------------------------------------------------


def test_cancelled_watch_closes_its_descriptor(name, notice):
    async def play():
        before = descriptors()
        for _ in range(20):
            async with watching(name, []):
                await asyncio.sleep(0)
            assert descriptors() == before

    run(play())


def test_watch_that_is_left_closes_its_descriptor(name):
    sharedmap.share({}, name)

    async def first():
        async for shared in watch(name):
            return shared.generation

    before = descriptors()
    for _ in range(10):
        assert run(first()) == 1
    assert descriptors() == before


@on_linux
def test_descriptor_stays_while_one_watcher_is_left(names):
    first, second = names(), names()

    async def play():
        seen = []
        async with watching(first, seen):
            async with watching(second, []):
                await asyncio.sleep(0)
            assert len(inotify_descriptors()) == 1
            sharedmap.share({"a": 1}, first)
            await until(lambda: seen)
        return inotify_descriptors()

    assert run(play()) == []


def test_loop_that_watched_can_be_freed(name):
    sharedmap.share({}, name)
    loops = []

    async def first():
        loops.append(weakref.ref(asyncio.get_running_loop()))
        async for shared in watch(name):
            return shared.generation

    for _ in range(3):
        run(first())
    gc.collect()
    assert [loop() for loop in loops] == [None] * 3


def test_watch_can_begin_again_in_the_same_loop(name, notice):
    async def play():
        for number in range(3):
            sharedmap.share({"a": number}, name, force=True)
            async for shared in watch(name):
                assert shared["a"] == number
                break

    run(play())


# --- when things go wrong ---------------------------------------------------------------------


def test_watch_passes_over_a_damaged_snapshot_after_a_good_one(name, notice, looks):
    place = Shm(name)

    async def play():
        seen = []
        sharedmap.share({"a": 0}, name)
        async with watching(name, seen):
            await until(lambda: seen)
            before = len(looks)
            published_by_hand(place, damaged(sharedmap.rbtree({"a": 1}).dump()))
            await until(lambda: len(looks) > before)
            sharedmap.share({"a": 2}, name, force=True)
            await until(lambda: len(seen) == 2)
        return seen

    assert run(play()) == [{"a": 0}, {"a": 2}]


def test_watch_of_a_damaged_snapshot_raises_snapshot_error(name, plant_bytes):
    plant_bytes(name, b"no snapshot" * 100)

    async def first():
        async for _ in watch(name):
            pass

    with pytest.raises(sharedmap.SnapshotError):
        run(first())
    assert inotify_descriptors() == []


@pytest.mark.parametrize(
    ("name", "error"), [("", ValueError), ("a\0b", ValueError), (b"a", TypeError)]
)
def test_watch_of_what_cannot_be_a_name_raises(name, error):
    async def first():
        async for _ in watch(name):
            pass

    with pytest.raises(error):
        run(first())
    assert inotify_descriptors() == []


EXHAUSTED = """
import asyncio, sys
import sharedmap
from sharedmap import _sharedmap

try:
    _sharedmap._watch_open()
except OSError as error:
    print(error)

async def play(name):
    sharedmap.share({"a": 0}, name)
    seen = []
    async for shared in sharedmap.watch(name):
        seen.append(shared["a"])
        if len(seen) == 3:
            return seen
        sharedmap.share({"a": len(seen)}, name, force=True)

print(asyncio.run(asyncio.wait_for(play(sys.argv[1]), 20)))
"""


@pytest.fixture
def without_inotify():
    """A command in front of another, so that the system refuses it every watch."""
    command = ["unshare", "--user", "--map-root-user", "sh", "-c"]
    command += ['echo 0 > /proc/sys/user/max_inotify_instances && exec "$0" "$@"']
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a user namespace, in which there is no inotify")
    return command


@on_linux
def test_watch_looks_by_itself_when_the_system_has_no_watch_to_give(name, without_inotify):
    command = [*without_inotify, sys.executable, "-c", EXHAUSTED, name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG)
    assert done.stdout.splitlines()[1:] == ["[0, 1, 2]"], done.stderr
    assert "open files" in done.stdout
