"""What `load` and `publish` check before they replace a map."""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

from .._encoded import Encoded
from .._sharedmap import rbtree, sharedmap
from .errors import BAD_DATA, CONFLICT, USAGE, CommandError
from .maps import Options
from .output import entries_text, report

Map = sharedmap[Any]


class Old(NamedTuple):
    """The version that a map would replace."""

    entries: int
    id: str


def is_guarded(options: Options) -> bool:
    """Whether the number of entries has to be known before publishing."""
    return bool(
        options.dry_run or options.min_entries is not None or options.max_shrink is not None
    )


def check_options(options: Options, is_file: bool) -> None:
    if is_file and options.expect is not None:
        raise CommandError("--expect is for published maps, not for files", USAGE)
    if options.expect is not None and not options.force and options.expect != 0:
        raise CommandError("--expect replaces a map; pass --force, too", USAGE)


def open_old(options: Options, is_file: bool) -> contextlib.AbstractContextManager[Map | None]:
    try:
        if is_file:
            return sharedmap.open(options.map, decode=Encoded)
        return sharedmap(options.map, decode=Encoded)
    except FileNotFoundError:
        return contextlib.nullcontext()


def check(entries: int, old: Map | None, options: Options) -> int | str | None:
    """Refuses what the guards are against; the version to expect when it is published.

    Between the check and the publication another process may have published.
    """
    least = options.min_entries
    if least is not None and entries < least:
        raise CommandError(
            f"only {entries_text(entries)}, fewer than --min-entries {least}; nothing is changed",
            BAD_DATA,
        )
    expected: int | str | None = options.expect
    if options.max_shrink is None:
        return expected
    if old is not None and len(old) - entries > len(old) * options.max_shrink:
        raise CommandError(
            f"only {entries_text(entries)} instead of {len(old)}, a decrease by more than"
            f" --max-shrink {float(options.max_shrink) * 100:g}%; nothing is changed",
            BAD_DATA,
        )
    return expected if expected is not None else old.id if old is not None else 0


def check_expected(old: Map | None, options: Options) -> None:
    """For a dry run; otherwise the version is compared when the map is published."""
    found = (0, "") if old is None else (old.generation, old.id)
    if options.expect is not None and options.expect not in found:
        raise CommandError(f"{options.map}: another version than --expect", CONFLICT)


def show_difference(new: Map, old: Map | None, verb: str, options: Options) -> None:
    """What --dry-run prints. It fails as publishing would."""
    if old is not None and not options.force:
        kind = "file already exists" if verb == "save" else "map is already published"
        raise CommandError(f"{options.map}: the {kind}; pass --force to replace it", CONFLICT)
    check_expected(old, options)
    if old is None:
        added, changed, removed = len(new), 0, 0
    else:
        added, changed, removed = map(len, new.diff(old))
    show_change(verb, len(new), (added, changed, removed), options)


def show_change(verb: str, entries: int, counts: tuple[int, int, int], options: Options) -> None:
    """Prints what a dry run found: the entries then, and the keys added, changed and removed."""
    added, changed, removed = counts
    result = {
        f"would_{verb}": options.map,
        "entries": entries,
        "added": added,
        "changed": changed,
        "removed": removed,
    }
    sentence = (
        f"would {verb} {options.map}: {entries_text(entries)}"
        f" ({added} added, {changed} changed, {removed} removed)"
    )
    report(result, options.json, sentence)


def as_map(tree: rbtree[Any]) -> Map:
    return sharedmap.frombuffer(tree.dump(), decode=Encoded)
