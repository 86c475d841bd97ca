"""A pool of processes that share one big table, without a copy in each.

    python examples/worker_pool.py [--workers N] [--entries N]

The table is published once. A worker opens it when it starts, which takes microseconds, and its
tasks find it in a global. That works with every way to start processes; nothing is inherited, and
a worker receives only the map's name.
"""

import argparse
import multiprocessing
import os
from typing import Any

import sharedmap

NAME = f"example:prices:{os.getpid()}"  # a real service has one fixed name

prices: "sharedmap.sharedmap[float]"


def open_prices(shared: "sharedmap.sharedmap[float]") -> None:
    """What each worker does first. The map came as its name, and was opened here again."""
    global prices
    prices = shared


def total(order: list[tuple[str, int]]) -> float:
    articles = [article for article, _ in order]
    # One call for many keys: their memory is fetched side by side.
    found = prices.get_many(articles, 0.0)
    return sum(price * count for price, (_, count) in zip(found, order, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--entries", type=int, default=100_000)
    options = parser.parse_args()

    table = ((f"article {number}", number / 100) for number in range(options.entries))
    sharedmap.share(table, NAME)
    try:
        orders: list[Any] = [
            [(f"article {number * 7 % options.entries}", 1), ("article 100", number)]
            for number in range(1000)
        ]
        with (
            sharedmap.sharedmap(NAME) as shared,
            multiprocessing.get_context("spawn").Pool(
                options.workers, open_prices, (shared,)
            ) as pool,
        ):
            totals = pool.map(total, orders)
    finally:
        sharedmap.remove(NAME)
    print(f"{len(totals)} orders, {sum(totals):,.2f} in all, by {options.workers} processes")


if __name__ == "__main__":
    main()
