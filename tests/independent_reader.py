"""A reader of snapshots that shares no line with the extension, written from docs/FORMAT.md.

read() checks what a reader must check and then everything that a writer promises, so a snapshot
that it accepts is one that any other reader understands.
"""

import struct

MASK = 2**64 - 1
K0, K1, K2, K3, K4 = (
    0x243F6A8885A308D3,
    0x13198A2E03707345,
    0xA4093822299F31D1,
    0x082EFA98EC4E6C89,
    0x452821E638D01377,
)
HEADER = struct.Struct("<8sIIIIQQBBHIQQ 8Q Q16sQ4Q I60s 256s")
NONE, BOOL, INT, FLOAT, STR, BYTES, ENCODED = range(7)


def fold(left, right):
    product = left * right
    return (product ^ product >> 64) & MASK


def rotated(word, bits):
    return (word << bits | word >> 64 - bits) & MASK


def hash_bytes(data, seed=0):
    """Of 64 bytes or a multiple: a snapshot takes no other checksum."""
    a = state = seed ^ fold(seed ^ K0, K1)
    if len(data) > 64:
        b, c, d = state ^ K2, state ^ K3, state ^ K4
        for w in struct.iter_unpack("<8Q", data[:-64]):
            a, b = fold(w[0] ^ K1, w[1] ^ a), fold(w[2] ^ K2, w[3] ^ b)
            c, d = fold(w[4] ^ K3, w[5] ^ c), fold(w[6] ^ K4, w[7] ^ d)
        a ^= rotated(b, 17) ^ rotated(c, 31) ^ rotated(d, 47)
    w = struct.unpack("<8Q", data[-64:])
    for left, right in ((w[0], w[1]), (w[2], w[3]), (w[4], w[5])):
        a = fold(left ^ K2, right ^ a)
    return fold(K3 ^ len(data), fold(w[6] ^ K1, w[7] ^ a) ^ K4)


def header_checksum(data):
    """Of the header with zeros for what is random, what changes and the checksum itself."""
    return hash_bytes(data[:136] + bytes(24) + data[160:192] + bytes(4) + data[196:512])


def seal(data):
    data = bytearray(data)
    struct.pack_into("<Q", data, 152, header_checksum(bytes(data)))
    return bytes(data)


def label(data):
    return data[256:][: struct.unpack_from("<H", data, 42)[0]].decode("utf-8", "surrogatepass")


def read(data):
    """The entries in the order of the index, as (key, value)."""
    fields = HEADER.unpack_from(data)
    magic, version, header_size, kind, flags, total_size, count, width, shift = fields[:9]
    label_size, reserved, _seed, checksum, index, index_size, *absent, records, records_size = (
        fields[9:21]
    )
    _generation, _id, sealed, *more_reserved, _superseded, tail, label_bytes = fields[21:]
    assert (magic, version, header_size, kind, flags) == (b"\x89SMAP\r\n\x1a", 1, 512, 1, 0)
    assert total_size == len(data)
    assert total_size % 64 == 0
    assert sealed == header_checksum(data)
    assert not any([*absent, reserved, *more_reserved, *tail, *label_bytes[label_size:]])
    assert index % 64 == records % 64 == 0
    assert 512 <= index <= index + index_size <= records <= records + records_size <= total_size
    assert index_size == count * width
    state = 0
    for at in range(512, total_size, 65536):
        state = hash_bytes(data[at : at + 65536], state)
    assert state == checksum

    entries, end = [], records
    for number in range(count):
        place = index + number * width
        at = records + (int.from_bytes(data[place : place + width], "little") << shift)
        # Records follow each other without a gap, but for one that a shift makes.
        assert at - end < 1 << shift
        key, value, end = read_record(data, at)
        entries.append((key.decode("utf-8", "surrogatepass"), value))
    assert end == records + records_size
    assert not any(data[end:])
    assert [key for key, _ in entries] == sorted({key for key, _ in entries})
    return entries


def read_size(data, at, code, escape):
    """A size that has no room in the head follows it, in as few bytes as it can."""
    if code < escape:
        return code, at
    width = 1 << code - escape
    size = int.from_bytes(data[at : at + width], "little")
    assert size >= (escape if width == 1 else 256 ** (width // 2))
    return size, at + width


def read_record(data, at):
    head = int.from_bytes(data[at : at + 2], "little")
    kind, value_code, key_code = head & 7, head >> 3 & 63, head >> 9
    key_size, at = read_size(data, at + 2, key_code, 124)
    value_size, at = read_size(data, at, value_code, 60)
    key, at = data[at : at + key_size], at + key_size
    if kind in (BYTES, ENCODED):
        assert not any(data[at : at + -at % 8])
        at += -at % 8
    return key, read_value(kind, data[at : at + value_size]), at + value_size


def read_value(kind, data):
    if kind == NONE:
        assert data == b""
        return None
    if kind == BOOL:
        return {b"\0": False, b"\1": True}[data]
    if kind == INT:
        value = int.from_bytes(data, "little", signed=True)
        shortest = (value if value >= 0 else ~value).bit_length() // 8 + 1
        assert len(data) == shortest
        return value
    if kind == FLOAT:
        return struct.unpack("<d", data)[0]
    if kind == STR:
        return data.decode("utf-8", "surrogatepass")
    assert kind in (BYTES, ENCODED)
    return data
