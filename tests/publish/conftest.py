"""Another process: one that has the lock of a map or of a file, or is another user's."""

import pytest
from helpers import segment_path

LOCK = """
import fcntl, struct
def lock(path):
    global file
    file = open(path, "r+b")
    whole_file = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    fcntl.fcntl(file, fcntl.F_OFD_SETLK, whole_file)
"""


@pytest.fixture
def locked(workers):
    """locked(path): a process that holds its lock until it runs `file.close()`."""

    def lock(path):
        worker = workers()
        worker.run(LOCK)
        worker.run("lock(path)", path=path)
        return worker

    return lock


@pytest.fixture
def holder(shared_name, locked):
    """Of the map that the test has published."""
    return locked(segment_path(shared_name))


BECOME = """
os.setgroups([])
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)
"""


@pytest.fixture
def user(as_root, workers):
    """user(uid): a process of that user."""

    def start(uid):
        worker = workers()
        worker.run(BECOME, uid=uid)
        return worker

    return start
