"""Tells systemd how a service is doing, by the datagrams of sd_notify(3).

Without $NOTIFY_SOCKET, as in a terminal, nothing is sent.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time


class Notifier:
    def __init__(self) -> None:
        # systemd gives these to its service only, and not to what that starts.
        address = os.environ.pop("NOTIFY_SOCKET", "")
        interval = os.environ.pop("WATCHDOG_USEC", "")
        process = os.environ.pop("WATCHDOG_PID", "")
        self.address = "\0" + address[1:] if address.startswith("@") else address
        is_ours = process in ("", str(os.getpid()))
        # How often to say that all is well; None if nothing waits for that.
        self.interval: float | None = None
        if self.address and interval.isdecimal() and int(interval) > 0 and is_ours:
            # Three times, so that a busy machine may miss one.
            self.interval = int(interval) / 3_000_000

    def send(self, *assignments: str) -> None:
        if not self.address:
            return
        # What systemd does not hear is no reason to end; the watchdog finds what matters.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender,
        ):
            sender.setblocking(False)
            sender.connect(self.address)
            sender.send("\n".join(assignments).encode("utf-8", "replace"))

    def ready(self) -> None:
        self.send("READY=1")

    def reloading(self) -> None:
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self.send("STOPPING=1")

    def status(self, text: str) -> None:
        # A line feed would begin another assignment.
        self.send("STATUS=" + text.replace("\n", " "))

    def alive(self) -> None:
        self.send("WATCHDOG=1")
