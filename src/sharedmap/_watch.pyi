from collections.abc import AsyncGenerator, Callable
from typing import Any

from ._sharedmap import sharedmap

def watch(
    name: str,
    *,
    decode: Callable[[bytes], Any] | None = None,
    owner: int | str | None = None,
) -> AsyncGenerator[sharedmap[Any]]: ...
