"""A mounted file system that hangs and fails when a test wants it to.

    with mounted(folder) as files:
        files.hang("FSYNC")              the next fsync() waits
        files.wait_until_held()
        files.release()                  now it goes on

    files.fail("WRITE", errno.EIO)       also the 2nd only, or those of one file
    files.shorten("READ", 7)             at most so many bytes at once
    files.shift_size(-100)               stat() tells less than there is
    files.drop_pages("FLUSH")            with each close() the kernel forgets what it has read

The operations have the names of the kernel's protocol; `operations()` lists those that came. The
server is a process of its own (file_system_process.py). Whatever hangs when the test is over goes
on with an error, as the kernel ends all requests of a server that is gone: no process stays.

Needs root and /dev/fuse. `why_impossible()` says what is missing.
"""

import contextlib
import ctypes
import functools
import json
import os
import subprocess
import sys
import tempfile
from multiprocessing.connection import Connection

import pytest
from helpers import HANG, SUPPORT
from live import wait_until

MNT_DETACH = 2
# Set by .ci/run where the device is there: then a mount that fails is a failure.
EXPECTED = "SHAREDMAP_TEST_FUSE"


class FileSystem:
    def __init__(self, path, **options):
        self.path = os.fspath(path)
        self._errors = tempfile.TemporaryFile()
        program = os.fspath(SUPPORT / "file_system_process.py")
        self.process = subprocess.Popen(
            [sys.executable, program, self.path, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        self._requests = Connection(os.dup(self.process.stdin.fileno()), readable=False)
        self._answers = Connection(os.dup(self.process.stdout.fileno()), writable=False)
        self.process.stdin.close()
        self.process.stdout.close()
        self._answer()

    def _answer(self):
        try:
            if self._answers.poll(HANG):
                return self._answers.recv()
            what = "hangs"
        except (EOFError, OSError):
            what = "died"
        self.kill()
        self._errors.seek(0)
        told = self._errors.read().decode(errors="replace")
        raise AssertionError(f"the server of the file system {what}\n{told}")

    def tell(self, command, argument=None):
        self._requests.send((command, argument))
        return self._answer()

    def _add(self, how, operation, path, after, times, **more):
        rule = {"how": how, "operation": operation, "path": path, "after": after, "times": times}
        return self.tell("add", rule | more)

    def hang(self, operation, path=None, after=0, times=1, is_interruptible=False):
        """The operation waits for release(), or, if it may, for a signal to its caller."""
        return self._add("hang", operation, path, after, times, is_interruptible=is_interruptible)

    def fail(self, operation, error, path=None, after=0, times=None):
        return self._add("fail", operation, path, after, times, error=error)

    def shorten(self, operation, size, path=None, after=0, times=None):
        return self._add("short", operation, path, after, times, size=size)

    def drop_pages(self, operation, after=0, times=None):
        """With the operation, the pages of its file are dropped from memory."""
        return self._add("drop", operation, None, after, times)

    def shift_size(self, shift):
        return self._add("size", None, None, 0, None, shift=shift)

    def release(self):
        """Forgets all rules; what waits goes on as if nothing had been."""
        return self.tell("release")

    def operations(self, forget=True):
        """(operation, name of the file) of each request since the last time."""
        return self.tell("seen", forget)

    def met(self):
        """How often each rule was met, in the order in which they were given."""
        return self.tell("state")["met"]

    def held(self):
        return self.tell("state")["held"]

    def wait_until_held(self, count=1):
        wait_until(lambda: len(self.held()) >= count, "an operation waits in the file system")

    def kill(self):
        """Its callers get an error, those that wait and all later ones."""
        self.process.kill()
        self.process.wait()

    def close(self):
        self.kill()
        ctypes.CDLL(None).umount2(os.fsencode(self.path), MNT_DETACH)
        for opened in (self._requests, self._answers, self._errors):
            opened.close()


@contextlib.contextmanager
def mounted(folder, **options):
    files = FileSystem(folder, **options)
    try:
        yield files
    finally:
        files.close()


@functools.cache
def why_impossible():
    """What is missing, or None."""
    if sys.byteorder != "little" or sys.maxsize < 2**32:
        return "the server speaks the protocol of 64-bit machines of little endian"
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"/dev/fuse: {error.strerror}; a container needs --device /dev/fuse"
    if os.geteuid() != 0:
        return "only root may mount"
    with tempfile.TemporaryDirectory(prefix="sharedmap-fuse-") as folder:
        try:
            with mounted(folder) as files:
                os.stat(files.path)
        except AssertionError as error:
            return f"{error}; a container needs --cap-add SYS_ADMIN"
    return None


def need():
    """Skips the test, loudly; fails it where .ci/run has found that all is there."""
    if why := why_impossible():
        if os.environ.get(EXPECTED):
            pytest.fail(f"no file system in user space: {why}")
        pytest.skip(f"NOT TESTED on a file system that hangs and fails: {why}")
