"""What the harness wants to know of a library under comparison.

Reading is given as expressions, as timeit takes them, so that each contender is measured without
a function of ours around it. They may use the names that open() returns:

    hit     value of the key k, a str        miss    None for the missing key k
    many    values of the list of keys q     scan    list of all pairs
    prefix  list of all pairs whose key begins with k
    walk    iterates over all pairs without keeping them
    newest  value of the key k in the newest version that any process has published

None instead of an expression: `why` says why there is none.
"""

import importlib.metadata
import importlib.util
import os
from pathlib import Path
from typing import Any, ClassVar


class Contender:
    """A way to publish a dict and to read it in other processes."""

    name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    modules: ClassVar[tuple[str, ...]] = ()  # that have to be there
    distributions: ClassVar[tuple[str, ...]] = ()  # whose versions are reported
    largest: ClassVar[int] = 1_000_000
    why_largest: ClassVar[str] = "up to 1 M entries only"
    quick: ClassVar[bool] = True  # else the short form has it at 1 M with the first data set only
    enough: ClassVar[int] = 1_000_000_000  # reading more keys than that takes no more memory

    hit: ClassVar[str] = "m[k]"
    miss: ClassVar[str] = "m.get(k)"
    many: ClassVar[str | None] = "list(map(get, q))"
    scan: ClassVar[str | None] = "list(m.items())"
    prefix: ClassVar[str | None] = None
    walk: ClassVar[str | None] = None
    newest: ClassVar[str | None] = None
    why: ClassVar[dict[str, str]] = {}

    def __init__(self, folder: str, place: str) -> None:
        self.folder = Path(folder)  # for files of this one's own
        self.place = place  # a name that nobody else uses
        self.path = self.folder / f"{self.name}.data"

    @classmethod
    def missing(cls) -> str | None:
        """Why it can not take part; None when it can."""
        for module in cls.modules:
            if importlib.util.find_spec(module) is None:
                return f"the module {module} is not installed"
        return None

    @classmethod
    def versions(cls) -> dict[str, str]:
        return {name: importlib.metadata.version(name) for name in cls.distributions}

    def start(self) -> None:
        """Imports what is needed; starts servers."""

    def publish(self, data: dict[str, str]) -> None:
        """Writes all entries, replacing what was published before."""
        raise NotImplementedError

    def published_bytes(self) -> int | None:
        return self.path.stat().st_size

    def server_processes(self) -> list[int]:
        return []

    def imports(self) -> None:
        """What a reader imports before the clock starts."""

    def open(self) -> dict[str, Any]:
        """Names for the expressions; called in a process that publishes nothing."""
        raise NotImplementedError

    def close(self, names: dict[str, Any]) -> None:
        names.clear()

    def remove(self) -> None:
        """Frees what was published."""
        self.path.unlink(missing_ok=True)

    def replace_file(self, write: Any) -> None:
        """Writes a file beside the old one, then puts it into the old one's place."""
        fresh = self.path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        write(str(fresh))
        os.replace(fresh, self.path)
