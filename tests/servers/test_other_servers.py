"""uWSGI, uvicorn, Celery and Django with the files of docs/guide/servers.md."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import servers
from command import Program
from helpers import segment_path
from live import Shm, damaged, published_by_hand
from servers import WORKERS, wait_until

import sharedmap


@pytest.fixture
def folder(tmp_path, name):
    servers.write_files(tmp_path, name)
    sharedmap.share({"greeting": "Hello", "limit": 100}, name)
    return tmp_path


def change(name):
    sharedmap.update(name, {"greeting": "Good evening", "limit": 20})


def test_every_file_of_the_page_is_started_by_a_test():
    expected = {"app.py", "prepared.py", "gunicorn.conf.py", "gevent.conf.py", "user.conf.py"}
    expected |= {"uwsgi.ini", "uwsgi_app.py", "main.py", "tasks.py"}
    assert {*servers.page_files()} == expected | {"shop/settings.py", "shop/urls.py"}


@pytest.mark.parametrize("lazy", [True, False], ids=["lazy-apps", "master"])
def test_every_worker_of_uwsgi_serves_a_change_and_prepares_it(folder, name, lazy):
    uwsgi = servers.program("uwsgi")
    (folder / "tested.py").write_text(servers.WSGI.format(module="uwsgi_app", name="app"))
    ini = folder / "uwsgi.ini"
    servers.replace(ini, "uwsgi_app:app", "tested:app")
    servers.replace(ini, "processes = 4", f"processes = {WORKERS}")
    servers.replace(ini, "lazy-apps = true", f"lazy-apps = {str(lazy).lower()}")
    words = ["--ini", ini, "--http-socket", folder / "s", "--virtualenv", sys.prefix]
    with servers.started(folder, uwsgi, *words) as server:
        wait_until(server.is_listening, "uWSGI answers")
        before = server.workers("Hello, limit 100, version 1", prepared=1)
        change(name)
        after = server.workers("Good evening, limit 20, version 2", prepared=2)
        assert {*before} == {*after}


def test_every_worker_of_uvicorn_serves_a_change_and_prepares_it(folder, name):
    servers.needs("uvicorn", "fastapi")
    (folder / "tested.py").write_text(servers.ASGI)
    words = ["--workers", str(WORKERS), "--uds", folder / "s", "tested:app"]
    with servers.started(folder, sys.executable, "-m", "uvicorn", *words) as server:
        wait_until(server.is_listening, "uvicorn answers")
        before = server.workers('"limit":100,"version":1', prepared=1)
        change(name)
        after = server.workers('"limit":20,"version":2', prepared=2)
        assert {answer.prepared for answer in after.values()} == {"GOOD EVENING"}
        assert {*before} == {*after}


def test_settings_of_django_are_the_newest_in_every_worker(folder, name):
    servers.needs("django", "gunicorn")
    (folder / "served.py").write_text(
        "import os\n"
        'os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"\n'
        "from django.core.wsgi import get_wsgi_application\n"
        "application = get_wsgi_application()\n"
    )
    (folder / "tested.py").write_text(servers.WSGI.format(module="served", name="application"))
    words = ["--config", folder / "gunicorn.conf.py", "--bind", f"unix:{folder}/s", "tested:app"]
    with servers.started(folder, sys.executable, "-m", "gunicorn", *words) as server:
        wait_until(server.is_listening, "Django answers")
        before = server.workers("limit 100, version 1", prepared=1)
        change(name)
        assert {*server.workers("limit 20, version 2", prepared=2)} == {*before}


# ---- what the thread of the page outlives ------------------------------------------------------

WATCHED = """
import sys, time, types
import prepared

prepared.time = types.SimpleNamespace(sleep=lambda seconds: print("again", flush=True))
prepared.start()
for expected in sys.stdin:
    while prepared.greeting != expected.strip():
        time.sleep(0.01)
    print(prepared.greeting, flush=True)
"""


@pytest.mark.parametrize("unusable", ["damaged", "without a greeting"])
def test_thread_of_the_page_outlives_a_version_that_cannot_be_used(folder, name, unusable):
    with Program(
        [sys.executable, "-c", WATCHED],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.fspath(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:

        def prepares(greeting):
            process.stdin.write(f"{greeting}\n".encode())
            process.stdin.flush()
            while (line := process.next_line()) == b"again\n":
                pass
            return line.decode().strip() == greeting

        assert prepares("HELLO")
        if unusable == "damaged":
            good = Path(os.fsdecode(segment_path(name))).read_bytes()
            published_by_hand(Shm(name), damaged(good))
        else:
            sharedmap.update(name, {"limit": 20}, remove=["greeting"])
        assert process.next_line() == b"again\n"
        sharedmap.share({"greeting": "Good evening", "limit": 20}, name, force=True)
        assert prepares("GOOD EVENING")


# ---- Celery -----------------------------------------------------------------------------------

TESTED_TASKS = """
import json
import os
import pathlib
import time

import prepared
import tasks

app = tasks.app
app.conf.broker_transport_options = json.loads(os.environ["BROKER_OPTIONS"])


@app.task(name="answer")
def answer(folder, count, generation):
    # As many tasks at once as there are children: each has one, and waits until all have begun.
    folder = pathlib.Path(folder)
    (folder / f"{os.getpid()}.begun").touch()
    end = time.monotonic() + 30
    while len([*folder.glob("*.begun")]) < count or prepared.generation < generation:
        assert time.monotonic() < end
        time.sleep(0.01)
    answer = [tasks.greet("Ada"), prepared.generation, prepared.greeting]
    (folder / f"{os.getpid()}.tmp").write_text(json.dumps(answer))
    os.rename(folder / f"{os.getpid()}.tmp", folder / f"{os.getpid()}.json")
"""


def test_every_child_of_celery_serves_a_change_and_prepares_it(folder, name):
    servers.needs("celery")
    # The broker is a folder, so that no server is needed beside the one that is tested.
    broker = {"polling_interval": 0.05}
    for role in ("data_folder_in", "data_folder_out", "control_folder"):
        broker[role] = os.fspath(folder / ("control" if role.startswith("control") else "queue"))
        os.makedirs(broker[role], exist_ok=True)
    (folder / "tested_tasks.py").write_text(TESTED_TASKS)
    sender = importlib.import_module("celery").Celery(broker="filesystem://")
    sender.conf.broker_transport_options = broker
    count = 0

    def answers(generation):
        nonlocal count
        count += 1
        result = folder / f"answers{count}"
        result.mkdir()
        for _ in range(WORKERS):
            sender.send_task("answer", (os.fspath(result), WORKERS, generation), ignore_result=True)

        def found():
            assert server.process.poll() is None, server.said()
            return len([*result.glob("*.json")]) == WORKERS

        wait_until(found, "each child has answered")
        return {file.stem: json.loads(file.read_text()) for file in result.glob("*.json")}

    words = ["-m", "celery", "-A", "tested_tasks", "worker", "-c", str(WORKERS)]
    words += ["--loglevel", "warning", "--without-gossip", "--without-mingle"]
    environment = {"BROKER": "filesystem://", "BROKER_OPTIONS": json.dumps(broker)}
    with servers.started(folder, sys.executable, *words, **environment) as server:
        before = answers(1)
        assert [*before.values()] == [["Hello Ada, limit 100, version 1", 1, "HELLO"]] * WORKERS
        change(name)
        after = answers(2)
        expected = ["Good evening Ada, limit 20, version 2", 2, "GOOD EVENING"]
        assert [*after.values()] == [expected] * WORKERS
        assert {*before} == {*after}
