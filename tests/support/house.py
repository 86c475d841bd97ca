"""The house of the sources as they are: which files there are, and what they include.

For test_layers.py, which says what is allowed, and for the picture in docs/architecture.md.
"""

import ast
import pathlib
import re

SOURCES = pathlib.Path(__file__).parents[2] / "src"

# The folders of the core, each with those that it stands on. publish is a single file above all.
FOLDERS = {
    "core/base": set(),
    "core/tree": {"core/base"},
    "core/snapshot": {"core/base"},
    "core/segment": {"core/base", "core/snapshot"},
    "core": {"core/base", "core/snapshot", "core/segment"},
}

# The core's headers that Python objects may be made from. Layout and system are behind them.
SEEN_BY_BINDING = {
    "core/base/arena",
    "core/base/entry",
    "core/base/interrupt",
    "core/base/load",
    "core/base/memory",
    "core/base/msgpack",
    "core/base/slice",
    "core/base/sort",
    "core/base/status",
    "core/base/utf8",
    "core/publish",
    "core/update",
    "core/segment/follow",
    "core/segment/fork_list",
    "core/segment/readers",
    "core/segment/segment",
    "core/snapshot/version",
    "core/snapshot/version_diff",
    "core/snapshot/version_digest",
    "core/snapshot/version_filter",
    "core/snapshot/version_group",
    "core/tree/rbtree",
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


def core_files():
    return [file for folder in FOLDERS for file in c_files(folder)]


def folder_of(file):
    """Of a source, or of a header as it is included."""
    path = file.relative_to(SOURCES) if isinstance(file, pathlib.Path) else pathlib.Path(file)
    return path.parent.as_posix()


def unit_of(file):
    """A .c and the .h of its name are one unit, which is called by its path without the suffix."""
    return f"{folder_of(file)}/{pathlib.Path(file).stem}"


# ---- parts: a unit of the core, a type or a table of the binding, a module of the package ------

# The files of a Python type are one part, and so are a mapping and its views, which need each
# other; help texts are no part of anything.
TYPES = {
    "mapping": ("mapping_type", "mapping_object", "mapping_order", "view_type"),
    "rbtree": (
        "rbtree_type",
        "rbtree_iterator",
        "rbtree_object",
        "rbtree_pop",
        "rbtree_publish",
        "rbtree_range",
    ),
    "sharedmap": (
        "sharedmap_type",
        "sharedmap_derived",
        "sharedmap_diff",
        "sharedmap_digest",
        "sharedmap_follow",
        "sharedmap_handle",
        "sharedmap_iterator",
        "sharedmap_lookup",
        "sharedmap_range",
        "sharedmap_span",
        "sharedmap_verify",
    ),
}


def binding_part(file_name):
    stem = file_name.rsplit("/")[-1].split(".")[0]
    if stem.endswith("_doc"):
        return None
    return next((part for part, stems in TYPES.items() if stem in stems), stem)


def core_part(file_name):
    """A header that only the files of one unit share is no unit."""
    return pathlib.Path(file_name).stem.removesuffix("_inside")


def parts(folder):
    """The parts of a folder, each with the other parts of the folder that it is built on."""
    if folder == "sharedmap":
        return _package_parts()
    part_of = binding_part if folder == "binding" else core_part
    found = {}
    for file in c_files(folder):
        if part := part_of(file.name):
            below = found.setdefault(part, set())
            for include in own_includes(file):
                if folder_of(include) == folder and (other := part_of(include)):
                    below.add(other)
    return {part: below - {part} for part, below in found.items()}


def package_imports():
    """{module: those of the package that it imports, at the top or when it needs them}."""
    top = SOURCES / "sharedmap"
    names = {
        file: file.relative_to(SOURCES).with_suffix("").as_posix().removesuffix("/__init__")
        for file in sorted(top.rglob("*.py"))
    }
    known = {*names.values(), "sharedmap/_sharedmap"}
    found: dict[str, set[str]] = {}
    for file, name in names.items():
        found[name] = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                folder = file.relative_to(SOURCES).parents[node.level - 1] if node.level else ""
                base = f"{folder}/{node.module or ''}".replace(".", "/").strip("/")
                inside = {f"{base}/{alias.name}" for alias in node.names} & known
                # What is no module is an attribute of the package.
                attributes = {f"{base}/{alias.name}" for alias in node.names} - known
                found[name] |= inside | ({base} & known if attributes else set())
            elif isinstance(node, ast.Import):
                found[name] |= {alias.name.replace(".", "/") for alias in node.names} & known
        found[name] -= {name, "sharedmap/_sharedmap"}
    return found


def _package_parts():
    """`_cli` and `replication` are one part each, and so is each module beside them."""
    found = {}
    for name, imports in package_imports().items():
        parts = [[*path.split("/"), "__init__"][1] for path in (name, *sorted(imports))]
        found.setdefault(parts[0], set()).update(parts[1:])
    return {part: below - {part} for part, below in found.items()}
