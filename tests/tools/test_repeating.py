"""What plays at random can be played again: a failure says how."""

import asyncio
import os
import re
import subprocess
import sys
from unittest import mock

import pytest
from helpers import FAULTS, HANG, SUPPORT, TESTS

sys.path.insert(0, os.fspath(FAULTS))
import hammer
import linearizability
import many_machines
import republish

PROPERTY = """
from hypothesis import given, strategies

@given(strategies.integers())
def test_no_number_is_large(number):
    assert number < 1000
"""


def test_failing_property_prints_how_to_repeat_it(tmp_path):
    (tmp_path / "test_property.py").write_text(PROPERTY)
    (tmp_path / "conftest.py").symlink_to(TESTS / "conftest.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_property.py"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PYTHONPATH": str(SUPPORT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert "number=1000" in done.stdout
    assert "@reproduce_failure(" in done.stdout


# ---- the tools in tests/faults -----------------------------------------------------------------


class FakeMachine:
    """Says who was killed when."""

    def __init__(self, number, told):
        self.number, self.told = number, told
        self.wrong, self.versions, self.kills, self.updates = [], [], 0, 1
        self.agent = mock.Mock()

    def kill_agent(self):
        self.told.append(("kill", self.number))

    def look(self):
        pass

    def close(self):
        pass


def play_hammer(monkeypatch, told):
    def start(arena, row, seed):
        told.append((arena.label, row, seed))
        hammer.play(arena, row, seed)

    def end(self, arena, row):
        del self.children[arena, row]

    def draw(arena, row, rng):
        told.append(rng.random())

    for work in ("share_forever", "update_forever", "remove_forever"):
        monkeypatch.setattr(hammer, work, draw)
    monkeypatch.setattr(hammer, "read_forever", lambda *arguments: None)
    monkeypatch.setattr(hammer, "watch_forever", lambda *arguments: asyncio.sleep(0))
    monkeypatch.setattr(hammer, "start", start)
    monkeypatch.setattr(hammer.Hammer, "end", end)
    monkeypatch.setattr(hammer.Hammer, "has_lost_somebody", lambda self: False)
    monkeypatch.setattr(hammer.Hammer, "finish", lambda self: [])
    monkeypatch.setattr(hammer.Hammer, "clean_up", lambda self: self.arenas[2].remove())
    return hammer.main, ["--kills", "20"]


def play_many_machines(monkeypatch, told):
    server = mock.Mock()
    server.directory = "/nowhere"
    server.client.get.return_value = b'{"differences": [1]}'
    server.kill.side_effect = lambda: told.append("server")
    server.cut_connections.side_effect = lambda: told.append("cut")
    monkeypatch.setattr(many_machines.redis_server, "make_server", lambda *_, **__: server)
    monkeypatch.setattr(many_machines.redis_server, "end_server", lambda server: None)
    monkeypatch.setattr(many_machines, "Machine", lambda n, *_: FakeMachine(n, told))
    monkeypatch.setattr(many_machines, "publish", lambda *numbers: told.append(numbers))
    monkeypatch.setattr(many_machines, "push", lambda url: None)
    # What it changes of this process.
    monkeypatch.setattr(many_machines, "logging", mock.Mock())
    monkeypatch.setenv("STATE_DIRECTORY", "/nowhere")
    monkeypatch.setattr(many_machines, "wait_for_all", lambda *arguments: None)
    monkeypatch.setattr(many_machines.Trouble, "wait_for_notice", lambda *arguments: None)
    for part in ("SMALLEST", "USUAL", "LARGEST_CHUNK"):
        size = getattr(many_machines._chunks, part)
        monkeypatch.setattr(many_machines._chunks, part, size)  # it changes them
    options = ["--versions", "30", "--trouble", "0.9", "--kinds", "kill_server,kill_agent,cut"]
    return many_machines.main, ["--in-namespace", *options]


def play_linearizability(monkeypatch, told):
    def start(one, row):
        told.append((row, one.rng.random()))

    monkeypatch.setattr(linearizability.Round, "start", start)
    monkeypatch.setattr(linearizability.Round, "play", lambda one, seconds: None)
    return linearizability.main, ["--seconds", "1", "--round", "1", "--processes", "6"]


def play_republish(monkeypatch, told):
    def start_reader(name, keys, last_generation, row, cells, seed):
        republish.read(name, keys, last_generation, row, cells, seed)
        told.append(republish.random.random())
        return os.posix_spawn("/bin/true", ["true"], {})

    monkeypatch.setattr(republish, "start_reader", start_reader)
    return republish.main, ["--publications", "1", "--entries", "50", "--readers", "3"]


PLAYS = {
    "hammer.py": play_hammer,
    "linearizability.py": play_linearizability,
    "many_machines.py": play_many_machines,
    "republish.py": play_republish,
}


def test_every_tool_that_plays_at_random_is_known():
    sources = {path.name: path.read_text() for path in FAULTS.glob("*.py")}
    assert {name for name, text in sources.items() if "import random" in text} == set(PLAYS)


@pytest.mark.parametrize("tool", PLAYS)
def test_tool_plays_again_what_its_seed_says(tool, monkeypatch, capsys):
    played = []
    for seed in (5, 5, 6):
        told = []
        with monkeypatch.context() as patch:
            main, arguments = PLAYS[tool](patch, told)
            patch.setattr(sys, "argv", [tool, *arguments, "--seed", str(seed)])
            with pytest.raises(SystemExit) as end:
                main()
        assert end.value.code == 0
        assert f"seed {seed}\n" in capsys.readouterr().out
        played.append(told)
    first, again, other = played
    assert first == again != []
    assert first != other


@pytest.mark.parametrize("tool", PLAYS)
def test_tool_without_a_seed_makes_one_and_prints_it(tool, monkeypatch, capsys):
    seeds = set()
    for _ in range(2):
        with monkeypatch.context() as patch:
            main, arguments = PLAYS[tool](patch, [])
            patch.setattr(sys, "argv", [tool, *arguments])
            with pytest.raises(SystemExit):
                main()
        seeds.add(re.search(r"^seed (\d+)$", capsys.readouterr().out, re.MULTILINE)[1])
    assert len(seeds) == 2
