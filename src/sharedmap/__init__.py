"""A sorted map in shared memory: built once, then read by every process without a copy.

An `rbtree` is a private map that is always in order; its `share` publishes what it holds
under a name. A `sharedmap` of that name, in any process, reads it in place.
"""

from ._sharedmap import SnapshotError, __version__, rbtree, sharedmap

__all__ = ["SnapshotError", "__version__", "rbtree", "sharedmap"]
