"""Forks at any moment, while threads publish and read, with maps open.

    python3 tests/faults/forks.py [--forks N] [--limit SECONDS] [--by python | c | bare]

    main       fork ........ fork ........ fork ........             counts how they end
    publisher  share of one tree, without a pause                    most times the tree is locked
    another    share of other entries, under another name            has drafts, and locks on files
    updater    update of a large map: appends, folds, compacts       has the lock, and mappings
    reader     follows all of them, gets, iterates
    lookups    of one key in a handle, by two threads: they are counted in it without a GIL

The process forks by os.fork(), or in C (tests/binding/forking.c): with what Python asks for in the
child, or without any of that, where the child only looks up, refreshes and closes, all in C.

Each other child, where none of these threads exists, has to

    hold       no file that is being written or replaced: their copies would keep memory and locks
    read       the maps that were open, move on to newer ones, finish an iteration that was begun
    write      into the tree that was being published, publish under both names, and update

and its parent notices nothing of it. A child that hangs for --limit seconds is ended by an alarm.
In the end there were exactly as many publications as generations, and nothing is left. Exits with a
failure otherwise.
"""

import argparse
import gc
import os
import signal
import sys
import sysconfig
import tempfile
import threading
import traceback
import uuid
import warnings

import deltas
import extension

import sharedmap

ENTRIES = {f"key {number:03}": f"value {number}" for number in range(300)}
# Enough to have room for deltas.
LARGE = ENTRIES | {f"large {number:04}": number for number in range(4500)}
LARGE |= {"first": 0, "last": 0}
IS_FREE = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def holdings():
    gc.collect()
    with open("/proc/self/maps", "rb") as maps:
        mapped = sum(b"/dev/shm/" in line for line in maps)
    return len(os.listdir("/proc/self/fd")), mapped


def held_files():
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError:
            pass  # the one that listed the others
    return [file for file in found if file.startswith("/dev/shm/")]


class Play:
    def __init__(self, limit, by, forking):
        self.limit = limit
        self.by = by
        self.forking = forking  # the module, unless Python forks
        token = f"forks-{uuid.uuid4().hex[:12]}"
        self.names = [f"{token}.tree", f"{token}.entries", f"{token}.large"]
        self.tree = sharedmap.rbtree(ENTRIES)
        self.tree.share(self.names[0])
        sharedmap.share(ENTRIES, self.names[1])
        sharedmap.share(LARGE, self.names[2])
        self.published = [1, 1, 1]
        # Of an older version than what follows: with a mapping of its own from the beginning.
        self.opened = sharedmap.sharedmap(self.names[0])
        self.publish_tree()
        self.following = [sharedmap.sharedmap(name, follow=True) for name in self.names]
        self.stop = threading.Event()
        self.failures = []

    def run(self, work):
        try:
            while not self.stop.is_set():
                work()
        except BaseException:
            self.failures.append(traceback.format_exc())

    def publish_tree(self):
        self.tree.share(self.names[0], force=True)
        self.published[0] += 1

    def publish_entries(self):
        sharedmap.share(ENTRIES, self.names[1], force=True)
        self.published[1] += 1

    def update(self, stamp):
        # Some of the keys each time, so that it comes to a compaction.
        changes = {f"large {(stamp * 60 + at) % 4500:04}": stamp for at in range(60)}
        sharedmap.update(self.names[2], changes | {"first": stamp, "last": stamp})

    def update_large(self):
        self.published[2] += 1
        self.update(self.published[2])

    def read(self):
        for shared, entries in zip(self.following, (ENTRIES, ENTRIES, LARGE), strict=True):
            with shared.snapshot() as pinned:
                assert pinned["key 007"] == "value 7"
                assert sum(1 for _ in pinned.items()) == len(entries)
                assert pinned.get("first") == pinned.get("last")

    def look_up(self):
        get = self.opened.get
        for _ in range(1000):
            assert get("key 007") == "value 7"

    def child(self, started):
        assert held_files() == [], held_files()
        assert self.opened["key 007"] == "value 7"
        assert len(list(started)) == len(ENTRIES) - 1
        self.read()
        self.tree["child"] = "x" * 1000
        assert len(self.tree.dump()) > 1000
        del self.tree["child"]
        self.tree.share(self.names[0], force=True)
        sharedmap.share(ENTRIES, self.names[1], force=True)
        self.update(-os.getpid())  # something else than the child before it, if nobody came between
        for shared in self.following:
            shared.close()

    def fork(self):
        """How the child ends: 0 for well."""
        if self.by == "bare":
            # With a GIL, a child that releases it may wait for a thread that wanted it.
            arguments = self.opened, "key 007", "value 7", self.limit, IS_FREE
            return self.forking.fork_bare(*arguments)
        started = iter(self.opened)
        next(started)
        child = os.fork() if self.by == "python" else self.forking.fork()
        if child == 0:
            # The default action, so that it also ends a wait that no Python code interrupts.
            signal.alarm(self.limit)
            code = 1
            try:
                self.child(started)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        status = os.waitpid(child, 0)[1]
        assert self.opened["key 007"] == "value 7"
        return status


def load_forking():
    with tempfile.TemporaryDirectory(prefix="forking-") as folder:
        sys.path.insert(0, extension.build_module("binding/forking.c", folder))
        import forking
    return forking


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--forks", type=int, default=10000)
    parser.add_argument("--limit", type=int, default=30, help="seconds until a child hangs")
    parser.add_argument("--by", choices=["python", "c", "bare"], default="python")
    arguments = parser.parse_args()
    # Newer versions warn of a fork where there are threads: that is what this is about.
    warnings.simplefilter("ignore", DeprecationWarning)
    play = Play(arguments.limit, arguments.by, load_forking() if arguments.by != "python" else None)
    before = holdings()
    watcher = deltas.Watcher([f"/dev/shm/sharedmap.{play.names[2]}"])
    works = [play.publish_tree, play.publish_entries, play.update_large, play.read]
    works += [play.look_up, play.look_up]
    threads = [threading.Thread(target=play.run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    forks = 0
    while forks < arguments.forks and not play.failures:
        status = play.fork()
        forks += 1
        if status != 0:
            play.failures.append(f"child {forks} ends with status {status:#x}")
    play.stop.set()
    for thread in threads:
        thread.join()
    for name, shared, published in zip(play.names, play.following, play.published, strict=True):
        shared.refresh()
        # One in each child that is in Python, besides those of the thread.
        by_children = 0 if arguments.by == "bare" else forks
        if not play.failures and shared.generation != published + by_children:
            play.failures.append(f"generation {shared.generation}: {published} + {by_children}")
        sharedmap.remove(name)
    counts = watcher.end()
    print(deltas.told(counts))
    play.failures += deltas.missing(counts)
    play.tree = None
    if not play.failures and holdings() != before:
        play.failures.append(f"descriptors and mappings: {before} before, {holdings()} after")
    left = [file for file in os.listdir("/dev/shm") if play.names[0][:-5] in file]
    play.failures += [f"left: {file}" for file in left]
    for failure in play.failures:
        print("FAILED", failure)
    kind = "without a GIL" if IS_FREE else "with the GIL"
    told = f"{forks} forks by {arguments.by}, {sum(play.published)} publications {kind}"
    print(f"{told}, {len(play.failures)} failures")
    return 1 if play.failures else 0


if __name__ == "__main__":
    sys.exit(main())
