"""watch: a line, and a command, for each publication and removal of maps.

Two tasks for each name put what they notice into a queue of one element. So while the command of
--exec runs, nothing accumulates: of several publications meanwhile, the newest is reported.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import warnings
from typing import Any

from .._encoded import Encoded
from .._hub import running_hub
from .._names import path_of
from .._sharedmap import FollowWarning
from .._watch import watch
from .errors import CONFLICT, DONE, FAILED, CommandError
from .maps import Options, owner_of
from .output import entries_text, printable, report, size_text, time_text

_Queue = asyncio.Queue[dict[str, Any]]


def watch_names(options: Options) -> int:
    if options.count == 0:
        return DONE
    with warnings.catch_warnings():
        warnings.simplefilter("always", FollowWarning)
        warnings.showwarning = _show_warning
        return asyncio.run(_watch(options))


def _show_warning(message: Warning | str, *more: Any, **options: Any) -> None:
    """What watch() says while it tries again, as a line like those of errors."""
    print(f"sharedmap: {printable(str(message))}", file=sys.stderr, flush=True)


async def _watch(options: Options) -> int:
    events: _Queue = asyncio.Queue(maxsize=1)
    names: list[str] = [*dict.fromkeys(options.maps)]
    owner = owner_of(options)
    tasks = [asyncio.create_task(_publications(name, owner, events)) for name in names]
    tasks += [asyncio.create_task(_removals(name, events)) for name in names]
    code, seen = DONE, 0
    limit = asyncio.timeout(options.timeout)
    try:
        async with limit:
            while options.count is None or seen < options.count:
                event = await _next(events, tasks)
                report(event, options.json, _sentence(event, len(names) > 1))
                sys.stdout.flush()
                seen += 1
                if options.exec is not None and not _run(options.exec, event):
                    code = FAILED
    except TimeoutError:
        if not limit.expired():
            raise
        # Without --count, all that was wanted is to stop then.
        if options.count is not None:
            events_text = "event" if options.count == 1 else "events"
            raise CommandError(
                f"time is up after {options.timeout:g} s: {seen} of {options.count} {events_text}",
                CONFLICT,
            ) from None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return code


async def _next(events: _Queue, tasks: list[asyncio.Task[None]]) -> dict[str, Any]:
    """The next event; the failure of a task, if one has failed."""
    event = asyncio.ensure_future(events.get())
    try:
        await asyncio.wait([event, *tasks], return_when=asyncio.FIRST_COMPLETED)
        if event.done():
            return event.result()
        for task in tasks:
            if task.done():
                task.result()
        raise AssertionError("a task has ended without a failure")
    finally:
        event.cancel()


async def _publications(name: str, owner: int | None, events: _Queue) -> None:
    async for opened in watch(name, decode=Encoded, owner=owner):
        with opened:
            fields = {
                "name": name,
                "event": "published",
                "generation": opened.generation,
                "entries": len(opened),
                "bytes": opened.nbytes,
                "id": opened.id,
                "time": time_text(time.time()),
            }
        await events.put(fields)


async def _removals(name: str, events: _Queue) -> None:
    path = path_of(name)
    with running_hub().interest(name) as event:
        was_there = os.path.lexists(path)
        while True:
            await event.wait()
            event.clear()
            is_there = os.path.lexists(path)
            if was_there and not is_there:
                await events.put({"name": name, "event": "removed", "time": time_text(time.time())})
            was_there = is_there


def _sentence(event: dict[str, Any], has_name: bool) -> str:
    what = "removed"
    if event["event"] == "published":
        entries, size = entries_text(event["entries"]), size_text(event["bytes"])
        what = f"generation {event['generation']}, {entries}, {size}"
    name = f"{event['name']}: " if has_name else ""
    return f"{event['time']}  {name}{what}"


def _run(command: str, event: dict[str, Any]) -> bool:
    """Whether the shell command succeeds. It knows the event from its environment."""
    variables = {
        f"SHAREDMAP_{field.upper()}".encode(): str(value).encode("utf-8", "surrogatepass")
        for field, value in event.items()
    }
    code = subprocess.run(command, shell=True, env={**os.environb, **variables}).returncode
    if code == 0:
        return True
    how = f"was killed by signal {-code}" if code < 0 else f"has exit code {code}"
    print(f"sharedmap: {printable(command)}: {how}", file=sys.stderr, flush=True)
    return False
