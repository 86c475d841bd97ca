"""frombuffer(): the snapshot where it is, in whatever holds bytes, held for as long as needed."""

import array
import ctypes
import gc
import mmap
import sys
import weakref

import numpy
import pytest
from damage import USE_EVERYTHING

import sharedmap

ENTRIES = {"a": 1, "b": "two", "c": b"three" * 10, "d": None, "红": 1.5}


@pytest.fixture
def data():
    return sharedmap.rbtree(ENTRIES).dump()


@pytest.fixture
def opened(data):
    return sharedmap.sharedmap.frombuffer(data)


def anonymous_mmap(data):
    mapped = mmap.mmap(-1, len(data))
    mapped[:] = data
    return mapped


def cast_to_rows(data):
    return memoryview(bytearray(data)).cast("B", shape=[len(data) // 64, 64])


BUFFERS = {
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview of bytes": memoryview,
    "memoryview of bytearray": lambda data: memoryview(bytearray(data)),
    "part of a memoryview": lambda data: memoryview(b"x" * 64 + data + b"x")[64:-1],
    "rows of a memoryview": cast_to_rows,
    "mmap": anonymous_mmap,
    "array of bytes": lambda data: array.array("B", data),
    "array of words": lambda data: array.array("Q", data),
    "ctypes array": lambda data: (ctypes.c_char * len(data)).from_buffer_copy(data),
    "numpy array": lambda data: numpy.frombuffer(data, numpy.uint8).copy(),
    "read-only numpy array": lambda data: numpy.frombuffer(data, numpy.uint64),
    "rows of a numpy array": lambda data: numpy.frombuffer(data, numpy.uint8).reshape(-1, 64),
}
each_buffer = pytest.mark.parametrize("hold", BUFFERS.values(), ids=BUFFERS.keys())


@each_buffer
def test_any_contiguous_buffer_is_read(data, hold):
    opened = sharedmap.sharedmap.frombuffer(hold(data))
    opened.verify()
    assert opened == ENTRIES
    assert list(opened.items()) == sorted(ENTRIES.items())


@pytest.mark.parametrize("offset", range(1, 9))
def test_snapshot_may_begin_at_any_address(data, offset):
    opened = sharedmap.sharedmap.frombuffer(memoryview(b"x" * offset + data)[offset:])
    opened.verify()
    assert opened == ENTRIES
    assert bytes(opened.view("c")) == ENTRIES["c"]
    assert opened.index("红") == 4


def test_map_in_a_buffer_has_no_name(opened, data):
    assert opened.name is None
    assert opened.nbytes == len(data)
    assert opened.generation == 0
    assert "buffer" in repr(opened)
    assert len(repr(opened)) < 100


def test_label_of_a_dump_is_no_name():
    opened = sharedmap.sharedmap.frombuffer(sharedmap.rbtree(a=1).dump("label"))
    assert opened.name is None
    assert opened == {"a": 1}


def test_arguments_of_frombuffer_may_be_keywords(data):
    assert sharedmap.sharedmap.frombuffer(data=data, decode=None) == ENTRIES


# ---- not copied --------------------------------------------------------------------------------


def test_buffer_is_not_copied():
    buffer = bytearray(sharedmap.rbtree(a=b"before").dump())
    opened = sharedmap.sharedmap.frombuffer(buffer)
    view = opened.view("a")
    at = buffer.index(b"before")
    buffer[at : at + 6] = b"behind"
    assert view == b"behind"
    assert opened["a"] == b"behind"


def test_view_is_inside_the_buffer(data):
    buffer = (ctypes.c_char * len(data)).from_buffer_copy(data)
    start = ctypes.addressof(buffer)
    view = sharedmap.sharedmap.frombuffer(buffer).view("c")
    address = numpy.frombuffer(view, numpy.uint8).ctypes.data
    assert start + 512 < address
    assert address + len(view) <= start + len(data)


def test_opening_costs_no_memory_for_the_size(other):
    other.run(
        """
import tracemalloc
data = sharedmap.rbtree(a=b"x" * 2**24).dump()
tracemalloc.start()
opened = sharedmap.sharedmap.frombuffer(data)
"""
    )
    assert other.eval("tracemalloc.get_traced_memory()[1]") < 2**16


# ---- held --------------------------------------------------------------------------------------


def grow(buffer):
    buffer.append(0)


HOLDERS = {
    "the map": lambda opened: opened,
    "a part": lambda opened: opened["a":"c"],
    "a part of a part": lambda opened: opened.prefix("")["a":],
    "keys": lambda opened: opened.keys(),
    "items of a part": lambda opened: opened[:"c"].items(),
    "an iterator": lambda opened: iter(opened),
    "a reversed iterator": lambda opened: reversed(opened.values()),
    "a view": lambda opened: opened.view("c"),
    "a part of a view": lambda opened: opened.view("c")[2:4],
}


@pytest.mark.parametrize("take", HOLDERS.values(), ids=HOLDERS.keys())
def test_bytearray_cannot_be_resized_while_anything_looks_at_it(data, take):
    buffer = bytearray(data)
    holder = take(sharedmap.sharedmap.frombuffer(buffer))
    gc.collect()
    with pytest.raises(BufferError):
        grow(buffer)
    del holder
    gc.collect()
    grow(buffer)
    assert len(buffer) == len(data) + 1


def test_close_lets_the_buffer_go(data):
    buffer = bytearray(data)
    opened = sharedmap.sharedmap.frombuffer(buffer)
    opened.close()
    grow(buffer)
    assert opened.closed


def test_close_lets_the_object_go_that_the_buffer_belongs_to(data):
    class Buffer(bytearray):
        pass

    buffer = Buffer(data)
    opened = sharedmap.sharedmap.frombuffer(buffer)
    gone = weakref.ref(buffer)
    del buffer
    assert gone() is not None
    opened.close()
    gc.collect()
    assert gone() is None
    assert "closed" in repr(opened)


def test_buffer_is_held_until_the_last_reader_is_gone(data):
    buffer = bytearray(data)
    first, second = (sharedmap.sharedmap.frombuffer(buffer) for _ in range(2))
    part = first["a":"b"]
    for holder in (first, second):
        with pytest.raises(BufferError):
            grow(buffer)
        holder.close()
    with pytest.raises(BufferError):
        grow(buffer)
    assert dict(part) == {"a": 1}
    del part
    gc.collect()
    grow(buffer)


def test_mmap_cannot_be_closed_while_it_is_read(data):
    buffer = anonymous_mmap(data)
    opened = sharedmap.sharedmap.frombuffer(buffer)
    with pytest.raises(BufferError):
        buffer.close()
    assert opened == ENTRIES
    opened.close()
    buffer.close()


def test_memoryview_cannot_be_released_while_it_is_read(data):
    buffer = memoryview(data)
    opened = sharedmap.sharedmap.frombuffer(buffer)
    with pytest.raises(BufferError):
        buffer.release()
    opened.close()
    buffer.release()


def test_map_keeps_its_buffer_alive():
    opened = sharedmap.sharedmap.frombuffer(sharedmap.rbtree(ENTRIES).dump())
    gc.collect()
    assert opened == ENTRIES


def test_refused_buffer_is_let_go(data):
    buffer = bytearray(data[:-1])
    with pytest.raises(sharedmap.SnapshotError):
        sharedmap.sharedmap.frombuffer(buffer)
    grow(buffer)


def test_buffers_and_references_are_given_back(data):
    buffer, before = bytearray(data), None
    for round_number in range(20):
        opened = sharedmap.sharedmap.frombuffer(buffer)
        for take in HOLDERS.values():
            take(opened)
        opened.close()
        del opened
        gc.collect()
        if round_number == 0:
            before = sys.getrefcount(buffer)
    assert sys.getrefcount(buffer) == before


# ---- refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scatter",
    [
        lambda data: memoryview(bytes(b for byte in data for b in (byte, 0)))[::2],
        lambda data: memoryview(data[::-1])[::-1],
        lambda data: numpy.repeat(numpy.frombuffer(data, numpy.uint8), 2)[::2],
        lambda data: numpy.frombuffer(data, numpy.uint8).reshape(64, -1).T,
    ],
)
def test_buffer_that_is_not_contiguous_raises_buffer_error(data, scatter):
    with pytest.raises((BufferError, ValueError), match="contiguous") as caught:
        sharedmap.sharedmap.frombuffer(scatter(data))
    # numpy says it in its own way.
    assert type(caught.value) in (BufferError, ValueError)


@pytest.mark.parametrize(
    "wrong",
    ["text", 1, None, 1.5, [1], object(), sharedmap.rbtree()],
    ids=lambda w: type(w).__name__,
)
def test_what_is_no_buffer_raises_type_error(wrong):
    with pytest.raises(TypeError):
        sharedmap.sharedmap.frombuffer(wrong)


def test_released_memoryview_raises_value_error(data):
    buffer = memoryview(data)
    buffer.release()
    with pytest.raises(ValueError, match="released"):
        sharedmap.sharedmap.frombuffer(buffer)


def test_closed_mmap_raises_value_error(data):
    buffer = anonymous_mmap(data)
    buffer.close()
    with pytest.raises(ValueError, match="closed"):
        sharedmap.sharedmap.frombuffer(buffer)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:1],
        lambda data: data[:511],
        lambda data: data[:512],
        lambda data: data[:-1],
        lambda data: data[:-64],
        lambda data: data + b"\0",
        lambda data: data + bytes(64),
        lambda data: b"\0" + data[1:],
        lambda data: data[::-1],
        lambda data: bytes(len(data)),
        lambda data: data[:24] + b"\xff" * 8 + data[32:],
    ],
)
def test_bytes_that_are_no_whole_snapshot_raise_snapshot_error(data, damage):
    with pytest.raises(sharedmap.SnapshotError):
        sharedmap.sharedmap.frombuffer(damage(data))
    assert issubclass(sharedmap.SnapshotError, ValueError)


@pytest.mark.parametrize(
    "call",
    [
        lambda data: sharedmap.sharedmap.frombuffer(),
        lambda data: sharedmap.sharedmap.frombuffer(data, data),
        lambda data: sharedmap.sharedmap.frombuffer(data, None),
        lambda data: sharedmap.sharedmap.frombuffer(data, bogus=1),
        lambda data: sharedmap.sharedmap.frombuffer(data, follow=True, bogus=1),
    ],
)
def test_wrong_arguments_raise_type_error(data, call):
    with pytest.raises(TypeError):
        call(data)


# ---- a buffer that changes under its reader --------------------------------------------------

USE_WHILE_IT_CHANGES = """
import random

def damage_and_use(data, keys, rounds, seed):
    rng = random.Random(seed)
    for _ in range(rounds):
        buffer = bytearray(data)
        opened = sharedmap.sharedmap.frombuffer(buffer)
        # The header is copied when a map is opened; whatever comes later must not matter.
        for _ in range(rng.randint(1, 30)):
            buffer[rng.randrange(len(buffer))] = rng.choice([0, 1, 0x7F, 0x80, 0xFF])
        use(opened, keys)
    return True
"""


def test_buffer_that_changes_after_opening_is_wrong_answers_or_snapshot_error(workers, data):
    worker = workers()
    worker.run(USE_EVERYTHING)
    worker.run(USE_WHILE_IT_CHANGES)
    keys = [*ENTRIES, "", "zz"]
    assert worker.eval("damage_and_use(data, keys, 1000, 1)", data=data, keys=keys)


NEST = """
import threading

def drop():
    global nested
    nested = None

def nest(depth):
    data = b""
    for _ in range(depth):
        data = sharedmap.rbtree(x=data).dump(index="tree")
    nested = sharedmap.sharedmap.frombuffer(data)
    for _ in range(depth - 1):
        nested = sharedmap.sharedmap.frombuffer(nested.view("x"))
    return nested
"""


@pytest.mark.skipif(
    sys.version_info[:2] == (3, 13),
    reason="3.13 unwinds its own lists, too, only after 10,000 levels, whatever the stack",
)
def test_maps_in_maps_are_dropped_without_a_deep_stack(other):
    """Each owns the one around it: by its buffer, a value of that."""
    other.run(NEST)
    other.run("nested = nest(2000)")
    other.run("threading.stack_size(64 * 1024)")
    other.run("thread = threading.Thread(target=drop)")
    other.run("thread.start(); thread.join()")
    other.run("threading.stack_size(0)")
    assert other.eval("nested") is None
