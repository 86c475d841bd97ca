"""What any test can ask for: names that are its own, other processes, places, the command.

A name is unique to its test and gone after it; a process ends with the test or the file that asked
for it. A place is a name or a path to publish in, so that what holds for one is tested with both;
`command` runs the command line in this process. There are files that are no maps, what only root
can set up, and, for whoever looks at references, a debug build of Python with our package for it.
"""

import gc
import itertools
import os
import signal
import sys
import uuid

import hypothesis
import pytest
import watchdog
from command import Done
from helpers import FAULTS, SHM, Worker, segment_path, shm_files
from live import OLD, Saved, Shm

import sharedmap
from sharedmap._cli import main

sys.path.insert(0, os.fspath(FAULTS))
import extension


class Names:
    """Makes names that hold a token of this one test, to tell its files from all others."""

    def __init__(self):
        self.token = "test-" + uuid.uuid4().hex[:16]
        self._count = itertools.count()
        self._made = []

    def __call__(self, template="{}"):
        name = template.format(f"{self.token}.{next(self._count)}")
        self._made.append(name)
        return name

    def files(self):
        return shm_files(self.token)

    def remove_all(self):
        for name in self._made:
            try:
                sharedmap.rbtree.remove(name)
            except PermissionError:
                # Another user's: not even root removes it by its name.
                os.unlink(segment_path(name))
        left = self.files()
        for file in left:
            os.unlink(SHM + file)
        assert left == [], "files left in /dev/shm after every map was removed"


@pytest.fixture(scope="session", autouse=True)
def state_home(tmp_path_factory):
    """Where agents and publishers keep their files unless a test says otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("STATE_DIRECTORY", raising=False)
        home = tmp_path_factory.mktemp("state")
        patch.setenv("XDG_STATE_HOME", os.fspath(home))
        yield home


@pytest.fixture
def names():
    names = Names()
    yield names
    names.remove_all()


@pytest.fixture
def name(names):
    return names()


@pytest.fixture(scope="module")
def module_names():
    """For the few maps that all tests of a file look at."""
    names = Names()
    yield names
    names.remove_all()


@pytest.fixture(scope="module")
def kept_open():
    kept = []
    yield kept
    in_order = [worker.close() for worker in kept]
    assert all(in_order)


@pytest.fixture
def other(kept_open):
    """One other process for all tests of a file: starting one for each would take the time.

    If a test kills it, by a crash, the next one gets another.
    """
    if not kept_open or not kept_open[-1].is_alive():
        kept_open.append(Worker())
    return kept_open[-1]


@pytest.fixture
def workers():
    """Other processes of one test only."""
    started = []

    def start(*prefix):
        started.append(Worker(prefix))
        return started[-1]

    yield start
    in_order = [worker.close() for worker in started]
    assert all(in_order)


@pytest.fixture
def plant(names):
    """plant(name, how): `how(path)` makes what lies where the map of that name would."""
    planted = []

    def plant(name, how):
        path = segment_path(name)
        how(path)
        planted.append(path)
        return path

    yield plant
    for path in planted:
        if os.path.isdir(path) and not os.path.islink(path):
            os.rmdir(path)
        elif os.path.lexists(path):
            os.unlink(path)


@pytest.fixture
def plant_bytes(plant):
    """plant_bytes(name, data): an ordinary file of our own, with the mode that a map has."""

    def write(path, data):
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)

    return lambda name, data: plant(name, lambda path: write(path, data))


@pytest.fixture(params=["shm", "file"])
def place(request, names, tmp_path):
    """A name, and then a file, where something newer can be published."""
    return Shm(names()) if request.param == "shm" else Saved(tmp_path / "a.map")


@pytest.fixture
def following(place):
    """A map that follows, open on live.OLD."""
    place.publish(OLD)
    with place.open(follow=True) as shared:
        yield shared


@pytest.fixture
def opened(place):
    """One that does not."""
    place.publish(OLD)
    with place.open() as shared:
        yield shared


@pytest.fixture
def command(capsys):
    """command("ls", "--json"): what the command says, and how it ends."""

    def run(*arguments):
        capsys.readouterr()
        try:
            code = main([os.fspath(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def often_switched():
    """Lets threads take turns far more often than usual, so that few rounds meet many orders."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def as_root():
    """For what only root can set up: another user's files, a /dev/shm of its own."""
    if os.geteuid() != 0:
        pytest.skip("needs root: acts as a second user or mounts a private /dev/shm")


# Files that take long. Side by side they come first, as one of them that came last would be left
# to run alone.
LONG = [
    "test_stress.py",
    "test_lifetime.py",
    "test_hostile.py",
    "test_fuzz.py",
    "test_documentation.py",
    "test_stubs.py",
    "test_faults.py",
    "test_rbtree_model.py",
    "test_sharedmap_model.py",
    "test_many_machines.py",
    "test_redis_failover.py",
    "test_redis_fuzz.py",
    "test_gunicorn.py",
    "test_other_servers.py",
]


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in LONG)


def pytest_collection_finish():
    # The tests themselves are there to stay: thousands of objects that no gc.collect() of a test
    # need look at again.
    gc.collect()
    gc.freeze()


def pytest_configure(config):
    watchdog.register(config)
    # Else xdist begins with the files of the most tests.
    config.option.loadscopereorder = False
    # A shell without job control starts what is to run in the background deaf to SIGINT, and
    # processes that the tests start would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # As nohup does with SIGHUP.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # A failing property says with which line above it the test fails again, on any machine.
    hypothesis.settings.register_profile("sharedmap", print_blob=True)
    hypothesis.settings.load_profile("sharedmap")


def pytest_report_header():
    return f"sharedmap: {sharedmap.__file__}, user id {os.geteuid()}"


@pytest.fixture(scope="session")
def debug_builder(tmp_path_factory):
    """(python, builder) of our package for a debug build of Python, which counts references."""
    python = extension.debug_python()
    if python is None:
        pytest.skip("NOT TESTED in a debug build of Python: Debian's python3-dbg, --with-pydebug")
    if why := extension.why_impossible(python):
        pytest.skip(f"NOT TESTED in a debug build of Python: {why}")
    return python, extension.Builder(tmp_path_factory.mktemp("debug"), python)
