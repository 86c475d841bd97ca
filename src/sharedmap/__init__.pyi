# The package as it is for type checkers, which cannot follow what is registered in __init__.py.

from collections.abc import Callable
from typing import Any

from _typeshed import ReadableBuffer, StrOrBytesPath

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

def open(
    path: StrOrBytesPath,
    *,
    follow: bool = False,
    decode: Callable[[bytes], Any] | None = None,
    owner: int | str | None = None,
    wait: float | None = 0,
) -> sharedmap: ...
def frombuffer(
    data: ReadableBuffer, *, decode: Callable[[bytes], Any] | None = None
) -> sharedmap: ...
