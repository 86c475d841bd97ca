"""A sorted map in shared memory: published by one process, read by all, zero-copy and lock-free.

rbtree is a mutable sorted map. Its share() publishes a snapshot in shared memory under a name,
atomically. sharedmap(name) opens the snapshot in any process, without deserialization.
"""

# Not collections.abc, which is the same module, but imports the rest of collections with it.
import _collections_abc

from . import _sharedmap
from ._sharedmap import (
    FollowWarning,
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
    "FollowWarning",
    "SnapshotError",
    "StaleError",
    "__version__",
    "frombuffer",
    "names",
    "open",
    "rbtree",
    "remove",
    "share",
    "sharedmap",
    "update",
    "watch",
]

# isinstance() with the abstract classes; the methods are all in C already.
_collections_abc.Mapping.register(rbtree.__base__)
_collections_abc.MutableMapping.register(rbtree)
_collections_abc.KeysView.register(_sharedmap.KeysView)
_collections_abc.ValuesView.register(_sharedmap.ValuesView)
_collections_abc.ItemsView.register(_sharedmap.ItemsView)


def open(path, *, follow=False, decode=None, owner=None, wait=0):
    """Open a file that rbtree.save() wrote, as a read-only mapping.

    The same as sharedmap.sharedmap.open(path, ...), with the same arguments and errors. O(1).

    >>> import os, tempfile
    >>> import sharedmap
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "a.map")
    ...     sharedmap.rbtree(a="1").save(path), sharedmap.open(path)["a"]
    (True, '1')
    """
    return sharedmap.open(path, follow=follow, decode=decode, owner=owner, wait=wait)


def frombuffer(data, *, decode=None):
    """Open a snapshot in a buffer, such as rbtree.dump() or an mmap.

    The same as sharedmap.sharedmap.frombuffer(data, ...), with the same arguments and errors. O(1).

    >>> import sharedmap
    >>> sharedmap.frombuffer(sharedmap.rbtree(a="1").dump())["a"]
    '1'
    """
    return sharedmap.frombuffer(data, decode=decode)
