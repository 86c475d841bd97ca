"""save() and open(): the snapshot as a file that is there whole or not at all."""

import errno
import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys

import independent_reader
import pytest
from helpers import HANG, HEADER_SIZE, generation, superseded, unique_id
from live import on_linux, until_it_answers

import sharedmap

ENTRIES = {"a": 1, "b": "two", "c": b"three", "红": None}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "fruit.map"


@pytest.fixture
def saved(path):
    sharedmap.rbtree(ENTRIES).save(path)
    return path


def content(path):
    with sharedmap.sharedmap.open(path) as opened:
        return dict(opened)


# ---- there and back ----------------------------------------------------------------------------


def test_saved_file_is_read_back(path):
    assert sharedmap.rbtree(ENTRIES).save(path) is True
    with sharedmap.sharedmap.open(path) as opened:
        opened.verify()
        assert opened == ENTRIES
        assert list(opened) == sorted(ENTRIES)


def test_saved_file_is_read_back_in_another_process(saved, other):
    found = other.eval("dict(sharedmap.sharedmap.open(path))", path=os.fspath(saved))
    assert found == ENTRIES


def test_empty_tree_is_saved_and_read_back(path):
    sharedmap.rbtree().save(path)
    assert content(path) == {}


@pytest.mark.parametrize("form", [os.fspath, os.fsencode, pathlib.Path], ids=lambda f: f.__name__)
def test_path_may_be_str_bytes_or_path(path, form):
    sharedmap.rbtree(ENTRIES).save(form(path))
    assert content(form(path)) == ENTRIES


@pytest.mark.parametrize("file_name", ["with space", "红", "ümlaut.map", "%2F", "a~b", "new\nline"])
def test_file_is_named_as_the_path_says(tmp_path, file_name):
    sharedmap.rbtree(ENTRIES).save(tmp_path / file_name)
    assert os.listdir(tmp_path) == [file_name]
    assert content(tmp_path / file_name) == ENTRIES


def test_file_name_that_is_no_utf8_works(tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff\xfe"
    sharedmap.rbtree(ENTRIES).save(path)
    assert os.listdir(os.fsencode(tmp_path)) == [b"\xff\xfe"]
    with sharedmap.sharedmap.open(path) as opened:
        assert os.fsencode(opened.name) == path
        assert opened == ENTRIES


def test_arguments_of_save_and_open_may_be_keywords(path):
    sharedmap.rbtree(ENTRIES).save(path=path, force=True, mode=0o644)
    assert sharedmap.sharedmap.open(path=path, decode=None) == ENTRIES


def test_bytes_of_the_file_are_those_of_dump(saved):
    """But for what makes each snapshot another one: its id and how often the name was published."""
    data, dumped = saved.read_bytes(), sharedmap.rbtree(ENTRIES).dump()
    assert len(data) == len(dumped)
    assert data[HEADER_SIZE:] == dumped[HEADER_SIZE:]
    assert data[:128] == dumped[:128]
    assert unique_id(data) != unique_id(dumped)
    with sharedmap.sharedmap.frombuffer(data) as opened:
        assert opened == ENTRIES


def test_file_is_what_the_independent_reader_understands(path):
    entries = {"a": "text", "b": b"bytes", "": "", "红": "\ud800"}
    sharedmap.rbtree(entries).save(path, index="tree")
    assert independent_reader.read(path.read_bytes()) == sorted(entries.items())


def test_name_of_an_opened_file_is_its_path_from_the_root(saved, monkeypatch):
    monkeypatch.chdir(saved.parent)
    for form in (saved.name, f"./{saved.name}", os.fsencode(saved.name)):
        with sharedmap.sharedmap.open(form) as opened:
            assert os.path.isabs(opened.name)
            assert os.path.samefile(opened.name, saved)
            assert repr(opened.name) in repr(opened)


def test_open_file_is_still_readable_when_it_is_deleted(saved):
    opened = sharedmap.sharedmap.open(saved)
    saved.unlink()
    assert opened == ENTRIES
    opened.close()


def test_open_leaves_no_descriptor_open(saved):
    before = os.listdir("/proc/self/fd")
    with sharedmap.sharedmap.open(saved):
        assert os.listdir("/proc/self/fd") == before


def test_save_leaves_no_descriptor_open(path):
    before = os.listdir("/proc/self/fd")
    sharedmap.rbtree(ENTRIES).save(path)
    sharedmap.rbtree(ENTRIES).save(path, force=True)
    assert os.listdir("/proc/self/fd") == before


def test_saved_map_can_be_copied_as_a_file(saved, tmp_path):
    shutil.copy(saved, tmp_path / "copy")
    assert content(tmp_path / "copy") == ENTRIES


# ---- replacing ---------------------------------------------------------------------------------


def test_existing_file_is_not_replaced_without_force(saved):
    before = saved.read_bytes()
    with pytest.raises(FileExistsError) as caught:
        sharedmap.rbtree(x=1).save(saved)
    assert caught.value.errno == errno.EEXIST
    assert caught.value.filename == saved
    assert caught.value.strerror == "the file already exists; pass force=True to replace it"
    assert saved.read_bytes() == before


def test_force_replaces_the_file(saved, tmp_path):
    assert sharedmap.rbtree(x=1).save(saved, force=True) is True
    assert content(saved) == {"x": 1}
    assert os.listdir(tmp_path) == [saved.name]


def test_force_works_without_a_file_to_replace(path):
    sharedmap.rbtree(ENTRIES).save(path, True)
    assert content(path) == ENTRIES


def test_generation_counts_how_often_a_path_was_saved_to(path):
    for expected in (1, 2, 3):
        sharedmap.rbtree(ENTRIES).save(path, force=True)
        with sharedmap.sharedmap.open(path) as opened:
            assert opened.generation == expected
        assert generation(path.read_bytes()) == expected


def test_force_marks_the_old_file_superseded(saved, tmp_path):
    os.link(saved, tmp_path / "old")
    sharedmap.rbtree(ENTRIES).save(saved, force=True)
    assert superseded((tmp_path / "old").read_bytes()) == 1
    assert superseded(saved.read_bytes()) == 0


@pytest.mark.parametrize("data", [b"", b"text", bytes(10_000)], ids=len)
def test_force_replaces_a_file_that_is_no_snapshot(path, data):
    path.write_bytes(data)
    sharedmap.rbtree(ENTRIES).save(path, force=True)
    assert content(path) == ENTRIES


def test_force_leaves_other_files_alone(saved, tmp_path):
    """Editors call their backups so; what is beside the path is none of our business."""
    backup = tmp_path / (saved.name + "~")
    backup.write_text("what somebody else keeps here")
    sharedmap.rbtree(x=1).save(saved, force=True)
    assert content(saved) == {"x": 1}
    assert backup.read_text() == "what somebody else keeps here"


@pytest.mark.parametrize("length", [200, 245, 246, 255])
def test_file_with_a_long_name_can_be_saved_and_replaced(tmp_path, length):
    path = tmp_path / ("n" * length)
    sharedmap.rbtree(x=1).save(path)
    sharedmap.rbtree(ENTRIES).save(path, force=True)
    assert content(path) == ENTRIES
    assert os.listdir(tmp_path) == [path.name]


def test_reader_of_a_file_that_is_replaced_without_end_sees_only_whole_maps(path, workers):
    trees = [sharedmap.rbtree({str(n): size for n in range(size)}) for size in (1, 50, 3000)]
    trees[0].save(path)
    reader = workers()
    reader.run(
        """
def read(path):
    seen = set()
    while len(seen) < 3:
        with sharedmap.sharedmap.open(path) as opened:
            seen.add(len(opened))
            assert set(opened.values()) == {len(opened)}
            opened.verify()
    return seen
"""
    )
    reader.send("eval", "read(path)", {"path": os.fspath(path)})
    # It ends when it has seen each of them; nobody has to be fast enough.
    for _ in until_it_answers(reader):
        for tree in trees:
            tree.save(path, force=True)
    assert reader.answer() == {1, 50, 3000}


def test_each_publisher_that_is_killed_leaves_a_whole_file_and_at_most_one_more(path, tmp_path):
    tree = sharedmap.rbtree({str(number): "x" * 100 for number in range(300)})
    tree.save(path)
    for killed, count in enumerate((1, 2, 3, 5, 8), start=1):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            signal.alarm(HANG)
            while True:
                tree.save(path, force=True)
                os.write(writing, b".")
        os.close(writing)
        # However far it gets in its next one meanwhile.
        assert all(os.read(reading, 1) == b"." for _ in range(count))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)
        with sharedmap.sharedmap.open(path) as opened:
            opened.verify()
            assert opened == tree
        assert len(os.listdir(tmp_path)) <= 1 + killed
    tree.save(path, force=True)
    assert content(path) == tree


# ---- mode --------------------------------------------------------------------------------------


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o604, 0o644])
def test_mode_is_what_was_asked_for(path, mode):
    sharedmap.rbtree(a=1).save(path, mode=mode)
    assert mode_of(path) == mode
    assert content(path) == {"a": 1}


def test_mode_is_that_of_the_last_save(path):
    sharedmap.rbtree(a=1).save(path, mode=0o644)
    sharedmap.rbtree(a=1).save(path, force=True)
    assert mode_of(path) == 0o600


@pytest.mark.parametrize("mode", [0, 0o400, 0o200, 0o666, 0o620, 0o602, 0o700, 0o755, 0o4600, -1])
def test_mode_that_shuts_the_owner_out_or_lets_others_write_raises_value_error(
    path, tmp_path, mode
):
    with pytest.raises(ValueError, match="mode must be"):
        sharedmap.rbtree(a=1).save(path, mode=mode)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("mode", ["600", 1.0, None, b"\1"], ids=lambda m: type(m).__name__)
def test_mode_that_is_no_int_raises_type_error(path, tmp_path, mode):
    with pytest.raises(TypeError):
        sharedmap.rbtree(a=1).save(path, mode=mode)
    assert os.listdir(tmp_path) == []


def test_mode_is_given_by_keyword_only(path):
    with pytest.raises(TypeError):
        sharedmap.rbtree(a=1).save(path, False, 0o600)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o660])
def test_file_that_others_may_write_to_is_not_opened(saved, mode):
    saved.chmod(mode)
    with pytest.raises(PermissionError) as caught:
        sharedmap.sharedmap.open(saved)
    assert caught.value.filename == saved


# ---- on the disk -------------------------------------------------------------------------------


def system_calls(tmp_path, program, *arguments):
    """What a process calls, as (name, the rest of the line), in order."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace to see system calls")
    output = tmp_path / "strace"
    names = "fsync,fdatasync,pwrite64,link,linkat,rename,renameat,renameat2"
    strace = ["strace", "-f", "-y", "-o", output, "-e", f"trace={names}"]
    python = [sys.executable, "-c", f"import sys, sharedmap\n{program}", *arguments]
    traced = subprocess.run([*strace, *python], stderr=subprocess.PIPE)
    if b"ptrace" in traced.stderr.lower():
        pytest.skip("may not trace: " + traced.stderr.decode(errors="replace"))
    assert traced.returncode == 0, traced.stderr
    found = re.findall(r"^\d+ +(\w+)\((.*)$", output.read_text(), re.MULTILINE)
    output.unlink()
    return found


def assert_on_the_disk_before(moment, calls, folder):
    names = [name for name, _ in calls]
    # The mark of the file that is replaced is a hint, and needs no disk.
    mark = re.compile(r", 4, 192\) += 4$")
    last_write = max(
        at for at, (name, rest) in enumerate(calls) if name == "pwrite64" and not mark.search(rest)
    )
    assert last_write < moment
    # The file itself, after its last byte was written.
    assert "fsync" in names[last_write:moment]
    # Its folder, so that the name is on the disk as well.
    after = [rest for name, rest in calls[moment:] if name == "fsync"]
    assert any(f"<{folder}>" in rest for rest in after)


@on_linux
def test_first_save_is_on_the_disk_before_it_has_its_name(tmp_path, path):
    calls = system_calls(tmp_path, "sharedmap.rbtree(a=1).save(sys.argv[1])", path)
    names = [name for name, _ in calls]
    assert names.count("linkat") == 1
    linked = names.index("linkat")
    assert path.name in calls[linked][1]
    assert_on_the_disk_before(linked, calls, tmp_path)


def test_replacing_save_is_on_the_disk_before_the_path_leads_to_it(tmp_path, saved):
    calls = system_calls(tmp_path, "sharedmap.rbtree(a=1).save(sys.argv[1], force=True)", saved)
    names = [name for name, _ in calls]
    renamed = max(at for at, name in enumerate(names) if name.startswith("rename"))
    assert saved.name in calls[renamed][1]
    assert_on_the_disk_before(renamed, calls, tmp_path)


@on_linux
def test_share_waits_for_no_disk(tmp_path, name):
    calls = system_calls(tmp_path, "sharedmap.rbtree(a=1).share(sys.argv[1])", name)
    names = [name for name, _ in calls]
    assert "linkat" in names
    assert "fsync" not in names
    assert "fdatasync" not in names


# ---- links, folders, what is no file -------------------------------------------------------------


def test_open_follows_a_link(saved, tmp_path):
    (tmp_path / "link").symlink_to(saved)
    assert content(tmp_path / "link") == ENTRIES


def test_open_follows_a_link_in_the_middle_of_a_path(tmp_path):
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real/deep")
    # The system goes to where the link leads and up from there, so must we.
    path = tmp_path / "link" / ".." / "fruit.map"
    sharedmap.rbtree(ENTRIES).save(path)
    assert (tmp_path / "real" / "fruit.map").exists()
    assert content(path) == ENTRIES


def test_open_of_a_link_that_leads_nowhere_raises_file_not_found_error(tmp_path):
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(FileNotFoundError) as caught:
        sharedmap.sharedmap.open(tmp_path / "link")
    assert caught.value.filename == tmp_path / "link"


def test_open_of_a_link_in_a_circle_raises_an_error_with_the_path(tmp_path):
    (tmp_path / "link").symlink_to("link")
    with pytest.raises((OSError, sharedmap.SnapshotError), match="link"):
        sharedmap.sharedmap.open(tmp_path / "link")


@pytest.mark.parametrize("target", ["fruit.map", "nowhere"])
def test_save_to_a_link_without_force_raises_file_exists_error(saved, tmp_path, target):
    link = tmp_path / "link"
    link.symlink_to(target)
    with pytest.raises(FileExistsError):
        sharedmap.rbtree(x=1).save(link)
    assert link.is_symlink()
    assert content(saved) == ENTRIES
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("target", ["fruit.map", "nowhere"])
def test_save_to_a_link_with_force_changes_neither_link_nor_target(saved, tmp_path, target):
    link = tmp_path / "link"
    link.symlink_to(target)
    with pytest.raises(sharedmap.SnapshotError, match="not a regular file"):
        sharedmap.rbtree(x=1).save(link, force=True)
    assert os.readlink(link) == target
    assert content(saved) == ENTRIES
    assert sorted(os.listdir(tmp_path)) == ["fruit.map", "link"]


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as listening:
        # The path of a socket has to be short.
        here = os.getcwd()
        os.chdir(path.parent)
        try:
            listening.bind(path.name)
        finally:
            os.chdir(here)


NO_FILES = {"folder": os.mkdir, "fifo": os.mkfifo, "socket": make_socket}
each_no_file = pytest.mark.parametrize("make", NO_FILES.values(), ids=NO_FILES.keys())


@each_no_file
def test_open_of_what_is_no_regular_file_raises_snapshot_error(path, make):
    make(path)
    with pytest.raises(sharedmap.SnapshotError, match="not a regular file"):
        sharedmap.sharedmap.open(path)


@each_no_file
def test_save_to_what_is_no_regular_file_changes_nothing(path, tmp_path, make):
    make(path)
    before = os.lstat(path)
    with pytest.raises(FileExistsError):
        sharedmap.rbtree(x=1).save(path)
    with pytest.raises(sharedmap.SnapshotError, match="not a regular file"):
        sharedmap.rbtree(x=1).save(path, force=True)
    assert os.lstat(path).st_ino == before.st_ino
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero"])
def test_open_of_a_device_raises_snapshot_error(device):
    with pytest.raises(sharedmap.SnapshotError, match="not a regular file"):
        sharedmap.sharedmap.open(device)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:100],
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: b"not a snapshot\n" * 100,
        lambda data: data[:24] + b"\xff" + data[25:],
    ],
)
def test_open_of_damaged_bytes_raises_snapshot_error_that_names_the_path(saved, damage):
    saved.write_bytes(damage(saved.read_bytes()))
    with pytest.raises(sharedmap.SnapshotError, match=re.escape(saved.name)):
        sharedmap.sharedmap.open(saved)


def test_damage_that_open_does_not_see_is_found_by_verify(saved):
    data = bytearray(saved.read_bytes())
    data[data.index(b"three")] ^= 1
    saved.write_bytes(data)
    with sharedmap.sharedmap.open(saved) as opened:
        assert opened["c"] == b"uhree"
        with pytest.raises(sharedmap.SnapshotError, match="checksum") as caught:
            opened.verify()
    assert saved.name in str(caught.value)


def test_open_of_a_missing_file_raises_file_not_found_error(path):
    with pytest.raises(FileNotFoundError) as caught:
        sharedmap.sharedmap.open(path)
    assert caught.value.errno == errno.ENOENT
    assert caught.value.filename == path
    assert caught.value.strerror == "no such file"


def test_missing_folder_raises_file_not_found_error(tmp_path):
    path = tmp_path / "missing" / "fruit.map"
    for call in (sharedmap.sharedmap.open, sharedmap.rbtree(a=1).save):
        with pytest.raises(FileNotFoundError) as caught:
            call(path)
        assert caught.value.filename == path


def test_file_in_the_place_of_a_folder_raises_not_a_directory_error(saved):
    for call in (sharedmap.sharedmap.open, sharedmap.rbtree(a=1).save):
        with pytest.raises(NotADirectoryError) as caught:
            call(saved / "fruit.map")
        assert caught.value.filename == saved / "fruit.map"


def test_empty_path_raises_file_not_found_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError):
        sharedmap.rbtree(a=1).save("")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("length", [256, 5000])
def test_path_that_is_too_long_raises_os_error(tmp_path, length):
    path = tmp_path / ("n" * length)
    for call in (sharedmap.sharedmap.open, sharedmap.rbtree(a=1).save):
        with pytest.raises(OSError, match="too long") as caught:
            call(path)
        assert caught.value.errno == errno.ENAMETOOLONG
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("call", [sharedmap.sharedmap.open, sharedmap.rbtree(a=1).save])
@pytest.mark.parametrize("wrong", [1, None, 1.5, ["a"]], ids=lambda w: type(w).__name__)
def test_path_that_is_none_raises_type_error(call, wrong):
    with pytest.raises(TypeError):
        call(wrong)


@pytest.mark.parametrize("call", [sharedmap.sharedmap.open, sharedmap.rbtree(a=1).save])
def test_path_with_nul_raises_value_error(call):
    with pytest.raises(ValueError, match="null"):
        call("a\0b")


def test_path_object_that_raises_passes_its_exception():
    class Path:
        def __fspath__(self):
            raise ZeroDivisionError

    for call in (sharedmap.sharedmap.open, sharedmap.rbtree(a=1).save):
        with pytest.raises(ZeroDivisionError):
            call(Path())


# ---- relative paths ----------------------------------------------------------------------------


def test_relative_path_means_the_folder_of_the_moment(tmp_path, monkeypatch):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        sharedmap.rbtree(where=folder).save("here.map")
        assert content("here.map") == {"where": folder}
    assert content("../one/here.map") == {"where": "one"}
    assert sorted(os.listdir(tmp_path / "one")) == ["here.map"]


def test_relative_path_without_a_folder_to_be_relative_to_raises_an_os_error(tmp_path, workers):
    # In a process of its own: a test without a working directory would disturb the others.
    worker = workers()
    folder = tmp_path / "gone"
    folder.mkdir()
    worker.run("os.chdir(folder); os.rmdir(folder)", folder=os.fspath(folder))
    for call in ("sharedmap.sharedmap.open('x')", "sharedmap.rbtree(a=1).save('x')"):
        with pytest.raises(OSError, match=r"No such file|not permitted"):
            worker.eval(call)


def test_absolute_path_needs_no_folder_to_be_relative_to(tmp_path, workers):
    worker = workers()
    path = os.fspath(tmp_path / "map")
    folder = tmp_path / "gone"
    folder.mkdir()
    worker.run("os.chdir(folder); os.rmdir(folder)", folder=os.fspath(folder))
    worker.run("sharedmap.rbtree(a=1).save(path)", path=path)
    assert worker.eval("sharedmap.sharedmap.open(path)['a']") == 1


def test_empty_file_is_not_a_snapshot_because_it_is_empty(tmp_path):
    path = tmp_path / "empty"
    path.touch()
    with pytest.raises(sharedmap.SnapshotError, match=r"not a sharedmap snapshot \(it is empty\)"):
        sharedmap.sharedmap.open(path)
    with pytest.raises(sharedmap.SnapshotError, match=r"not a sharedmap snapshot \(it is empty\)"):
        sharedmap.sharedmap.frombuffer(b"")
