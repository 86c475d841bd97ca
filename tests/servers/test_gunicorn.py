"""gunicorn with the files of docs/guide/servers.md: every worker class, preloading or not."""

import os
import pwd
import sys
import tempfile
import threading
from pathlib import Path

import pytest
import servers
from command import output_of

import sharedmap

CLASSES = {"sync": "gunicorn.conf.py", "gthread": "gunicorn.conf.py", "gevent": "gevent.conf.py"}


@pytest.fixture
def folder(tmp_path, name):
    servers.needs("gunicorn")
    return written(tmp_path, name)


def written(folder, name):
    servers.write_files(folder, name)
    (folder / "tested.py").write_text(servers.WSGI.format(module="app", name="app"))
    return folder


def gunicorn(folder, configuration, *options):
    words = [sys.executable, "-m", "gunicorn", "--config", configuration, *options]
    return servers.started(folder, *words, "--bind", f"unix:{folder}/s", "tested:app")


def answers(server):
    servers.wait_until(server.is_listening, "gunicorn answers")
    return server


@pytest.mark.parametrize("preload", [True, False], ids=["preload", "no-preload"])
@pytest.mark.parametrize("kind", CLASSES)
def test_every_worker_serves_a_change_and_prepares_it(folder, name, kind, preload):
    if kind == "gevent":
        servers.needs("gevent")
    configuration = folder / CLASSES[kind]
    servers.replace(configuration, "preload_app = True", f"preload_app = {preload}")
    with gunicorn(folder, configuration, "--worker-class", kind, "--threads", "2") as server:
        before = answers(server).workers("Hello, limit 100, version 1", prepared=1)
        assert {answer.prepared for answer in before.values()} == {"HELLO"}
        sharedmap.update(name, {"greeting": "Good evening", "limit": 20})
        after = server.workers("Good evening, limit 20, version 2", prepared=2)
        assert {answer.prepared for answer in after.values()} == {"GOOD EVENING"}
        # None of them was started anew.
        assert {*before} == {*after}


def test_thread_that_is_started_before_the_fork_is_in_no_worker(folder, name):
    """What the page warns of: this is why there is a hook."""
    configuration = folder / "gunicorn.conf.py"
    servers.replace(configuration, "def post_worker_init(worker)", "def when_ready(server)")
    with gunicorn(folder, configuration) as server:
        workers = answers(server).workers("version 1")
        sharedmap.update(name, {"limit": 20})
        # Lookups need no thread.
        assert {*server.workers("limit 20, version 2")} == {*workers}
        for worker in workers:
            assert len(os.listdir(f"/proc/{worker}/task")) == 1


@pytest.fixture
def open_folder(name, as_root):
    """The folder again, where other users can reach it, as they can that of a service."""
    servers.needs("gunicorn")
    with tempfile.TemporaryDirectory(prefix="sharedmap-servers-") as folder:
        os.chmod(folder, 0o755)
        yield written(Path(folder), name)


def test_workers_of_another_user_serve_a_change(open_folder, name):
    user = next((u for u in ("www-data", "daemon") if user_exists(u)), None)
    if user is None:
        pytest.skip("NOT TESTED with user=: neither www-data nor daemon is a user here")
    configuration = open_folder / "user.conf.py"
    servers.replace(configuration, '"www-data"', repr(user))
    # A Python that is root's own is out of the workers' reach: what they import, root has imported.
    servers.replace(
        configuration,
        "import sharedmap\n",
        "import contextlib\nimport hashlib\n\nimport sharedmap\n",
    )
    with gunicorn(open_folder, configuration) as server:
        workers = answers(server).workers("Hello, limit 100, version 1")
        number = pwd.getpwnam(user).pw_uid
        assert {os.stat(f"/proc/{worker}").st_uid for worker in workers} == {number}
        sharedmap.update(name, {"limit": 20})
        assert {*server.workers("limit 20, version 2")} == {*workers}


def user_exists(user):
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


# ---- derived() -----------------------------------------------------------------------------------

CHANGES = int(os.environ.get("SHAREDMAP_TEST_CHANGES", "40"))

DERIVED = """
import os

import sharedmap

settings = sharedmap.sharedmap({name!r}, follow=True)
seen = []


def model(snapshot):
    seen.append(snapshot.generation)
    return dict(snapshot)


def app(environ, start_response):
    with settings.snapshot() as now:
        is_right = now.derived(model) == dict(now)
        is_once = len(seen) == len(set(seen))
        verdict = f"{{now.generation}} right={{is_right}} once={{is_once}}"
    worker = str(os.getpid())
    start_response("200 OK", [("X-Worker", worker), ("X-Prepared", verdict)])
    return [b""]
"""


@pytest.mark.parametrize("kind", CLASSES)
def test_derived_is_called_once_in_each_worker_for_a_version(folder, name, kind):
    """Also while the map changes: a change comes with every few requests, at any moment of them."""
    if kind == "gevent":
        servers.needs("gevent")
    (folder / "tested.py").write_text(DERIVED.format(name=name))
    configuration = folder / CLASSES[kind]
    text = configuration.read_text()
    text = text[: text.index("def post_worker_init")]
    configuration.write_text(text.replace(f"workers = {servers.WORKERS}", "workers = 4"))
    asked = threading.Semaphore(0)

    def change():
        for number in range(CHANGES):
            asked.acquire()
            sharedmap.update(name, {"limit": number})

    workers, generations = set(), set()

    def is_over():
        asked.release()
        for answer in server.ask(8):
            assert answer.prepared == "right=True once=True"
            workers.add(answer.worker)
            generations.add(answer.generation)
        return len(workers) == 4 and not changing.is_alive()

    with gunicorn(folder, configuration, "--worker-class", kind, "--threads", "2") as server:
        answers(server)
        changing = threading.Thread(target=change)
        changing.start()
        servers.wait_until(is_over, f"4 workers have answered during {CHANGES} changes")
    assert len(generations) > CHANGES / 2


# ---- why gevent needs its pool -----------------------------------------------------------------

ORDER = """
from gevent import monkey
monkey.patch_all()
import threading, time
import gevent
import sharedmap

events = []


def wait(seen):
    events.append("begin")
    {wait}
    events.append("end")


def run():
    with sharedmap.sharedmap({name!r}) as seen:
        wait(seen)


thread = threading.Thread(target=run)
thread.start()
events.append("started")
thread.join()
print(*events)
"""


@pytest.mark.parametrize(
    ("wait", "order"),
    [
        # start() does not return before the wait is over: without a timeout it never does.
        ("seen.wait(0.2)", "begin end started"),
        ("gevent.get_hub().threadpool.apply(seen.wait, (0.2,))", "begin started end"),
    ],
    ids=["in-the-greenlet", "in-the-pool"],
)
def test_wait_blocks_greenlets_unless_it_is_in_the_pool(name, wait, order):
    servers.needs("gevent")
    sharedmap.share({"a": 1}, name)
    program = ORDER.format(wait=wait, name=name)
    assert output_of(sys.executable, "-c", program).strip() == order
