"""What versions cost in memory, and what happens where there is none left.

A file is at most half of its base larger than that, whoever has which version open; and neither a
full /dev/shm, nor a limit of address space, nor locked memory loses a version.
"""

import errno
import os

import pytest
from helpers import files_of_shm, segment_path
from versions import ENTRIES, History, allocated, base_entries, inode_of, key_of

import sharedmap

PAGE = os.sysconf("SC_PAGE_SIZE")


def mappings_of(name):
    """All mappings of files that had the name, those that have lost it included."""
    with open("/proc/self/maps", "rb") as file:
        return [line for line in file if segment_path(name) in line]


@pytest.fixture
def history(name):
    return History(name)


# --- bounds -----------------------------------------------------------------------------------


def test_many_updates_keep_the_file_within_one_and_a_half_bases(name):
    count = 50_000
    history = History(name, base_entries(count))
    base, largest, inodes = allocated(name), 0, set()
    with history.open(follow=True) as shared:
        for number in range(8000):
            sharedmap.update(name, {key_of(number * 7919 % count): number})
            largest = max(largest, allocated(name))
            inodes.add(inode_of(name))
            assert shared[key_of(number * 7919 % count)] == number
            if number % 100 == 0:
                assert len(mappings_of(name)) == 1
        assert len(inodes) > 3
        # A base may be larger than the one before, by longer values.
        assert base < largest <= 1.5 * max(base, shared.nbytes) + PAGE
        assert files_of_shm(os.getpid()) == []
        shared.verify()
        assert len(shared) == count
    assert mappings_of(name) == []


def test_pinned_versions_share_one_mapping_of_each_file(history):
    pinned = []
    inodes = {inode_of(history.name)}
    with history.open(follow=True) as shared:
        for number in range(300):
            history.update({key_of(number): "changed"})
            inodes.add(inode_of(history.name))
            shared.refresh()
            pinned.append(shared.snapshot())
            assert len(mappings_of(history.name)) <= len(inodes)
        assert 1 < len(inodes) < 10
        assert files_of_shm(os.getpid()) == []
        for snapshot in pinned:
            snapshot.close()
        assert len(mappings_of(history.name)) == 1
    assert mappings_of(history.name) == []


def test_opening_a_map_allocates_nothing_of_its_room(history):
    before = allocated(history.name)
    with history.open() as shared:
        assert list(shared) == sorted(history.dict)
        shared.verify()
        assert allocated(history.name) == before
        assert os.stat(segment_path(history.name)).st_size == shared.nbytes


# --- a full /dev/shm --------------------------------------------------------------------------

USE = """
import errno
from versions import *
NAME = "full"
history = History(NAME)
m = history.open(follow=True)

def free_pages():
    now = os.statvfs("/dev/shm")
    return now.f_bavail * now.f_frsize // 4096

def fill(left):
    # Others leave that many pages.
    with open("/dev/shm/theirs", "ab") as file:
        file.write(bytes((free_pages() - left) * 4096))
    assert free_pages() == left

def check():
    assert os.listdir("/dev/shm").count("sharedmap." + NAME) == 1
    assert all(file in ("sharedmap." + NAME, "theirs") for file in os.listdir("/dev/shm"))
    with history.open() as again:
        again.verify()
        assert again == history.dict
        assert m == again and m.generation == again.generation

def attempt(changes, remove=()):
    # Whether there was space; what is published then is right.
    before = history.dict
    try:
        history.update(changes, remove)
        worked = True
    except OSError as error:
        assert error.errno == errno.ENOSPC and error.filename == NAME, repr(error)
        assert "remove maps" in str(error)
        assert m.stale is False and m.refresh() is False
        assert history.dict is before
        worked = False
    check()
    return worked
"""


@pytest.fixture
def small(as_root, workers):
    """A /dev/shm of its own, 1 MiB; the map takes less than 200 KiB of it."""
    mount = 'mount -t tmpfs -o mode=1777,size=1m tmpfs /dev/shm && exec "$0" "$@"'
    worker = workers("unshare", "--mount", "sh", "-c", mount)
    worker.run(USE)
    return worker


def test_update_that_finds_no_page_for_its_delta_keeps_the_version(small):
    small.run("fill(0)")
    # The last page of the base may have room for the first ones.
    source = "[attempt({f'new {number}': 'x' * 100}) for number in range(20)]"
    worked = small.eval(source)
    assert worked == sorted(worked, reverse=True)
    assert not any(worked[10:])
    small.run("os.unlink('/dev/shm/theirs')")
    assert small.eval("attempt({'new': 1})") is True


@pytest.mark.parametrize("pages", range(12))
def test_every_number_of_free_pages_is_enough_for_a_delta_or_an_error(small, pages):
    changes = {key_of(number): "x" * 200 for number in range(100)}
    begin = small.eval("m.nbytes")
    small.run("fill(pages)", pages=pages)
    has_worked = small.eval("attempt(changes)", changes=changes)
    small.run("os.unlink('/dev/shm/theirs')")
    assert small.eval("attempt(changes)", changes=changes) is True
    end = small.eval("m.nbytes")
    assert has_worked is (pages >= -(-end // PAGE) - -(-begin // PAGE))
    # Some of the numbers are too few, and some are enough.
    assert end - begin in range(4 * PAGE, 8 * PAGE)


def test_change_too_large_for_a_delta_is_appended_where_there_is_no_space_for_a_copy(small):
    small.run("fill(20); before = inode_of(NAME)")
    changes = {key_of(number): number + 1 for number in range(ENTRIES // 8 + 1)}
    assert small.eval("attempt(changes)", changes=changes) is True
    assert small.eval("inode_of(NAME) == before") is True
    small.run("os.unlink('/dev/shm/theirs')")
    assert small.eval("attempt({'new': 1})") is True
    # Now there is space, and it is compacted.
    assert small.eval("(inode_of(NAME) != before, deltas_of(NAME))") == (True, [])


def test_update_beyond_the_room_without_space_for_a_copy_keeps_the_version(small):
    small.run("fill(25)")
    source = "[attempt({key_of(n): f'changed {n} ' * 20 for n in range(at, at + 60)}) for at in AT]"
    worked = small.eval(source, AT=list(range(0, 900, 60)))
    assert worked[0] is True
    assert not any(worked[-3:])
    small.run("os.unlink('/dev/shm/theirs')")
    assert small.eval("attempt({'new': 1})") is True
    assert small.eval("attempt({key_of(n): 'changed' for n in range(1000)})") is True


def test_pinned_version_is_right_after_updates_that_found_no_space(small):
    small.run("pinned, then = m.snapshot(), history.dict; fill(2)")
    small.run("worked = [attempt({f'new {number}': 'x' * 300}) for number in range(30)]")
    assert small.eval("(any(worked), all(worked))") == (True, False)
    assert small.eval("(pinned == then, pinned.verify())") == (True, None)


# --- address space, and locked memory ---------------------------------------------------------

LIMITED = """
import errno, resource
from versions import *

def limit(more):
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    soft = resource.RLIM_INFINITY if more is None else size + more
    resource.setrlimit(resource.RLIMIT_AS, (soft, resource.RLIM_INFINITY))
"""

# Far larger than what a small update takes of the heap.
LARGE_VALUES = {key_of(number): b"x" * 4000 for number in range(ENTRIES)}


@pytest.fixture
def limited(name, workers):
    sharedmap.share(LARGE_VALUES, name)
    worker = workers()
    worker.run(LIMITED)
    worker.run("m = sharedmap.sharedmap(name, follow=True)", name=name)
    return worker


def test_follower_and_publisher_need_no_address_space_for_an_append(name, limited):
    limited.run("limit(2**20)")
    for number in range(20):
        sharedmap.update(name, {"n": number})
        assert limited.eval("m['n']") == number
    limited.run("for n in range(20): sharedmap.update(name, {'n': n}); assert m['n'] == n")
    limited.run("limit(None)")


@pytest.mark.filterwarnings("ignore::sharedmap.FollowWarning")
def test_follower_without_address_space_for_a_new_file_catches_up_later(name, limited):
    limited.run("limit(2**20)")
    sharedmap.update(name, {"n": 1})
    assert limited.eval("m['n']") == 1
    sharedmap.update(name, {key_of(number): b"y" * 4000 for number in range(ENTRIES // 8 + 1)})
    assert limited.eval("(m['n'], m[key_of(1)][:1], m.follow_error.errno)") == (
        1,
        b"x",
        errno.ENOMEM,
    )
    sharedmap.update(name, {"n": 2})
    assert limited.eval("m['n']") == 1
    limited.run("limit(None)")
    assert limited.eval("(m.refresh(), m['n'], m[key_of(1)][:1])") == (True, 2, b"y")
    assert limited.eval("m.follow_error") is None


def test_update_without_address_space_for_a_copy_keeps_the_version(name, limited):
    limited.run("limit(2**20)")
    limited.run("changes = {key_of(number): b'' for number in range(1000)}")
    with pytest.raises((MemoryError, OSError)):
        limited.run("sharedmap.update(name, changes | {'large': bytes(2**23)})")
    limited.run("limit(None)")
    assert limited.eval("(m.refresh(), m == dict(m), m.verify())") == (False, True, None)
    with sharedmap.sharedmap(name) as shared:
        assert shared == LARGE_VALUES
    limited.run("sharedmap.update(name, changes); assert m[key_of(1)] == b''")


LOCKED = """
import ctypes
MCL_CURRENT, MCL_FUTURE = 1, 2
libc = ctypes.CDLL(None, use_errno=True)
locked = libc.mlockall(MCL_CURRENT | MCL_FUTURE) == 0
"""


def test_process_with_locked_memory_follows_and_updates(history, workers, as_root):
    worker = workers()
    worker.run(LOCKED)
    assert worker.eval("locked") is True
    before = allocated(history.name)
    worker.run("m = sharedmap.sharedmap(name, follow=True)", name=history.name)
    # Nothing of the room was allocated by locking it.
    assert allocated(history.name) == before
    for number in range(300):
        history.update({key_of(number): number, "a": number})
        assert worker.eval("m['a']") == number
    assert worker.eval("dict(m)") == history.dict
    worker.run("for n in range(300): sharedmap.update(name, {'a': n}); assert m['a'] == n")
    assert worker.eval("(m.verify(), len(m))") == (None, len(history.dict))
