"""Every example does what its docstring tells readers to type, in the checkout's folder.

The commands are taken from the source. Only names of maps and ports are replaced by the test's own,
and curl and nc by a few lines of Python, since not every machine has them.
"""

import ast
import importlib
import os
import re
import shlex
import socket
import subprocess
import sys

import pytest
from command import PROGRAM, Program, output_of
from helpers import TOP
from live import wait_until
from redis_server import end_server, make_server
from servers import needs, of_servers

import sharedmap

EXAMPLES = TOP / "examples"

if not EXAMPLES.is_dir():
    pytest.skip(
        "an installed package is tested, its examples are elsewhere", allow_module_level=True
    )

CURL = """
import sys, urllib.error, urllib.request
try:
    answer = urllib.request.urlopen("http://" + sys.argv[1], timeout=30)
except urllib.error.HTTPError as error:
    answer = error  # curl prints the body, too
print(answer.read().decode(), end="")
"""
NC = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 30) as connection:
    connection.sendall(sys.stdin.buffer.read())
    connection.shutdown(socket.SHUT_WR)
    print(connection.makefile().read(), end="")
"""
# What is typed finds the programs of the environment that the tests run in.
BIN = os.path.dirname(sys.executable)
SHELL = f"""
export PATH={shlex.quote(BIN)}:"$PATH"
python() {{ {shlex.quote(sys.executable)} "$@"; }}
sharedmap() {{ {shlex.join(PROGRAM)} "$@"; }}
curl() {{ {shlex.join([sys.executable, "-c", CURL])} "$@"; }}
nc() {{ {shlex.join([sys.executable, "-c", NC])} "$@"; }}
"""


def docstring(example):
    source = (EXAMPLES / example).read_text()
    text = ast.get_docstring(ast.parse(source), clean=False)
    # What is read in the source is what is typed: no escape may stand between them.
    assert text in source, f"{example}: a backslash in the docstring is not meant for Python"
    return text


def commands(example):
    """Those of the docstring, without what is optional."""
    lines = re.findall(r"^    ((?:.*\\\n)*.*)", docstring(example), re.MULTILINE)
    return [re.sub(r" \[.*?\]", "", line) for line in lines]


def words(command, replaced):
    for old, new in replaced.items():
        command = command.replace(old, new)
    return ["bash", "-c", SHELL + command]


def typed(command, replaced=None, environment=None):
    return output_of(*words(command, replaced or {}), cwd=TOP, env=environment)


class Served:
    """The first command of an example, which runs until the test has typed the others."""

    def __init__(self, command, replaced, environment):
        # In place of the shell, so that the signal reaches it.
        program = shlex.split(command)[0]
        script = f'export PATH={shlex.quote(BIN)}:"$PATH"\nexec {command}'
        if program == "python":
            script = script.replace("exec python", f"exec {shlex.quote(sys.executable)}")
        for old, new in replaced.items():
            script = script.replace(old, new)
        self.process = Program(
            ["bash", "-c", script],
            cwd=TOP,
            env={**environment, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self):
        return self.process.__enter__()

    def __exit__(self, *error):
        self.process.terminate()
        self.process.communicate(timeout=30)
        return self.process.__exit__(*error)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", int(port)), 1).close()
    except ConnectionRefusedError:
        return False
    return True


# ---- programs that end by themselves -----------------------------------------------------------

PROGRAMS = {
    "hello.py": "worker: checkout.timeout is now 60",
    "feature_flags.py": "switched off: True",
    "openfeature_flags.py": "worker 1: new-checkout is True, cart-limit is 50",
    "ip_ranges.py": "192.0.2.200: Belgium",
    "live_configuration.py": "closed; exit codes [0, 0, 0]",
    "worker_pool.py": "1000 orders",
    "data_loader.py": "10000 samples, sum 495000",
    "unicode_names.py": "character names of Unicode",
}
SERVERS = {
    "web_service.py",
    "fastapi_service.py",
    "django_site.py",
    "async_service.py",
    "job_queue.py",
}


def test_every_example_is_typed_by_a_test():
    assert {path.name for path in EXAMPLES.glob("*.py")} == {*PROGRAMS} | SERVERS


@pytest.mark.parametrize("example", PROGRAMS)
def test_program_runs_as_its_docstring_says(example):
    needs(*{"data_loader.py": ["torch"], "openfeature_flags.py": ["openfeature"]}.get(example, []))
    (command,) = commands(example)
    assert command == f"python examples/{example}"
    assert PROGRAMS[example] in typed(command)


# ---- servers -----------------------------------------------------------------------------------


def test_web_service_runs_as_its_docstring_says(name, tmp_path):
    needs("gunicorn")
    serve, ask, change, ask_again = commands("web_service.py")
    port = free_port()
    replaced = {"example:web": name, "localhost:8000": f"127.0.0.1:{port}"}
    environment = {**of_servers(tmp_path), "SETTINGS": name, "BIND": f"127.0.0.1:{port}"}
    with Served(serve, replaced, environment):
        wait_until(lambda: answers(port), "gunicorn answers")
        assert typed(ask, replaced).startswith("Hello, limit 100, version 1, worker ")
        assert typed(change, replaced)
        assert typed(ask_again, replaced).startswith("Good evening, limit 20, version 2, worker ")


def test_fastapi_service_runs_as_its_docstring_says(name, tmp_path):
    needs("fastapi", "uvicorn")
    serve, ask, change, ask_again = commands("fastapi_service.py")
    port = free_port()
    replaced = {"example:prices": name, "localhost:8000": f"127.0.0.1:{port}"}
    environment = {**of_servers(tmp_path), "PRICES": name}
    with Served(f"{serve} --port {port}", replaced, environment):
        wait_until(lambda: answers(port), "uvicorn answers")
        assert typed(ask, replaced) == '{"article":"shoe","price":79.9,"version":1}'
        assert typed(change, replaced)
        assert typed(ask_again, replaced) == '{"article":"shoe","price":59.9,"version":2}'


def test_django_site_runs_as_its_docstring_says(name, tmp_path):
    needs("django", "gunicorn")
    serve, ask, change, ask_again = commands("django_site.py")
    port = free_port()
    replaced = {"example:site": name, "localhost:8000": f"127.0.0.1:{port}"}
    environment = {**of_servers(tmp_path), "SITE": name}
    with Served(serve, replaced, environment):
        wait_until(lambda: answers(port), "gunicorn answers")
        assert typed(ask, replaced) == "Welcome\n"
        assert typed(change, replaced)
        assert typed(ask_again, replaced) == "Back in a minute\n"


def test_async_service_runs_as_its_docstring_says(name):
    serve, ask, change = commands("async_service.py")
    with Served(serve, {}, {**os.environ, "PATTERNS": name, "PORT": "0"}) as process:
        port = process.next_line().split()[-1].decode()
        replaced = {"example:patterns": name, "8765": port}
        assert typed(ask, replaced) == "1: my card is ***\n"
        assert typed(change, replaced)
        # The pattern that was typed is the one that masks.
        wait_until(lambda: typed(ask, replaced) == "2: my ***\n", "the second version is prepared")


def test_job_queue_runs_as_its_docstring_says(name, tmp_path):
    needs("rq")
    load, work, enqueue = commands("job_queue.py")
    server = make_server()
    try:
        own = f'redis.Redis.from_url("{server.url}")'
        replaced = {"example:cities": name, "redis.Redis()": own}
        assert typed(load, replaced)
        assert sharedmap.sharedmap(name)["Lyon"] == "France"
        typed(enqueue, replaced)
        environment = {**of_servers(tmp_path), "CITIES": name}
        typed(f"{work} --burst --url {server.url}", replaced, environment)
        queue = importlib.import_module("rq").Queue(connection=server.client)
        (job,) = queue.finished_job_registry.get_job_ids()
        answer = queue.fetch_job(job).return_value()
        assert answer == "Greetings from Lyon in France! (version 1)"
    finally:
        end_server(server)


def test_unit_is_copied_from_where_it_is():
    text = (EXAMPLES / "sharedmap-follow.service").read_text()
    (source,) = re.findall(r"^#     cp (\S+) ", text, re.MULTILINE)
    assert (TOP / source).samefile(EXAMPLES / "sharedmap-follow.service")
