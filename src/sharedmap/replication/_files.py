"""What the files of an agent and of a publisher have in common."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

AnyPath = str | os.PathLike[str]


def default_directory() -> Path:
    """The state directory that systemd gives to a service, or that of the user."""
    service = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if service:
        return Path(service)
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(home) / "sharedmap"


def as_path(directory: AnyPath | None) -> Path | None:
    return None if directory is None else Path(directory)


@contextlib.contextmanager
def with_path(path: Path) -> Iterator[None]:
    """Gives errors of descriptors the path that they lead to."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = os.fspath(path)
        raise


def lock_folder(folder: Path) -> int | None:
    """Makes the folder, and locks it until the descriptor is closed. None if another has it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with with_path(folder):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    except BaseException:
        os.close(lock)
        raise
    return lock


def write_at(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, memoryview(data)[done:], offset + done)


def write_file(path: Path, *parts: bytes | memoryview) -> None:
    """Atomically, but not durably."""
    beside = path.with_name(path.name + ".new")
    with with_path(beside), beside.open("wb", buffering=0) as file:
        offset = 0
        for data in parts:
            write_at(file.fileno(), data, offset)
            offset += len(data)
    os.replace(beside, path)


def sync(path: Path) -> None:
    """Makes a file, or the names in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with with_path(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
