"""Nothing grows with the number of calls, measured in a process that does nothing else."""

import pytest
from helpers import HERE, entry_count, read_header

import sharedmap

# What allocators keep for themselves stays below this; what each test would leak is far above.
SLACK = 8 * 2**20

# Sanitizers hold back freed memory on purpose.
pytestmark = pytest.mark.slow

MEASURE = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
from helpers import resident_bytes

def growth(times, work):
    # Once before, so that pools and caches have their size already.
    for number in range(max(10, times // 100)):
        work(number)
    before = resident_bytes()
    for number in range(times):
        work(number)
    return resident_bytes() - before

t = sharedmap.rbtree()
for number in range(100):
    t[f"key {{number}}"] = "x" * 100
"""


@pytest.fixture
def measured(workers):
    worker = workers()
    worker.run(MEASURE)
    return worker


@pytest.fixture
def shared_name(name):
    tree = sharedmap.rbtree()
    tree["str"] = "x" * 10_000
    tree["bytes"] = b"x" * 10_000
    for number in range(100):
        tree[str(number)] = "x"
    tree.share(name)
    return name


def test_key_overwritten_10_000_times_is_one_entry(name):
    tree = sharedmap.rbtree()
    for number in range(10_000):
        tree["key"] = f"value {number}"
    assert len(tree) == 1
    assert list(tree) == ["key"]
    assert entry_count(tree.dump()) == 1
    tree.share(name)
    assert entry_count(read_header(name)) == 1
    with sharedmap.sharedmap(name) as shared:
        assert shared["key"] == "value 9999"


def test_dump_after_10_000_overwrites_is_no_bigger_than_after_one():
    tree = sharedmap.rbtree()
    tree["key"] = "x" * 1000
    size = len(tree.dump())
    for number in range(10_000):
        tree["key"] = chr(97 + number % 26) * 1000
    assert len(tree.dump()) == size


def test_overwriting_does_not_grow(measured):
    # Of changing size, so that no value fits where the one before it was.
    measured.run("values = ['x' * (50_000 + 997 * n) for n in range(50)]; one = sharedmap.rbtree()")
    assert measured.eval("growth(10_000, lambda n: one.set('key', values[n % 50]))") < SLACK
    assert measured.eval("len(one)") == 1


def test_insert_and_delete_do_not_grow(measured):
    measured.run("""
def insert_and_delete(number):
    t["temporary " + str(number)] = "x" * 5000
    del t["temporary " + str(number)]
""")
    assert measured.eval("growth(20_000, insert_and_delete)") < SLACK


def test_trees_that_are_dropped_do_not_grow(measured):
    measured.run("""
def make_and_drop(_):
    tree = sharedmap.rbtree()
    for number in range(10):
        tree[str(number)] = "x" * 1000
""")
    assert measured.eval("growth(10_000, make_and_drop)") < SLACK


def test_get_of_a_tree_does_not_grow(measured):
    measured.run("t['big'] = 'x' * 10_000")
    assert measured.eval("growth(20_000, lambda n: t.get('big') and t['big'])") < SLACK


def test_long_keys_that_are_encoded_on_the_way_do_not_grow(measured, name):
    # Too long for the stack and not ASCII: each call takes memory of its own for the UTF-8.
    measured.run(
        """
long, absent, many = "é" * 1000, "è" * 1000, "x" * 100
t[long] = "1"
t.share(name)
m = sharedmap.sharedmap(name)

def use(_):
    t[long] = "é" * 1000
    t.set(long, "2")
    t[absent] = "1"
    del t[absent]
    assert t[long] == t.get(long) == "2"
    assert m[long] == m.get(long) == "1"
    assert long in t and long in m
    assert absent not in t and absent not in m
    assert t.get(absent) is m.get(absent) is None
    for mapping in (t, m):
        try:
            mapping[absent]
        except KeyError:
            continue
        raise AssertionError
    assert t.dump("é" * 128)
    for call in (t.share, t.dump, t.remove, sharedmap.sharedmap):
        try:
            call(long)
        except ValueError:
            continue
        raise AssertionError
""",
        name=name,
    )
    assert measured.eval("growth(10_000, use)") < SLACK


def test_dump_does_not_grow(measured):
    measured.run("t['big'] = b'x' * 100_000")
    assert measured.eval("growth(3_000, lambda n: t.dump('label'))") < SLACK


def test_share_does_not_grow(measured, names):
    name = names()
    measured.run("t['big'] = b'x' * 100_000")
    assert measured.eval("growth(3_000, lambda n: t.share(name, force=True))", name=name) < SLACK
    assert len(names.files()) == 1


def test_share_and_remove_do_not_grow(measured, names):
    name = names()
    measured.run("""
def share_and_remove(_):
    t.share(name)
    sharedmap.rbtree.remove(name)
""")
    assert measured.eval("growth(3_000, share_and_remove)", name=name) < SLACK
    assert names.files() == []


def test_refused_share_does_not_grow(measured, shared_name):
    measured.run("""
t['big'] = b'x' * 100_000
def share_in_vain(_):
    try:
        t.share(name)
    except FileExistsError:
        return
    raise AssertionError
""")
    assert measured.eval("growth(5_000, share_in_vain)", name=shared_name) < SLACK


def test_refused_keys_and_values_do_not_grow(measured):
    measured.run("""
def refused(_):
    for key, value in (("key", ["x"]), (1, "x"), (b"x" * 1000, "x"), ("é" * 1000, None)):
        try:
            t.set(key, value)
        except TypeError:
            continue
        raise AssertionError
""")
    assert measured.eval("growth(30_000, refused)") < SLACK


def test_get_of_a_map_does_not_grow(measured, shared_name):
    measured.run("m = sharedmap.sharedmap(name)", name=shared_name)
    assert (
        measured.eval("growth(20_000, lambda n: m['str'] and m['bytes'] and m.get('no'))") < SLACK
    )


def test_iteration_of_a_map_does_not_grow(measured, shared_name):
    measured.run("m = sharedmap.sharedmap(name)", name=shared_name)
    assert measured.eval("growth(5_000, lambda n: list(m))") < SLACK


def test_abandoned_iterators_do_not_grow(measured, shared_name):
    measured.run("m = sharedmap.sharedmap(name)", name=shared_name)
    assert measured.eval("growth(300_000, lambda n: (next(iter(m)), next(iter(t))))") < SLACK


def test_open_and_close_do_not_grow(measured, shared_name):
    assert (
        measured.eval(
            "growth(20_000, lambda n: sharedmap.sharedmap(name).close())", name=shared_name
        )
        < SLACK
    )


def test_open_and_drop_do_not_grow(measured, shared_name):
    measured.run("""
def mapped():
    with open("/proc/self/maps") as file:
        return sum("/dev/shm/" in line for line in file)
""")
    assert (
        measured.eval("growth(20_000, lambda n: sharedmap.sharedmap(name)['1'])", name=shared_name)
        < SLACK
    )
    assert measured.eval("mapped()") == 0
    assert measured.eval("len(os.listdir('/proc/self/fd'))") < 20


def test_refused_open_does_not_grow(measured, name):
    measured.run("""
def open_in_vain(_):
    try:
        sharedmap.sharedmap(name)
    except FileNotFoundError:
        return
    raise AssertionError
""")
    assert measured.eval("growth(30_000, open_in_vain)", name=name) < SLACK


def test_reader_copies_nothing_to_open_a_big_map(workers, name):
    """The pages of a map are shared: who opens it pays for what is looked at, not for its size."""
    tree = sharedmap.rbtree()
    for number in range(1000):
        tree[f"{number:04}"] = b"x" * 100_000
    tree.share(name)
    reader = workers()
    reader.run(MEASURE)
    grown = reader.eval("growth(1, lambda n: sharedmap.sharedmap(name)['0500'])", name=name)
    assert grown < SLACK
