"""What it costs to change some entries of a large map that is published.

    python benchmarks/update_cost.py [--entries N] [--changes N] [--repeats N]

Prints a Markdown table: update(), which merges the changes into what is published, beside
publishing all of it again. The contestants take turns; each ends with the same contents published.
"""

import argparse
import os
import random
import statistics
import time
import uuid

import sharedmap

UPDATE = "`update(name, changes)`"


def content(entries):
    return {f"user:{number:09d}": f"value {number:025d}" for number in range(entries)}


def contestants(name, entries):
    """Title -> (what to do, with the changes applied to the dict and to the tree already)."""
    tree = sharedmap.rbtree(entries)
    return tree, {
        UPDATE: lambda changes: sharedmap.update(name, changes),
        "`share(dict, name, force=True)`": lambda _: sharedmap.share(entries, name, force=True),
        "`tree.share(name, force=True)`, the tree kept": lambda _: tree.share(name, force=True),
        "`rbtree(dict).share(name, force=True)`": lambda _: sharedmap.rbtree(entries).share(
            name, force=True
        ),
    }


def measure(name, entries, change_count, repeats):
    keys = list(entries)
    tree, rows = contestants(name, entries)
    times = {title: [] for title in rows}
    sharedmap.share(entries, name, force=True)
    for repeat in range(repeats + 1):
        changes = {key: f"{repeat} {random.random()}" for key in random.sample(keys, change_count)}
        entries.update(changes)
        tree.update(changes)
        for title, act in rows.items():
            begin = time.perf_counter()
            act(changes)
            took = time.perf_counter() - begin
            with sharedmap.sharedmap(name) as shared:
                assert all(shared[key] == value for key, value in changes.items())
            if repeat > 0:  # the first finds nothing in the caches
                times[title].append(took)
    return times


def report(times):
    update = statistics.median(times[UPDATE])
    print("| | median, ms | least, ms | most, ms | median / update |")
    print("|---|---:|---:|---:|---:|")
    for title, taken in times.items():
        median = statistics.median(taken)
        print(
            f"| {title} | {1000 * median:.0f} | {1000 * min(taken):.0f} "
            f"| {1000 * max(taken):.0f} | {median / update:.2f} |"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--changes", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    name = f"benchmark:{uuid.uuid4().hex[:12]}"
    load = " ".join(f"{number:.1f}" for number in os.getloadavg())
    print(f"{options.changes} of {options.entries:,} entries changed, load {load}\n")
    try:
        report(measure(name, content(options.entries), options.changes, options.repeats))
    finally:
        sharedmap.remove(name)


if __name__ == "__main__":
    main()
