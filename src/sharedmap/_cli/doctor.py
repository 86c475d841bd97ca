"""doctor: the problems and the readers of the maps of this machine.

A reader is found by its memory mappings. Files are compared by device and inode: a name means
another file in another container, and no file at all once the map is replaced.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from typing import Any, Final

from .._names import PLACE, PREFIX, SHM, map_of_temporary, name_of, path_of
from .._sharedmap import SnapshotError, _clear_leftover, _platform, names
from .errors import DONE, FINDINGS
from .maps import Options
from .output import age_text, escape, mode_text, print_table, size_text, to_json
from .reading import describe_named, of_map

_IS_LINUX: Final = _platform() == "linux"
_ABSENT: Final = "mount a tmpfs there" if _IS_LINUX else "make it, or set SHAREDMAP_DIRECTORY"
_FULL: Final = "enlarge it (containers: --shm-size)" if _IS_LINUX else "free space there"
_IN_MAPS: Final = b"/" + PREFIX
# One mapping in /proc/PID/smaps: device, inode and path, followed by lines of numbers.
_MAPPING: Final = re.compile(
    rb"^[0-9a-f]+-[0-9a-f]+ \S+ [0-9a-f]+ ([0-9a-f]+):([0-9a-f]+) (\d+) +(/.*)$"
)
# More than nine tenths of a file system is full.
_NEARLY_FULL: Final = 0.9
_WRITERS: Final = stat.S_IWGRP | stat.S_IWOTH

Inode = tuple[int, int]


def _inode(path: bytes) -> Inode | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _mappings(process: str) -> Iterator[tuple[Inode, bytes, int]]:
    """The mappings of the process: inode, path, PSS."""
    with open(f"/proc/{process}/smaps", "rb") as lines:
        found: tuple[Inode, bytes] | None = None
        for line in lines:
            if line.startswith(b"Pss:"):
                if found is not None:
                    yield *found, 1024 * int(line.split()[1])
            elif match := _MAPPING.match(line):
                major, minor, number, path = match.groups()
                inode = (os.makedev(int(major, 16), int(minor, 16)), int(number))
                found = (inode, path.rstrip(b"\n")) if _IN_MAPS in path else None
            elif line[:1].isdigit() or line[:1] in b"abcdef":
                found = None


def _command(process: str) -> str:
    with contextlib.suppress(OSError), open(f"/proc/{process}/comm", encoding="utf-8") as file:
        return file.read().rstrip("\n")
    return "?"


def _processes() -> list[str]:
    try:
        return os.listdir("/proc")
    except FileNotFoundError:
        return []


def find_readers() -> tuple[dict[Inode, list[dict[str, Any]]], list[dict[str, Any]], int]:
    """Readers of each file of a map, unnamed mappings, and the count of processes not seen."""
    device = os.stat(SHM).st_dev
    readers: dict[Inode, dict[str, dict[str, Any]]] = {}
    unnamed: dict[tuple[bytes, str], dict[str, Any]] = {}
    not_seen = 0
    for process in filter(str.isdecimal, _processes()):
        if int(process) == os.getpid():
            continue
        try:
            for inode, path, pss in _mappings(process):
                if inode[0] != device:
                    continue
                of_inode = readers.setdefault(inode, {})
                reader = of_inode.setdefault(
                    process, {"pid": int(process), "command": _command(process), "pss": 0}
                )
                reader["pss"] += pss
                if path.endswith(b" (deleted)"):
                    file = path.rpartition(b"/")[2].removesuffix(b" (deleted)")
                    old = unnamed.setdefault(
                        (file, process),
                        {
                            "name": _name_in_maps(file),
                            "pid": int(process),
                            "snapshots": 0,
                            "pss": 0,
                        },
                    )
                    old["snapshots"] += 1
                    old["pss"] += pss
        except PermissionError:
            not_seen += 1
        except (FileNotFoundError, ProcessLookupError):
            pass  # the process has exited
    return (
        {inode: [*found.values()] for inode, found in readers.items()},
        [*unnamed.values()],
        not_seen,
    )


def _name_in_maps(file: bytes) -> str | None:
    """The name of a map by its file, in which /proc writes some bytes as octal numbers."""
    return name_of(re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), file))


def find_leftovers() -> list[dict[str, Any]]:
    """Temporary names of publishers that were killed or are still running."""
    found: list[dict[str, Any]] = []
    for file in sorted(os.listdir(SHM)):
        owner = map_of_temporary(file)
        if owner is None:
            continue
        path = SHM + b"/" + file
        with contextlib.suppress(FileNotFoundError):
            size = os.lstat(path).st_blocks * 512
            found.append({"path": os.fsdecode(path), "bytes": size, "name": name_of(owner)})
    return found


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _inspect_maps(
    problems: list[str], readers: dict[Inode, list[dict[str, Any]]]
) -> tuple[list[dict[str, Any]], int]:
    """The maps, and the count of others that this user may not read."""
    maps: list[dict[str, Any]] = []
    not_seen = 0
    for name in names():
        path = path_of(name)
        is_private = False
        try:
            status = os.lstat(path)
            is_private = status.st_uid != os.geteuid() and not status.st_mode & _WRITERS
            fields = describe_named(name)
            if fields["superseded"]:
                problems.append(
                    f"{name}: marked as superseded but not replaced, because its publisher was"
                    " killed; publish it again"
                )
        except FileNotFoundError:
            continue
        except (OSError, SnapshotError) as error:
            if is_private and isinstance(error, PermissionError):
                not_seen += 1
                continue
            problems.append(of_map(name, _reason(error)))
            continue
        inode = _inode(path)
        fields["readers"] = readers.get(inode, []) if inode is not None else []
        maps.append(fields)
    return maps, not_seen


def _inspect_space(problems: list[str]) -> dict[str, Any] | None:
    try:
        status = os.stat(SHM)
    except OSError:
        status = None
    if status is None or not stat.S_ISDIR(status.st_mode):
        problems.append(
            f"there is no directory {PLACE}, where maps with a name live: {_ABSENT}, or use files"
            " (load --file)"
        )
        return None
    if not os.access(SHM, os.R_OK | os.X_OK):
        problems.append(
            f"{PLACE} is not readable for this user: maps with a name are neither found nor"
            " opened; make it readable (mode 1777), or use files (load --file)"
        )
        return None
    space = os.statvfs(SHM)
    total, free = space.f_blocks * space.f_frsize, space.f_bavail * space.f_frsize
    if total and free < (1 - _NEARLY_FULL) * total:
        problems.append(
            f"{PLACE} is nearly full: {size_text(free)} of {size_text(total)} are free;"
            f" {_FULL} or remove maps"
        )
    if space.f_files and space.f_favail < 10:
        problems.append(
            f"{PLACE} is nearly out of inodes, free: {space.f_favail}; remove maps or files"
        )
    if status.st_mode & 0o1002 == 0o0002:
        problems.append(f"{PLACE} has no sticky bit: any user can remove or replace any map")
    if not os.access(SHM, os.W_OK | os.X_OK):
        problems.append(f"{PLACE} is not writable for this user: publishing fails")
    else:
        _inspect_draft(problems)
    return {
        "bytes": total,
        "free": free,
        "files_free": space.f_favail,
        "mode": mode_text(status.st_mode),
    }


def _inspect_draft(problems: list[str]) -> None:
    """What a publisher does first: a file without a name, of which all memory is reserved."""
    if not _IS_LINUX:
        return  # a publisher does neither
    try:
        draft = os.open(SHM, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR):
            problems.append(
                f"{PLACE} has no unnamed files (O_TMPFILE): a publisher that is killed leaves its"
                " draft behind; `sharedmap doctor --clear` removes it"
            )
        return
    try:
        os.posix_fallocate(draft, 0, 1)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            problems.append(
                f"{PLACE} cannot reserve memory (fallocate): publishing writes zeros first, which"
                " takes longer"
            )
    finally:
        os.close(draft)


def _inspect_room(problems: list[str], shm: dict[str, Any], maps: Sequence[dict[str, Any]]) -> None:
    """The old version of a map is there until the new one is."""
    largest = max(maps, key=lambda fields: int(fields["bytes"]), default=None)
    if largest is not None and shm["bytes"] and shm["free"] < largest["bytes"]:
        problems.append(
            f"{largest['name']}: cannot be published again: that needs"
            f" {size_text(largest['bytes'])} and {size_text(shm['free'])} of {PLACE} are free;"
            f" {_FULL} or remove maps"
        )


def _check_health(options: Options) -> int:
    # Not at the top: other forms of doctor do without them.
    from ..replication._agent.health import find_problems
    from .machines import translated_errors

    with translated_errors():
        problems = find_problems(options.health)
    if options.json:
        print(to_json({"health": options.health, "problems": problems}))
    else:
        for problem in problems:
            print(escape(f"! {problem}"))
        if not problems:
            print("no problems found")
    return FINDINGS if problems else DONE


def run_doctor(options: Options) -> int:
    if options.health is not None:
        return _check_health(options)
    problems: list[str] = []
    shm = _inspect_space(problems)
    if _IS_LINUX and not os.path.isdir("/proc/self"):
        problems.append(
            "/proc is not mounted: readers are not found, and a publisher that is killed leaves its"
            " draft behind; `sharedmap doctor --clear` removes it"
        )
    readers, unnamed, processes_not_seen = find_readers() if shm is not None else ({}, [], 0)
    maps, maps_not_seen = _inspect_maps(problems, readers) if shm is not None else ([], 0)
    if shm is not None:
        _inspect_room(problems, shm, maps)
    leftovers = find_leftovers() if shm is not None else []
    cleared: list[str] = []
    for leftover in leftovers:
        try:
            # The system checks the permission, the publish lock whether the file is in use.
            file = os.path.basename(os.fsencode(leftover["path"]))
            if options.clear and _clear_leftover(file):
                cleared.append(leftover["path"])
                continue
        except (OSError, SnapshotError) as error:
            problems.append(f"{leftover['path']}: cannot be cleared: {_reason(error)}")
            continue
        problems.append(
            f"{leftover['path']}: {size_text(leftover['bytes'])} left by a killed publisher;"
            " the next publisher of the name clears it, or `sharedmap doctor --clear`"
        )
    result = {
        "shm": shm,
        "maps": maps,
        "old_snapshots": unnamed,
        "leftovers": leftovers,
        "cleared": cleared,
        "processes_not_seen": processes_not_seen,
        "maps_not_seen": maps_not_seen,
        "problems": problems,
    }
    if options.json:
        print(to_json(result))
    else:
        _print_result(result)
    return FINDINGS if problems else DONE


def _print_shm(shm: dict[str, Any], maps: Sequence[dict[str, Any]]) -> None:
    # A file system in memory without a limit says that it has no blocks.
    free = (
        f"{size_text(shm['free'])} of {size_text(shm['bytes'])} free"
        if shm["bytes"]
        else "no limit of its size"
    )
    print(
        f"{PLACE}: {free}, mode {shm['mode']},"
        f" {len(maps)} {'map' if len(maps) == 1 else 'maps'} with"
        f" {size_text(sum(fields['bytes'] for fields in maps))}"
    )


def _print_result(result: dict[str, Any]) -> None:
    shm, maps = result["shm"], result["maps"]
    if shm is not None:
        _print_shm(shm, maps)
    if maps:
        print()
        titles = ("NAME", "SIZE", "GENERATION", "AGE", "MODE", "OWNER", "READERS", "THEIR PSS")
        print_table(titles, map(_row, maps))
    readers = [
        (fields["name"], reader["pid"], reader["command"], size_text(reader["pss"]))
        for fields in maps
        for reader in fields["readers"]
    ]
    if readers:
        print()
        print_table(("READ BY", "PID", "COMMAND", "PSS"), readers)
    if result["old_snapshots"]:
        print("\nsnapshots that were replaced or removed and are still open:\n")
        print_table(
            ("NAME", "PID", "SNAPSHOTS", "PSS"),
            (
                (old["name"], old["pid"], old["snapshots"], size_text(old["pss"]))
                for old in result["old_snapshots"]
            ),
        )
    print()
    for path in result["cleared"]:
        print(escape(f"cleared {path}"))
    if result["processes_not_seen"]:
        print(f"processes of other users, not inspected: {result['processes_not_seen']}")
    if result["maps_not_seen"]:
        print(f"maps of other users, not inspected: {result['maps_not_seen']}")
    for problem in result["problems"]:
        print(escape(f"! {problem}"))
    if not result["problems"]:
        print("no problems found")


def _row(fields: dict[str, Any]) -> tuple[Any, ...]:
    readers = fields["readers"]
    return (
        fields["name"],
        size_text(fields["bytes"]),
        fields["generation"],
        age_text(fields["age"]),
        fields["mode"],
        fields["owner"],
        len(readers),
        size_text(sum(reader["pss"] for reader in readers)),
    )
