# The package as it is for type checkers, which cannot follow what is registered in __init__.py.

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
    "names",
    "rbtree",
    "remove",
    "share",
    "sharedmap",
    "update",
    "watch",
]
