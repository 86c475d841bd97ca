"""Copies the state that a subclass in Python has besides the entries, as copy and pickle do.

Called from C, by mapping_copy_state(); the maps themselves have no such state.
"""

from __future__ import annotations

import copy
from typing import Any


def copy_state(to: Any, source: Any) -> None:
    """For a copy that was made without __init__()."""
    _set_state(to, source.__getstate__())


def copy_state_deep(to: Any, source: Any, memo: dict[int, Any]) -> None:
    # Known before the state is copied, which may lead back to it.
    memo[id(source)] = to
    _set_state(to, copy.deepcopy(source.__getstate__(), memo))


def _set_state(to: Any, state: Any) -> None:
    if state is None:
        return
    if hasattr(to, "__setstate__"):
        to.__setstate__(state)
        return
    attributes, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
    if attributes is not None:
        # Not with setattr(), so that no property and no __setattr__() is called.
        to.__dict__.update(attributes)
    if slots is not None:
        for name, value in slots.items():
            setattr(to, name, value)
