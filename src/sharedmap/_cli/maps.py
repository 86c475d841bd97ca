"""Opening, publishing and saving the map of a command, by its name or as a file."""

from __future__ import annotations

import argparse
import os
import pwd
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .._encoded import Encoded, encode_again
from .._names import path_of
from .._sharedmap import rbtree, share, sharedmap
from .errors import USAGE, CommandError

Options = argparse.Namespace
Pairs = Iterable[tuple[str, Any]]


def owner_of(options: Options) -> int | None:
    """A number is a user id, anything else a user's name."""
    owner: str | None = options.owner
    if owner is None or owner.isdecimal():
        return None if owner is None else int(owner)
    try:
        return pwd.getpwnam(owner).pw_uid
    except KeyError:
        raise CommandError(f"unknown user {owner!r}", USAGE) from None


def open_map(options: Options) -> sharedmap[Any]:
    owner = owner_of(options)
    if options.file:
        return sharedmap.open(options.map, decode=Encoded, owner=owner)
    return sharedmap(options.map, decode=Encoded, owner=owner)


def file_of(options: Options) -> bytes:
    """The file that open_map() opens."""
    return os.fsencode(options.map) if options.file else path_of(options.map)


def selected(opened: sharedmap[Any], options: Options) -> Mapping[str, Any]:
    """The part of the map that --prefix, --from, --after and --to leave."""
    part: Any = opened
    if options.prefix is not None:
        part = part.prefix(options.prefix)
    # No key lies between a key and the same with this character behind it.
    start = options.start if options.after is None else options.after + "\0"
    if start is not None or options.stop is not None:
        part = part[start : options.stop]
    selection: Mapping[str, Any] = part
    return selection


def publish(
    entries: Pairs | Mapping[str, Any],
    name: str,
    options: Options,
    encode: Callable[[Any], bytes] | None = encode_again,
    expect: int | str | None = None,
) -> None:
    share(
        entries,
        name,
        options.force,
        mode=options.mode,
        expect=expect,
        index=options.index,
        huge_pages=options.huge_pages,
        encode=encode,
    )


def save(entries: Pairs | Mapping[str, Any], path: str, options: Options) -> None:
    tree = entries if isinstance(entries, rbtree) else rbtree(entries, encode=encode_again)
    tree.save(path, options.force, mode=options.mode, index=options.index)
