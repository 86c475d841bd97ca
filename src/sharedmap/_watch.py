"""watch(): an asynchronous iterator over what is published under a name."""

from ._sharedmap import SnapshotError, sharedmap


async def watch(name, *, decode=None, owner=None):
    """Yield the published map, now and after each publication. Never ends.

    Each item is a sharedmap that does not follow. Several publications while the caller is busy
    yield only the newest snapshot. When nothing is published under the name yet, it waits. After
    the first valid snapshot, those that are damaged or cannot be opened are skipped.

    Raises PermissionError, SnapshotError and ValueError as sharedmap(name) does.

    >>> import asyncio
    >>> from sharedmap import remove, share, watch
    >>> async def first():
    ...     async for m in watch("doc:watch"):
    ...         return m["a"]
    >>> share({"a": 1}, "doc:watch", force=True)
    True
    >>> asyncio.run(first())
    1
    >>> remove("doc:watch")
    True
    """
    # Not at the top: asyncio takes ten times as long to import as all of the package.
    from ._hub import running_hub

    current = None
    with running_hub().interest(name) as event:
        while True:
            # Cleared before the check, so that a later publication sets it again.
            event.clear()
            if current is None:
                try:
                    current = sharedmap(name, decode=decode, owner=owner)
                    is_new = True
                except FileNotFoundError:
                    is_new = False
            else:
                try:
                    is_new = current.refresh()
                except (SnapshotError, OSError):
                    is_new = False
            if is_new:
                yield current.snapshot()
            else:
                await event.wait()
