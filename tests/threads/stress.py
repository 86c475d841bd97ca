"""Threads share maps and trees, and do to them all that can be done: for ThreadSanitizer, too.

    python3 tests/threads/stress.py [--threads N] [--rounds N | --seconds N]

All threads have the same objects: a tree, handles that are refreshed, followed and closed, and
iterators, ranges and views of them. Each value says which publication it belongs to, so a wrong
answer is seen:

    the tree     its values of one update() belong together, whoever reads or publishes meanwhile
    a snapshot   all its values are of one publication, also in a range of it, a copy, a pickle
    a version    of a large map, a base with deltas: the same, while others append
    a handle     once closed it raises ValueError, until then it answers
    a child      forked by any of the threads, reads, advances and closes all of these

Exits with a failure if a value was wrong, if no update was appended, folded or compacted, or if the
GIL was there where it need not be. Where an extension for ThreadSanitizer is loaded, its reports
end the process.
"""

import argparse
import copy
import operator
import os
import pathlib
import pickle
import random
import signal
import sys
import sysconfig
import threading
import time
import traceback
import uuid
import warnings

sys.path.insert(0, os.fspath(pathlib.Path(__file__).resolve().parents[1] / "faults"))
import deltas

import sharedmap

KEYS = [f"key {number:02}" for number in range(24)]
# Enough to have room for deltas.
LARGE_KEYS = [f"large {number:04}" for number in range(5000)]
# A fork takes as long as many other works, more so under ThreadSanitizer.
FORKS = 0.05
CHILD_LIMIT = 60  # seconds until a child hangs


def entries(number):
    # Of different sizes, so that who changes a value moves it.
    return {key: f"{number}:{'x' * (number % 50)}:{key}" for key in KEYS}


def number_of(values):
    """The publication that all these values belong to."""
    numbers = {value.partition(":")[0] for value in values}
    assert len(numbers) == 1, f"values of several publications: {numbers}"
    return int(numbers.pop())


class Play:
    def __init__(self):
        self.name = f"threads-{uuid.uuid4().hex[:12]}"
        self.tree = sharedmap.rbtree(entries(0))
        self.tree.share(self.name)
        self.refreshed = sharedmap.sharedmap(self.name)
        self.followed = sharedmap.sharedmap(self.name, follow=True)
        self.closed = sharedmap.sharedmap(self.name)
        self.large_name = f"{self.name}-large"
        sharedmap.share(dict.fromkeys([*LARGE_KEYS, "first", "last"], 0), self.large_name)
        self.large = sharedmap.sharedmap(self.large_name)
        self.large_followed = sharedmap.sharedmap(self.large_name, follow=True)
        self.iterator = iter(self.refreshed.items())
        self.of_large = iter(self.large.items())
        self.of_tree = iter(self.tree)
        self.range = self.refreshed["key 05":"key 15"]
        self.range_of_tree = self.tree["key 05":"key 15"]
        # Who reads an attribute without a GIL looks at what it was a moment ago, even when its
        # memory has become another object, whose birth is then reported as a race of CPython's
        # own: github.com/python/cpython/issues/131680. So what an attribute was is kept.
        self.kept = [self.closed, self.iterator, self.of_large, self.of_tree, self.range]

    def put(self, attribute, new):
        self.kept.append(new)
        setattr(self, attribute, new)

    # Each is done by several threads at once, to the same objects.

    def get(self, rng):
        key = rng.choice(KEYS)
        for mapping in (self.refreshed, self.followed):
            assert mapping[key].endswith(":" + key)
            assert mapping.get(key).endswith(":" + key)
            assert mapping.get(key + "?") is None
            assert key in mapping

    def get_of_the_tree(self, rng):
        key = rng.choice(KEYS)
        assert self.tree[key].endswith(":" + key)
        assert self.tree.get(key + "?") is None
        assert key in self.tree

    def get_many(self, rng):
        for handle in (self.refreshed, self.followed):
            number_of(handle.get_many(KEYS))

    def iterate(self, rng):
        for handle in (self.refreshed, self.followed):
            number_of(value for key, value in handle.items() if key.startswith("key"))
            number_of(handle["key 05":"key 15"].values())
            number_of(handle.snapshot().prefix("key").values())

    def share_an_iterator(self, rng):
        for kind in ("iterator", "of_large", "of_tree"):
            iterator = getattr(self, kind)
            assert operator.length_hint(iterator) >= 0
            try:
                for _ in range(5):
                    next(iterator)
            except StopIteration:
                self.put("iterator", iter(self.refreshed.items()))
                self.put("of_large", iter(self.large.items()))
                self.put("of_tree", iter(self.tree))
            except RuntimeError:
                self.put("of_tree", iter(self.tree))

    def share_a_range(self, rng):
        part = self.range
        assert len(part) == 10
        assert part[rng.choice(KEYS[5:15])] in part.values()
        assert "key 15" not in part
        number_of(part.values())
        number_of(reversed(part["key 07":].values()))
        if rng.random() < 0.2:
            self.put("range", self.refreshed["key 05":"key 15"])
        assert len(self.range_of_tree) == 10
        assert self.range_of_tree["key 07"].endswith(":key 07")

    def share_views(self, rng):
        for handle in (self.refreshed, self.followed):
            keys, items = handle.keys(), handle.items()
            assert keys & {"key 03", "nobody"} == {"key 03"}
            assert len(items) >= len(KEYS)
            number_of(value for key, value in items if key.startswith("key"))

    def move_on(self, rng):
        assert self.refreshed.refresh() in (True, False)
        assert self.refreshed.stale in (True, False)
        assert self.followed.generation > 0
        assert self.refreshed.wait(0) in (True, False)

    def wait(self, rng):
        for handle in (self.refreshed, self.followed, self.closed):
            try:
                assert handle.wait(0.001) in (True, False)
            except ValueError as error:
                assert "closed" in str(error), error

    def look(self, rng):
        for handle in (self.refreshed, self.followed, self.closed):
            try:
                assert handle.generation > 0
                assert handle.stale in (True, False)
                assert len(handle) >= len(KEYS)
                assert handle.id != "" and handle.follow_error is None
            except ValueError as error:
                assert "closed" in str(error), error

    def copy(self, rng):
        for handle in (self.refreshed, self.followed, self.closed):
            try:
                for copied in (copy.copy(handle), copy.deepcopy(handle), handle.snapshot()):
                    number_of(copied.get_many(KEYS))
                    copied.close()
                number_of(pickle.loads(pickle.dumps(handle)).get_many(KEYS))
            except sharedmap.StaleError:
                pass  # a pickle of one version, and another one was published meanwhile
            except ValueError as error:
                assert "closed" in str(error), error
        tree = pickle.loads(pickle.dumps(self.tree))
        number_of(tree[key] for key in KEYS)

    def fork(self, rng):
        if rng.random() >= FORKS:
            return
        child = os.fork()
        if child == 0:
            # The default action, so that it also ends a wait that no Python code interrupts.
            signal.alarm(CHILD_LIMIT)
            code = 1
            try:
                self.read_in_a_child(rng)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        status = os.waitpid(child, 0)[1]
        assert status == 0, f"a forked child ends with status {status:#x}"

    def read_in_a_child(self, rng):
        for work in (self.get, self.get_many, self.get_of_the_tree, self.share_an_iterator):
            work(rng)
        number_of(self.range.values())
        self.read_a_version(rng)
        self.refreshed.refresh()
        number_of(self.refreshed.get_many(KEYS))
        for handle in (self.refreshed, self.followed, self.closed, self.large):
            handle.close()

    def open_and_close(self, rng):
        handle = self.closed
        try:
            assert handle["key 00"].endswith(":key 00")
            view = handle.snapshot().view("key 01")
            assert bytes(view).endswith(b":key 01")
            handle.verify()
            number_of(handle.get_many(KEYS))
            view = handle.view("key 02")
            handle.close()
            assert bytes(view).endswith(b":key 02")
        except ValueError as error:
            assert "closed" in str(error), error
        handle.close()
        self.put("closed", sharedmap.sharedmap(self.name))

    def change(self, rng):
        self.tree.update(entries(rng.randrange(10**6)))
        temporary = f"temporary {rng.randrange(8)}"
        self.tree[temporary] = f"x:{temporary}"
        self.tree.set(temporary, b"y" * rng.randrange(2000))
        self.tree.pop(temporary, None)
        assert len(self.tree) >= len(KEYS)

    def read_the_tree(self, rng):
        copied = self.tree.copy()
        number_of(copied[key] for key in KEYS)
        number_of(sharedmap.sharedmap.frombuffer(self.tree.dump()).get_many(KEYS))
        assert self.tree.floor("key 99?") >= "key 23"

    def append(self, rng):
        """A delta, and now and then a fold or a compaction."""
        number = rng.randrange(10**6)
        # As many as lead to a compaction after some of them.
        changes = dict.fromkeys(["first", "last", *rng.sample(LARGE_KEYS, 60)], number)
        sharedmap.update(self.large_name, changes)

    def read_a_version(self, rng):
        for handle in (self.large, self.large_followed):
            first, last = handle.get_many(["first", "last"])
            assert first == last
            pinned = handle.snapshot()
            assert pinned["first"] == pinned.get("last") == pinned.peekitem()[1]
            assert len(pinned) == len(LARGE_KEYS) + 2
            assert [*pinned["large 0100":"large 0110"]] == LARGE_KEYS[100:110]
        self.large.refresh()

    def publish(self, rng):
        self.tree.share(self.name, force=True)
        sharedmap.update(self.name, {f"temporary {rng.randrange(8)}": 1}, remove=["nobody"])


NO_WORKS = ["put", "read_in_a_child"]
WORKS = [name for name in vars(Play) if not name.startswith("_") and name not in NO_WORKS]
# A lock puts what is on its two sides into an order, and so hides races. Who opens a file or uses
# a tree takes one; so every other thread does neither.
QUICK = ["get", "look"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--seconds", type=float, help="for so long, however many rounds that is")
    arguments = parser.parse_args()
    # Newer versions warn of a fork where there are threads: that is what this is about.
    warnings.simplefilter("ignore", DeprecationWarning)
    is_free = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    if is_free and sys._is_gil_enabled():
        sys.exit("FAILED: importing sharedmap brings the GIL back")
    play = Play()
    watcher = deltas.Watcher([f"/dev/shm/sharedmap.{play.large_name}"])
    failures = []
    ended = []
    counted = {}
    deadline = None if arguments.seconds is None else time.monotonic() + arguments.seconds

    def rounds():
        """Counts them, as long as there are any left."""
        done = 0
        while done < arguments.rounds if deadline is None else time.monotonic() < deadline:
            yield done
            done += 1

    def run(number):
        rng = random.Random(number)
        works = [getattr(play, name) for name in (QUICK if number % 2 else WORKS)]
        try:
            if number % 2 == 0:
                for done in rounds():
                    counted[number] = done + 1
                    rng.choice(works)(rng)
                    if failures:
                        break
            while number % 2 and not ended:
                rng.choice(works)(rng)
        except BaseException:
            failures.append(traceback.format_exc())
        ended.append(number)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(arguments.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = watcher.end()
    print(deltas.told(counts))
    failures += deltas.missing(counts)
    sharedmap.remove(play.name)
    sharedmap.remove(play.large_name)
    for failure in failures:
        print("FAILED", failure)
    kind = "without a GIL" if is_free else "with the GIL"
    done = min(counted.values())
    print(f"{arguments.threads} threads, {done} rounds {kind}, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
