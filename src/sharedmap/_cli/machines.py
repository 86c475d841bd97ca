"""Commands for many machines: push, follow, rollback."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ..replication import (
    NothingPushed,
    ReplicationError,
    ServerError,
    Version,
    follow,
    pull,
    push,
    rollback,
)
from .errors import ABSENT, BAD_DATA, DONE, NO_SERVER, USAGE, CommandError
from .maps import Options
from .output import entries_text, printable, report, size_text


@contextmanager
def translated_errors() -> Iterator[None]:
    try:
        yield
    except NothingPushed as error:
        raise CommandError(str(error), ABSENT) from None
    except ServerError as error:
        raise CommandError(str(error), NO_SERVER) from None
    except ReplicationError as error:
        raise CommandError(str(error), BAD_DATA) from None


def server_url(options: Options) -> str:
    """The URL, or for - that of the environment: other users can read a command line."""
    if options.url != "-":
        given: str = options.url
        return given
    url = os.environ.get("SHAREDMAP_URL")
    if not url:
        raise CommandError("the URL is - but SHAREDMAP_URL is not set; set it or pass a URL", USAGE)
    return url


class _Formatter(logging.Formatter):
    """Names and answers of the server contain any character."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def _log_to_standard_error() -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_Formatter("sharedmap: %(message)s"))


def _report(verb: str, version: Version, options: Options) -> None:
    sentence = (
        f"{verb} {version.name}: version {version.version}, {entries_text(version.entries)},"
        f" {size_text(version.size)}, of which {size_text(version.transferred)} transferred"
    )
    report({"done": verb, **version._asdict()}, options.json, sentence)
    sys.stdout.flush()


def push_map(options: Options) -> int:
    with translated_errors():
        version = push(
            server_url(options),
            options.map,
            local=options.local,
            path=options.source,
            everything=options.all,
            grace=options.grace,
            namespace=options.namespace,
        )
    _report("pushed" if version.is_new else "unchanged", version, options)
    return DONE


def roll_back(options: Options) -> int:
    with translated_errors():
        version = rollback(server_url(options), options.map, namespace=options.namespace)
    _report("rolled back", version, options)
    return DONE


def follow_map(options: Options) -> int:
    _log_to_standard_error()
    common = {"local": options.local, "directory": options.state, "mode": options.mode}
    with translated_errors():
        if options.once:
            _report("published", pull(server_url(options), options.map, **common), options)
            return DONE
        # SIGTERM is the usual way to stop an agent, not a failure.
        signal.signal(signal.SIGTERM, _end)
        try:
            for version in follow(server_url(options), options.map, poll=options.poll, **common):
                _report("published" if version.is_new else "still published", version, options)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    return DONE


def _end(number: int, frame: FrameType | None) -> None:
    """Exceptions in finalizers are lost, so a timer raises SystemExit again until it works."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, _end)
    signal.setitimer(signal.ITIMER_REAL, 1)
    raise SystemExit(DONE)
