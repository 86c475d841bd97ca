"""Threads that share an object get their own answers, and a whole snapshot each time."""

import os
import threading

import pytest
from helpers import segment_path
from independent_reader import read
from live import descriptors, mappings_of, run_together, wait_until

import sharedmap

pytestmark = pytest.mark.usefixtures("often_switched")


@pytest.fixture
def shared(name):
    tree = sharedmap.rbtree()
    for number in range(1000):
        tree[f"a{number}"] = f"a's {number}"
        tree[f"b{number}"] = b"b's %d" % number
    tree.share(name)
    with sharedmap.sharedmap(name) as shared:
        yield shared


def test_two_readers_of_one_map_get_their_own_answers(shared):
    def read_a():
        for _ in range(20):
            for number in range(1000):
                assert shared[f"a{number}"] == f"a's {number}"
                assert shared.get(f"a{number}x") is None

    def read_b():
        for _ in range(20):
            for number in range(1000):
                assert shared.get(f"b{number}") == b"b's %d" % number
                assert f"b{number}x" not in shared

    run_together(read_a, read_b)


def test_two_threads_that_ask_for_many_and_for_the_same_get_their_own_answers(shared):
    """The values they ask for again and again may be remembered for both."""
    keys = [f"{letter}{number}" for letter in "ab" for number in range(1000)]
    expected = [shared[key] for key in keys]

    def read_many():
        for _ in range(20):
            assert shared.get_many(keys) == expected
            assert shared.get_many(key + "x" for key in keys) == [None] * 2000

    def read_one_by_one(order):
        for _ in range(20):
            for place in order:
                assert shared[keys[place]] == expected[place]
                assert shared.get(keys[place]) == expected[place]

    run_together(
        read_many,
        lambda: read_one_by_one(range(2000)),
        lambda: read_one_by_one(range(1999, -1, -1)),
    )


def test_two_threads_on_one_map_that_moves_on_never_get_an_older_value(name):
    sharedmap.share({"number": 0, "again": 0}, name)
    last = 300

    def publish():
        for number in range(1, last + 1):
            sharedmap.update(name, {"number": number, "again": number})

    def read(shared, refresh):
        seen = 0
        while seen < last:
            refresh()
            before, (again, number) = shared["number"], shared.get_many(["again", "number"])
            assert seen <= before <= again == number
            seen = shared.get("number")
            assert number <= seen

    with (
        sharedmap.sharedmap(name, follow=True) as following,
        sharedmap.sharedmap(name) as refreshed,
    ):
        run_together(
            publish,
            lambda: read(following, lambda: None),
            lambda: read(following, lambda: None),
            lambda: read(refreshed, refreshed.refresh),
            lambda: read(refreshed, refreshed.refresh),
        )


def test_two_iterators_of_one_map_in_two_threads_each_see_all(shared):
    expected = sorted([f"a{n}" for n in range(1000)] + [f"b{n}" for n in range(1000)])

    def iterate():
        for _ in range(20):
            assert list(shared) == expected

    run_together(iterate, iterate)


def taken_by_two(keys):
    seen = [[], []]
    run_together(lambda: seen[0].extend(keys), lambda: seen[1].extend(keys))
    return seen[0] + seen[1]


def test_two_threads_on_one_iterator_of_a_map_see_each_key_once(shared):
    assert sorted(taken_by_two(iter(shared))) == list(shared)


def test_two_threads_on_one_iterator_of_a_tree_see_each_key_once():
    tree = sharedmap.rbtree()
    for number in range(2000):
        tree[str(number)] = ""
    for _ in range(20):
        assert sorted(taken_by_two(iter(tree))) == list(tree)


def test_close_while_another_thread_reads_is_an_answer_or_value_error(name):
    tree = sharedmap.rbtree()
    tree["a"] = "1"
    tree.share(name)
    for _ in range(100):
        shared = sharedmap.sharedmap(name)

        def read_until_closed(shared=shared):
            try:
                while True:
                    assert shared["a"] == "1"
                    assert list(shared) == ["a"]
                    assert shared.get_many(["a", "b"]) == ["1", None]
                    assert list(shared[:].items()) == [("a", "1")]
            except ValueError as error:
                assert type(error) is ValueError

        run_together(read_until_closed, shared.close)


@pytest.mark.parametrize(("end", "left"), [("close", 0), ("refresh", 1)])
def test_version_that_a_sleeping_thread_has_opened_is_unmapped(name, end, left):
    """Without a GIL, an object is freed by the thread that created it, when that runs again."""
    has_opened, may_end = threading.Event(), threading.Event()
    sharedmap.share({"version": 1}, name)
    shared = sharedmap.sharedmap(name, follow=True)
    sharedmap.share({"version": 2}, name, force=True)

    def open_and_sleep():
        assert shared["version"] == 2
        has_opened.set()
        may_end.wait()

    def end_what_it_has_opened():
        has_opened.wait()
        sharedmap.share({"version": 3}, name, force=True)
        getattr(shared, end)()
        try:
            assert mappings_of(os.fsdecode(segment_path(name))) == left
        finally:
            may_end.set()

    run_together(open_and_sleep, end_what_it_has_opened)
    shared.close()


def test_two_threads_set_in_one_tree_and_nothing_is_lost():
    tree = sharedmap.rbtree()

    def fill(prefix):
        for number in range(5000):
            tree[f"{prefix}{number}"] = str(number)

    run_together(lambda: fill("a"), lambda: fill("b"))
    assert len(tree) == 10_000
    assert list(tree) == sorted(f"{p}{n}" for p in "ab" for n in range(5000))


def test_two_threads_delete_from_one_tree_and_each_key_goes_once():
    tree = sharedmap.rbtree()
    for number in range(5000):
        tree[str(number)] = ""
    deleted = []

    def delete_all():
        for number in range(5000):
            try:
                del tree[str(number)]
            except KeyError:
                continue
            deleted.append(number)

    run_together(delete_all, delete_all)
    assert sorted(deleted) == list(range(5000))
    assert len(tree) == 0


def whole_prefix(keys):
    """Keys were set one after the other, so a snapshot of any moment holds the first so many."""
    return list(keys) == [f"{number:05}" for number in range(len(keys))]


def test_each_share_while_another_thread_sets_is_of_one_moment(name):
    tree = sharedmap.rbtree()
    done = threading.Event()
    sizes = []

    def fill():
        for number in range(20_000):
            tree[f"{number:05}"] = str(number)
        done.set()

    def share():
        while True:
            last = done.is_set()
            tree.share(name, force=True)
            with sharedmap.sharedmap(name) as shared:
                assert whole_prefix(list(shared))
                sizes.append(len(shared))
            if last:
                return

    run_together(fill, share)
    assert sizes == sorted(sizes)
    assert sizes[-1] == len(tree) == 20_000


def test_each_dump_while_another_thread_sets_is_of_one_moment():
    tree = sharedmap.rbtree()
    done = threading.Event()

    def fill():
        for number in range(3000):
            tree[f"{number:05}"] = str(number)
        done.set()

    def dump():
        while not done.is_set():
            assert whole_prefix([key for key, _ in read(tree.dump())])

    run_together(fill, dump)
    assert whole_prefix([key for key, _ in read(tree.dump())])


def test_share_while_another_thread_overwrites_and_deletes_is_of_sound_entries(name):
    tree = sharedmap.rbtree()
    for number in range(500):
        tree[str(number)] = "0"
    done = threading.Event()

    def change():
        for turn in range(20):
            for number in range(500):
                # Of another size each time, so its memory changes while it may be written out.
                tree[str(number)] = str(turn) * (1 + (number * 7 + turn) % 200)
            for number in range(0, 500, 3):
                del tree[str(number)]
        done.set()

    def share():
        while not done.is_set():
            tree.share(name, force=True)
            with sharedmap.sharedmap(name) as shared:
                for key in shared:
                    assert key.isdigit()
                    assert len(set(shared[key]) - set("0123456789")) == 0

    run_together(change, share)


def test_iteration_while_another_thread_inserts_is_whole_or_runtime_error():
    tree = sharedmap.rbtree()
    done = threading.Event()

    def fill():
        for number in range(20_000):
            tree[f"{number:05}"] = ""
        done.set()

    def iterate():
        while not done.is_set():
            try:
                assert whole_prefix(list(tree))
            except RuntimeError:
                pass

    run_together(fill, iterate)


def test_two_threads_share_one_tree_at_once(names):
    tree = sharedmap.rbtree()
    for number in range(1000):
        tree[str(number)] = "x"
    several = [names(), names()]

    def share(name):
        for _ in range(50):
            tree.share(name, force=True)

    run_together(*(lambda name=name: share(name) for name in several))
    for name in several:
        with sharedmap.sharedmap(name) as shared:
            assert len(shared) == 1000


def test_two_threads_share_under_one_name(name):
    trees = [sharedmap.rbtree(), sharedmap.rbtree()]
    trees[0]["who"] = "0"
    trees[1]["who"] = "1"

    def share(tree):
        for _ in range(200):
            tree.share(name, force=True)

    run_together(*(lambda tree=tree: share(tree) for tree in trees))
    with sharedmap.sharedmap(name) as shared:
        assert shared["who"] in ("0", "1")


def is_half_written(descriptor):
    try:
        with open(f"/proc/self/fd/{descriptor}", "rb") as file:
            early, late = (os.pread(file.fileno(), 1, place * 2**20) for place in (1, 63))
    except OSError:  # the publisher was faster
        return False
    return early == b"x" and late != b"x"


def test_other_threads_run_while_one_publishes(name):
    """Writing a big map must not stop the interpreter: somebody sees it half written."""
    tree = sharedmap.rbtree(big=b"x" * (64 * 2**20))
    has_seen, is_over = threading.Event(), threading.Event()

    def look():
        while not has_seen.is_set() and not is_over.is_set():
            for descriptor, file in descriptors().items():
                if file.startswith("/dev/shm/") and is_half_written(descriptor):
                    has_seen.set()

    def publish_until_seen():
        try:
            wait_until(
                lambda: tree.share(name, force=True) and has_seen.is_set(), "seen half written"
            )
        finally:
            is_over.set()

    run_together(look, publish_until_seen)
