"""A reader of snapshots that shares no line with the extension, written from docs/FORMAT.md.

read() checks what a reader must check and what a writer promises, and looks up each key by hash.
Of bytes that have deltas it reads the version that the head leads to, and goes through that in all
the ways that the format describes: by key, by index, and by what is below a key.
"""

import bisect
import functools
import struct

MASK = 2**64 - 1
K0, K1, K2 = 0x243F6A8885A308D3, 0x13198A2E03707345, 0xA4093822299F31D1
K3, K4 = 0x082EFA98EC4E6C89, 0x452821E638D01377
HEADER = struct.Struct("<8sIIIIQQBBHHHQQ 8Q Q16sQ4Q I60s 256s")
DELTA = struct.Struct("<8sQQQQQIIQ Q16sQQ24s")
NONE, BOOL, INT, FLOAT, STR, BYTES, ENCODED, CONTAINER = range(8)
TOMBSTONE = object()


def fold(left, right):
    return (left * right ^ left * right >> 64) & MASK


def rotated(word, bits):
    return (word << bits | word >> 64 - bits) & MASK


def number(data, at, size):
    return int.from_bytes(data[at : at + size], "little")


def hash_bytes(data, seed=0):
    size, at, state = len(data), 0, seed ^ K0
    if size > 64:
        a, b, c, d = state, state ^ K2, state ^ K3, state ^ K4
        for w in struct.iter_unpack("<8Q", data[: (size - 1) // 64 * 64]):
            a, b = fold(w[0] ^ K1, w[1] ^ a), fold(w[2] ^ K2, w[3] ^ b)
            c, d = fold(w[4] ^ K3, w[5] ^ c), fold(w[6] ^ K4, w[7] ^ d)
            at += 64
        state = a ^ rotated(b, 17) ^ rotated(c, 31) ^ rotated(d, 47)
    while size - at > 16:
        state = fold(number(data, at, 8) ^ K2, number(data, at + 8, 8) ^ state)
        at += 16
    low = high = 0
    if size >= 8:
        low, high = number(data, max(size - 16, 0), 8), number(data, size - 8, 8)
    elif size >= 4:
        low, high = number(data, 0, 4), number(data, size - 4, 4)
    elif size >= 1:
        low = data[0] << 16 | data[size // 2] << 8 | data[size - 1]
    return fold(K3 ^ size, fold(low ^ K1, high ^ state) ^ K4)


def header_checksum(data):
    """Of the header with zeros for what is random, what changes and the checksum itself."""
    return hash_bytes(
        data[:136] + bytes(24) + data[160:192] + bytes(4) + data[196:200] + bytes(8) + data[208:512]
    )


def seal(data):
    return data[:152] + struct.pack("<Q", header_checksum(data)) + data[160:]


def label(data):
    return data[256:][: number(data, 42, 2)].decode("utf-8", "surrogatepass")


def align(size):
    return -(-size // 64) * 64


def read(data):
    """The entries of the newest version in the order of the index, as (key, value)."""
    total_size, head = number(data, 24, 8), number(data, 192, 4) & ~1
    base = base_of(bytes(data[:192] + bytes(4) + data[196:total_size]))
    limit = max(number(data, 168, 8), total_size)
    assert total_size <= len(data) <= limit
    assert limit % 64 == 0
    if head == 0:
        return texts(base.entries)
    deltas = read_deltas(data, base, head)
    version = deltas[head].over(deltas)
    check_version(version, deltas)
    return texts([version.at(index) for index in range(version.length)])


@functools.lru_cache(maxsize=1)
def base_of(data):
    """The versions of a file have one base, which need not be checked for each of them."""
    return Base(data)


def texts(entries):
    return [(key.decode("utf-8", "surrogatepass"), value) for key, value in entries]


class Base:
    def __init__(self, data):
        fields = HEADER.unpack_from(data)
        magic, version, header_size, kind, flags, total_size, count, width, shift = fields[:9]
        label_size, aligned, reserved, seed, checksum, *regions = fields[9:22]
        _generation, _id, sealed, _time, limit, *more_reserved, _head, tail, label_bytes = fields[
            22:
        ]
        (index, index_size), (buckets, buckets_size), region, (records, records_size) = zip(
            regions[::2], regions[1::2], strict=True
        )
        has_hash, self.has_containers = flags & 1, flags >> 2
        assert (magic, version, header_size, kind) == (b"\x89SMAP\r\n\x1a", 1, 512, 1)
        assert flags in (0, 1, 4, 5)
        assert (total_size % 64, sealed) == (0, header_checksum(data))
        assert limit % 64 == 0
        assert aligned in (0, 8) or (aligned in (16, 32, 64) and limit == 0)
        assert not any([reserved, *region, *more_reserved, *tail, *label_bytes[label_size:]])
        assert (records, index, index_size) == (512, align(512 + records_size), count * width)
        assert buckets == has_hash * align(index + index_size)
        assert buckets_size == has_hash * 64 * bucket_count(count, width)
        state = 0
        for at in range(512, total_size, 65536):
            state = hash_bytes(data[at : min(at + 65536, total_size)], state)
        assert state == checksum

        self.entries, end = [], records
        for place in range(index, index + index_size, width):
            at = records + (number(data, place, width) << shift)
            # Records follow each other without a gap, but for one that a shift or alignment makes.
            assert 0 <= at - end < max(1 << shift, aligned)
            assert not any(data[end:at])
            before = end
            key, value, end = read_record(data, at)
            is_aligned = number(data, at, 2) & 7 in (BYTES, ENCODED)
            value_at = end - len(value) if is_aligned and aligned > 8 else 0
            assert value_at % max(aligned, 1) == 0
            assert shift or value_at or before == at
            table = data[buckets : buckets + buckets_size]
            found = find(data, table, width, shift, seed, key)
            assert not has_hash or found[::2] == (key, end)
            assert value is not TOMBSTONE
            self.entries.append((key, value))
        assert end == records + records_size
        assert not any(data[end:index])
        assert [key for key, _ in self.entries] == sorted({key for key, _ in self.entries})
        assert self.has_containers == any(map(is_container, self.entries))
        self.seed, self.width, self.has_hash, self.end = seed, width, has_hash, total_size
        self.length = count

    def get(self, key):
        found = self.below(key)
        is_there = found < self.length and self.entries[found][0] == key
        return self.entries[found][1] if is_there else TOMBSTONE

    def at(self, index):
        return self.entries[index]

    def below(self, key):
        """How many entries have a lower key."""
        low, high = 0, len(self.entries)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self.entries[middle][0] < key else (low, middle)
        return low


def bucket_count(count, width):
    return count * 10 // (92 if width == 4 else 53) + 1


class Delta(Base):
    """One delta, checked as far as it can be without what lies beneath."""

    def __init__(self, data, base, begin):
        (magic, size, count, length, records_size, since_fold, beneath, reserved, checksum) = (
            DELTA.unpack_from(data, begin)[:9]
        )
        *_identity, sealed, _time, more_reserved = DELTA.unpack_from(data, begin)[9:]
        header = data[begin : begin + 128]
        assert magic == b"\x89SMDE\r\n\x1a"
        assert sealed == hash_bytes(header[:88] + bytes(8) + header[96:])
        assert not any([reserved, *more_reserved])
        assert (since_fold != 0) == (beneath != 0)
        assert (size % 64, beneath % 2) == (0, 0)
        assert begin + size <= len(data)
        assert checksum == hash_bytes(data[begin + 128 : begin + size])

        width, room, records = base.width, base.end, begin + 128
        index = begin + align(128 + records_size)
        ranks = align(index + count * width)
        buckets = align(ranks + (count + 1) * 2 * width)
        assert not any(data[records + records_size : index])
        assert not any(data[index + count * width : ranks])
        assert not any(data[ranks + (count + 1) * 2 * width : buckets])
        assert begin + size - buckets == base.has_hash * 64 * bucket_count(count, width)

        self.log, at = [], records
        while at < records + records_size:
            key, value, at = read_record(data, at, room)
            self.log.append((key, value))
        assert at == records + records_size
        assert base.has_containers or not any(map(is_container, self.log))
        assert [key for key, _ in self.log] == sorted({key for key, _ in self.log})

        self.entries, table = [], data[buckets : begin + size]
        for place in range(index, index + count * width, width):
            at = room + number(data, place, width)
            assert at < records + records_size
            key, value, end = read_record(data, at, room)
            found = find(data, table, width, 0, base.seed, key, room)
            assert not base.has_hash or found[::2] == (key, end)
            self.entries.append((key, value))
        assert [key for key, _ in self.entries] == sorted({key for key, _ in self.entries})
        pairs = [number(data, ranks + i * width, width) for i in range(2 * count + 2)]
        self.below_list, self.rank_list = pairs[::2], pairs[1::2]
        self.length, self.beneath, self.base, self.end = length, beneath, base, begin + size

    def over(self, deltas):
        """The version of which this is the newest delta."""
        return Version(self, deltas[self.beneath].over(deltas) if self.beneath else self.base)


class Version:
    def __init__(self, delta, beneath):
        self.delta, self.beneath, self.length = delta, beneath, delta.length

    def shift(self, j):
        return self.delta.rank_list[j] - self.delta.below_list[j]

    def step(self, j):
        return self.shift(j + 1) - self.shift(j)

    def get(self, key):
        j = Base.below(self.delta, key)
        if j < len(self.delta.entries) and self.delta.entries[j][0] == key:
            return self.delta.entries[j][1]
        return self.beneath.get(key)

    def at(self, index):
        ranks = self.delta.rank_list[:-1]
        j = bisect.bisect_right(ranks, index)
        if j > 0 and ranks[j - 1] == index and self.step(j - 1) >= 0:
            return self.delta.entries[j - 1]
        return self.beneath.at(index - self.shift(j))

    def below(self, key):
        j = Base.below(self.delta, key)
        if j < len(self.delta.entries) and self.delta.entries[j][0] == key:
            return self.delta.rank_list[j]
        return self.beneath.below(key) + self.shift(j)


def read_deltas(data, base, head):
    """All deltas up to the newest, each of which ends where the next one begins."""
    deltas, begin = {}, base.end
    while head not in deltas:
        delta = Delta(data, base, begin)
        deltas[((begin - base.end) // 64 + 1) << 1] = delta
        begin = delta.end
    for delta in deltas.values():
        assert delta.beneath == 0 or deltas[delta.beneath].beneath == 0
    return deltas


def check_version(version, deltas):
    """What the deltas say of what lies beneath them, and all ways to read the version."""
    layers = [version]
    while isinstance(layers[-1].beneath, Version):
        layers.append(layers[-1].beneath)
    assert len(layers) <= 2
    for layer in layers:
        delta, beneath = layer.delta, layer.beneath
        assert layer.shift(0) == 0
        assert delta.below_list[-1] == beneath.length
        assert delta.rank_list[-1] == layer.length
        for j, (key, value) in enumerate(delta.entries):
            is_beneath = beneath.get(key) is not TOMBSTONE
            assert delta.below_list[j] == beneath.below(key)
            assert layer.step(j) == (value is not TOMBSTONE) - is_beneath
            assert is_beneath or value is not TOMBSTONE
    keys = sorted(
        {key for layer in [*deltas.values(), layers[-1].beneath] for key, _ in layer.entries}
    )
    there = [key for key in keys if version.get(key) is not TOMBSTONE]
    assert version.length == len(there)
    for index, key in enumerate(there):
        assert version.at(index) == (key, version.get(key))
        assert version.below(key) == index
        assert version.below(key + b"\0") == index + 1


def changes(data):
    """What each delta's publisher put and removed, oldest first: a dict and a set for each."""
    base, head = Base(data), number(data, 192, 4) & ~1
    deltas = read_deltas(data, base, head).values() if head else []
    logs = [[(key.decode("utf-8", "surrogatepass"), value) for key, value in d.log] for d in deltas]
    return [
        (
            {key: value for key, value in log if value is not TOMBSTONE},
            {key for key, value in log if value is TOMBSTONE},
        )
        for log in logs
    ]


def find(data, table, width, shift, seed, key, records=512):
    """The record with this key by the hash index, None if there is none."""
    if not table:
        return None
    digest, slots = hash_bytes(key, seed), 12 if width == 4 else 7
    count = len(table) // 64
    home = digest * count >> 64
    for at in range(home, home + table[home * 64 + slots] + 1):
        bucket = table[at % count * 64 :][:64]
        for slot in range(slots):
            reference = number(bucket, 64 - (slots - slot) * width, width)
            if bucket[slot] == (digest & 255 or 1):
                record = read_record(data, records + (reference << shift), records)
                if record[0] == key:
                    return record
    return None


def read_size(data, at, code, escape):
    """A size that has no room in the head follows it, in as few bytes as it can."""
    if code < escape:
        return code, at
    width = 1 << code - escape
    size = number(data, at, width)
    assert size >= (escape if width == 1 else 256 ** (width // 2))
    return size, at + width


def read_record(data, at, records=512):
    """The key, the value and the end of a record. Alignment counts from where the records begin."""
    head = number(data, at, 2)
    key_size, at = read_size(data, at + 2, head >> 9, 124)
    value_size, at = read_size(data, at, head >> 3 & 63, 60)
    key, at = data[at : at + key_size], at + key_size
    if head & 7 in (BYTES, ENCODED):
        zeros = -(at - records) % 8
        assert not any(data[at : at + zeros])
        at += zeros
    if head & 7 == CONTAINER and value_size == 0:
        return key, TOMBSTONE, at
    return key, read_value(head & 7, data[at : at + value_size]), at + value_size


def read_value(kind, data):
    if kind == NONE and data == b"":
        return None
    if kind == BOOL:
        return {b"\0": False, b"\1": True}[data]
    if kind == INT:
        value = int.from_bytes(data, "little", signed=True)
        assert len(data) == (value if value >= 0 else ~value).bit_length() // 8 + 1
        return value
    if kind == FLOAT:
        return struct.unpack("<d", data)[0]
    if kind == STR:
        return data.decode("utf-8", "surrogatepass")
    if kind == CONTAINER:
        value, end = read_container(data, 0, 1)
        assert end == len(data)
        assert type(value) in (list, tuple, dict)
        return value
    assert kind in (BYTES, ENCODED)
    return data


def is_container(entry):
    return type(entry[1]) in (list, tuple, dict)


def read_container(data, at, depth):
    """The value that begins there, each in the shortest form there is, and where it ends."""
    head, at = data[at], at + 1
    if head < 0x80 or head >= 0xE0:
        return (head if head < 0x80 else head - 256), at
    if head < 0xC0:
        size = head & (0x1F if head >= 0xA0 else 0x0F)
        return read_sized(["map", "array", "str", "str"][(head >> 4) - 8], data, at, size, depth)
    if head in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[head], at
    if head == 0xCB:
        return struct.unpack_from(">d", data, at)[0], at + 8
    if 0xCC <= head <= 0xD3:
        width, is_signed = 1 << (head & 3), head >= 0xD0
        value = int.from_bytes(data[at : at + width], "big", signed=is_signed)
        assert (value < 0) == is_signed
        beyond = -value - 1 if is_signed else value
        assert width > 1 or beyond >= (32 if is_signed else 128)
        assert width == 1 or beyond >= 1 << (4 * width - is_signed)
        return value, at + width
    if head == 0xD8:
        return read_sized("ext", data, at, 16, depth)
    name, width = {
        0xC4: ("bin", 1),
        0xC5: ("bin", 2),
        0xC6: ("bin", 4),
        0xC7: ("ext", 1),
        0xC8: ("ext", 2),
        0xC9: ("ext", 4),
        0xD9: ("str", 1),
        0xDA: ("str", 2),
        0xDB: ("str", 4),
        0xDC: ("array", 2),
        0xDD: ("array", 4),
        0xDE: ("map", 2),
        0xDF: ("map", 4),
    }[head]
    size = int.from_bytes(data[at : at + width], "big")
    least = {"str": 32, "array": 16, "map": 16, "bin": 0, "ext": 0}[name]
    assert size >= (least if width == 1 or (width == 2 and least == 16) else 256 ** (width // 2))
    return read_sized(name, data, at + width, size, depth)


def read_sized(name, data, at, size, depth):
    assert at + size <= len(data)
    if name == "str":
        return data[at : at + size].decode("utf-8", "surrogatepass"), at + size
    if name == "bin":
        return data[at : at + size], at + size
    if name == "ext":
        assert data[at] == 1
        value = int.from_bytes(data[at + 1 : at + 1 + size], "little", signed=True)
        assert not -(2**63) <= value < 2**64
        assert size == (value if value >= 0 else ~value).bit_length() // 8 + 1
        return value, at + 1 + size
    assert depth <= 200
    values, is_tuple = [], name == "array" and size > 0 and data[at : at + 3] == b"\xd4\2\0"
    if is_tuple:
        size, at = size - 1, at + 3
    for _ in range(size if name == "array" else 2 * size):
        value, at = read_container(data, at, depth + 1)
        values.append(value)
    if name == "array":
        return (tuple(values) if is_tuple else values), at
    keys = values[::2]
    assert all(type(key) is str for key in keys)
    assert len(set(keys)) == size
    return dict(zip(keys, values[1::2], strict=True)), at
