"""Saved maps on a file system that hangs: who goes on, what a signal ends, what stays.

What hangs is one operation of the file system, and its caller sleeps in the kernel. The kernel
lets a signal end most of them, if the file system agrees (EINTR); not the reading of a page of a
mapping. tests/faults/failing_files.py lets each operation of each call hang.
"""

import errno
import os
import pickle
import signal
import time

import file_system
import pytest
from live import has_answered, on_linux

import sharedmap

# Seconds; with the GIL held it would be for ever.
PATIENCE = 5

# What the other process does, and what of it hangs.
CALLS = {
    "save": ("sharedmap.rbtree(a=2).save(path, force=True)", "FSYNC"),
    "save that writes": ("sharedmap.rbtree(a=2).save(path, force=True)", "WRITE"),
    "save that renames": ("sharedmap.rbtree(a=2).save(path, force=True)", "RENAME"),
    "open": ("sharedmap.sharedmap.open(path)", "OPEN"),
    "open that reads": ("sharedmap.sharedmap.open(path)", "READ"),
    "unpickle": ("pickle.loads(pickled)", "LOOKUP"),
    "refresh": ("handle.refresh()", "LOOKUP"),
    "wait": ("handle.wait(timeout=5)", "LOOKUP"),
    "wait and follow": ("follower.wait(timeout=5)", "OPEN"),
    "follow": ("follower['a']", "OPEN"),
}
each_call = pytest.mark.parametrize(("call", "operation"), CALLS.values(), ids=CALLS)

PREPARE = """
import pickle, signal, threading
handle = sharedmap.sharedmap.open(path)
follower = sharedmap.sharedmap.open(path, follow=True)
pickled = pickle.dumps(handle)

def begin(work):
    global thread, results
    results = []
    def run():
        try:
            results.append(work())
        except BaseException as error:
            results.append(error)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()

def end():
    thread.join(20)
    assert not thread.is_alive()
    if isinstance(results[0], BaseException):
        raise results[0]

# So that a signal's handler has run when a call that raises nothing has returned.
def tick():
    for _ in range(100):
        pass
"""


@pytest.fixture
def files(workers, tmp_path):
    file_system.need()
    with file_system.mounted(tmp_path) as files:
        yield files


@pytest.fixture
def path(files):
    path = os.path.join(files.path, "a.map")
    sharedmap.rbtree(a=1).save(path)
    return path


@pytest.fixture
def user(workers, path):
    """The process that uses the file system."""
    user = workers()
    user.run(PREPARE, path=path)
    yield user
    # Python takes a KeyboardInterrupt that was raised last for the reason of its end.
    if user.is_alive():
        user.run("pass")


def publish_newer(path, call):
    """What is waited for, or followed."""
    if "wait" in call or "follow" in call or "refresh" in call:
        sharedmap.rbtree(a=2).save(path, force=True)


def answer_soon(user, files):
    """Its answer; one that hangs would hang for ever, as would whoever waits for its end."""
    is_soon = has_answered(user, PATIENCE)
    if not is_soon:
        files.release()
    answer = user.answer()
    assert is_soon
    return answer


def begin(user, files, source):
    """Begins a call in another thread, up to where it hangs."""
    user.send("run", source, {})
    files.wait_until_held()
    answer_soon(user, files)


def content(path):
    with sharedmap.sharedmap.open(path) as opened:
        return dict(opened)


# ---- other threads -------------------------------------------------------------------------------


@each_call
def test_other_threads_run_while_a_call_hangs(files, path, user, call, operation):
    publish_newer(path, call)
    files.hang(operation)
    begin(user, files, f"begin(lambda: {call})")
    user.send("eval", "sum(range(10))", {})
    assert answer_soon(user, files) == 45
    files.release()
    user.run("end()")


def test_other_threads_run_while_the_first_page_of_a_map_hangs(files, path, user):
    # It was read, but is dropped from memory before the mapping is used.
    files.drop_pages("FLUSH")
    files.hang("READ", after=1)
    begin(user, files, "begin(lambda: sharedmap.sharedmap.open(path))")
    user.send("eval", "sum(range(10))", {})
    assert answer_soon(user, files) == 45
    files.release()
    user.run("end()")


def test_other_threads_run_while_a_page_of_a_known_map_hangs(files, path, user):
    # refresh() finds nothing new, and then checks whether what it has is superseded.
    files.drop_pages("FLUSH")
    files.hang("READ", after=0)
    begin(user, files, "begin(handle.refresh)")
    user.send("eval", "sum(range(10))", {})
    assert answer_soon(user, files) == 45
    files.release()
    user.run("end()")


def test_other_threads_run_while_verify_reads_pages_that_hang(files, path, user):
    files.drop_pages("FLUSH")
    user.run("os.close(os.open(path, os.O_RDONLY))")
    files.release()
    files.hang("READ")
    begin(user, files, "begin(handle.verify)")
    user.send("eval", "sum(range(10))", {})
    assert answer_soon(user, files) == 45
    files.release()
    user.run("end()")


@on_linux
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT])
def test_other_threads_run_while_a_full_file_system_is_asked_what_is_left(files, path, user, error):
    files.fail("FALLOCATE", error)
    files.hang("STATFS", after=1)
    begin(user, files, "begin(lambda: sharedmap.rbtree(a=2).save(path, force=True))")
    user.send("eval", "sum(range(10))", {})
    assert answer_soon(user, files) == 45
    files.release()
    with pytest.raises(OSError, match="bytes") as caught:
        user.run("end()")
    assert (caught.value.errno, caught.value.filename) == (error, path)


@on_linux
def test_other_threads_run_while_the_reason_of_a_refusal_is_looked_up(files, path, user):
    files.fail("LINK", errno.EPERM)
    files.hang("LOOKUP", path="a.map", after=3)
    begin(user, files, "begin(lambda: sharedmap.rbtree(a=2).save(path, force=True))")
    user.send("eval", "sum(range(10))", {})
    assert answer_soon(user, files) == 45
    files.release()
    with pytest.raises(PermissionError, match="immutable"):
        user.run("end()")


def test_tree_can_be_read_and_changed_while_the_disk_of_its_save_hangs(files, path, user):
    user.run("tree = sharedmap.rbtree(a=2)")
    files.hang("FSYNC")
    begin(user, files, "begin(lambda: tree.save(path, force=True))")
    user.send("eval", "tree['a'], tree.setdefault('b', 3), list(tree)", {})
    assert answer_soon(user, files) == (2, 3, ["a", "b"])
    files.release()
    user.run("end()")
    assert content(path) == {"a": 2}


# Where drafts have names, no draft can be made in a directory that hangs.
@on_linux
def test_other_publisher_gives_up_after_its_timeout_while_one_hangs_with_the_lock(
    files, path, user
):
    files.hang("RENAME")
    begin(user, files, "begin(lambda: sharedmap.rbtree(a=2).save(path, force=True))")
    with pytest.raises(TimeoutError) as caught:
        sharedmap.rbtree(a=3).save(path, force=True, timeout=0.1)
    assert caught.value.filename == path
    files.release()
    user.run("end()")
    assert content(path) == {"a": 2}


# ---- signals -------------------------------------------------------------------------------------


@each_call
def test_ctrl_c_ends_a_call_that_hangs(files, path, user, call, operation):
    publish_newer(path, call)
    before = content(path)
    files.hang(operation, is_interruptible=True)
    user.send("eval", f"({call}, tick())", {})
    files.wait_until_held()
    os.kill(user.pid, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        answer_soon(user, files)
    assert content(path) == before
    assert os.listdir(files.path) == ["a.map"]
    # And nothing stays in the way.
    user.run("sharedmap.rbtree(a=5).save(path, force=True)")
    user.run("assert handle.refresh() and handle['a'] == 5")


@each_call
def test_call_goes_on_after_a_signal_whose_handler_raises_nothing(
    files, path, user, call, operation
):
    publish_newer(path, call)
    user.run("seen = []; signal.signal(signal.SIGINT, lambda *_: seen.append(1))")
    files.hang(operation, is_interruptible=True)
    user.send("eval", f"({call}, tick(), seen)[2]", {})
    files.wait_until_held()
    os.kill(user.pid, signal.SIGINT)
    assert answer_soon(user, files) == [1]
    if "save" in call:
        assert content(path) == {"a": 2}
    assert os.listdir(files.path) == ["a.map"]


def test_ctrl_c_while_the_directory_is_synced_ends_a_save_that_is_published(files, path, user):
    files.hang("FSYNCDIR", is_interruptible=True)
    user.send("eval", "sharedmap.rbtree(a=2).save(path, force=True)", {})
    files.wait_until_held()
    os.kill(user.pid, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        answer_soon(user, files)
    assert content(path) == {"a": 2}


def test_save_goes_on_when_a_signal_interrupts_the_sync_of_the_directory(files, path, user):
    user.run("seen = []; signal.signal(signal.SIGINT, lambda *_: seen.append(1))")
    files.hang("FSYNCDIR", is_interruptible=True)
    user.send("eval", "(sharedmap.rbtree(a=2).save(path), seen)[1]", {"path": f"{path}.new"})
    files.wait_until_held()
    os.kill(user.pid, signal.SIGINT)
    assert answer_soon(user, files) == [1]
    assert content(f"{path}.new") == {"a": 2}


# ---- interrupted for ever ------------------------------------------------------------------------


@pytest.mark.parametrize("handle", ["handle", "follower"])
def test_wait_keeps_its_timeout_where_every_call_is_interrupted(files, path, user, handle):
    publish_newer(path, "wait")
    files.fail(None, errno.EINTR)
    before = time.monotonic()
    user.send("eval", f"{handle}.wait(timeout=0.2)", {})
    assert answer_soon(user, files) is False
    assert time.monotonic() - before >= 0.2
    assert user.eval(f"{handle}.follow_error") is None
    files.release()
    assert user.eval(f"{handle}.wait(timeout=10)") is True


def test_lookup_goes_on_with_what_it_has_where_every_call_is_interrupted(files, path, user):
    publish_newer(path, "follow")
    files.fail(None, errno.EINTR)
    user.send("eval", "[follower['a'] for _ in range(3)]", {})
    assert answer_soon(user, files) == [1, 1, 1]
    assert user.eval("follower.follow_error") is None
    files.release()
    assert user.eval("follower['a']") == 2


@pytest.mark.parametrize("call", [CALLS["save"][0], CALLS["refresh"][0]])
def test_ctrl_c_ends_a_call_that_is_interrupted_for_ever(files, path, user, call):
    rule = files.fail(None, errno.EINTR)
    user.send("eval", call, {})
    file_system.wait_until(lambda: files.met()[rule] > 3, "made again after EINTR")
    os.kill(user.pid, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        answer_soon(user, files)


# ---- the end of it -------------------------------------------------------------------------------


@each_call
def test_call_ends_with_its_server(files, path, user, call, operation):
    publish_newer(path, call)
    files.hang(operation)
    begin(user, files, f"begin(lambda: {call})")
    files.kill()
    if call.startswith(("follower", "handle.wait")):
        user.run("handle.close(); follower.close()" if "wait" in call else "")
        user.run("thread.join(20); assert not thread.is_alive()")
        return
    with pytest.raises(OSError, match="the server of the file system") as caught:
        user.run("end()")
    assert caught.value.errno in (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO)
    assert caught.value.filename == path


def test_page_that_cannot_be_read_ends_the_process(files, path, user):
    """The limit, as docs/SECURITY.md has it: a page is no call, and has no error but a signal."""
    files.drop_pages("FLUSH")
    user.run("os.close(os.open(path, os.O_RDONLY))")
    files.release()
    files.fail("READ", errno.EIO)
    with pytest.raises(AssertionError, match=f"status -{int(signal.SIGBUS)}"):
        user.eval("handle['a']")


def test_pickled_handle_opens_where_the_file_system_is_well_again(files, path):
    with sharedmap.sharedmap.open(path) as opened:
        pickled = pickle.dumps(opened)
    files.fail("OPEN", errno.EIO, times=1)
    with pytest.raises(OSError, match=r"Input/output error: .*disk"):
        pickle.loads(pickled)
    with pickle.loads(pickled) as opened:
        assert dict(opened) == {"a": 1}
