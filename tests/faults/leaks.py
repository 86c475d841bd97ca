"""Nothing grows, however often it is done: descriptors, mappings, memory, references.

    python3 tests/faults/leaks.py [--cycles N] [--only TEXT] [--debug]

Before and after each kind of cycle is counted what the process holds:

    descriptors, mappings    not one may be left
    blocks, references       of Python's; less than one for ten cycles. References are counted by
                             debug builds only: Debian's python3-dbg, or --with-pydebug
    bytes                    that the C library has given out; less than two for each cycle

--debug does it in a debug build, with an extension that is built for it. Exits with a failure if
anything has grown, or if there was nothing to do.
"""

import argparse
import ctypes
import gc
import os
import subprocess
import sys
import tempfile
import uuid

import deltas

import sharedmap

ENTRIES = {f"key {number:03}": f"value {number}" for number in range(100)}
ENTRIES |= {"long": "é" * 1000, "bytes": b"x" * 1000, "int": 2**1000, "float": 1.5, "none": None}
NEWER = ENTRIES | {"newer": "x" * 500}
# Enough to have room for deltas.
LARGE = {f"key {number:04}": number for number in range(5000)}


class Mallinfo(ctypes.Structure):
    FIELDS = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in FIELDS.split()]


def allocated_bytes():
    """What malloc() has given out and not got back; 0 where nobody tells."""
    try:
        mallinfo = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return 0
    mallinfo.restype = Mallinfo
    told = mallinfo()
    return told.uordblks + told.hblkhd


def holdings():
    """What it is called -> (how much there is, how much more there may be for each cycle)."""
    # It keeps the names that were looked up, thousands of them.
    sys._clear_type_cache()
    for _ in range(3):
        gc.collect()
    with open("/proc/self/maps", "rb") as maps:
        mapped = sum(b"/dev/shm/" in line or b"leaks-" in line for line in maps)
    counted = {
        "descriptors": (len(os.listdir("/proc/self/fd")), 0),
        "mappings": (mapped, 0),
        "blocks": (sys.getallocatedblocks(), 0.1),
        "bytes": (allocated_bytes(), 2),
    }
    if hasattr(sys, "gettotalrefcount"):
        counted["references"] = (sys.gettotalrefcount(), 0.1)
    return counted


class Scene:
    def __init__(self, folder):
        self.name = f"leaks-{uuid.uuid4().hex[:12]}"
        self.path = os.path.join(folder, self.name)
        self.trees = [sharedmap.rbtree(ENTRIES), sharedmap.rbtree(NEWER)]
        self.trees[0].share(self.name)
        self.trees[0].save(self.path)
        self.kept = sharedmap.sharedmap(self.name)
        self.follower = sharedmap.sharedmap(self.name, follow=True)
        self.turn = 0
        self.large_name = f"{self.name}.large"
        sharedmap.share(LARGE, self.large_name)
        self.large = sharedmap.sharedmap(self.large_name)
        self.large_follower = sharedmap.sharedmap(self.large_name, follow=True)
        self.files = deltas.Files(f"/dev/shm/sharedmap.{self.large_name}")

    # Each of these is one cycle.

    def open_read_close(self):
        shared = sharedmap.sharedmap(self.name)
        assert shared["long"] == "é" * 1000
        shared.close()

    def open_read_drop(self):
        shared = sharedmap.sharedmap.open(self.path)
        assert len(list(shared.items())) == len(shared)
        iterator, view, part = iter(shared), shared.view("bytes"), shared["key 01":]
        assert (next(iterator), len(view), len(part.keys() & {"int"})) == ("bytes", 1000, 0)

    def open_publish_refresh_close(self):
        shared = sharedmap.sharedmap(self.name)
        self.turn += 1
        self.trees[self.turn % 2].share(self.name, force=True)
        assert shared.refresh()
        assert self.kept.refresh()
        assert self.follower["float"] == 1.5
        shared.close()

    def share_update_remove(self):
        name = self.name + ".more"
        sharedmap.share(ENTRIES, name)
        sharedmap.update(name, {"int": 3**1000}, remove=["long"])
        assert sharedmap.remove(name)

    def update_and_follow(self):
        """Appends, and now and then folds and compacts."""
        self.turn += 1
        changes = {f"key {(self.turn * 40 + at) % 5000:04}": self.turn for at in range(40)}
        before = self.large_follower.snapshot()
        generation = sharedmap.update(self.large_name, changes)
        assert self.large_follower.generation == generation > before.generation
        before.close()
        if self.turn % 3 == 0:
            assert self.large.refresh() and self.large.generation == generation
        self.files.look()

    def save(self):
        self.trees[0].save(self.path, force=True)

    def read_in_all_ways(self):
        for mapping in (self.kept, self.kept[:], *self.trees):
            assert mapping == mapping and mapping.prefix("key 00")["key 000":].first()
            assert mapping.get("nobody", "x") == "x" and mapping.floor("zzz") and repr(mapping)
            assert list(mapping.values()) and list(reversed(mapping.items()))
            assert mapping.keys() | {"x"} and not mapping.keys().isdisjoint(["int"])
        assert self.kept.get_many([*ENTRIES, "nobody"])[-1] is None
        assert self.kept.peekitem(self.kept.index("int"))[0] == "int" and not self.kept.wait(0)
        assert self.kept.snapshot().verify() is None and self.name in sharedmap.names()

    def build_and_change(self):
        tree = sharedmap.rbtree(self.kept)
        tree.update(NEWER, more=1)
        tree |= {"long": b"y" * 3000}
        del tree["int"]
        assert tree.pop("float") and tree.popitem() and tree.setdefault("int", 2)
        assert len(tree.copy() | ENTRIES) >= len(tree) and tree.dump()
        tree.clear()

    def fail(self):
        calls = [
            (FileNotFoundError, lambda: sharedmap.sharedmap(self.name + "nobody")),
            (FileExistsError, lambda: self.trees[0].share(self.name)),
            (sharedmap.StaleError, lambda: self.trees[0].share(self.name, expect=2**40)),
            (sharedmap.StaleError, lambda: sharedmap.update(self.name, {"a": 1}, expect=2**40)),
            (sharedmap.SnapshotError, lambda: sharedmap.sharedmap.frombuffer(b"x" * 1000)),
            (TypeError, lambda: self.trees[0].update({"a": 1, "b": object()})),
            (KeyError, lambda: self.kept["nobody"]),
            (ValueError, lambda: sharedmap.sharedmap("x" * 300)),
            (TypeError, lambda: self.kept.get_many(["int", 1])),
        ]
        for error, call in calls:
            try:
                call()
            except error:
                continue
            raise AssertionError(f"no {error.__name__}")

    def close(self):
        for handle in (self.kept, self.follower, self.large, self.large_follower):
            handle.close()
        sharedmap.remove(self.name)
        sharedmap.remove(self.large_name)


# What takes longer is done less often.
CYCLES = {
    "open_read_close": 1,
    "open_read_drop": 1,
    "open_publish_refresh_close": 1,
    "share_update_remove": 2,
    "update_and_follow": 2,
    "save": 10,
    "read_in_all_ways": 10,
    "build_and_change": 10,
    "fail": 2,
}


def main_of_a_debug_build():
    """The same again, in a process where all references are counted."""
    import extension

    python = extension.debug_python()
    if python is None:
        sys.exit("NOT TESTED: no debug build of Python: Debian has it as python3-dbg")
    if why := extension.why_impossible(python):
        sys.exit(f"NOT TESTED: {why}")
    with tempfile.TemporaryDirectory(prefix="extension-") as folder:
        environment = os.environ | {"PYTHONPATH": extension.build(folder, python)}
        return subprocess.run([python, *sys.argv], env=environment).returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cycles", type=int, default=10000)
    parser.add_argument("--only", default="", help="cycles with this in their name")
    parser.add_argument("--debug", action="store_true", help="in a debug build of Python")
    arguments = parser.parse_args()
    if arguments.debug and not hasattr(sys, "gettotalrefcount"):
        return main_of_a_debug_build()
    chosen = {name: divisor for name, divisor in CYCLES.items() if arguments.only in name}
    failures = 0
    with tempfile.TemporaryDirectory(prefix="leaks-") as folder:
        scene = Scene(folder)
        for name, divisor in chosen.items():
            work = getattr(scene, name)
            cycles = max(50, arguments.cycles // divisor)
            # So that caches and pools have their size already.
            for _ in range(max(50, cycles // 10)):
                work()
            before = holdings()
            for _ in range(cycles):
                work()
            after = holdings()
            grown = {what: after[what][0] - before[what][0] for what in after}
            wrong = [what for what in grown if grown[what] > cycles * after[what][1]]
            failures += len(wrong)
            told = ", ".join(f"{what} {number:+}" for what, number in grown.items())
            print(f"{'FAILED ' if wrong else ''}{name}: {cycles} cycles, {told}", flush=True)
        scene.close()
    if "update_and_follow" in chosen:
        for complaint in deltas.missing(deltas.total([scene.files])):
            failures += 1
            print("FAILED", complaint)
    print(f"{len(chosen)} kinds of cycles, {failures} failures")
    return 1 if failures or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
