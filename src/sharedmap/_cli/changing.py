"""Commands that change what is published or saved: load, update, save, publish, cp, rm.

All input is read before anything is changed, and the change itself is atomic: a command that fails
or is killed has changed nothing.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from .._encoded import encode_again
from .._sharedmap import remove, sharedmap, update
from .assignments import read_assignments
from .errors import ABSENT, DONE, CommandError
from .formats import format_of, read_entries
from .maps import Options, Pairs, open_map, owner_of, publish, save
from .output import entries_text, report
from .progress import make_progress


class _Counted(io.RawIOBase):
    """A file that counts the bytes read from it."""

    def __init__(self, inner: io.RawIOBase, advance: Callable[[int], object]) -> None:
        self.inner = inner
        self.advance = advance

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        count = self.inner.readinto(buffer)
        self.advance(count or 0)
        return count


class _Source:
    """The entries of a file or of standard input; counts them."""

    def __init__(self, path: str | None, options: Options) -> None:
        self.path = None if path == "-" else path
        self.options = options
        self.count = 0

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        form = format_of(self.path, self.options.format)
        raw = (
            io.FileIO(0, closefd=False)
            if self.path is None
            else io.FileIO(os.open(self.path, os.O_RDONLY | os.O_CLOEXEC))
        )
        with raw, make_progress(raw, self.options) as advance:
            file: BinaryIO = io.BufferedReader(_Counted(raw, advance), 1 << 20)
            for entry in read_entries(file, form, self.options):
                self.count += 1
                yield entry


def load_entries(options: Options) -> int:
    source = _Source(options.input, options)
    if options.file:
        save(source, options.map, options)
        verb, size = "saved", _size(options.map, True)
    else:
        publish(source, options.map, options)
        verb, size = "published", _size(options.map, False)
    result = {verb: options.map, "read": source.count, "entries": size}
    report(result, options.json, f"{verb} {options.map}: {entries_text(size)}")
    return DONE


def _size(name: str, is_file: bool) -> int:
    with sharedmap.open(name) if is_file else sharedmap(name) as opened:
        return len(opened)


def update_entries(options: Options) -> int:
    changes = read_assignments(options)
    entries: Pairs = changes.items()
    count = len(changes)
    if options.input is not None:
        # Assignments on the command line override the entries of the file.
        source = _Source(options.input, options)
        changes = {**dict(source), **changes}
        entries, count = changes.items(), len(changes)
    removals = dict.fromkeys(options.remove)
    generation = update(options.map, entries, removals, encode=encode_again)
    result = {
        "updated": options.map,
        "generation": generation,
        "changes": count,
        "removals": len(removals),
    }
    report(result, options.json, f"updated {options.map}: generation {generation}")
    return DONE


def save_map(options: Options) -> int:
    options.file = False
    with open_map(options) as opened:
        save(opened, options.path, options)
        count = len(opened)
    result = {"saved": options.map, "path": options.path, "entries": count}
    report(result, options.json, f"saved {options.map} to {options.path}: {entries_text(count)}")
    return DONE


def publish_file(options: Options) -> int:
    with sharedmap.open(options.path, owner=owner_of(options)) as opened:
        # Damage must not be published with checksums that fit it.
        opened.verify()
        publish(opened, options.map, options, encode=None)
        count = len(opened)
    result = {"published": options.map, "path": options.path, "entries": count}
    report(
        result, options.json, f"published {options.path} as {options.map}: {entries_text(count)}"
    )
    return DONE


def copy_map(options: Options) -> int:
    options.file = False
    source, target = options.source, options.map
    with sharedmap(source, owner=owner_of(options)) as opened:
        publish(opened, target, options, encode=None)
        count = len(opened)
    result = {"copied": source, "published": target, "entries": count}
    report(result, options.json, f"copied {source} to {target}: {entries_text(count)}")
    return DONE


def remove_maps(options: Options) -> int:
    absent: list[str] = []
    for name in options.maps:
        if remove(name):
            report({"removed": name}, options.json, f"removed {name}")
        else:
            absent.append(name)
    sys.stdout.flush()
    if absent and not options.force:
        raise CommandError(f"no such map: {', '.join(map(repr, absent))}", ABSENT)
    return DONE
