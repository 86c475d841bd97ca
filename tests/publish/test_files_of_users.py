"""save() and open(), and whoever else is on the machine: other users, and a disk that is full."""

import errno
import os
import tempfile

import pytest

import sharedmap

NOBODY, SOMEBODY = 65534, 65533


@pytest.fixture
def public_folder(as_root):
    """A folder like /tmp: everybody makes files there, nobody removes another's."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o1777)
        yield folder


@pytest.fixture
def public_path(public_folder):
    return os.path.join(public_folder, "fruit.map")


def test_file_of_root_is_believed_by_everybody_who_can_read_it(user, public_path):
    sharedmap.rbtree(by="root").save(public_path, mode=0o644)
    reader = user(NOBODY)
    assert reader.eval("sharedmap.sharedmap.open(path)['by']", path=public_path) == "root"


def test_file_with_mode_0600_can_not_be_opened_by_another_user(user, public_path):
    sharedmap.rbtree(by="root").save(public_path)
    reader = user(NOBODY)
    with pytest.raises(PermissionError) as caught:
        reader.run("sharedmap.sharedmap.open(path)", path=public_path)
    assert caught.value.filename == public_path


@pytest.mark.parametrize("reader", ["somebody", "root"])
def test_file_of_another_user_is_not_believed_even_when_readable(user, public_path, reader):
    user(NOBODY).run("sharedmap.rbtree(by='nobody').save(path, mode=0o644)", path=public_path)
    with pytest.raises(PermissionError) as caught:
        if reader == "root":
            sharedmap.sharedmap.open(public_path)
        else:
            user(SOMEBODY).run("sharedmap.sharedmap.open(path)", path=public_path)
    assert caught.value.filename == public_path


def test_file_of_another_user_is_not_replaced(user, public_path):
    sharedmap.rbtree(by="root").save(public_path, mode=0o644)
    writer = user(NOBODY)
    with pytest.raises(PermissionError):
        writer.run("sharedmap.rbtree(by='nobody').save(path, force=True)", path=public_path)
    with sharedmap.sharedmap.open(public_path) as opened:
        assert dict(opened) == {"by": "root"}
    assert os.listdir(os.path.dirname(public_path)) == ["fruit.map"]


def test_temporary_name_squatted_by_another_user_does_not_stop_who_saves(user, public_path):
    owner = user(NOBODY)
    owner.run("sharedmap.rbtree(by='nobody').save(path)", path=public_path)
    with open(public_path + ".sharedmap~", "wb") as squatted:
        squatted.write(b"root's own")
    owner.run("sharedmap.rbtree(by='nobody again').save(path, force=True)", path=public_path)
    assert owner.eval("sharedmap.sharedmap.open(path)['by']", path=public_path) == "nobody again"
    with open(public_path + ".sharedmap~", "rb") as squatted:
        assert squatted.read() == b"root's own"
    files = sorted(os.listdir(os.path.dirname(public_path)))
    assert files == ["fruit.map", "fruit.map.sharedmap~"]


def test_file_of_a_user_is_not_replaced_by_root(user, public_path):
    # Root would hand its data to whoever is first to take a path.
    owner = user(NOBODY)
    owner.run("sharedmap.rbtree(by='nobody').save(path)", path=public_path)
    with pytest.raises(PermissionError):
        sharedmap.rbtree(by="root").save(public_path, force=True)
    assert os.stat(public_path).st_uid == NOBODY
    assert owner.eval("sharedmap.sharedmap.open(path)['by']", path=public_path) == "nobody"
    assert os.listdir(os.path.dirname(public_path)) == ["fruit.map"]


def test_file_of_a_user_who_is_trusted_is_opened(user, public_path):
    user(NOBODY).run("sharedmap.rbtree(by='nobody').save(path)", path=public_path)
    with sharedmap.sharedmap.open(public_path, owner=NOBODY) as opened:
        assert opened["by"] == "nobody"
    with pytest.raises(PermissionError):
        sharedmap.sharedmap.open(public_path, owner=SOMEBODY)


def test_folder_that_may_not_be_written_to_raises_permission_error(user, public_folder):
    os.chmod(public_folder, 0o755)
    path = os.path.join(public_folder, "fruit.map")
    with pytest.raises(PermissionError) as caught:
        user(NOBODY).run("sharedmap.rbtree(a=1).save(path)", path=path)
    assert caught.value.filename == path
    assert os.listdir(public_folder) == []


def test_full_file_system_raises_enospc_and_leaves_what_was_there(as_root, workers, tmp_path):
    mount = 'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"'
    worker = workers("unshare", "--mount", "sh", "-c", mount, os.fspath(tmp_path))
    path = os.fspath(tmp_path / "fruit.map")
    worker.run("sharedmap.rbtree(a='before').save(path)", path=path)
    for force in (True, False):
        with pytest.raises(OSError, match=r"needs \d+ bytes and \d+ are free") as caught:
            worker.run(
                "sharedmap.rbtree(a=b'x' * 2**20).save(path if force else path + '2', force=force)",
                force=force,
            )
        assert caught.value.errno == errno.ENOSPC
        assert caught.value.filename == (path if force else path + "2")
        # It is not /dev/shm that is full.
        assert "/dev/shm" not in str(caught.value)
    assert worker.eval("os.listdir(os.path.dirname(path))") == ["fruit.map"]
    assert worker.eval("sharedmap.sharedmap.open(path)['a']") == "before"
