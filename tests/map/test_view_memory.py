"""view(): the bytes of a value in place, for numpy and everybody else who can read memory."""

import gc
import struct
from functools import partial

import numpy
import pytest
from helpers import header_field, segment_path
from independent_reader import read

import sharedmap

SAMPLES = {
    "uint8": numpy.arange(1000, dtype=numpy.uint8),
    "int16": numpy.arange(-500, 500, dtype=numpy.int16),
    "int64": numpy.arange(-500, 500, dtype=numpy.int64) * 10**15,
    "float32": numpy.linspace(-1, 1, 777, dtype=numpy.float32),
    "float64": numpy.linspace(-1, 1, 777, dtype=numpy.float64),
    "complex128": numpy.linspace(-1, 1, 99).astype(numpy.complex128) * 1j,
    "record": numpy.array([(1, 2.5), (3, 4.5)], dtype=[("a", "<i4"), ("b", "<f8")]),
}


@pytest.fixture
def publish(name, tmp_path):
    """publish(how, entries): the same map, opened in one of the three ways."""

    def publish(how, entries):
        tree = sharedmap.rbtree(entries)
        if how == "share":
            tree.share(name, force=True)
            return sharedmap.sharedmap(name)
        if how == "save":
            tree.save(tmp_path / "map", force=True)
            return sharedmap.sharedmap.open(tmp_path / "map")
        return sharedmap.sharedmap.frombuffer(tree.dump())

    return publish


each_way = pytest.mark.parametrize("how", ["share", "save", "dump"])


def address_of(view):
    return numpy.frombuffer(view, numpy.uint8).ctypes.data


def mappings_of(path):
    """Where this process has the file mapped, as ranges of addresses."""
    with open("/proc/self/maps", "rb") as file:
        lines = [line.split() for line in file if line.rstrip().endswith(path)]
    bounds = [[int(part, 16) for part in line[0].split(b"-")] for line in lines]
    return [range(*pair) for pair in bounds]


# ---- in place ----------------------------------------------------------------------------------


@each_way
@pytest.mark.parametrize("dtype", SAMPLES)
def test_numpy_reads_the_values_in_place(publish, how, dtype):
    sample = SAMPLES[dtype]
    shared = publish(how, {key: value.tobytes() for key, value in SAMPLES.items()})
    view = shared.view(dtype)
    read = numpy.frombuffer(view, dtype=sample.dtype)
    assert (read == sample).all()
    assert read.ctypes.data == address_of(view)
    # Another look is at the same memory, so nothing was copied to look at it.
    assert address_of(shared.view(dtype)) == read.ctypes.data
    assert not read.flags.writeable
    assert read.flags.aligned


def test_view_lies_inside_the_mapping_of_the_file(name, publish):
    shared = publish("share", {"a": b"x" * 10_000, "b": b"y" * 10_000})
    [mapping] = mappings_of(segment_path(name))
    for key in "ab":
        address = address_of(shared.view(key))
        assert address in mapping
        assert address + 9_999 in mapping


@each_way
def test_every_value_of_bytes_begins_at_a_multiple_of_8(publish, how):
    entries = {"k" * size: bytes(size % 13 + 1) for size in range(150)}
    entries |= {f"v{size:03}": b"v" * (size + 1) for size in range(150)}
    # Values of other types between them, so that they do not begin where the last one ended.
    entries |= {f"v{size:03}x": "x" * (size % 7) for size in range(150)}
    shared = publish(how, entries)
    addresses = [address_of(shared.view(k)) for k, v in entries.items() if type(v) is bytes]
    assert len(addresses) == 300
    assert {address % 8 for address in addresses} == {0}


ALIGNMENTS = [8, 16, 32, 64]
ROWS = {f"{'k' * (number % 40)}{number}": bytes(number % 300) for number in range(5000)}


@pytest.mark.parametrize("align", ALIGNMENTS)
@pytest.mark.parametrize("how", ["share", "share of the tree", "save"])
def test_values_of_bytes_begin_at_a_multiple_of_align(name, tmp_path, how, align):
    tree = sharedmap.rbtree({**ROWS, "text": "x", "number": 1})
    if how == "save":
        tree.save(tmp_path / "map", align=align)
        shared = sharedmap.sharedmap.open(tmp_path / "map")
    else:
        publisher = tree.share if how != "share" else partial(sharedmap.share, tree.to_dict())
        publisher(name, align=align)
        shared = sharedmap.sharedmap(name)
    shared.verify()
    assert shared.to_dict() == tree.to_dict()
    assert {address_of(shared.view(key)) % align for key in ROWS if ROWS[key]} == {0}


@pytest.mark.parametrize("align", ALIGNMENTS)
@pytest.mark.parametrize("index", ["hash", "tree"])
def test_other_reader_reads_aligned_values(align, index):
    tree = sharedmap.rbtree({**dict(list(ROWS.items())[:500]), "text": "x", "number": 1})
    data = tree.dump(align=align, index=index)
    assert dict(read(data)) == tree.to_dict()
    assert header_field(data, 44, "H") == (align if align > 8 else 0)


@pytest.mark.parametrize("count", [10, 5000])
def test_update_keeps_the_alignment(name, count):
    sharedmap.share(dict(list(ROWS.items())[:count]), name, align=64)
    for number in range(3):
        sharedmap.update(name, {f"{'n' * number}new": bytes(100)}, remove=[str(number)])
    with sharedmap.sharedmap(name) as shared:
        shared.verify()
        keys = [key for key, value in shared.items() if value]
        assert "nnnew" in keys
        assert {address_of(shared.view(key)) % 64 for key in keys} == {0}


def test_encoded_values_begin_at_a_multiple_of_align(name):
    arrays = {f"{size}": numpy.arange(size) for size in range(1, 50)}
    sharedmap.share(arrays, name, encode=numpy.ndarray.tobytes, align=64)
    with sharedmap.sharedmap(name) as shared:
        assert {address_of(shared.view(key)) % 64 for key in arrays} == {0}


def test_map_of_other_values_is_no_larger_with_align():
    tree = sharedmap.rbtree((str(number), number) for number in range(1000))
    assert len(tree.dump(align=64)) == len(tree.dump())


@pytest.mark.parametrize("align", [0, 1, 4, 12, 128, 2**70, -8])
def test_align_is_one_of_four_numbers(name, align):
    error = OverflowError if align == 2**70 else ValueError
    with pytest.raises(error):
        sharedmap.share({}, name, align=align)
    with pytest.raises(TypeError):
        sharedmap.share({}, name, align="64")
    with pytest.raises(FileNotFoundError):
        sharedmap.sharedmap(name)


def test_encoded_value_begins_at_a_multiple_of_8():
    arrays = {f"{size}": numpy.arange(size) for size in range(1, 50)}
    tree = sharedmap.rbtree(arrays, encode=lambda array: array.tobytes())
    shared = sharedmap.sharedmap.frombuffer(tree.dump())
    for key, array in arrays.items():
        read = numpy.frombuffer(shared.view(key), array.dtype)
        assert read.ctypes.data % 8 == 0
        assert (read == array).all()


@each_way
def test_view_of_a_part_is_the_view_of_the_whole(publish, how):
    shared = publish(how, {"a": b"1" * 20, "b": b"2" * 20, "c": b"3" * 20})
    for part in (shared["b":], shared.prefix("b"), shared["a":"c"]["b":]):
        assert address_of(part.view("b")) == address_of(shared.view("b"))


def test_memory_of_two_processes_is_the_same(name, other, publish):
    """What one sees is what the other sees: here, a change that nobody is allowed to make."""
    shared = publish("share", {"a": b"before"})
    other.run("m = sharedmap.sharedmap(name); view = m.view('a')", name=name)
    path = segment_path(name)
    with open(path, "r+b") as file:
        at = file.read().index(b"before")
        file.seek(at)
        file.write(b"behind")
    assert shared.view("a") == b"behind"
    assert other.eval("bytes(view)") == b"behind"


# ---- what it is --------------------------------------------------------------------------------


@each_way
def test_view_is_a_read_only_memoryview_of_bytes(publish, how):
    view = publish(how, {"a": b"0123456789"}).view("a")
    assert type(view) is memoryview
    assert view.readonly
    assert (view.format, view.itemsize, view.ndim, view.shape) == ("B", 1, 1, (10,))
    assert view.contiguous
    assert len(view) == view.nbytes == 10
    assert view == b"0123456789"
    assert view[3] == ord("3")
    assert view[2:5].tobytes() == b"234"
    with pytest.raises(TypeError):
        view[0] = 1


@each_way
def test_view_of_empty_bytes_is_empty(publish, how):
    view = publish(how, {"a": b"", "b": b"x"}).view("a")
    assert len(view) == 0
    assert bytes(view) == b""


@each_way
def test_view_of_other_types_has_the_bytes_of_the_format(publish, how):
    shared = publish(
        how,
        {"str": "红\ud800", "float": -1.5, "int": -2, "true": True, "false": False, "none": None},
    )
    assert shared.view("str") == "红\ud800".encode("utf-8", "surrogatepass")
    assert struct.unpack("<d", shared.view("float")) == (-1.5,)
    assert int.from_bytes(shared.view("int"), "little", signed=True) == -2
    assert bytes(shared.view("true")) == b"\1"
    assert bytes(shared.view("false")) == b"\0"
    assert bytes(shared.view("none")) == b""


@each_way
def test_view_can_be_cast_and_written(publish, how, tmp_path):
    sample = SAMPLES["float64"]
    view = publish(how, {"a": sample.tobytes()}).view("a")
    assert view.cast("d").tolist() == sample.tolist()
    with open(tmp_path / "file", "wb") as file:
        file.write(view)
    assert (tmp_path / "file").read_bytes() == sample.tobytes()


@each_way
def test_view_of_an_absent_key_raises_key_error_with_the_key(publish, how):
    with pytest.raises(KeyError) as caught:
        publish(how, {"a": b""}).view("b\udc80")
    assert caught.value.args == ("b\udc80",)


@each_way
def test_view_needs_one_str(publish, how):
    shared = publish(how, {"a": b""})
    for arguments in ((), ("a", "b"), (1,), (None,), (b"a",)):
        with pytest.raises(TypeError):
            shared.view(*arguments)


# ---- how long it lives -------------------------------------------------------------------------


@each_way
def test_view_outlives_close_and_del(publish, how):
    sample = SAMPLES["float64"]
    shared = publish(how, {"a": sample.tobytes()})
    read = numpy.frombuffer(shared.view("a"), sample.dtype)
    shared.close()
    del shared
    gc.collect()
    assert (read == sample).all()


def test_view_outlives_remove_and_a_new_publication(name, publish):
    shared = publish("share", {"a": b"before" * 1000})
    view = shared.view("a")
    shared.close()
    publish("share", {"a": b"after" * 1000})
    assert view == b"before" * 1000
    sharedmap.remove(name)
    assert view == b"before" * 1000


def test_view_keeps_the_file_mapped_and_lets_it_go(name, publish):
    path = segment_path(name)
    shared = publish("share", {"a": b"x" * 100})
    view = shared.view("a")
    part = view[10:20]
    array = numpy.frombuffer(part, numpy.uint8)
    for holder in ("shared", "view", "part"):
        if holder == "shared":
            shared.close()
            del shared
        elif holder == "view":
            del view
        else:
            del part
        gc.collect()
        assert len(mappings_of(path)) == 1
    assert array.tobytes() == b"x" * 10
    del array
    gc.collect()
    assert mappings_of(path) == []


def test_released_view_lets_the_file_go_before_it_is_collected(name, publish):
    shared = publish("share", {"a": b"x" * 100})
    with shared.view("a") as view:
        shared.close()
        del shared
        gc.collect()
        assert len(mappings_of(segment_path(name))) == 1
    assert mappings_of(segment_path(name)) == []
    with pytest.raises(ValueError, match="released"):
        view[0]
