"""What lies under a map's name but is no regular file, or one of the wrong mode: a typed error.

Whatever could block happens in the other process, where it is one failed test.
"""

import errno
import os
import stat

import pytest
from helpers import (
    HEADER_SIZE,
    generation,
    read_header,
    segment_path,
    superseded,
    total_size,
)

import sharedmap

# --- files of other kinds ---------------------------------------------------------------------


def dangling(path):
    os.symlink(path + b".nowhere", path)


def link_to_itself(path):
    os.symlink(path, path)


KINDS = {
    "FIFO": os.mkfifo,
    "directory": os.mkdir,
    "dangling link": dangling,
    "link to itself": link_to_itself,
    "link to a file": lambda path: os.symlink(__file__.encode(), path),
}

each_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS.keys())


@each_kind
def test_open_of_no_regular_file_raises_snapshot_error(name, plant, other, make):
    plant(name, make)
    with pytest.raises(sharedmap.SnapshotError):
        other.run("sharedmap.sharedmap(name)", name=name)


@each_kind
def test_share_without_force_over_no_regular_file_raises_file_exists_error(
    name, plant, other, make
):
    plant(name, make)
    with pytest.raises(FileExistsError) as caught:
        other.run("sharedmap.rbtree().share(name)", name=name)
    assert caught.value.filename == name


@each_kind
def test_share_with_force_over_no_regular_file_raises_snapshot_error(names, plant, other, make):
    name = names()
    path = plant(name, make)
    before = os.lstat(path)
    with pytest.raises(sharedmap.SnapshotError):
        other.run("sharedmap.rbtree().share(name, force=True)", name=name)
    after = os.lstat(path)
    assert (after.st_ino, after.st_mode, after.st_mtime) == (
        before.st_ino,
        before.st_mode,
        before.st_mtime,
    )
    assert len(names.files()) == 1


@each_kind
def test_remove_of_no_regular_file_raises_snapshot_error(name, plant, other, make):
    path = plant(name, make)
    with pytest.raises(sharedmap.SnapshotError):
        other.run("sharedmap.rbtree.remove(name)", name=name)
    assert os.path.lexists(path)


@pytest.mark.parametrize(
    "use", [sharedmap.sharedmap, sharedmap.rbtree.remove], ids=["open", "remove"]
)
def test_link_to_a_map_is_not_followed(names, plant, use):
    real, linked = names(), names()
    sharedmap.rbtree().share(real)
    plant(linked, lambda path: os.symlink(segment_path(real), path))
    with pytest.raises(sharedmap.SnapshotError):
        use(linked)
    sharedmap.sharedmap(real).close()


def test_link_to_a_map_is_not_followed_by_share_with_force(names, plant):
    real, linked = names(), names()
    sharedmap.rbtree().share(real)
    before = os.stat(segment_path(real))
    plant(linked, lambda path: os.symlink(segment_path(real), path))
    with pytest.raises(sharedmap.SnapshotError):
        sharedmap.rbtree().share(linked, force=True)
    with open(segment_path(real), "rb") as file:
        assert generation(file.read(HEADER_SIZE)) == 1
    assert os.stat(segment_path(real)).st_ino == before.st_ino


# --- modes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o622, 0o666, 0o660, 0o777], ids=oct)
def test_open_of_a_file_that_others_may_write_raises_permission_error(name, mode):
    sharedmap.rbtree().share(name)
    os.chmod(segment_path(name), mode)
    with pytest.raises(PermissionError) as caught:
        sharedmap.sharedmap(name)
    assert caught.value.filename == name
    assert caught.value.errno in (errno.EPERM, errno.EACCES)


def test_share_with_force_over_a_file_that_others_may_write_replaces_it_and_writes_nothing(names):
    # Who can cut a file short while its header is mapped ends the publisher.
    name = names()
    sharedmap.share({"a": 1}, name)
    os.chmod(segment_path(name), 0o666)
    with open(segment_path(name), "rb", buffering=0) as old:
        before = old.read()
        sharedmap.share({"a": 2}, name, force=True)
        old.seek(0)
        assert old.read() == before
    assert superseded(before) == 0
    assert generation(read_header(name)) == 2
    assert stat.S_IMODE(os.stat(segment_path(name)).st_mode) == 0o600
    assert len(names.files()) == 1
    with sharedmap.sharedmap(name) as shared:
        assert shared["a"] == 2


def test_update_of_a_file_that_others_may_write_raises_permission_error(names):
    # It would take over what anybody may have written, and map a file that can be cut short.
    name = names()
    sharedmap.share({"a": 1}, name)
    os.chmod(segment_path(name), 0o666)
    before = read_header(name)
    with pytest.raises(PermissionError) as caught:
        sharedmap.update(name, {"b": 2})
    assert caught.value.filename == name
    assert read_header(name) == before
    assert len(names.files()) == 1


def test_remove_of_a_file_that_others_may_write_removes_it_and_writes_nothing(names):
    name = names()
    sharedmap.share({"a": 1}, name)
    os.chmod(segment_path(name), 0o666)
    with open(segment_path(name), "rb", buffering=0) as old:
        before = old.read()
        assert sharedmap.remove(name) is True
        old.seek(0)
        assert old.read() == before
    assert names.files() == []


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o604, 0o644, 0o755], ids=oct)
def test_open_of_a_file_that_others_may_only_read_works(name, mode):
    sharedmap.rbtree().share(name)
    os.chmod(segment_path(name), mode)
    with sharedmap.sharedmap(name) as shared:
        assert len(shared) == 0


def test_sizes_in_these_tests_are_those_of_a_real_file(name):
    tree = sharedmap.rbtree()
    tree["a"] = "1"
    tree.share(name)
    with open(segment_path(name), "rb") as file:
        data = file.read()
        assert stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    assert total_size(data) == len(data)
