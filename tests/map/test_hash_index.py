"""index="hash" and index="tree": the same answers, by one line of index or by a search."""

import itertools
import random

import pytest
from helpers import entry_count, header_field, read_header, segment_path, total_size
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from independent_reader import hash_bytes

import sharedmap

HASH, TREE = "hash", "tree"
INDICES = [HASH, TREE]


def has_hash_index(header):
    return bool(header_field(header, 20, "I") & 1)


def hash_region(header):
    return header_field(header, 80, "Q"), header_field(header, 88, "Q")


def opened(entries, index):
    return sharedmap.sharedmap.frombuffer(sharedmap.rbtree(entries).dump(index=index))


# --- the same answers -------------------------------------------------------------------------

# Short texts of few characters, so that many are near each other, and any others.
NEAR = st.text(alphabet="ab\0é\U0001f600", max_size=4)
ANY = st.text(
    st.one_of(
        st.characters(), st.characters(categories=["Cs"]), st.sampled_from("\0\x7f\x80\ud7ff")
    ),
    max_size=80,
)
KEYS = st.one_of(NEAR, ANY)
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), ANY, st.binary()
)


def described(answer):
    return type(answer), answer


def outcome(call, *arguments):
    """What a call answers, or what it raises."""
    try:
        answer = call(*arguments)
    except (KeyError, ValueError) as error:
        return type(error), error.args
    return described(answer)


@settings(
    deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(entries=st.dictionaries(KEYS, VALUES, max_size=40), others=st.lists(KEYS, max_size=20))
@example(entries={}, others=["", "a"])
@example(entries={"": None}, others=["\0"])
@example(entries={"\ud800": 1, "\udc00": 2}, others=["\U00010000"])
@example(entries={"k" * size: size for size in range(130)}, others=["k" * 130, "K"])
def test_both_give_the_same_answers(entries, others):
    both = [opened(entries, index) for index in INDICES]
    asked = [*entries, *others]
    default = object()
    for calls in (
        lambda m: [outcome(m.__getitem__, key) for key in asked],
        lambda m: [described(m.get(key)) for key in asked],
        lambda m: [described(m.get(key, default)) for key in asked],
        lambda m: [key in m for key in asked],
        lambda m: [described(answer) for answer in m.get_many(asked, default)],
        lambda m: [outcome(lambda key: bytes(m.view(key)), key) for key in asked],
        lambda m: [m.floor(key) for key in asked],
        lambda m: [m.ceiling(key) for key in asked],
        lambda m: [outcome(m.index, key) for key in asked],
        lambda m: [(m.bisect_left(key), m.bisect_right(key)) for key in asked],
        lambda m: [list(m[key:]) for key in asked],
        lambda m: [list(m.prefix(key).items()) for key in asked],
        lambda m: [(key in m[:], {key} <= m.keys()) for key in asked],
        lambda m: [described(pair) for pair in m.items()],
        lambda m: [*reversed(m), len(m), m.verify()],
        # The second and third time, when values may be remembered.
        lambda m: [outcome(m.__getitem__, key) for key in asked],
        lambda m: [outcome(m.__getitem__, key) for key in asked],
    ):
        by_hash, by_tree = map(calls, both)
        assert by_hash == by_tree
    by_hash, by_tree = both
    assert by_hash == by_tree == entries
    assert [by_hash.get(key, default) for key in asked] == [entries.get(k, default) for k in asked]


@pytest.mark.parametrize("index", INDICES)
def test_map_of_any_size_has_its_keys_and_no_others(index):
    """Every number of buckets from one on, and every fill of the last of them."""
    keys = [f"{number:x}" for number in range(150)]
    for count in range(150):
        shared = opened(dict.fromkeys(keys[:count], 0), index)
        assert shared.get_many(keys) == [0] * count + [None] * (150 - count)
        assert [key in shared for key in keys] == [True] * count + [False] * (150 - count)
        shared.verify()


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize(
    "make",
    [
        lambda number: str(number),
        lambda number: f"{number:020}",
        lambda number: chr(number % 1000 + 0x4E00) * (number // 1000 + 1),
        lambda number: f"/a/long/path/that/they/all/have/in/common/{number * 65536:x}/and/an/end",
        lambda number: "x" * number,
        lambda number: f"{number:b}".translate({48: "\0", 49: "\x01"}) + "\x01",
    ],
    ids=["numbers", "padded", "repeated", "paths", "lengths", "bits"],
)
def test_keys_that_look_alike_are_found_and_their_likes_are_not(make, index):
    keys = list(dict.fromkeys(make(number) for number in range(3000)))
    some, others = keys[::2], keys[1::2]
    shared = opened({key: place for place, key in enumerate(some)}, index)
    assert shared.get_many(some) == list(range(len(some)))
    assert shared.get_many(others) == [None] * len(others)
    assert [shared.get(key) for key in keys] == [
        place // 2 if place % 2 == 0 else None for place in range(len(keys))
    ]
    shared.verify()


def test_hundred_thousand_keys_are_found_in_a_shared_map(name):
    keys = [f"user:{number * 7919 % 1_000_003}" for number in range(100_000)]
    sharedmap.share({key: number for number, key in enumerate(keys)}, name)
    with sharedmap.sharedmap(name) as shared:
        shuffled = random.Random(4).sample(range(100_000), 100_000)
        assert shared.get_many([keys[number] for number in shuffled]) == shuffled
        assert all(shared[keys[number]] == number for number in shuffled[:20_000])
        assert shared.get_many([key + "x" for key in keys]) == [None] * 100_000


# --- where it is asked for --------------------------------------------------------------------

# Each way to make a snapshot, as (entries, name, path, index or nothing) -> its header.
WAYS = {
    "share": lambda entries, name, path, **how: (
        sharedmap.rbtree(entries).share(name, **how) and read_header(name)
    ),
    "function": lambda entries, name, path, **how: (
        sharedmap.share(entries, name, **how) and read_header(name)
    ),
    "save": lambda entries, name, path, **how: (
        sharedmap.rbtree(entries).save(path, **how) and path.read_bytes()
    ),
    "dump": lambda entries, name, path, **how: sharedmap.rbtree(entries).dump(**how),
}
each_way = pytest.mark.parametrize("make", WAYS.values(), ids=WAYS.keys())


@each_way
def test_hash_index_is_there_unless_told_otherwise(make, name, tmp_path):
    header = make({"a": 1}, name, tmp_path / "map")
    assert has_hash_index(header)


@each_way
def test_hash_index_is_there_when_asked_for(make, name, tmp_path):
    header = make({"a": 1}, name, tmp_path / "map", index=HASH)
    assert has_hash_index(header)
    offset, size = hash_region(header)
    assert 512 < offset < offset + size <= total_size(header)


@each_way
def test_hash_index_is_absent_when_not_wanted(make, name, tmp_path):
    header = make({"a": 1}, name, tmp_path / "map", index=TREE)
    assert not has_hash_index(header)
    assert hash_region(header) == (0, 0)


@each_way
@pytest.mark.parametrize(
    "index", ["", "HASH", "hash ", "other", "h", b"hash", None, 1, True], ids=repr
)
def test_unknown_index_raises_value_error_that_names_both(make, names, tmp_path, index):
    name, path = names(), tmp_path / "map"
    with pytest.raises(ValueError, match="'hash' or 'tree'") as caught:
        make({"a": 1}, name, path, index=index)
    assert repr(index) in str(caught.value)
    assert names.files() == []
    assert not path.exists()


@pytest.mark.parametrize("index", INDICES)
def test_update_keeps_the_index(name, index):
    sharedmap.share({"a": 1}, name, index=index)
    sharedmap.update(name, {str(number): number for number in range(100)}, remove=["a"])
    assert has_hash_index(read_header(name)) == (index == HASH)
    with sharedmap.sharedmap(name) as shared:
        assert shared.get_many(["a", "7", "99"]) == [None, 7, 99]
        shared.verify()


def test_replacing_takes_the_new_index(name):
    for index in (HASH, TREE, HASH):
        sharedmap.share({"a": 1}, name, force=True, index=index)
        assert has_hash_index(read_header(name)) == (index == HASH)


@pytest.mark.parametrize("count", [0, 1, 1000, 30_000])
def test_hash_index_costs_seven_bytes_for_an_entry(count):
    tree = sharedmap.rbtree({f"{number:08}": number for number in range(count)})
    difference = len(tree.dump(index=HASH)) - len(tree.dump(index=TREE))
    assert 6.9 * count <= difference <= 7 * count + 128
    assert difference % 64 == 0


def test_records_and_their_order_are_the_same_with_both():
    tree = sharedmap.rbtree({f"{number:08}": str(number) for number in range(1000)})
    by_hash, by_tree = tree.dump(index=HASH), tree.dump(index=TREE)
    assert by_hash[512 : len(by_tree)] == by_tree[512:]


def test_same_entries_give_the_same_index():
    """Whatever the order in which they came, and whatever Python's own hash is in this process."""
    entries = [(f"{number:08}", number) for number in range(1000)]
    shuffled = random.Random(5).sample(entries, len(entries))
    assert sharedmap.rbtree(entries).dump()[512:] == sharedmap.rbtree(shuffled).dump()[512:]


# --- keys that were made to collide -----------------------------------------------------------

SEEDS = 16


def bucket_count(count):
    return count // 92 * 10 + count % 92 * 10 // 92 + 1


def homes_of(keys, seed, buckets):
    """The home of each key, 16 bytes each as two columns of words, in wide arithmetic."""
    numpy = pytest.importorskip("numpy")
    low, high = (keys[:, column].astype(numpy.uint64) for column in (0, 1))
    half, shift = numpy.uint64(0xFFFFFFFF), numpy.uint64(32)

    def product(left, right):
        right = numpy.uint64(right) if isinstance(right, int) else right
        a, b, c, d = left >> shift, left & half, right >> shift, right & half
        middle = (b * d >> shift) + (a * d & half) + (b * c & half)
        upper = a * c + (a * d >> shift) + (b * c >> shift) + (middle >> shift)
        return upper, left * right

    def fold(left, right):
        upper, lower = product(left, right)
        return upper ^ lower

    from independent_reader import K0, K1, K3, K4

    state = numpy.uint64(seed ^ K0)
    inner = fold(low ^ numpy.uint64(K1), high ^ state) ^ numpy.uint64(K4)
    hashes = fold(inner, K3 ^ 16)
    return hashes, product(hashes, buckets)[0]


def colliding_keys():
    """So many keys that, whichever the seed, some thousand of them have one home."""
    numpy = pytest.importorskip("numpy")
    group, window = 1100, 20
    count = group * SEEDS
    buckets = bucket_count(count)
    digits = numpy.frombuffer(
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", "u1"
    )
    numbers = numpy.arange(160_000)
    text = numpy.full((len(numbers), 16), ord("k"), "u1")
    for place in range(4):
        text[:, 15 - place] = digits[numbers >> 6 * place & 63]
    words = text.view("<u8")
    taken = numpy.zeros(len(numbers), bool)
    for seed in range(SEEDS):
        hashes, homes = homes_of(words, seed, buckets)
        # The arithmetic above is that of everybody else.
        assert int(hashes[77]) == hash_bytes(text[77].tobytes(), seed)
        places = numpy.flatnonzero((homes < window) & ~taken)[:group]
        assert len(places) == group
        taken[places] = True
    return [row.tobytes().decode() for row in text[taken]], [
        row.tobytes().decode() for row in text[~taken][:10_000]
    ]


def test_keys_that_collide_under_every_seed_are_found_without_the_index(name):
    keys, others = colliding_keys()
    sharedmap.share({key: place for place, key in enumerate(keys)}, name)
    header = read_header(name)
    assert entry_count(header) == len(keys)
    assert not has_hash_index(header)
    assert hash_region(header) == (0, 0)
    with sharedmap.sharedmap(name) as shared:
        assert shared.get_many(keys) == list(range(len(keys)))
        assert shared.get_many(others) == [None] * len(others)
        assert all(shared[key] == place for place, key in enumerate(keys))
        shared.verify()
    # An update starts from there, and may find a seed again.
    sharedmap.update(name, {"another": 1}, remove=keys[100:])
    with sharedmap.sharedmap(name) as shared:
        assert shared.get_many(["another", keys[0], keys[-1]]) == [1, 0, None]
        shared.verify()


def test_keys_that_collide_under_the_first_seed_get_another():
    keys, _ = colliding_keys()
    numpy = pytest.importorskip("numpy")
    words = numpy.frombuffer("".join(keys).encode(), "<u8").reshape(-1, 2)
    _, homes = homes_of(words, 0, bucket_count(len(keys)))
    # All that have their home there under seed 0, among as many that have it anywhere.
    there = list(itertools.compress(keys, homes < 20))
    entries = {key: place for place, key in enumerate(there)}
    entries |= {f"{number:016}": number for number in range(len(keys) - len(there))}
    data = sharedmap.rbtree(entries).dump()
    assert has_hash_index(data)
    assert header_field(data, 48, "Q") > 0
    shared = sharedmap.sharedmap.frombuffer(data)
    assert shared == entries
    assert shared.get_many(list(entries)) == list(entries.values())
    shared.verify()


# --- sizes that only an index of its own shows ------------------------------------------------


@pytest.mark.parametrize("index", INDICES)
def test_file_of_an_indexed_map_has_no_holes(name, index):
    sharedmap.share({str(number): "" for number in range(10_000)}, name, index=index)
    with open(segment_path(name), "rb") as file:
        data = file.read()
    assert total_size(data) == len(data)
    assert len(data) % 64 == 0
