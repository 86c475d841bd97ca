"""What it costs to read a container: m["db"] beside json.loads and msgspec of the same value.

    python -m benchmarks.containers [--rounds 20]

The values are a configuration of 200 nested entries, a list of 200 rows as a database returns
them, and one small row. The contenders take turns in each round; the ratio is the median over the
rounds of ours to theirs, below 1 where ours is faster. msgspec is left out where it is not
installed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

from sharedmap import rbtree, sharedmap

Reader = Callable[[], Any]


def configuration() -> dict[str, Any]:
    """200 entries in sections, with names, numbers, lists and sections in them."""
    return {
        f"service_{number}": {
            "host": f"host-{number}.example.org",
            "port": 5000 + number,
            "timeout": 0.5 * number,
            "enabled": number % 2 == 0,
            "tags": ["blue", f"zone-{number % 3}"],
            "pool": {"size": number, "overflow": None, "options": {"ssl": True, "retries": 3}},
        }
        for number in range(20)
    }


def rows() -> list[dict[str, Any]]:
    return [
        {"id": number, "name": f"user {number}", "email": f"u{number}@example.org", "score": 0.5}
        for number in range(200)
    ]


def readers(value: Any) -> dict[str, Reader]:
    opened = sharedmap.frombuffer(rbtree({"db": value}).dump())
    assert opened["db"] == value
    text = json.dumps(value)
    found: dict[str, Reader] = {
        "sharedmap": lambda: opened["db"],
        "json.loads": lambda: json.loads(text),
    }
    try:
        import msgspec
    except ImportError:
        return found
    data = msgspec.msgpack.encode(value)
    decode = msgspec.msgpack.Decoder().decode
    return {**found, "msgspec": lambda: decode(data)}


def seconds(read: Reader, calls: int) -> float:
    begin = time.perf_counter()
    for _ in range(calls):
        read()
    return (time.perf_counter() - begin) / calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    for name, value in (
        ("configuration", configuration()),
        ("rows", rows()),
        ("one row", rows()[0]),
    ):
        contenders = readers(value)
        calls = max(1, int(0.01 / seconds(contenders["json.loads"], 10)))
        times: dict[str, list[float]] = {contender: [] for contender in contenders}
        for _ in range(options.rounds):
            for contender, read in contenders.items():
                times[contender].append(seconds(read, calls))
        for contender, taken in times.items():
            ratios = [ours / other for ours, other in zip(times["sharedmap"], taken, strict=True)]
            print(
                f"{name:14} {contender:11} {statistics.median(taken) * 1e6:8.2f} us"
                f"   ratio {statistics.median(ratios):.2f}"
            )


if __name__ == "__main__":
    main()
