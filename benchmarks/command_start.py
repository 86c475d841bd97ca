"""How long `sharedmap get` takes beside `python -c pass`: most of both is starting Python.

    python benchmarks/command_start.py [--repeat N]

The commands take turns, so that other load of the machine meets them alike. Run it where the
package is installed as by its users: an editable installation imports much at each start.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import sharedmap

NAME = f"benchmark:start:{os.getpid()}"
SCRIPT = Path(sys.executable).parent / "sharedmap"
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "sharedmap get": [SCRIPT, "get", NAME, "key"],
    "sharedmap get --json": [SCRIPT, "get", NAME, "key", "--json"],
    "sharedmap scan": [SCRIPT, "scan", NAME],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=50)
    options = parser.parse_args()
    found = {command: [] for command in COMMANDS}
    sharedmap.share({"key": "value"}, NAME)
    try:
        # The first ones read files into the page cache and may compile modules.
        for turn in range(options.repeat + 2):
            for command, words in COMMANDS.items():
                begin = time.perf_counter()
                subprocess.run(words, stdout=subprocess.DEVNULL, check=True)
                if turn >= 2:
                    found[command].append(time.perf_counter() - begin)
    finally:
        sharedmap.remove(NAME)
    least = found["python -c pass"]
    for command, took in found.items():
        ratio = statistics.median(a / b for a, b in zip(took, least, strict=True))
        print(f"{command:22} {statistics.median(took) * 1e3:6.1f} ms {ratio:6.2f}x")


if __name__ == "__main__":
    main()
