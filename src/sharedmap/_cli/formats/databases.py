"""Tables of SQLite, Parquet and Arrow files become entries. Their cells have types."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

from ..errors import USAGE, BadInput, CommandError
from ..maps import Options
from .choice import Columns, of_rows
from .compression import missing
from .values import Native

Entry = tuple[str, Any]


def _entries(header: list[str], rows: Iterable[Sequence[Any]], options: Options) -> Iterator[Entry]:
    native = Native(options)
    number = 0
    try:
        pick = of_rows(Columns(header, len(header), options), None)
        for row in rows:
            number += 1
            key, value = pick(row)
            yield key, native(key, value)
    except ValueError as error:
        raise BadInput(None, f"row {number}: {error}" if number else str(error)) from None


# ---- SQLite ----------------------------------------------------------------------------------


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def read_sqlite(path: str | None, options: Options) -> Iterator[Entry]:
    import sqlite3
    from urllib.parse import quote

    if path is None:
        raise CommandError("SQLite needs the path of a file", USAGE)
    connection = sqlite3.connect(f"file:{quote(os.path.abspath(path))}?mode=ro", uri=True)
    try:
        query = options.query or f"SELECT * FROM {_quoted(_table(connection, options))}"
        cursor = connection.execute(query)
        if cursor.description is None:
            raise BadInput(None, "--query is not a query with a result")
        header = [column[0] for column in cursor.description]
        yield from _entries(header, cursor, options)
    except sqlite3.Error as error:
        raise BadInput(None, f"SQLite: {error}") from None
    finally:
        connection.close()


def _table(connection: Any, options: Options) -> str:
    rows = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')"
        " AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
    )
    tables: list[str] = [row[0] for row in rows]
    if options.table is None and len(tables) == 1:
        return tables[0]
    if options.table in tables:
        return str(options.table)
    has = ", ".join(tables) or "none"
    if options.table is None:
        raise BadInput(None, f"--table or --query is needed; the tables are: {has}")
    raise BadInput(None, f"there is no table {options.table!r}; the tables are: {has}")


# ---- Parquet, Arrow --------------------------------------------------------------------------


def read_arrow(file: BinaryIO, form: str, options: Options) -> Iterator[Entry]:
    try:
        arrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise missing("Parquet and Arrow", "pyarrow", "parquet") from None
    # They are read from their end; a pipe and a compressed file have none.
    source = file if file.seekable() else arrow.BufferReader(file.read())
    try:
        if form == "parquet":
            opened = parquet.ParquetFile(source)
            header, batches = opened.schema_arrow.names, opened.iter_batches()
        else:
            header, batches = _open_arrow(arrow, source)
        yield from _entries(header, _rows(batches), options)
    except (arrow.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise BadInput(None, f"not a valid {form} file: {error}") from None


def _open_arrow(arrow: Any, source: Any) -> tuple[list[str], Iterator[Any]]:
    """A file, which is Feather 2, too, or a stream."""
    ipc: Any = importlib.import_module("pyarrow.ipc")
    try:
        opened = ipc.open_file(source)
    except arrow.ArrowInvalid:
        source.seek(0)
        opened = ipc.open_stream(source)
        return opened.schema.names, iter(opened)
    return opened.schema.names, (opened.get_batch(i) for i in range(opened.num_record_batches))


def _rows(batches: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
    for batch in batches:
        # A few rows at a time: as Python objects they are many times as large.
        for begin in range(0, batch.num_rows, 4096):
            part = batch.slice(begin, 4096)
            yield from zip(*(column.to_pylist() for column in part.columns), strict=True)
