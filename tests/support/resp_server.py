"""A server that answers what a test says, over the protocol of Redis, on a socket of its own."""

import contextlib
import socket
import socketserver
import tempfile
import threading
from pathlib import Path


def bulk(data):
    return f"${len(data)}\r\n".encode() + data + b"\r\n"


def array(*replies):
    return f"*{len(replies)}\r\n".encode() + b"".join(replies)


# What redis-py asks while it connects.
GREETINGS = {"AUTH", "CLIENT", "PING", "SELECT", "UNWATCH"}


class FakeServer:
    """answers: a function of a command, its words as bytes, that returns what to send.

    It may return bytes, or an iterator of bytes, which is sent until the client closes the
    connection. None closes it.
    """

    def __init__(self, answers, greetings=GREETINGS, has_port=False):
        self.answers = answers
        self.greetings = greetings
        self.commands = []
        self.directory = tempfile.TemporaryDirectory(prefix="sharedmap-fake-")
        address = ("127.0.0.1", 0) if has_port else str(Path(self.directory.name, "s"))
        fake = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                with contextlib.suppress(OSError, ValueError):
                    while fake.serve(self.rfile, self.connection):
                        pass

        class Threads(socketserver.ThreadingMixIn, socketserver.TCPServer):
            address_family = socket.AF_INET if has_port else socket.AF_UNIX
            daemon_threads = True
            block_on_close = False
            request_queue_size = 64

        self.server = Threads(address, Handler)
        self.port = self.server.server_address[1] if has_port else None
        self.url = f"redis://127.0.0.1:{self.port}" if has_port else f"unix://{address}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def serve(self, file, connection):
        line = file.readline()
        if not line.startswith(b"*"):
            return False
        words = []
        for _ in range(int(line[1:])):
            size = int(file.readline()[1:])
            words.append(file.read(size + 2)[:-2])
        name = words[0].decode().upper()
        self.commands.append(name)
        reply = b"+OK\r\n" if name in self.greetings else self.answers(words)
        if reply is None:
            connection.shutdown(socket.SHUT_RDWR)
            return False
        for block in [reply] if isinstance(reply, bytes) else reply:
            connection.sendall(block)
        return True

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.directory.cleanup()
