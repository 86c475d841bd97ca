"""Commands that only read: ls, stat, get, scan, export, verify."""

from __future__ import annotations

import errno
import itertools
import os
import pwd
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

from .. import _header
from .._names import path_of
from .._sharedmap import SnapshotError, names, sharedmap
from .errors import ABSENT, DONE, USAGE, BadInput, CommandError
from .maps import Options, file_of, open_map, selected
from .output import (
    age_text,
    clipped,
    entries_text,
    entry_text,
    escape,
    mode_text,
    print_fields,
    print_table,
    report,
    size_text,
    time_text,
    to_bytes,
    to_json,
    to_text,
    write_entry,
)

# How many of several missing keys a message has.
_LISTED: Final = 10


def user_name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def describe(opened: sharedmap[Any], path: bytes) -> dict[str, Any]:
    """The fields of a map for stat, ls and doctor, also with --json."""
    found = _header.read(path)
    version = (len(opened), opened.nbytes, opened.generation, opened.id)
    return _fields(opened.name, version, opened.published_at, found, path)


def _fields(
    name: str | None,
    version: tuple[int, int, int, str],
    published_at: float | None,
    found: _header.Version | None,
    path: bytes,
) -> dict[str, Any]:
    entries, size, generation, unique_id = version
    status = os.stat(path)
    # What was only dumped has no time of its own.
    published = published_at or status.st_mtime
    return {
        "name": name,
        "entries": entries,
        "bytes": size,
        "generation": generation,
        "index": found.header.index_kind if found else None,
        "mode": mode_text(status.st_mode),
        "owner": user_name(status.st_uid),
        "published": time_text(published),
        "age": max(0, round(time.time() - published, 3)),
        # Not opened.stale, which also says that there is a newer delta.
        "superseded": found is not None and found.header.is_superseded,
        "id": unique_id,
        "path": os.fsdecode(path),
    }


def describe_named(name: str) -> dict[str, Any]:
    """The same of a map by its name, also of another user's.

    Another user can truncate a file at any moment, which ends a process that has it mapped by a
    signal. So only maps of this user and of root are opened; of others the header is read.
    """
    path = path_of(name)
    status = os.lstat(path)
    if status.st_uid in (os.geteuid(), 0):
        with sharedmap(name) as opened:
            return describe(opened, path)
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(
            errno.EACCES, "the map is writable by other users, so it is not trusted", name
        )
    found = _header.read(path)
    if found is None:
        raise SnapshotError("not a sharedmap snapshot")
    if not found.is_complete:
        raise SnapshotError("the snapshot is truncated, or longer than its header allows")
    version = (found.entry_count, found.size, found.generation, found.unique_id.hex())
    return _fields(name, version, found.published_at / 1e9, found, path)


def list_maps(options: Options) -> int:
    rows: list[tuple[Any, ...]] = []
    problems: list[str] = []
    for name in names():
        if options.prefix is not None and not name.startswith(options.prefix):
            continue
        if options.names:
            print(escape(name))
            continue
        try:
            fields = describe_named(name)
        except FileNotFoundError:
            continue  # removed since the list was made
        except (OSError, SnapshotError) as error:
            fields = {"name": name, "problem": getattr(error, "strerror", None) or str(error)}
        if options.json:
            print(to_json(fields))
        elif "problem" in fields:
            rows.append((name, "-", "-", "-", "-", "-"))
            problems.append(of_map(name, fields["problem"]))
        else:
            size, age = size_text(fields["bytes"]), age_text(fields["age"])
            rows.append((name, fields["entries"], size, fields["generation"], age, fields["mode"]))
    if rows:
        print_table(("NAME", "ENTRIES", "SIZE", "GENERATION", "AGE", "MODE"), rows)
    for problem in problems:
        print(f"! {escape(problem)}")
    return DONE


def of_map(name: str, problem: str) -> str:
    """The problem, with the name of the map unless it contains that already."""
    return problem if repr(name) in problem else f"{name}: {problem}"


def options_for(name: str) -> Options:
    return Options(map=name, file=False, owner=None)


def show_statistics(options: Options) -> int:
    with open_map(options) as opened:
        fields = describe(opened, file_of(options))
    if options.json:
        print(to_json(fields))
        return DONE
    fields["bytes"] = f"{fields['bytes']:,} ({size_text(fields['bytes'])})"
    fields["entries"] = f"{fields['entries']:,}"
    fields["age"] = age_text(fields["age"])
    print_fields(fields)
    return DONE


def get_values(options: Options) -> int:
    if options.stdin == bool(options.keys):
        raise CommandError("pass either keys or --stdin", USAGE)
    has_keys = options.json or options.stdin or len(options.keys) > 1
    absent = object()
    absent_keys: list[str] = []
    absent_count = 0
    with open_map(options) as opened:
        for key in _keys_of_input() if options.stdin else options.keys:
            value = opened.get(key, absent)
            if value is absent:
                absent_count += 1
                # The message has no more than the first.
                absent_keys += [key][: _LISTED - len(absent_keys)]
            elif options.raw:
                sys.stdout.flush()
                sys.stdout.buffer.write(to_bytes(value))
            elif has_keys:
                write_entry(key, value, options.json)
            else:
                print(escape(to_text(value)))
    if absent_count:
        more = absent_count - len(absent_keys)
        listed = ", ".join(map(repr, absent_keys)) + (f" and {more:,} more" if more else "")
        raise CommandError(f"no such key: {listed}", ABSENT)
    return DONE


def _keys_of_input() -> Iterator[str]:
    """A key on each line, as bytes of UTF-8 like those of an export."""
    with open(0, "rb", closefd=False) as file:
        for number, line in enumerate(file, 1):
            try:
                yield line.removesuffix(b"\n").decode("utf-8", "surrogatepass")
            except UnicodeDecodeError:
                raise BadInput(number, "the key is not valid UTF-8") from None


def _items(part: Any, options: Options) -> Iterable[tuple[str, Any]]:
    items = part.items()
    return itertools.islice(reversed(items) if options.reverse else items, options.limit)


def scan_entries(options: Options) -> int:
    if options.count and options.reverse:
        raise CommandError("--reverse does not apply to --count", USAGE)
    if options.count and options.max_width is not None:
        raise CommandError("--max-width does not apply to --count", USAGE)
    with open_map(options) as opened:
        part = selected(opened, options)
        if options.count:
            count = len(part) if options.limit is None else min(len(part), options.limit)
            print(to_json({"count": count}) if options.json else count)
        elif options.keys:
            items: Any = part
            keys: Iterable[str] = reversed(items) if options.reverse else part
            for key in itertools.islice(keys, options.limit):
                text = to_json({"key": key}) if options.json else escape(key)
                sys.stdout.write(f"{clipped(text, options.max_width)}\n")
        else:
            for key, value in _items(part, options):
                text = entry_text(None if options.values else key, value, options.json)
                sys.stdout.write(f"{clipped(text, options.max_width)}\n")
    return DONE


def export_entries(options: Options) -> int:
    from .exporting import destination, form_of, write_entries

    form = form_of(options.output, options.format)
    if options.type == "text" and form not in ("csv", "tsv"):
        raise CommandError(f"--type text does not apply to {form}, which keeps all types", USAGE)
    is_to_file = options.output not in (None, "-")
    with open_map(options) as opened, destination(options.output) as file:
        items = _items(selected(opened, options), options)
        count = write_entries(file, items, form, options.type or "text")
    if is_to_file:
        result = {"exported": options.map, "path": options.output, "entries": count}
        report(
            result,
            options.json,
            f"exported {options.map} to {options.output}: {entries_text(count)}",
        )
    return DONE


def verify_maps(options: Options) -> int:
    for name in options.maps:
        options.map = name
        with open_map(options) as opened:
            try:
                opened.verify()
            except SnapshotError as error:
                raise SnapshotError(f"{name}: {error}") from None
            result = {"verified": name, "entries": len(opened), "bytes": opened.nbytes}
            sentence = f"{name}: {entries_text(len(opened))}, {size_text(opened.nbytes)}, valid"
        report(result, options.json, sentence)
    return DONE
