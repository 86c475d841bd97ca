"""What follow=True costs a reader while nothing changes.

    python benchmarks/follow_cost.py [--entries N ...] [--repeats N]

Two handles on one map, one of which follows, look the same keys up, in random order and in turns.
Prints a Markdown table: nanoseconds of one lookup, loop included, and the ratio of the two; of each
pair of neighbouring turns one ratio, of these the median and the middle eighty per cent.
"""

import argparse
import os
import random
import statistics
import time
import uuid

import sharedmap

KEYS_PER_TURN = 100_000


def keys_of(entries):
    return [f"user:{number:09d}" for number in range(entries)]


def nanoseconds_of_subscript(shared, keys):
    begin = time.perf_counter_ns()
    for key in keys:
        shared[key]
    return (time.perf_counter_ns() - begin) / len(keys)


def nanoseconds_of_get(shared, keys):
    get = shared.get
    begin = time.perf_counter_ns()
    for key in keys:
        get(key)
    return (time.perf_counter_ns() - begin) / len(keys)


def measure(name, all_keys, use, repeats):
    times = {False: [], True: []}
    with sharedmap.sharedmap(name) as fixed, sharedmap.sharedmap(name, follow=True) as following:
        for repeat in range(repeats + 1):
            keys = random.choices(all_keys, k=KEYS_PER_TURN)
            # Who comes second finds everything in the caches: both come second equally often.
            turns = [fixed, following] if repeat % 2 else [following, fixed]
            use(fixed, keys[:1000])
            for shared in turns:
                took = use(shared, keys)
                if repeat > 0:
                    times[shared is following].append(took)
    return times


def line(entries, title, times):
    ratios = [with_ / without for without, with_ in zip(times[False], times[True], strict=True)]
    tenths = statistics.quantiles(ratios, n=10)
    medians = [statistics.median(times[following]) for following in (False, True)]
    return (
        f"| {entries:,} | {title} | {medians[0]:.1f} | {medians[1]:.1f} "
        f"| {statistics.median(ratios):.3f} | {tenths[0]:.3f} to {tenths[-1]:.3f} |"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--entries", type=int, nargs="+", default=[1_000, 1_000_000])
    parser.add_argument("--repeats", type=int, default=40)
    options = parser.parse_args()
    name = f"benchmark:{uuid.uuid4().hex[:12]}"
    load = " ".join(f"{number:.1f}" for number in os.getloadavg())
    print(f"{options.repeats} turns of {KEYS_PER_TURN:,} lookups each, load {load}\n")
    print("| entries | | follow=False, ns | follow=True, ns | ratio | 80 % of the ratios |")
    print("|---:|---|---:|---:|---:|---:|")
    try:
        for entries in options.entries:
            keys = keys_of(entries)
            sharedmap.share({key: f"value of {key}, 32 chars" for key in keys}, name, force=True)
            for title, use in (
                ("`m[key]`", nanoseconds_of_subscript),
                ("`m.get(key)`", nanoseconds_of_get),
            ):
                print(line(entries, title, measure(name, keys, use, options.repeats)))
    finally:
        sharedmap.remove(name)


if __name__ == "__main__":
    main()
