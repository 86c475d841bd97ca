"""The house of the sources as they are: which files there are, and what they include.

For tests/test_layers.py, which says what is allowed, and for the picture in docs/architecture.md.
"""

import pathlib
import re

SOURCES = pathlib.Path(__file__).parent.parent / "src"

# From the ground up. A file belongs to the floor that its name begins with, the longest of several.
FLOORS = [
    "status",
    "memory",
    "slab",
    "fork_list",
    "slice",
    "load",
    "arena",
    "entry",
    "hash",
    "utf8",
    "sort",
    "rbtree_node",
    "rbtree",
    "snapshot_format",
    "order_index",
    "snapshot_header",
    "hash_index",
    "snapshot_writer",
    "snapshot_reader",
    "snapshot_search",
    "merge",
    "segment",
    "publish",
]

# The core's floors that Python objects may be made from. Layout and system are behind them.
SEEN_BY_BINDING = {
    "arena",
    "entry",
    "fork_list",
    "load",
    "memory",
    "publish",
    "rbtree",
    "segment",
    "slice",
    "snapshot_reader",
    "sort",
    "status",
    "utf8",
}

COMMENT = r"/\*.*?\*/|//[^\n]*"
STRING = r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
COMMENT_OR_STRING = re.compile(f"{COMMENT}|{STRING}", re.DOTALL)


def c_files(folder):
    files = sorted([*(SOURCES / folder).glob("*.c"), *(SOURCES / folder).glob("*.h")])
    assert files, f"no C files in src/{folder}"
    return files


def code(file):
    """The text without comments and without what stands in quotes."""
    return COMMENT_OR_STRING.sub(" ", file.read_text())


def own_includes(file):
    return re.findall(r'^\s*#\s*include\s+"([^"]+)"', file.read_text(), re.MULTILINE)


def other_includes(file):
    return re.findall(r"^\s*#\s*include\s+<([^>]+)>", file.read_text(), re.MULTILINE)


def floor_of(file_name):
    stem = file_name.rsplit("/")[-1].split(".")[0]
    floors = [floor for floor in FLOORS if stem == floor or stem.startswith(floor + "_")]
    return max(floors, key=len, default=None)


# ---- parts: a floor of the core, a type or a table of the binding, a module of the package ------

# The files of a Python type are one part; help texts are no part of anything.
TYPES = {
    "rbtree": ("rbtree_type", "rbtree_iterator", "rbtree_pop", "rbtree_publish", "rbtree_range"),
    "sharedmap": (
        "sharedmap_type",
        "sharedmap_follow",
        "sharedmap_iterator",
        "sharedmap_lookup",
        "sharedmap_range",
    ),
}


def binding_part(file_name):
    stem = file_name.rsplit("/")[-1].split(".")[0]
    if stem.endswith("_doc"):
        return None
    return next((part for part, stems in TYPES.items() if stem in stems), stem)


def package_part(path):
    """`_cli` and `replication` are one part each; the C module below stands for itself."""
    return path.relative_to(SOURCES / "sharedmap").parts[0].removesuffix(".py")


def parts(folder):
    """The parts of a folder, each with the other parts of the folder that it is built on."""
    if folder == "sharedmap":
        return _package_parts()
    part_of = floor_of if folder == "core" else binding_part
    found = {}
    for file in c_files(folder):
        if part := part_of(file.name):
            below = found.setdefault(part, set())
            for include in own_includes(file):
                if include.startswith(folder + "/") and (other := part_of(include)):
                    below.add(other)
    return {part: below - {part} for part, below in found.items()}


def _package_parts():
    found = {}
    files = sorted((SOURCES / "sharedmap").rglob("*.py"))
    names = {package_part(file) for file in files}
    for file in files:
        below = found.setdefault(package_part(file), set())
        # `from . import x` and `from .x import y` at the top, `from ..x import y` in a folder.
        dots = r"\." * len(file.relative_to(SOURCES / "sharedmap").parts)
        text = file.read_text()
        below |= set(re.findall(rf"^from {dots}(\w+)", text, re.MULTILINE))
        for line in re.findall(rf"^from {dots} import (.+)$", text, re.MULTILINE):
            below |= set(re.findall(r"\w+", line))
        below &= names
    return {part: below - {part} for part, below in found.items()}
