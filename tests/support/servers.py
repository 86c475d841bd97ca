"""Starts servers with the files that docs/guide/servers.md shows, and asks all their workers.

    with started(folder, "gunicorn", ...) as server:
        server.workers("version 1")        each worker has answered, and all said so
        server.workers("version 2", prepared=2)

What is served is the page's application in a wrapper, which adds who has answered and what
`prepared.py` has prepared there.
"""

import contextlib
import http.client
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from typing import NamedTuple

import pages
import pytest
from helpers import HANG, TOP
from live import wait_until

PAGE = TOP / "docs/guide/servers.md"
WORKERS = 2

# The name of a block's file is what is quoted in the paragraph before it.
FILE = re.compile(r"`([\w./]+\.(?:py|ini))`")

WSGI = """
import os

import prepared
from {module} import {name} as shown


def app(environ, start_response):
    def start(status, headers, *error):
        headers = [*headers, ("X-Worker", str(os.getpid()))]
        headers += [("X-Prepared", f"{{prepared.generation}} {{prepared.greeting}}")]
        return start_response(status, headers, *error)

    return shown(environ, start)
"""

ASGI = """
import os

import main


async def app(scope, receive, send):
    async def send_more(message):
        if message["type"] == "http.response.start":
            prepared = "{generation} {greeting}".format(generation=0, greeting="") \\
                if not main.prepared else "{generation} {greeting}".format(**main.prepared)
            message["headers"] = [
                *message["headers"],
                (b"x-worker", str(os.getpid()).encode()),
                (b"x-prepared", prepared.encode()),
            ]
        await send(message)

    await main.app(scope, receive, send_more)
"""


def needs(*modules):
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"NOT TESTED: {module} is not installed")


def of_servers(home):
    """The environment of a server. What it warns of is its makers' affair, if our tests are strict.

    A control socket of gunicorn would have a fixed path in the user's home.
    """
    strict = ("PYTHONWARNINGS", "PYTHONDEVMODE")
    environment = {key: value for key, value in os.environ.items() if key not in strict}
    return {**environment, "HOME": os.fspath(home)}


def program(name):
    """A program of the environment that the tests run in."""
    found = shutil.which(name, path=os.path.dirname(sys.executable))
    if found is None:
        pytest.skip(f"NOT TESTED under {name}: it is not installed")
    return found


# ---- the files of the page ---------------------------------------------------------------------


def page_files():
    """{name: text} of all files that the page shows."""
    if not PAGE.exists():
        pytest.skip("an installed package is tested, its guide is elsewhere")
    text = PAGE.read_text()
    lines = text.split("\n")
    files = {}
    for block in pages.blocks(text):
        if block.language == "ini" or block.why_not.startswith("tests/servers"):
            before = "\n".join(lines[: block.line - 1]).removesuffix(block.mark)
            # Back over the comment, to the paragraph.
            paragraph = before.split("```\n")[-1]
            names = FILE.findall(paragraph)
            assert names, f"line {block.line}: no file is named before this block"
            assert names[-1] not in files, names[-1]
            files[names[-1]] = block.text
    return files


def write_files(folder, name):
    """The page's files, with this name of a map and as many workers as are asked for."""
    for file, text in page_files().items():
        text = text.replace('"shop:settings"', repr(name)).replace(
            "workers = 4", f"workers = {WORKERS}"
        )
        path = folder / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder


def replace(file, old, new):
    text = file.read_text()
    assert old in text, f"{file.name} has no {old!r}"
    file.write_text(text.replace(old, new))


# ---- asking -----------------------------------------------------------------------------------


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=HANG)
        self.path = os.fspath(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Answer(NamedTuple):
    text: str
    worker: int
    generation: int  # of what is prepared
    prepared: str


class Server:
    def __init__(self, process, path, log):
        self.process = process
        self.path = path
        self.log = log

    def said(self):
        return self.log.read_text(errors="replace")

    def is_listening(self):
        assert self.process.poll() is None, self.said()
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError, ConnectionResetError):
            return self.ask(1)

    def ask(self, count):
        """The answers to so many requests at once, so that more than one worker takes them."""
        with contextlib.ExitStack() as stack:
            asked = [stack.enter_context(contextlib.closing(Unix(self.path))) for _ in range(count)]
            for connection in asked:
                connection.connect()
            for connection in asked:
                connection.request("GET", "/")
            return [self.answer(connection.getresponse()) for connection in asked]

    def answer(self, response):
        text = response.read().decode()
        assert response.status == 200, f"{response.status} {text}\n{self.said()}"
        generation, _, prepared = response.headers["X-Prepared"].partition(" ")
        return Answer(text, int(response.headers["X-Worker"]), int(generation), prepared)

    def workers(self, expected, prepared=None):
        """Asks until each worker has answered, and has prepared this generation.

        All answers have to be as expected, from the first one on: lookups are never stale.
        """
        found = {}

        def are_all_right():
            assert self.process.poll() is None, self.said()
            for answer in self.ask(2 * WORKERS):
                assert expected in answer.text, f"{expected}: {answer}"
                found[answer.worker] = answer
            return len(found) == WORKERS and all(
                prepared in (None, answer.generation) for answer in found.values()
            )

        wait_until(are_all_right, f"{WORKERS} workers say {expected}, prepared {prepared}")
        return found


@contextlib.contextmanager
def started(folder, *words, **environment):
    """A server that listens at the socket `s` of the folder; told to end, it has to end well."""
    path, log = folder / "s", folder / "log"
    environment = {**of_servers(folder), "PYTHONPATH": os.fspath(folder), **environment}
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [*map(os.fspath, words)],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(process, path, log)
    try:
        yield server
        process.terminate()
        assert process.wait(HANG) == 0, server.said()
    finally:
        # Its group is its own: whatever is left of it ends with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
