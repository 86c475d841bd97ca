"""A handle is pickled as how to open the map again, and so goes to whatever process."""

import concurrent.futures
import copy
import io
import multiprocessing
import os
import pickle
import threading

import handle_targets
import pytest
from helpers import HANG

import sharedmap

ENTRIES = {str(number): number for number in range(100)} | {"b": b"\0\xff", "红": None}

# Newer interpreters warn of a fork beside threads; pools have such threads.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

each_method = pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])


def by_name(name, tmp_path):
    sharedmap.share(ENTRIES, name)
    return sharedmap.sharedmap(name)


def by_path(name, tmp_path):
    sharedmap.rbtree(ENTRIES).save(tmp_path / "map")
    return sharedmap.sharedmap.open(tmp_path / "map")


def by_bytes(name, tmp_path):
    return sharedmap.sharedmap.frombuffer(sharedmap.rbtree(ENTRIES).dump())


FORMS = [by_name, by_path, by_bytes]
each_form = pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
each_protocol = pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))


@pytest.fixture
def shared(form, name, tmp_path):
    with form(name, tmp_path) as shared:
        yield shared


# ---- pickle ------------------------------------------------------------------------------------


@each_form
@each_protocol
def test_pickled_handle_opens_the_map_again(shared, protocol):
    another = pickle.loads(pickle.dumps(shared, protocol))
    assert another is not shared
    assert type(another) is sharedmap.sharedmap
    assert another == ENTRIES
    assert another.name == shared.name
    assert another.nbytes == shared.nbytes


@each_form
@pytest.mark.parametrize("take", [copy.copy, copy.deepcopy], ids=lambda take: take.__name__)
def test_copied_handle_is_independent(shared, take):
    another = take(shared)
    assert another is not shared
    another.close()
    assert shared == ENTRIES
    another = take(shared)
    shared.close()
    assert another == ENTRIES


@each_form
@each_protocol
def test_closed_handle_is_not_pickled(shared, protocol):
    shared.close()
    with pytest.raises(ValueError, match="closed"):
        pickle.dumps(shared, protocol)


@each_form
def test_pickled_handle_names_nothing_but_the_way_to_reopen(shared):
    """What a pickle names is called when it is loaded."""
    named = []

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            named.append((module, name))
            return super().find_class(module, name)

    Unpickler(io.BytesIO(pickle.dumps(shared, 4))).load()
    assert set(named) == {("sharedmap", "sharedmap"), ("sharedmap._sharedmap", "_rebuild")}


def test_rebuilding_calls_nothing_but_maps_and_trees():
    rebuild = sharedmap.rbtree().__reduce__()[0]
    for kind in (None, int, object, str, "sharedmap"):
        with pytest.raises(TypeError, match="not a type of maps or trees"):
            rebuild(kind, 1)
    with pytest.raises(TypeError, match="not a type of maps or trees"):
        rebuild()


@pytest.mark.parametrize("form", [by_name, by_path], ids=lambda form: form.__name__)
def test_pickled_name_or_path_does_not_carry_the_content(shared):
    assert len(pickle.dumps(shared)) < 500


@pytest.mark.parametrize("form", [by_bytes], ids=lambda form: form.__name__)
def test_pickled_bytes_carry_the_content(shared):
    data = pickle.dumps(shared)
    assert len(data) > shared.nbytes
    shared.close()
    assert pickle.loads(data) == ENTRIES


@pytest.mark.parametrize("form", [by_name], ids=lambda form: form.__name__)
def test_pickled_name_opens_the_same_version_when_it_is_loaded(shared, name):
    data = pickle.dumps(shared)
    assert pickle.loads(data) == ENTRIES
    sharedmap.share({"newer": 1}, name, force=True)
    with pytest.raises(sharedmap.StaleError):
        pickle.loads(data)
    assert shared == ENTRIES
    sharedmap.remove(name)
    with pytest.raises(FileNotFoundError) as caught:
        pickle.loads(data)
    assert caught.value.filename == name


@pytest.mark.parametrize("form", [by_path], ids=lambda form: form.__name__)
def test_pickled_path_opens_the_same_version_of_the_file(shared, tmp_path):
    data = pickle.dumps(shared)
    assert pickle.loads(data) == ENTRIES
    (tmp_path / "map").unlink()
    with pytest.raises(FileNotFoundError):
        pickle.loads(data)
    sharedmap.rbtree(newer=1).save(tmp_path / "map")
    with pytest.raises(sharedmap.StaleError):
        pickle.loads(data)


def test_pickled_relative_path_is_the_same_file_in_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sharedmap.rbtree(ENTRIES).save("map")
    with sharedmap.sharedmap.open("map") as shared:
        data = pickle.dumps(shared)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert pickle.loads(data) == ENTRIES


@each_form
def test_handle_of_a_subclass_stays_one(form, name, tmp_path):
    form(name, tmp_path)
    shared = {
        by_name: lambda: Subclass(name),
        by_path: lambda: Subclass.open(tmp_path / "map"),
        by_bytes: lambda: Subclass.frombuffer(sharedmap.rbtree(ENTRIES).dump()),
    }[form]()
    another = pickle.loads(pickle.dumps(shared))
    assert type(another) is Subclass
    assert another.double("2") == 4


class Subclass(sharedmap.sharedmap):
    def double(self, key):
        return 2 * self[key]


def test_attributes_of_a_subclass_go_along():
    shared = Subclass.frombuffer(sharedmap.rbtree(ENTRIES).dump())
    shared.note = ["an attribute"]
    assert pickle.loads(pickle.dumps(shared)).note == ["an attribute"]
    assert copy.copy(shared).note is shared.note


@each_form
def test_damaged_pickle_raises_an_exception_and_nothing_worse(shared):
    rebuild, (kind, *arguments) = shared.__reduce__()[:2]
    for wrong in (
        (),
        (99, *arguments[1:]),
        (-1, *arguments[1:]),
        ("x", *arguments[1:]),
        (arguments[0], 1, *arguments[2:]),
        (arguments[0], None, *arguments[2:]),
        (0, b"bytes", None),
        (2, "text", None),
        (2, b"bytes", None),
        (arguments[0], arguments[1], 1),
    ):
        with pytest.raises((TypeError, ValueError, OSError)):
            rebuild(kind, *wrong)


def test_tree_is_pickled_as_a_snapshot_that_is_checked():
    data = pickle.dumps(sharedmap.rbtree({"a": b"needle" * 100}), 4)
    damaged = data.replace(b"needle", b"noodle", 1)
    assert pickle.loads(data) == {"a": b"needle" * 100}
    with pytest.raises(sharedmap.SnapshotError, match="checksum"):
        pickle.loads(damaged)


@each_protocol
def test_tree_of_a_subclass_is_pickled_with_its_attributes(protocol):
    tree = Tree(a=1)
    tree.note = ["an attribute", tree]
    another = pickle.loads(pickle.dumps(tree, protocol))
    assert type(another) is Tree
    assert another == {"a": 1}
    assert another.note[0] == "an attribute"
    assert another.note[1] is another


class Tree(sharedmap.rbtree):
    pass


def test_deep_copy_of_a_tree_is_independent():
    tree = Tree(a=1)
    tree.note = ["attribute"]
    shallow, deep = copy.copy(tree), copy.deepcopy(tree)
    tree["b"] = 2
    tree.note.append("later")
    assert shallow == deep == {"a": 1}
    assert shallow.note is tree.note
    assert deep.note == ["attribute"]


# ---- other processes ---------------------------------------------------------------------------


@each_form
@each_method
def test_handle_is_an_argument_of_a_process(shared, method):
    context = multiprocessing.get_context(method)
    receiving, sending = context.Pipe(duplex=False)
    child = context.Process(target=handle_targets.read_into, args=(shared, sending))
    child.start()
    sending.close()
    assert receiving.poll(HANG)
    pid, entries, name, size = receiving.recv()
    child.join(HANG)
    assert child.exitcode == 0
    assert pid == child.pid != os.getpid()
    assert entries == ENTRIES
    assert (name, size) == (shared.name, shared.nbytes)
    # The child has closed its own handle, not ours.
    assert shared == ENTRIES


@each_form
@each_method
def test_handle_is_an_argument_of_a_pool(shared, method):
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.map(handle_targets.get, [(shared, key) for key in ENTRIES])
        assert found == list(ENTRIES.values())


@each_form
@each_method
def test_handle_is_given_to_a_pool_once(shared, method):
    context = multiprocessing.get_context(method)
    with context.Pool(2, handle_targets.initialise, (shared,)) as pool:
        found = pool.map(handle_targets.get_from_initial, ENTRIES)
        assert found == list(ENTRIES.values())


@each_form
@each_method
def test_handle_is_an_argument_of_an_executor(shared, method):
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(2, context) as executor:
        futures = [executor.submit(handle_targets.read, shared) for _ in range(4)]
        results = [future.result(HANG) for future in futures]
    assert all(entries == ENTRIES for _, entries, _, _ in results)
    assert os.getpid() not in {pid for pid, _, _, _ in results}
    assert shared == ENTRIES


@each_form
def test_handle_is_an_argument_of_a_thread_pool_and_the_same_object_there(shared):
    with concurrent.futures.ThreadPoolExecutor(4) as executor:
        assert list(executor.map(shared.__getitem__, ENTRIES)) == list(ENTRIES.values())
        assert executor.submit(handle_targets.give_back, shared).result(HANG) is shared


@each_form
@each_method
def test_handle_comes_back_from_another_process(shared, method):
    with multiprocessing.get_context(method).Pool(1) as pool:
        another = pool.apply(handle_targets.give_back, (shared,))
    assert another is not shared
    assert another == ENTRIES


@each_form
@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_closed_handle_is_refused_before_a_process_is_started(shared, method):
    shared.close()
    child = multiprocessing.get_context(method).Process(
        target=handle_targets.is_usable, args=(shared,)
    )
    with pytest.raises(ValueError, match="closed"):
        child.start()


@each_form
def test_closed_handle_is_refused_by_an_executor(shared):
    shared.close()
    with concurrent.futures.ProcessPoolExecutor(1) as executor:
        future = executor.submit(handle_targets.is_usable, shared)
        with pytest.raises(ValueError, match="closed"):
            future.result(HANG)


@each_form
def test_close_in_one_thread_is_a_value_error_or_an_answer_in_another(shared):
    started, stopped = threading.Event(), []

    def read():
        try:
            while True:
                assert shared["1"] == 1
                assert shared["b"] == b"\0\xff"
                started.set()
        except ValueError as error:
            stopped.append(str(error))

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert started.wait(HANG)
    shared.close()
    for thread in threads:
        thread.join(HANG)
    assert len(stopped) == 3
    assert all("closed" in message for message in stopped)


@each_method
def test_decoder_goes_with_a_handle_to_another_process(name, method):
    tree = sharedmap.rbtree({"a": [1, 2]}, encode=pickle.dumps)
    tree.share(name)
    shared = sharedmap.sharedmap(name, decode=handle_targets.decode)
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.map(handle_targets.get, [(shared, "a")]) == [[1, 2]]


def test_decoder_that_cannot_be_pickled_raises_the_error_of_pickle():
    shared = sharedmap.sharedmap.frombuffer(sharedmap.rbtree(a=1).dump(), decode=lambda data: data)
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(shared)


OPEN_WITHOUT_ROOM = """
import errno, resource
with open("/proc/self/statm") as file:
    pages = int(file.read().split()[0])
limit = pages * resource.getpagesize() + 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
try:
    sharedmap.sharedmap(name)
    message = "opened"
except OSError as error:
    message = (error.errno == errno.ENOMEM, error.filename, error.strerror)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""


def test_map_that_cannot_be_mapped_says_which_limit_it_may_be(name, workers):
    sharedmap.share({str(number): b"x" * 2**20 for number in range(16)}, name)
    worker = workers()
    worker.run(OPEN_WITHOUT_ROOM, name=name)
    is_no_memory, filename, message = worker.eval("message")
    assert (is_no_memory, filename) == (True, name)
    assert "vm.max_map_count" in message
