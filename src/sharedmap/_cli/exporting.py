"""All entries of a map become a file: JSON, JSON Lines, CSV or TSV."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final, TextIO

from .errors import BAD_DATA, CommandError
from .output import pair_to_json, to_json, to_text, value_to_json


def write_entries(file: TextIO, items: Iterable[tuple[str, Any]], form: str, cells: str) -> int:
    """Writes all entries; returns their count."""
    count = 0
    if form == "json":
        separator = "{\n"
        for key, value in items:
            count += 1
            file.write(f"{separator}{to_json(key)}: {value_to_json(value)}")
            separator = ",\n"
        file.write("\n}\n" if count else "{}\n")
        return count
    if form == "jsonl":
        for key, value in items:
            count += 1
            file.write(f"{pair_to_json(key, value)}\n")
        return count
    import csv

    delimiter = "," if form == "csv" else "\t"
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    quoting_writer = csv.writer(
        file, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL
    )
    writer.writerow(("key", "value"))
    to_cell = value_to_json if cells == "json" else to_text
    for key, value in items:
        count += 1
        row = (key, to_cell(value))
        text = "".join(row)
        if not text.isascii():
            _require_utf8(key, text)
        # The writer itself does not quote a carriage return, at which readers end a line.
        (quoting_writer if "\r" in text else writer).writerow(row)
    return count


def _require_utf8(key: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise CommandError(
            f"entry {key!r} contains a lone surrogate, which CSV and TSV cannot store;"
            " use JSON or JSON Lines",
            BAD_DATA,
        ) from None


_ENDING: Final = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_ENCODING: Final[Any] = {"encoding": "utf-8", "errors": "surrogatepass", "newline": ""}


@contextlib.contextmanager
def destination(path: str | None) -> Iterator[TextIO]:
    """Standard output, or a file that is put under its path atomically when it is complete.

    The target of a symlink is replaced, not the link. Pipes and devices are written directly.
    """
    if path is None or path == "-":
        yield sys.stdout
        return
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "w", **_ENCODING) as file:
            yield file
        return
    import tempfile

    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    # No signal may kill us between creating the file and storing its name.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        number, beside = tempfile.mkstemp(prefix=".sharedmap-", dir=folder)
    except OSError as error:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        error.filename = path
        raise
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        with open(number, "w", **_ENCODING) as file:
            yield file
            file.flush()
            os.fsync(number)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(beside, 0o666 & ~umask)
        os.replace(beside, target)
    except BaseException:
        os.unlink(beside)
        raise
