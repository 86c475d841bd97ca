"""Threads share maps and trees, and do to them all that can be done: for ThreadSanitizer, too.

    python3 tests/threads/stress.py [--threads N] [--rounds N]

All threads have the same objects: a tree, handles that are refreshed, followed and closed, and
iterators over them. Each value says which publication it belongs to, so a wrong answer is seen:

    the tree     its values of one update() belong together, whoever reads or publishes meanwhile
    a snapshot   all its values are of one publication, also in a range of it
    a version    of a large map, a base with deltas: the same, while others append
    a handle     once closed it raises ValueError, until then it answers

Exits with a failure if a value was wrong, if no update was appended, folded or compacted, or if the
GIL was there where it need not be. Where an extension for ThreadSanitizer is loaded, its reports
end the process.
"""

import argparse
import operator
import os
import pathlib
import random
import sys
import sysconfig
import threading
import traceback
import uuid

sys.path.insert(0, os.fspath(pathlib.Path(__file__).resolve().parents[1] / "faults"))
import deltas

import sharedmap

KEYS = [f"key {number:02}" for number in range(24)]
# Enough to have room for deltas.
LARGE_KEYS = [f"large {number:04}" for number in range(5000)]


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
        # Who reads an attribute without a GIL looks at what it was a moment ago, even when its
        # memory has become another object, whose birth is then reported as a race of CPython's
        # own: github.com/python/cpython/issues/131680. So what an attribute was is kept.
        self.kept = [self.closed, self.iterator, self.of_large, self.of_tree]

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

    def move_on(self, rng):
        assert self.refreshed.refresh() in (True, False)
        assert self.refreshed.stale in (True, False)
        assert self.followed.generation > 0
        assert self.refreshed.wait(0) in (True, False)

    def look(self, rng):
        for handle in (self.refreshed, self.followed, self.closed):
            try:
                assert handle.generation > 0
                assert handle.stale in (True, False)
                assert len(handle) >= len(KEYS)
            except ValueError as error:
                assert "closed" in str(error), error

    def open_and_close(self, rng):
        handle = self.closed
        try:
            assert handle["key 00"].endswith(":key 00")
            view = handle.snapshot().view("key 01")
            assert bytes(view).endswith(b":key 01")
            handle.verify()
            number_of(handle.get_many(KEYS))
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


WORKS = [name for name in vars(Play) if not name.startswith("_") and name != "put"]
# A lock puts what is on its two sides into an order, and so hides races. Who opens a file or uses
# a tree takes one; so every other thread does neither.
QUICK = ["get", "look"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2000)
    arguments = parser.parse_args()
    is_free = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    if is_free and sys._is_gil_enabled():
        sys.exit("FAILED: importing sharedmap brings the GIL back")
    play = Play()
    watcher = deltas.Watcher([f"/dev/shm/sharedmap.{play.large_name}"])
    failures = []
    ended = []

    def run(number):
        rng = random.Random(number)
        works = [getattr(play, name) for name in (QUICK if number % 2 else WORKS)]
        try:
            if number % 2 == 0:
                for _ in range(arguments.rounds):
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
    print(
        f"{arguments.threads} threads, {arguments.rounds} rounds {kind}, {len(failures)} failures"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
