"""Names and files, by the rule of docs/PROTOCOL.md, section 2."""

from __future__ import annotations

import os
import re
from typing import Final

from ._sharedmap import _directory

SHM: Final = _directory()  # where maps with a name live
PLACE: Final = os.fsdecode(SHM)
PREFIX: Final = b"sharedmap."
_SPECIAL: Final = re.compile(rb"[\x00-\x1f/%~\x7f]")
# name~, or name~ and 16 digits: the temporary names of steps 1 and 13.
_TEMPORARY: Final = re.compile(re.escape(PREFIX) + rb".+(?=~(?:[0-9a-f]{16})?\Z)", re.DOTALL)
_ESCAPE: Final = re.compile(rb"%([0-9A-F]{2})")


def file_name(name: str) -> bytes:
    """The file name of a map."""
    data = name.encode("utf-8", "surrogatepass")
    return PREFIX + _SPECIAL.sub(lambda found: b"%%%02X" % found[0][0], data)


def path_of(name: str) -> bytes:
    return SHM + b"/" + file_name(name)


def name_of(file: bytes) -> str | None:
    """The name of the map in such a file; None if it is not the file of a map."""
    if not file.startswith(PREFIX) or len(file) == len(PREFIX):
        return None
    data = _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), file[len(PREFIX) :])
    try:
        name = data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None
    return name if file_name(name) == file else None


def map_of_temporary(file: bytes) -> bytes | None:
    """The file of the map that a temporary file belongs to; None if it is not a temporary one."""
    found = _TEMPORARY.match(file)
    return found[0] if found is not None else None
