"""load: entries of files and pipes become a map. Their reading, which update shares.

All input is read before anything is changed. Without guards the entries go directly to the
publication; with guards they are counted and compared in a tree first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from .._encoded import encode_again
from .._sharedmap import rbtree, sharedmap
from . import guards
from .errors import BAD_DATA, DONE, USAGE, CommandError
from .formats import APPLIES, check_options, flag_of, form_by_name, read_entries
from .maps import Options, publish, save
from .output import entries_text, report
from .progress import Progress


class Input:
    """The entries of files, or of standard input; counts them."""

    def __init__(self, paths: list[str], options: Options) -> None:
        self.paths: list[str | None] = [None if path == "-" else path for path in paths or ["-"]]
        self.options = options
        self.read = 0
        self.skipped = 0
        self.empty_keys = 0
        if self.paths.count(None) > 1:
            raise CommandError("standard input can be read only once", USAGE)
        forms = [options.format or form_by_name(path) for path in self.paths]
        known = {form for form in forms if form is not None}
        # What is not known by its name is checked when its first bytes are read.
        if None not in forms:
            check_options(options, known)
        self.has_text_cells = options.type is None and bool(known & {"csv", "tsv"})

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        options = self.options
        is_plain = options.flatten is None and not options.skip_null
        for path in self.paths:
            with Progress(options) as progress:
                entries = read_entries(path, options, progress.start)
                if options.flatten is not None:
                    entries = _flattened(entries, options.flatten)
                for entry in entries:
                    self.read += 1
                    if not entry[0] and self._is_skipped(path):
                        continue
                    if not is_plain and options.skip_null and entry[1] is None:
                        self.skipped += 1
                        continue
                    yield entry
        if self.read == self.skipped and not getattr(options, "allow_empty", True):
            which = "the input has no entries" if not self.read else "all entries are skipped"
            where = f"{self.paths[0]}: " if len(self.paths) == 1 and self.paths[0] else ""
            raise CommandError(f"{where}{which}; --allow-empty publishes an empty map", BAD_DATA)

    def _is_skipped(self, path: str | None) -> bool:
        """What --empty-key says of an entry with an empty key."""
        if self.options.empty_key == "error":
            where = f"{path}: " if path else ""
            raise CommandError(f"{where}entry {self.read}: the key is empty", BAD_DATA)
        is_skipped: bool = self.options.empty_key == "skip"
        self.skipped += is_skipped
        self.empty_keys += not is_skipped
        return is_skipped

    def unique(self) -> Iterator[tuple[str, Any]]:
        """The entries by --duplicates."""
        if self.options.duplicates in (None, "last"):
            yield from self
            return
        seen: set[str] = set()
        for entry in self:
            if entry[0] not in seen:
                seen.add(entry[0])
                yield entry
            elif self.options.duplicates == "error":
                raise CommandError(
                    f"entry {self.read}: the key {entry[0]!r} occurs a second time;"
                    " --duplicates last stores the last one",
                    BAD_DATA,
                )

    def counts(self, stored: int) -> dict[str, int]:
        return {
            "read": self.read,
            "stored": stored,
            "replaced": self.read - self.skipped - stored,
            "skipped": self.skipped,
        }

    def counts_text(self, stored: int) -> str:
        """In parentheses, unless all that was read is stored."""
        if self.read == stored:
            return ""
        found = self.counts(stored)
        kept = "first" if self.options.duplicates == "first" else "last"
        parts = [f"{self.read} read"]
        if found["replaced"]:
            plural = "" if found["replaced"] == 1 else "s"
            parts.append(f"{found['replaced']} duplicate{plural}, of which the {kept} is stored")
        if found["skipped"]:
            parts.append(f"{found['skipped']} skipped")
        if self.empty_keys > 1:
            parts.append(f"{self.empty_keys} with an empty key")
        return f" ({', '.join(parts)})"


def _flattened(entries: Iterable[tuple[str, Any]], separator: str) -> Iterator[tuple[str, Any]]:
    for key, value in entries:
        if isinstance(value, dict) and value:
            inner = ((f"{key}{separator}{name}", item) for name, item in value.items())
            yield from _flattened(inner, separator)
        else:
            yield key, value


_DEFAULTS: Final = {
    "format": None,
    "allow_nan": False,
    "duplicates": None,
    "empty_key": "keep",
    "skip_null": False,
}


def given_options(options: Options) -> list[str]:
    """The options of the input that are given, without those that assignments use, too."""
    defaults = _DEFAULTS | {name: default for name, (default, _) in APPLIES.items()}
    return [
        flag_of(name) for name, default in defaults.items() if getattr(options, name) != default
    ]


def load_entries(options: Options) -> int:
    guards.check_options(options, options.save)
    source = Input(options.input, options)
    verb, done = ("save", "saved") if options.save else ("publish", "published")
    entries: Any = source.unique()
    expect = options.expect
    if guards.is_guarded(options):
        entries = rbtree(entries, encode=encode_again)
        with guards.open_old(options, options.save) as old:
            expect = guards.check(len(entries), old, options)
            if options.dry_run:
                guards.show_difference(guards.as_map(entries), old, verb, options)
                return DONE
    if options.save:
        save(entries, options.map, options)
    else:
        publish(entries, options.map, options, expect=expect)
    stored = len(entries) if isinstance(entries, rbtree) else _size(options.map, options.save)
    result = {done: options.map, **source.counts(stored), "entries": stored}
    sentence = f"{done} {options.map}: {entries_text(stored)}{source.counts_text(stored)}"
    report(result, options.json, sentence)
    return DONE


def _size(name: str, is_file: bool) -> int:
    with sharedmap.open(name) if is_file else sharedmap(name) as opened:
        return len(opened)
