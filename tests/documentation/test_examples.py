"""The examples run, and the application of the guide answers as the guide says."""

import sys

import pages
import pytest
from command import output_of, run_other
from helpers import TOP, files_of_map

EXAMPLES = TOP / "examples"
GUIDE = TOP / "docs/guide/live-configuration.md"

if not EXAMPLES.is_dir():
    pytest.skip(
        "an installed package is tested, its examples are elsewhere", allow_module_level=True
    )


def test_live_configuration_reaches_every_worker_with_every_change():
    example = EXAMPLES / "live_configuration.py"
    told = output_of(sys.executable, example, "--workers", "2").splitlines()
    at = [told.index(line) for line in told if line.startswith("generation ")]
    assert len(at) == 4
    for begin, expected in zip(at, ["100 times", "20 times", "50 times", "midnight"], strict=True):
        assert [line[:11] for line in told[begin + 1 : begin + 3]] == ["  worker 0:", "  worker 1:"]
        assert all(expected in line for line in told[begin + 1 : begin + 3])
    assert told[-1] == "closed; exit codes [0, 0]"


def test_live_configuration_leaves_nothing_in_shared_memory():
    example = EXAMPLES / "live_configuration.py"
    process, told = run_other(sys.executable, example, "--workers", "1")
    assert "generation " in told
    assert files_of_map(f"example:settings:{process}") == []


def test_application_of_the_live_configuration_guide_answers_with_the_newest(name):
    if not GUIDE.exists():
        pytest.skip("an installed package is tested, its guide is elsewhere")
    section = GUIDE.read_text().partition("\n## gunicorn\n")[2]
    app, configuration = (
        block.text.replace('"shop:settings"', repr(name))
        for block in pages.blocks(section)
        if block.language == "python"
    )
    worker = {}
    exec(configuration, {})
    exec(app, worker)

    def answer():
        return b"".join(worker["app"]({}, lambda status, headers: None)).decode()

    assert answer() == "Hello, limit 100, version 1\n"
    worker["sharedmap"].update(name, {"limit": 20})
    assert answer() == "Hello, limit 20, version 2\n"
    exec(configuration, {})  # a second start leaves the settings alone
    assert answer() == "Hello, limit 20, version 2\n"
    worker["settings"].close()
