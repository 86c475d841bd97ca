"""The arguments of the command line and their help."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, Final

from .._names import PLACE
from .._sharedmap import __version__
from .argument_types import LITERAL, Parser, address, count, mode, positive, seconds
from .errors import MEANINGS
from .input_arguments import (
    FORMATS,
    INPUT,
    add_expect,
    add_guards,
    add_input,
    add_publishing,
    add_target,
)

EXIT_CODES: Final = "exit codes:\n" + "\n".join(
    f"  {code}  {meaning}" for code, meaning in MEANINGS.items()
)

DESCRIPTION: Final = f"""\
Publish, inspect and update the maps that processes of this machine share.

A published map has a name, as in sharedmap.sharedmap(NAME), and stays in {PLACE} until it is
removed. A saved map is a file. Every change of a map is atomic: when a command fails or is killed,
the map is either unchanged or completely changed.
"""

EPILOG: Final = f"""\
examples:
  sharedmap load prices prices.jsonl       publish the entries of a file as the map "prices"
  sharedmap get prices apple pear
  sharedmap scan prices --prefix app | head
  sharedmap update prices apple:=1.25 pear=0.8 --remove plum
  sharedmap export prices -o prices.csv
  sharedmap diff --old-file prices.map prices
  sharedmap watch prices --exec 'systemctl reload shop'
  sharedmap doctor
  sharedmap push redis://shop-redis prices   and on other machines:
  sharedmap follow redis://shop-redis prices

With --json every result is one JSON object on its own line. Results go to standard output.
Errors go to standard error, one line each. `sharedmap COMMAND --help` explains a command.

{EXIT_CODES}
  A command that is killed by a signal has the usual exit code of a shell: 130 after Ctrl-C, 141
  when its output is no longer read.
"""


class _Command(Parser):
    """Accepts options before, between and after the positionals.

    A plain parser leaves an optional positional empty when an option precedes it:
    FILE of `load MAP --force FILE` would be an unknown argument.
    """

    _is_inside = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        # A command of commands has nothing to mix; each of them is parsed like this.
        if self._is_inside or self._subparsers is not None:
            return super().parse_known_args(args, namespace)
        self._check_repeated(args)
        # Some versions of Python call this again for each of their two passes.
        self._is_inside = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._is_inside = False

    def _check_repeated(self, args: Sequence[str]) -> None:
        """The last of several would count, and the others would be ignored."""
        seen: set[str] = set()
        for argument in args:
            name = argument.partition("=")[0] if argument.startswith("--") else argument[:2]
            action = self._option_string_actions.get(name)
            if action is None or isinstance(action, argparse._AppendAction):
                continue
            if action.dest in seen:
                self.error(f"argument {name}: can be given only once")
            seen.add(action.dest)


class _PrintManual(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from .manual import manual_page

        sys.stdout.write(manual_page(parser))
        parser.exit()


class _PrintCompletion(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, _: Any, values: Any, *more: Any) -> None:
        from .manual import completion

        sys.stdout.write(completion(parser, values))
        parser.exit()


class _Commands:
    """The commands of one parser, with the arguments that all of them have."""

    def __init__(self, parser: Parser) -> None:
        self.parsers = parser.add_subparsers(
            title="commands",
            metavar="COMMAND",
            required=True,
            dest="command",
            parser_class=_Command,
        )

    def add_group(self, name: str, summary: str) -> _Commands:
        """Commands of two words, of which this is the first."""
        parser = self.parsers.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=EXIT_CODES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        return _Commands(parser)

    def add(self, name: str, run: str, summary: str, more: str = "", examples: str = "") -> Parser:
        """`run` is the function's module and name: importing all of them takes a while."""
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
        _formats_of(parser).add_argument(
            "--json", action="store_true", help="print results as JSON, one object per line"
        )
        return parser


def _formats_of(parser: Parser) -> argparse._MutuallyExclusiveGroup:
    """The forms of a command's output: --json of all commands, and what excludes it."""
    groups = parser._mutually_exclusive_groups
    return groups[0] if groups else parser.add_mutually_exclusive_group()


def _add_map(parser: Parser, *, metavar: str = "MAP", can_be_file: bool = True) -> None:
    what = "the name of the map, or with --file its path" if can_be_file else "the name of the map"
    parser.add_argument("map", metavar=metavar, help=what)
    if can_be_file:
        _add_file(parser)
    else:
        parser.set_defaults(file=False)


def _add_file(parser: Parser) -> None:
    parser.add_argument(
        "-f", "--file", action="store_true", help="MAP is the path of a saved file, not a name"
    )


def _add_owner(parser: Parser) -> None:
    parser.add_argument(
        "--owner", metavar="USER", help="also trust maps of this user, besides your own and root's"
    )


def _add_selection(parser: Parser) -> None:
    group = parser.add_argument_group("selection of entries")
    group.add_argument("--prefix", metavar="TEXT", help="only keys that begin with TEXT")
    lower = group.add_mutually_exclusive_group()
    lower.add_argument("--from", dest="start", metavar="KEY", help="only keys from KEY on")
    lower.add_argument(
        "--after", metavar="KEY", help="only keys after KEY, such as the last key of a page"
    )
    group.add_argument("--to", dest="stop", metavar="KEY", help="only keys before KEY")
    group.add_argument("--limit", type=count, metavar="N", help="at most N entries")
    group.add_argument("--reverse", action="store_true", help="in descending key order")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of a command line.

    Versions of Python differ in what `--` does in front of an argument like `-name`, in commands
    and where options may follow. So they get to see neither.
    """
    arguments = list(arguments)
    if "--" in arguments:
        index = arguments.index("--")
        behind = arguments[index + 1 :]
        arguments[index:] = [LITERAL + each if each[:1] == "-" else each for each in behind]
    options = make_parser().parse_args(arguments)
    for name, value in vars(options).items():
        if isinstance(value, list):
            setattr(options, name, [_without_mark(each) for each in value])
        else:
            setattr(options, name, _without_mark(value))
    return options


def _without_mark(value: Any) -> Any:
    return value.removeprefix(LITERAL) if isinstance(value, str) else value


def make_parser() -> Parser:
    parser = Parser(
        prog="sharedmap",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"sharedmap {__version__}")
    parser.add_argument(
        "--manual", action=_PrintManual, nargs=0, help="print the manual page and exit"
    )
    parser.add_argument(
        "--completion",
        action=_PrintCompletion,
        choices=("bash", "zsh", "fish"),
        help="print a script with which the shell completes commands, options and names",
    )
    commands = _Commands(parser)
    _add_readers(commands)
    _add_changers(commands)
    _add_machines(commands)
    return parser


def _add_readers(commands: _Commands) -> None:
    command = commands.add("ls", "reading.list_maps", "list published maps")
    command.add_argument("--prefix", metavar="TEXT", help="only names that begin with TEXT")
    _formats_of(command).add_argument(
        "--names", action="store_true", help="print only the names, also of invalid maps"
    )

    command = commands.add(
        "stat",
        "reading.show_statistics",
        "show size, generation, owner and other properties of a map",
    )
    _add_map(command)
    _add_owner(command)

    command = commands.add(
        "get",
        "reading.get_values",
        "look up keys and print their values",
        "Prints the value of a single key. For several keys, prints a line with key, tab and\n"
        "value for each. Control characters and backslashes are escaped, except with --raw.",
        "  sharedmap get prices apple\n  sharedmap get images logo.png --raw > logo.png\n"
        "  cut -d, -f1 orders.csv | sharedmap get prices --stdin\n",
    )
    _add_map(command)
    _add_owner(command)
    command.add_argument("keys", metavar="KEY", nargs="*", help="the keys to look up")
    command.add_argument(
        "--stdin", action="store_true", help="read keys from standard input, one per line"
    )
    form = _formats_of(command)
    form.add_argument(
        "--raw",
        action="store_true",
        help="write the unescaped bytes of the values, without newlines",
    )

    command = commands.add(
        "scan",
        "reading.scan_entries",
        "print entries in key order",
        "Prints a line with key, tab and value for each. Control characters and backslashes are\n"
        "escaped.",
        "  sharedmap scan prices --prefix app --limit 10\n"
        "  sharedmap scan prices --after apricot --limit 10 --max-width 80\n"
        "  sharedmap scan prices --from a --to c --json | jq .value\n",
    )
    _add_map(command)
    _add_owner(command)
    _add_selection(command)
    what = command.add_mutually_exclusive_group()
    what.add_argument("--keys", action="store_true", help="print only the keys")
    what.add_argument("--values", action="store_true", help="print only the values")
    what.add_argument("--count", action="store_true", help="print only the number of entries")
    _formats_of(command).add_argument(
        "--max-width",
        type=positive,
        metavar="N",
        help="truncate lines to N columns of a terminal",
    )

    command = commands.add(
        "export",
        "reading.export_entries",
        "write a map as JSON, JSON Lines, CSV or TSV",
        "`load` reads the result. A file appears under its path when it is complete, and replaces\n"
        'an existing file. JSON keeps the types of all values; bytes become {"base64": "..."}.\n'
        "Tables contain text only, unless --type json writes each value as JSON.",
        "  sharedmap export prices > prices.jsonl\n  sharedmap export prices -o prices.csv\n",
    )
    _add_map(command)
    _add_owner(command)
    _add_selection(command)
    command.add_argument(
        "-o", "--output", metavar="FILE", help="output file (default: standard output)"
    )
    command.add_argument(
        "--format", choices=FORMATS, help="the format (default: by the suffix of FILE, or jsonl)"
    )
    command.add_argument(
        "--type", choices=("text", "json"), help="the form of values in a table (default: text)"
    )

    command = commands.add(
        "diff",
        "comparing.compare_maps",
        "compare two maps",
        "Prints a line for each key that differs, in key order: + for an added key and its value,\n"
        "- for a removed one, ~ for a changed one with the old and the new value. A value is\n"
        "changed when its bytes or its type differ. The exit code is 0 when the maps are equal,\n"
        "and 1 when they differ.",
        "  sharedmap diff prices prices:next\n"
        "  sharedmap diff --old-file yesterday.map prices --count\n",
    )
    command.add_argument("old", metavar="OLD", help="the name of a map, or the path of a file")
    command.add_argument("new", metavar="NEW", help="the same, to compare with OLD")
    files = command.add_mutually_exclusive_group()
    files.add_argument("-f", "--file", action="store_true", help="OLD and NEW are paths")
    files.add_argument("--old-file", action="store_true", help="only OLD is a path")
    files.add_argument("--new-file", action="store_true", help="only NEW is a path")
    _add_owner(command)
    what = command.add_mutually_exclusive_group()
    what.add_argument("--keys", action="store_true", help="print only the keys")
    what.add_argument("--count", action="store_true", help="print only how many keys differ")
    what.add_argument("-q", "--quiet", action="store_true", help="print nothing")

    command = commands.add(
        "history",
        "history.show_history",
        "show the versions that the file of a map contains",
        "Updates of a large map are appended to its file until it is compacted. Shows the base\n"
        "and each update, the memory that is allocated, and the size that the file can grow to.",
    )
    _add_map(command)
    _add_owner(command)

    command = commands.add(
        "verify",
        "reading.verify_maps",
        "check every byte of maps",
        "Checks checksums, key order, every reference and every value. Stops at the first\n"
        "damaged map.",
    )
    command.add_argument("maps", metavar="MAP", nargs="+", help="names, or with --file paths")
    _add_file(command)
    _add_owner(command)

    command = commands.add(
        "watch",
        "watching.watch_names",
        "print a line for what is published, and after each publication and removal",
        "Blocks in between. Waits for a name that is not published yet. While the command of\n"
        "--exec runs, nothing accumulates: the next line is about the newest version. The\n"
        "command gets the fields of --json in its environment: SHAREDMAP_NAME, SHAREDMAP_EVENT\n"
        "(published or removed), SHAREDMAP_GENERATION, SHAREDMAP_ID and so on. When it fails,\n"
        "a message is printed and watching continues; the exit code is 1 then.",
        "  sharedmap watch prices users\n"
        "  sharedmap watch prices --count 1 --timeout 30 && start-workers\n"
        "  sharedmap watch prices --exec 'systemctl reload shop'\n",
    )
    command.add_argument("maps", metavar="MAP", nargs="+", help="the names of the maps")
    _add_owner(command)
    command.add_argument("--count", type=count, metavar="N", help="exit after N lines")
    command.add_argument(
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help="exit after this time: with exit code 4 if --count is not reached",
    )
    command.add_argument("--exec", metavar="CMD", help="run this shell command after each line")

    command = commands.add(
        "doctor",
        "doctor.run_doctor",
        "find problems with the maps of this machine",
        f"Shows space and mode of {PLACE}, and every map with its size, generation, age, mode\n"
        "and readers. The memory of readers is their PSS: a page that n processes share counts\n"
        "1/n for each. Also shows replaced snapshots that are still open, and leftovers of\n"
        "killed publishers.",
    )
    what = command.add_mutually_exclusive_group()
    what.add_argument("--clear", action="store_true", help="remove leftovers of killed publishers")
    what.add_argument(
        "--health", metavar="PATH", help="only check the file that `follow --health PATH` writes"
    )


def _add_changers(commands: _Commands) -> None:
    command = commands.add(
        "load",
        "loading.load_entries",
        "publish entries from a file or a pipe",
        INPUT,
        "  sharedmap load prices prices.csv --type float --force\n"
        "  zcat users.jsonl.gz | sharedmap load users --key id --value name\n"
        "  sharedmap load airports airports.csv.gz --key iata --row --empty-key skip\n"
        "  sharedmap load countries countries.json --at /countries --key code --value name\n"
        "  sharedmap load --save prices.map prices.json\n",
    )
    add_target(command)
    add_input(command)
    add_publishing(command)
    add_guards(command)

    command = commands.add(
        "update",
        "changing.update_entries",
        "change entries of a published map",
        "The update is atomic: all changes at once, or none. No concurrent update is lost.\n\n"
        "  KEY=TEXT     stores a value of the type that is present: `limit=5` stays an int. A new\n"
        "               key gets text. Text that does not fit the type is an error.\n"
        "  KEY:=JSON    stores a value of any type: a number, true, null, text in quotes\n"
        "  KEY=@FILE, KEY:=@FILE\n"
        "               the same with the contents of FILE; - is standard input. A file that is\n"
        "               not UTF-8 is stored as bytes.",
        "  sharedmap update prices apple:=1.25 pear=0.8 --remove plum\n"
        "  sharedmap update pages index=@index.html 'title:=\"@home\"'\n"
        "  sharedmap update prices --from changes.jsonl\n",
    )
    _add_map(command, can_be_file=False)
    command.add_argument(
        "assignments", metavar="KEY=TEXT", nargs="*", help="or KEY:=JSON, KEY=@FILE, KEY:=@FILE"
    )
    command.add_argument(
        "--remove",
        metavar="KEY",
        action="append",
        default=[],
        help="remove this key; can be repeated",
    )
    add_input(command, name="--from")
    command.add_argument(
        "--dry-run",
        action="store_true",
        help="change nothing; tell how many keys would be added, changed and removed",
    )
    add_expect(command, "change only this version: an id or a generation")

    command = commands.add("save", "changing.save_map", "save a published map to a file")
    _add_map(command, can_be_file=False)
    _add_owner(command)
    command.add_argument("path", metavar="PATH", help="the file to write")
    add_publishing(command, huge_pages=False)

    command = commands.add(
        "publish",
        "changing.publish_file",
        "publish a saved file under a name",
        "The file is verified first.",
    )
    command.add_argument("path", metavar="PATH", help="the file to publish")
    _add_map(command, metavar="NAME", can_be_file=False)
    _add_owner(command)
    add_publishing(command)
    add_guards(command, can_be_empty=False)

    command = commands.add(
        "cp",
        "changing.copy_map",
        "publish a copy of a map under another name",
        "The copy is atomic, and of one version.",
        "  sharedmap cp prices prices:backup\n  sharedmap cp prices:backup prices --force\n",
    )
    command.add_argument("source", metavar="SOURCE", help="the name of the map to copy")
    _add_map(command, metavar="TARGET", can_be_file=False)
    _add_owner(command)
    add_publishing(command)

    command = commands.add(
        "rm",
        "changing.remove_maps",
        "remove published maps",
        "Processes that have a map open keep it. The name is free again.",
    )
    command.add_argument("maps", metavar="NAME", nargs="+", help="the names of the maps")
    command.add_argument("--force", action="store_true", help="ignore names that are not published")


def _add_machines(commands: _Commands) -> None:
    url = "redis://HOST:PORT/DB, rediss://... or unix://PATH; - uses $SHAREDMAP_URL"

    command = commands.add(
        "push",
        "machines.push_map",
        "store a map in Redis or Valkey, for other machines",
        "Sends only what has changed since the last push from this machine, which is kept in the\n"
        "state directory: $STATE_DIRECTORY, or that of the user.",
        "  sharedmap push redis://shop-redis/0 prices\n"
        "  sharedmap push unix:///run/redis.sock prices --source prices.map\n",
    )
    command.add_argument("url", metavar="URL", help=url)
    command.add_argument("map", metavar="NAME", help="the name on the server")
    group = command.add_mutually_exclusive_group()
    group.add_argument(
        "--source", metavar="PATH", help="push a saved file instead of a published map"
    )
    group.add_argument("--map", dest="local", metavar="NAME", help="the local name, if different")
    command.add_argument(
        "--all", action="store_true", help="send all of the version, even what the server has"
    )
    command.add_argument(
        "--grace",
        type=seconds,
        default=3600.0,
        metavar="SECONDS",
        help="how long the server keeps what no version uses (default: 3600)",
    )
    _add_namespace(command)

    _add_follow(commands, url)

    command = commands.add(
        "rollback",
        "machines.roll_back",
        "make the previous version the newest one",
        "Applies to all machines that follow. Transfers only the manifest of that version. A\n"
        "second rollback reverts the first.",
    )
    command.add_argument("url", metavar="URL", help=url)
    command.add_argument("map", metavar="NAME", help="the name on the server")
    _add_namespace(command)
    _add_server(commands.add_group("server", "list, check and remove the maps on a server"), url)


def _add_server(commands: _Commands, url: str) -> None:
    command = commands.add(
        "ls",
        "stored.list_maps",
        "list the maps that were pushed to the server",
        "The age is that of the newest version, by the clock of the machine that pushed it.",
        "  sharedmap server ls redis://shop-redis/0\n"
        "  sharedmap server ls redis://shop-redis/0 --namespace staging --json\n",
    )
    command.add_argument("url", metavar="URL", help=url)
    command.add_argument(
        "--scan",
        action="store_true",
        help="search all keys of the server, for maps that only older versions have pushed",
    )
    _add_namespace(command)

    command = commands.add(
        "stat",
        "stored.show_state",
        "show versions, blobs and memory of a map on the server",
        "Transfers no values. The exit code is 5 when blobs of the newest version are missing or\n"
        "damaged; the next push sends them again.",
        "  sharedmap server stat redis://shop-redis/0 prices\n",
    )
    command.add_argument("url", metavar="URL", help=url)
    command.add_argument("map", metavar="NAME", help="the name on the server")
    _add_namespace(command)

    command = commands.add(
        "rm",
        "stored.remove_maps",
        "remove maps from the server",
        "The machines that follow a map keep their version. An agent sees all of a map on the\n"
        "server, or none of it.",
        "  sharedmap server rm redis://shop-redis/0 prices\n",
    )
    command.add_argument("url", metavar="URL", help=url)
    command.add_argument("maps", metavar="NAME", nargs="+", help="the names on the server")
    command.add_argument("--force", action="store_true", help="ignore names that were not pushed")
    _add_namespace(command)


def _add_namespace(command: Parser) -> None:
    command.add_argument(
        "--namespace", metavar="NS", help="what keeps maps of one server apart: staging, production"
    )


def _add_follow(commands: _Commands, url: str) -> None:
    command = commands.add(
        "follow",
        "following.follow_maps",
        "publish each version that is pushed to the server",
        "The agent of a machine; it runs until it is stopped. It keeps the last two versions of\n"
        "each map on disk and verifies each before publishing it. When the server fails, local\n"
        "maps stay published. After a reboot they are published again from disk.\n\n"
        "In a pattern, *, ? and [...] are special, as in a shell. Maps that it selects are\n"
        "followed as they appear on the server, until they are removed there; the local map\n"
        "stays. SIGHUP reads --names again.",
        "  sharedmap follow redis://shop-redis/0 prices\n"
        "  sharedmap follow redis://shop-redis/0 'prices:*' flags --health /run/maps.json\n"
        "  sharedmap follow redis://shop-redis/0 prices --once --state /var/lib/maps\n",
    )
    command.add_argument("url", metavar="URL", help=url)
    command.add_argument(
        "maps", metavar="NAME", nargs="*", help="names on the server, or patterns in quotes"
    )
    command.add_argument(
        "--names", metavar="FILE", help="more names and patterns, one per line; # is a comment"
    )
    command.add_argument(
        "--map", dest="local", metavar="NAME", help="the local name, if different; for one map"
    )
    _add_namespace(command)
    command.add_argument("--state", metavar="DIRECTORY", help="directory for versions on disk")
    command.add_argument(
        "--poll",
        type=seconds,
        default=30.0,
        metavar="SECONDS",
        help="check at least this often, even without a notification (default: 30)",
    )
    command.add_argument(
        "--parallel",
        type=positive,
        default=4,
        metavar="N",
        help="fetch at most N maps at the same time (default: 4)",
    )
    command.add_argument(
        "--once", action="store_true", help="exit when the newest versions are published"
    )
    command.add_argument(
        "--mode",
        type=mode,
        default=0o600,
        help="who can read it: 600 (only you, the default), 640, 604 or 644",
    )
    command.add_argument(
        "--health", metavar="PATH", help="write the status of all maps to this file, as JSON"
    )
    command.add_argument(
        "--metrics",
        type=address,
        metavar="[HOST:]PORT",
        help="serve /health and, for Prometheus, /metrics by HTTP (default: on 127.0.0.1)",
    )
