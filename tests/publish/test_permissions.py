"""Two users: neither reads, replaces or removes what the other published, and each is told so.

Not even if one of them is root, who could: it reads what it says it trusts, and leaves the rest.

The other user's process starts as root and then gives that up, since the interpreter may lie where
other users cannot go.
"""

import errno
import os
import pwd
import stat

import pytest
from helpers import SHM, Worker, generation, read_header, segment_path, superseded

import sharedmap

NOBODY = 65534
SOMEBODY = 65533

DOCTOR = """
import contextlib, io, json
from sharedmap import _cli
with contextlib.redirect_stdout(io.StringIO()) as told:
    _cli.main(["doctor", "--json"])
found = json.loads(told.getvalue())
"""

BECOME = """
def become(user):
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    assert os.geteuid() == user
t = sharedmap.rbtree()
t["by"] = "another user"
"""


@pytest.fixture(scope="module")
def user():
    """user(uid): the process of that user, one for all tests of this file."""
    started = {}

    def start(uid):
        if uid not in started:
            started[uid] = Worker()
            # Once before, as it has to import what the other user may not read.
            started[uid].run(DOCTOR + BECOME)
            started[uid].run("become(uid)", uid=uid)
        return started[uid]

    yield start
    in_order = [worker.close() for worker in started.values()]
    assert all(in_order)


@pytest.fixture
def nobody(as_root, user):
    return user(NOBODY)


@pytest.fixture
def somebody(as_root, user):
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
    assert "share(name, mode=0o644)" in str(caught.value)


def test_open_of_another_users_file_says_how_it_can_be_read(somebody, nobody, tmp_path_factory):
    path = f"/dev/shm/{tmp_path_factory.mktemp('file').name}-of-nobody"
    nobody.run("t.save(path)", path=path)
    try:
        with pytest.raises(PermissionError, match=r"save\(path, mode=0o644\)") as caught:
            somebody.run("sharedmap.sharedmap.open(path)", path=path)
        assert is_refused(caught, path)
    finally:
        os.unlink(path)


def test_open_of_roots_map_raises_permission_error(nobody, roots_name):
    with pytest.raises(PermissionError) as caught:
        nobody.run("sharedmap.sharedmap(name)", name=roots_name)
    assert is_refused(caught, roots_name)


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o666], ids=oct)
def test_share_with_force_over_another_users_map_raises_permission_error(
    names, somebody, nobodys_name, mode
):
    os.chmod(segment_path(nobodys_name), mode)
    before = read_header(nobodys_name)
    with pytest.raises(PermissionError) as caught:
        somebody.run("t.share(name, force=True)", name=nobodys_name)
    assert is_refused(caught, nobodys_name)
    assert read_header(nobodys_name) == before
    assert len(names.files()) == 1


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


# Root too publishes and removes only what is its own: it would hand its data to whoever squats a
# name, and write into a file that its owner can cut short at any time.

ROOTS_ATTEMPTS = {
    "share with force": lambda name: tree_of_root().share(name, force=True),
    "share with an expectation": lambda name: tree_of_root().share(name, expect=1),
    "share with force and an expectation": lambda name: tree_of_root().share(name, True, expect=1),
    "share with force by the function": lambda name: sharedmap.share({}, name, force=True),
    "share with an expectation by the function": lambda name: sharedmap.share({}, name, expect=1),
    "update": lambda name: sharedmap.update(name, {"by": "root"}),
    "update of nothing": lambda name: sharedmap.update(name, {}),
    "remove": sharedmap.rbtree.remove,
    "remove by the function": sharedmap.remove,
}


def tree_of_root():
    return sharedmap.rbtree(by="root")


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o666], ids=oct)
@pytest.mark.parametrize("attempt", ROOTS_ATTEMPTS.values(), ids=ROOTS_ATTEMPTS.keys())
def test_root_is_refused_on_another_users_map(names, nobody, nobodys_name, attempt, mode):
    path = segment_path(nobodys_name)
    os.chmod(path, mode)
    before = os.stat(path), read_header(nobodys_name)
    with pytest.raises(PermissionError) as caught:
        attempt(nobodys_name)
    assert is_refused(caught, nobodys_name)
    after = os.stat(path), read_header(nobodys_name)
    assert after[1] == before[1]
    assert (after[0].st_ino, after[0].st_mtime_ns) == (before[0].st_ino, before[0].st_mtime_ns)
    assert [SHM + file for file in names.files()] == [path]
    # It is still the user's, to read and to replace.
    os.chmod(path, 0o600)
    assert nobody.eval("sharedmap.sharedmap(name)['by']", name=nobodys_name) == "another user"
    assert nobody.eval("t.share(name, force=True)") is True
    assert generation(read_header(nobodys_name)) == 2


def test_root_is_told_that_another_users_name_is_taken(nobodys_name):
    with pytest.raises(FileExistsError) as caught:
        tree_of_root().share(nobodys_name)
    assert caught.value.filename == nobodys_name


def test_root_is_refused_on_another_users_file_that_is_no_map(nobody, name):
    path = segment_path(name)
    nobody.run("with open(path, 'wb') as file: file.write(b'junk')", path=path)
    for attempt in (ROOTS_ATTEMPTS["share with force"], ROOTS_ATTEMPTS["remove"]):
        with pytest.raises(PermissionError) as caught:
            attempt(name)
        assert is_refused(caught, name)
    with open(path, "rb") as file:
        assert file.read() == b"junk"


def test_root_takes_a_name_that_its_user_removed(nobody, nobodys_name):
    nobody.run("sharedmap.remove(name)", name=nobodys_name)
    assert tree_of_root().share(nobodys_name) is True
    assert os.stat(segment_path(nobodys_name)).st_uid == 0


# --- an owner who is trusted ------------------------------------------------------------------


@pytest.mark.parametrize("how", ["uid", "user name"])
def test_map_of_a_trusted_owner_is_believed(somebody, nobodys_name, how):
    owner = NOBODY if how == "uid" else pwd.getpwuid(NOBODY).pw_name
    with sharedmap.sharedmap(nobodys_name, owner=owner) as shared:
        assert shared["by"] == "another user"
    os.chmod(segment_path(nobodys_name), 0o644)
    source = "sharedmap.sharedmap(name, owner=owner)['by']"
    assert somebody.eval(source, name=nobodys_name, owner=owner) == "another user"


def test_own_map_and_that_of_root_are_believed_with_another_owner(nobody, roots_name, names):
    os.chmod(segment_path(roots_name), 0o644)
    own = names()
    nobody.run("t.share(own)", own=own, somebody=SOMEBODY)
    assert nobody.eval("sharedmap.sharedmap(own, owner=somebody)['by']") == "another user"
    source = "sharedmap.sharedmap(name, owner=somebody)['by']"
    assert nobody.eval(source, name=roots_name) == "root"


@pytest.mark.parametrize("owner", [SOMEBODY, 1, None], ids=str)
def test_map_of_somebody_else_than_the_trusted_owner_is_not_believed(nobodys_name, owner):
    with pytest.raises(PermissionError) as caught:
        sharedmap.sharedmap(nobodys_name, owner=owner)
    assert is_refused(caught, nobodys_name)


# With the lowest 32 bits alone, the last one would be nobody.
def test_owner_whose_name_nobody_has_raises_key_error(nobodys_name):
    with pytest.raises(KeyError, match="nobody has this name"):
        sharedmap.sharedmap(nobodys_name, owner="nobody has this name")


def test_trusted_owner_whose_file_others_may_write_is_not_believed(nobodys_name):
    os.chmod(segment_path(nobodys_name), 0o666)
    with pytest.raises(PermissionError) as caught:
        sharedmap.sharedmap(nobodys_name, owner=NOBODY)
    assert is_refused(caught, nobodys_name)


def test_trusted_owner_does_not_let_others_publish(nobodys_name):
    sharedmap.sharedmap(nobodys_name, owner=NOBODY).close()
    with pytest.raises(PermissionError):
        tree_of_root().share(nobodys_name, force=True)


# --- who may read -----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o604, 0o644], ids=oct)
def test_map_shared_with_a_mode_for_others_is_read_by_others(nobody, somebody, name, mode):
    nobody.run("t.share(name, mode=mode)", name=name, mode=mode)
    assert stat.S_IMODE(os.stat(segment_path(name)).st_mode) == mode
    source = "sharedmap.sharedmap(name, owner=owner)['by']"
    assert somebody.eval(source, name=name, owner=NOBODY) == "another user"


@pytest.mark.parametrize("mode", [0o600, 0o640], ids=oct)
def test_map_shared_with_a_mode_for_few_is_not_read_by_others(nobody, somebody, name, mode):
    nobody.run("t.share(name, mode=mode)", name=name, mode=mode)
    with pytest.raises(PermissionError) as caught:
        somebody.eval("sharedmap.sharedmap(name, owner=owner)", name=name, owner=NOBODY)
    assert is_refused(caught, name)


# --- following another user -------------------------------------------------------------------

OPEN_BOTH = """
m = sharedmap.sharedmap(name, owner=owner)
f = sharedmap.sharedmap(name, follow=True, owner=owner)
"""


@pytest.fixture
def followed(nobody, somebody, name):
    """A map of nobody that somebody has open, in both ways."""
    nobody.run("t.share(name, mode=0o644)", name=name)
    somebody.run(OPEN_BOTH, name=name, owner=NOBODY)
    yield name
    somebody.run("m.close(), f.close()")


def test_reader_follows_what_another_user_publishes(nobody, somebody, followed):
    nobody.run("sharedmap.share({'by': 'them again'}, name, True, mode=0o644)", name=followed)
    assert somebody.eval("(m.stale, f['by'])") == (True, "them again")
    assert somebody.eval("(m['by'], m.refresh(), m['by'])") == ("another user", True, "them again")


def test_reader_keeps_what_it_has_when_the_next_map_is_shut(nobody, somebody, followed):
    nobody.run("sharedmap.share({'by': 'them again'}, name, True)", name=followed)
    assert somebody.eval("f['by']") == "another user"
    with pytest.raises(PermissionError) as caught:
        somebody.run("m.refresh()")
    assert is_refused(caught, followed)
    assert somebody.eval("(m['by'], m.verify())") == ("another user", None)


def test_refresh_and_follow_error_say_how_the_map_can_be_read(nobody, somebody, followed):
    """What opening the map says, and not only "Permission denied"."""
    nobody.run("sharedmap.share({'by': 'them again'}, name, True)", name=followed)
    with pytest.raises(PermissionError, match=r"share\(name, mode=0o644\)") as caught:
        somebody.run("m.refresh()")
    assert is_refused(caught, followed)
    assert somebody.eval("f['by']") == "another user"
    told = somebody.eval("(f.follow_error.errno, str(f.follow_error))")
    assert told[0] == errno.EACCES
    assert "share(name, mode=0o644)" in told[1]


@pytest.mark.parametrize("mode", [0o644, 0o666], ids=oct)
def test_reader_keeps_what_it_has_when_somebody_else_takes_the_name(
    nobody, somebody, followed, mode
):
    nobody.run("sharedmap.remove(name)", name=followed)
    with open(segment_path(followed), "wb") as file:
        file.write(sharedmap.rbtree(by="a squatter").dump())
    os.chmod(segment_path(followed), mode)
    os.chown(segment_path(followed), 1234, 1234)
    assert somebody.eval("(f['by'], m['by'])") == ("another user", "another user")
    with pytest.raises(PermissionError) as caught:
        somebody.run("m.refresh()")
    assert is_refused(caught, followed)
    assert somebody.eval("(f['by'], m['by'])") == ("another user", "another user")
    os.unlink(segment_path(followed))


# --- each his own -----------------------------------------------------------------------------


def test_names_of_other_users_are_listed(names, nobody, nobodys_name):
    own = names()
    sharedmap.rbtree().share(own)
    assert {nobodys_name, own} <= set(sharedmap.names())
    assert {nobodys_name, own} <= set(nobody.eval("sharedmap.names()"))


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


def test_doctor_takes_no_map_that_others_may_hide_for_a_problem(roots_name, nobody):
    nobody.run(DOCTOR)
    assert nobody.eval("found['maps_not_seen']") >= 1
    assert not any(roots_name in problem for problem in nobody.eval("found['problems']"))


def test_doctor_takes_a_map_that_others_may_write_for_a_problem(roots_name, nobody):
    os.chmod(segment_path(roots_name), 0o602)
    nobody.run(DOCTOR)
    assert any(roots_name in problem for problem in nobody.eval("found['problems']"))
