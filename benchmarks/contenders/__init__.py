"""All contenders that read, in the order of the tables. Builders are in builders.py."""

from .base import Contender
from .files import Ancestor, Lmdb, Marisa, Sqlite, TinyCdb
from .local import Dict
from .ours import SharedMap, SharedMapFollow, SharedMapHuge, SharedMapTree
from .processes import Manager, Redis, SharedMemoryDict, Ultra

READERS: dict[str, type[Contender]] = {
    contender.name: contender
    for contender in (
        Dict,
        SharedMap,
        SharedMapHuge,
        SharedMapTree,
        SharedMapFollow,
        TinyCdb,
        Lmdb,
        Ancestor,
        Marisa,
        Sqlite,
        Ultra,
        SharedMemoryDict,
        Manager,
        Redis,
    )
}

__all__ = ["READERS", "Contender"]
