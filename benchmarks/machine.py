"""Where and with what it was measured."""

import contextlib
import importlib.metadata
import os
import platform
import subprocess
import sys
import sysconfig
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .contenders import READERS


def describe(command: str, contenders: list[str]) -> dict[str, Any]:
    """Everything that belongs beside the figures."""
    versions = {"CPython": python_version()}
    for name in contenders:
        with contextlib.suppress(Exception):
            versions.update(READERS[name].versions())
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        versions["sortedcontainers"] = importlib.metadata.version("sortedcontainers")
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": command,
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": memory(),
        "kernel": kernel(),
        "C library": " ".join(platform.libc_ver()),
        "compiler": platform.python_compiler(),
        "huge pages": huge_pages(),
        "versions": versions,
        "load before": load(),
    }


def load() -> float:
    """Of the last minute."""
    return round(os.getloadavg()[0], 2)


def python_version() -> str:
    threads = " free-threaded" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
    return f"{platform.python_version()}{threads}"


def is_free_threaded() -> bool:
    return not getattr(sys, "_is_gil_enabled", lambda: True)()


def kernel() -> str:
    """Without what whoever built it has added to the number."""
    return f"{platform.system()} {platform.release().partition('-')[0]}"


def processor() -> str:
    caches = {}
    with contextlib.suppress(Exception):
        told = subprocess.run(["lscpu"], capture_output=True, text=True, env={"LC_ALL": "C"})
        fields = dict(line.split(":", 1) for line in told.stdout.splitlines() if ":" in line)
        caches = {key.split()[0]: fields[key].strip() for key in fields if key.endswith(" cache")}
        details = ", ".join(f"{name} {size}" for name, size in caches.items())
        virtual = " (virtual machine)" if "Hypervisor vendor" in fields else ""
        return f"{fields['Model name'].strip()}{virtual}; {details}"
    return platform.machine()


def memory() -> str:
    line = Path("/proc/meminfo").read_text().splitlines()[0]
    return f"{int(line.split()[1]) / 2**20:.0f} GiB"


def huge_pages() -> str:
    found = []
    for name in ("enabled", "shmem_enabled"):
        with contextlib.suppress(OSError):
            text = Path("/sys/kernel/mm/transparent_hugepage", name).read_text()
            found.append(f"{name} = {text.partition('[')[2].partition(']')[0]}")
    return ", ".join(found) or "none"
