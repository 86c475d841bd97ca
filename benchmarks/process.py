"""The main process's handle on a worker process."""

import os
import subprocess
import sys
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 600.0  # seconds for one answer


class WorkerError(Exception):
    """What went wrong in a worker, or that it has died."""


class Process:
    """Calls methods of benchmarks.worker.Worker in a process of its own."""

    def __init__(self, name: str, folder: Path, place: str) -> None:
        self.name = name
        self.connection, other = Pipe()
        names = (str(other.fileno()), name, str(folder), place)
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", *names],
            pass_fds=[other.fileno()],
            env=environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=folder.joinpath("stderr").open("ab"),
            start_new_session=True,
        )
        other.close()

    def send(self, method: str, *arguments: Any) -> None:
        try:
            self.connection.send((method, arguments))
        except OSError as error:
            raise WorkerError(f"the worker has ended ({error})") from None

    def receive(self) -> Any:
        try:
            if not self.connection.poll(PATIENCE):
                raise WorkerError(f"no answer within {PATIENCE:.0f} seconds")
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            code = self.process.wait()
            raise WorkerError(f"the worker has ended with code {code}") from None
        if kind == "error":
            raise WorkerError(value)
        return value

    def call(self, method: str, *arguments: Any) -> Any:
        self.send(method, *arguments)
        return self.receive()

    def end(self) -> None:
        self.connection.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
