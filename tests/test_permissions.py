"""Two users: neither reads, replaces or removes what the other published, and each is told so.

The other user's process starts as root and then gives that up, since the interpreter may lie where
other users cannot go.
"""

import errno
import os
import stat

import pytest
from helpers import SHM, generation, read_header, segment_path, superseded

import sharedmap

NOBODY = 65534
SOMEBODY = 65533

BECOME = """
def become(user):
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    assert os.geteuid() == user
t = sharedmap.rbtree()
t["by"] = "another user"
"""


@pytest.fixture
def user(as_root, workers):
    """user(uid): a process of that user."""

    def start(uid):
        worker = workers()
        worker.run(BECOME)
        worker.run("become(uid)", uid=uid)
        return worker

    return start


@pytest.fixture
def nobody(user):
    return user(NOBODY)


@pytest.fixture
def somebody(user):
    return user(SOMEBODY)


@pytest.fixture
def roots_name(as_root, name):
    tree = sharedmap.rbtree()
    tree["by"] = "root"
    tree.share(name)
    return name


@pytest.fixture
def nobodys_name(nobody, name):
    nobody.run("t.share(name)", name=name)
    return name


def is_refused(caught, name):
    return caught.value.errno in (errno.EPERM, errno.EACCES) and caught.value.filename == name


def test_other_user_publishes_and_reads_his_own_map(nobody, nobodys_name):
    assert nobody.eval("sharedmap.sharedmap(name)['by']", name=nobodys_name) == "another user"


def test_map_belongs_to_its_publisher_with_mode_0600(nobodys_name):
    status = os.stat(segment_path(nobodys_name))
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (NOBODY, 0o600)


def test_other_user_replaces_and_removes_his_own_map(nobody, nobodys_name):
    assert nobody.eval("t.share(name, force=True)", name=nobodys_name) is True
    assert nobody.eval("sharedmap.rbtree.remove(name)") is True


def test_open_of_another_users_map_raises_permission_error(somebody, nobodys_name):
    with pytest.raises(PermissionError) as caught:
        somebody.run("sharedmap.sharedmap(name)", name=nobodys_name)
    assert is_refused(caught, nobodys_name)


def test_open_of_roots_map_raises_permission_error(nobody, roots_name):
    with pytest.raises(PermissionError) as caught:
        nobody.run("sharedmap.sharedmap(name)", name=roots_name)
    assert is_refused(caught, roots_name)


def test_share_with_force_over_another_users_map_raises_permission_error(
    names, somebody, nobodys_name
):
    before = read_header(nobodys_name)
    with pytest.raises(PermissionError) as caught:
        somebody.run("t.share(name, force=True)", name=nobodys_name)
    assert is_refused(caught, nobodys_name)
    assert read_header(nobodys_name) == before
    assert len(names.files()) == 1


def test_share_with_force_over_another_users_readable_map_raises_permission_error(
    somebody, nobodys_name
):
    os.chmod(segment_path(nobodys_name), 0o644)
    before = read_header(nobodys_name)
    with pytest.raises(PermissionError) as caught:
        somebody.run("t.share(name, force=True)", name=nobodys_name)
    assert is_refused(caught, nobodys_name)
    assert read_header(nobodys_name) == before


def test_share_with_force_over_another_users_writable_file_raises_permission_error(
    somebody, nobodys_name
):
    os.chmod(segment_path(nobodys_name), 0o666)
    before = read_header(nobodys_name)
    with pytest.raises(PermissionError) as caught:
        somebody.run("t.share(name, force=True)", name=nobodys_name)
    assert is_refused(caught, nobodys_name)
    assert read_header(nobodys_name) == before


def test_share_without_force_over_another_users_map_raises_file_exists_error(
    somebody, nobodys_name
):
    with pytest.raises(FileExistsError) as caught:
        somebody.run("t.share(name)", name=nobodys_name)
    assert caught.value.filename == nobodys_name


def test_remove_of_another_users_map_raises_permission_error(somebody, nobodys_name):
    with pytest.raises(PermissionError) as caught:
        somebody.eval("sharedmap.rbtree.remove(name)", name=nobodys_name)
    assert is_refused(caught, nobodys_name)
    assert superseded(read_header(nobodys_name)) == 0


def test_remove_of_roots_map_raises_permission_error(nobody, roots_name):
    with pytest.raises(PermissionError) as caught:
        nobody.eval("sharedmap.rbtree.remove(name)", name=roots_name)
    assert is_refused(caught, roots_name)
    with sharedmap.sharedmap(roots_name) as shared:
        assert shared["by"] == "root"


def test_map_of_another_user_is_not_believed_even_when_readable(somebody, nobodys_name):
    os.chmod(segment_path(nobodys_name), 0o644)
    with pytest.raises(PermissionError) as caught:
        somebody.run("sharedmap.sharedmap(name)", name=nobodys_name)
    assert is_refused(caught, nobodys_name)


def test_map_of_another_user_is_not_believed_by_root(nobodys_name):
    with pytest.raises(PermissionError) as caught:
        sharedmap.sharedmap(nobodys_name)
    assert is_refused(caught, nobodys_name)


def test_readable_map_of_root_is_believed_by_everybody(nobody, roots_name):
    os.chmod(segment_path(roots_name), 0o644)
    assert nobody.eval("sharedmap.sharedmap(name)['by']", name=roots_name) == "root"


def test_open_map_of_root_is_kept_by_a_reader_who_could_not_open_it_again(nobody, roots_name):
    os.chmod(segment_path(roots_name), 0o644)
    nobody.run("m = sharedmap.sharedmap(name)", name=roots_name)
    os.chmod(segment_path(roots_name), 0o600)
    assert nobody.eval("m['by']") == "root"


def test_root_publishing_over_a_users_map_leaves_it_to_the_user(nobody, nobodys_name):
    tree = sharedmap.rbtree()
    tree["by"] = "root"
    tree.share(nobodys_name, force=True)
    status = os.stat(segment_path(nobodys_name))
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (NOBODY, 0o600)
    assert generation(read_header(nobodys_name)) == 2
    assert nobody.eval("sharedmap.sharedmap(name)['by']", name=nobodys_name) == "root"
    assert nobody.eval("t.share(name, force=True)") is True


def test_root_removes_a_users_map(nobodys_name):
    assert sharedmap.rbtree.remove(nobodys_name) is True
    assert not os.path.exists(segment_path(nobodys_name))


def test_temporary_name_squatted_by_another_user_does_not_stop_the_publisher(
    names, nobody, nobodys_name
):
    squatted = segment_path(nobodys_name) + b"~"
    with open(squatted, "wb") as file:
        file.write(b"root's own")
    assert nobody.eval("t.share(name, force=True)", name=nobodys_name) is True
    with open(squatted, "rb") as file:
        assert file.read() == b"root's own"
    assert sorted(SHM + file for file in names.files()) == [segment_path(nobodys_name), squatted]
    os.unlink(squatted)


def test_names_of_the_others_maps_do_not_get_in_the_way(names, nobody, nobodys_name):
    own = names()
    sharedmap.rbtree().share(own)
    assert sharedmap.rbtree.remove(own) is True
    assert nobody.eval("sharedmap.sharedmap(name)['by']", name=nobodys_name) == "another user"
