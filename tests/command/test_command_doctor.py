"""doctor: what it finds, and what it clears."""

import contextlib
import errno
import json
import os
import re
import subprocess

import pytest
from command import PROGRAM
from helpers import segment_path
from live import mark_superseded, on_linux

import sharedmap
from sharedmap._cli import doctor, errors
from sharedmap._cli.output import size_text


@pytest.fixture
def look(command, names, monkeypatch):
    """What doctor says of the maps of this test, others being none of its business."""
    find_all = doctor.find_leftovers

    def find_own():
        """Or --clear would remove what the tests side by side with this one have there."""
        return [leftover for leftover in find_all() if names.token in leftover["path"]]

    monkeypatch.setattr(doctor, "find_leftovers", find_own)

    def look(token, *options):
        done = command("doctor", "--json", *options)
        assert done.code in (errors.DONE, errors.FINDINGS)
        found = json.loads(done.out)
        assert (done.code == errors.FINDINGS) == bool(found["problems"])
        for part in ("maps", "old_snapshots", "leftovers", "cleared", "problems"):
            found[part] = [entry for entry in found[part] if token in str(entry)]
        return found

    return look


def test_doctor_describes_shm_as_the_system_does(look, name):
    shm = look(name)["shm"]
    space = os.statvfs("/dev/shm")
    assert shm["bytes"] == space.f_blocks * space.f_frsize
    assert 0 < shm["free"] <= shm["bytes"]
    assert int(shm["mode"], 8) == os.stat("/dev/shm").st_mode & 0o7777


def test_doctor_lists_maps_and_who_reads_them(look, name, other):
    sharedmap.share({"a": "x" * 100_000}, name, mode=0o644)
    other.run("m = sharedmap.sharedmap(name); len(m['a'])", name=name)
    (found,) = look(name)["maps"]
    assert (found["name"], found["generation"], found["mode"]) == (name, 1, "0644")
    (reader,) = found["readers"]
    assert reader["pid"] == other.pid
    # All of it was read, by nobody else but perhaps the doctor.
    assert 40_000 < reader["pss"] <= found["bytes"] + 8192
    other.run("m.close()")
    assert look(name)["maps"][0]["readers"] == []


def test_doctor_finds_snapshots_that_are_only_open_any_more(look, names, other):
    name = names("{} with\na line")
    sharedmap.share({"a": 1}, name)
    other.run("m = sharedmap.sharedmap(name)", name=name)
    sharedmap.share({"a": 2}, name, force=True)
    found = look(names.token)
    assert found["maps"][0]["readers"] == []
    (old,) = found["old_snapshots"]
    assert (old["name"], old["pid"], old["snapshots"]) == (name, other.pid, 1)
    other.run("m.close()")
    assert look(names.token)["old_snapshots"] == []


def test_doctor_finds_what_a_killed_publisher_left_and_clears_it(look, names, plant_bytes):
    name = names()
    sharedmap.share({"a": 1}, name)
    left = [os.fsdecode(segment_path(name)) + end for end in ("~", "~0123456789abcdef")]
    for path in left:
        with open(path, "wb") as file:
            file.write(bytes(5000))
    found = look(names.token)
    assert [leftover["path"] for leftover in found["leftovers"]] == left
    assert found["leftovers"][0]["bytes"] == 8192
    assert len(found["problems"]) == 2
    found = look(names.token, "--clear")
    assert len(found["cleared"]) == 2
    assert found["problems"] == []
    assert names.files() == [os.path.basename(segment_path(name))]
    with sharedmap.sharedmap(name) as opened:
        assert dict(opened) == {"a": 1}


LOCK = """
import fcntl, struct
holder = open(path, "r+b")
fcntl.fcntl(holder, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
"""


def test_doctor_leaves_alone_what_a_publisher_is_still_using(look, names, other):
    name = names()
    sharedmap.share({"a": 1}, name)
    path = os.fsdecode(segment_path(name))
    with open(path + "~", "wb"):
        pass
    other.run(LOCK, path=path)
    found = look(names.token, "--clear")
    assert (found["cleared"], len(found["leftovers"])) == ([], 1)
    other.run("holder.close()")
    assert len(look(names.token, "--clear")["cleared"]) == 1


def test_doctor_tells_what_it_cannot_clear_and_goes_on(look, names):
    directory, link, left = (os.fsdecode(segment_path(names())) for _ in range(3))
    os.mkdir(directory + "~")
    os.symlink("/nowhere", link)
    for path in (link, left):
        with open(path + "~", "wb"):
            pass
    found = look(names.token, "--clear")
    assert found["cleared"] == [left + "~"]
    refused = [problem for problem in found["problems"] if ": cannot be cleared: " in problem]
    assert [problem.partition("~")[0] for problem in refused] == [directory, link]
    os.rmdir(directory + "~")
    for path in (link, link + "~"):
        os.unlink(path)


def test_doctor_clears_what_is_left_of_a_name_that_is_gone(look, names):
    path = os.fsdecode(segment_path(names())) + "~"
    with open(path, "wb"):
        pass
    assert look(names.token, "--clear")["cleared"] == [path]
    assert not os.path.exists(path)


def test_doctor_clears_the_others_when_one_cannot_be_cleared(look, names):
    """A directory under a temporary name, or a link under the name itself, is somebody's trick."""
    paths = [os.fsdecode(segment_path(names())) for _ in range(3)]
    os.mkdir(paths[0] + "~")
    os.symlink("/dev/null", paths[1])
    for path in paths[1:]:
        with open(path + "~", "wb"):
            pass
    found = look(names.token, "--clear")
    assert found["cleared"] == [paths[2] + "~"]
    assert len(found["problems"]) == 3
    os.rmdir(paths[0] + "~")
    os.unlink(paths[1])
    assert look(names.token, "--clear")["cleared"] == [paths[1] + "~"]


def test_doctor_finds_a_map_that_was_marked_but_not_replaced(look, name):
    sharedmap.share({"a": 1}, name)
    mark_superseded(segment_path(name))
    (problem,) = look(name)["problems"]
    assert "superseded" in problem
    sharedmap.share({"a": 1}, name, force=True)
    assert look(name)["problems"] == []


def test_doctor_finds_what_is_no_map_under_the_name_of_one(look, name, plant_bytes):
    plant_bytes(name, b"x" * 600)
    (problem,) = look(name)["problems"]
    assert problem.startswith("not a sharedmap snapshot (wrong magic number)")
    assert repr(name) in problem


def test_doctor_says_that_nothing_is_wrong_where_nothing_is(as_root, tmp_path):
    script = 'mount -t tmpfs -o mode=1777,size=1m tmpfs /dev/shm && exec "$0" "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, *PROGRAM, "doctor"], capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().splitlines()[-1] == "no problems found"


@pytest.mark.parametrize(
    ("options", "used", "problem"),
    [
        ("mode=0777,size=1m", 1, b"sticky"),
        ("mode=1777,size=1m,nr_inodes=5", 1, b"nearly out of inodes"),
        ("mode=1777,size=1m", 1_000_000, b"nearly full"),
    ],
)
def test_doctor_finds_what_is_wrong_with_shm(as_root, options, used, problem):
    script = (
        f"mount -t tmpfs -o {options} tmpfs /dev/shm &&"
        f' head -c {used} /dev/zero > /dev/shm/theirs && exec "$0" "$@"'
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, *PROGRAM, "doctor"], capture_output=True
    )
    assert done.returncode == errors.FINDINGS
    assert problem in done.stdout


@pytest.mark.parametrize(
    ("commands", "problem", "line"),
    [
        pytest.param(
            "mount -t tmpfs tmpfs /dev",
            "there is no directory /dev/shm",
            "! there is no",
            marks=on_linux,
        ),
        ("mount -t tmpfs tmpfs /dev && touch /dev/shm", "there is no directory", "! there is no"),
        pytest.param(
            "mount -t tmpfs tmpfs /proc && mount -t tmpfs -o mode=1777 tmpfs /dev/shm",
            "/proc is not mounted",
            "/dev/shm: ",
            marks=on_linux,
        ),
        ("mount -t tmpfs -o ro,mode=1777 tmpfs /dev/shm", "not writable", "/dev/shm: "),
    ],
)
def test_doctor_finds_what_the_machine_lacks(as_root, commands, problem, line):
    for options in ([], ["--json"]):
        script = f'{commands} && exec "$0" "$@"'
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, *PROGRAM, "doctor", *options],
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (errors.FINDINGS, "")
        assert problem in done.stdout
        assert "b'" not in done.stdout
        if options:
            assert any(problem in told for told in json.loads(done.stdout)["problems"])
        else:
            assert any(told.startswith(line) for told in done.stdout.splitlines())


@on_linux
@pytest.mark.parametrize(
    ("function", "problem"), [("open", "O_TMPFILE"), ("posix_fallocate", "fallocate")]
)
def test_doctor_finds_what_the_file_system_lacks(command, name, monkeypatch, function, problem):
    real = getattr(os, function)

    def lacking(first, second, *rest):
        if function == "posix_fallocate" or second & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "")
        return real(first, second, *rest)

    assert problem not in command("doctor").out
    monkeypatch.setattr(os, function, lacking)
    done = command("doctor")
    assert (done.code, problem in done.out) == (errors.FINDINGS, True)


def test_doctor_finds_that_this_user_may_not_read_shm(as_root, workers):
    mount = 'mount -t tmpfs -o mode=0700 tmpfs /dev/shm && exec "$0" "$@"'
    worker = workers("unshare", "--mount", "sh", "-c", mount)
    worker.run("import contextlib, io, sharedmap._cli as cli")
    # What it imports may be in a folder that this user may not read either.
    worker.run(DOCTOR)
    worker.run("os.setresuid(65533, 65533, 65533)")
    worker.run(DOCTOR)
    assert worker.eval("code") == errors.FINDINGS
    (line,) = [line for line in worker.eval("out.getvalue()").splitlines() if line]
    assert line.startswith("! /dev/shm is not readable for this user")


def test_doctor_says_so_where_shm_has_no_limit(as_root):
    # A ramfs has none, and answers like a tmpfs without one.
    script = 'mount -t ramfs -o mode=1777 ramfs /dev/shm && exec "$0" "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, *PROGRAM, "doctor"], capture_output=True
    )
    assert done.stdout.startswith(b"/dev/shm: no limit of its size, mode 1777, 0 maps")


DOCTOR = "out = io.StringIO()\nwith contextlib.redirect_stdout(out): code = cli.main(['doctor'])"


def test_doctor_says_which_map_cannot_be_published_again(as_root, workers):
    mount = 'mount -t tmpfs -o mode=1777,size=1m tmpfs /dev/shm && exec "$0" "$@"'
    worker = workers("unshare", "--mount", "sh", "-c", mount)
    worker.run("import contextlib, io, sharedmap._cli as cli")
    worker.run("sharedmap.share({'a': 'x' * 300_000}, 'small')")
    worker.run(DOCTOR)
    assert (worker.eval("code"), "again" in worker.eval("out.getvalue()")) == (0, False)
    worker.run("sharedmap.share({'a': 'x' * 500_000}, 'large')")
    worker.run(DOCTOR)
    assert worker.eval("code") == errors.FINDINGS
    assert "large: cannot be published again" in worker.eval("out.getvalue()")


def test_doctor_tells_people_the_same(command, look, name, other):
    for number in range(3):
        sharedmap.share({"a": number}, name, force=True)
    other.run("m = sharedmap.sharedmap(name)", name=name)
    (found,) = look(name)["maps"]
    told = command("doctor").out
    other.run("m.close()")
    assert told.startswith("/dev/shm: ")
    of_map, of_reader = (
        re.split(" {2,}", line) for line in told.splitlines() if line.startswith(name)
    )
    # Its age and what its readers take changes from one moment to the next.
    size, generation, _, mode, owner, readers, _ = of_map[1:]
    assert (size, generation) == (size_text(found["bytes"]), "3")
    assert (mode, owner, readers) == (found["mode"], found["owner"], "1")
    (reader,) = found["readers"]
    assert of_reader[1:3] == [str(other.pid), reader["command"]]


def test_doctor_prints_no_control_characters_of_file_names(command, look, names):
    """Anybody can give a file in /dev/shm any name."""
    name = names()
    coloured = f"{name}\x1b[31m"
    sharedmap.share({}, coloured)
    os.chmod(segment_path(coloured), 0o666)
    for end in (b"\x1b[32m~", b"\x1b[33m~"):
        with open(segment_path(name) + end, "wb"):
            pass
    told = command("doctor").out
    assert all(f"\\x1b[3{digit}m" in told for digit in "123")
    told += command("doctor", "--clear").out
    assert all(character.isprintable() for character in told.replace("\n", ""))
    for end in (b"\x1b[32m~", b"\x1b[33m~"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(segment_path(name) + end)
    assert sharedmap.remove(coloured)
