"""Publishers that wait: how long, in which order, and what ends it early."""

import operator
import os
import re
import signal
import threading
import time
from functools import partial

import pytest
from live import wait_until, wait_until_waiting_for_a_lock

import sharedmap

# Each publishes over what has the name, and takes a timeout.
PUBLISHING = {
    "share": "sharedmap.share({'a': 2}, name, force=True, **options)",
    "expect": "sharedmap.share({'a': 2}, name, expect=1, **options)",
    "tree": "sharedmap.rbtree(a=2).share(name, force=True, **options)",
    "update": "sharedmap.update(name, {'a': 2}, **options)",
    "remove": "sharedmap.remove(name, **options)",
    "rbtree.remove": "sharedmap.rbtree.remove(name, **options)",
}
each_way = pytest.mark.parametrize("source", PUBLISHING.values(), ids=PUBLISHING)


@pytest.fixture
def shared_name(name):
    sharedmap.share({"a": 1}, name)
    return name


def publish(source, name, **options):
    return eval(source, {"sharedmap": sharedmap, "name": name, "options": options})


# ---- timeout -------------------------------------------------------------------------------------


@each_way
def test_timeout_ends_the_wait_for_the_lock(shared_name, holder, source):
    before = time.monotonic()
    with pytest.raises(TimeoutError) as caught:
        publish(source, shared_name, timeout=0.05)
    assert time.monotonic() - before >= 0.05
    assert caught.value.filename == shared_name
    with sharedmap.sharedmap(shared_name) as shared:
        assert dict(shared) == {"a": 1}


@each_way
def test_timeout_of_zero_tries_once(shared_name, holder, source):
    with pytest.raises(TimeoutError):
        publish(source, shared_name, timeout=0)
    holder.run("file.close()")
    assert publish(source, shared_name, timeout=0)


@each_way
def test_timeout_of_none_waits_for_as_long_as_it_takes(shared_name, holder, other, source):
    other.send("eval", source, {"name": shared_name, "options": {"timeout": None}})
    wait_until_waiting_for_a_lock(other.pid)
    holder.run("file.close()")
    assert other.answer()


def test_timeout_of_save_is_for_the_lock_of_the_file(tmp_path, locked):
    path = os.fspath(tmp_path / "saved")
    tree = sharedmap.rbtree(a=1)
    tree.save(path)
    worker = locked(path)
    with pytest.raises(TimeoutError):
        tree.save(path, force=True, timeout=0.01)
    worker.run("file.close()")
    assert tree.save(path, force=True, timeout=0)


@each_way
@pytest.mark.parametrize("timeout", [-1, -0.001, float("nan")])
def test_timeout_that_is_no_time_is_a_value_error(shared_name, source, timeout):
    with pytest.raises(ValueError, match=r"timeout must be .*, not"):
        publish(source, shared_name, timeout=timeout)


@each_way
@pytest.mark.parametrize("timeout", ["1", b"1", [1]])
def test_timeout_that_is_no_number_is_a_type_error(shared_name, source, timeout):
    with pytest.raises(TypeError):
        publish(source, shared_name, timeout=timeout)


# ---- signals -------------------------------------------------------------------------------------


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
each_signal = pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)


class Stopped(Exception):
    pass


@pytest.fixture
def on_signal():
    """Sets what the handlers of these signals do."""
    signals = [*SIGNALS]
    before = [signal.getsignal(number) for number in signals]
    yield lambda run: [signal.signal(number, lambda *_: run()) for number in signals]
    for number, handler in zip(signals, before, strict=True):
        signal.signal(number, handler)


def stop():
    raise Stopped


def interrupt_the_wait(number):
    """A thread that sends this process a signal when it waits for a lock."""
    pid = os.getpid()

    def interrupt():
        wait_until_waiting_for_a_lock(pid)
        os.kill(pid, number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    return thread


@each_way
@each_signal
def test_signal_ends_the_wait_for_the_lock(shared_name, holder, on_signal, source, number):
    on_signal(stop)
    thread = interrupt_the_wait(number)
    try:
        # A handler that does not run is a failure, and not a test that hangs.
        with pytest.raises(Stopped):
            publish(source, shared_name, timeout=30)
    finally:
        thread.join()
    holder.run("file.close()")
    with sharedmap.sharedmap(shared_name) as shared:
        assert dict(shared) == {"a": 1}


@each_signal
def test_signal_ends_the_wait_of_save(tmp_path, locked, on_signal, number):
    path = os.fspath(tmp_path / "saved")
    tree = sharedmap.rbtree(a=1)
    tree.save(path)
    locked(path)
    on_signal(stop)
    thread = interrupt_the_wait(number)
    try:
        with pytest.raises(Stopped):
            tree.save(path, force=True, timeout=30)
    finally:
        thread.join()
    assert os.listdir(tmp_path) == ["saved"]


@each_way
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_child_that_a_handler_forks_does_not_go_on(shared_name, holder, on_signal, source):
    """It has neither the file nor the lock, and ends the call with an exception."""
    children = []
    error = None
    on_signal(lambda: children.append(os.fork()))
    thread = interrupt_the_wait(signal.SIGUSR1)
    try:
        publish(source, shared_name, timeout=1)
    except BaseException as raised:
        error = raised
    if children == [0]:
        os._exit(0 if type(error) is RuntimeError and "forked" in str(error) else 1)
    thread.join()
    assert type(error) is TimeoutError
    assert os.waitpid(children[0], 0)[1] == 0
    with sharedmap.sharedmap(shared_name) as shared:
        assert dict(shared) == {"a": 1}


def test_child_that_a_handler_forks_does_not_go_on_with_an_update(name, workers):
    """Nor does it read what only its parent has mapped."""
    worker = workers()
    worker.run(FORKING)
    worker.run("sharedmap.share({f'key {i}': bytes(200) for i in range(300_000)}, name)", name=name)
    assert worker.eval("update_and_fork(name)", name=name) == (2, [0])


FORKING = """
import signal, time

def update_and_fork(name):
    children = []

    def handler(*_):
        if len(children) < 1:
            children.append(os.fork())

    # So many that all of the map is merged into a new base.
    changes = {f"new {i}": 1 for i in range(50_000)}
    signal.signal(signal.SIGPROF, handler)
    # Of CPU time, so that the signal comes while the map is merged.
    signal.setitimer(signal.ITIMER_PROF, 0.01)
    error = None
    try:
        generation = sharedmap.update(name, changes)
    except BaseException as raised:
        error = raised
    if children == [0]:
        os._exit(0 if "forked" in str(error) else 1)
    if error is not None:
        raise error
    return generation, [os.waitpid(child, 0)[1] for child in children]
"""


@each_way
def test_signal_whose_handler_returns_does_not_end_the_wait(shared_name, holder, on_signal, source):
    """The tree's handler wants the tree that is published."""
    seen = []
    pid = os.getpid()

    def handler():
        seen.append(len(tree))
        tree["more"] = 1
        holder.run("file.close()")

    def interrupt():
        wait_until_waiting_for_a_lock(pid)
        os.kill(pid, signal.SIGINT)

    tree = sharedmap.rbtree(a=2)
    on_signal(handler)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        if "rbtree(a=2)" in source:
            assert tree.share(shared_name, force=True, timeout=None)
        else:
            assert publish(source, shared_name, timeout=None)
    finally:
        thread.join()
    assert seen == [1]


def has_draft(folder):
    """Whether this process is filling a file in the folder that has no name, or a temporary one."""
    for number in os.listdir("/proc/self/fd"):
        try:
            path = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            continue
        if path.startswith(folder) and re.search(r" \(deleted\)\Z|~[0-9a-f]{16}\Z", path):
            return True
    return False


def interrupt_the_writing(folder, number):
    """A thread that sends this process a signal when it fills a file in the folder."""

    def interrupt():
        wait_until(lambda: has_draft(folder), "a draft")
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    return thread


MEGABYTE = bytes(2**20)


def is_stopped(work, folder, number):
    """Whether the signal comes in time; on a busy machine it may come when all is published."""
    done = []
    thread = interrupt_the_writing(folder, number)
    try:
        # In C, so that no handler runs between the end of the work and the note of it.
        done.extend(map(operator.call, [work]))
        thread.join()
    except Stopped:
        thread.join()
    return not done


@pytest.mark.parametrize("way", ["share", "tree", "update", "save"])
@each_signal
def test_signal_during_a_long_publication_publishes_nothing(name, tmp_path, on_signal, way, number):
    entries = {f"key {i:03}": MEGABYTE for i in range(200)}
    path = os.fspath(tmp_path / "saved")
    folder = os.fspath(tmp_path) if way == "save" else "/dev/shm"
    tree = sharedmap.rbtree(entries)
    ways = {
        "share": partial(sharedmap.share, entries, name, force=True),
        "tree": partial(tree.share, name, force=True),
        "update": partial(sharedmap.update, name, entries),
        "save": partial(tree.save, path, force=True),
    }

    def publish_the_old():
        sharedmap.share({"a": 1}, name, force=True)
        sharedmap.rbtree(a=1).save(path, force=True)

    on_signal(stop)
    publish_the_old()
    for _ in range(20):
        if is_stopped(ways[way], folder, number):
            break
        publish_the_old()
    else:
        pytest.fail("no signal of twenty came in time")
    assert not has_draft(folder)
    with sharedmap.sharedmap(name) as shared, sharedmap.sharedmap.open(path) as saved:
        assert (dict(shared), dict(saved)) == ({"a": 1}, {"a": 1})


CHANGES = {
    "insert": lambda tree: tree.update(new=1),
    "replace": lambda tree: tree.update({"key 199": b"longer" * 10**6}),
    "clear": lambda tree: tree.clear(),
    "init": lambda tree: tree.__init__({"new": 1}),
    "publish": None,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@each_signal
def test_handler_may_change_the_tree_that_is_published(names, on_signal, change, number):
    name, of_handler = names(), names()
    entries = {f"key {i:03}": MEGABYTE for i in range(200)}
    tree, changed = sharedmap.rbtree(entries), sharedmap.rbtree(entries)
    publishes = change is None

    def handler():
        if publishes:
            tree.share(of_handler, force=True)
        else:
            change(tree)

    on_signal(handler)
    thread = interrupt_the_writing("/dev/shm", number)
    try:
        assert tree.share(name)
    finally:
        thread.join()
    if not publishes:
        change(changed)
    with sharedmap.sharedmap(name) as shared:
        shared.verify()
        # The signal may have come when the tree was written.
        assert shared in (changed, entries)
    if publishes:
        with sharedmap.sharedmap(of_handler) as shared:
            assert shared == entries


# ---- order ---------------------------------------------------------------------------------------


def test_twenty_updaters_of_one_map_all_have_their_turn(name, workers):
    """Each waits for those that came before it, and for no others."""
    sharedmap.share({f"key {i:05}": i for i in range(20_000)}, name)
    updaters = [workers() for _ in range(20)]
    source = "[sharedmap.update(name, {f'mine {number}': turn}) for turn in range(5)]"
    for number, worker in enumerate(updaters):
        worker.send("eval", source, {"name": name, "number": number})
    turns = sorted(turn for worker in updaters for turn in worker.answer())
    assert turns == [*range(2, 102)]
    with sharedmap.sharedmap(name) as shared:
        assert [shared[f"mine {number}"] for number in range(20)] == [4] * 20
