"""A publisher changes settings, and workers that are already running pick each change up.

    python examples/live_configuration.py [--workers N]

The workers are plain processes, as those of a web server are. They get no message: each has
the settings open as a map that follows, and reads them when it has something to do. While nothing
changes, that costs about as much as a lookup in a dict of its own.
"""

import argparse
import multiprocessing
import os
from collections.abc import Mapping
from queue import Queue
from typing import Any

import sharedmap

NAME = f"example:settings:{os.getpid()}"  # a real service has one fixed name

FIRST = {"greeting": "Hello", "limit": 100, "open": True}
CHANGES: list[dict[str, int | str]] = [
    {"limit": 20},
    {"greeting": "Good evening", "limit": 50},
    {"maintenance": "at midnight"},
]
SECONDS = 30  # longer than anything here takes, so that no process hangs

Answers = Queue[tuple[int, int, str]]  # generation, worker, what it said


def serve(request: int, settings: Mapping[str, Any]) -> str:
    """What a worker is there for. One request sees one version of the settings, whatever comes."""
    answer = f"{settings['greeting']}, request {request}! You may ask {settings['limit']} times"
    if "maintenance" in settings:
        answer += f"; maintenance {settings['maintenance']}"
    return answer


def work(name: str, number: int, answers: Answers) -> None:
    request = 0
    with sharedmap.sharedmap(name, follow=True) as settings:
        while settings["open"]:
            request += 1
            with settings.snapshot() as now:
                answers.put((now.generation, number, serve(request, now)))
            # A real worker waits for its next request here; this one, for something to tell.
            settings.wait(SECONDS)


def collect(answers: Answers, generation: int, workers: int) -> None:
    """Waits until each worker has answered with these settings; prints what they said."""
    found: dict[int, str] = {}
    while len(found) < workers:
        used, number, answer = answers.get(timeout=SECONDS)
        if used == generation:
            found[number] = answer
    for number, answer in sorted(found.items()):
        print(f"  worker {number}: {answer}")


def run(workers: int) -> bool:
    context = multiprocessing.get_context("spawn")  # nothing is inherited; fork works as well
    answers: Any = context.Queue()
    sharedmap.share(FIRST, NAME)
    processes = [
        context.Process(target=work, args=(NAME, number, answers)) for number in range(workers)
    ]
    for process in processes:
        process.start()
    print("generation 1:", FIRST)
    collect(answers, 1, workers)
    for change in CHANGES:
        generation = sharedmap.update(NAME, change)
        print(f"generation {generation}: {change}")
        collect(answers, generation, workers)
    sharedmap.update(NAME, {"open": False})
    for process in processes:
        process.join(SECONDS)
    print("closed; exit codes", [process.exitcode for process in processes])
    return all(process.exitcode == 0 for process in processes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, default=3)
    options = parser.parse_args()
    try:
        is_good = run(options.workers)
    finally:
        sharedmap.remove(NAME)
    raise SystemExit(0 if is_good else 1)


if __name__ == "__main__":
    main()
