"""Ends a test that hangs: it fails with the stacks of its process, and all others still run.

Each worker of pytest-xdist writes down the test that it runs, in a file of its own; pytest's first
process looks at these files. A worker that is too long at one test gets SIGABRT, on which
faulthandler prints where its threads are, then SIGKILL; xdist reports the test and starts another
worker. That is done from outside since a test of ours can hang without ever giving the GIL back.
Without workers there is no time limit.
"""

import contextlib
import os
import pathlib
import signal
import tempfile
import threading
import time

import pytest

# Seconds. Nothing takes half of it, not even with sanitizers on a machine that does other work.
LIMIT = 300
# For the stacks.
GRACE = 5
# The tests that were ended, a line each.
HUNG = "hung"


class Watchdog:
    """For the process that started the workers."""

    def __init__(self, limit=LIMIT):
        self.limit = limit
        self.folder = tempfile.TemporaryDirectory(prefix="sharedmap-tests-")
        self.is_over = threading.Event()
        self.thread = None

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node):
        node.workerinput["watched"] = self.folder.name
        if self.thread is None:
            self.thread = threading.Thread(target=self._watch, daemon=True)
            self.thread.start()

    def pytest_unconfigure(self):
        self.is_over.set()
        self.folder.cleanup()

    def _watch(self):
        while not self.is_over.wait(1):
            for file in pathlib.Path(self.folder.name).glob("[0-9]*"):
                try:
                    age, test = time.time() - file.stat().st_mtime, file.read_text()
                except FileNotFoundError:
                    continue  # the test has just ended
                if age > self.limit:
                    with open(os.path.join(self.folder.name, HUNG), "a") as hung:
                        hung.write(f"{test}\n")
                    self._end(int(file.name))
                    file.unlink(missing_ok=True)

    def _end(self, process):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGABRT)
            self.is_over.wait(GRACE)
            os.kill(process, signal.SIGKILL)


class Watched:
    """For a worker."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.file = self.folder / str(os.getpid())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        self.file.write_text(item.nodeid)
        try:
            return (yield)
        finally:
            self.file.unlink(missing_ok=True)

    def pytest_runtest_setup(self, item):
        # xdist gives all tests of the file to the next worker, the one that ended this one, too.
        hung = self.folder / HUNG
        if hung.exists() and item.nodeid in hung.read_text().splitlines():
            pytest.fail("it hung: its stacks are on standard error")


def register(config, limit=LIMIT):
    """To be called by pytest_configure()."""
    worker = getattr(config, "workerinput", {})
    if "watched" in worker:
        config.pluginmanager.register(Watched(worker["watched"]))
    else:
        config.pluginmanager.register(Watchdog(limit))
