"""What share, share with force and remove do to the file, to open maps and to other processes."""

import itertools
import os
import stat

import pytest
from helpers import (
    SHM,
    generation,
    read_header,
    segment_path,
    shm_files,
    superseded,
    total_size,
    unique_id,
)
from live import on_linux, until_it_answers

import sharedmap


def tree_of(**entries):
    tree = sharedmap.rbtree()
    for key, value in entries.items():
        tree[key] = value
    return tree


# --- force ------------------------------------------------------------------------------------


def test_open_map_keeps_the_old_content_after_force(place):
    place.publish({"a": "old", "b": "old"})
    with place.open() as before:
        place.publish({"a": "new"})
        assert before["a"] == "old"
        assert list(before) == ["a", "b"]
        assert len(before) == 2
        with place.open() as after:
            assert dict(after) == {"a": "new"}


def test_open_map_of_another_process_keeps_the_old_content_after_force(name, other):
    tree_of(a="old").share(name)
    other.run("m = sharedmap.sharedmap(name)", name=name)
    tree_of(a="new").share(name, force=True)
    assert other.eval("m['a']") == "old"
    other.run("m.close()")


def test_iterator_of_an_open_map_keeps_the_old_content_after_force(name):
    tree_of(a="", b="", c="").share(name)
    with sharedmap.sharedmap(name) as shared:
        keys = iter(shared)
        next(keys)
        tree_of(z="").share(name, force=True)
        assert list(keys) == ["b", "c"]


def test_new_open_gives_the_new_content_after_force(name):
    tree_of(a="old").share(name)
    with sharedmap.sharedmap(name):
        tree_of(a="new").share(name, force=True)
        with sharedmap.sharedmap(name) as newer:
            assert newer["a"] == "new"


def test_new_open_in_another_process_gives_the_new_content_after_force(name, other):
    tree_of(a="old").share(name)
    assert other.eval("sharedmap.sharedmap(name)['a']", name=name) == "old"
    tree_of(a="new").share(name, force=True)
    assert other.eval("sharedmap.sharedmap(name)['a']", name=name) == "new"


def test_force_from_another_process_replaces(name, other):
    tree_of(a="old").share(name)
    other.run("t = sharedmap.rbtree(); t['a'] = 'new'; t.share(name, force=True)", name=name)
    with sharedmap.sharedmap(name) as shared:
        assert shared["a"] == "new"


def test_share_without_force_leaves_the_old_content(name):
    tree_of(a="old").share(name)
    before = read_header(name)
    with pytest.raises(FileExistsError):
        tree_of(a="new").share(name)
    assert read_header(name) == before
    with sharedmap.sharedmap(name) as shared:
        assert shared["a"] == "old"


def test_force_leaves_one_file(names):
    name = names()
    tree = tree_of(a="1")
    for _ in range(20):
        tree.share(name, force=True)
        assert len(names.files()) == 1


def test_force_replaces_by_a_smaller_and_a_bigger_map(name):
    for size in (10, 100_000, 1, 1_000_000, 0):
        tree_of(a="x" * size).share(name, force=True)
        with sharedmap.sharedmap(name) as shared:
            assert shared["a"] == "x" * size


def test_many_open_maps_keep_their_own_content(name):
    maps = []
    for number in range(30):
        tree_of(a=str(number)).share(name, force=True)
        maps.append(sharedmap.sharedmap(name))
    assert [shared["a"] for shared in maps] == [str(number) for number in range(30)]


def test_tree_can_change_after_share_without_touching_the_map(name):
    tree = tree_of(a="1", b="2")
    tree.share(name)
    with sharedmap.sharedmap(name) as shared:
        tree["a"] = "changed"
        del tree["b"]
        assert shared["a"] == "1"
        assert shared["b"] == "2"


def test_share_leaves_the_tree_as_it_is(name):
    tree = tree_of(a="1", b="2")
    tree.share(name)
    assert [(key, tree[key]) for key in tree] == [("a", "1"), ("b", "2")]


def test_one_tree_can_be_shared_under_two_names(names):
    tree = tree_of(a="1")
    first, second = names(), names()
    tree.share(first)
    tree.share(second)
    sharedmap.rbtree.remove(first)
    with sharedmap.sharedmap(second) as shared:
        assert shared["a"] == "1"


# --- remove -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "remove", [sharedmap.rbtree.remove, sharedmap.remove], ids=["method", "function"]
)
def test_open_map_answers_after_remove(name, remove):
    tree_of(a="1", b="2").share(name)
    with sharedmap.sharedmap(name) as shared:
        remove(name)
        assert shared["a"] == "1"
        assert list(shared) == ["a", "b"]


def test_open_map_of_another_process_answers_after_remove(name, other):
    tree_of(a="1").share(name)
    other.run("m = sharedmap.sharedmap(name)", name=name)
    sharedmap.rbtree.remove(name)
    assert other.eval("m['a']") == "1"
    other.run("m.close()")


def test_name_cannot_be_opened_after_remove(name):
    tree_of(a="1").share(name)
    sharedmap.rbtree.remove(name)
    with pytest.raises(FileNotFoundError):
        sharedmap.sharedmap(name)


def test_name_is_free_after_remove(name):
    tree_of(a="old").share(name)
    with sharedmap.sharedmap(name) as shared:
        sharedmap.rbtree.remove(name)
        tree_of(a="new").share(name)
        assert shared["a"] == "old"
        with sharedmap.sharedmap(name) as newer:
            assert newer["a"] == "new"


def test_nothing_is_left_after_remove(names):
    name = names()
    tree = tree_of(a="1")
    tree.share(name)
    tree.share(name, force=True)
    sharedmap.rbtree.remove(name)
    assert names.files() == []


def test_remove_twice_returns_false(name):
    tree_of(a="1").share(name)
    assert sharedmap.rbtree.remove(name) is True
    assert sharedmap.rbtree.remove(name) is False


# --- the file ---------------------------------------------------------------------------------


def test_file_is_an_ordinary_file_of_ours(name):
    tree_of(a="1").share(name)
    status = os.lstat(segment_path(name))
    assert stat.S_ISREG(status.st_mode)
    assert status.st_uid == os.geteuid()
    assert status.st_nlink == 1


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o177, 0o777], ids=oct)
def test_mode_is_0600_whatever_the_umask(place, other, umask):
    # In the other process, since the umask belongs to a whole process.
    other.run("before = os.umask(umask)", umask=umask)
    try:
        for source in (place.publish_source.replace(", force=True", ""), place.publish_source):
            other.run(source, name=place.name, entries={"a": 1})
            assert stat.S_IMODE(os.stat(place.path).st_mode) == 0o600
    finally:
        other.run("os.umask(before)")


# Each way to publish, as (name, mode) -> True.
PUBLISHERS = {
    "method": lambda name, **how: tree_of(a="1").share(name, **how),
    "function": lambda name, **how: sharedmap.share({"a": "1"}, name, **how),
}
each_publisher = pytest.mark.parametrize("publish", PUBLISHERS.values(), ids=PUBLISHERS.keys())
MODES = [0o600, 0o640, 0o604, 0o644]


@each_publisher
@pytest.mark.parametrize("umask", [0o000, 0o077], ids=oct)
@pytest.mark.parametrize("mode", MODES, ids=oct)
def test_mode_is_that_which_was_asked_for_whatever_the_umask(name, publish, mode, umask):
    before = os.umask(umask)
    try:
        publish(name, mode=mode)
        assert stat.S_IMODE(os.stat(segment_path(name)).st_mode) == mode
        publish(name, force=True, mode=mode)
        assert stat.S_IMODE(os.stat(segment_path(name)).st_mode) == mode
    finally:
        os.umask(before)


@each_publisher
def test_mode_of_the_replaced_map_does_not_count(name, publish):
    publish(name, mode=0o644)
    publish(name, force=True)
    assert stat.S_IMODE(os.stat(segment_path(name)).st_mode) == 0o600


@each_publisher
@pytest.mark.parametrize(
    "mode",
    [0, 0o400, 0o200, 0o644 | 0o020, 0o602, 0o666, 0o700, 0o601, 0o4600, 0o1600, -1, True, 2**100],
    ids=lambda mode: oct(mode),
)
def test_mode_that_is_dangerous_or_useless_raises_an_error_and_publishes_nothing(
    names, publish, mode
):
    # Who may write to a map can cut it short, and its readers crash.
    name = names()
    with pytest.raises((ValueError, OverflowError)):
        publish(name, mode=mode)
    assert names.files() == []


@each_publisher
@pytest.mark.parametrize("how", [{"index": "other"}, {"mode": 0o666}, {"expect": -1}], ids=str)
def test_refused_argument_leaves_what_is_published(name, publish, how):
    tree_of(a="old").share(name)
    before = read_header(name)
    with pytest.raises((ValueError, OverflowError)):
        publish(name, force=True, **how)
    assert read_header(name) == before


@each_publisher
@pytest.mark.parametrize("index", ["hash", "tree"])
def test_huge_pages_change_nothing_but_the_time(name, publish, index):
    # The system need not have any: it is asked, and does what it likes.
    contents = []
    for number, huge_pages in enumerate([False, True, False]):
        publish(name, force=True, expect=number, index=index, huge_pages=huge_pages)
        with open(segment_path(name), "rb") as file:
            contents.append(file.read())
        status = os.stat(segment_path(name))
        assert status.st_size == total_size(contents[-1])
        assert status.st_blocks * 512 >= status.st_size
        with sharedmap.sharedmap(name) as shared:
            assert (shared["a"], shared.verify()) == ("1", None)
    assert contents[0][512:] == contents[1][512:] == contents[2][512:]


def test_map_of_several_huge_pages_is_read_as_any_other(name, other):
    entries = {f"{number:03}": bytes([number]) * 100_000 for number in range(100)}
    sharedmap.share(entries, name, huge_pages=True)
    with sharedmap.sharedmap(name) as shared:
        assert shared == entries
        shared.verify()
    assert other.eval("sharedmap.sharedmap(name).verify()", name=name) is None
    sharedmap.update(name, {"more": 1})
    with sharedmap.sharedmap(name) as shared:
        assert shared == entries | {"more": 1}


def test_file_has_the_size_that_its_header_says(name):
    tree_of(a="1", b=b"x" * 100_000).share(name)
    assert os.stat(segment_path(name)).st_size == total_size(read_header(name))


def test_file_has_no_holes(name):
    # Reading a hole of a full /dev/shm kills the reader.
    tree_of(a=b"\0" * 2**20).share(name)
    status = os.stat(segment_path(name))
    assert status.st_blocks * 512 >= status.st_size


def test_first_share_is_not_superseded(name):
    tree_of(a="1").share(name)
    assert superseded(read_header(name)) == 0


def test_force_marks_the_old_file_superseded_and_not_the_new(name):
    tree_of(a="1").share(name)
    with open(segment_path(name), "rb", buffering=0) as old:
        assert superseded(old.read(512)) == 0
        tree_of(a="2").share(name, force=True)
        old.seek(0)
        assert superseded(old.read(512)) == 1
    assert superseded(read_header(name)) == 0


def test_force_changes_nothing_in_the_old_file_but_the_mark(name):
    tree_of(a="1", b=b"2").share(name)
    with open(segment_path(name), "rb", buffering=0) as old:
        before = bytearray(old.read())
        tree_of(c="3").share(name, force=True)
        old.seek(0)
        after = old.read()
    before[192:196] = (1).to_bytes(4, "little")
    assert after == before


def test_remove_marks_the_file_superseded(name):
    tree_of(a="1").share(name)
    with open(segment_path(name), "rb", buffering=0) as old:
        sharedmap.rbtree.remove(name)
        assert superseded(old.read(512)) == 1


def test_generation_grows_by_one_with_each_force(name):
    tree = tree_of(a="1")
    tree.share(name)
    first = generation(read_header(name))
    for number in range(1, 6):
        tree.share(name, force=True)
        assert generation(read_header(name)) == first + number


def test_every_share_has_an_id_of_its_own(names):
    tree = tree_of(a="1")
    name, another = names(), names()
    ids = set()
    for _ in range(10):
        tree.share(name, force=True)
        tree.share(another, force=True)
        ids |= {unique_id(read_header(name)), unique_id(read_header(another))}
    assert len(ids) == 20


def test_failed_share_leaves_no_file_and_no_mark(names):
    name = names()
    tree_of(a="1").share(name)
    with pytest.raises(FileExistsError):
        tree_of(a="2").share(name)
    assert [SHM + file for file in names.files()] == [segment_path(name)]
    assert superseded(read_header(name)) == 0


def test_share_leaves_no_descriptor_open(name):
    tree = tree_of(a="1")
    tree.share(name)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        tree.share(name, force=True)
        with pytest.raises(FileExistsError):
            tree.share(name)
    sharedmap.rbtree.remove(name)
    sharedmap.rbtree.remove(name)
    assert len(os.listdir("/proc/self/fd")) == before


# --- leftovers --------------------------------------------------------------------------------


def test_leftover_of_a_killed_publisher_is_cleared_by_the_next(names):
    name = names()
    tree = tree_of(a="1")
    tree.share(name)
    with open(segment_path(name) + b"~", "wb") as leftover:
        leftover.write(b"half a publication")
    tree.share(name, force=True)
    assert [SHM + file for file in names.files()] == [segment_path(name)]


def test_squatted_temporary_name_does_not_stop_the_publisher(names):
    name = names()
    tree_of(a="old").share(name)
    squatted = segment_path(name) + b"~"
    os.mkdir(squatted)
    try:
        tree_of(a="new").share(name, force=True)
        assert len(names.files()) == 2
        with sharedmap.sharedmap(name) as shared:
            assert shared["a"] == "new"
    finally:
        os.rmdir(squatted)


def test_file_unlinked_by_somebody_else_frees_the_name(name):
    tree_of(a="1").share(name)
    os.unlink(segment_path(name))
    assert tree_of(a="2").share(name) is True


# --- several publishers -----------------------------------------------------------------------


RACE = """
import mmap

def meet():
    # Both spin until the other is here too, so that they go on within the same microsecond.
    places[me] += 1
    while places[1 - me] < places[me]:
        os.sched_yield()

def race(rounds):
    won, seen = [], []
    for number in range(rounds):
        meet()
        # One is late by up to some 50 microseconds, so that each step meets each other step.
        for _ in range(me * 40 * (number % 100)):
            pass
        try:
            won.append(tree.share(name))
        except FileExistsError:
            won.append(False)
        meet()
        with sharedmap.sharedmap(name) as m:
            seen.append(m["by"])
        meet()
        if me == 0:
            sharedmap.rbtree.remove(name)
    return won, seen

with open(path, "r+b") as file:
    places = memoryview(mmap.mmap(file.fileno(), 16)).cast("Q")
tree = sharedmap.rbtree()
tree["by"] = str(me)
"""


def test_only_one_of_two_publishers_without_force_gets_the_name(name, workers, tmp_path):
    path = tmp_path / "places"
    path.write_bytes(bytes(16))
    publishers = [workers(), workers()]
    for number, publisher in enumerate(publishers):
        publisher.run(RACE, me=number, name=name, path=str(path))
        publisher.send("eval", "race(4000)", {})
    (won_0, seen_0), (won_1, seen_1) = [publisher.answer() for publisher in publishers]
    assert [won_0[i] + won_1[i] for i in range(4000)] == [1] * 4000
    assert seen_0 == seen_1 == ["0" if won else "1" for won in won_0]


def test_no_publication_is_lost_between_two_publishers_with_force(names, workers):
    """Each takes the generation of what it replaces, so the last generation counts all of them."""
    name = names()
    tree_of(a="1").share(name)
    first = generation(read_header(name))
    publishers = [workers(), workers()]
    for publisher in publishers:
        publisher.send(
            "run",
            "t = sharedmap.rbtree()\nfor _ in range(300):\n    t.share(name, force=True)",
            {"name": name},
        )
    for publisher in publishers:
        publisher.answer()
    assert generation(read_header(name)) == first + 600
    assert len(names.files()) == 1


READ_WHILE_PUBLISHED = """
def read(name, different):
    seen = []
    while len(set(seen)) < different:
        with sharedmap.sharedmap(name) as m:
            values = {m[key] for key in m}
            assert len(m) == 100 and len(values) == 1, values
            seen.append(int(values.pop()))
    return seen == sorted(seen)
"""


def test_reader_sees_only_whole_maps_and_never_an_older_one(name, workers):
    reader = workers()
    reader.run(READ_WHILE_PUBLISHED)
    keys = [str(number) for number in range(100)]

    def publish(number):
        tree_of(**dict.fromkeys(keys, str(number))).share(name, force=True)

    publish(0)
    # It ends when it has seen so many; nobody has to be fast enough.
    reader.send("eval", "read(name, 100)", {"name": name})
    for number, _ in zip(itertools.count(1), until_it_answers(reader)):
        publish(number)
    assert reader.answer()


def test_reader_finds_either_a_whole_map_or_none_while_it_comes_and_goes(name, workers):
    reader = workers()
    reader.run("""
def read(name):
    was_there, changes = False, 0
    while changes < 100:
        try:
            with sharedmap.sharedmap(name) as m:
                assert [m[key] for key in m] == ["1", "2"]
                is_there = True
        except FileNotFoundError:
            is_there = False
        changes += is_there != was_there
        was_there = is_there
    return True
""")
    reader.send("eval", "read(name)", {"name": name})
    tree = tree_of(a="1", b="2")
    for _ in until_it_answers(reader):
        tree.share(name)
        assert sharedmap.rbtree.remove(name) is True
    assert reader.answer()


@on_linux
def test_killed_publisher_leaves_a_whole_map_and_at_most_one_file_more(names):
    """Kills a child that publishes without pause, each time a little later on."""
    name = names()
    keys = [str(number) for number in range(200)]
    tree_of(**dict.fromkeys(keys, "start")).share(name)
    for kill in range(25):
        tree = tree_of(**dict.fromkeys(keys, str(kill)))
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                while True:
                    tree.share(name, force=True)
                    os.write(writing, b".")
            finally:
                os._exit(1)
        os.close(writing)
        # Past this many publications it is anywhere in the next one.
        for _ in range(1 + kill % 5):
            assert os.read(reading, 1) == b"."
        os.kill(child, 9)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
        os.close(reading)
        with sharedmap.sharedmap(name) as shared:
            assert {shared[key] for key in shared} == {str(kill)}
            assert len(shared) == 200
        assert len(names.files()) <= 2
    tree_of(a="1").share(name, force=True)
    assert [SHM + file for file in names.files()] == [segment_path(name)]


@on_linux
def test_publisher_killed_while_it_fills_a_first_map_leaves_nothing(names):
    name = names()
    tree = tree_of(a=b"x" * (64 * 2**20))
    for _ in range(5):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writing, b".")
            tree.share(name)
            os._exit(0)
        assert os.read(reading, 1) == b"."
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(reading)
        os.close(writing)
        # It was either too late for the kill, or nothing is there.
        if names.files():
            with sharedmap.sharedmap(name) as shared:
                assert len(shared["a"]) == 64 * 2**20
            sharedmap.rbtree.remove(name)
        assert shm_files(names.token) == []
