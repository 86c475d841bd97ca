"""What several test files need: the other process, the places of files, numbers of this process."""

import os
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile
import traceback
from multiprocessing.connection import Connection

SHM = b"/dev/shm/"
HEADER_SIZE = 512
TOP = pathlib.Path(__file__).parents[2]
TESTS = TOP / "tests"
SUPPORT = TESTS / "support"
FAULTS = TESTS / "faults"

# So far beyond anything a correct build needs that only a hang gets there.
HANG = 30


def segment_path(name):
    """Where a map of this name must lie: the rule written down a second time, in Python."""
    encoded = bytearray()
    for byte in name.encode("utf-8", "surrogatepass"):
        if byte < 0x20 or byte == 0x7F or byte in b"/%~":
            encoded += b"%%%02X" % byte
        else:
            encoded.append(byte)
    return SHM + b"sharedmap." + bytes(encoded)


def shm_files(part):
    """The files of /dev/shm with `part` in their name, temporary ones included."""
    return sorted(file for file in os.listdir(SHM) if part.encode() in file)


def files_of_map(name):
    """The file of the map and the temporary ones of its publishers."""
    own = os.path.basename(segment_path(name))
    return [file for file in os.listdir(SHM) if file.partition(b"~")[0] == own]


def header_field(header, offset, form):
    return struct.unpack_from("<" + form, header, offset)[0]


def total_size(header):
    return header_field(header, 24, "Q")


def entry_count(header):
    return header_field(header, 32, "Q")


def generation(header):
    return header_field(header, 128, "Q")


def unique_id(header):
    return bytes(header[136:152])


def superseded(header):
    """The mark, which is the lowest bit of the head; the others lead to the newest delta."""
    return header_field(header, 192, "I") & 1


def read_header(name):
    with open(segment_path(name), "rb") as file:
        return file.read(HEADER_SIZE)


def lines_of_maps(name):
    """How this process has the map's file mapped: one line for each mapping."""
    with open("/proc/self/maps", "rb") as file:
        return [line for line in file if line.rstrip().endswith(segment_path(name))]


def files_of_shm(process):
    """What a process has open in /dev/shm."""
    found = []
    for number in os.listdir(f"/proc/{process}/fd"):
        try:
            target = os.readlink(f"/proc/{process}/fd/{number}")
        except FileNotFoundError:
            continue  # the one that lists the others
        if target.startswith("/dev/shm/"):
            found.append(target)
    return found


def resident_bytes():
    """Memory of this process that is neither shared nor swapped out, as the kernel counts it."""
    with open("/proc/self/statm") as file:
        fields = file.read().split()
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")


def forked(work):
    """Runs work() in a forked child; its exit code is 0 if that returned something true."""
    child = os.fork()
    if child == 0:
        # A child that waits for ever is a failure, not the end of all tests.
        signal.alarm(HANG)
        try:
            os._exit(0 if work() else 1)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(2)
    return child


def exit_code(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Worker:
    """A process that runs what it is told: run() for statements, eval() for an expression.

    An exception over there is raised here. A process that dies or hangs is an AssertionError with
    what it wrote to its standard error, so a crash of the extension is one failed test and not the
    end of all.
    """

    def __init__(self, prefix=()):
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [*prefix, sys.executable, os.fspath(SUPPORT / "worker_process.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        self._requests = Connection(os.dup(self._process.stdin.fileno()), readable=False)
        self._answers = Connection(os.dup(self._process.stdout.fileno()), writable=False)
        self._process.stdin.close()
        self._process.stdout.close()
        self.eval("None")

    @property
    def pid(self):
        return self._process.pid

    def is_alive(self):
        return self._process.poll() is None

    def send(self, kind, source, variables):
        """Asks without waiting; answer() waits."""
        try:
            self._requests.send((kind, source, variables))
        except BrokenPipeError:
            self._fail("died")

    def answer(self):
        if not self._answers.poll(HANG):
            self._fail("hangs")
        try:
            ok, value = self._answers.recv()
        except (EOFError, OSError):
            self._fail("died")
        if not ok:
            raise value
        return value

    def run(self, source, **variables):
        self.send("run", source, variables)
        self.answer()

    def eval(self, source, **variables):
        self.send("eval", source, variables)
        return self.answer()

    def kill(self):
        self._process.kill()
        self._process.wait()

    def close(self):
        """Ends the process; False when it then crashes or hangs instead of ending in order."""
        was_alive = self.is_alive()
        self._requests.close()
        try:
            return self._process.wait(HANG) == 0 or not was_alive
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        finally:
            self._answers.close()
            self._errors.close()

    def _fail(self, what):
        self.kill()
        self._errors.seek(0)
        told = self._errors.read().decode(errors="replace")
        raise AssertionError(f"the other process {what}, status {self._process.returncode}\n{told}")
