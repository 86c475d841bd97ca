"""A million lines of JSON: `sharedmap load` beside json and a dict, time and memory.

    python benchmarks/load_lines.py [--lines N] [--repeat N]

Each runs in a process of its own. `json and dict` reads the same lines with json.loads() and puts
them into a dict, which is what every process would do without a shared map; `and share` publishes
that dict besides. Memory is the largest private resident set, taken by the process itself, and for
`load` the snapshot in shared memory comes on top, once for all processes.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import sharedmap

NAME = f"benchmark:lines:{os.getpid()}"

PRELUDE = """
import json, os, sys, time
def peak():
    fields = dict(line.split(":") for line in open("/proc/self/status") if ":" in line)
    return int(fields["VmHWM"].split()[0]) * 1024
begin = time.perf_counter()
"""
REPORT = """
print(json.dumps([time.perf_counter() - begin, peak()]))
"""
DICT = """
d = {}
with open(sys.argv[1], "rb") as file:
    for line in file:
        row = json.loads(line)
        d[row["key"]] = row["value"]
"""
SHARE = """
import sharedmap
sharedmap.share(d, sys.argv[2], force=True)
"""
LOAD = """
from sharedmap._cli import main
main(["load", sys.argv[2], sys.argv[1], "--force"])
"""
WAYS = {"json and dict": DICT, "json, dict and share": DICT + SHARE, "sharedmap load": LOAD}


def write_lines(path, count):
    with open(path, "w") as file:
        for number in range(count):
            key = f"user:{number * 2654435761 % 2**32:010}"
            file.write(json.dumps({"key": key, "value": f"{number:032}"}) + "\n")


def measure(source, path):
    program = [sys.executable, "-c", PRELUDE + source + REPORT, path, NAME]
    begin = time.perf_counter()
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    seconds, peak = json.loads(done.stdout.splitlines()[-1])
    return seconds, peak, time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    found = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "lines.jsonl")
        write_lines(path, options.lines)
        print(f"{options.lines:,} lines, {os.path.getsize(path) / 2**20:.1f} MiB")
        try:
            for _ in range(options.repeat):
                for way, source in WAYS.items():
                    found[way].append(measure(source, path))
            with sharedmap.sharedmap(NAME) as opened:
                print(f"the snapshot: {len(opened):,} entries, {opened.nbytes / 2**20:.1f} MiB")
        finally:
            sharedmap.remove(NAME)
    for way, rows in found.items():
        seconds = [row[0] for row in rows]
        peak = statistics.median(row[1] for row in rows) / 2**20
        print(
            f"{way:22} {statistics.median(seconds):6.2f} s"
            f" [{min(seconds):.2f} to {max(seconds):.2f}], {peak:7.1f} MiB at most"
        )


if __name__ == "__main__":
    main()
