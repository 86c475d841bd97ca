"""The smallest complete program: one process publishes a configuration, another one reads it.

    python examples/hello.py

The map stays when the publisher ends, so the last line removes it.
"""

import multiprocessing
import os

import sharedmap

NAME = f"example:hello:{os.getpid()}"  # a real service has one fixed name
CONFIG = {"checkout.timeout": 30, "checkout.currency": "EUR", "banner": "夏季特卖"}


def read(name: str) -> None:
    config = sharedmap.sharedmap(name, follow=True)
    for key, value in config.items():
        print(f"worker: {key} is {value!r}")
    sharedmap.update(name, {"checkout.timeout": 60})  # any process may
    print(f"worker: checkout.timeout is now {config['checkout.timeout']}")


if __name__ == "__main__":
    try:
        sharedmap.share(CONFIG, NAME)
        # A spawned process is a new interpreter: it inherits nothing of this one's memory.
        worker = multiprocessing.get_context("spawn").Process(target=read, args=(NAME,))
        worker.start()
        worker.join()
    finally:
        sharedmap.remove(NAME)
    raise SystemExit(worker.exitcode)
