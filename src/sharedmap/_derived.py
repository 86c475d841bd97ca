"""What functions make of a version, once in this process: m.derived(function).

Called from C, by sharedmap_py_derived(), for what the version does not have yet. Every snapshot
object of a version in this process holds the same Results; they go with the last of them.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any


class Results(dict[Any, Any]):
    """Function -> its result; and a lock for each function that is being called."""

    __slots__ = ("__weakref__", "locks")

    def __init__(self) -> None:
        super().__init__()
        self.locks: dict[Any, threading.RLock] = {}


# By name or path, id, and decoder. Not by the id alone: the publisher of one map could give it the
# id of another.
_versions: weakref.WeakValueDictionary[Any, Results] = weakref.WeakValueDictionary()
# A finalizer or a signal handler may come here while its thread is here already.
_guard = threading.RLock()


def results_of(source: str | None, version: str, decode: object) -> Results:
    """The results of a version; of one in a buffer, which has no source, new ones."""
    if source is None:
        return Results()
    key = (source, version, id(decode))
    with _guard:
        results = _versions.get(key)
        if results is None:
            results = _versions[key] = Results()
        return results


def derive(results: Results, function: Callable[[Any], Any], snapshot: Any) -> Any:
    """function(snapshot), unless another thread calls it already: then what that returns."""
    # One step for all threads, as a dict is.
    lock = results.locks.setdefault(function, threading.RLock())
    with lock:
        if function in results:
            return results[function]
        # An exception is not remembered: the next thread in the queue tries again.
        result = results[function] = function(snapshot)
        results.locks.pop(function, None)
        return result


def _forget_locks() -> None:
    """In a child, where the threads that hold them do not exist."""
    global _guard
    _guard = threading.RLock()
    for results in list(_versions.values()):
        results.locks = {}


os.register_at_fork(after_in_child=_forget_locks)
