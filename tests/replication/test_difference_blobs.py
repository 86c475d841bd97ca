"""The bytes of differences, and the rows of a manifest that name them: made, merged, refused."""

import contextlib
import random
import zlib

import machines
import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import manifest_of, many, publish
from strategies import ALL_VALUES, KEYS, exact_items

import sharedmap
from sharedmap import replication
from sharedmap._encoded import Encoded
from sharedmap.replication import _difference, _manifest
from sharedmap.replication._difference import REMOVED, decode, decode_all, encode, merge
from sharedmap.replication._manifest import Difference, make_image, parse
from sharedmap.replication._operations import Keys

server, shared_server = machines.server, machines.shared_server
host, hosts = machines.host, machines.hosts

CHANGES = {"put": [1, "x"], "another": None, "gone": REMOVED, "\ud800": REMOVED}


def blob(data, raw_size=None, version=1):
    """A row and the bytes that it names."""
    return _difference.Part(data, len(data) if raw_size is None else raw_size).row(version), data


def only(changes):
    (part,) = encode(changes)
    return part.row(1), part.data


def reader(blobs):
    return lambda row: blobs[row.sha256]


def exact(changes):
    removed = {key for key, value in changes.items() if value is REMOVED}
    return removed, exact_items(sorted((k, v) for k, v in changes.items() if k not in removed))


# ---- there and back --------------------------------------------------------------------------


@given(st.dictionaries(KEYS, ALL_VALUES, max_size=5), st.sets(KEYS, max_size=5))
def test_what_is_encoded_is_what_is_decoded(puts, removed):
    changes = puts | dict.fromkeys(removed, REMOVED)
    assert exact(decode(*only(changes))) == exact(changes)


def test_values_that_somebody_encoded_keep_their_bytes():
    decoded = decode(*only({"key": Encoded(b"\x80secret")}))
    assert decoded["key"].data == b"\x80secret"


@pytest.mark.parametrize("count", [1, 2, 3, 10, 100])
def test_large_difference_has_parts_by_ranges_of_keys(monkeypatch, count):
    monkeypatch.setattr(_difference, "LARGEST_RAW", 3000)
    changes = {f"{number:04}": "x" * 500 if number % 3 else REMOVED for number in range(count)}
    parts = encode(changes)
    assert all(part.raw_size <= 3000 for part in parts)
    assert len(parts) > count // 10
    rows = {part.row(1): part.data for part in parts}
    ranges = [sorted(decode(row, data)) for row, data in rows.items()]
    assert [key for keys in ranges for key in keys] == sorted(changes)
    assert decode_all(rows, rows.__getitem__) == changes


def test_difference_with_an_entry_that_no_blob_can_hold_is_none(monkeypatch):
    monkeypatch.setattr(_difference, "LARGEST_RAW", 3000)
    assert encode({"a": "x", "b": "x" * 3000, "c": "x"}) is None


def test_map_with_a_value_that_no_blob_can_hold_is_pushed_as_an_image(
    server, name, host, monkeypatch
):
    monkeypatch.setattr(_difference, "LARGEST_RAW", 3000)
    value = publish(name, many(5000))
    replication.push(server.url, name)
    host.pull()
    sharedmap.update(name, {"large": "x" * 3000})
    replication.push(server.url, name)
    assert manifest_of(server, name).differences == ()
    host.pull()
    assert host.read() == value | {"large": "x" * 3000}


def test_difference_in_parts_is_pushed_and_pulled(server, name, host, monkeypatch):
    monkeypatch.setattr(_difference, "LARGEST_RAW", 3000)
    value = publish(name, many(5000))
    replication.push(server.url, name)
    host.pull()
    changes = {f"key {number:06}": "y" * 40 for number in range(0, 5000, 50)}
    for number in range(2):
        sharedmap.update(name, changes | {"number": number})
        replication.push(server.url, name)
    rows = manifest_of(server, name).differences
    assert len(rows) > 4 and len({row.version for row in rows}) == 2
    host.pull()
    assert host.read() == value | changes | {"number": 1}


# ---- what is refused -------------------------------------------------------------------------


def snapshot(entries, index="tree"):
    return sharedmap.rbtree(entries).dump(index=index)


def raw(first, second):
    return len(first).to_bytes(8, "big") + first + second


def flipped(data):
    return data[:600] + bytes([data[600] ^ 1]) + data[601:]


GOOD = raw(snapshot({"a": 1, "b": "text"}), snapshot({"c": None}))
BAD_RAW = {
    "empty": b"",
    "size only": bytes(8),
    "short size": b"\0\0",
    "size beyond the end": (2**63).to_bytes(8, "big") + GOOD[8:],
    "no snapshot": raw(b"x" * 600, snapshot({})),
    "no second snapshot": raw(snapshot({"a": 1}), b""),
    "truncated": GOOD[:-64],
    "flipped": flipped(GOOD),
    "removed key with a value": raw(snapshot({"a": 1}), snapshot({"c": 1})),
    "key both put and removed": raw(snapshot({"a": 1}), snapshot({"a": None})),
}


def test_good_bytes_are_not_refused():
    assert decode(*blob(zlib.compress(GOOD), len(GOOD))) == {"a": 1, "b": "text", "c": REMOVED}


@pytest.mark.parametrize("what", BAD_RAW)
def test_bytes_that_are_no_difference_are_refused(what):
    with pytest.raises(replication.ReplicationError, match=r"difference .* is damaged"):
        decode(*blob(zlib.compress(BAD_RAW[what]), len(BAD_RAW[what])))


@pytest.mark.parametrize("size", [len(GOOD) - 1, len(GOOD) + 1, 1])
def test_difference_of_another_size_than_the_row_says_is_refused(size):
    with pytest.raises(replication.ReplicationError, match="size does not match"):
        decode(*blob(zlib.compress(GOOD), size))


@pytest.mark.parametrize(
    "data", [b"", b"x", zlib.compress(GOOD)[:-1], zlib.compress(GOOD) + b"x", GOOD]
)
def test_bytes_that_are_not_compressed_as_they_should_be_are_refused(data):
    with pytest.raises(replication.ReplicationError):
        decode(*blob(data, len(GOOD)))


def test_bomb_is_not_decompressed_beyond_its_row():
    bomb = zlib.compress(bytes(200 << 20), 9)
    assert len(bomb) < 1 << 20
    made = []
    real = zlib.decompressobj

    class Counting:
        def __init__(self):
            self.stream = real()

        def decompress(self, data, most):
            made.append(self.stream.decompress(data, most))
            return made[-1]

        def __getattr__(self, name):
            return getattr(self.stream, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_difference.zlib, "decompressobj", Counting)
        with pytest.raises(replication.ReplicationError, match="size does not match"):
            decode(*blob(bomb, 4 << 20))
    assert sum(map(len, made)) == (4 << 20) + 1


def test_any_bytes_are_one_kind_of_error():
    chance = random.Random(5)
    data = zlib.compress(GOOD)
    for _ in range(300):
        changed = bytearray(GOOD if chance.random() < 0.7 else data)
        for _ in range(chance.randrange(1, 4)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        packed = zlib.compress(changed) if len(changed) == len(GOOD) else bytes(changed)
        with contextlib.suppress(replication.ReplicationError):
            decode(*blob(packed, len(GOOD)))


# ---- rows ------------------------------------------------------------------------------------


def manifest(rows, version=100, image_version=10, size=1_000_000):
    chunks = (_manifest.Chunk("0" * 64, size - 512, None),)
    image = make_image(image_version, 5, size, "1" * 64, bytes(512), 7, chunks)
    return _manifest.Manifest(version, 6 if rows else 5, 8 if rows else 7, image, tuple(rows))


def row(version, raw_size=1500, size=100, sha256="2" * 64):
    return Difference(version, sha256, size, raw_size)


def test_manifest_is_read_as_it_was_written():
    for rows in ([], [row(11)], [row(11), row(20), row(20), row(100)]):
        one = manifest(rows)
        assert parse(one.to_bytes()) == one
        assert parse(one.to_bytes(has_list=True), is_ours=True) == one


BAD_ROWS = {
    "not in order": [row(20), row(11)],
    "behind the version": [row(11), row(101)],
    "not behind the image": [row(10)],
    "before the image": [row(9), row(20)],
    "no size": [row(11, size=0)],
    "no raw size": [row(11, raw_size=0)],
    "large": [row(11, size=5 << 20)],
    "large raw size": [row(11, raw_size=(4 << 20) + 1)],
    "more than an eighth of the image": [row(11, 62_500), row(12, 62_501)],
    "too many": [row(number) for number in range(11, 44)],
    "digest": [row(11, sha256="../../../etc/passwd")],
    "bool": [row(True)],
    "float": [row(11.0)],
    "none": [row(None)],
    "short": [[11, "2" * 64, 100]],
    "long": [[*row(11), 1]],
    "no list": [7],
}


@pytest.mark.parametrize("what", BAD_ROWS)
def test_manifest_with_bad_rows_is_refused(what):
    with pytest.raises(replication.ReplicationError, match="manifest is damaged"):
        parse(
            manifest(
                BAD_ROWS[what], size=1_000_000 if what != "large raw size" else 2**40
            ).to_bytes()
        )


def test_manifest_with_as_many_rows_as_there_may_be_is_read():
    assert parse(manifest([row(number) for number in range(11, 43)]).to_bytes())
    assert parse(manifest([row(11, 62_500), row(11, 62_500)]).to_bytes())


def steps_of(chance):
    """Changes of a few keys, of which many change again."""
    for _ in range(chance.randrange(7, 15)):
        keys = chance.sample("abcdefgh", chance.randrange(5))
        yield {key: chance.choice([None, 0, 1, 2]) for key in keys}


@pytest.mark.parametrize("seed", range(40))
def test_merged_rows_lead_from_any_version_to_any_later_one(seed):
    blobs, rows, versions = {}, [], [{}]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_difference, "MOST_ROWS", 6)
        patch.setattr(_difference, "_NEWEST", 3)
        for number, step in enumerate(steps_of(random.Random(seed)), 1):
            changes = {k: REMOVED if v is None else v for k, v in step.items()}
            before = versions[-1] | changes
            versions.append({k: v for k, v in before.items() if v is not REMOVED})
            (part,) = encode(changes)
            blobs[part.row(number).sha256] = part.data
            rows, new = merge([*rows, part.row(number)], reader(blobs))
            blobs |= new
            assert len(rows) <= 6
            for start in range(number + 1):
                behind = [row for row in rows if row.version > start]
                changed = versions[start] | decode_all(behind, reader(blobs))
                after = {k: v for k, v in changed.items() if v is not REMOVED}
                assert after == versions[number]


def test_rows_that_are_too_large_together_are_not_merged(monkeypatch):
    monkeypatch.setattr(_difference, "LARGEST_RAW", 2500)
    chance = random.Random(1)
    blobs, rows = {}, []
    for version in range(1, 35):
        (part,) = encode({f"{version}": chance.randbytes(900)})
        blobs[part.row(version).sha256] = part.data
        rows.append(part.row(version))
        merged = merge(rows, reader(blobs))
        assert (merged is None) == (version > 32)


# ---- manifests of format 1 -------------------------------------------------------------------


def format_1(manifest):
    """What version 1.x of an agent or publisher wrote."""
    image = manifest.image
    fields = _manifest.json.loads(manifest.to_bytes(has_list=True))["image"]
    fields |= {"format": 1, "version": manifest.version}
    del fields["content"], fields["list"]
    assert image.content is not None
    return _manifest.json.dumps(fields).encode()


def test_map_of_an_older_publisher_is_followed(server, name, host):
    value = publish(name, many(5000))
    version = replication.push(server.url, name)
    key = Keys(name).manifest
    server.client.set(key, format_1(manifest_of(server, name)))
    pulled = host.pull()
    assert pulled._replace(transferred=0) == version._replace(transferred=0)
    assert host.read() == value
    assert host.pull().is_new is False
    sharedmap.remove(host.local)
    assert host.pull().transferred == 0
    sharedmap.update(name, {"key 000001": "changed"})
    assert replication.push(server.url, name).is_new
    host.pull()
    assert host.read() == value | {"key 000001": "changed"}
    replication.rollback(server.url, name)
    host.pull()
    assert host.read() == value


def test_files_of_an_older_agent_are_taken_over(server, name, host):
    value = publish(name, many(5000))
    version = replication.push(server.url, name)
    host.pull()
    (folder,) = host.directory.iterdir()
    data = format_1(manifest_of(server, name))
    (folder / f"{version.version}.manifest").write_bytes(data)
    (folder / f"{version.sha256}.snapshot").rename(folder / f"{version.version}.snapshot")
    sharedmap.remove(host.local)
    again = host.pull()
    assert (again.version, again.is_new, again.transferred) == (version.version, True, 0)
    assert host.read() == value
    sharedmap.update(name, {"key 000001": "changed"})
    replication.push(server.url, name)
    host.pull()
    assert host.read() == value | {"key 000001": "changed"}
