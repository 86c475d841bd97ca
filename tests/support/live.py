"""What tests of maps share: making and reading them, places to publish in, waiting for others.

And doing by hand what goes wrong with live updates.
"""

import os
import pathlib
import platform
import threading
import time

import pytest
from helpers import HANG, segment_path, superseded

import sharedmap

# Of the system calls that a process can be asleep in, by their numbers.
FUTEX = {"x86_64": "202", "aarch64": "98"}.get(platform.machine())
NANOSLEEP = {"x86_64": ("35", "230"), "aarch64": ("101", "115")}.get(platform.machine())
PPOLL = {"x86_64": "271", "aarch64": "73"}.get(platform.machine())


# The package may be built without the system calls that only Linux has. Tests of these, and of what
# they alone make possible, have this mark.
IS_LINUX = sharedmap._sharedmap._platform() == "linux"
on_linux = pytest.mark.skipif(not IS_LINUX, reason="only Linux has these calls")
elsewhere = pytest.mark.skipif(IS_LINUX, reason="the build for Linux has /dev/shm")

# What wait() sleeps in: without futexes in kqueue, which is ppoll() in its stand-in, or it polls.
WAITING = (FUTEX,) if IS_LINUX else (*NANOSLEEP, PPOLL)

# What is open, and what is published then.
OLD = {"a": "old", "b": "old", "ca": "old", "cb": "old", "d": "old"}
NEW = {"a": "new", "b": "new", "ca": "new", "cb": "new", "cc": "new", "d": "new", "e": "new"}


def tree_of(entries):
    return sharedmap.rbtree(entries)


def map_of(entries):
    return sharedmap.sharedmap.frombuffer(sharedmap.rbtree(entries).dump())


class Shm:
    """A name in shared memory."""

    def __init__(self, name):
        self.name = name
        self.path = os.fsdecode(segment_path(name))

    def publish(self, entries):
        sharedmap.share(entries, self.name, force=True)

    def open(self, **options):
        return sharedmap.sharedmap(self.name, **options)

    def remove(self):
        assert sharedmap.remove(self.name) is True

    # What another process runs to do the same.
    open_source = "sharedmap.sharedmap(name, follow=follow)"
    publish_source = "sharedmap.share(entries, name, force=True)"


class Saved:
    """A path that maps are saved to."""

    def __init__(self, path):
        self.name = self.path = os.fspath(path)

    def publish(self, entries):
        sharedmap.rbtree(entries).save(self.path, force=True)

    def open(self, **options):
        return sharedmap.sharedmap.open(self.path, **options)

    def remove(self):
        os.unlink(self.path)

    open_source = "sharedmap.sharedmap.open(name, follow=follow)"
    publish_source = "sharedmap.rbtree(entries).save(name, force=True)"


def content(name):
    """What a new reader of the name finds."""
    with sharedmap.sharedmap(name) as opened:
        return dict(opened)


def until(is_true, what):
    """Yields again and again, for what has to go on until then; a hang is a failure."""
    deadline = time.monotonic() + HANG
    while not is_true():
        assert time.monotonic() < deadline, f"{what}: not so after {HANG} seconds"
        yield


def wait_until(is_true, what):
    """Waits for what another process or thread does."""
    for _ in until(is_true, what):
        time.sleep(0.001)


def system_call(process, thread=None):
    """The number of the system call that a thread is asleep in, as text; "" if in none."""
    where = pathlib.Path(f"/proc/{process}/task/{thread or process}/syscall")
    try:
        return where.read_text().split()[0]
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return ""


def wait_until_asleep(process, thread=None):
    """Waits until the thread sleeps on a word, as wait() does."""
    wait_until(lambda: system_call(process, thread) in WAITING, "asleep on a word")


def voluntary_switches(process):
    """How often it went to sleep so far."""
    status = pathlib.Path(f"/proc/{process}/status").read_text()
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def wait_until_it_has_looked(process):
    """Waits until wait() in a process of one thread has looked from now on, and sleeps again."""
    asleep = (*WAITING, *NANOSLEEP)
    before = None

    def is_asleep():
        nonlocal before
        before = voluntary_switches(process)
        # The same number twice: it slept when it was read, so any look it takes is a later one.
        return system_call(process) in asleep and voluntary_switches(process) == before

    def is_asleep_again():
        return voluntary_switches(process) > before and system_call(process) in asleep

    wait_until(is_asleep, "asleep")
    wait_until(is_asleep_again, "asleep again")


def wait_until_waiting_for_a_lock(process, thread=None):
    wait_until(lambda: system_call(process, thread) in NANOSLEEP, "asleep between two attempts")


def has_answered(worker, seconds):
    """Whether another process answers within that time: for those that must not."""
    return worker._answers.poll(seconds)


def until_it_answers(worker):
    """Yields again and again, for what has to go on until another process has seen enough."""
    return until(lambda: has_answered(worker, 0), "it answers")


def mark_superseded(path):
    """What a publisher does just before the rename; nobody is woken."""
    with open(path, "r+b", buffering=0) as file:
        header = file.read(512)
        assert superseded(header) == 0
        os.pwrite(file.fileno(), bytes([header[192] | 1]), 192)


def put_in_place(path, data, mode=0o600):
    """Other bytes under the same path at one stroke, as a publisher's rename does it."""
    beside = f"{path}.beside"
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(data)
    os.rename(beside, path)


def published_by_hand(place, data, mode=0o600):
    """Publishes bytes of which the library would have made something better."""
    mark_superseded(place.path)
    put_in_place(place.path, data, mode)


def damaged(data):
    """A snapshot whose header says that its checksum is wrong."""
    data = bytearray(data)
    data[32] ^= 1
    return bytes(data)


def mappings_of(path):
    """How many mappings of files that had this path, or have it, this process has."""
    with open("/proc/self/maps") as maps:
        return sum(os.fspath(path) in line for line in maps)


def descriptors():
    """What this process has open, number -> what it leads to."""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            found[int(number)] = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            pass  # the one that listed the others
    return found


def run_together(*works):
    """Starts all at once; raises what any of them raised."""
    errors = []
    start = threading.Barrier(len(works))

    def run(work):
        start.wait()
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
