"""The map that an agent publishes on its machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from .. import _header
from .._encoded import Encoded, encode_again
from .._names import path_of
from .._sharedmap import StaleError, rbtree, share, sharedmap, update
from ._difference import Changes, puts_of, removed_by
from ._errors import ReplicationError
from ._manifest import Manifest


class Local:
    def __init__(self, name: str, mode: int) -> None:
        self.name = name
        self.mode = mode
        # The version that this process has published or found, and the id of the map then.
        self.known: tuple[int, str | None] = (0, None)

    def _read(self) -> _header.Version | None:
        """The header of the newest version; None unless it is a map of this user."""
        try:
            return _header.read(path_of(self.name), is_ours=True)
        except OSError:
            return None

    def is_published(self, manifest: Manifest) -> bool:
        """Whether the local map has that content."""
        found = self._read()
        if found is None:
            return False
        if self.known == (manifest.version, found.unique_id.hex()):
            return True
        if manifest.content is None:
            # Of format 1. It has no differences.
            pushed = _header.parse(manifest.image.header)
            return found.header.content == pushed.content
        if found.entry_count != manifest.entries:
            return False
        with self.open() as opened:
            if opened is None or not _has_content(opened, manifest):
                return False
            self.known = (manifest.version, opened.id)
        return True

    def is_known(self, manifest: Manifest, opened: sharedmap[Any]) -> bool:
        """Whether the opened map is the one that is_published() has found."""
        return self.known == (manifest.version, opened.id)

    @contextlib.contextmanager
    def open(self) -> Iterator[sharedmap[Any] | None]:
        try:
            opened = sharedmap[Any](self.name, decode=Encoded)
        except (OSError, ValueError):
            yield None
            return
        with opened:
            yield opened

    def publish(self, manifest: Manifest, image: sharedmap[Any], changes: Changes) -> None:
        """Publishes the image with the changes, whatever is published now."""
        header = _header.parse(manifest.image.header)
        entries: Any = image
        encode = None
        if changes:
            encode = encode_again
            entries = rbtree(image, encode=encode_again)
            entries.update(puts_of(changes))
            for key in removed_by(changes):
                entries.pop(key, None)
        try:
            share(
                entries,
                self.name,
                force=True,
                mode=self.mode,
                index=header.index_kind,
                align=header.align,
                encode=encode,
            )
        except (OverflowError, MemoryError) as error:
            raise ReplicationError(f"{self.name}: {error or 'out of memory'}") from None
        # Another program may have changed the map again, so is_published() compares the content.
        found = self._read() if manifest.content is None else None
        self.known = (manifest.version, None if found is None else found.unique_id.hex())

    def update(self, manifest: Manifest, before: sharedmap[Any], changes: Changes) -> bool:
        """Publishes the changes, if the map is still the version `before`."""
        try:
            generation = update(
                self.name,
                puts_of(changes),
                remove=removed_by(changes),
                encode=encode_again,
                expect=before.id,
            )
        except (StaleError, FileNotFoundError, ValueError):
            return False  # it was replaced, removed or damaged
        except (OverflowError, MemoryError) as error:
            raise ReplicationError(f"{self.name}: {error or 'out of memory'}") from None
        found = self._read()
        # Another program may have changed the map again.
        is_found = found is not None and found.generation == generation
        self.known = (manifest.version, found.unique_id.hex() if found and is_found else None)
        return True


def _has_content(opened: sharedmap[Any], manifest: Manifest) -> bool:
    try:
        return opened._content_digest() == manifest.content
    except ValueError:
        return False
