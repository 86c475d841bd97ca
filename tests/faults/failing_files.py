"""Each operation of a file system hangs or fails, in each public call that takes a path.

    python3 tests/faults/failing_files.py [--stride N] [--only TEXT] [--operation NAME]
                                          [--stop-early]

The file system is our own (tests/support/file_system.py). Each call runs once when nothing is
wrong, to learn of which operations it consists; then again and again, and each time one of them

    fails       with an errno, once or from then on
    hangs       until it is released: meanwhile other threads run
    hangs       until Ctrl-C: the call ends with KeyboardInterrupt, and nothing has changed
    is short    a write writes one byte
    dies        with the server, while it hangs

What must hold:

    as told     an exception that belongs to the error, with the path and with advice; none where
                the operation only tidies up, or was interrupted and could be made again
    intact      the path leads to the old map, or to the new one if it failed after the rename
    no harm     who has the old map open reads it, no descriptor and no mapping is left, no file
                either, and the next call works

Exits with a failure if anything was different. --stride takes every N-th case, --stop-early none
after the first failure. Needs root and /dev/fuse.
"""

import collections
import errno
import os
import pathlib
import re
import signal
import sys
import tempfile

SUPPORT = os.fspath(pathlib.Path(__file__).resolve().parents[1] / "support")
sys.path.insert(0, SUPPORT)
import file_system  # noqa: E402
import sweep  # noqa: E402
from helpers import Worker  # noqa: E402
from live import has_answered  # noqa: E402

# Seconds; with the GIL held it would be for ever.
PATIENCE = 5

ERRORS = ("EIO", "ENOSPC", "EDQUOT", "ESTALE", "ENODEV", "EINTR")
DEAD = ("ENOTCONN", "ECONNABORTED")

OLD = {"a": "old", "b": b"old"}
NEW = {"a": "new", "b": b"new", "c": 3}
LARGE = NEW | {"large": "x" * 2**21}

PREPARE = """
import contextlib, gc, io, pickle, sys, threading
sys.path.insert(0, support)
from live import descriptors, mappings_of
from sharedmap._cli import main

def command(*words):
    told = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(told):
        code = main(list(words))
    if code != 0:
        raise OSError(code, told.getvalue(), path if path in told.getvalue() else None)

def outcome(work):
    try:
        return ("returned", work())
    except BaseException as error:
        # Raised in no call of ours any more: whoever is caught late is caught, too.
        told = (type(error).__name__, getattr(error, "errno", None))
        return (*told, getattr(error, "filename", None), str(error))

def tick():
    for _ in range(100):
        pass

def begin(work):
    global thread, result
    def run():
        global result
        result = outcome(work)
    result = None
    thread = threading.Thread(target=run, daemon=True)
    thread.start()

def holdings():
    gc.collect()
    return sorted(descriptors().items()), mappings_of(folder)

def published():
    try:
        with sharedmap.sharedmap.open(path) as opened:
            opened.verify()
            return dict(opened)
    except FileNotFoundError:
        return None
"""


class Call:
    """What is called, what the path leads to before and after, and how it fails."""

    def __init__(
        self,
        work,
        before=OLD,
        after=OLD,
        prepare="",
        raises=True,
        is_command=False,
        is_tried_again=False,
    ):
        self.work = work
        self.before = before
        self.after = after
        self.prepare = prepare
        self.raises = raises  # False: goes on with what it has, and says nothing
        self.is_command = is_command  # exit codes and one line
        self.is_tried_again = is_tried_again  # what fails once does not matter


NEWER = "sharedmap.rbtree(NEW).save(path, force=True)"
CALLS = {
    "first save": Call("sharedmap.rbtree(NEW).save(path)", before=None, after=NEW),
    "save": Call("sharedmap.rbtree(NEW).save(path, force=True)", after=NEW),
    "save of a large map": Call("sharedmap.rbtree(LARGE).save(path, force=True)", after=LARGE),
    "open": Call("sharedmap.sharedmap.open(path).close()"),
    "open to follow": Call("sharedmap.sharedmap.open(path, follow=True).close()"),
    "unpickle": Call("pickle.loads(pickled).close()", prepare="pickled = pickle.dumps(handle)"),
    "refresh": Call("handle.refresh()", after=NEW, prepare=NEWER),
    "refresh in vain": Call("handle.refresh()"),
    "wait": Call("handle.wait(timeout=0.01)", after=NEW, prepare=NEWER, raises=False),
    "follow": Call("follower['a']", after=NEW, prepare=NEWER, raises=False),
    "wait and follow": Call("follower.wait(timeout=0.01)", after=NEW, prepare=NEWER, raises=False),
    "verify": Call("handle.verify()", prepare="os.close(os.open(path, os.O_RDONLY))"),
    "command stat": Call("command('stat', '--file', path)", is_command=True),
    # A quick answer leaves errors to the command, which begins again.
    "command get": Call(
        "command('get', '--file', path, 'a')", is_command=True, is_tried_again=True
    ),
    "command verify": Call("command('verify', '--file', path)", is_command=True),
    "command export": Call(
        "command('export', '--file', path, '--output', os.devnull)", is_command=True
    ),
    "command load": Call(
        "command('load', '--save', '--force', path, input)", after={"a": "1"}, is_command=True
    ),
}


class Failure(Exception):
    pass


def expect(is_so, *told):
    if not is_so:
        raise Failure(" ".join(map(str, told)))


Case = collections.namedtuple("Case", "how index operation path error is_forever")


class Scene:
    """A worker, a file system, and a path on it for the call."""

    def __init__(self, call, mountpoint, source):
        self.call = call
        self.mountpoint = mountpoint
        self.path = os.path.join(mountpoint, "a.map")
        self.files = file_system.FileSystem(mountpoint)
        self.worker = Worker()
        self.worker.run(
            PREPARE, support=SUPPORT, path=self.path, folder=mountpoint, input=os.fspath(source)
        )
        self.worker.run("handle = follower = None", OLD=OLD, NEW=NEW, LARGE=LARGE)

    def close(self):
        self.worker.run("handle = follower = None")
        in_order = self.worker.close()
        self.files.close()
        return in_order

    def mount_again(self):
        self.files.close()
        self.files = file_system.FileSystem(self.mountpoint)

    def prepare(self):
        self.worker.run(
            """
handle = follower = None
gc.collect()
for file in os.listdir(folder):
    os.unlink(os.path.join(folder, file))
held = holdings()
if before is not None:
    sharedmap.rbtree(before).save(path)
    handle = sharedmap.sharedmap.open(path)
    follower = sharedmap.sharedmap.open(path, follow=True)
"""
            + self.call.prepare,
            before=self.call.before,
        )
        self.files.operations()
        return self.worker.eval("held")

    def operations(self):
        """Of the call, when nothing is wrong; the second time, as the first has more to learn."""
        for _ in range(2):
            self.prepare()
            outcome = self.worker.eval(f"outcome(lambda: {self.call.work})")
            expect(outcome[0] == "returned", "fails without a fault:", outcome)
            seen = self.files.operations()
        return seen

    # ---- one case --------------------------------------------------------------------------

    def attempt(self, case, operations):
        holdings = self.prepare()
        times = None if case.is_forever else 1
        if case.how == "fail":
            number = getattr(errno, case.error)
            self.files.fail(None, number, after=case.index, times=times)
            outcome = self.worker.eval(f"outcome(lambda: {self.call.work})")
        elif case.how == "short":
            self.files.shorten("WRITE", 1, after=case.index, times=1)
            outcome = self.worker.eval(f"outcome(lambda: {self.call.work})")
        else:
            outcome = self.hang(case)
        if case.how == "die":
            self.check_dead(outcome)
            return
        self.files.release()
        self.check_outcome(outcome, case, operations)
        self.check_harm(holdings, case)

    def hang(self, case):
        self.files.hang(None, after=case.index, is_interruptible=case.how == "interrupt")
        if case.how == "interrupt":
            self.worker.send("eval", f"outcome(lambda: ({self.call.work}, tick()))", {})
            self.files.wait_until_held()
            os.kill(self.worker.pid, signal.SIGINT)
            return self.answer_soon("Ctrl-C does not end it")
        self.worker.send("run", f"begin(lambda: {self.call.work})", {})
        self.files.wait_until_held()
        self.answer_soon("no other thread runs")
        self.worker.send("eval", "sum(range(1000))", {})
        self.answer_soon("no other thread runs")
        if case.how == "die":
            self.files.kill()
        else:
            self.files.release()
        self.worker.run("thread.join(20); assert not thread.is_alive()")
        return self.worker.eval("result")

    def answer_soon(self, why_not):
        """The worker's answer; of one that hangs only once it is let go."""
        is_soon = has_answered(self.worker, PATIENCE)
        if not is_soon:
            self.files.release()
        answer = self.worker.answer()
        expect(is_soon, why_not)
        return answer

    def check_dead(self, outcome):
        """Of a server that is gone nothing but its error is to be had."""
        self.mount_again()
        self.worker.run("handle = follower = None")
        if self.call.raises and outcome[0] != "returned":
            self.check_error(outcome, DEAD, "ESTALE")
        elif self.call.raises:
            expect(outcome[0] == "returned", outcome)

    def check_error(self, outcome, *errors):
        numbers = [getattr(errno, error) for error in (*errors[0], *errors[1:])]
        if self.call.is_command:
            expect(outcome[0].endswith("Error"), "no error of a command:", outcome)
            expect(outcome[2] == self.path, "does not tell the path:", outcome)
            expect(
                any(os.strerror(n) in outcome[3] for n in numbers) or is_about_space(outcome[3]),
                "does not tell the error:",
                outcome,
            )
            return
        expect(outcome[1] in numbers, "not the errno that belongs to it:", outcome)
        expect(outcome[0] == type(OSError(outcome[1], "")).__name__, "not the right type:", outcome)
        expect(outcome[2] == self.path, "does not tell the path:", outcome)
        has_advice = ";" in outcome[3] or is_about_space(outcome[3])
        is_plain = outcome[1] in (errno.ENOSPC, errno.EDQUOT)  # of what only reads
        expect(has_advice or is_plain, "says not what to do:", outcome)

    def check_outcome(self, outcome, case, operations):
        told = self.worker.eval("published()")
        before = self.call.after if self.call.prepare == NEWER else self.call.before
        after = self.call.after
        is_late = case.index > last_change(operations)
        if case.how == "interrupt":
            expect(outcome[0] == "KeyboardInterrupt", "Ctrl-C did not come through:", outcome)
            expect(told in (before, after), "after Ctrl-C published is", told)
            if not is_late:
                # The kernel swallows the interruption, and the next question is not yet due.
                is_swallowed = operations[case.index][0] in ("FLUSH", "READ", "GETATTR")
                expect(told == before or is_swallowed, "published by Ctrl-C")
        elif outcome[0] == "returned":
            expect(told == after, "succeeded, but published is", told)
            is_harmless = not self.call.raises or may_fail(case, operations)
            is_tried_again = self.call.is_tried_again and not case.is_forever
            expect(
                case.how != "fail" or is_harmless or is_tried_again,
                "succeeded all the same:",
                outcome,
            )
        else:
            expect(self.call.raises, "raised", outcome)
            # Python itself does not call stat() again.
            is_error = case.error != "EINTR" or self.call.is_command
            expect(case.how == "fail" and is_error, "raised without an error:", outcome)
            self.check_error(outcome, (case.error,))
            expect(told == (after if is_late else before), "raised, but published is", told)

    def check_harm(self, holdings, case):
        if self.call.before is not None:
            seen = self.worker.eval("(handle.verify(), dict(handle.snapshot()))[1]")
            expect(seen in (self.call.before, self.call.after), "the old map is now", seen)
        self.worker.run("handle = follower = None")
        now = self.worker.eval("holdings()")
        expect(now == holdings, "held before:", holdings, "and after:", now)
        if not case.is_forever:
            files = self.worker.eval("sorted(os.listdir(folder))")
            expect(set(files) <= {"a.map"}, "files:", files)
        self.worker.run("sharedmap.rbtree(LARGE).save(path, force=True)")
        files = self.worker.eval("sorted(os.listdir(folder))")
        # The random name of a draft stays if it could not be unlinked.
        allowed = r"a\.map(~[0-9a-f]{16})?" if case.is_forever else r"a\.map"
        expect(all(re.fullmatch(allowed, file) for file in files), "files after all:", files)
        expect(self.worker.eval("published()") == LARGE, "the next save failed")


def is_about_space(text):
    return "the snapshot needs" in text or "bytes would fit" in text


def last_change(operations):
    """Where the path gets its new map: at the last rename or link of it."""
    places = [
        at
        for at, (operation, name) in enumerate(operations)
        if operation in ("RENAME", "RENAME2", "LINK") and name == "a.map"
    ]
    return places[-1] if places else len(operations)


def may_fail(case, operations):
    """Whether the call succeeds all the same."""
    operation, name = operations[case.index]
    if case.error == "EINTR":
        return True
    # What is free is asked only to fail early; closing tells nothing that syncing has not told;
    # and whether something else is there is told again by what comes next.
    if operation in ("STATFS", "FLUSH", "ACCESS", "GETXATTR"):
        return True
    # The kernel looks the path up again, reads again what it read ahead, and tells of a write that
    # fails in the middle how much was written.
    if not case.is_forever and (case.error == "ESTALE" or operation in ("READ", "WRITE")):
        return True
    # Some file systems cannot reserve.
    return name.endswith("~") or operation in ("LOOKUP", "GETATTR", "UNLINK")


def is_page(operations, index, call):
    """Whether a page of the mapping is read, not the file."""
    names = [operation for operation, _ in operations]
    return names[index] == "READ" and (call == "verify" or "FLUSH" in names[:index])


def cases_of(operations, call):
    for index, (operation, name) in enumerate(operations):
        for error in ERRORS:
            for is_forever in (False, True):
                # A page that cannot be read is a signal, and for ever EINTR for ever the same.
                if error == "EINTR" and is_forever:
                    continue
                # The next thing read may be a page, and that it cannot be read is a signal.
                pages = range(index, len(operations)) if is_forever else [index]
                if any(is_page(operations, at, call) for at in pages):
                    continue
                yield Case("fail", index, operation, name, error, is_forever)
        for how in ("hang", "interrupt", "die"):
            # The kernel does not let a signal end it.
            pages = range(index, len(operations)) if how == "die" else [index]
            if how != "hang" and any(is_page(operations, at, call) for at in pages):
                continue
            yield Case(how, index, operation, name, None, False)
    for index in range([operation for operation, _ in operations].count("WRITE")):
        yield Case("short", index, "WRITE", "", None, False)


def run(name, call, mountpoint, source, turn, arguments):
    """Returns how many cases were run, and what went wrong."""
    scene = Scene(call, mountpoint, source)
    failures = []
    count = 0
    operations = scene.operations()
    for case in cases_of(operations, name):
        turn[0] += 1
        if turn[0] % arguments.stride != 0 or arguments.operation not in ("", case.operation):
            continue
        count += 1
        word = f"{case.error} {'for ever' * case.is_forever}" if case.error else ""
        what = f"{name}: {case.operation} {case.path} ({case.index}) {case.how} {word}"
        try:
            scene.attempt(case, operations)
        # Also what the worker raises when it is looked at, or that it is dead.
        except (Exception, KeyboardInterrupt) as failure:
            failures.append(f"{what}: {type(failure).__name__} {failure}")
            print("FAILED", failures[-1], flush=True)
            if arguments.stop_early:
                break
            if not scene.worker.is_alive() or scene.files.process.poll() is not None:
                scene.worker.kill()
                scene.files.close()
                scene = Scene(call, mountpoint, source)
    if scene.worker.is_alive() and not scene.close():
        failures.append(f"{name}: the process does not end in order")
    return len(operations), count, failures


def add_options(parser):
    parser.add_argument("--operation", default="", help="of the file system: only this one fails")


def main():
    arguments = sweep.parse(__doc__, add_options)
    if why := file_system.why_impossible():
        sys.exit(f"NOT TESTED: {why}")
    turn = [0]
    with tempfile.TemporaryDirectory(prefix="failing-files-") as folder:
        mountpoint, source = os.path.join(folder, "m"), pathlib.Path(folder, "source.jsonl")
        os.mkdir(mountpoint)
        source.write_text('{"key": "a", "value": "1"}\n')

        def run_one(name):
            return run(name, CALLS[name], mountpoint, source, turn, arguments)

        return sweep.play(run_one, [*CALLS], arguments, "operations")


if __name__ == "__main__":
    sys.exit(main())
