"""Commands that change what is published or saved: update, save, publish, cp, rm.

All input is read before anything is changed, and the change itself is atomic: a command that fails
or is killed has changed nothing.
"""

from __future__ import annotations

import sys
from typing import Any

from .._encoded import Encoded, encode_again
from .._sharedmap import rbtree, remove, sharedmap, update
from . import guards
from .assignments import like_present, read_assignments
from .errors import ABSENT, DONE, USAGE, CommandError
from .maps import Options, open_map, owner_of, publish, save
from .output import entries_text, report


def update_entries(options: Options) -> int:
    from .loading import Input, given_options

    changes: dict[str, Any] = read_assignments(options)
    if options.input:
        # Assignments on the command line override the entries of the files.
        source = Input(options.input, options)
        found = dict(source.unique())
        if source.has_text_cells:
            found = like_present(options.map, found)
        changes = {**found, **changes}
    elif flags := given_options(options):
        raise CommandError(f"{flags[0]} is for the entries of --from FILE", USAGE)
    removals = dict.fromkeys(options.remove)
    if options.dry_run:
        return _show_changes(changes, removals, options)
    generation = update(options.map, changes, removals, encode=encode_again, expect=options.expect)
    result = {
        "updated": options.map,
        "generation": generation,
        "changes": len(changes),
        "removals": len(removals),
    }
    report(result, options.json, f"updated {options.map}: generation {generation}")
    return DONE


def _show_changes(changes: dict[str, Any], removals: dict[str, None], options: Options) -> int:
    both = changes.keys() & removals.keys()
    if both:
        raise CommandError(f"{min(both)!r} is both changed and removed")
    with sharedmap(options.map, decode=Encoded) as old:
        guards.check_expected(old, options)
        keys = [*changes, *removals]
        # Bytes are compared, as an update does: 1, 1.0 and True are different values.
        tree: rbtree[Any] = rbtree(changes, encode=encode_again)
        before: rbtree[Any] = rbtree(
            {key: old[key] for key in keys if key in old}, encode=encode_again
        )
        new, part = guards.as_map(tree), guards.as_map(before)
        added, changed, removed = map(len, new.diff(part))
        entries = len(old) + added - removed
    guards.show_change("update", entries, (added, changed, removed), options)
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
        guards.check_options(options, False)
        with guards.open_old(options, False) as old:
            expect = guards.check(len(opened), old, options)
            if options.dry_run:
                guards.show_difference(opened, old, "publish", options)
                return DONE
        publish(opened, options.map, options, encode=None, expect=expect)
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
