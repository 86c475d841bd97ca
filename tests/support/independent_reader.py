"""A reader of snapshots that shares no line with the extension, written from docs/FORMAT.md.

read() checks what a reader must check and what a writer promises, and looks up each key by hash.
"""

import struct

MASK = 2**64 - 1
K0, K1, K2 = 0x243F6A8885A308D3, 0x13198A2E03707345, 0xA4093822299F31D1
K3, K4 = 0x082EFA98EC4E6C89, 0x452821E638D01377
HEADER = struct.Struct("<8sIIIIQQBBHIQQ 8Q Q16sQ4Q I60s 256s")
NONE, BOOL, INT, FLOAT, STR, BYTES, ENCODED = range(7)


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


def read(data):
    """The entries in the order of the index, as (key, value)."""
    fields = HEADER.unpack_from(data)
    magic, version, header_size, kind, flags, total_size, count, width, shift = fields[:9]
    label_size, reserved, seed, checksum, *regions = fields[9:21]
    _generation, _id, sealed, _time, *more_reserved, _superseded, tail, label_bytes = fields[21:]
    (index, index_size), (buckets, buckets_size), region, (records, records_size) = zip(
        regions[::2], regions[1::2], strict=True
    )
    has_hash = flags
    assert (magic, version, header_size, kind) == (b"\x89SMAP\r\n\x1a", 1, 512, 1)
    assert flags in range(2)
    assert (total_size, total_size % 64, sealed) == (len(data), 0, header_checksum(data))
    assert not any([reserved, *region, *more_reserved, *tail, *label_bytes[label_size:]])
    assert (records, index, index_size) == (512, -(-(512 + records_size) // 64) * 64, count * width)
    assert buckets == has_hash * -(-(index + index_size) // 64) * 64
    assert buckets_size == has_hash * 64 * (count * 10 // (92 if width == 4 else 53) + 1)
    state = 0
    for at in range(512, total_size, 65536):
        state = hash_bytes(data[at : at + 65536], state)
    assert state == checksum

    entries, end = [], records
    for place in range(index, index + index_size, width):
        at = records + (number(data, place, width) << shift)
        # Records follow each other without a gap, but for one that a shift makes.
        assert 0 <= at - end < 1 << shift
        key, value, end = read_record(data, at)
        table = data[buckets : buckets + buckets_size]
        assert not has_hash or find(data, table, width, shift, seed, key) == (key, value, end)
        entries.append((key.decode("utf-8", "surrogatepass"), value))
    assert end == records + records_size
    assert not any(data[end:index])
    assert [key for key, _ in entries] == sorted({key for key, _ in entries})
    return entries


def find(data, table, width, shift, seed, key):
    """The record with this key by the hash index, None if there is none."""
    digest, slots = hash_bytes(key, seed), 12 if width == 4 else 7
    count = len(table) // 64
    home = digest * count >> 64
    for at in range(home, home + table[home * 64 + slots] + 1):
        bucket = table[at % count * 64 :][:64]
        for slot in range(slots):
            reference = number(bucket, 64 - (slots - slot) * width, width)
            if bucket[slot] == (digest & 255 or 1):
                record = read_record(data, 512 + (reference << shift))
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


def read_record(data, at):
    head = number(data, at, 2)
    key_size, at = read_size(data, at + 2, head >> 9, 124)
    value_size, at = read_size(data, at, head >> 3 & 63, 60)
    key, at = data[at : at + key_size], at + key_size
    if head & 7 in (BYTES, ENCODED):
        assert not any(data[at : at + -at % 8])
        at += -at % 8
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
    assert kind in (BYTES, ENCODED)
    return data
