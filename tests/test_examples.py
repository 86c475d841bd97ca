"""The examples run, and the code of the guide does what the guide says."""

import re
import subprocess
import sys

import pytest
from helpers import HANG, HERE, shm_files

TOP = HERE.parent
EXAMPLES = TOP / "examples"
GUIDE = TOP / "docs/guide"

if not EXAMPLES.is_dir():
    pytest.skip(
        "an installed package is tested, its examples are elsewhere", allow_module_level=True
    )


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_live_configuration_reaches_every_worker_with_every_change():
    told = run(sys.executable, EXAMPLES / "live_configuration.py", "--workers", "2").splitlines()
    at = [told.index(line) for line in told if line.startswith("generation ")]
    assert len(at) == 4
    for begin, expected in zip(at, ["100 times", "20 times", "50 times", "midnight"], strict=True):
        assert [line[:11] for line in told[begin + 1 : begin + 3]] == ["  worker 0:", "  worker 1:"]
        assert all(expected in line for line in told[begin + 1 : begin + 3])
    assert told[-1] == "closed; exit codes [0, 0]"


def test_live_configuration_leaves_nothing_in_shared_memory():
    before = shm_files("example:settings")
    run(sys.executable, EXAMPLES / "live_configuration.py", "--workers", "1")
    assert shm_files("example:settings") == before


def blocks(guide, section=None):
    text = (GUIDE / guide).read_text()
    if section is not None:
        text = text.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


CHECKED = """
import sharedmap as _sharedmap
try:
    {code}
    assert limit == 100 and greeting == "Hello" and version == 1
    with _sharedmap.sharedmap(NAME) as _now:
        assert dict(_now) == {{"limit": 40, "colour": "green", "new checkout": False}}, dict(_now)
        assert _now.generation == 3
    assert settings["limit"] == 40
    import asyncio
    async def _once():
        await asyncio.wait_for(reload_in_a_task(), 0.2)
    try:
        asyncio.run(_once())
    except (asyncio.TimeoutError, TimeoutError):
        pass
finally:
    _sharedmap.remove(NAME)
"""


def test_code_of_the_live_configuration_guide_runs(name):
    whole = "\n".join(blocks("live-configuration.md")).partition("def app(")[0]
    whole = whole.rpartition("import sharedmap\n")[0].replace('"shop:settings"', "NAME")
    code = f"NAME = {name!r}\n" + CHECKED.format(code=whole.replace("\n", "\n    "))
    told = run(sys.executable, "-c", code)
    assert "new settings: {'colour': 'green', 'limit': 40, 'new checkout': False}" in told


def test_application_of_the_live_configuration_guide_answers_with_the_newest(name):
    app, configuration = (
        block.replace('"shop:settings"', repr(name))
        for block in blocks("live-configuration.md", "gunicorn")
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
