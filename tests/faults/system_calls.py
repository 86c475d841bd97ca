"""Each system call of each operation fails, once and for ever, with each error that it can have.

    python3 tests/faults/system_calls.py [--stride N] [--only TEXT] [--stop-early]

For each operation, in a process that has been through it before:

    worker     prepare, wait ---------------- operation ---------------- be looked at
    strace             attach, make a call fail            detach

What may come of it:

    as told    an exception for every failed call that mattered, the one that belongs to the error
               and with the name; none for a call that only tidies up, or that a signal interrupted
    whole      the name leads to the old map or to the new one, as the exception says
    no harm    who has the old map open reads it as before, no descriptor and no mapping is left, no
               file either, and the next publication works and is noticed

close() and munmap() fail, too, but since strace does not let them happen at all, what they leave is
not counted. Exits with a failure if anything was different. --stride takes every N-th case,
--stop-early none after the first failure.
"""

import collections
import errno
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid

SUPPORT = os.fspath(pathlib.Path(__file__).resolve().parents[1] / "support")
sys.path.insert(0, SUPPORT)
import deltas  # noqa: E402
import sweep  # noqa: E402
from helpers import Worker  # noqa: E402
from live import IS_LINUX  # noqa: E402

STAT = ("newfstatat", "fstat", "lstat", "stat")
# What each call can fail with; a name with its variants on other machines and C libraries.
ERRORS = {
    "open openat": "EACCES EINTR EIO EMFILE ENFILE ENOMEM EPERM",
    "fallocate": "EDQUOT EFBIG EINTR EIO ENOSPC EOPNOTSUPP EPERM",
    "fchmod": "EINTR EIO EPERM EROFS",
    "clock_nanosleep nanosleep": "EINTR",
    "mkdir mkdirat": "EACCES EIO ENOSPC EROFS",
    "pwrite64": "EDQUOT EFBIG EINTR EIO ENOSPC",
    "pread64": "EINTR EIO",
    " ".join(STAT): "EACCES EINTR EIO ENOMEM",
    "access faccessat faccessat2": "EACCES ENOENT",
    "fstatfs statfs": "EINTR EIO ENOSYS",
    "fcntl": "EACCES EAGAIN EINTR ENOLCK",
    "mmap": "EAGAIN EACCES ENFILE ENODEV ENOMEM",
    "madvise": "EAGAIN EINVAL ENOMEM",
    "linkat link": "EACCES EDQUOT EINTR EIO EMLINK ENOMEM ENOSPC EPERM EROFS",
    "rename": "EACCES EBUSY EDQUOT EINTR EIO ENOMEM ENOSPC EPERM EROFS",
    "unlink": "EACCES EBUSY EINTR EIO ENOMEM EPERM EROFS",
    "fsync": "EDQUOT EINTR EIO ENOSPC EROFS",
    "getrandom": "EINTR ENOSYS",
    "futex": "EAGAIN EINTR ENOSYS",
    "getdents64": "EIO ENOMEM",
    "inotify_init1": "EMFILE ENFILE ENOMEM",
    "inotify_add_watch": "EACCES ENOMEM ENOSPC",
    "brk": "ENOMEM",
    "munmap": "ENOMEM",
    "close": "EINTR EIO",
}
ERRORS = {name: errors.split() for names, errors in ERRORS.items() for name in names.split()}
# These cannot fail, or are those of the pipe to us.
IGNORED = {"read", "write", "poll", "geteuid", "restart_syscall", "clock_gettime"}

OLD = {"a": "old", "b": b"old"}
NEW = {"a": "new", "b": b"new", "c": 3}
LARGE = NEW | {"large": "x" * 2**22}
# Enough to have room for deltas.
MANY = OLD | {f"key {number:04}": number for number in range(5000)}
# Between a tenth and an eighth of them.
SOME = {f"key {number:04}": "new" for number in range(550)}

PREPARE = """
import gc
patience = 5
from helpers import segment_path, shm_files
from sharedmap import _sharedmap as core
from live import Saved, Shm, descriptors, mappings_of

def outcome(work):
    try:
        return ("returned", work())
    except BaseException as error:
        told = (type(error).__name__, getattr(error, "errno", None))
        return (*told, getattr(error, "filename", None))

def holdings():
    gc.collect()
    listed = sorted(descriptors().items())
    return [row for row in listed if "/proc/" not in row[1]], mappings_of(place.path)

def close_what_was_not():
    nameless = os.path.join(os.path.dirname(place.path), "#")
    for number, leads_to in descriptors().items():
        if leads_to.startswith((place.path, nameless)):
            os.close(number)

def files():
    folder, file = os.path.split(place.path)
    return sorted(os.path.join(folder, found) for found in os.listdir(folder) if file in found)

def published():
    try:
        with place.open() as opened:
            opened.verify()
            return dict(opened)
    except FileNotFoundError:
        return None
"""


class Operation:
    """What is done, on what, and what is published then."""

    def __init__(
        self, work, before=OLD, after=NEW, kind="Shm", prepare="", raises=True, does=(), puts=None
    ):
        self.work = work
        self.before = before
        self.after = after
        self.kind = kind
        self.prepare = prepare
        self.raises = raises  # False: goes on with what it has, and says nothing
        self.does = list(does)  # to the file that has the name, as deltas.py says it
        self.puts = puts  # of an update
        # What prepare publishes is what is there before.
        self.is_prepared = prepare.startswith("place.publish")


OPERATIONS = {
    "first share": Operation("sharedmap.share(NEW, place.name)", before=None),
    "share": Operation("sharedmap.share(NEW, place.name, force=True)"),
    "share of a tree": Operation("sharedmap.rbtree(NEW).share(place.name, expect=generation)"),
    "share with huge pages": Operation(
        "sharedmap.share(LARGE, place.name, force=True, huge_pages=True)", after=LARGE
    ),
    "update": Operation(
        "sharedmap.update(place.name, NEW, timeout=patience)", does=["copies"], puts=NEW
    ),
    "update of a large map": Operation(
        "sharedmap.update(place.name, {'a': 1}, timeout=patience)",
        before=LARGE,
        after=LARGE | {"a": 1},
        does=["copies"],
        puts={"a": 1},
    ),
    "append": Operation(
        "sharedmap.update(place.name, {'a': 1}, timeout=patience)",
        before=MANY,
        after=MANY | {"a": 1},
        does=["appends"],
        puts={"a": 1},
    ),
    "fold": Operation(
        "sharedmap.update(place.name, {'a': 1}, timeout=patience)",
        before=MANY,
        after=MANY | {"a": 1},
        # Nothing that is read changes; but there is a delta.
        prepare="[sharedmap.update(place.name, {'a': value}) for value in (0, 'old')]",
        does=["appends", "folds"],
        puts={"a": 1},
    ),
    "append and compaction": Operation(
        "sharedmap.update(place.name, SOME, timeout=patience)",
        before=MANY,
        after=MANY | SOME,
        does=["appends", "compactions"],
        puts=SOME,
    ),
    "remove": Operation("sharedmap.remove(place.name)", after=None),
    "first save": Operation("sharedmap.rbtree(NEW).save(place.path)", before=None, kind="Saved"),
    "save": Operation("sharedmap.rbtree(NEW).save(place.path, force=True)", kind="Saved"),
    "open": Operation("place.open().close()", after=OLD),
    "open of a large map": Operation("place.open().close()", before=LARGE, after=LARGE),
    "open of a file": Operation("place.open().close()", after=OLD, kind="Saved"),
    "refresh": Operation("handle.refresh()", prepare="place.publish(NEW)"),
    "follow": Operation("handle['a']", prepare="place.publish(NEW)", raises=False),
    "follow a file": Operation(
        "handle['a']", prepare="place.publish(NEW)", raises=False, kind="Saved"
    ),
    "wait": Operation("handle.wait(0.01)", prepare="place.publish(NEW)", raises=False),
    "wait in vain": Operation("handle.wait(0.01)", after=OLD, raises=False),
    "names": Operation("place.name in sharedmap.names() or 1 / 0", after=OLD),
    "watch": Operation("core._watch_close(core._watch_open())", after=OLD),
}

if not IS_LINUX:  # there is no descriptor to watch with
    del OPERATIONS["watch"]

Call = collections.namedtuple("Call", "name number text index")


class Failure(Exception):
    pass


def expect(is_so, *told):
    if not is_so:
        raise Failure(" ".join(map(str, told)))


def detach(strace):
    strace.send_signal(signal.SIGINT)
    strace.communicate()


class Scene:
    """A worker and a place for its operation."""

    def __init__(self, operation, folder):
        self.operation = operation
        self.folder = folder
        self.name = f"calls-{uuid.uuid4().hex[:12]}"
        self.path = os.path.join(folder, self.name)
        self.worker = Worker()
        self.mapped = 0  # without a handle
        where = "place = Shm(name)" if operation.kind == "Shm" else "place = Saved(path)"
        self.worker.run("import sys; sys.path.insert(0, support)\n" + PREPARE, support=SUPPORT)
        self.worker.run(where, name=self.name, path=self.path)
        self.worker.run("pass", OLD=OLD, NEW=NEW, LARGE=LARGE, SOME=SOME, before=operation.before)

    def close(self):
        self.worker.run("handle = None; os.path.lexists(place.path) and os.unlink(place.path)")
        return self.worker.close()

    def attach(self, *options):
        """A strace of the worker, and the file that it writes to."""
        output = pathlib.Path(self.folder, "strace")
        command = ["strace", "-o", output, "-p", str(self.worker.pid), *options]
        strace = subprocess.Popen(command, stderr=subprocess.PIPE)
        attached = strace.stderr.readline()
        if b"attached" not in attached:
            detach(strace)
            sys.exit(f"NOT TESTED: strace cannot attach: {attached.decode(errors='replace')}")
        return strace, output

    def traced(self, *options):
        """Runs the operation under strace; its outcome, and what strace wrote."""
        strace, output = self.attach(*options)
        try:
            outcome = self.worker.eval(f"outcome(lambda: {self.operation.work})")
        finally:
            detach(strace)
        return outcome, output.read_text(errors="replace")

    def prepare(self):
        self.worker.run(
            """
handle = None
if os.path.lexists(place.path):
    os.unlink(place.path)
generation = 0
if before is not None:
    place.publish(before)
    handle = place.open(follow=follow)
    generation = handle.generation
"""
            + self.operation.prepare,
            follow=not self.operation.raises,
        )

    def calls(self):
        """What the operation calls when nothing fails."""
        for _ in range(2):
            self.prepare()
            files = deltas.Files(self.worker.eval("place.path"))
            before = files.count()
            outcome, text = self.traced()
            expect(outcome[0] == "returned", "fails without a fault:", outcome)
            files.look()
            done = deltas.total([files]) - before
            expect(self.operation.does in ([], sorted(done)), "does", deltas.told(done))
        counts = collections.Counter()
        calls = []
        for line in text.splitlines():
            found = re.match(r"(\w+)\((.*)", line)
            if found is None or found[1] in IGNORED:
                continue
            counts[found[1]] += 1
            calls.append(Call(found[1], counts[found[1]], found[2], len(calls)))
        return calls

    def attempt(self, call, error, is_forever, calls):
        self.prepare()
        holdings = self.worker.eval("holdings()")
        when = f"{call.number}+" if is_forever else str(call.number)
        inject = f"inject={call.name}:error={error}:when={when}"
        # Without a call of that name in what is traced, strace would not inject anything.
        outcome, text = self.traced("-e", f"trace={call.name}", "-e", inject)
        expect("(INJECTED)" in text, "the call that was to fail was not made")
        self.check_outcome(outcome, call, error, is_forever, calls)
        self.check_harm(holdings, call)

    def check_outcome(self, outcome, call, error, is_forever, calls):
        """What is published, and whether it is what the outcome says."""
        told = self.worker.eval("published()")
        before, after = self.operation.before, self.operation.after
        if not self.operation.raises:
            expect(outcome[0] == "returned", "raised", outcome)
            expect(outcome[1] in ("old", "new", True, False), "answered", outcome)
            return
        same_name = [other for other in calls if other.name == call.name]
        failing = same_name[call.number - 1 :] if is_forever else [call]
        drafts = {other.text.rpartition("= ")[2] for other in calls if "O_TMPFILE" in other.text}
        deciding = [
            other
            for other in failing
            if not is_harmless(other, error, self.operation.work) and not locks(other, drafts)
        ]
        last_change = max((other.index for other in calls if changes_name(other)), default=None)
        if "appends" in self.operation.does:
            # It is published with the store behind its only write; what follows cannot fail it.
            last_change = next(other.index for other in calls if other.name == "pwrite64")
            deciding = [other for other in deciding if other.index <= last_change]
        if outcome[0] == "returned":
            expect(told == after, "succeeded, but published is", told)
            expect(deciding == [] or is_repeated(call, error, is_forever), "succeeded all the same")
            return
        expect(deciding != [], "raised for a call that does not matter:", outcome)
        expect(is_right(outcome, call, error), "not the exception that belongs to it:", outcome)
        if outcome[0] != "MemoryError":
            given = self.name if self.operation.kind == "Shm" else self.path
            # What may not be created is told of the directory.
            is_of_all = self.operation.work.startswith(("core.", "place.name in"))
            allowed = [None, "/dev/shm"] if is_of_all else [given]
            if "O_TMPFILE" in call.text:
                allowed.append("/dev/shm" if given == self.name else self.folder)
            expect(outcome[2] in allowed, "does not tell the name:", outcome)
        is_late = last_change is not None and deciding[0].index > last_change
        expect(told == (after if is_late else self.now(before)), "raised, but published is", told)

    def now(self, before):
        """Some operations begin after something newer was published."""
        return self.operation.after if self.operation.is_prepared else before

    def check_harm(self, holdings, call):
        if self.operation.before is not None:
            seen = self.worker.eval("(handle.verify(), dict(handle.snapshot()))[1]")
            expect(seen in (self.operation.before, self.operation.after), "old map is now", seen)
        if call.name not in ("close", "munmap"):
            now = self.worker.eval("holdings()")
            expect(now == holdings, "held before:", holdings, "and after:", now)
        else:
            self.worker.run("close_what_was_not()")
        self.check_left()
        # What could not be unmapped stays so in all later cases.
        before = self.mapped
        self.mapped = self.worker.eval("(gc.collect(), mappings_of(place.path))[1]")
        if call.name not in ("close", "munmap"):
            expect(self.mapped <= before, "mapped without a handle:", self.mapped - before)

    def check_left(self):
        """No file but the map's; and the next publication works and is noticed."""
        files = self.worker.eval("files()")
        place = self.worker.eval("[place.path] if os.path.lexists(place.path) else []")
        expect(files == place, "files:", files)
        self.worker.run("place.publish(LARGE)")
        expect(self.worker.eval("published()") == LARGE, "the next publication failed")
        if self.operation.before is not None and self.operation.after is not None:
            moved = self.worker.eval("(handle.refresh(), handle['large'] == LARGE['large'])")
            expect(moved[1], "the next publication was not noticed")
        self.worker.run("handle = None")


def is_harmless(call, error, work):
    """Whether nobody needs the call to succeed."""
    if (
        call.name in ("brk", "munmap", "close", "futex")
        or "COLLAPSE" in call.text
        or "0x19" in call.text
    ):
        return True
    # A lock goes with its file anyway; and only EPERM says that a file is not ours.
    if call.name == "fcntl" and ("F_UNLCK" in call.text or "F_SETFL" in call.text):
        return True
    # Without /proc there is another way; what is free is asked only to fail early.
    if call.name.startswith(("access", "faccessat", "fstatfs", "statfs")):
        return True
    # Whether the name is free is only asked to spare a long write: linkat() will tell.
    if call.name in STAT and "ENOENT" in call.text:
        return True
    # What a killed publisher has left is cleared now or the next time.
    if call.name in ("unlink", "open", "openat") and '~"' in call.text:
        return True
    # What keeps a file while its descriptor is closed: then the close takes longer.
    if call.name in ("mmap", "madvise") and ", 1, " in call.text:
        return True
    # A mapping that a reader lets go of is unmapped a moment later anyway.
    if call.name == "madvise" and work.startswith(("handle", "place.open")):
        return True
    # Only the header of the holder, 512 bytes, is mapped to write; the rest is for larger pages.
    if call.name == "madvise" and work.endswith("huge_pages=True)"):
        return ", 512, " not in call.text
    if call.name == "mmap" and work.endswith("huge_pages=True)"):
        return "PROT_WRITE" not in call.text or "MAP_ANONYMOUS" in call.text
    # A system that does not know it, or a file system: there is another way.
    if error == "EOPNOTSUPP" and call.name in ("fallocate", "openat"):
        return True
    return error == "EINTR"


def locks(call, drafts):
    """Whether that draft gets the lock that keeps others from clearing it: they rarely try to."""
    number, _, rest = call.text.partition(", ")
    return call.name == "fcntl" and number in drafts and "F_WRLCK" in rest


def changes_name(call):
    if call.name in ("linkat", "link", "unlink"):
        return '~"' not in call.text
    return call.name == "rename"


def is_repeated(call, error, is_forever):
    """Whether one failure leads to another attempt."""
    busy = call.name == "fcntl" and error in ("EAGAIN", "EACCES")
    # malloc() has two ways to get memory, and Python a store of its own.
    memory = call.name == "mmap" and "MAP_ANONYMOUS" in call.text
    return (busy and not is_forever) or memory


def is_right(outcome, call, error):
    number = getattr(errno, error)
    if outcome[0] == "MemoryError":
        return number == errno.ENOMEM
    if error in ("EAGAIN", "EACCES") and outcome[0] == "TimeoutError":
        return outcome[1] == errno.ETIMEDOUT
    return outcome[0] == type(OSError(number, "")).__name__ and outcome[1] == number


def cases_of(calls):
    for call in calls:
        if call.name not in ERRORS:
            raise Failure(f"what can {call.name}({call.text} fail with?")
        for error in ERRORS[call.name]:
            for is_forever in (False, True):
                # Who is interrupted for ever is not meant to get anywhere.
                if not (is_forever and error == "EINTR"):
                    yield call, error, is_forever


def run(name, operation, folder, stride, turn, stop_early):
    """Returns how many cases were run, and what went wrong."""
    scene = Scene(operation, folder)
    failures = []
    count = 0
    calls = scene.calls()
    for call, error, is_forever in cases_of(calls):
        turn[0] += 1
        if turn[0] % stride != 0:
            continue
        what = f"{name}: {call.name} {call.number} {'for ever ' * is_forever}{error}"
        count += 1
        try:
            scene.attempt(call, error, is_forever, calls)
        # Also what the worker raises when it is looked at, or that it is dead.
        except Exception as failure:
            failures.append(f"{what}: {type(failure).__name__} {failure}")
            print("FAILED", failures[-1], flush=True)
            if stop_early or not scene.worker.is_alive():
                break
    if scene.worker.is_alive() and not scene.close():
        failures.append(f"{name}: the process does not end in order")
    return len(calls), count, failures


def main():
    arguments = sweep.parse(__doc__)
    if shutil.which("strace") is None:
        sys.exit("NOT TESTED: strace is not installed")
    turn = [0]
    with tempfile.TemporaryDirectory(prefix="system-calls-") as folder:

        def run_one(name):
            stride, stop_early = arguments.stride, arguments.stop_early
            return run(name, OPERATIONS[name], folder, stride, turn, stop_early)

        return sweep.play(run_one, [*OPERATIONS], arguments, "calls")


if __name__ == "__main__":
    sys.exit(main())
