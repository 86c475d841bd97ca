"""Interpreters come and go in several threads, each with its own GIL where Python has that.

    python3 tests/faults/interpreters.py [--count N] [--threads N]

Each is created, builds, publishes, updates and reads maps, its own and two that all write to, one
of them large enough for deltas, meets exceptions, leaves maps and iterators open, and is destroyed.
Meanwhile the main interpreter reads a map that was open before the first of them. Exits with a
failure if one of them got anything but its own types and values, if updates did not append, fold
and compact, or if a descriptor or a mapping is left; a crash speaks for itself.
"""

import argparse
import os
import sys
import threading
import uuid

import deltas

import sharedmap

try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

WORK = """
import sharedmap
entries = {f"key {number:03}": f"{name} {number}" for number in range(100)}
tree = sharedmap.rbtree(entries)
tree.share(name)
with sharedmap.sharedmap(name) as m:
    assert dict(m) == entries and m == tree and m.verify() is None
    assert m.get_many(list(entries)) == list(entries.values())
    assert [m["key 007"] for _ in range(4)] == [f"{name} 7"] * 4
    assert type(m.keys()) is type(tree.keys()) and type(m["key 01":]) is type(m.prefix("key 01"))
assert sharedmap.update(name, {"more": 2**100}, remove=["key 000"]) == 2
left_open = sharedmap.sharedmap(name, follow=True)
assert left_open["more"] == 2**100 and len(left_open) == 100
started = iter(left_open.items())
next(started)
sharedmap.share(entries, common, force=True)
with sharedmap.sharedmap(common) as m:
    assert len({value.rpartition(" ")[0] for value in m.values()}) == 1
try:
    sharedmap.sharedmap.frombuffer(b"no snapshot")
except sharedmap.SnapshotError as error:
    assert type(error) is sharedmap.SnapshotError
try:
    tree.share(name, expect=77)
except sharedmap.StaleError as error:
    assert error.found == 2
following = sharedmap.sharedmap(large, follow=True)
for turn in range(5):
    stamp = number * 5 + turn
    changes = {f"large {(stamp * 60 + at) % 5000:04}": stamp for at in range(60)}
    generation = sharedmap.update(large, changes | {"first": stamp, "last": stamp})
    assert following.generation >= generation
    pinned = following.snapshot()
    assert pinned["first"] == pinned["last"] and len(pinned) == 5002
    assert type(pinned["first"]) is int and pinned.verify() is None
assert sharedmap.remove(name)
assert left_open["more"] == 2**100
"""


def create():
    try:
        return interpreters.create("isolated")
    except TypeError:
        return interpreters.create(isolated=True)


def live_and_die(**variables):
    own = create()
    given = "".join(f"{name} = {value!r}\n" for name, value in variables.items())
    try:
        # Newer versions return what went wrong, older ones raise it.
        failure = interpreters.run_string(own, given + WORK)
        assert failure is None, failure
    finally:
        interpreters.destroy(own)


def holdings():
    with open("/proc/self/maps", "rb") as maps:
        mapped = sum(b"/dev/shm/" in line for line in maps)
    return len(os.listdir("/proc/self/fd")), mapped


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=4)
    arguments = parser.parse_args()
    token = f"interpreters-{uuid.uuid4().hex[:12]}"
    common = f"{token}.common"
    sharedmap.share({"main": "1"}, common)
    large = f"{token}.large"
    entries = {f"large {number:04}": 0 for number in range(5000)}
    sharedmap.share(entries | {"first": 0, "last": 0}, large)
    opened = sharedmap.sharedmap(common)
    before = holdings()
    files = deltas.Files(f"/dev/shm/sharedmap.{large}")
    failures = []
    looking = threading.Lock()

    def work(first):
        for number in range(first, arguments.count, arguments.threads):
            try:
                own = f"{token}.{number}"
                live_and_die(name=own, common=common, large=large, number=number)
                with looking:
                    files.look()
                assert dict(opened) == {"main": "1"}, "the main interpreter reads something else"
            except BaseException as error:
                failures.append(f"{number}: {error!r}")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(arguments.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = deltas.total([files])
    failures += deltas.missing(counts)
    if holdings() != before:
        failures.append(f"descriptors and mappings: {before} before, {holdings()} after")
    sharedmap.remove(common)
    sharedmap.remove(large)
    print(deltas.told(counts))
    left = [file for file in os.listdir("/dev/shm") if token in file]
    for file in left:
        os.unlink(f"/dev/shm/{file}")
    for failure in failures[:20]:
        print("FAILED", failure)
    own = "a GIL each" if sys.version_info >= (3, 12) else "one GIL for all"
    print(f"{arguments.count} interpreters, {own}, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
