"""A progress bar, if standard error is a terminal and tqdm is installed."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import stat
import sys
from collections.abc import Callable
from typing import Any

from .maps import Options

Advance = Callable[[int], object]


class Progress:
    """The bar of one file, which it shows until the end of its `with`."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.bar: Any = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def start(self, file: io.FileIO) -> Advance:
        """The function that is told of all bytes that are read."""
        tqdm = None
        if not self.options.quiet and sys.stderr.isatty():
            with contextlib.suppress(ImportError):
                tqdm = importlib.import_module("tqdm")
        if tqdm is None:
            return lambda count: None
        status = os.fstat(file.fileno())
        total = status.st_size if stat.S_ISREG(status.st_mode) else None
        self.bar = tqdm.tqdm(
            total=total, unit="B", unit_scale=True, desc="reading", file=sys.stderr
        )
        advance: Advance = self.bar.update
        return advance
