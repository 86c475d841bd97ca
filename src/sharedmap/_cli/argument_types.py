"""The parser of one command, and the types of arguments."""

from __future__ import annotations

import argparse
from typing import Final, NoReturn

from .output import printable

# In front of arguments behind `--`: no argument of a program contains this character.
LITERAL: Final = "\0"


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # An argument may be a file name that a shell has put there.
        super().error(printable(message.replace(LITERAL, "")))


def mode(text: str) -> int:
    try:
        number = int(text, 8)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an octal number") from None
    if number not in (0o600, 0o640, 0o604, 0o644):
        raise argparse.ArgumentTypeError(f"{text!r} is not one of 600, 640, 604 and 644")
    return number


def count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a non-negative integer")
    return int(text)


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer")
    return int(text)


def seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 < number < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return number


def address(text: str) -> tuple[str, int]:
    """[HOST:]PORT. Without a host, only this machine."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, or a host and a port")
    return host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port)
