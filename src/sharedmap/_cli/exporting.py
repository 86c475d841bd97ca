"""All entries of a map become a file: JSON, JSON Lines, CSV or TSV, compressed by its suffix."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO, Final, TextIO

from .errors import BAD_DATA, USAGE, CommandError
from .formats import SUFFIXES, form_by_name
from .formats.compression import make_compressor
from .output import pair_to_json, to_json, to_text, value_to_json

_FORMS: Final = ("json", "jsonl", "csv", "tsv")


def form_of(path: str | None, given: str | None) -> str:
    """The format to write; by default JSON Lines."""
    form = given or form_by_name(path) or "jsonl"
    if form not in _FORMS:
        suffixes = ", ".join(suffix for suffix, form in SUFFIXES.items() if form in _FORMS)
        raise CommandError(
            f"{path}: export does not write {form}; it writes {suffixes}, or --format", USAGE
        )
    return form


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
    write_row = _csv_rows(file) if form == "csv" else _tsv_rows(file)
    write_row(("key", "value"))
    to_cell = value_to_json if cells == "json" else to_text
    for key, value in items:
        count += 1
        row = (key, to_cell(value))
        text = "".join(row)
        if not text.isascii():
            _require_utf8(key, text)
        write_row(row)
    return count


def _csv_rows(file: TextIO) -> Callable[[Sequence[str]], object]:
    import csv

    writer = csv.writer(file, lineterminator="\n")
    quoting_writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def write(row: Sequence[str]) -> None:
        # The writer itself does not quote a carriage return, at which readers end a line, nor
        # spaces at the ends, which readers may remove.
        is_quoted = any("\r" in cell or cell != cell.strip() for cell in row)
        (quoting_writer if is_quoted else writer).writerow(row)

    return write


_TSV_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _tsv_rows(file: TextIO) -> Callable[[Sequence[str]], object]:
    return lambda row: file.write("\t".join(c.translate(_TSV_ESCAPES) for c in row) + "\n")


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
def _compressed(raw: BinaryIO, path: str) -> Iterator[TextIO]:
    """Text that is written to the file, compressed if the suffix says so."""
    with contextlib.ExitStack() as stack:
        compressor = make_compressor(raw, path)
        inner: Any = raw if compressor is None else stack.enter_context(compressor)
        text = io.TextIOWrapper(inner, **_ENCODING)
        yield text
        text.flush()
        text.detach()


@contextlib.contextmanager
def destination(path: str | None) -> Iterator[TextIO]:
    """Standard output, or a file that is put under its path atomically when it is complete.

    The target of a symlink is replaced, not the link. Pipes and devices are written directly.
    """
    if path is None or path == "-":
        yield sys.stdout
        return
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as raw, _compressed(raw, path) as file:
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
        with open(number, "wb") as raw:
            with _compressed(raw, path) as file:
                yield file
            raw.flush()
            os.fsync(number)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(beside, 0o666 & ~umask)
        os.replace(beside, target)
    except BaseException:
        os.unlink(beside)
        raise
