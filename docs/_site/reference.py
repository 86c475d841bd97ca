"""The directives of the API reference: signatures from the stubs, text from the docstrings.

    ```{api} sharedmap.share          a function, an exception, or the head of a class
    ```{api-members} sharedmap.rbtree
    get keys values                   members of a class, in this order
    ```{api-table} sharedmap          every name of a module with its first sentence

The docstrings are those of the installed package, so the page says what help() says. A name that
the stubs or the package do not have is an error.
"""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from . import stubs

# What is code in a docstring's prose: calls, subscripts, keywords, names of errors.
ARGUMENTS = r"\( [^()\s]* (?: ,\ [^()\s]+ )* \)"
CODE = re.compile(
    r"""(?x)
    (?<![\w`])
    ( (?!O\() [A-Za-z_][\w.]* ARGUMENTS (?: \.\w+ ARGUMENTS )*    # share(), rbtree(a=1).dump()
    | [a-z_]\w* \[ [^\]]+ \] (?: \ =\ \w+ )?                    # m[key], t[key] = value
    | [a-z_]\w*=(?:'[^']*'|\w+)                                 # mode=0o644
    | (?:[A-Z]\w+Error | KeyError | NothingPushed)              # ValueError
    | /dev/shm | ~/[\w./]+ | \$[A-Z_]+
    | (?:True|False|None)
    )
    (?![\w`])""".replace("ARGUMENTS", ARGUMENTS)
)


def as_rst(docstring: str) -> str:
    """A docstring of ours as reStructuredText: prose, and examples as they are."""
    parts = []
    for part in docstring.split("\n\n"):
        if not part.startswith((">>>", "    ")):
            part = re.sub(r"`([^`]+)`", r"``\1``", part)
            part = CODE.sub(r"``\1``", part)
            part = re.sub(r"(?<!\w)\*+(?=\w)", lambda stars: "\\*" * len(stars[0]), part)
        elif part.startswith("    "):
            part = "::\n\n" + part
        parts.append(part)
    return "\n\n".join(parts)


def locate(path: str) -> tuple[str, str, stubs.Entry, Any]:
    """(module, name in it, what the stubs say, the thing itself)"""
    module = max((each for each in stubs.MODULES if path.startswith(each + ".")), key=len)
    name = path.removeprefix(module + ".")
    first, _, rest = name.partition(".")
    entry = stubs.public(module)[first]
    if rest:
        entry = stubs.public_members(entry)[rest]
    thing: Any = importlib.import_module(module)
    for part in name.split("."):
        # What the stubs call an attribute, objects have; their class may not.
        thing = getattr(thing, part, None) if entry.kind == "attribute" else getattr(thing, part)
    return module, name, entry, thing


def describe(path: str) -> list[str]:
    """The lines of a domain directive for one name."""
    module, name, entry, thing = locate(path)
    signatures = entry.signatures
    options = [f":module: {module}"]
    if entry.kind in ("property", "attribute", "data"):
        options += [f":type: {signatures[0].removeprefix(': ')}"]
        signatures = [""]
    if entry.is_async and "AsyncGenerator" not in signatures[0]:
        options += [":async:"]
    head = f".. py:{entry.kind}:: "
    lines = [head + name + signatures[0]]
    lines += [" " * len(head) + name + other for other in signatures[1:]]
    lines += ["   " + option for option in options] + [""]
    if not isinstance(thing, str) and entry.kind != "attribute":
        docstring = inspect.getdoc(thing)
        if not docstring:
            raise ValueError(f"{path} has no docstring")
        lines += ["   " + line for line in as_rst(docstring).split("\n")] + [""]
    if entry.kind == "exception" or (isinstance(thing, type) and issubclass(thing, tuple)):
        for member in stubs.public_members(entry):
            lines += ["   " + line for line in describe(f"{path}.{member}")]
    return lines


class Reference(SphinxDirective):
    def parse(self, lines: list[str]) -> list[nodes.Node]:
        text = ["````{eval-rst}", *lines, "````"]
        found = nodes.container()
        self.state.nested_parse(StringList(text, self.get_source_info()[0]), 0, found)
        return found.children


class Api(Reference):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        return self.parse(describe(self.arguments[0]))


class ApiMembers(Reference):
    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        lines = []
        for member in " ".join(self.content).split():
            lines += describe(f"{self.arguments[0]}.{member}")
        return self.parse(lines)


class ApiTable(Reference):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        module = self.arguments[0]
        lines = [".. list-table::", "   :widths: 30 70", ""]
        for name, entry in stubs.public(module).items():
            thing = locate(f"{module}.{name}")[3]
            docstring = None if isinstance(thing, str) else inspect.getdoc(thing)
            first = (docstring or "The version, a str.").partition("\n\n")[0].replace("\n", " ")
            role = {"function": "func", "exception": "exc", "class": "class", "data": "data"}
            link = f":py:{role[entry.kind]}:`{name} <{module}.{name}>`"
            lines += [f"   * - {link}", f"     - {as_rst(first)}"]
        return self.parse(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("api", Api)
    app.add_directive("api-members", ApiMembers)
    app.add_directive("api-table", ApiTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
