"""What can be typed, and the help that says what it does."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, Final

from .._sharedmap import __version__
from . import changing, doctor, machines, reading
from .errors import MEANINGS
from .formats import FORMATS, TYPES

Parser = argparse.ArgumentParser

EXIT_CODES: Final = "exit codes:\n" + "\n".join(
    f"  {code}  {meaning}" for code, meaning in MEANINGS.items()
)

DESCRIPTION: Final = """\
Look at, make and change the maps that processes of this machine share.

A map has a name, as in sharedmap.sharedmap(NAME), and lies in /dev/shm until it is removed, or it
is a saved file. Nothing that fails, or is killed, changes anything: a command is done or it has
not happened.
"""

EPILOG: Final = f"""\
examples:
  sharedmap load prices prices.jsonl       publish a file's entries as the map "prices"
  sharedmap get prices apple pear
  sharedmap scan prices --prefix app | head
  sharedmap update prices apple:=1.25 pear=n/a --remove plum
  sharedmap export prices -o prices.csv
  sharedmap doctor
  sharedmap push redis://shop-redis prices   and on other machines:
  sharedmap follow redis://shop-redis prices

With --json every result is one JSON object on a line of its own. Results go to standard output,
errors, as one line each, to standard error. `sharedmap COMMAND --help` says the rest.

{EXIT_CODES}
  A command that a signal ends says so as all programs do: 130 in a shell after Ctrl-C, 141 when
  nobody reads its output any more.
"""


def mode(text: str) -> int:
    try:
        number = int(text, 8)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no octal number") from None
    if number not in (0o600, 0o640, 0o604, 0o644):
        raise argparse.ArgumentTypeError(f"{text!r} is none of 600, 640, 604 and 644")
    return number


def count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number")
    return int(text)


def seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 < number < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return number


class _Command(Parser):
    """Takes options before, between and behind the positionals.

    A plain parser gives an optional positional nothing as soon as an option stands before it:
    FILE of `load MAP --force FILE` would be unknown.
    """

    _is_inside = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        if self._is_inside:
            return super().parse_known_args(args, namespace)
        # Some versions come back here for each of their two passes.
        self._is_inside = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._is_inside = False


class _Commands:
    """The commands of one parser, all alike in what they all take."""

    def __init__(self, parser: Parser) -> None:
        self.parsers = parser.add_subparsers(
            title="commands",
            metavar="COMMAND",
            required=True,
            dest="command",
            parser_class=_Command,
        )

    def add(
        self, name: str, run: Callable[[Any], int], summary: str, more: str = "", examples: str = ""
    ) -> Parser:
        epilog = f"examples:\n{examples}\n{EXIT_CODES}" if examples else EXIT_CODES
        parser: Parser = self.parsers.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.\n\n{more}".rstrip(),
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        parser.set_defaults(run=run)
        parser.add_argument("--json", action="store_true", help="results as JSON, one a line")
        return parser


def _add_map(parser: Parser, *, metavar: str = "MAP", can_be_file: bool = True) -> None:
    what = "the name of the map; with --file a path" if can_be_file else "the name of the map"
    parser.add_argument("map", metavar=metavar, help=what)
    if can_be_file:
        _add_file(parser)
    else:
        parser.set_defaults(file=False)


def _add_file(parser: Parser) -> None:
    parser.add_argument(
        "-f", "--file", action="store_true", help="a saved file is meant, not a name"
    )


def _add_owner(parser: Parser) -> None:
    parser.add_argument(
        "--owner", metavar="USER", help="trust maps of this user, too, besides your own and root's"
    )


def _add_selection(parser: Parser) -> None:
    group = parser.add_argument_group("which entries")
    group.add_argument("--prefix", metavar="TEXT", help="keys that begin so")
    group.add_argument("--from", dest="start", metavar="KEY", help="from this key on")
    group.add_argument("--to", dest="stop", metavar="KEY", help="up to, but without, this key")
    group.add_argument("--limit", type=count, metavar="N", help="at most so many")
    group.add_argument("--reverse", action="store_true", help="the last key first")


def _add_publishing(parser: Parser, *, huge_pages: bool = True) -> None:
    group = parser.add_argument_group("how to publish or save")
    group.add_argument("--force", action="store_true", help="replace what is there")
    group.add_argument(
        "--mode", type=mode, default=0o600, help="who may read it: 600 (you), 640, 604 or 644"
    )
    group.add_argument(
        "--index",
        choices=("hash", "tree"),
        default="hash",
        help="tree leaves out the hash index: smaller, and slower to read",
    )
    if huge_pages:
        group.add_argument("--huge-pages", action="store_true", help="ask for pages of 2 MiB")
    else:
        parser.set_defaults(huge_pages=False)


INPUT: Final = """\
FILE is read from standard input where it is missing or a dash. Its format is what its name ends
in (.json, .jsonl, .csv, .tsv), or --format, or JSON Lines:

  json    one object: {"apple": 1.25, "pear": null}
  jsonl   a line for each entry: ["apple", 1.25] or {"key": "apple", "value": 1.25};
          --key and --value name other members, and all others are ignored
  csv     with a header, of which the columns `key` and `value` are read, or those that --key
          and --value name; with --no-header the first two, or those with these numbers
  tsv     the same with tabs

Of equal keys the last one counts. Input is read bit by bit and may be larger than memory, as long
as the entries are not. Broken input is told with the number of its line, and nothing is changed.
"""


def _add_input(parser: Parser, *, name: str | None = None) -> None:
    if name is None:
        parser.add_argument("input", metavar="FILE", nargs="?", help="what to read; - is stdin")
    else:
        parser.add_argument(name, dest="input", metavar="FILE", help="read entries; - is stdin")
    group = parser.add_argument_group("what is in FILE")
    group.add_argument("--format", choices=FORMATS, help="what it is, whatever its name says")
    group.add_argument("--key", metavar="NAME", help="the member or column of keys")
    group.add_argument("--value", metavar="NAME", help="the member or column of values")
    group.add_argument(
        "--no-header",
        dest="header",
        action="store_false",
        help="the first line of the table is an entry, too",
    )
    group.add_argument(
        "--type", choices=TYPES, default="str", help="what the values of a table are (str)"
    )
    group.add_argument(
        "--nested",
        action="store_true",
        help="store arrays and objects as JSON; read them with decode=json.loads",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")


def make_parser() -> Parser:
    parser = Parser(
        prog="sharedmap",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"sharedmap {__version__}")
    commands = _Commands(parser)
    _add_readers(commands)
    _add_changers(commands)
    _add_machines(commands)
    return parser


def _add_readers(commands: _Commands) -> None:
    command = commands.add("ls", reading.list_maps, "list what is published")
    command.add_argument("--prefix", metavar="TEXT", help="names that begin so")

    command = commands.add("stat", reading.show_statistics, "say what there is to know of a map")
    _add_map(command)
    _add_owner(command)

    command = commands.add(
        "get",
        reading.get_values,
        "print the values of some keys",
        "One key: its value. Several: a line with key, tab and value for each. Control characters\n"
        "and backslashes are escaped, unless --raw.",
        "  sharedmap get prices apple\n  sharedmap get images logo.png --raw > logo.png\n",
    )
    _add_map(command)
    _add_owner(command)
    command.add_argument("keys", metavar="KEY", nargs="+")
    command.add_argument("--raw", action="store_true", help="the bytes as they are, nothing else")

    command = commands.add(
        "scan",
        reading.scan_entries,
        "print entries in the order of their keys",
        "A line with key, tab and value for each; control characters and backslashes are escaped.",
        "  sharedmap scan prices --prefix app --limit 10\n"
        "  sharedmap scan prices --from a --to c --json | jq .value\n",
    )
    _add_map(command)
    _add_owner(command)
    _add_selection(command)
    command.add_argument("--keys", action="store_true", help="print only the keys")
    command.add_argument("--count", action="store_true", help="print only how many there are")

    command = commands.add(
        "export",
        reading.export_entries,
        "write a map as JSON, JSON Lines, CSV or TSV",
        "What `load` reads. A file appears under its path when it is complete, and replaces what\n"
        'was there. JSON keeps the types of all values; bytes become {"base64": "..."}. Tables\n'
        "have text only, unless --type json writes each value as JSON.",
        "  sharedmap export prices > prices.jsonl\n  sharedmap export prices -o prices.csv\n",
    )
    _add_map(command)
    _add_owner(command)
    _add_selection(command)
    command.add_argument("-o", "--output", metavar="FILE", help="where to; standard output")
    command.add_argument("--format", choices=FORMATS, help="what FILE's name says, or jsonl")
    command.add_argument(
        "--type", choices=("text", "json"), default="text", help="what the values of a table are"
    )

    command = commands.add(
        "verify",
        reading.verify_maps,
        "check every byte of maps",
        "Checksums, order, every reference and every value. The first that is damaged ends it.",
    )
    command.add_argument("maps", metavar="MAP", nargs="+", help="names; with --file paths")
    _add_file(command)
    _add_owner(command)

    command = commands.add(
        "watch",
        reading.watch_name,
        "print a line now and after each publication",
        "Sleeps in between. Waits for a name that is not published yet.",
    )
    _add_map(command, can_be_file=False)
    _add_owner(command)
    command.add_argument("--count", type=count, metavar="N", help="end after so many lines")

    command = commands.add(
        "doctor",
        doctor.run_doctor,
        "look for what is wrong",
        "Space and mode of /dev/shm; every map with its size, generation, age, mode and readers,\n"
        "and what memory is theirs (PSS: a page that n processes share counts one n-th for each);\n"
        "replaced snapshots that somebody still has open; what killed publishers have left.",
    )
    command.add_argument("--clear", action="store_true", help="remove what publishers have left")


def _add_changers(commands: _Commands) -> None:
    command = commands.add(
        "load",
        changing.load_entries,
        "publish what is in a file or comes from a pipe",
        INPUT,
        "  sharedmap load prices prices.csv --type float --force\n"
        "  zcat users.jsonl.gz | sharedmap load users --key id --value name\n"
        "  sharedmap load --file prices.map prices.json\n",
    )
    _add_map(command)
    _add_input(command)
    _add_publishing(command)

    command = commands.add(
        "update",
        changing.update_entries,
        "change entries of a published map",
        "All changes come at once, or none. Of two updates at the same time none is lost.",
        "  sharedmap update prices apple:=1.25 'pear=not today' --remove plum\n"
        "  sharedmap update prices --from changes.jsonl\n",
    )
    _add_map(command, can_be_file=False)
    command.add_argument(
        "assignments", metavar="KEY=TEXT", nargs="*", help="or KEY:=JSON for what is no text"
    )
    command.add_argument(
        "--remove",
        metavar="KEY",
        action="append",
        default=[],
        help="leave this key out; can be given again",
    )
    _add_input(command, name="--from")

    command = commands.add("save", changing.save_map, "save a published map to a file")
    _add_map(command, can_be_file=False)
    _add_owner(command)
    command.add_argument("path", metavar="PATH")
    _add_publishing(command, huge_pages=False)

    command = commands.add(
        "publish",
        changing.publish_file,
        "publish a saved file under a name",
        "The file is verified first.",
    )
    command.add_argument("path", metavar="PATH")
    _add_map(command, metavar="NAME", can_be_file=False)
    _add_owner(command)
    _add_publishing(command)

    command = commands.add(
        "rm",
        changing.remove_maps,
        "remove published maps",
        "Who has one open keeps it; the name is free.",
    )
    command.add_argument("maps", metavar="NAME", nargs="+")
    command.add_argument("--force", action="store_true", help="names without a map are no failure")


def _add_machines(commands: _Commands) -> None:
    url = "redis://HOST:PORT/DB, rediss://... or unix://PATH; - for what $SHAREDMAP_URL says"

    command = commands.add(
        "push",
        machines.push_map,
        "store a map in Redis or Valkey, for other machines",
        "Only what has changed since the last version travels.",
        "  sharedmap push redis://shop-redis/0 prices\n"
        "  sharedmap push unix:///run/redis.sock prices --source prices.map\n",
    )
    command.add_argument("url", metavar="URL", help=url)
    command.add_argument("map", metavar="NAME", help="the name there")
    group = command.add_mutually_exclusive_group()
    group.add_argument("--source", metavar="PATH", help="a saved file, not a published map")
    group.add_argument("--map", dest="local", metavar="NAME", help="the local name, if another")
    command.add_argument("--all", action="store_true", help="send also what is there already")
    command.add_argument(
        "--grace",
        type=seconds,
        default=3600.0,
        metavar="SECONDS",
        help="how long to keep chunks that no version needs any more (3600)",
    )

    command = commands.add(
        "follow",
        machines.follow_map,
        "publish here what is pushed there, as long as it runs",
        "The agent of a machine. It keeps the last two versions on the disk, and verifies each\n"
        "before it publishes it. Whatever happens to Redis, the local map stays, and after a\n"
        "restart of the machine it is published again from the disk.",
        "  sharedmap follow redis://shop-redis/0 prices\n"
        "  sharedmap follow redis://shop-redis/0 prices --once --state /var/lib/maps\n",
    )
    command.add_argument("url", metavar="URL", help=url)
    command.add_argument("map", metavar="NAME", help="the name there")
    command.add_argument("--map", dest="local", metavar="NAME", help="the local name, if another")
    command.add_argument("--state", metavar="DIRECTORY", help="where to keep versions on the disk")
    command.add_argument(
        "--poll",
        type=seconds,
        default=30.0,
        metavar="SECONDS",
        help="look at least so often, whether or not the server says something (30)",
    )
    command.add_argument("--once", action="store_true", help="end when the newest is published")
    command.add_argument(
        "--mode", type=mode, default=0o600, help="who may read it: 600 (you), 640, 604 or 644"
    )

    command = commands.add(
        "rollback",
        machines.roll_back,
        "make the version before the last one the newest",
        "For all machines that follow. Nothing but its description travels. A second rollback\n"
        "takes back the first.",
    )
    command.add_argument("url", metavar="URL", help=url)
    command.add_argument("map", metavar="NAME", help="the name there")
