"""Running the command line as the program that it is; the fixture `command` runs it in here."""

import os
import select
import subprocess
import sys
from typing import NamedTuple

from helpers import HANG

PROGRAM = (sys.executable, "-m", "sharedmap")


class Done(NamedTuple):
    code: int
    out: str
    err: str


class Program(subprocess.Popen):
    """One that runs beside the test, which ends with the block it is started for."""

    def next_line(self):
        """The next line of its standard output, b"" after the last; a hang is a failure."""
        line = b""
        # No byte more than the line, so that whoever reads the rest gets all of it.
        while not line.endswith(b"\n"):
            is_ready = select.select([self.stdout], [], [], HANG)[0]
            assert is_ready, f"no line after {HANG} seconds, only {line!r}"
            byte = os.read(self.stdout.fileno(), 1)
            if not byte:
                break
            line += byte
        return line

    def __exit__(self, *error):
        self.kill()  # nothing happens to one that has ended already
        return super().__exit__(*error)


def start(*arguments, prefix=(), **options):
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return Program([*prefix, *PROGRAM, *map(os.fspath, arguments)], **options)


def run(*arguments, prefix=(), data=None, **options):
    """As a program: bytes in, bytes out. A negative code is a signal."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    program = [*prefix, *PROGRAM, *map(os.fspath, arguments)]
    done = subprocess.run(program, input=data, timeout=HANG, **options)
    return Done(done.returncode, done.stdout, done.stderr)


def run_other(*words, **options):
    """Any other program, which must end well: the process that it was, and what it printed."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    with Program(words, **options) as process:
        out, err = process.communicate(timeout=HANG)
    assert process.returncode == 0, out + err
    return process.pid, out


def output_of(*words, **options):
    return run_other(*words, **options)[1]


def failed(done, code, *parts):
    """One line on standard error that has all these parts, nothing on standard output."""
    assert done.code == code, done
    assert not done.out
    assert done.err.startswith("sharedmap: ")
    assert done.err.count("\n") == 1
    assert all(part in done.err for part in parts), done.err
    return True
