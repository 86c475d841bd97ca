"""A full /dev/shm: a typed error that tells the way out, and nothing lost.

Each test has a /dev/shm of one mebibyte to itself, in a mount namespace of the other process.
"""

import errno
import os
import re

import pytest

import sharedmap

SIZE = 2**20
NAME = "full"

USE = f"""
import errno
NAME = {NAME!r}

def tree_of(size):
    tree = sharedmap.rbtree()
    tree["value"] = b"x" * size
    return tree

def files():
    return os.listdir("/dev/shm")

def free():
    now = os.statvfs("/dev/shm")
    return now.f_bavail * now.f_frsize

def length():
    with sharedmap.sharedmap(NAME) as m:
        return len(m["value"])
"""


@pytest.fixture
def start(as_root, workers):
    def start(options):
        mount = f'mount -t tmpfs -o mode=1777,{options} tmpfs /dev/shm && exec "$0" "$@"'
        worker = workers("unshare", "--mount", "sh", "-c", mount)
        assert worker.eval("os.listdir('/dev/shm')") == []
        worker.run(USE)
        return worker

    return start


@pytest.fixture
def small(start):
    return start(f"size={SIZE}")


def test_private_shm_of_these_tests_is_small(small):
    assert small.eval("free()") == SIZE


def test_first_share_on_a_full_shm_raises_enospc_with_the_name(small):
    with pytest.raises(OSError, match="shm-size") as caught:
        small.run(f"tree_of({2 * SIZE}).share(NAME)")
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == NAME


def test_first_share_on_a_full_shm_leaves_no_file_and_gives_the_space_back(small):
    with pytest.raises(OSError, match="shm-size"):
        small.run(f"tree_of({2 * SIZE}).share(NAME)")
    assert small.eval("files()") == []
    assert small.eval("free()") == SIZE


def test_enospc_says_what_is_needed_what_there_is_and_the_way_out(small):
    small.run(f"big = tree_of({2 * SIZE})")
    with pytest.raises(OSError, match="shm-size") as caught:
        small.run("big.share(NAME)")
    message = str(caught.value)
    numbers = [int(number) for number in re.findall(r"\d+", message.replace(",", ""))]
    assert small.eval("len(big.dump())") in numbers
    assert SIZE in numbers
    assert "/dev/shm" in message


def test_force_on_a_full_shm_raises_enospc_and_the_old_map_is_still_served(small):
    small.run("tree_of(1000).share(NAME); opened = sharedmap.sharedmap(NAME)")
    with pytest.raises(OSError, match="shm-size") as caught:
        small.run(f"tree_of({2 * SIZE}).share(NAME, force=True)")
    assert caught.value.errno == errno.ENOSPC
    assert small.eval("length()") == 1000
    assert small.eval("len(opened['value'])") == 1000
    assert len(small.eval("files()")) == 1


def test_force_without_room_for_both_raises_enospc_and_the_old_map_is_still_served(small):
    # Either alone fits: the old one must stay until the new one is there.
    small.run(f"tree_of({SIZE * 3 // 4}).share(NAME)")
    with pytest.raises(OSError, match="shm-size") as caught:
        small.run(f"tree_of({SIZE // 2}).share(NAME, force=True)")
    assert caught.value.errno == errno.ENOSPC
    assert small.eval("length()") == SIZE * 3 // 4


def test_failed_force_does_not_mark_the_old_map_superseded(small):
    small.run("tree_of(1000).share(NAME)")
    with pytest.raises(OSError, match="shm-size"):
        small.run(f"tree_of({2 * SIZE}).share(NAME, force=True)")
    assert small.eval("open('/dev/shm/sharedmap.full', 'rb').read()[192:196]") == bytes(4)


def test_failed_share_leaves_the_tree_as_it_is(small):
    small.run(f"big = tree_of({2 * SIZE})")
    with pytest.raises(OSError, match="shm-size"):
        small.run("big.share(NAME)")
    assert small.eval("(len(big), len(big['value']), list(big))") == (1, 2 * SIZE, ["value"])


def test_smaller_map_can_be_shared_after_the_failure(small):
    with pytest.raises(OSError, match="shm-size"):
        small.run(f"tree_of({2 * SIZE}).share(NAME)")
    assert small.eval("tree_of(1000).share(NAME)") is True
    assert small.eval("length()") == 1000


def test_shm_filled_by_others_raises_enospc(small):
    small.run(f"open('/dev/shm/theirs', 'wb').write(bytes({SIZE}))")
    with pytest.raises(OSError, match="shm-size") as caught:
        small.run("tree_of(10).share(NAME)")
    assert caught.value.errno == errno.ENOSPC
    assert small.eval("files()") == ["theirs"]


def test_map_that_just_fits_is_read_to_its_last_byte(small):
    size = SIZE - 2 * 4096
    small.run(f"tree_of({size}).share(NAME)")
    assert small.eval("length()") == size


def test_space_of_a_removed_map_comes_back_when_its_last_reader_closes(small):
    small.run(
        f"big = tree_of({SIZE * 3 // 4}); big.share(NAME); opened = sharedmap.sharedmap(NAME)"
    )
    small.run("sharedmap.rbtree.remove(NAME)")
    with pytest.raises(OSError, match="shm-size"):
        small.run("big.share(NAME)")
    small.run("opened.close()")
    assert small.eval("free()") == SIZE
    assert small.eval("big.share(NAME)") is True


def test_space_of_a_replaced_map_comes_back_when_its_last_reader_closes(small):
    small.run(f"tree_of({SIZE // 2}).share(NAME); opened = sharedmap.sharedmap(NAME)")
    small.run("tree_of(10).share(NAME, force=True)")
    assert small.eval("free()") < SIZE // 2
    small.run("opened.close()")
    assert small.eval("free()") > SIZE * 3 // 4


def test_dump_needs_no_room_in_shm(small):
    assert small.eval(f"len(tree_of({2 * SIZE}).dump())") > 2 * SIZE


def test_shm_without_room_for_another_file_raises_enospc_that_says_so(start):
    worker = start("nr_inodes=2")
    worker.run("open('/dev/shm/theirs', 'wb').close()")
    # More memory would not help, so the message does not ask for it.
    with pytest.raises(OSError, match=r"no room for one more file") as caught:
        worker.run("tree_of(10).share(NAME)")
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == NAME
    assert "shm-size" not in str(caught.value)


def test_update_on_a_full_shm_raises_enospc_and_the_old_map_is_still_served(small):
    small.run(f"tree_of({SIZE // 2}).share(NAME); opened = sharedmap.sharedmap(NAME)")
    with pytest.raises(OSError, match="shm-size") as caught:
        small.run("sharedmap.update(NAME, {'more': 1})")
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == NAME
    assert small.eval("length()") == SIZE // 2
    assert small.eval("(opened.stale, opened.refresh(), list(opened))") == (False, False, ["value"])
    assert len(small.eval("files()")) == 1


def test_share_by_the_function_on_a_full_shm_raises_enospc_and_leaves_no_file(small):
    with pytest.raises(OSError, match="shm-size") as caught:
        small.run(f"sharedmap.share({{'value': b'x' * {2 * SIZE}}}, NAME)")
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == NAME
    assert small.eval("(files(), free())") == ([], SIZE)


def test_map_too_big_for_a_full_shm_can_be_saved_to_a_disk(small, tmp_path):
    path = str(tmp_path / "map")
    small.run(f"big = tree_of({2 * SIZE}); big.save(path)", path=path)
    with sharedmap.sharedmap.open(path) as shared:
        assert len(shared["value"]) == 2 * SIZE


def test_read_only_shm_raises_os_error_with_the_name(start):
    worker = start("ro")
    with pytest.raises(OSError, match="Read-only") as caught:
        worker.run("tree_of(10).share(NAME)")
    assert caught.value.errno == errno.EROFS
    assert caught.value.filename == NAME


def test_other_processes_do_not_see_the_private_shm(small):
    small.run("tree_of(10).share('private to the test')")
    assert not os.path.exists("/dev/shm/sharedmap.private to the test")
    with pytest.raises(FileNotFoundError):
        sharedmap.sharedmap("private to the test")
