"""diff: what has changed between two maps."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from typing import Any

from .errors import DIFFERENT, DONE, FAILED, USAGE, CommandError, explain
from .maps import Options, open_map
from .output import escape, report, to_json, to_text, value_to_json

# As other programs that compare mark what is in the new one only, in both, in the old one only.
_MARKS = {"added": "+", "changed": "~", "removed": "-"}


def compare_maps(options: Options) -> int:
    try:
        return _compare(options)
    except BrokenPipeError:
        raise
    except Exception as error:
        message, code = explain(error)
        # 1 says that the maps differ.
        raise CommandError(message, USAGE if code == FAILED else code) from error


def _compare(options: Options) -> int:
    if options.quiet and options.json:
        raise CommandError("--json does not apply to --quiet", USAGE)
    with _opened(options, "old") as old, _opened(options, "new") as new:
        changes = dict(zip(_MARKS, _differences(old, new), strict=True))
        counts = {change: len(keys) for change, keys in changes.items()}
        if options.count:
            sentence = ", ".join(f"{count:,} {change}" for change, count in counts.items())
            report(counts, options.json, sentence)
        elif not options.quiet:
            for key, change in _in_order(changes):
                values: dict[str, Any] = {}
                if not options.keys and change != "added":
                    values["old"] = old[key]
                if not options.keys and change != "removed":
                    values["new"] = new[key]
                print(_line(key, change, values, options.json))
    return DIFFERENT if any(counts.values()) else DONE


def _opened(options: Options, which: str) -> Any:
    is_file = options.file or getattr(options, f"{which}_file")
    return open_map(Options(map=getattr(options, which), file=is_file, owner=options.owner))


def _differences(old: Any, new: Any) -> tuple[list[str], list[str], list[str]]:
    """In the order of _MARKS."""
    added, changed, removed = new.diff(old)
    return added, changed, removed


def _in_order(changes: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    return heapq.merge(
        *(zip(keys, itertools.repeat(change), strict=False) for change, keys in changes.items())
    )


def _line(key: str, change: str, values: dict[str, Any], is_json: bool) -> str:
    if not is_json:
        return "\t".join(
            [f"{_MARKS[change]} {escape(key)}", *(escape(to_text(v)) for v in values.values())]
        )
    members = {"key": to_json(key), "change": to_json(change)}
    members |= {which: value_to_json(value) for which, value in values.items()}
    return "{" + ", ".join(f'"{name}": {text}' for name, text in members.items()) + "}"
