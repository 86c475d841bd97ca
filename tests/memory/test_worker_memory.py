"""A pool of workers that read all of a big map: each takes next to no memory for it.

What a process has to itself is Private_Clean and Private_Dirty, as the kernel counts them; the
pages of the map are there once for all.
"""

import pytest

import sharedmap

MEBIBYTE = 2**20
WORKERS = 8
# Somewhat more than 200 MiB of values.
ENTRIES, SIZE = 26_000, 8192

# Sanitizers need memory of their own for every page.
pytestmark = pytest.mark.slow

MEASURE = """
def private():
    with open("/proc/self/smaps_rollup") as file:
        lines = [line.split() for line in file]
    own = ("Private_Clean:", "Private_Dirty:")
    return sum(1024 * int(line[1]) for line in lines if line[0] in own)

def touch_everything(entries):
    count = size = 0
    for key, value in entries.items():
        count += 1
        size += len(value)
    return count, size

# Once with little, so that what Python needs for it is there already.
small = sharedmap.rbtree({str(number): b"x" * 8192 for number in range(500)})
touch_everything(sharedmap.sharedmap.frombuffer(small.dump()))
before = private()
"""


@pytest.fixture(scope="module")
def big_name(module_names):
    # The values are one object; only the map has them all.
    name = module_names()
    value = bytes(range(256)) * (SIZE // 256)
    sharedmap.share(((f"key {number:06}", value) for number in range(ENTRIES)), name)
    with sharedmap.sharedmap(name) as shared:
        assert shared.nbytes >= 200 * MEBIBYTE
    return name


def test_each_of_8_workers_adds_less_than_a_mebibyte(big_name, workers):
    pool = [workers() for _ in range(WORKERS)]
    for worker in pool:
        worker.run(MEASURE)
        worker.run("m = sharedmap.sharedmap(name)", name=big_name)
    for worker in pool:
        worker.send("eval", "touch_everything(m)", {})
    assert [worker.answer() for worker in pool] == [(ENTRIES, ENTRIES * SIZE)] * WORKERS
    # Only now, as a page that one process alone has mapped counts as its own.
    added = [worker.eval("private() - before") for worker in pool]
    assert max(added) < MEBIBYTE, added


def test_workers_that_look_up_every_key_add_less_than_a_mebibyte_each(big_name, workers):
    pool = [workers() for _ in range(2)]
    for worker in pool:
        worker.run(MEASURE)
        worker.run("m = sharedmap.sharedmap(name)", name=big_name)
        worker.send("eval", "sum(len(m[f'key {n:06}']) for n in range(len(m)))", {})
    assert [worker.answer() for worker in pool] == [ENTRIES * SIZE] * 2
    assert max(worker.eval("private() - before") for worker in pool) < MEBIBYTE


def test_measure_sees_what_a_copy_of_the_map_would_add(big_name, workers):
    """So that the tests above cannot pass by looking at the wrong numbers."""
    worker = workers()
    worker.run(MEASURE)
    worker.run("copy = dict(sharedmap.sharedmap(name))", name=big_name)
    assert worker.eval("private() - before") > 200 * MEBIBYTE
