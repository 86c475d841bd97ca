"""Commands for what a server stores: server ls, server stat, server rm."""

from __future__ import annotations

import sys
import time
from typing import Any

from ..replication import NothingPushed, StoredMap, StoredStatus, maps, remove, stat
from .errors import ABSENT, BAD_DATA, DONE, CommandError
from .machines import server_url, translated_errors
from .maps import Options
from .output import (
    age_text,
    escape,
    print_fields,
    print_table,
    report,
    size_text,
    time_text,
    to_json,
)
from .reading import of_map


def list_maps(options: Options) -> int:
    with translated_errors():
        found = maps(server_url(options), namespace=options.namespace, scan=options.scan)
    now = time.time()
    rows: list[tuple[Any, ...]] = []
    problems: list[str] = []
    for each in found:
        if options.json:
            print(to_json(_fields(each, now)))
        elif each.problem is not None:
            rows.append((each.name, "-", "-", "-", "-"))
            problems.append(of_map(each.name, each.problem))
        else:
            size, age = size_text(each.size), age_text(now - each.pushed_at)
            rows.append((each.name, each.version, each.entries, size, age))
    if rows:
        print_table(("NAME", "VERSION", "ENTRIES", "SIZE", "AGE"), rows)
    for problem in problems:
        print(f"! {escape(problem)}")
    return DONE


def _fields(found: StoredMap | StoredStatus, now: float) -> dict[str, Any]:
    """With the time as text; as by `ls`, there is either a problem or everything else."""
    fields = found._asdict()
    if isinstance(found, StoredMap):
        if found.problem is not None:
            return {"name": found.name, "problem": found.problem}
        del fields["problem"]
    del fields["pushed_at"]
    return {
        **fields,
        "pushed": time_text(found.pushed_at),
        "age": max(0, round(now - found.pushed_at, 3)),
    }


def show_state(options: Options) -> int:
    with translated_errors():
        found = stat(server_url(options), options.map, namespace=options.namespace)
    fields = _fields(found, time.time())
    if options.json:
        print(to_json(fields))
    else:
        print_fields(fields)
    sys.stdout.flush()
    bad = found.missing + found.damaged
    if bad:
        noun = "1 blob" if bad == 1 else f"{bad} blobs"
        raise CommandError(
            f"{options.map}: {noun} missing or damaged on the server; push again", BAD_DATA
        )
    return DONE


def remove_maps(options: Options) -> int:
    url = server_url(options)
    absent: list[str] = []
    for name in options.maps:
        with translated_errors():
            try:
                remove(url, name, namespace=options.namespace)
            except NothingPushed:
                absent.append(name)
                continue
        report({"removed": name}, options.json, f"removed {name} from the server")
    sys.stdout.flush()
    if absent and not options.force:
        raise CommandError(f"no such map: {', '.join(map(repr, absent))}", ABSENT)
    return DONE
