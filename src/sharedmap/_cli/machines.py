"""Commands of a publisher, push and rollback, and what they share with those of other machines."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..replication import (
    NothingPushed,
    ReplicationError,
    ServerError,
    Version,
    push,
    rollback,
)
from ..replication._server.urls import parse as parse_url
from .errors import ABSENT, BAD_DATA, DONE, NO_SERVER, USAGE, CommandError
from .maps import Options
from .output import entries_text, report, size_text


def replication_error(error: Exception) -> CommandError | None:
    """The failure with its exit code; None for an error that is not one of replication."""
    kinds = ((NothingPushed, ABSENT), (ServerError, NO_SERVER), (ReplicationError, BAD_DATA))
    for kind, code in kinds:
        if isinstance(error, kind):
            return CommandError(str(error), code)
    return None


@contextmanager
def translated_errors() -> Iterator[None]:
    try:
        yield
    except ReplicationError as error:
        raise replication_error(error) or error from None


def server_url(options: Options) -> str:
    """The URL, or for - that of the environment: other users can read a command line."""
    url: str = options.url if options.url != "-" else os.environ.get("SHAREDMAP_URL", "")
    if not url:
        raise CommandError("the URL is - but SHAREDMAP_URL is not set; set it or pass a URL", USAGE)
    try:
        parse_url(url)
    except ValueError as error:
        raise CommandError(str(error), USAGE) from None
    return url


def report_version(verb: str, version: Version, options: Options) -> None:
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
    report_version("pushed" if version.is_new else "unchanged", version, options)
    return DONE


def roll_back(options: Options) -> int:
    with translated_errors():
        version = rollback(server_url(options), options.map, namespace=options.namespace)
    report_version("rolled back", version, options)
    return DONE
