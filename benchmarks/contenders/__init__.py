"""All contenders that read, in the order of the tables. Builders are in builders.py."""

from .base import Contender
from .files import Ancestor, Cdbx, Lmdb, Lmdb1, Marisa, Mdbx, Sqlite, TinyCdb
from .local import Dict
from .ours import SharedMap, SharedMapFollow, SharedMapHuge, SharedMapTree
from .processes import Manager, Redis, SharedMemoryDict, Stash, Ultra

READERS: dict[str, type[Contender]] = {
    contender.name: contender
    for contender in (
        Dict,
        SharedMap,
        SharedMapHuge,
        SharedMapTree,
        SharedMapFollow,
        Cdbx,
        TinyCdb,
        Lmdb,
        Lmdb1,
        Mdbx,
        Ancestor,
        Marisa,
        Sqlite,
        Ultra,
        SharedMemoryDict,
        Stash,
        Manager,
        Redis,
    )
}

__all__ = ["READERS", "Contender"]
