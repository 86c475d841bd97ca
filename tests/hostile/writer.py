"""Readers look things up while a process writes into the file that they have mapped.

    python3 tests/hostile/writer.py [--lookups N] [--stop-early]

A reader may get any answer, or a SnapshotError. What it must not get is a str that is not what it
says of itself: one that claims to be ASCII and holds a byte above 127 crashes whoever iterates over
it, long after. So each str is taken apart and put together again; both must be alike.

The writer changes references, sizes and types too, so that keys and values lead to wherever it
likes. Exit status 1 when a str is corrupt or the process dies.
"""

import argparse
import array
import mmap
import os
import random
import subprocess
import sys
import uuid

import sharedmap

HEADER_SIZE = 512


# --- the writer ---------------------------------------------------------------------------------

# Two states of some text, of the same size. Both are UTF-8; what lies between them is not.
SWAPS = [(b"\xc3\xa9", b"ab"), (b"\xe7\xba\xa2", b"abc"), (b"\xf0\x9f\x98\x80", b"abcd")]


def scribble(path):
    """Writes until it is killed, or has lost the reader that started it: into some text again and
    again, and now and then anywhere."""
    reader = os.getppid()
    with open(path, "r+b") as file:
        memory = mmap.mmap(file.fileno(), 0)
    chance = random.Random(6)
    # The reader waits for it: from here on it is not reading in peace.
    print("ready", flush=True)
    while os.getppid() == reader:
        place = chance.randrange(HEADER_SIZE, len(memory) - 8)
        if chance.random() < 0.2:
            byte = memory[place]
            for _ in range(50):
                memory[place] = chance.randrange(256)
                memory[place] = byte
            continue
        before = memory[place : place + 4]
        text, ascii_text = chance.choice(SWAPS)
        end = place + len(text)
        for _ in range(2000):
            memory[place:end] = text
            memory[place:end] = ascii_text
        memory[place : place + 4] = before


# --- the check ----------------------------------------------------------------------------------


def corruption(string):
    """What is wrong with a str, or None. Touches a corrupt one as little as possible."""
    try:
        raw = string.encode("latin-1")
    except UnicodeEncodeError:
        raw = None
    if string.isascii() and not raw.isascii():
        return f"says that it is ASCII and holds {max(raw):#x}"
    points = array.array("I", string.encode("utf-32-le", "surrogatepass"))
    if points and max(points) > sys.maxunicode:
        return f"holds {max(points):#x}"
    again = "".join(map(chr, points))
    if string != again or len(string) != len(again) or hash(string) != hash(again):
        return "is not equal to its own characters"
    # A wider kind than its characters need makes it unequal to every str like it.
    if string.isascii() != again.isascii() or sys.getsizeof(string) != sys.getsizeof(again):
        return "has another kind than its characters need"
    return None


# --- the readers --------------------------------------------------------------------------------

ENTRIES = {
    **{f"ascii {i}": "abcdefgh" * 500 + "x" * i for i in range(8)},
    **{f"short {i}": "value" * i for i in range(16)},
    "latin": "é" * 1000,
    "two bytes": "红" * 1000,
    "four bytes": "😀" * 500,
    "lone surrogates": "\ud800" * 100,
    "long key " + "k" * 200: "v",
    "红" * 30: "key of two bytes",
    "int": 5,
    "long int": 1 << 500,
    "float": 0.5,
    "bytes": b"\xff" * 100,
    "bool": True,
    "none": None,
}


def fresh(key):
    """The same key as another object, which nobody has hashed: what is cached is not asked for."""
    return (key + "x")[:-1]


def get(shared):
    for key in ENTRIES:
        yield shared.get(fresh(key))


def get_many(shared):
    yield from shared.get_many(map(fresh, ENTRIES))


def items(shared):
    for key, value in shared.items():
        yield key
        yield value


def backwards(shared):
    yield from reversed(shared)


def places(shared):
    for i in range(len(shared)):
        yield from shared.peekitem(i)


def neighbours(shared):
    for key in ENTRIES:
        yield shared.floor(fresh(key))
        yield shared.ceiling(fresh(key))


def ranges(shared):
    yield from shared["a":"t"].values()
    yield from shared.prefix("ascii")


READERS = [get, get_many, items, backwards, places, neighbours, ranges]


class Tally:
    def __init__(self, wanted, stops_early):
        self.wanted = wanted
        self.stops_early = stops_early
        self.lookups = self.texts = self.refused = self.corrupt = 0

    def is_done(self):
        return self.lookups >= self.wanted or (self.stops_early and self.corrupt > 0)

    def look(self, shared, reader):
        answers = reader(shared)
        while not self.is_done():
            self.lookups += 1
            try:
                answer = next(answers)
            except StopIteration:
                return
            except sharedmap.SnapshotError:
                self.refused += 1
                return
            if isinstance(answer, str):
                self.texts += 1
                wrong = corruption(answer)
                if wrong is not None:
                    self.corrupt += 1
                    print(f"corrupt: a str of {reader.__name__} {wrong}", flush=True)


def read_beside_writer(tally, index):
    """Looks things up until the tally has as many as it wants."""
    name = f"hostile-{uuid.uuid4().hex[:16]}"
    sharedmap.share(ENTRIES, name, index=index)
    writer = subprocess.Popen(
        [sys.executable, __file__, "--scribble", f"/dev/shm/sharedmap.{name}"],
        stdout=subprocess.PIPE,
    )
    try:
        assert writer.stdout.readline() == b"ready\n"
        while not tally.is_done():
            for reader in READERS:
                # Anew each time: an open map remembers the values that it was asked for.
                # The writer may make any value one that wants a decoder.
                with sharedmap.sharedmap(name, decode=bytes) as shared:
                    tally.look(shared, reader)
        assert writer.poll() is None, "the writer died"
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()
        sharedmap.remove(name)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lookups", type=int, default=1_000_000)
    parser.add_argument("--stop-early", action="store_true")
    parser.add_argument("--scribble")
    arguments = parser.parse_args()
    if arguments.scribble:
        return scribble(arguments.scribble)
    print(sharedmap.__file__, flush=True)
    corrupt = 0
    for index in ("hash", "tree"):
        tally = Tally(arguments.lookups // 2, arguments.stop_early)
        read_beside_writer(tally, index)
        print(
            f"{index}: {tally.lookups} lookups, {tally.texts} str checked, "
            f"{tally.refused} refused, {tally.corrupt} corrupt",
            flush=True,
        )
        # Without answers, or without damage seen, nothing would have been tested.
        assert tally.corrupt or (tally.texts > 0 and tally.refused > 0)
        corrupt += tally.corrupt
        if corrupt and arguments.stop_early:
            break
    return 1 if corrupt else 0


if __name__ == "__main__":
    sys.exit(main())
