"""The documentation: code that pages show does what they say, links lead somewhere."""

import doctest
import re
import shlex
import subprocess
import sys

import pages
import pytest
from command import PROGRAM
from helpers import HANG, TOP, Worker
from redis_server import end_server, make_server
from servers import needs

import sharedmap

if not (TOP / "docs").is_dir():
    pytest.skip("an installed package is tested, its pages are elsewhere", allow_module_level=True)

PAGES = {str(path.relative_to(TOP)): path.read_text() for path in pages.pages()}
RUNNING = {
    page: text
    for page, text in PAGES.items()
    if any(block.language in pages.RUN and not block.why_not for block in pages.blocks(text))
}

each_page = pytest.mark.parametrize("page", PAGES)


# ---- code ------------------------------------------------------------------------------------


class Processes:
    """The processes of one page, each started by the first block that is run in it."""

    def __init__(self, folder, variables, shown):
        self.folder = folder
        self.variables = variables
        self.shown = shown  # the page's names, by those that are used in their place
        self.workers = {}

    def run(self, block, source):
        if block.process not in self.workers:
            worker = self.workers[block.process] = Worker()
            worker.run("import os, page_process; os.chdir(folder)", folder=str(self.folder))
            worker.run("space = {'__name__': '__main__', **given}", given=self.variables)
        return self.workers[block.process].eval(
            "page_process.run(text, line, space, shown)",
            text=source,
            line=block.line,
            shown=self.shown,
        )

    def close(self):
        return [worker.close() for worker in self.workers.values()]


SHELL = f"""
sharedmap() {{ {shlex.join(PROGRAM)} "$@"; }}
python() {{ {shlex.quote(sys.executable)} "$@"; }}
"""


def run_console(block, source, folder, shown):
    """Runs each command that has a `$` in front; says which of them prints something else."""
    wrong = []
    printed_by = zip(*map(sessions, (source, block.text)), strict=True)
    for (command, _), (shown_command, expected) in printed_by:
        done = subprocess.run(
            ["bash", "-c", SHELL + command],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=HANG,
        )
        got = done.stdout
        for used, name in shown.items():
            got = got.replace(used, name)
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        if not doctest.OutputChecker().check_output(expected, got, flags):
            wrong.append(f"$ {shown_command}\nthe page shows\n{expected}it was\n{got}")
    return wrong


def sessions(text):
    """Each command, and what is printed for it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, printed = part.partition("\n")
        while command.endswith("\\"):
            more, _, printed = printed.partition("\n")
            command += "\n" + more.removeprefix("> ")
        yield command, printed


@pytest.fixture
def server(request):
    """For pages that are about a server: `url` is where one is."""
    started = make_server()
    yield started
    end_server(started)


@pytest.mark.parametrize("page", RUNNING)
def test_code_of_a_page_does_what_the_page_says(page, names, tmp_path, request):
    text = RUNNING[page]
    if "import pandas" in text:
        needs("pandas")
    blocks = pages.blocks(text)
    used = {name: names() for name in sorted(pages.map_names(blocks), key=len, reverse=True)}
    shown = {other: name for name, other in used.items()}
    variables = {}
    if "replication" in text and any("url" in block.text for block in blocks):
        variables["url"] = request.getfixturevalue("server").url
    processes = Processes(tmp_path, variables, shown)
    wrong = []
    try:
        for block in blocks:
            if block.language not in pages.RUN or block.why_not:
                continue
            source = pages.renamed(block, used)
            if block.language == "python":
                wrong += processes.run(block, source)
            else:
                wrong += run_console(block, source, tmp_path, shown)
    finally:
        in_order = processes.close()
    assert wrong == [], page + "\n" + "\n".join(wrong)
    assert all(in_order)


@each_page
def test_block_says_what_it_is_and_why_it_is_not_run(page):
    for block in pages.blocks(PAGES[page]):
        is_directive = block.language.startswith("{")
        assert is_directive or block.language in pages.RUN | pages.SHOWN, block
        assert not block.why_not or len(block.why_not.split()) > 2, block
        assert not block.why_not or block.language in pages.RUN, block


@each_page
def test_every_comment_of_a_page_is_understood(page):
    """So that a typing error cannot let a block run elsewhere, or a check not run."""
    text = PAGES[page]
    blocks = pages.blocks(text)
    hidden = pages.HIDDEN.findall(text)
    marked = [block for block in blocks if block.mark]
    assert len(pages.marks(text)) == len(hidden) + len(marked), pages.marks(text)
    shown_in = {block.process for block in marked} | {"this"}
    assert {process or "this" for process, _ in hidden} <= shown_in


def test_python_is_run_of_all_pages_that_have_it():
    """So that the tests above cannot pass by finding nothing."""
    with_python = {page for page, text in PAGES.items() if re.search(r"^ *```python$", text, re.M)}
    assert {"README.md", "README.zh-CN.md", "docs/guide/live-configuration.md"} <= with_python
    assert with_python <= {*RUNNING}


SAYINGS = [
    ("m['a']  # 2", "the page says '2', it was '1'"),
    ("m['a']  # 1: one", None),
    ("print('x')  # y", "the page says 'y', it was 'x'"),
    ("m['b']  # KeyError: 'b'", None),
    ("m['b']  # KeyError: 'c'", "KeyError: 'c'"),
    ("m['a']  # KeyError: 'a'", "nothing was raised"),
    ("m['b']", "KeyError: 'b'"),
    ("for k in 'ab':\n    print(k)\n# a\n# b", None),
    ("for k in 'ab':\n    print(k)\n# a\n# c", "['a', 'c'] is shown"),
    ("def f():\n    m['a']  # 1", "never got there"),
    ("m.clear()  # nothing is in it now", None),
]


@pytest.mark.parametrize(("source", "expected"), SAYINGS)
def test_what_a_page_says_is_compared_with_what_happens(source, expected):
    import page_process

    wrong = page_process.run(source + "\n", 1, {"m": {"a": 1}}, {})
    assert wrong == [] if expected is None else expected in wrong[0], wrong


# ---- links -----------------------------------------------------------------------------------


@each_page
def test_links_of_a_page_lead_to_files_and_headings(page):
    path = TOP / page
    for link in pages.links(PAGES[page]):
        if re.match(r"[a-z]+:", link):
            continue
        where, _, anchor = link.partition("#")
        target = (path.parent / where).resolve() if where else path
        assert target.exists(), link
        assert target.is_relative_to(TOP), link
        # Names of the API are anchors in the site only; the site's build checks them.
        if anchor and target.suffix == ".md" and not anchor.startswith("sharedmap."):
            assert anchor in pages.anchors(target.read_text()), link


def test_links_are_found():
    """So that the test above cannot pass by finding none."""
    assert {"docs/FORMAT.md", "LICENSE"} <= {*pages.links(PAGES["README.md"])}
    assert sum(len(pages.links(text)) for text in PAGES.values()) > 100


# ---- the reference ---------------------------------------------------------------------------


def directives(kind):
    """(argument, content) of each directive of the reference."""
    for page in sorted((TOP / "docs/api").glob("*.md")):
        found = re.findall(rf"^```\{{{kind}\}} (\S+)\n(.*?)^```$", page.read_text(), re.M | re.S)
        yield from found


@pytest.fixture
def stubs(monkeypatch):
    monkeypatch.syspath_prepend(TOP / "docs")
    from _site import stubs

    return stubs


def test_reference_has_every_public_name_once(stubs):
    described = [path for path, _ in directives("api")]
    for kind, members in directives("api-members"):
        described += [f"{kind}.{member}" for member in members.split()]
    expected = []
    for module in stubs.MODULES:
        for name, entry in stubs.public(module).items():
            expected.append(f"{module}.{name}")
            if entry.kind == "class" and name in ("rbtree", "sharedmap", "Agent"):
                expected += [f"{module}.{name}.{member}" for member in stubs.public_members(entry)]
    assert sorted(described) == sorted(expected)


def test_reference_knows_all_that_the_package_has(stubs):
    assert sorted(stubs.public("sharedmap")) == sorted(sharedmap.__all__)
    for kind in (sharedmap.rbtree, sharedmap.sharedmap):
        entry = stubs.public("sharedmap")[kind.__name__]
        has = {name for name in dir(kind) if not name.startswith("_")}
        assert {*stubs.public_members(entry)} == has


def test_reference_shows_numbers_and_types_as_they_are_written(stubs):
    share = stubs.public("sharedmap")["share"].signatures[0]
    assert "mode: int = 0o600" in share
    assert "mapping: Mapping[str, object] | Iterable[tuple[str, object]]" in share
    every = str([stubs.public(module) for module in stubs.MODULES])
    assert not re.search(r"\b_(?:V|T|V_co|Mapping|Decode|Encode|Owner|Index|Range)\b", every)


# ---- the picture -----------------------------------------------------------------------------


@pytest.fixture
def picture(monkeypatch):
    monkeypatch.syspath_prepend(TOP / "docs")
    from _site import picture

    return picture


DUE = "due: python docs/_site/picture.py"


def test_picture_of_the_house_shows_what_is_included_today(picture):
    for file in picture.THEMES:
        assert file.read_text() == picture.draw(file), DUE


def test_list_of_files_says_what_their_opening_comments_say(picture):
    assert picture.PAGE.read_text() == picture.page(), DUE


def test_picture_has_every_part_and_its_list_every_file(picture):
    drawn = picture.draw(next(iter(picture.THEMES)))
    for folder in picture.BANDS:
        for part in picture.house.parts(folder):
            assert f">{part}</text>" in drawn
    listed = picture.listing()
    files = [*picture.house.core_files(), *picture.house.c_files("binding")]
    for file in files:
        assert f"`{file.stem}." in listed or file.stem.endswith("_doc"), file


def test_lines_that_follow_from_others_are_left_out(picture):
    graph = {"top": {"middle", "ground"}, "middle": {"ground"}, "ground": set()}
    assert picture.reduced(graph) == {"top": {"middle"}, "middle": {"ground"}, "ground": set()}
    assert picture.above(graph) == {"top": 2, "middle": 1, "ground": 0}
