"""Running the command line as the program that it is; the fixture `command` runs it in here."""

import os
import subprocess
import sys
from typing import NamedTuple

from helpers import HANG

PROGRAM = (sys.executable, "-m", "sharedmap")


class Done(NamedTuple):
    code: int
    out: str
    err: str


def start(*arguments, prefix=(), **options):
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen([*prefix, *PROGRAM, *map(os.fspath, arguments)], **options)


def run(*arguments, prefix=(), data=None, **options):
    """As a program: bytes in, bytes out. A negative code is a signal."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    program = [*prefix, *PROGRAM, *map(os.fspath, arguments)]
    done = subprocess.run(program, input=data, timeout=HANG, **options)
    return Done(done.returncode, done.stdout, done.stderr)


def failed(done, code, *parts):
    """One line on standard error that has all these parts, nothing on standard output."""
    assert done.code == code, done
    assert not done.out
    assert done.err.startswith("sharedmap: ")
    assert done.err.count("\n") == 1
    assert all(part in done.err for part in parts), done.err
    return True
