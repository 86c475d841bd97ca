"""The page on testing says what the tools counted, and its commands exist."""

import re

import pytest
from helpers import TOP

if not (TOP / "docs").is_dir():
    pytest.skip("an installed package is tested, its pages are elsewhere", allow_module_level=True)

import tested

each_kind = pytest.mark.parametrize("kind", tested.KINDS.values(), ids=tested.KINDS)


def test_page_is_that_of_the_last_runs():
    _, sections, _ = tested.parts(tested.PAGE.read_text("utf-8"))
    assert sections == tested.render(tested.load()), "run `python tests/tested.py --page`"


def test_page_changes_with_the_numbers():
    results = tested.load()
    before = tested.render(results)
    for result in results.values():
        result["numbers"] = {name: number + 1 for name, number in result["numbers"].items()}
    changed = [
        old != new
        for old, new in zip(before.splitlines(), tested.render(results).splitlines(), strict=True)
    ]
    assert sum(changed) >= len(results) > 0


@each_kind
def test_text_has_each_number_that_is_counted(kind):
    assert {*re.findall(r"\{(\w+)\}", kind.text)} == {*kind.numbers}


@each_kind
def test_command_is_one_that_the_project_has(kind):
    targets = re.findall(r"^([a-z-]+):", (TOP / "Makefile").read_text(), re.MULTILINE)
    for command in f"{kind.command} && {kind.short or kind.command}".split(" && "):
        program, *words = command.split()
        if program == "make":
            assert words[0] in targets
        elif program == "python":
            assert (TOP / words[0]).is_file()
        else:
            assert program.startswith("build/")


SAYINGS = [
    ("fuzz", "fuzz_a: 20 executions, 0 failures\nfuzz_b: 5 executions\n", (2, 25)),
    ("calls", "share: 3 calls, 9 cases, 0 failures\n9 cases, 0 failures, 4 seconds\n", (9, 0)),
    ("coverage", "  2000  99.7 %         6  all\n", (2000, 99.7, 6)),
    ("hammer", "900 kills, 3 of them inside\n800 kills, 4 of them inside\n", (1700, 7)),
]


@pytest.mark.parametrize(("name", "printed", "numbers"), SAYINGS)
def test_numbers_are_those_that_a_tool_prints(name, printed, numbers):
    assert tuple(tested.counted(tested.KINDS[name], printed).values()) == numbers


def test_output_without_the_numbers_is_refused():
    with pytest.raises(ValueError, match="nothing matches"):
        tested.counted(tested.KINDS["fuzz"], "fuzz_a: crashed\n")


def test_run_that_fails_keeps_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(tested, "RESULTS", tmp_path / "tested.json")
    kind = tested.Kind("a", "{n}", "echo 5 cases; exit 3", {"n": r"(\d+) cases"})
    monkeypatch.setattr(tested, "KINDS", {"a": kind})
    monkeypatch.setattr(tested, "PAGE", tmp_path / "page.md")
    tested.PAGE.write_text(f"{tested.BEGIN}{tested.END}")
    monkeypatch.setattr("sys.argv", ["tested.py", "a"])
    assert tested.main() == 1
    assert not tested.RESULTS.exists()
