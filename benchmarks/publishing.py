"""How publishing and building are timed. Runs in the publisher's process.

Whatever a contender publishes, the same process builds the dict of the same entries before it,
key by key, so that each figure has its own measure beside it. Keys and values are new str objects
each time; no hash of them is known yet. These take so long that other work on the machine gets in
between, hence the processor time is noted as well, as `-cpu`.
"""

import gc
import pickle
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from . import datasets

Seconds = tuple[float, float]  # by the clock, and of this process's processor time
Times = dict[str, dict[int, float]]  # what -> repeat -> seconds


def fresh(folder: Path) -> tuple[list[str], list[str]]:
    return datasets.load(folder, "keys"), datasets.load(folder, "values")


def timed(function: Callable[[], Any]) -> Seconds:
    """Freeing the result is not included."""
    cpu, start = process_time(), perf_counter()
    result = function()
    took = perf_counter() - start, process_time() - cpu
    del result
    return took


def fill(table: Any, keys: list[str], values: list[str]) -> Any:
    for key, value in zip(keys, values, strict=True):
        table[key] = value
    return table


def note(times: Times, what: str, repeat: int, seconds: Seconds) -> float:
    times.setdefault(what, {})[repeat], times.setdefault(f"{what}-cpu", {})[repeat] = seconds
    return seconds[0]


def publish(contender: Any, folder: Path, repeats: int, limit: float, dumps: bool) -> Times:
    """Publishes some times, at least once, as long as the limit of seconds is not reached."""
    gc.disable()
    times: Times = {}
    generator = random.Random(0)
    spent = 0.0
    for repeat in range(repeats):
        keys, values = fresh(folder)
        d: dict[str, str] = {}
        spent += note(times, "dict", repeat, timed(partial(fill, d, keys, values)))
        del keys, values
        jobs = {"publish": partial(contender.publish, d)}
        if dumps:
            jobs["pickle.dumps"] = partial(pickle.dumps, d, pickle.HIGHEST_PROTOCOL)
        for what in generator.sample(list(jobs), len(jobs)):
            spent += note(times, what, repeat, timed(jobs[what]))
        if spent > limit:
            break
    return times


# ---- builders ---------------------------------------------------------------------------------


def builders(
    folder: Path, place: str, names: list[str], repeats: int, limit: float
) -> dict[str, Times]:
    """Times of `insert` (key by key), `build` (at once) and `publish` (rbtree.share)."""
    import sharedmap

    makers = {"dict": dict, "rbtree": sharedmap.rbtree}
    if "SortedDict" in names:
        from sortedcontainers import SortedDict

        makers["SortedDict"] = SortedDict
    gc.disable()
    results: dict[str, Times] = {}
    generator = random.Random(0)
    spent: dict[str, float] = {}

    def add(operation: str, name: str, repeat: int, job: Callable[[], Any]) -> None:
        seconds = timed(job)
        spent[name] = spent.get(name, 0.0) + seconds[0]
        for kind, value in zip((operation, f"{operation}-cpu"), seconds, strict=True):
            results.setdefault(kind, {}).setdefault(name, {})[repeat] = value

    for repeat in range(repeats):
        for name in generator.sample(names, len(names)):
            if repeat >= 2 and spent.get(name, 0.0) > limit:
                continue
            make = makers[name]
            add("insert", name, repeat, partial(fill, make(), *fresh(folder)))
            keys, values = fresh(folder)
            if name == "dict":
                add("build", name, repeat, partial(dict, zip(keys, values, strict=True)))
                add("publish", name, repeat, partial(fill, {}, *fresh(folder)))
                continue
            d = dict(zip(keys, values, strict=True))
            del keys, values
            add("build", name, repeat, partial(make, d))
            if name == "rbtree":
                share = sharedmap.rbtree(d).share
                add("publish", name, repeat, partial(share, place, force=True))
    sharedmap.remove(place)
    return results
