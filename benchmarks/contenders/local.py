"""The dict in the reader's own process: the measure of all others."""

import pickle
from typing import Any

from .base import Contender


class Dict(Contender):
    """Published as a pickle in a file; each reader unpickles its own."""

    name = "dict"
    title = "dict"
    largest = 1_000_000_000
    hit = "d[k]"
    miss = "d.get(k)"
    newest = "d[k]"  # which never sees anything new: the measure of those that do
    scan = "list(d.items())"
    prefix = "[(key, value) for key, value in d.items() if key.startswith(k)]"

    def publish(self, data: dict[str, str]) -> None:
        def write(path: str) -> None:
            with open(path, "wb") as file:
                pickle.dump(data, file, pickle.HIGHEST_PROTOCOL)

        self.replace_file(write)

    def open(self) -> dict[str, Any]:
        with self.path.open("rb") as file:
            d = pickle.load(file)
        return {"d": d, "get": d.get}
