"""What a machine may lack: /dev/shm, /proc, mapped users. An error names it, or it is done without.

Each test has a /dev or a /proc of its own, in a mount namespace of the other process.
"""

import errno
import os

import pytest
from helpers import segment_path
from live import on_linux

import sharedmap

WATCH = """
import asyncio

async def watch_once():
    async for m in sharedmap.watch("lost"):
        return dict(m)
"""

CALLS = {
    "share": "sharedmap.share({'a': 1}, 'lost')",
    "share over": "sharedmap.share({'a': 1}, 'lost', force=True)",
    "open": "sharedmap.sharedmap('lost')",
    "update": "sharedmap.update('lost', {'a': 1})",
    "remove": "sharedmap.remove('lost')",
    "names": "sharedmap.names()",
    "watch": "asyncio.run(watch_once())",
}
SHM = {"absent": "true", "a file": "touch /dev/shm", "a link to nothing": "ln -s /none /dev/shm"}


@pytest.fixture
def start(as_root, workers):
    def start(commands):
        """With an empty /dev, but for what these commands make there."""
        worker = workers("unshare", "--mount", "sh", "-c", commands + ' && exec "$0" "$@"')
        worker.run(WATCH)
        return worker

    return start


@pytest.mark.parametrize("what", SHM)
@on_linux
def test_machine_without_shm_is_told_of_it_and_of_save(start, tmp_path, what):
    worker = start("mount -t tmpfs tmpfs /dev && " + SHM[what])
    for call in CALLS.values():
        with pytest.raises(OSError, match=r"no directory /dev/shm.*save\(path\)") as caught:
            worker.eval(call)
        # Which would say that the map is absent.
        assert not isinstance(caught.value, FileNotFoundError)
        assert (caught.value.errno, caught.value.filename) == (errno.ENODEV, "/dev/shm")
    path = str(tmp_path / "a.map")
    worker.run("sharedmap.rbtree(a=1).save(path)", path=path)
    assert worker.eval("dict(sharedmap.sharedmap.open(path))", path=path) == {"a": 1}


def test_absent_map_and_absent_folder_are_what_they_were(name, tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        sharedmap.sharedmap(name)
    assert caught.value.filename == name
    with pytest.raises(FileNotFoundError):
        sharedmap.sharedmap.open(tmp_path / "none" / "a.map")
    with pytest.raises(FileNotFoundError):
        sharedmap.rbtree(a=1).save(tmp_path / "none" / "a.map")


def test_shm_that_is_not_writable_is_named_with_save(start):
    worker = start("mount -t tmpfs -o ro tmpfs /dev/shm")
    for call in ("share", "share over"):
        with pytest.raises(OSError, match=r"/dev/shm.* not writable.*save\(path\)") as caught:
            worker.eval(CALLS[call])
        assert (caught.value.errno, caught.value.filename) == (errno.EROFS, "/dev/shm")
    with pytest.raises(FileNotFoundError):
        worker.eval(CALLS["open"])
    assert worker.eval(CALLS["names"]) == []


def test_shm_of_others_is_named_with_save(start):
    worker = start("mount -t tmpfs -o mode=755 tmpfs /dev/shm")
    worker.run("os.setresuid(65533, 65533, 65533)")
    with pytest.raises(PermissionError, match=r"not writable.*save\(path\)") as caught:
        worker.eval(CALLS["share"])
    assert caught.value.filename == "/dev/shm"


def test_shm_that_may_not_be_read_is_named(start):
    worker = start("mount -t tmpfs -o mode=700 tmpfs /dev/shm")
    worker.run("os.setresuid(65533, 65533, 65533)")
    with pytest.raises(PermissionError) as caught:
        worker.eval(CALLS["names"])
    assert caught.value.filename == "/dev/shm"


def test_machine_without_proc_publishes_as_ever(start, tmp_path):
    worker = start("mount -t tmpfs tmpfs /proc && mount -t tmpfs -o mode=1777 tmpfs /dev/shm")
    assert worker.eval("os.listdir('/proc')") == []
    path = str(tmp_path / "a.map")
    for number in range(2):
        worker.run("sharedmap.share({'a': i}, 'lost', force=True)", i=number)
        worker.run("sharedmap.update('lost', {'b': i})", i=number)
        worker.run("sharedmap.rbtree(c=i).save(path, force=True)", i=number, path=path)
        assert worker.eval("dict(sharedmap.sharedmap('lost'))") == {"a": number, "b": number}
        assert worker.eval("dict(sharedmap.sharedmap.open(path))", path=path) == {"c": number}
    assert worker.eval("os.listdir('/dev/shm')") == ["sharedmap.lost"]
    assert os.listdir(tmp_path) == ["a.map"]


BECOME = """
import ctypes
os.setgroups([])
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)
"""
LEAVE_ALL_USERS = "assert ctypes.CDLL(None).unshare(0x10000000) == 0  # CLONE_NEWUSER"


@on_linux
def test_user_who_is_not_mapped_trusts_no_other_who_is_not(as_root, workers, names):
    strange, own = names(), names()
    as_other = workers()
    as_other.run(BECOME, uid=65533)
    as_other.run("sharedmap.share({'a': 1}, name, mode=0o644)", name=strange)
    worker = workers()
    worker.run(BECOME, uid=65532)
    worker.run(LEAVE_ALL_USERS)
    # Both are nobody here.
    assert worker.eval("os.geteuid()") == 65534
    assert worker.eval("os.stat(path).st_uid", path=segment_path(strange)) == 65534
    for call in ("sharedmap.sharedmap(name)", "sharedmap.update(name, {'a': 2})"):
        with pytest.raises(PermissionError):
            worker.eval(call, name=strange)
    # Nor when it says that it trusts the number, which stands for both and for many more.
    with pytest.raises(PermissionError, match="every user who is not mapped") as caught:
        worker.eval("dict(sharedmap.sharedmap(name, owner=65534))", name=strange)
    assert caught.value.filename == strange
    worker.run("sharedmap.share({'a': 1}, name)", name=own)
    assert worker.eval("sharedmap.update(name, {'b': 2})", name=own) == 2
    assert worker.eval("dict(sharedmap.sharedmap(name))", name=own) == {"a": 1, "b": 2}
    worker.run("sharedmap.remove(name)", name=own)
    as_other.run("sharedmap.remove(name)", name=strange)
