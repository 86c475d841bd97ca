"""A real Redis or Valkey server of a test's own, on a socket in a directory of its own."""

import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest
import redis
from live import wait_until

PROGRAMS = ("redis-server", "valkey-server")


class Server:
    """Can be killed and started again; `lasting` says whether it then knows what it knew."""

    def __init__(self, program, directory, lasting=False):
        self.directory = directory
        self.socket = f"{directory}/s"
        self.url = f"unix://{self.socket}"
        self.client = redis.Redis.from_url(self.url)
        self.command = [program, "--port", "0", "--unixsocket", self.socket, "--dir", directory]
        self.command += ["--save", "", "--appendonly", "yes" if lasting else "no"]
        self.command += ["--appendfsync", "always", "--logfile", f"{directory}/log"]
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        wait_until(self.answers, "the server answers")

    def answers(self):
        assert self.process.poll() is None, Path(self.directory, "log").read_text()
        try:
            return self.client.ping()
        except redis.ConnectionError:
            return False

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def close(self):
        self.client.close()
        self.kill()

    def cut_connections(self):
        """All but our own."""
        self.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def make_server(program="redis-server", lasting=False):
    """Starts one in a directory under /tmp, as the path of a socket must be short."""
    if shutil.which(program) is None:
        pytest.skip(f"NOT TESTED many machines with {program}: it is not installed")
    directory = tempfile.mkdtemp(prefix="sharedmap-redis-")
    try:
        server = Server(program, directory, lasting)
    except BaseException:
        shutil.rmtree(directory)
        raise
    return server


def end_server(server):
    server.close()
    shutil.rmtree(server.directory)
