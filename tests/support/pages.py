"""The pages of the documentation, taken apart: what a test runs, and where links lead.

A fenced block of Python or of a console is run, unless a comment in front of it says why not.
Blocks of a page are run in their order, those of Python in one process, unless a comment says in
which:

    <!-- process: reader -->          the next block is run in a process of this name
    <!-- not run: why -->             the next block is not run
    <!-- run: reader                  code that readers of the page do not see, in a process of this
    ...                               name, or without one where the other blocks are run
    -->
"""

import ast
import re
from typing import NamedTuple

from helpers import TOP

GENERATED = TOP / "docs/benchmarks"

# What is run, and what is there to be looked at.
RUN = {"python", "console"}
SHOWN = {"text", "sh", "toml", "ini", "yaml", "dockerfile", "json", "c"}

COMMENT = re.compile(r"^ *<!--(.*?)-->", re.DOTALL | re.MULTILINE)
FENCE = re.compile(r"^( *)(`{3,}|:{3,})([^`\n]*)\n(.*?)^\1\2 *$", re.DOTALL | re.MULTILINE)
MARK = re.compile(r"<!-- (process|not run): ([^\n]+) -->\n\s*\Z")
HIDDEN = re.compile(r"^<!-- run(?:: (\w+))?\n(.*?)^-->$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    language: str
    text: str
    line: int  # of its first line of text
    process: str = "this"
    why_not: str = ""
    mark: str = ""


def pages():
    found = [*TOP.glob("*.md"), *TOP.glob("docs/**/*.md"), *TOP.glob("benchmarks/*.md")]
    return sorted(path for path in found if GENERATED not in path.parents)


def line_of(text, place):
    return text.count("\n", 0, place) + 1


def blocks(text):
    """All fenced blocks and the hidden ones, in their order."""
    found = []
    for match in FENCE.finditer(text):
        indent, _, language, inner = match.groups()
        inner = re.sub(f"^{indent}", "", inner, flags=re.MULTILINE)
        mark = MARK.search(text[: match.start()])
        meant = {mark[1]: mark[2]} if mark else {}
        found.append(
            Block(
                language.strip(),
                inner,
                line_of(text, match.start()) + 1,
                meant.get("process", "this"),
                meant.get("not run", ""),
                mark[0] if mark else "",
            )
        )
    for match in HIDDEN.finditer(text):
        found.append(
            Block("python", match[2], line_of(text, match.start()) + 1, match[1] or "this")
        )
    return sorted(found, key=lambda block: block.line)


# Comments of those who write tables into pages.
OTHERS = re.compile(
    r" */?(?:benefits|figures|tested|changes(?:: \w+)?) *$| *(?:begin|end) of what "
)


def marks(text):
    """The comments that are meant for this file: all but those of others."""
    return [match[0] for match in COMMENT.finditer(text) if not OTHERS.match(match[1])]


# ---- names -----------------------------------------------------------------------------------

# Calls that have the name of a map among their first two arguments.
WITH_NAME = {"share", "sharedmap", "update", "remove", "watch"}
WITH_NAME |= {"push", "pull", "follow", "rollback"}
COMMANDS = re.compile(r"\bsharedmap (?:get|scan|load|stat|rm|watch|update|verify|export) ([\w:.]+)")


def map_names(page_blocks):
    """The names under which a page publishes and looks; a test has others in their place."""
    names = set()
    for block in page_blocks:
        if block.language == "console":
            names |= set(COMMANDS.findall(block.text))
        elif block.language == "python" and not block.why_not:
            for node in ast.walk(ast.parse(block.text)):
                if isinstance(node, ast.Call):
                    called = getattr(node.func, "attr", getattr(node.func, "id", ""))
                    for argument in node.args[:2] if called in WITH_NAME else ():
                        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                            names.add(argument.value)
    return names


def renamed(block, others):
    """The text of a block with the names that the test has for those of the page."""
    text = block.text
    for name, other in others.items():
        word = re.escape(name)
        text = re.sub(f"([\"']){word}\\1", rf"\g<1>{other}\g<1>", text)
        if block.language == "console":
            text = re.sub(rf"(?<![/\w.\"':-]){word}(?![\w.\"':])", other, text)
    return text


# ---- links -----------------------------------------------------------------------------------

CODE = re.compile(r"(`+)(?:.*?[^`])\1(?!`)", re.DOTALL)
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")


def prose(text):
    """Without blocks of code and what is quoted as code."""
    text = FENCE.sub(lambda block: "\n" * block[0].count("\n"), text)
    text = re.sub(r"^    .*$", "", text, flags=re.MULTILINE)
    return CODE.sub("", text)


def links(text):
    return LINK.findall(prose(text))


def anchors(text):
    """What code hosts, and the site, make of the headings."""
    found = set()
    for heading in re.findall(r"^#{1,6} +(.*?) *$", FENCE.sub("", text), re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        number, unique = 0, slug
        while unique in found:
            number += 1
            unique = f"{slug}-{number}"
        found.add(unique)
    return found
