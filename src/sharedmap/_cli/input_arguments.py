"""The arguments of what `load` and `update` read, and of how it is published."""

from __future__ import annotations

import argparse
import codecs
from typing import Any, Final

from .argument_types import Parser, count, mode

# What export writes, and what load reads.
FORMATS: Final = ("json", "jsonl", "csv", "tsv")
INPUT_FORMATS: Final = (
    *FORMATS,
    *("yaml", "toml", "ini", "env"),
    *("sqlite", "parquet", "arrow"),
)
TYPES: Final = ("str", "int", "float", "bool", "json")

INPUT: Final = """\
Without FILE, or when FILE is a dash, entries are read from standard input. Of several files, later
ones replace entries of earlier ones. The suffix of FILE (.json, .csv, ...) or --format determines
the format; the default is JSON Lines. Compressed files (.gz, .bz2, .xz, .zst) are recognized.

  json      an object: {"apple": 1.25, "pear": null}, or an array of what jsonl has in a line;
            --at names the part to read
  jsonl     one entry per line: ["apple", 1.25] or {"key": "apple", "value": 1.25}
  csv, tsv  with a header; the columns `key` and `value` are read; with --no-header the first
            two. TSV has no quotes, but the escapes \\t, \\n, \\r and \\\\
  yaml, toml, ini, env           as an object of JSON
  sqlite, parquet, arrow         as a table, with --table or --query for SQLite

--key, --value and --row name other columns or members. The objects of a JSON object have the names
of their members as keys. For duplicate keys the last entry is stored, and the result tells how many
were replaced. JSON, CSV, TSV and SQLite are streamed: the input may be larger than memory when the
entries fit. An error in the input is reported with its line number, and nothing is changed.
"""


def names(text: str) -> list[str]:
    """Columns: a,b; one that contains a comma is quoted: '"a,b"'."""
    import csv  # only when needed: every command imports this module

    try:
        found = next(csv.reader([text], strict=True), [])
    except csv.Error:
        found = []
    if not all(found):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME or NAME,NAME...")
    if len(set(found)) != len(found):
        raise argparse.ArgumentTypeError(f"{text!r} has a name twice")
    return found or [""]


def types(text: str) -> dict[str | None, str]:
    """TYPE for all values, COLUMN=TYPE for one; several with commas."""
    import csv

    found: dict[str | None, str] = {}
    for part in next(csv.reader([text]), [""]):
        name, equals, kind = part.rpartition("=")
        if kind not in TYPES:
            raise argparse.ArgumentTypeError(f"{kind!r} is not one of {', '.join(TYPES)}")
        column = name if equals else None
        if column in found:
            raise argparse.ArgumentTypeError(f"{text!r} has two types for the same column")
        found[column] = kind
    return found


def encoding(text: str) -> str:
    try:
        "".encode(text)
        codecs.getincrementaldecoder(text)
    except (LookupError, ValueError):
        raise argparse.ArgumentTypeError(f"unknown encoding {text!r}") from None
    return text


def delimiter(text: str) -> str:
    character = {"tab": "\t", "\\t": "\t", "space": " "}.get(text, text)
    if len(character) != 1 or character in '\r\n"':
        raise argparse.ArgumentTypeError(f"{text!r} is not one character, nor tab or space")
    return character


def quote(text: str) -> str:
    if len(text) > 1 or text in ("\r", "\n"):
        raise argparse.ArgumentTypeError(f"{text!r} is not one character, nor empty for no quotes")
    return text


def pointer(text: str) -> str:
    if text and not text.startswith("/"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON pointer: /countries/0")
    return text


def percent(text: str) -> Any:
    from fractions import Fraction  # exact: 70% of 10 are 7

    try:
        number = Fraction(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except (ValueError, ZeroDivisionError):
        number = Fraction(-1)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a percentage such as 50%")
    return number


def version(text: str) -> int | str:
    """A generation, or an id as `stat` prints it."""
    if len(text) == 32 and all(character in "0123456789abcdef" for character in text):
        return text
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is neither an id nor a generation")
    return int(text)


class _NoFile(argparse.Action):
    """Other commands have --file for a saved map, and people try it for the input."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        parser.error("load has no --file: the input follows MAP; --save writes a saved map")


def add_target(parser: Parser) -> None:
    parser.add_argument(
        "map", metavar="MAP", help="the name of the map, or with --save the path of a file"
    )
    parser.add_argument(
        "--save", action="store_true", help="save the map to a file; MAP is its path"
    )
    parser.add_argument("-f", "--file", action=_NoFile, nargs=0, help=argparse.SUPPRESS)


def add_input(parser: Parser, *, name: str | None = None) -> None:
    if name is None:
        parser.add_argument(
            "input", metavar="FILE", nargs="*", help="input files; - is standard input"
        )
    else:
        parser.add_argument(
            name,
            dest="input",
            metavar="FILE",
            action="append",
            default=[],
            help="also read entries from FILE; - is standard input; can be repeated",
        )
    _add_choice(parser)
    _add_table(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")


def _add_choice(parser: Parser) -> None:
    group = parser.add_argument_group("what is read of FILE")
    group.add_argument(
        "--format", choices=INPUT_FORMATS, help="the format, regardless of the suffix"
    )
    group.add_argument(
        "--key",
        metavar="NAME",
        type=names,
        help="the member or column with the keys; several with commas make a key of all",
    )
    group.add_argument(
        "--join", metavar="TEXT", help="between the parts of a key (default: a colon)"
    )
    group.add_argument(
        "--value",
        metavar="NAME",
        type=names,
        help="the member or column with the values; several with commas make a dict",
    )
    group.add_argument(
        "--row",
        action="store_true",
        help="the value is a dict of all members or columns but the key",
    )
    group.add_argument(
        "--at",
        metavar="PATH",
        type=pointer,
        help="read only this part of a document: a JSON pointer, such as /countries",
    )
    group.add_argument(
        "--flatten",
        metavar="TEXT",
        help="store the members of objects as entries; TEXT, such as a dot, joins their keys",
    )
    group.add_argument(
        "--nested",
        action="store_true",
        help="store arrays and objects as JSON, to be read with decode=json.loads; without it they"
        " are lists and dicts",
    )
    group.add_argument("--table", metavar="NAME", help="the table or view of SQLite")
    group.add_argument("--query", metavar="SQL", help="the query whose result is read, for SQLite")
    group.add_argument(
        "--allow-nan", action="store_true", help="store NaN and infinite floats, do not refuse them"
    )
    group.add_argument(
        "--duplicates",
        choices=("error", "first", "last"),
        help="what to do when a key occurs again (default: store the last, and tell)",
    )
    group.add_argument(
        "--empty-key",
        choices=("keep", "skip", "error"),
        default="keep",
        help="what to do with entries whose key is empty (default: keep)",
    )
    group.add_argument("--skip-null", action="store_true", help="skip entries whose value is null")


def _add_table(parser: Parser) -> None:
    group = parser.add_argument_group("CSV and TSV")
    group.add_argument(
        "--no-header",
        dest="header",
        action="store_false",
        help="the first line is an entry, not a header; columns have numbers",
    )
    group.add_argument(
        "--type",
        type=types,
        metavar="TYPE",
        help=f"the type of the values: {', '.join(TYPES)}; or for columns: price=float,stock=int",
    )
    group.add_argument(
        "--null",
        metavar="TEXT",
        action="append",
        default=[],
        help="cells with this text are null; can be repeated",
    )
    group.add_argument(
        "--delimiter", type=delimiter, metavar="CHARACTER", help="between the columns"
    )
    group.add_argument(
        "--quote",
        type=quote,
        metavar="CHARACTER",
        help="around cells; '' for no quotes (default: \" in CSV, none in TSV)",
    )
    group.add_argument("--comment", metavar="TEXT", help="ignore lines that begin with TEXT")
    group.add_argument(
        "--skip-lines", type=count, default=0, metavar="N", help="ignore the first N lines"
    )
    group.add_argument(
        "--ragged",
        action="store_true",
        help="rows may be shorter, with empty cells at the end, or longer, which are ignored",
    )
    group.add_argument("--trim", action="store_true", help="remove spaces around cells")
    group.add_argument(
        "--encoding", type=encoding, metavar="NAME", help="of any text file (default: UTF-8)"
    )


def add_publishing(parser: Parser, *, huge_pages: bool = True) -> None:
    group = parser.add_argument_group("publishing and saving")
    group.add_argument("--force", action="store_true", help="replace an existing map or file")
    group.add_argument(
        "--mode",
        type=mode,
        default=0o600,
        help="who can read it: 600 (only you, the default), 640, 604 or 644",
    )
    group.add_argument(
        "--index",
        choices=("hash", "tree"),
        default="hash",
        help="tree omits the hash index: smaller, but lookups are slower",
    )
    if huge_pages:
        group.add_argument(
            "--huge-pages", action="store_true", help="request memory pages of 2 MiB"
        )
    else:
        parser.set_defaults(huge_pages=False)


def add_expect(parser: argparse._ActionsContainer, text: str) -> None:
    parser.add_argument("--expect", type=version, metavar="ID", help=text)


def add_guards(parser: Parser, *, can_be_empty: bool = True) -> None:
    group = parser.add_argument_group("guards")
    group.add_argument(
        "--dry-run",
        action="store_true",
        help="publish nothing; tell how many keys would be added, changed and removed",
    )
    group.add_argument(
        "--min-entries", type=count, metavar="N", help="refuse to publish fewer entries"
    )
    group.add_argument(
        "--max-shrink",
        type=percent,
        metavar="PERCENT",
        help="refuse to replace a map by one that is smaller by more than this, such as 50%%",
    )
    add_expect(group, "replace only this version: an id or a generation, 0 for no map")
    if can_be_empty:
        group.add_argument(
            "--allow-empty", action="store_true", help="publish also a map without entries"
        )
