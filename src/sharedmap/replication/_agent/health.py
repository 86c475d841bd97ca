"""What an agent tells others: its status as JSON, in a file that is replaced atomically.

The file says until when it is to be believed, so that a reader notices an agent that was killed or
hangs.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
from pathlib import Path
from typing import Any

from .._errors import ReplicationError
from .followed import AgentStatus, MapStatus


def _time(when: float | None) -> str | None:
    return None if when is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))


def _map_fields(of: MapStatus, now: float) -> dict[str, Any]:
    fields = of._asdict()
    fields["pushed"], fields["checked"] = _time(of.pushed), _time(of.checked)
    # The publisher's clock may be ahead of ours.
    fields["age"] = None if of.pushed is None else round(max(0.0, now - of.pushed), 3)
    return fields


def describe(status: AgentStatus, lifetime: float) -> dict[str, Any]:
    """The fields that docs/guide/command-line-json.md lists; for `lifetime` seconds."""
    now = time.time()
    return {
        "ok": status.ok,
        "time": _time(now),
        # One second is lost by rounding.
        "expires": _time(now + lifetime + 1),
        "reachable": status.reachable,
        "error": status.error,
        "maps": [_map_fields(each, now) for each in status.maps],
    }


def to_bytes(status: AgentStatus, lifetime: float) -> bytes:
    # ASCII: names may have lone surrogates.
    return json.dumps(describe(status, lifetime), separators=(", ", ": ")).encode() + b"\n"


class HealthFile:
    """Replaced with each change, and removed when the agent ends."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.beside = self.path.with_name(f"{self.path.name}.new")

    def write(self, data: bytes) -> None:
        # A probe may run as another user. There is nothing secret in it.
        descriptor = os.open(
            self.beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644
        )
        with open(descriptor, "wb") as file:
            file.write(data)
        os.rename(self.beside, self.path)

    def remove(self) -> None:
        for path in (self.beside, self.path):
            with contextlib.suppress(OSError):
                path.unlink()


def find_problems(path: str | os.PathLike[str]) -> list[str]:
    """What is wrong by the health file of an agent; nothing if all is well.

    Raises OSError if the file cannot be read, ReplicationError if it is not one.
    """
    try:
        data = json.loads(Path(path).read_bytes())
        problems = [data["error"]] if data["error"] else []
        for each in data["maps"]:
            if each["state"] != "following":
                problems.append(f"{each['name']}: {each['error'] or each['state']}")
        if data["expires"] < str(_time(time.time())):
            problems = [f"the agent has not written this file since {data['time']}"]
        elif not problems and not data["ok"]:
            problems = ["the agent has not started yet"]
    except FileNotFoundError:
        raise FileNotFoundError(
            errno.ENOENT, "no agent writes this file", os.fspath(path)
        ) from None
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ReplicationError(f"{path}: not the health file of an agent: {error}") from None
    return problems
