"""From exceptions to one line for people and an exit code for scripts."""

from __future__ import annotations

import errno
import os
from typing import Final

from .._sharedmap import SnapshotError, StaleError

DONE: Final = 0
FAILED: Final = 1
DIFFERENT: Final = 1
USAGE: Final = 2
ABSENT: Final = 3
CONFLICT: Final = 4
BAD_DATA: Final = 5
DENIED: Final = 6
NO_SPACE: Final = 7
NO_SERVER: Final = 8
FINDINGS: Final = 9

# In ascending order; part of every --help.
MEANINGS: Final = {
    DONE: "success",
    FAILED: "another failure; for diff: the maps differ",
    USAGE: "invalid command line",
    ABSENT: "the map, key or file does not exist",
    CONFLICT: "conflict: a name or file exists, another generation is published, or time is up",
    BAD_DATA: "invalid input, or not a valid snapshot",
    DENIED: "permission denied",
    NO_SPACE: "no space or memory left",
    NO_SERVER: "the Redis server is unreachable or refuses the request",
    FINDINGS: "doctor found problems",
}


class CommandError(Exception):
    """A command failed: the line to print and the exit code."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


class BadInput(CommandError):
    """The input is invalid, at this line if it has lines."""

    def __init__(self, line: int | None, message: str) -> None:
        super().__init__(message if line is None else f"line {line}: {message}", BAD_DATA)
        self.line = line


def explain(error: Exception) -> tuple[str, int]:
    if isinstance(error, CommandError):
        return str(error), error.code
    if isinstance(error, OSError):
        return _os_message(error), _os_code(error)
    if isinstance(error, SnapshotError):
        return str(error), BAD_DATA
    if isinstance(error, StaleError):
        return str(error), CONFLICT
    if isinstance(error, MemoryError):
        return "out of memory", NO_SPACE
    if isinstance(error, (ValueError, OverflowError)):
        return str(error), FAILED
    return f"{type(error).__name__}: {error}", FAILED


def _os_message(error: OSError) -> str:
    reason = error.strerror or str(error)
    if error.errno == errno.EEXIST:
        reason = reason.replace("force=True", "--force")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason = reason.replace("save(path) to a disk", "load or save it to a file")
    if error.filename is None:
        return reason
    name = error.filename
    return f"{os.fsdecode(name) if isinstance(name, bytes) else name}: {reason}"


def _os_code(error: OSError) -> int:
    if isinstance(error, FileNotFoundError):
        return ABSENT
    if isinstance(error, (FileExistsError, TimeoutError)):
        return CONFLICT
    if isinstance(error, PermissionError):
        return DENIED
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM):
        return NO_SPACE
    return FAILED
