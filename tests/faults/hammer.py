"""Random kills: publishers, updaters and removers die at any moment, readers must not notice.

    python3 tests/faults/hammer.py --kills 10000 [--seed N] [--deltas]

Four maps are played with at the same time, by processes that know nothing of each other:

    whole      publishers share it anew and updaters change it; never removed
    removed    the same, and removers take it away in between
    counters   updaters only, each raises a counter of its own: none of its steps may get lost
    saved      a file, to which publishers save

    parent     kill -9 ... kill -9 ... kill -9 ...            (a new process for each)
    writers    share, update, remove, share, ...
    readers    follow, refresh, wait, open again, watch       (killed now and then, too)

Each value says who wrote it and when, so that values of two publications in one snapshot, or half a
value, cannot be taken for anything else. A reader keeps looking at

    whole      all values of the shared part are of one publication, all of an updater of one update
    going on   no generation comes after a higher one or stands for two contents, unless somebody
               removed the name in between
    nothing    what an update has returned is in what is read afterwards
      is lost

and in the end, after one more publication, each reader has to come to that by itself, there is one
file for each name, and none after it was removed. With --deltas all maps but the saved one are
large enough to have some, and updates have to append, fold and compact. Exits with a failure if
anything was different.
"""

import argparse
import asyncio
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
import traceback
import uuid

import deltas
from cells import Cells

import sharedmap

SHM = "/dev/shm/"
SHARED_KEYS = [f"shared/{number:03}" for number in range(60)]
MORE_SHARED_KEYS = [f"shared/{number:03}" for number in range(60, 400)]
UPDATED_KEYS = [f"updated/{{}}/{number:03}" for number in range(10)]
LAST = "last"  # who wrote the last publication of all
HANG = 30  # seconds without any progress, or until the last publication is read
BAD_END = 3
PARENT = 99  # the writer of what is there before all others

READERS = ["follow", "refresh", "wait", "open", "watch"]


# For each process: what it has begun, what it has finished, and what came of it.
BEGUN, ENDED, RESULT, CELLS_PER_PROCESS = range(4)


class Arena:
    """One map, and who plays with it."""

    def __init__(self, label, place, writers, readers):
        self.label = label
        self.place = place
        self.roles = writers + readers
        self.writer_count = len(writers)
        self.cells = Cells(CELLS_PER_PROCESS * len(self.roles))

    def cell(self, row, what):
        return self.cells[CELLS_PER_PROCESS * row + what]

    def set_cell(self, row, what, number):
        self.cells[CELLS_PER_PROCESS * row + what] = number

    def rows_of(self, *roles):
        return [row for row, role in enumerate(self.roles) if role in roles]

    def open(self, follow=False):
        if self.label == "saved":
            return sharedmap.sharedmap.open(self.place, follow=follow)
        return sharedmap.sharedmap(self.place, follow=follow)

    def publish(self, entries, rng):
        if self.label == "saved":
            sharedmap.rbtree(entries).save(self.place, force=True, timeout=HANG)
        elif rng.random() < 0.5:
            sharedmap.rbtree(entries).share(self.place, force=True, timeout=HANG)
        else:
            sharedmap.share(entries, self.place, force=True, timeout=HANG)

    def folder(self):
        return os.path.dirname(self.place) if self.label == "saved" else SHM

    def files(self):
        """All that belong to the map, temporary ones included."""
        own = "map" if self.label == "saved" else f"sharedmap.{self.place}"
        return [file for file in os.listdir(self.folder()) if file.startswith(own)]

    def remove(self):
        if self.label == "saved":
            os.unlink(self.place)
        else:
            assert sharedmap.remove(self.place)


# --- those who write --------------------------------------------------------------------------


def value(writer, number, key):
    # Of different sizes, so that other snapshots have other layouts.
    return f"{writer}:{number}:{key}:" + "x" * (number % 97)


def share_forever(arena, row, rng):
    while True:
        number = arena.cell(row, BEGUN) + 1
        arena.set_cell(row, BEGUN, number)
        keys = SHARED_KEYS[: rng.randint(1, len(SHARED_KEYS))]
        content = {key: value(row, number, key) for key in keys}
        arena.publish(content, rng)
        arena.set_cell(row, ENDED, number)


def update_forever(arena, row, rng):
    """Its number is also the value of its counter: on it goes where its predecessor was killed."""
    keys = [key.format(row) for key in UPDATED_KEYS]
    while True:
        number = arena.cell(row, BEGUN) + 1
        arena.set_cell(row, BEGUN, number)
        changes = {key: value(row, number, key) for key in keys}
        removed = [f"shared/{rng.randint(0, 999):03}x"]
        with contextlib.suppress(FileNotFoundError):
            generation = sharedmap.update(arena.place, changes, remove=removed, timeout=HANG)
            arena.set_cell(row, RESULT, generation)
            arena.set_cell(row, ENDED, number)


def remove_forever(arena, row, rng):
    while True:
        number = arena.cell(row, BEGUN) + 1
        arena.set_cell(row, BEGUN, number)
        sharedmap.remove(arena.place, timeout=HANG)
        arena.set_cell(row, ENDED, number)
        time.sleep(rng.random() * 0.02)


# --- those who read ---------------------------------------------------------------------------


def parse(text, key):
    writer, number, its_key, filling = text.split(":")
    number = int(number)
    assert (its_key, filling) == (key, "x" * (number % 97)), f"{key!r} has {text!r}"
    return writer, number


def check_whole(content):
    """Each group of keys was written at one stroke; updater -> the number of its update."""
    groups = {}
    for key, text in content.items():
        folder, *rest = key.split("/")
        groups.setdefault((folder, *rest[:-1]), []).append((key, parse(text, key)))
    for group, members in groups.items():
        stamps = {stamp for _, stamp in members}
        assert len(stamps) == 1, f"values of {len(stamps)} publications: {stamps}"
        keys = [key for key, _ in members]
        expected = SHARED_KEYS if group[0] == "shared" else UPDATED_KEYS
        expected = [key.format(*group[1:]) for key in expected][: len(keys)]
        assert keys == expected, f"keys {keys}"
        assert group[0] == "shared" or len(keys) == len(UPDATED_KEYS), f"keys {keys}"
    return {group[1]: members[0][1][1] for group, members in groups.items() if len(group) > 1}


class Watch:
    """What one reader has seen so far, and what may come next."""

    def __init__(self, arena):
        self.arena = arena
        self.content = None
        self.generation = 0
        self.counters = {}
        self.removals_ended = self.removals(ENDED)

    def removals(self, what):
        return [self.arena.cell(row, what) for row in self.arena.rows_of("remove")]

    def promises(self):
        """What must be in whatever is read from now on."""
        if self.arena.label == "removed":
            return 0, {}
        rows = self.arena.rows_of("update")
        counters = {}
        if self.arena.label == "counters":
            counters = {str(row): self.arena.cell(row, ENDED) for row in rows}
        return max((self.arena.cell(row, RESULT) for row in rows), default=0), counters

    def check(self, pinned, promises=(0, {})):
        """One snapshot, read from the first entry to the last; True when it is the last one."""
        content = dict(pinned)
        generation = pinned.generation
        pinned.verify()
        least_generation, least_counters = promises
        if LAST in content:
            assert set(content) == {LAST}
            return True
        counters = check_whole(content)
        assert generation >= least_generation, f"{generation} after an update to {least_generation}"
        for row, number in least_counters.items():
            assert counters.get(row, 0) >= number, f"update {number} of {row} is lost: {counters}"
        self.check_order(generation, content, counters)
        if (generation, content) != (self.generation, self.content):
            # It was still published when it was opened. Whoever keeps it may do so long after.
            self.removals_ended = self.removals_before
        self.generation, self.content, self.counters = generation, content, counters
        return False

    def check_order(self, generation, content, counters):
        """Whoever sees a lower number than before, or the same of something else, must have met a
        removal that is not that old."""
        is_other = generation == self.generation and content != self.content
        went_back = (
            generation < self.generation
            or is_other
            or any(
                counters.get(row, 0) < number
                for row, number in self.counters.items()
                if self.arena.label == "counters"
            )
        )
        begun = self.removals(BEGUN)
        may_be_removed = any(b > e for b, e in zip(begun, self.removals_ended, strict=True))
        assert not went_back or may_be_removed, (
            f"went back from {self.generation} {self.counters} to {generation} {counters}"
        )

    def about_to_read(self):
        self.removals_before = self.removals(ENDED)
        return self.promises()


def open_when_there(arena, follow=False):
    while True:
        with contextlib.suppress(FileNotFoundError):
            return arena.open(follow)
        time.sleep(0.0005)


def read_forever(arena, row, kind):
    """Ends when it has read the last publication."""
    is_following = kind == "follow"
    watch = Watch(arena)
    shared = open_when_there(arena, is_following)
    while True:
        if kind == "wait":
            shared.wait(0.2)
        promises = watch.about_to_read()
        if kind == "open":
            pinned = open_when_there(arena)
        else:
            if not is_following:
                shared.refresh()
            pinned = shared.snapshot()
        with pinned:
            if watch.check(pinned, (0, {}) if is_following else promises):
                arena.set_cell(row, RESULT, 1)
                return
        arena.set_cell(row, ENDED, arena.cell(row, ENDED) + 1)


async def watch_forever(arena, row):
    watch = Watch(arena)
    watch.about_to_read()
    async for shared in sharedmap.watch(arena.place):
        with shared:
            if watch.check(shared):
                arena.set_cell(row, RESULT, 1)
                return
        arena.set_cell(row, ENDED, arena.cell(row, ENDED) + 1)
        watch.about_to_read()


# --- the parent -------------------------------------------------------------------------------


def play(arena, row, seed):
    rng = random.Random(seed)
    role = arena.roles[row]
    writers = {"share": share_forever, "update": update_forever, "remove": remove_forever}
    if role in writers:
        writers[role](arena, row, rng)
    elif role == "watch":
        asyncio.run(watch_forever(arena, row))
    else:
        read_forever(arena, row, role)


def start(arena, row, seed):
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = BAD_END
        try:
            os.nice(5)  # the parent must come to its turn among so many
            play(arena, row, seed)
            status = 0
        except BaseException:
            sys.stderr.write(f"--- {arena.label}, {arena.roles[row]}\n{traceback.format_exc()}")
            sys.stderr.flush()
        finally:
            os._exit(status)
    return child


class Hammer:
    def __init__(self, arenas, rng):
        self.arenas = arenas
        self.rng = rng
        self.children = {}  # (arena, row) -> process
        self.bad_ends = 0
        self.kills = 0
        self.killed_inside = 0
        self.most_files = 0

    def start(self, arena, row):
        self.children[arena, row] = start(arena, row, self.rng.random())

    def end(self, arena, row):
        """Kills whoever plays that role, and looks how it ended."""
        child = self.children.pop((arena, row))
        os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        self.bad_ends += code not in (-signal.SIGKILL, 0)
        if arena.roles[row] == "remove":
            # It is gone for certain, so what it was about to do will not happen any more.
            arena.set_cell(row, ENDED, arena.cell(row, BEGUN))

    def has_lost_somebody(self):
        """Nobody ends by himself, but by an exception."""
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def strike(self, arena):
        """Kills one of them, mostly a writer."""
        if self.rng.random() < 0.95:
            row = self.rng.randrange(arena.writer_count)
        else:
            row = self.rng.randrange(arena.writer_count, len(arena.roles))
        begun, ended = arena.cell(row, BEGUN), arena.cell(row, ENDED)
        self.end(arena, row)
        self.kills += 1
        self.killed_inside += begun > ended
        self.most_files = max(self.most_files, len(arena.files()))
        self.start(arena, row)

    def hammer(self, kills):
        while self.kills < kills and not self.has_lost_somebody():
            time.sleep(self.rng.random() * 0.003)
            for arena in self.arenas:
                self.strike(arena)

    def finish(self):
        """The last publication, the end of the readers, and what is left."""
        complaints = []
        for arena in self.arenas:
            for row in range(arena.writer_count):
                self.end(arena, row)
        for arena in self.arenas:
            arena.publish({LAST: True}, self.rng)
            if len(arena.files()) != 1:
                complaints.append(f"{arena.label}: files {arena.files()} after the last share")
        deadline = time.monotonic() + HANG
        for (arena, row), child in self.children.items():
            while not arena.cell(row, RESULT) and time.monotonic() < deadline:
                if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    break
                time.sleep(0.002)
            if not arena.cell(row, RESULT):
                complaints.append(f"{arena.label}, {arena.roles[row]}: never read the last share")
        for arena, row in list(self.children):
            self.end(arena, row)
        for arena in self.arenas:
            arena.remove()
            if arena.files():
                complaints.append(f"{arena.label}: files {arena.files()} after remove")
            # Each has done something since the start: nobody was stuck all the time.
            for row, role in enumerate(arena.roles):
                if arena.cell(row, ENDED) == 0 and self.kills > 200:
                    complaints.append(f"{arena.label}, {role}: did nothing at all")
        return complaints

    def clean_up(self):
        for child in self.children.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
        for arena in self.arenas:
            for file in arena.files():
                os.unlink(os.path.join(arena.folder(), file))

    def report(self):
        for arena in self.arenas:
            done = {}
            for row, role in enumerate(arena.roles):
                done[role] = done.get(role, 0) + arena.cell(row, ENDED)
            print(f"{arena.label:10}" + ", ".join(f"{role} {n}" for role, n in done.items()))
        print(
            f"{self.kills} kills, {self.killed_inside} of them inside an operation; "
            f"at most {self.most_files} files for a name"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--deltas", action="store_true", help="of maps that are large enough")
    options = parser.parse_args()
    if options.deltas and not deltas.have_small_maps():
        sys.exit(deltas.run_again())
    if options.deltas:
        SHARED_KEYS.extend(MORE_SHARED_KEYS)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    token = f"hammer:{uuid.uuid4().hex[:12]}"
    with tempfile.TemporaryDirectory(prefix=token, dir=SHM) as folder:
        arenas = [
            Arena("whole", f"{token}.w", ["share", "share", "update", "update"], READERS),
            Arena("removed", f"{token}.r", ["share", "share", "update", "remove"], READERS),
            Arena("counters", f"{token}.c", ["update"] * 3, READERS),
            Arena("saved", f"{folder}/map", ["share"] * 3, READERS[:-1]),
        ]
        filling = SHARED_KEYS if options.deltas else []
        sharedmap.share({key: value(PARENT, 1, key) for key in filling}, arenas[2].place)
        watcher = deltas.Watcher([f"{SHM}sharedmap.{arena.place}" for arena in arenas[:3]])
        hammer = Hammer(arenas, random.Random(seed))
        begin = time.monotonic()
        try:
            for arena in arenas:
                for row in range(len(arena.roles)):
                    hammer.start(arena, row)
            hammer.hammer(options.kills)
            complaints = hammer.finish()
        finally:
            hammer.clean_up()
            counts = watcher.end()
        hammer.report()
    print(deltas.told(counts))
    if options.deltas:
        complaints += deltas.missing(counts)
    print(f"{time.monotonic() - begin:.0f} s")
    for complaint in complaints:
        print("FAILED:", complaint)
    if hammer.bad_ends:
        print(f"FAILED: {hammer.bad_ends} processes ended by an exception")
    sys.exit(1 if complaints or hammer.bad_ends else 0)


if __name__ == "__main__":
    main()
