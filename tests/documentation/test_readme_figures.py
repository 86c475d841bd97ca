"""The figures in the READMEs and of changes are those that the benchmarks wrote last."""

import json
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

if not (ROOT / "benchmarks").is_dir():
    pytest.skip(
        "an installed package is tested, its figures are elsewhere", allow_module_level=True
    )

from benchmarks import changes, readme  # noqa: E402
from benchmarks.results import Results  # noqa: E402


@pytest.mark.parametrize("name", readme.READMES)
def test_table_of_the_readme_is_that_of_the_last_benchmark(name):
    results = Results.load(ROOT / "docs" / "benchmarks" / "results.json")
    _, table, _ = readme.parts((ROOT / name).read_text("utf-8"))
    assert table.splitlines() == list(readme.lines(results, readme.READMES[name])), (
        "run `python -m benchmarks.readme`"
    )


@pytest.mark.parametrize("name", readme.BENEFITS)
def test_benefits_have_the_figures_of_the_last_benchmarks(name, tmp_path):
    results = Results.load(ROOT / "docs" / "benchmarks" / "results.json")
    page, copy = ROOT / name, tmp_path / "page.md"
    shutil.copy(page, copy)
    told = readme.benefits(results, readme.load_changes(ROOT), *readme.BENEFITS[name])
    readme.replace(copy, "benefits", told)
    assert copy.read_text("utf-8") == page.read_text("utf-8"), "run `python -m benchmarks.readme`"


def test_table_changes_with_the_results():
    results = Results.load(ROOT / "docs" / "benchmarks" / "results.json")
    before = list(readme.lines(results, 1))
    for series in results.series.values():
        series.samples = {repeat: 2 * value for repeat, value in series.samples.items()}
    after = list(readme.lines(results, 1))
    assert [old == new for old, new in zip(before, after, strict=True)] == [
        True,
        True,
        *[False] * (len(before) - 2),
    ]


@pytest.mark.parametrize("name", changes.TABLES)
def test_table_of_changes_is_that_of_the_last_benchmark(name):
    results = json.loads((ROOT / changes.RESULTS).read_text("utf-8"))
    _, table, _ = changes.parts((ROOT / changes.PAGE).read_text("utf-8"), name)
    assert table.splitlines() == list(changes.TABLES[name](results)), (
        "run `python -m benchmarks.changes --again`"
    )


@pytest.mark.parametrize("name", ["cost", "reads", "latency", "waits"])
def test_table_of_changes_changes_with_the_results(name):
    text = (ROOT / changes.RESULTS).read_text("utf-8")
    before, after = (
        list(changes.TABLES[name](json.loads(text, parse_float=parse)))
        for parse in (float, lambda digits: 2 * float(digits))
    )
    assert all(old != new for old, new in zip(before[2:], after[2:], strict=True))
