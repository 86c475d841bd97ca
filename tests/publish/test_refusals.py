"""What may not be published, updated or removed is told with the owner and mode that forbid it."""

import contextlib
import errno
import fcntl
import os
import pathlib
import struct
import tempfile

import pytest
from helpers import segment_path

import sharedmap

ALICE, BOB = 65532, 65533
CALLS = {
    "share": "sharedmap.share({}, name, force=True)",
    "share of a tree": "sharedmap.rbtree().share(name, force=True)",
    "expect": "sharedmap.share({}, name, expect=1)",
    "update": "sharedmap.update(name, {'a': 2})",
    "remove": "sharedmap.remove(name)",
}


@pytest.fixture
def folder(as_root):
    """One that all users can reach."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield pathlib.Path(folder)


@contextlib.contextmanager
def refused(number, filename, *parts):
    """Refused with this errno, and all parts are in the text."""
    with pytest.raises(OSError, match=": ") as caught:
        yield
    assert (caught.value.errno, caught.value.filename) == (number, filename)
    assert caught.value.strerror.startswith(os.strerror(number) + ": ")
    for part in parts:
        assert part in str(caught.value)


@contextlib.contextmanager
def immutable(path):
    """No owner or mode forbids it, but the flag of chattr +i."""
    set_flags, flag = 0x40086602, 0x10
    descriptor = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.ioctl(descriptor, set_flags, struct.pack("l", flag))
        except OSError:
            pytest.skip("needs a file system with immutable files, tmpfs since Linux 6.6")
        yield
    finally:
        with contextlib.suppress(OSError):
            fcntl.ioctl(descriptor, set_flags, struct.pack("l", 0))
        os.close(descriptor)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o666], ids=oct)
def test_map_of_another_user_is_told_with_both_and_with_its_mode(user, name, call, mode):
    alice = user(ALICE)
    alice.run("sharedmap.share({'a': 1}, name)", name=name)
    os.chmod(segment_path(name), mode)
    told = f"belongs to uid {ALICE} (mode {mode:04o})"
    with refused(errno.EACCES, name, told, f"process is uid {BOB}", "choose another name"):
        user(BOB).run(call, name=name)
    space = {"name": name, "sharedmap": sharedmap}
    with refused(errno.EACCES, name, told, "process is uid 0", "remove the file with rm first"):
        exec(call, space)
    os.chmod(segment_path(name), 0o600)
    alice.run("sharedmap.remove(name)", name=name)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_own_map_that_may_not_be_written_is_told_with_its_mode(user, name, call):
    alice = user(ALICE)
    alice.run("sharedmap.share({'a': 1}, name)", name=name)
    path = segment_path(name)
    os.chmod(path, 0o400)
    with refused(errno.EACCES, name, "mode 0400", f"chmod u+rw {os.fsdecode(path)}"):
        alice.run(call, name=name)
    os.chmod(path, 0o600)
    alice.run("sharedmap.remove(name)", name=name)


@pytest.mark.parametrize("call", ["update", "remove", "share"])
def test_directory_of_names_that_may_not_be_written_is_told(as_root, workers, call):
    mount = 'mount -t tmpfs -o mode=1777 tmpfs /dev/shm && exec "$0" "$@"'
    worker = workers("unshare", "--mount", "sh", "-c", mount)
    worker.run("os.setegid(uid); os.seteuid(uid)", uid=ALICE)
    worker.run("sharedmap.share({'a': 1}, name)", name="shut")
    worker.run("os.seteuid(0); os.chmod('/dev/shm', 0o755); os.seteuid(uid)")
    with pytest.raises(PermissionError) as caught:
        worker.run(CALLS[call], name="shut")
    told = str(caught.value)
    if call == "remove":
        assert caught.value.filename == "shut"
        assert (
            f"belongs to uid 0 (mode 0755) and is not writable for this process, uid {ALICE}"
            in (told)
        )
    else:
        # It fails before it has seen the map.
        assert caught.value.filename == "/dev/shm"
        assert "/dev/shm, where maps with a name live, is not writable" in told


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_map_that_is_immutable_is_told_to_be_forbidden_otherwise(as_root, name, call):
    sharedmap.share({"a": 1}, name)
    with (
        immutable(segment_path(name)),
        refused(errno.EPERM, name, "(uid 0, mode 0600,", "immutable (lsattr)"),
    ):
        exec(call, {"name": name, "sharedmap": sharedmap})
    assert sharedmap.remove(name) is True


def test_file_of_another_user_is_told_with_both_and_with_its_mode(user, folder):
    folder.chmod(0o1777)
    path = str(folder / "fruit.map")
    sharedmap.rbtree(by="root").save(path, mode=0o644)
    with refused(
        errno.EACCES, path, "belongs to uid 0 (mode 0644)", f"process is uid {BOB}", "another path"
    ):
        user(BOB).run("sharedmap.rbtree().save(path, force=True)", path=path)


def test_folder_of_another_user_is_told_with_its_mode(user, folder):
    path = str(folder / "fruit.map")
    with refused(
        errno.EACCES, path, "directory of the file belongs to uid 0 (mode 0755)", f"uid {BOB}"
    ):
        user(BOB).run("sharedmap.rbtree().save(path)", path=path)


def test_folder_that_may_not_be_searched_is_told(user, folder):
    folder.chmod(0o700)
    (folder / "inner").mkdir()
    path = str(folder / "inner" / "fruit.map")
    with refused(errno.EACCES, path, "may not be searched by this process", f"uid {BOB}"):
        user(BOB).run("sharedmap.rbtree().save(path)", path=path)


def test_file_system_that_is_read_only_is_told(as_root, workers, tmp_path):
    mount = 'mount -t tmpfs -o ro tmpfs "$0" && exec "$@"'
    worker = workers("unshare", "--mount", "sh", "-c", mount, os.fspath(tmp_path))
    path = os.fspath(tmp_path / "fruit.map")
    with refused(errno.EROFS, path, "save to another file system"):
        worker.run("sharedmap.rbtree().save(path)", path=path)
