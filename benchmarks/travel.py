"""A large map through Redis: throughput and peak memory of both sides.

    python benchmarks/travel.py [--size MIB] [--program valkey-server]

The server is one of its own, on a unix socket, without persistence. Publisher and agent are
processes of their own. Three versions travel: all of it; the same with 100 values changed, as a
difference; the same with one more value that has grown, as an image, since the publisher has lost
what it kept. Memory is the largest anonymous resident set: what is mapped
of files and shared memory is not counted, as the system takes it back when it needs it.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import sharedmap

NAME = f"benchmark:travel:{os.getpid()}"
LOCAL = NAME + ":there"

PUSH = """
from sharedmap.replication import push
version = push(sys.argv[1], sys.argv[2])
"""
PULL = """
from sharedmap.replication import pull
version = pull(sys.argv[1], sys.argv[2], local=sys.argv[3], directory=sys.argv[4])
"""
PROGRAM = """
import json, sys, time
begin = time.perf_counter()
{}
print(json.dumps([time.perf_counter() - begin, version.transferred, version.size]))
"""


def entries(size):
    for number in range(size // 128):
        yield f"user:{number:012}", f"{number:094}"


def run(source, *arguments):
    """Seconds, bytes that travelled, and the largest anonymous memory while it ran."""
    program = [sys.executable, "-c", PROGRAM.format(source), *arguments]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
    peak = 0

    def watch():
        nonlocal peak
        while process.poll() is None:
            try:
                with open(f"/proc/{process.pid}/status") as lines:
                    peak = max(
                        [peak, *(int(x.split()[1]) for x in lines if x.startswith("RssAnon:"))]
                    )
            except (FileNotFoundError, ProcessLookupError):
                return
            time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    told = process.communicate()[0]
    watcher.join()
    if process.returncode:
        sys.exit("failed")
    seconds, transferred, size = json.loads(told)
    return seconds, transferred, size, peak * 1024


def tell(what, seconds, transferred, size, peak):
    print(
        f"{what:36} {seconds:6.2f} s, {transferred / 2**20:8.3f} of {size / 2**20:.1f} MiB"
        f" travelled, {size / 2**20 / seconds:5.0f} MiB/s of map, {peak / 2**20:6.1f} MiB private",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=1024, metavar="MIB")
    parser.add_argument("--program", default="redis-server")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="travel-")
    socket = f"{folder}/s"
    url = f"unix://{socket}"
    words = ["--port", "0", "--unixsocket", socket, "--save", "", "--dir", folder]
    server = subprocess.Popen([options.program, *words], stdout=subprocess.DEVNULL)
    try:
        begin = time.perf_counter()
        sharedmap.share(entries(options.size * 2**20), NAME)
        print(f"published in {time.perf_counter() - begin:.1f} s")
        count = options.size * 2**20 // 128
        steps = {
            "all of it": {},
            "100 values changed": {f"user:{count // 2 + n:012}": "x" * 94 for n in range(100)},
            "one value grown, as an image": {f"user:{count // 2:012}": "x" * 95},
        }
        kept = os.environ["STATE_DIRECTORY"] = f"{folder}/publisher"
        for what, changes in steps.items():
            if changes:
                sharedmap.update(NAME, changes)
            if what.endswith("as an image"):
                shutil.rmtree(kept)
            tell(f"push, {what}", *run(PUSH, url, NAME))
            tell(f"follow, {what}", *run(PULL, url, NAME, LOCAL, folder))
        with sharedmap.sharedmap(NAME) as one, sharedmap.sharedmap(LOCAL) as other:
            assert one.get("user:000000000001") == other["user:000000000001"]
            assert len(one) == len(other)
    finally:
        sharedmap.remove(NAME)
        sharedmap.remove(LOCAL)
        server.kill()
        server.wait()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
