"""Files become entries, one after the other.

    opening      a file becomes a stream of UTF-8
    compression  gzip, bzip2, xz, zstd
    json_text  JSON, JSON Lines
    tables     CSV, TSV
    documents  YAML, TOML, INI, .env
    databases  SQLite, Parquet, Arrow
    choice     which columns or members are the key and the value
    values     what a map stores of them

Readers of JSON Lines, JSON, CSV, TSV and SQLite hold only a block of the input in memory. Invalid
input is a BadInput, with the line number if there are lines.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any, Final

from ..errors import USAGE, BadInput, CommandError
from ..maps import Options
from . import choice, opening
from .compression import COMPRESSIONS, compression_of
from .databases import read_arrow, read_sqlite
from .documents import FORMS as DOCUMENTS
from .documents import read_document
from .json_text import read_json, read_json_lines
from .tables import read_table

Entry = tuple[str, Any]

SUFFIXES: Final = {
    ".json": "json",
    ".geojson": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".toml": "toml",
    ".ini": "ini",
    ".cfg": "ini",
    ".env": "env",
    ".sqlite": "sqlite",
    ".sqlite3": "sqlite",
    ".db": "sqlite",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
}
NAMES: Final = {"json": "JSON", "jsonl": "JSON Lines", "csv": "CSV", "tsv": "TSV"}
_TABLES: Final = {"csv", "tsv"}
_JSON: Final = {"json", "jsonl"}
_TYPED_TABLES: Final = {"sqlite", "parquet", "arrow"}

# The formats that an option has a meaning for, by the option and its default.
APPLIES: Final[dict[str, tuple[Any, set[str]]]] = {
    "key": (None, {*_TABLES, *_JSON, *_TYPED_TABLES, "yaml", "toml", "ini"}),
    "value": (None, {*_TABLES, *_JSON, *_TYPED_TABLES, "yaml", "toml", "ini"}),
    "row": (False, {*_TABLES, *_JSON, *_TYPED_TABLES, "yaml", "toml", "ini"}),
    "join": (None, {*_TABLES, *_JSON, *_TYPED_TABLES, "yaml", "toml", "ini"}),
    "at": (None, {"json", "yaml", "toml", "ini"}),
    "flatten": (None, {*_JSON, *_TYPED_TABLES, *_TABLES, "yaml", "toml", "ini"}),
    "header": (True, _TABLES),
    "type": (None, _TABLES),
    "null": ([], _TABLES),
    "delimiter": (None, _TABLES),
    "quote": (None, _TABLES),
    "comment": (None, _TABLES),
    "skip_lines": (0, _TABLES),
    "trim": (False, _TABLES),
    "ragged": (False, _TABLES),
    "encoding": (None, {*_TABLES, *_JSON, *DOCUMENTS}),
    "table": (None, {"sqlite"}),
    "query": (None, {"sqlite"}),
}
_FLAGS: Final = {"header": "--no-header"}


def form_by_name(path: str | None) -> str | None:
    """The format of the file's suffix, before that of its compression."""
    name = (path or "").lower()
    for suffix in COMPRESSIONS:
        name = name.removesuffix(suffix)
    return SUFFIXES.get("." + name.rpartition(".")[2]) if "." in name else None


def format_of(path: str | None, given: str | None) -> str:
    """The format that was given, or that of the file's suffix; by default JSON Lines."""
    return given or form_by_name(path) or "jsonl"


def flag_of(name: str) -> str:
    return _FLAGS.get(name, "--" + name.replace("_", "-"))


def check_options(options: Options, forms: set[str]) -> None:
    """Refuses options that have no meaning for any of these formats."""
    choice.check(options)
    for name, (default, applies) in APPLIES.items():
        if getattr(options, name) != default and not applies & forms:
            what = " and ".join(sorted(NAMES.get(form, form) for form in forms))
            raise CommandError(f"{flag_of(name)} does not apply to {what}", USAGE)
    if options.table is not None and options.query is not None:
        raise CommandError("--table and --query exclude each other", USAGE)


def read_entries(
    path: str | None, options: Options, start: Callable[[io.FileIO], Callable[[int], object]]
) -> Iterator[Entry]:
    """The entries of a file, or of standard input. Errors have the name of the file."""
    is_guess = False
    try:
        with opening.open_raw(path) as raw:
            file = opening.decompressed(raw, start(raw))
            found = next(
                (
                    form
                    for magic, form in opening.BINARY_FORMATS.items()
                    if file.head.startswith(magic)
                ),
                None,
            )
            given = options.format or form_by_name(path)
            form = given or found or "jsonl"
            is_guess = given is None and found is None
            if found is not None and found != form:
                raise BadInput(None, f"this is a file of {found}, not of {form}: --format {found}")
            opening.refuse_stranger(file.head)
            if path is None or is_guess or found is not None:
                check_options(options, {form})
            yield from _read(file, raw, form, path, options)
    except BadInput as error:
        message = str(error)
        if is_guess and error.line == 1:
            message += (
                "; taken for JSON Lines, as no suffix tells the format: --format names another"
            )
        raise CommandError(f"{path}: {message}" if path else message, error.code) from None


def _read(
    file: opening.Head, raw: io.FileIO, form: str, path: str | None, options: Options
) -> Iterator[Entry]:
    if form == "sqlite":
        if compression_of(file.head) is None and file.inner is not raw:
            raise BadInput(None, "a compressed SQLite file cannot be read; decompress it first")
        return read_sqlite(path, options)
    if form in ("parquet", "arrow"):
        if path is not None and file.inner is raw:
            raw.seek(0)
            return read_arrow(io.BufferedReader(raw), form, options)
        return read_arrow(io.BufferedReader(file), form, options)
    text = opening.as_text(file, options.encoding)
    if form == "json":
        return read_json(text, options)
    if form == "jsonl":
        return read_json_lines(text, options)
    if form in _TABLES:
        return read_table(text, form, options)
    return read_document(text, form, options)
