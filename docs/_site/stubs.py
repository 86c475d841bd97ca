"""What the stubs say: the public names and their signatures, as a reader wants to see them.

Knows nothing of Sphinx, so that a test can ask it which names there are.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

SOURCES = Path(__file__).parents[2] / "src/sharedmap"

# A module, and the files that say what is in it, in the order in which they are asked.
MODULES = {
    "sharedmap": ["_sharedmap.pyi", "_watch.pyi", "__init__.pyi"],
    "sharedmap.replication": [
        "replication/__init__.py",
        "replication/_errors.py",
        "replication/_agent/followed.py",
        "replication/_manifest.py",
        "replication/_stored.py",
    ],
    "sharedmap.replication.aio": ["replication/aio.py", "replication/_agent/agent.py"],
}
EXPORTS = {
    "sharedmap": "__init__.pyi",
    "sharedmap.replication": "replication/__init__.py",
    "sharedmap.replication.aio": "replication/aio.py",
}

# Type checkers need finer names than readers do.
READABLE = {
    "_T": "T",
    "_V": "V",
    "_V_co": "V",
    "_Encode": "Callable[[Any], bytes]",
    "_Decode": "Callable[[bytes], Any]",
    "_Owner": "int | str",
    "_Index": "Literal['hash', 'tree']",
    "_Range": "slice",
    "SupportsIndex": "int",
    "StrOrBytesPath": "str | bytes | PathLike",
    "AnyPath": "str | PathLike",
    "ReadableBuffer": "Buffer",
}
MAPPINGS = {"_Mapping", "_sharedmap_range"}  # of str to something


class Entry(NamedTuple):
    """One name of a module or a class."""

    kind: str  # function, class, exception, method, classmethod, property, attribute, data
    signatures: list[str]
    members: dict[str, Entry]
    is_async: bool = False


class _Readable(ast.NodeTransformer):
    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in READABLE:
            return ast.parse(READABLE[node.id], mode="eval").body
        if node.id == "SupportsKeysAndGetItem":
            return ast.Name("Mapping")
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.value, ast.Name) and node.value.id in MAPPINGS:
            return ast.parse(f"Mapping[str, {ast.unparse(node.slice)}]", mode="eval").body
        return node


def _type(node: ast.expr) -> str:
    return ast.unparse(_Readable().visit(node))


def _parameter(argument: ast.arg, default: ast.expr | None, text: str) -> str:
    written = argument.arg
    if argument.annotation is not None:
        written += f": {_type(argument.annotation)}"
    if default is not None:
        # As it is written: 0o600 is not 384.
        equals = " = " if argument.annotation is not None else "="
        written += equals + (ast.get_source_segment(text, default) or "...")
    return written


def _signature(function: ast.FunctionDef | ast.AsyncFunctionDef, text: str, is_method: bool) -> str:
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(positional) - len(given.defaults)) + list(given.defaults)
    written = []
    for number, (argument, default) in enumerate(zip(positional, defaults, strict=True), 1):
        if not (is_method and number == 1):
            written.append(_parameter(argument, default, text))
        if number == len(given.posonlyargs) and written:
            written.append("/")
    if given.vararg:
        written.append("*" + _parameter(given.vararg, None, text))
    elif given.kwonlyargs:
        written.append("*")
    for argument, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        written.append(_parameter(argument, default, text))
    if given.kwarg:
        written.append("**" + _parameter(given.kwarg, None, text))
    result = f" -> {_type(function.returns)}" if function.returns is not None else ""
    if function.name in ("__new__", "__init__"):
        result = ""
    return f"({', '.join(written)}){result}"


def _decorators(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> set[str]:
    return {ast.unparse(decorator) for decorator in node.decorator_list}


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef, text: str, in_class: bool) -> Entry:
    decorators = _decorators(node)
    if "property" in decorators:
        return Entry("property", [f": {_type(node.returns)}" if node.returns else ""], {})
    kind = "function"
    if in_class:
        kind = "classmethod" if "classmethod" in decorators else "method"
    signature = _signature(node, text, in_class)
    return Entry(kind, [signature], {}, isinstance(node, ast.AsyncFunctionDef))


def _class(node: ast.ClassDef, text: str, classes: dict[str, Entry]) -> Entry:
    members: dict[str, Entry] = {}
    bases = [ast.unparse(base).partition("[")[0] for base in node.bases]
    for statement in node.body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found = _function(statement, text, True)
            before = members.get(statement.name)
            if before and "overload" in _decorators(statement):
                before.signatures.extend(
                    each for each in found.signatures if each not in before.signatures
                )
            else:
                members[statement.name] = found
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            members[statement.target.id] = Entry(
                "attribute", [f": {_type(statement.annotation)}"], {}
            )
    for base in bases:
        for name, member in classes[base].members.items() if base in classes else ():
            members.setdefault(name, member)
    makers = members.get("__new__") or members.get("__init__")
    kind = "exception" if bases and bases[0].endswith("Error") else "class"
    if bases == ["Exception"]:
        kind = "exception"
    return Entry(kind, list(makers.signatures) if makers else [""], members)


def _exports(module: str) -> list[str]:
    for statement in ast.parse((SOURCES / EXPORTS[module]).read_text()).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
            return list(ast.literal_eval(statement.value))
    raise AssertionError(f"{EXPORTS[module]} has no __all__")


def public(module: str) -> dict[str, Entry]:
    """Everything that `from module import *` would bring, with what is in it."""
    found: dict[str, Entry] = {}
    for file in MODULES[module]:
        text = (SOURCES / file).read_text()
        for statement in ast.parse(text).body:
            if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
                found[statement.name] = _function(statement, text, False)
            elif isinstance(statement, ast.ClassDef):
                found[statement.name] = _class(statement, text, found)
            elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                found[statement.target.id] = Entry("data", [f": {_type(statement.annotation)}"], {})
    return {name: found[name] for name in _exports(module)}


def public_members(entry: Entry) -> dict[str, Entry]:
    return {name: member for name, member in entry.members.items() if not name.startswith("_")}
