"""A progress bar, if standard error is a terminal and tqdm is installed."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import stat
import sys
from collections.abc import Callable, Iterator
from typing import Any

from .maps import Options

Advance = Callable[[int], object]


@contextlib.contextmanager
def make_progress(file: io.FileIO, options: Options) -> Iterator[Advance]:
    tqdm = None
    if not options.quiet and sys.stderr.isatty():
        with contextlib.suppress(ImportError):
            tqdm = importlib.import_module("tqdm")
    if tqdm is None:
        yield lambda count: None
        return
    status = os.fstat(file.fileno())
    total = status.st_size if stat.S_ISREG(status.st_mode) else None
    bar: Any = tqdm.tqdm(total=total, unit="B", unit_scale=True, desc="reading", file=sys.stderr)
    with bar:
        yield bar.update
