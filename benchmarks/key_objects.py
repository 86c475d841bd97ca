"""What a lookup costs by the key object: `m[k]` beside `d[k]`, and what it should cost at most.

    python benchmarks/key_objects.py [--entries N ...] [--rounds N]

A str object stores its hash once it has been computed. So what a lookup costs depends on where the
key object comes from:

    hashed            random keys, new objects, whose hash has been computed before
    unhashed, again   all keys of the map in turn, the same objects each time; nothing hashes them
                      but the mapping itself, as with keys that a program reads once and keeps
    hot unhashed      the same with 200 objects
    fresh             random keys, a new object each time, as from a parser or a database

Both mappings have key objects of their own and take turns: dict, map, map, dict. Such a group gives
one ratio of processor times; the table has the median of these, with the quartiles. The targets are
for CPython with a GIL.
"""

import argparse
import gc
import random
import statistics
import sys
import time
import uuid

from update_cost import content, key_of

import sharedmap

LOOKUPS = 20_000
HOT = 200
EXPECTED = {
    ("unhashed, again", 1_000): 1.25,
    ("hot unhashed", 1_000): 1.0,
    ("hot unhashed", 100_000): 1.0,
    ("hot unhashed", 1_000_000): 1.0,
    ("fresh", 1_000): 1.1,
}


# ---- key objects: numbers of entries --> a function that returns the keys of one slice --------


def fresh(numbers):
    joined = "\n".join(map(key_of, numbers))
    return lambda: joined.split("\n")


def hashed(numbers):
    make = fresh(numbers)
    return lambda: [key for key in make() if hash(key)]


def repeated(numbers):
    """The same objects each time, in turn."""
    keys = fresh(numbers)() * (LOOKUPS // len(numbers))
    return lambda: keys


def kinds(entries):
    """{title: a function that returns how to make the keys of a slice}"""
    chosen = random.choices(range(entries), k=LOOKUPS)
    table = {
        "hashed": lambda: hashed(chosen),
        "hot unhashed": lambda: repeated(random.sample(range(entries), HOT)),
        "fresh": lambda: fresh(chosen),
    }
    if entries <= LOOKUPS:
        table["unhashed, again"] = lambda: repeated(range(entries))
    return table


# ---- measuring --------------------------------------------------------------------------------


def spend(mapping, keys):
    began = time.thread_time()
    for key in keys:
        mapping[key]
    return (time.thread_time() - began) / len(keys)


def measure(dictionary, shared, make_kind, rounds):
    """[(seconds for a lookup in the dict, in the map)]"""
    random_state = random.getstate()
    of_dict = make_kind()
    random.setstate(random_state)  # the same keys
    of_map = make_kind()
    groups = []
    for turn in range(rounds + 2):
        first = spend(dictionary, of_dict())
        ours = spend(shared, of_map()) + spend(shared, of_map())
        theirs = first + spend(dictionary, of_dict())
        if turn >= 2:  # the first two warm up
            groups.append((theirs / 2, ours / 2))
    return groups


def row(title, entries, groups):
    ratios = [ours / theirs for theirs, ours in groups]
    lower, middle, upper = statistics.quantiles(ratios, n=4)
    target = EXPECTED.get((title, entries))
    verdict = ""
    if target is not None:
        verdict = "reached" if round(middle, 2) <= target else "not reached"
    theirs, ours = (statistics.median(column) * 1e9 for column in zip(*groups, strict=True))
    return (
        f"| {title} | {entries:,} | {ours:.0f} | {theirs:.0f} | {middle:.2f} "
        f"({lower:.2f} to {upper:.2f}) | {target or ''} | {verdict} |"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, nargs="+", default=[1_000, 100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=25)
    arguments = parser.parse_args()
    has_gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    print(f"CPython {sys.version.split()[0]}, {'with' if has_gil else 'without'} a GIL\n")
    print("| key objects | entries | ns for `m[k]` | for `d[k]` | ratio | target | |")
    print("|---|---:|---:|---:|---:|---:|---|")
    gc.disable()
    for entries in arguments.entries:
        random.seed(entries)
        name = f"benchmark:{uuid.uuid4().hex[:12]}"
        data = content(entries)
        sharedmap.share(data, name)
        try:
            with sharedmap.sharedmap(name) as shared:
                for title, make_kind in kinds(entries).items():
                    groups = measure(data, shared, make_kind, arguments.rounds)
                    print(row(title, entries, groups), flush=True)
        finally:
            sharedmap.remove(name)


if __name__ == "__main__":
    main()
