"""A PyTorch DataLoader whose workers read samples where they lie in shared memory.

    python examples/data_loader.py [--workers N] [--samples N]

A Dataset that is a list of objects is copied into every worker, page by page, as soon as its
reference counts are touched. Here it is a shared map: all workers have the same pages, a sample is
a tensor on them, and shuffling needs only ranks: the map finds entry number i.
"""

import argparse
import array
import importlib
import os
from collections.abc import Iterable
from typing import Any

import sharedmap

NAME = f"example:samples:{os.getpid()}"  # a real training run has one fixed name
WIDTH = 16


class Samples:
    """A map-style dataset: what DataLoader asks for is a length and the sample at an index."""

    def __init__(self, name: str) -> None:
        self.samples = sharedmap.sharedmap[Any](name)

    def __len__(self) -> int:
        return len(self.samples)

    def view(self, index: int) -> memoryview:
        """The bytes of a sample, aligned for any type of number; nothing is copied."""
        key, _ = self.samples.peekitem(index)
        return self.samples.view(key)

    def __getitem__(self, index: int) -> Any:
        torch = importlib.import_module("torch")
        # A tensor wants memory that it may write to, so this is the one copy of the sample.
        return torch.frombuffer(bytearray(self.view(index)), dtype=torch.float32)


def samples(count: int) -> Iterable[tuple[str, bytes]]:
    for number in range(count):
        yield f"{number:08}", array.array("f", [number % 100] * WIDTH).tobytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--samples", type=int, default=10_000)
    options = parser.parse_args()
    data: Any = importlib.import_module("torch.utils.data")
    sharedmap.share(samples(options.samples), NAME)
    try:
        loader = data.DataLoader(
            Samples(NAME), batch_size=64, shuffle=True, num_workers=options.workers
        )
        rows = total = 0
        for batch in loader:
            rows += len(batch)
            total += int(batch[:, 0].sum())
    finally:
        sharedmap.remove(NAME)
    print(f"{rows} samples, sum {total}")


if __name__ == "__main__":
    main()
