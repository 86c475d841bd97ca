"""Nothing grows with the number of calls, measured in a process that does nothing else."""

import tempfile

import pytest
from helpers import SUPPORT, entry_count, read_header

import sharedmap

# What allocators keep for themselves stays below this; what each test would leak is far above.
SLACK = 8 * 2**20

# Sanitizers hold back freed memory on purpose.
pytestmark = pytest.mark.slow

MEASURE = f"""
import sys
sys.path.insert(0, {str(SUPPORT)!r})
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


def test_large_trees_that_are_dropped_with_what_waits_do_not_grow(measured):
    """As many puts as can wait for each other, in trees that nobody asks for anything."""
    measured.run("""
large = sharedmap.rbtree(dict.fromkeys(map(str, range(20_000)), "x"))

def put_and_drop(_):
    tree = large.copy()
    for number in range(31):
        tree["more " + str(number)] = "x" * 10_000
""")
    assert measured.eval("growth(100, put_and_drop)") < SLACK


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
    wrong = [("key", {"x"}), ("key", [object()]), (1, "x"), (b"x" * 1000, "x")]
    for key, value in [*wrong, ("é" * 1000, object())]:
        for call in (t.set, t.setdefault, lambda k, v: t.update([("é" * 1000, 2**9999), (k, v)])):
            try:
                call(key, value)
            except TypeError:
                continue
            raise AssertionError
""")
    assert measured.eval("growth(10_000, refused)") < SLACK
    assert measured.eval("len(t)") == 100


def test_get_of_a_map_does_not_grow(measured, shared_name):
    measured.run("m = sharedmap.sharedmap(name)", name=shared_name)
    assert (
        measured.eval("growth(20_000, lambda n: m['str'] and m['bytes'] and m.get('no'))") < SLACK
    )


def test_get_many_of_a_map_does_not_grow(measured, shared_name):
    measured.run(
        """
m = sharedmap.sharedmap(name)
keys = ["str", "bytes", "absent", "é" * 1000, *map(str, range(1000))]
long = ["é" * 1000] * 40

def use(_):
    assert m.get_many(keys, "x")[2:4] == ["x", "x"]
    m.get_many(key for key in keys)
    for wrong in ([*long, 1], [1, *long], 1):
        try:
            m.get_many(wrong)
        except TypeError:
            continue
        raise AssertionError
""",
        name=shared_name,
    )
    assert measured.eval("growth(1_500, use)") < SLACK


def test_map_of_more_keys_than_the_cache_holds_does_not_grow(measured, name):
    """Each key is asked for again and again, by str objects that come and go."""
    measured.run(
        """
big = sharedmap.rbtree({f"key {number}": "x" * 900 for number in range(20_000)})
big.share(name)
m = sharedmap.sharedmap(name)

def use(_):
    for number in range(20_000):
        for _ in range(2):
            assert len(m[f"key {number}"]) == 900
""",
        name=name,
    )
    # What the cache keeps is there after the first round, and gone with the map.
    assert measured.eval("growth(2, use)") < SLACK
    measured.run("m.close(); before = resident_bytes(); m = sharedmap.sharedmap(name); use(0)")
    measured.run("m.close()")
    assert measured.eval("resident_bytes() - before") < SLACK


def test_maps_that_are_looked_up_often_and_replaced_do_not_grow(measured, name):
    measured.run(
        """
keys = [f"key {number}" for number in range(1000)]
for number in range(2):
    sharedmap.rbtree({key: "x" * 900 for key in keys}).share(name, force=True)
m = sharedmap.sharedmap(name)
f = sharedmap.sharedmap(name, follow=True)

def use(number):
    sharedmap.update(name, {"another": number})
    assert m.refresh()
    for key in keys:
        # The third time the value comes from the cache.
        m[key], m[key], m[key], f[key], f[key], f[key]
""",
        name=name,
    )
    assert measured.eval("growth(20, use)") < SLACK
    assert measured.eval("sum('/dev/shm/' in line for line in open('/proc/self/maps'))") <= 2


def test_update_does_not_grow(measured, shared_name):
    measured.run(
        """
changes = {"é" * 1000: "é" * 10_000, "number": 2**10_000, "x": b"x" * 10_000}

def use(number):
    sharedmap.update(name, changes, remove=["nobody", "ü" * 10_000])
    sharedmap.update(name, {"a": 1}, remove=changes)
    for wrong in ({"a": object()}, {1: 1}):
        try:
            sharedmap.update(name, {**changes, **wrong})
        except TypeError:
            continue
        raise AssertionError
""",
        name=shared_name,
    )
    assert measured.eval("growth(1_200, use)") < SLACK


def test_everything_else_of_a_tree_does_not_grow(measured):
    """All in one, with so much in each tree that one that stays is seen."""
    measured.run("""
import copy, pickle
t["big"] = "x" * 60_000
h = sharedmap.rbtree({"a": bytearray(60_000)}, encode=bytes, decode=bytearray)
long = "é" * 30_000

def use(number):
    tree = t.copy()
    assert tree.setdefault(long, "x" * 60_000) and tree.pop(long)
    assert tree.pop(long, None) is None
    tree[long] = 2**480_000
    assert tree.popitem() == (long, 2**480_000)
    tree.update([(long, b"x" * 60_000)], z=1.5)
    assert tree.popitem(-1)[0] == long
    del tree["z"]
    assert len(tree | {}) == len({} | tree) == len(copy.copy(tree)) == 101
    tree |= [(long, 1)]
    assert pickle.loads(pickle.dumps(tree)) == tree
    assert len(tree["key 1":"key 2"]) == len(list(tree.prefix("key 1"))) == 11
    assert tree.floor(long + "é") == tree.last()[0] == long and tree.ceiling("ü") is None
    assert len(tree.keys() & {"key 1", long}) == 2 and len(tree.items() - {(long, 1)}) == 101
    assert h["a"] == h.copy()["a"] == h.first()[1] == next(iter(h.values()))
    repr(tree), repr(tree.keys()), list(reversed(tree)), iter(tree), tree.__sizeof__()
    assert sharedmap.rbtree.fromkeys([long, "a"], "x" * 60_000)
""")
    assert measured.eval("growth(200, use)") < SLACK


def test_interrupted_work_does_not_grow(measured, name):
    """Each call is made from C when the signal has come already; see test_interrupts.py."""
    measured.run(
        """
import _thread, collections, itertools, operator, pickle, signal
from functools import partial

class Interrupted(Exception):
    pass

def handler(number, frame):
    raise Interrupted

run = operator.methodcaller("__call__")
signal.signal(signal.SIGINT, handler)
entries = {f"{n:07}": "x" * 100 for n in range(5000)}
tree = sharedmap.rbtree(entries)
some = sharedmap.rbtree(dict.fromkeys(list(entries)[::2], "short"))
m = sharedmap.sharedmap.frombuffer(tree.dump())
works = [
    partial(sharedmap.rbtree, list(entries.items())),
    partial(sharedmap.rbtree, entries),
    partial(sharedmap.share, entries, name),
    partial(list, m.items()),
    partial(dict, tree.items()),
    partial(m.get_many, list(entries)),
    partial(operator.eq, m, tree),
    partial(operator.and_, m.keys(), tree.keys()),
    partial(repr, tree),
    tree.copy,
    partial(len, tree["0":"9"]),
]

def interrupt(*calls):
    try:
        collections.deque(map(run, calls), maxlen=0)
    except Interrupted:
        return
    raise AssertionError(calls)

def use(number):
    for work in works:
        interrupt(_thread.interrupt_main, work)
    # When all is gathered, and the tree is being changed.
    for each in (sharedmap.rbtree(), some.copy()):
        values = map(run, [_thread.interrupt_main])
        pairs = itertools.chain(entries.items(), filter(None, values))
        interrupt(partial(each.update, pairs))
""",
        name=name,
    )
    assert measured.eval("growth(200, use)") < SLACK


@pytest.fixture
def folder_in_memory():
    """Where saving does not wait for a disk."""
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="test-memory-") as folder:
        yield folder


def test_everything_else_of_a_map_does_not_grow(measured, name, folder_in_memory):
    measured.run(
        """
import pickle
h = sharedmap.rbtree({"a": bytearray(60_000)}, encode=bytes)
h.save(path)
t.update({"text": "x" * 60_000, "bytes": b"x" * 60_000, "number": 2**480_000})
t.share(name)

def use_encoded(m):
    with m:
        assert len(m.view("a")) == 60_000 and m.verify() is None
        for call in (m.first, m.last, m.peekitem, lambda: m["a"], lambda: m.get_many(["a"])):
            try:
                assert len(list(call())) in (1, 2, 60_000)
            except TypeError:
                assert m.name is None

def use(number):
    use_encoded(sharedmap.sharedmap.open(path, decode=bytearray))
    use_encoded(sharedmap.sharedmap.frombuffer(h.dump()))
    h.save(path, force=True)
    m = sharedmap.sharedmap(name)
    assert len(m["key 1":"key 2"]) == len(list(m.prefix("key 1"))) == 11
    assert len(m.keys() & {"key 1", "nobody"}) == 1 and len(m.items() - {("key 1", "x")}) == 103
    assert m.floor("é") == m.last()[0] and m.ceiling("é") is None
    assert pickle.loads(pickle.dumps(m)) == m == m.snapshot()
    assert m.peekitem(m.index("number"))[1] == 2**480_000 and not m.refresh() and not m.wait(0)
    assert name in sharedmap.names() and not m.stale
    repr(m), repr(m.items()), list(reversed(m)), iter(m), m.view("text")[:10], m["a":].keys()
""",
        name=name,
        path=f"{folder_in_memory}/map",
    )
    assert measured.eval("growth(200, use)") < SLACK
    # Whatever looks at a map keeps it mapped, so none of that is left either.
    assert measured.eval("sum('/dev/shm/' in line for line in open('/proc/self/maps'))") == 0
    assert measured.eval("sum(path in line for line in open('/proc/self/maps'))") == 0
    assert measured.eval("len(os.listdir('/proc/self/fd'))") < 20


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
