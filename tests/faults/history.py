"""What processes did to a map and saw of it, and whether one order explains all of that.

A history is linearizable if each operation can be given one moment between its start and its end,
so that a single process that made them in the order of these moments would have seen the same. No
search is needed, as every version says how it came about:

    share of (row, number)     base = (row, number)      a version without updates
    update of (row, number)    one more update           the version before it and that update

So the versions with one base are a CHAIN, in which the generation minus the number of updates is
always the same. Where the name is never removed, generations order all chains; elsewhere time does.
What is known of when a version, or a chain, was published:

    ---+======+-----+=========+------>   min_end    the first moment at which an operation with
       start  end   start     end                   it had ended: it was published before that
              |     |                    max_start  the last one at which one began: it was
           min_end  max_start                       still published after that

What was published before `min_end` and after `max_start`, if that is the larger one, was published
all the time in between, and nothing else was. So these must hold, and are enough:

    no two chains were published at the same time; no other operation lies wholly within a chain
    in a chain no version had ended before an operation with an older version began
    each version has all updates that had a lower generation, and no other
"""

import bisect
import collections
import itertools
import json
import pathlib
import struct

SHARE, UPDATE, REMOVE, READ, ABSENT = range(5)
KINDS = ["share", "update", "remove", "read", "absent"]
BEGUN, DONE, REFUSED, KEPT, TIMED_OUT = range(5)
TIMEOUT = 5_000_000_000  # of share and remove; that of update is longer
NEVER = 1 << 62

# A follower that has found nothing new for a second need not check more often than this.
CHECK_INTERVAL = 1_500_000

# map, kind, outcome, number, start, end, id, generation
RECORD = struct.Struct("<BBBxIqq16sq")
NO_ID = bytes(16)


class Recorder:
    """The files of one process, which survive its death: written at once, nothing is buffered."""

    def __init__(self, folder, row, life):
        path = pathlib.Path(folder, f"{row}.{life}")
        self.records = open(f"{path}.records", "ab", buffering=0)
        self.versions = open(f"{path}.versions", "ab", buffering=0)

    def write(self, place, kind, outcome, number, start, end, unique_id=NO_ID, generation=0):
        record = (place, kind, outcome, number, start, end, unique_id, generation)
        self.records.write(RECORD.pack(*record))

    def write_version(self, place, unique_id, generation, base, expected, updates):
        line = json.dumps([place, unique_id.hex(), generation, base, expected, updates])
        self.versions.write(line.encode() + b"\n")

    def write_complaint(self, text):
        self.versions.write(json.dumps(text).encode() + b"\n")

    def close(self):
        self.records.close()
        self.versions.close()


Write = collections.namedtuple("Write", "kind token outcome start end id generation")


class Zone:
    def __init__(self):
        self.min_end = NEVER
        self.max_start = -1

    def add(self, start, end):
        self.min_end = min(self.min_end, end)
        self.max_start = max(self.max_start, start)

    def contains(self, start, end):
        return self.min_end < start and end < self.max_start


class Version:
    def __init__(self, generation, base, expected, updates):
        self.generation = generation
        self.base = tuple(base)
        self.expected = expected and bytes.fromhex(expected)
        self.updates = frozenset(map(tuple, updates))
        self.zone = Zone()

    def __eq__(self, other):
        mine = (self.generation, self.base, self.expected, self.updates)
        return mine == (other.generation, other.base, other.expected, other.updates)

    __hash__ = None


class History:
    """All that is known of one map."""

    def __init__(self, label, is_removed):
        self.label = label
        self.is_removed = is_removed  # now and then
        self.versions = {}  # id -> Version
        self.writes = []
        self.reads = []  # (start, end) of all that saw a version, whichever
        self.absences = []  # (start, end)
        self.kept = []  # (start, end, base) of followers that found nothing new
        self.complaints = []
        self.read_count = 0

    def complain(self, *words):
        self.complaints.append(f"{self.label}: {' '.join(map(str, words))}")

    # ---- collecting ----------------------------------------------------------------------

    def add_version(self, unique_id, version):
        known = self.versions.setdefault(unique_id, version)
        if known != version:
            self.complain("two contents of version", unique_id.hex())

    def add_read(self, outcome, start, end, unique_id, generation):
        self.read_count += 1
        version = self.versions.get(unique_id)
        if version is None:
            self.complain("nobody has read all of version", unique_id.hex())
            return
        if version.generation != generation:
            self.complain("two generations of version", unique_id.hex())
        if outcome == KEPT:
            start -= CHECK_INTERVAL
            if self.is_removed:
                # A follower keeps what it has, too, while the name is free.
                self.kept.append((start, end, version.base))
                return
        version.zone.add(start, end)
        self.reads.append((start, end))

    # ---- checking ------------------------------------------------------------------------

    def check(self):
        self.tokens = {write.token: write for write in self.writes}
        self.chains = collections.defaultdict(list)
        for version in self.versions.values():
            self.chains[version.base].append(version)
        self.zones = {base: collections.defaultdict(Zone) for base in self.chains}
        self.seen = set(self.chains)
        self.offsets = {}  # base -> the generation of the version without updates
        self.successors = {}  # what was expected -> who replaced it
        for base, chain in self.chains.items():
            self.check_chain(base, chain)
        self.check_expected()
        if not self.is_removed:
            self.check_generations()
        for base, zones in self.zones.items():
            self.check_order(f"after share {base}", zones)
        self.check_between_chains()
        for write in self.writes:
            if write.outcome == TIMED_OUT and write.end - write.start < TIMEOUT:
                self.complain(KINDS[write.kind], write.token, "timed out too early")
        return self.complaints

    def check_token(self, token, kind, first_end):
        write = self.tokens.get(token)
        if write is None or write.kind != kind:
            self.complain("nobody began", KINDS[kind], token)
        elif write.outcome in (REFUSED, TIMED_OUT):
            self.complain(KINDS[kind], token, "failed, and took effect")
        elif first_end < write.start:
            self.complain(KINDS[kind], token, "was seen before it began")
        return write

    def check_chain(self, base, chain):
        """Each version is the one before it and one update."""
        chain.sort(key=lambda version: version.generation)
        zones = self.zones[base]
        first_end = min(version.zone.min_end for version in chain)
        offset = self.offsets[base] = chain[0].generation - len(chain[0].updates)
        write = self.check_token(base, SHARE, first_end)
        if write is not None:
            zones[offset].add(write.start, write.end if write.outcome == DONE else NEVER)
        before = frozenset()
        generation = offset - 1
        for version in chain:
            if version.generation == generation:
                self.complain("two versions have generation", generation, "after share", base)
            if version.generation - len(version.updates) != offset:
                self.complain(
                    f"{len(version.updates)} updates between generations {offset} and",
                    version.generation,
                )
            if not before <= version.updates:
                lost = sorted(before - version.updates)
                self.complain("generation", version.generation, "has lost updates", lost)
            for token in version.updates - before:
                self.check_update(token, chain, zones, version)
            self.seen |= version.updates
            zones[version.generation].add(version.zone.max_start, version.zone.min_end)
            before, generation = version.updates, version.generation

    def check_update(self, token, chain, zones, first):
        """`first` is the first version that is known to have it."""
        if token in self.seen:
            self.complain("update", token, "took effect twice")
        write = self.check_token(token, UPDATE, first.zone.min_end)
        if write is None or write.outcome != DONE:
            return
        has_it = [token in version.updates for version in chain]
        expected = [version.generation >= write.generation for version in chain]
        if has_it != expected:
            self.complain("update", token, "is not in what has generation", write.generation)
        self.add_update_zones(write, zones)

    def add_update_zones(self, write, zones):
        # It read the version that it replaced, and nobody else replaced that.
        zones[write.generation - 1].add(write.start, write.end)
        zones[write.generation].add(write.start, write.end)

    def check_expected(self):
        for version in self.versions.values():
            if version.updates or not version.expected:
                continue
            self.note_successor(version.expected, version.base)
            old = self.versions[version.expected]
            if version.generation != old.generation + 1:
                self.complain(
                    f"share {version.base} expected generation {old.generation} and has",
                    version.generation,
                )
            if self.chains[old.base][-1].generation > old.generation:
                self.complain("share", version.base, "replaced another than it expected")
        for write in self.writes:
            if write.kind != SHARE or write.id == NO_ID:
                continue
            expected = self.versions[write.id]
            if write.outcome == DONE:
                self.note_successor(write.id, write.token)
                self.zones[expected.base][expected.generation].add(write.start, write.end)
            elif write.outcome == REFUSED and expected.zone.contains(write.start, write.end):
                self.complain("share", write.token, "did not find what was published")

    def note_successor(self, unique_id, token):
        if self.successors.setdefault(unique_id, token) != token:
            other = self.successors[unique_id]
            self.complain("shares", token, "and", other, "replaced the same version")

    def check_generations(self):
        """No name was taken away, so one generation after the other."""
        bases = sorted(self.offsets, key=self.offsets.get)
        merged = self.zones = {"": collections.defaultdict(Zone)}
        owners = {}
        for base in bases:
            for version in self.chains[base]:
                if owners.setdefault(version.generation, base) != base:
                    self.complain("two versions have generation", version.generation)
                merged[""][version.generation].add(version.zone.max_start, version.zone.min_end)
        for base, following in itertools.pairwise(bases):
            last = self.chains[base][-1].generation
            if last >= self.offsets[following]:
                self.complain("generation", last, "was not replaced by share", following)
        starts = [self.offsets[base] for base in bases]
        for write in self.writes:
            if write.kind == SHARE and write.token in self.offsets:
                end = write.end if write.outcome == DONE else NEVER
                merged[""][self.offsets[write.token]].add(write.start, end)
            if write.kind != UPDATE or write.outcome != DONE:
                continue
            self.add_update_zones(write, merged[""])
            at = bisect.bisect_left(starts, write.generation) - 1
            if write.token not in self.seen and at >= 0:
                chain = self.chains[bases[at]]
                if chain[-1].generation >= write.generation:
                    self.complain("update", write.token, "to", write.generation, "is lost")

    def check_order(self, what, zones):
        latest, of = -1, 0
        for generation in sorted(zones):
            zone = zones[generation]
            if zone.min_end < latest:
                self.complain(
                    f"{what}: generation {of} was there {(latest - zone.min_end) / 1e6:.3f} ms"
                    f" after generation {generation}"
                )
                return
            if zone.max_start > latest:
                latest, of = zone.max_start, generation

    def check_between_chains(self):
        whole = {}
        for base, chain in self.chains.items():
            zone = whole[base] = Zone()
            own = self.zones.get(base, {}).values()
            for part in [*(version.zone for version in chain), *own]:
                zone.add(part.max_start, part.min_end)
        forward = [(zone, base) for base, zone in whole.items() if zone.min_end < zone.max_start]
        forward.sort(key=lambda entry: entry[0].min_end)
        for (zone, base), (following, other) in itertools.pairwise(forward):
            if following.min_end < zone.max_start:
                self.complain("shares", base, "and", other, "were there at the same time")
        starts = [zone.min_end for zone, _ in forward]

        def check_not_inside(what, start, end, but=None):
            at = bisect.bisect_left(starts, start) - 1
            if at >= 0 and forward[at][1] != but and forward[at][0].contains(start, end):
                self.complain(what, "had no effect on share", forward[at][1])

        for zone in whole.values():
            if zone.min_end >= zone.max_start:
                check_not_inside("a share", zone.max_start, zone.min_end)
        for write in self.writes:
            is_unseen = write.kind == REMOVE or write.token not in self.seen
            if write.outcome == DONE and is_unseen:
                check_not_inside(f"{KINDS[write.kind]} {write.token}", write.start, write.end)
        for start, end in self.absences:
            check_not_inside("the absence of the name", start, end)
        for start, end, base in self.kept:
            check_not_inside(f"share {base}, which a follower kept,", start, end, base)
        self.check_absences()

    def check_absences(self):
        """A name is free only after it was removed."""
        present = [*self.reads]
        present += [
            (write.start, write.end)
            for write in self.writes
            if write.outcome == DONE and write.kind in (SHARE, UPDATE)
        ]
        present.sort(key=lambda interval: interval[1])
        present_starts = running_maximum(start for start, _ in present)
        removes = sorted(
            (write.start, write.end)
            for write in self.writes
            if write.kind == REMOVE and write.outcome not in (REFUSED, TIMED_OUT)
        )
        remove_ends = running_maximum(end for _, end in removes)
        for start, end in self.absences:
            at = bisect.bisect_left(present, start, key=lambda interval: interval[1]) - 1
            removed = bisect.bisect_left(removes, (end, 0)) - 1
            if at >= 0 and (removed < 0 or remove_ends[removed] < present_starts[at]):
                self.complain("the name was free, and nobody had removed it")


def running_maximum(numbers):
    result = []
    for number in numbers:
        result.append(max(number, result[-1]) if result else number)
    return result


# ---- what the processes have written -------------------------------------------------------------


def whole_lines(path):
    """Without what its writer was killed in the middle of."""
    text = path.read_bytes()
    return [json.loads(line) for line in text[: text.rfind(b"\n") + 1].splitlines()]


def load(folder, histories, ends):
    """Fills the histories; `ends` tells when a process, by (row, life), had died for certain."""
    for path in sorted(pathlib.Path(folder).glob("*.versions")):
        for line in whole_lines(path):
            if isinstance(line, str):
                histories[0].complain(line)
                continue
            place, unique_id, *rest = line
            histories[place].add_version(bytes.fromhex(unique_id), Version(*rest))
    for path in sorted(pathlib.Path(folder).glob("*.records")):
        row, life = map(int, path.name.split(".")[:2])
        load_records(path, row, histories, ends[row, life])


def load_records(path, row, histories, end_of_process):
    data = path.read_bytes()
    begun = None
    for record in RECORD.iter_unpack(data[: len(data) - len(data) % RECORD.size]):
        place, kind, outcome, number, start, end, unique_id, generation = record
        history = histories[place]
        if kind == READ:
            history.add_read(outcome, start, end, unique_id, generation)
        elif kind == ABSENT:
            history.absences.append((start, end))
        elif outcome == BEGUN:
            begun = (
                history,
                Write(kind, (row, number), BEGUN, start, end_of_process, unique_id, 0),
            )
        else:
            begun = None
            write = Write(kind, (row, number), outcome, start, end, unique_id, generation)
            history.writes.append(write)
    if begun is not None:
        begun[0].writes.append(begun[1])
