"""Feature flags: switched on for some users, in all processes at once.

    python examples/feature_flags.py

A flag is an entry of a shared map: true or false for all users, a number for a percentage of them,
or a text with the names of some. An evaluation is a lookup in memory, without a network or a cache
that could be stale. A user who is among the first ten percent is also among the first twenty.
"""

import hashlib
import os
from typing import Any

import sharedmap

NAME = f"example:flags:{os.getpid()}"  # a real service has one fixed name


class Flags:
    """Open it once in each process; it follows."""

    def __init__(self, name: str) -> None:
        self.flags = sharedmap.sharedmap[Any](name, follow=True)

    def is_on(self, flag: str, user: str) -> bool:
        """A flag that is not set is off."""
        setting = self.flags.get(flag, False)
        if isinstance(setting, bool):
            return setting
        if isinstance(setting, str):
            return user in setting.split()
        return percentile(flag, user) < float(setting)


def percentile(flag: str, user: str) -> float:
    """0 to 100, the same in every process, and different users' for different flags."""
    digest = hashlib.blake2b(f"{flag}\0{user}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") * 100 / 2**64


def main() -> None:
    users = [f"user{number}" for number in range(1000)]
    sharedmap.share({"new checkout": False, "dark mode": True, "beta": "ada bob"}, NAME)
    try:
        flags = Flags(NAME)
        print("beta:", [user for user in ("ada", "bob", "eve") if flags.is_on("beta", user)])
        before: set[str] = set()
        for percent in (0, 10, 20, 100):
            sharedmap.update(NAME, {"new checkout": percent})
            now = {user for user in users if flags.is_on("new checkout", user)}
            print(f"new checkout at {percent} %: {len(now)} of {len(users)} users")
            assert before <= now
            before = now
        sharedmap.update(NAME, {"new checkout": False})
        print("switched off:", not any(flags.is_on("new checkout", user) for user in users))
    finally:
        sharedmap.remove(NAME)


if __name__ == "__main__":
    main()
