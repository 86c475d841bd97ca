"""Tells what updates did to the file of a map: appended, folded, compacted or copied.

    with Files(path) as files:
        ...                     the map is updated, by whichever processes
        files.look()            now and then
    files.counts["folds"]

A tool that is to play with versions has to see that there were some: a map that is too small has no
deltas, and then nothing of them is tested. All is read from the files, without the extension:

    | header | base | delta | delta | delta |      each begins where the one before ends, and says
                                                   whether it lies over the base or over another

Each file that was looked at stays open. Its deltas are counted in the end, so that none is missed,
however many there were between two looks. What another file begins with tells where it came from: a
compaction keeps the version that the old file had, a copy makes a new one.

Where many processes update at once, a process of its own looks all the time: Watcher.

Tools that play with small maps need a package that gives these room for deltas, too (SMALL in
build.py): run_again() runs the tool with such a package.
"""

import collections
import os
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import uuid

import extension
from cells import Cells

import build
import sharedmap

HEADER_SIZE, DELTA_HEADER_SIZE, UNIT = 512, 128, 64
KINDS = ["appends", "folds", "compactions", "copies"]


class File:
    """One file that had the name, and the versions in it."""

    def __init__(self, path):
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.stat = os.fstat(self.descriptor)
        header = os.pread(self.descriptor, HEADER_SIZE, 0)
        self.total_size = struct.unpack_from("<Q", header, 24)[0]
        self.unique_id = header[136:152]

    def head(self):
        return struct.unpack("<I", os.pread(self.descriptor, 4, 192))[0] & ~1

    def deltas(self):
        """(unique id, whether it lies over the base) of each that was ever published here."""
        head = self.head()
        end = ((head >> 1) - 1) * UNIT if head else -1
        begin = 0
        while begin <= end:
            header = os.pread(self.descriptor, DELTA_HEADER_SIZE, self.total_size + begin)
            fields = struct.unpack_from("<8s5Q2IQQ16s", header)
            assert fields[0] == b"\x89SMDE\r\n\x1a", fields
            yield fields[10], fields[6] == 0
            begin += -(-fields[1] // UNIT) * UNIT


class Files:
    def __init__(self, path):
        self.path = path
        self.counts = collections.Counter(dict.fromkeys(KINDS, 0))
        self.file = None
        self.look()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.settle()

    def look(self):
        """Whether the path leads to another file than before."""
        try:
            file = File(self.path)
        except FileNotFoundError:
            return False
        known = self.file
        if known is not None and os.path.samestat(known.stat, file.stat):
            os.close(file.descriptor)
            return False
        if known is not None:
            known_ids = {known.unique_id, *(unique_id for unique_id, _ in known.deltas())}
            self.counts["compactions" if file.unique_id in known_ids else "copies"] += 1
            self.settle()
        self.file = file
        return True

    def count(self):
        """What was appended to the file that was looked at last."""
        deltas = [is_over_base for _, is_over_base in self.file.deltas()] if self.file else []
        # The first one has nothing to be folded with.
        return collections.Counter(appends=len(deltas), folds=sum(deltas[1:]))

    def settle(self):
        """Counts that, and lets go of the file."""
        self.counts.update(self.count())
        if self.file is not None:
            os.close(self.file.descriptor)
        self.file = None


class Watcher:
    """A process that looks at some files until it is told to end."""

    def __init__(self, paths):
        self.cells = Cells(len(KINDS) + 1)
        parent = os.getpid()
        sys.stdout.flush()
        self.child = os.fork()
        if self.child == 0:
            try:
                self.watch([Files(path) for path in paths], parent)
            finally:
                sys.stderr.flush()
                os._exit(0)

    def watch(self, files, parent):
        try:
            while not self.cells[len(KINDS)] and os.getppid() == parent:
                for one in files:
                    one.look()
                time.sleep(0.0003)
            counts = total(files)
            for number, kind in enumerate(KINDS):
                self.cells[number] = counts[kind]
        except BaseException:
            traceback.print_exc()

    def end(self):
        """What it has counted."""
        self.cells[len(KINDS)] = 1
        os.waitpid(self.child, 0)
        return collections.Counter({kind: self.cells[n] for n, kind in enumerate(KINDS)})


def total(files):
    """What happened to all of the files, which are let go of."""
    counts = collections.Counter(dict.fromkeys(KINDS, 0))
    for one in files:
        one.settle()
        counts.update(one.counts)
    return counts


def missing(counts, kinds=KINDS[:3]):
    """A complaint of each kind that never happened."""
    return [f"updates: no {kind}" for kind in kinds if not counts[kind]]


def told(counts):
    return ", ".join(f"{counts[kind]} {kind}" for kind in KINDS)


def have_small_maps():
    """Whether the package that is imported gives small maps room for deltas."""
    name = f"deltas-{uuid.uuid4().hex[:12]}"
    sharedmap.share({f"{number}": number for number in range(100)}, name)
    try:
        with open(f"/dev/shm/sharedmap.{name}", "rb") as file:
            return file.read(HEADER_SIZE)[168:176] != bytes(8)
    finally:
        sharedmap.remove(name)


def run_again():
    """The tool again, with a package in which small maps have room; its exit status."""
    if why := extension.why_impossible():
        sys.exit(f"NOT TESTED: {why}")
    with tempfile.TemporaryDirectory(prefix="deltas-") as folder:
        package = extension.Builder(folder).link("small", build.SMALL)
        environment = os.environ | {"PYTHONPATH": package}
        return subprocess.run([sys.executable, *sys.argv], env=environment).returncode
