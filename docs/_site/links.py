"""Links: those that leave the documentation, and a check of every one in the finished site.

Pages link to files of the repository as a code host wants it. In the site such a link leads to the
page that has the file, if there is one, to a copy of a file, and nowhere for a folder or for the
page of a folder of tests.

The check reads what was written: each link of each page leads to a file and an anchor that are
there, and nothing is fetched from another host.
"""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

TOP = Path(__file__).parents[2]

# Files outside of docs/ that are pages of the site. Of the first ones the page has the text, if it
# is there: what stands in it is for readers of the repository.
INCLUDED = {"changelog": "CHANGELOG.md", "development/contributing": "CONTRIBUTING.md"}
PAGES = {file: page for page, file in INCLUDED.items()}
PAGES |= {"README.md": "index", "README.zh-CN.md": "zh/index"}

# A page's own list of its sections: the site has it at the side.
CONTENTS = re.compile(r"^(?:- \[[^\]]*\]\(#[^)]*\)\n)+\n", re.MULTILINE)
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#\s:]+)(#[^)\s]*)?\)")


def redirect(app: Sphinx, page: str, source: list[str]) -> None:
    docs = Path(app.srcdir)
    folder = origin = (docs / page).parent
    if page in INCLUDED:
        source[0], origin = (TOP / INCLUDED[page]).read_text("utf-8"), TOP

    def replace(link: re.Match[str]) -> str:
        text, path, anchor = link[1], link[2], link[3] or ""
        if ":" in path:
            return link[0]
        target = (origin / path).resolve()
        if target.is_relative_to(TOP):
            found = PAGES.get(str(target.relative_to(TOP)))
            if found and (docs / f"{found}.md").exists():
                target = docs / f"{found}.md"
            elif target.is_dir() or (target.suffix == ".md" and not target.is_relative_to(docs)):
                return text
        return f"[{text}]({os.path.relpath(target, folder)}{anchor})"

    source[0] = LINK.sub(replace, CONTENTS.sub("", source[0], count=1))


class _Page(HTMLParser):
    """What a page has anchors for, where it leads to, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if given.get("id"):
            self.anchors.add(given["id"] or "")
        if tag == "a" and given.get("href"):
            self.links.append(given["href"] or "")
        elif tag in ("link", "script", "img", "iframe", "object", "source"):
            self.loaded += [given[name] or "" for name in ("href", "src", "data") if name in given]


def check(app: Sphinx, error: Exception | None) -> None:
    if error or app.builder.name != "html":
        return
    folder = Path(app.outdir)
    files = sorted(folder.rglob("*.html"))
    pages = {file: _Page(file.read_text("utf-8")) for file in files}
    wrong = []
    count = 0

    def reason(file: Path, link: str, is_loaded: bool) -> str | None:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            return f"loads {link}" if is_loaded and parts.scheme != "data" else None
        target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
        if not target.exists():
            return f"there is no {link}"
        anchors = pages[target].anchors if target in pages else {parts.fragment}
        is_there = not parts.fragment or unquote(parts.fragment) in anchors
        return None if is_there else f"no such place: {link}"

    for file, page in pages.items():
        for link in page.links + page.loaded:
            count += 1
            if why := reason(file, link, link in page.loaded):
                wrong.append(f"{file.relative_to(folder)}: {why}")
    for style in folder.rglob("*.css"):
        found = re.findall(r"(?:@import|url\()\s*[\"']?((?:https?:)?//[^\"')]+)", style.read_text())
        wrong += [f"{style.relative_to(folder)}: loads {each}" for each in found]
    if wrong:
        raise ExtensionError("\n".join(["links that lead nowhere:", *wrong]))
    print(f"{count} links of {len(pages)} pages lead to what is there")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", redirect)
    app.connect("build-finished", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
