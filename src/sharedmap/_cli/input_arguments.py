"""The arguments of what `load` and `update` read, and of how it is published."""

from __future__ import annotations

from typing import Final

from .argument_types import Parser, mode

FORMATS: Final = ("json", "jsonl", "csv", "tsv")
TYPES: Final = ("str", "int", "float", "json")

INPUT: Final = """\
Without FILE, or when FILE is a dash, entries are read from standard input. The suffix of FILE
(.json, .jsonl, .csv, .tsv) or --format determines the format; the default is JSON Lines:

  json    one object: {"apple": 1.25, "pear": null}
  jsonl   one entry per line: ["apple", 1.25] or {"key": "apple", "value": 1.25};
          --key and --value name other members; further members are ignored
  csv     with a header; the columns `key` and `value` are read, or those that --key and
          --value name; with --no-header the first two, or those with these numbers
  tsv     the same with tabs

For duplicate keys the last entry is stored. Input is streamed: it may be larger than memory when
the entries fit. An error in the input is reported with its line number, and nothing is changed.
"""


def add_input(parser: Parser, *, name: str | None = None) -> None:
    if name is None:
        parser.add_argument(
            "input", metavar="FILE", nargs="?", help="input file; - is standard input"
        )
    else:
        parser.add_argument(
            name,
            dest="input",
            metavar="FILE",
            help="also read entries from FILE; - is standard input",
        )
    group = parser.add_argument_group("format of FILE")
    group.add_argument("--format", choices=FORMATS, help="the format, regardless of the suffix")
    group.add_argument("--key", metavar="NAME", help="the member or column with the keys")
    group.add_argument("--value", metavar="NAME", help="the member or column with the values")
    group.add_argument(
        "--no-header",
        dest="header",
        action="store_false",
        help="the first line of the table is an entry, not a header",
    )
    group.add_argument(
        "--type",
        choices=TYPES,
        default="str",
        help="the type of the values in a table (default: str)",
    )
    group.add_argument(
        "--nested",
        action="store_true",
        help="store arrays and objects as JSON, to be read with decode=json.loads; without it they"
        " are lists and dicts",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")


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
