"""A sorted map in shared memory: published by one process, read by all, zero-copy and lock-free.

rbtree is a mutable sorted map. Its share() publishes a snapshot in shared memory under a name,
atomically. sharedmap(name) opens the snapshot in any process, without deserialization.
"""

from collections.abc import ItemsView as _ItemsView
from collections.abc import KeysView as _KeysView
from collections.abc import Mapping as _Mapping
from collections.abc import MutableMapping as _MutableMapping
from collections.abc import ValuesView as _ValuesView

from . import _sharedmap
from ._sharedmap import (
    SnapshotError,
    StaleError,
    __version__,
    names,
    rbtree,
    remove,
    share,
    sharedmap,
    update,
)
from ._watch import watch

__all__ = [
    "SnapshotError",
    "StaleError",
    "__version__",
    "names",
    "rbtree",
    "remove",
    "share",
    "sharedmap",
    "update",
    "watch",
]

# isinstance() with the abstract classes; the methods are all in C already.
_Mapping.register(rbtree.__base__)
_MutableMapping.register(rbtree)
_KeysView.register(_sharedmap.KeysView)
_ValuesView.register(_sharedmap.ValuesView)
_ItemsView.register(_sharedmap.ItemsView)
