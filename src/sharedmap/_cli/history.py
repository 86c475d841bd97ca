"""history: the versions that the file of a map contains, and the memory that they occupy."""

from __future__ import annotations

import os
from typing import Any

from .. import _header
from .._sharedmap import SnapshotError
from .errors import DONE
from .maps import Options, file_of, open_map
from .output import print_table, size_text, time_text, to_json


def show_history(options: Options) -> int:
    path = file_of(options)
    # Opening checks whose file it is, and that it is valid.
    with open_map(options):
        found = _header.read(path)
        if found is None:
            raise SnapshotError("not a sharedmap snapshot")
        base = found.header
        versions = [_fields("base", base.total_size, base)]
        versions += [_fields("delta", each.size, each) for each in _header.deltas(path, base)]
        status = os.stat(path)
    result = {
        "name": options.map,
        # Memory is allocated in pages.
        "allocated": status.st_blocks * 512,
        "bytes": found.size,
        "limit": max(base.limit, base.total_size),
        "superseded": base.is_superseded,
        "versions": versions,
    }
    if options.json:
        print(to_json(result))
        return DONE
    titles = ("PART", "GENERATION", "PUBLISHED", "ENTRIES", "SIZE")
    print_table(titles, map(_row, versions))
    print(
        f"\nallocated {size_text(result['allocated'])}, used {size_text(found.size)},"
        f" limit {size_text(result['limit'])}"
    )
    return DONE


def _fields(part: str, size: int, version: _header.Header | _header.Delta) -> dict[str, Any]:
    published = version.published_at
    return {
        "part": part,
        "generation": version.generation,
        "published": time_text(published / 1e9) if published else None,
        "entries": version.entry_count,
        "bytes": size,
        "id": version.unique_id.hex(),
    }


def _row(version: dict[str, Any]) -> tuple[Any, ...]:
    published = version["published"] or "-"
    size = size_text(version["bytes"])
    return version["part"], version["generation"], published, version["entries"], size
