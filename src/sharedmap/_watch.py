"""watch(): an asynchronous iterator over what is published under a name.

It is level-triggered: an attempt to open what is published that fails is made again, though nothing
is published meanwhile. The backoff is that of lookups, in core/segment/follow.c.
"""

from ._sharedmap import FollowWarning, SnapshotError, sharedmap

_SHORTEST_PAUSE = 0.01
_LONGEST_PAUSE = 1.0


async def watch(name, *, decode=None, owner=None):
    """Yield the published map, now and after each publication. Never ends.

    Each item is a sharedmap that does not follow. Several publications while the caller is busy
    yield only the newest snapshot. When nothing is published under the name yet, it waits. After
    the first valid snapshot, one that is damaged or cannot be opened is tried again 10 ms to 1 s
    later. The first failure of a kind issues FollowWarning. The same holds for the first snapshot
    while the process is short of descriptors or memory.

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
    # Not at the top: these take ten times as long to import as all of the package.
    import warnings

    from ._hub import is_shortage, pause, running_hub

    current = None
    shortages = set()  # the errnos of which a warning was issued
    next_pause = _SHORTEST_PAUSE
    with running_hub().interest(name) as event:
        while True:
            # Cleared before the check, so that a later publication sets it again.
            event.clear()
            has_failed = is_new = False
            try:
                if current is None:
                    current = sharedmap(name, decode=decode, owner=owner)
                    is_new = True
                else:
                    is_new = current.refresh()
            except FileNotFoundError:
                pass
            except (SnapshotError, OSError, MemoryError) as error:
                has_failed = True
                if current is not None:
                    current._warn_of_failure()
                elif not is_shortage(error):
                    raise
                elif getattr(error, "errno", None) not in shortages:
                    shortages.add(getattr(error, "errno", None))
                    message = f"{name!r} cannot be opened: {error}; it is tried again"
                    warnings.warn(message, FollowWarning, stacklevel=2)
            if is_new:
                next_pause = _SHORTEST_PAUSE
                yield current.snapshot()
            elif has_failed:
                await pause(event, next_pause)
                next_pause = min(2 * next_pause, _LONGEST_PAUSE)
            else:
                next_pause = _SHORTEST_PAUSE
                await event.wait()
