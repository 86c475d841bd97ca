"""Saved maps on a file system that fails: the exception, what is left, what survives.

tests/faults/failing_files.py makes each operation of each call fail.
"""

import errno
import os

import file_system
import pytest
from live import IS_LINUX, descriptors, mappings_of

import sharedmap

ERRORS = ["EIO", "ENOSPC", "EDQUOT", "ESTALE", "ENODEV", "EROFS"]
OPERATIONS = ["OPEN", "WRITE", "FSYNC", "RENAME", "SETATTR"]
if IS_LINUX:  # elsewhere a draft is renamed, and filled with zeros
    OPERATIONS += ["LINK", "FALLOCATE"]
# Advice that belongs to the error.
ADVICE = {
    "EIO": "the disk or the server of the file system failed",
    "ENOSPC": "the snapshot's [0-9]+ bytes would fit",
    "EDQUOT": "a quota is exhausted",
    "ESTALE": "does not know the file any more",
    "ENODEV": "lost its device, or cannot map files",
    "EROFS": "Read-only file system",
}

each_error = pytest.mark.parametrize("error", ERRORS)


@pytest.fixture
def options():
    return {}


@pytest.fixture
def files(options, tmp_path):
    file_system.need()
    with file_system.mounted(tmp_path, **options) as files:
        yield files


@pytest.fixture
def path(files):
    path = os.path.join(files.path, "a.map")
    sharedmap.rbtree(a=1).save(path)
    return path


def content(path):
    with sharedmap.sharedmap.open(path) as opened:
        return dict(opened)


@each_error
@pytest.mark.parametrize("operation", OPERATIONS)
def test_save_that_fails_is_told_and_leaves_the_old_map_and_nothing_else(
    files, path, error, operation
):
    before = descriptors()
    rule = files.fail(operation, getattr(errno, error))
    with pytest.raises(OSError, match=r"a\.map") as caught:
        sharedmap.rbtree(a=2).save(path, force=True)
    assert files.met()[rule] > 0
    assert (caught.value.errno, caught.value.filename) == (getattr(errno, error), path)
    assert type(caught.value) is type(OSError(getattr(errno, error), ""))
    if operation != "OPEN":  # then nothing was to be written
        caught.match(ADVICE[error])
    assert descriptors() == before
    assert mappings_of(files.path) == 0
    files.release()
    assert os.listdir(files.path) == ["a.map"]
    assert content(path) == {"a": 1}


@each_error
def test_open_that_fails_is_told(files, path, error):
    before = descriptors()
    files.fail("READ", getattr(errno, error))
    with pytest.raises(OSError, match=r"a\.map") as caught:
        sharedmap.sharedmap.open(path)
    assert (caught.value.errno, caught.value.filename) == (getattr(errno, error), path)
    assert descriptors() == before
    assert mappings_of(files.path) == 0


@each_error
def test_map_that_follows_keeps_what_it_has_and_tells_the_error(files, path, error):
    with sharedmap.sharedmap.open(path, follow=True) as opened:
        sharedmap.rbtree(a=2).save(path, force=True)
        files.fail("OPEN", getattr(errno, error))
        with pytest.warns(sharedmap.FollowWarning, match=r"a\.map"):
            assert opened["a"] == 1
        assert opened.follow_error.errno == getattr(errno, error)
        assert opened.follow_error.filename == path
        files.release()
        assert opened.refresh() is True
        assert opened["a"] == 2
        assert opened.follow_error is None


@pytest.mark.parametrize("error", ["ENODEV", "ENXIO"])
def test_regular_file_without_its_device_is_not_called_irregular(files, path, error):
    files.fail("OPEN", getattr(errno, error))
    for call in (
        lambda: sharedmap.sharedmap.open(path),
        lambda: sharedmap.rbtree(a=2).save(path, force=True),
    ):
        with pytest.raises(OSError, match=r"a\.map") as caught:
            call()
        assert caught.value.errno == getattr(errno, error)


def test_directory_that_cannot_be_synced_is_told_of_a_map_that_is_published(files, path):
    files.fail("FSYNCDIR", errno.EIO)
    with pytest.raises(OSError, match=r"a\.map") as caught:
        sharedmap.rbtree(a=2).save(path, force=True)
    assert caught.value.errno == errno.EIO
    files.release()
    assert content(path) == {"a": 2}


def test_temporary_name_that_could_not_be_unlinked_is_cleared_by_the_next_save(files, path):
    files.fail("RENAME", errno.EIO)
    files.fail("UNLINK", errno.EIO)
    with pytest.raises(OSError, match=r"a\.map"):
        sharedmap.rbtree(a=2).save(path, force=True)
    files.release()
    (left,) = set(os.listdir(files.path)) - {"a.map"}
    assert left.startswith("a.map.sharedmap~" if IS_LINUX else "a.map~")
    sharedmap.rbtree(a=3).save(path, force=True)
    assert os.listdir(files.path) == ["a.map"]
    assert content(path) == {"a": 3}


# ---- less than was asked for -----------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 4097])
def test_save_that_is_written_in_small_pieces_is_complete(files, path, size):
    entries = {f"key{n:05}": "x" * 50 for n in range(100)}
    rule = files.shorten("WRITE", size)
    sharedmap.rbtree(entries).save(path, force=True)
    assert files.met()[rule] > 2
    files.release()
    assert content(path) == entries


@pytest.mark.parametrize("shift", [-1, 1, -100, 4096, 2**20])
def test_size_that_is_not_that_of_the_map_is_an_error(files, path, shift):
    files.shift_size(shift)
    with pytest.raises(sharedmap.SnapshotError, match="its size does not"):
        sharedmap.sharedmap.open(path)
    files.release()
    assert content(path) == {"a": 1}


@pytest.mark.parametrize("options", [{"direct_io": True}])
def test_write_that_writes_nothing_is_an_error_and_not_for_ever(files, options):
    path = os.path.join(files.path, "a.map")
    files.shorten("WRITE", 0)
    with pytest.raises(OSError, match=r"a\.map") as caught:
        sharedmap.rbtree(a=1).save(path)
    assert caught.value.errno == errno.EIO
    files.release()
    assert os.listdir(files.path) == []


@pytest.mark.parametrize("options", [{"direct_io": True}])
def test_header_that_is_read_in_small_pieces_is_complete(files, options):
    path = os.path.join(files.path, "a.map")
    sharedmap.rbtree(a=1).save(path)
    rule = files.shorten("READ", 100)
    # Mapped it cannot be there.
    with pytest.raises(OSError, match="cannot map files") as caught:
        sharedmap.sharedmap.open(path)
    assert (caught.value.errno, caught.value.filename) == (errno.ENODEV, path)
    assert files.met()[rule] == 6


# ---- what a file system may lack ---------------------------------------------------------------

LACKS = [["TMPFILE"], ["FALLOCATE"], ["TMPFILE", "FALLOCATE"], ["RENAME2", "ACCESS", "FLUSH"]]


@pytest.mark.parametrize("options", [{"absent": absent} for absent in LACKS], ids=str)
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_map_is_saved_where_operations_are_lacking(files, path, options, error):
    sharedmap.rbtree(a=2).save(path, force=True)
    files.fail("RENAME", getattr(errno, error))
    with pytest.raises(OSError, match=r"a\.map"):
        sharedmap.rbtree(a=3).save(path, force=True)
    files.release()
    assert os.listdir(files.path) == ["a.map"]
    assert content(path) == {"a": 2}
