"""CSV and TSV become entries.

CSV has quotes and no escapes, as RFC 4180. TSV has no quotes: a tab, a line feed, a carriage
return and a backslash in a cell are \\t, \\n, \\r and \\\\. With --quote it is CSV with tabs.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final

from ..errors import BadInput
from ..maps import Options
from .choice import Columns, Pick, of_rows
from .opening import Lines
from .values import storable

Entry = tuple[str, Any]

_SEPARATOR_LINE: Final = re.compile(r"sep=(.)\r?\n?")
_LONE_RETURN: Final = re.compile(r"(?<=\r)(?!\n)")
_ESCAPE: Final = re.compile(r"\\([tnr\\])")
_ESCAPED: Final = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}


def unescape(text: str) -> str:
    """A backslash before another character stays as it is."""
    return _ESCAPE.sub(lambda match: _ESCAPED[match[1]], text) if "\\" in text else text


class _RowLines:
    """The lines of a table, without comments: those begin a row, and are not inside of quotes."""

    def __init__(self, lines: Lines, comment: str | None) -> None:
        self.lines = lines
        self.comment = comment
        self.is_row_start = True
        self.first: str | None = None

    def __iter__(self) -> Iterator[str]:
        for line in self.lines:
            if self.is_row_start and self.comment and line.startswith(self.comment):
                continue
            self.is_row_start = False
            if "\r" in line[:-2]:
                # Files of old Macs end lines so; csv takes one line at a time.
                yield from filter(None, _LONE_RETURN.split(line))
            else:
                yield line


def read_table(file: BinaryIO, form: str, options: Options) -> Iterator[Entry]:
    lines = Lines(file, options.skip_lines)
    source = _RowLines(lines, options.comment)
    texts = iter(source)
    delimiter = options.delimiter or ("," if form == "csv" else "\t")
    first = next(texts, None)
    if first is None:
        return
    # Excel writes and reads such a line.
    match = _SEPARATOR_LINE.fullmatch(first)
    if match and form == "csv" and options.delimiter is None and options.header:
        delimiter = match[1]
        source.is_row_start = True
        first = next(texts, None)
        if first is None:
            return
    has_quotes = (options.quote or form == "csv") and options.quote != ""
    rows = (
        _quoted_rows(_again(first, texts), delimiter, options)
        if has_quotes
        else _plain_rows(_again(first, texts), delimiter, form, options)
    )
    if not has_quotes and form == "tsv":
        # Those with a backslash are null before the escapes are read, and None after that.
        nulls = [None, *(text for text in options.null if "\\" not in text)]
        options = Options(**{**vars(options), "null": nulls if options.null else []})
    columns: Columns | None = None
    pick: Pick = lambda row: row  # noqa: E731
    plain = _all_plain(options)
    width = 0
    begin = lines.number
    try:
        for row in rows:
            source.is_row_start = True
            if row:
                if options.trim:
                    row = [cell and cell.strip() for cell in row]
                if columns is None:
                    width = len(row)
                    columns = Columns(row if options.header else None, width, options)
                    width = columns.width
                    pick = of_rows(columns, columns.types())
                    if options.header:
                        begin = lines.number + 1
                        continue
                if len(row) != width:
                    if not options.ragged:
                        raise ValueError(_width_error(len(row), width, columns.header is not None))
                    row += [""] * (width - len(row))
                key, value = pick(row)
                yield key, value if plain else _checked(key, value, options)
            begin = lines.number + 1
    except (ValueError, csv.Error) as error:
        raise BadInput(begin, _explained(error, options)) from None


def _all_plain(options: Options) -> bool:
    """Whether cells are stored as they are; otherwise a dict of a row may have to become JSON."""
    return not options.nested or not (options.row or len(options.value or "x") > 1)


def _checked(key: str, value: Any, options: Options) -> Any:
    return storable(key, value, options) if isinstance(value, dict) else value


def _again(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _quoted_rows(texts: Iterator[str], delimiter: str, options: Options) -> Iterator[list[str]]:
    csv.field_size_limit(sys.maxsize)
    return csv.reader(
        texts,
        delimiter=delimiter,
        quotechar=options.quote or '"',
        strict=True,
        skipinitialspace=options.trim,
    )


def _plain_rows(
    texts: Iterator[str], delimiter: str, form: str, options: Options
) -> Iterator[list[Any]]:
    change: Callable[[str], str] | None = unescape if form == "tsv" else None
    nulls = {text for text in options.null if "\\" in text}
    for text in texts:
        line = text.rstrip("\r\n")
        if not line:
            yield []
            continue
        row = line.split(delimiter)
        if change is not None and "\\" in line:
            yield [None if cell in nulls else change(cell) for cell in row]
        else:
            yield row


def _width_error(found: int, width: int, has_header: bool) -> str:
    cells = "1 column" if found == 1 else f"{found} columns"
    return (
        f"the row has {cells}, the {'header' if has_header else 'first row'} has {width};"
        f" --ragged {'adds empty cells' if found < width else 'ignores the others'}"
    )


def _explained(error: Exception, options: Options) -> str:
    text = str(error)
    if not isinstance(error, csv.Error):
        return text
    if text == "unexpected end of data":
        text += ", a quote is not closed"
    return f"{text}; --quote '' reads quotes as text" if options.quote is None else text
