"""A build without /dev/shm: where maps with a name live, and that all messages say so.

The build for Linux has none of this; `make posix` runs it.
"""

import os
import subprocess
import sys

import pytest
from live import elsewhere

import sharedmap

pytestmark = elsewhere


def run(code, *words, **environment):
    """Another process, whose directory of maps is where the environment says."""
    inherited = {name: value for name, value in os.environ.items() if name != "SHAREDMAP_DIRECTORY"}
    return subprocess.run(
        [sys.executable, *(["-c", code] if code else ["-m", "sharedmap"]), *words],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
    )


SHARE = "import sharedmap; sharedmap.share({'a': 1}, 'here')"


def test_maps_live_in_a_directory_of_the_user(tmp_path):
    assert run(SHARE, TMPDIR=str(tmp_path)).returncode == 0
    (directory,) = tmp_path.iterdir()
    assert directory.name == f"sharedmap-{os.geteuid()}"
    assert directory.stat().st_mode & 0o7777 == 0o700
    assert os.listdir(directory) == ["sharedmap.here"]
    listed = run("import sharedmap; print(sharedmap.names())", TMPDIR=str(tmp_path))
    assert listed.stdout == "['here']\n"


def test_environment_moves_that_directory(tmp_path):
    directory = tmp_path / "maps"
    assert run(SHARE, SHAREDMAP_DIRECTORY=f"{directory}//").returncode == 0
    assert os.listdir(directory) == ["sharedmap.here"]
    with sharedmap.sharedmap.open(directory / "sharedmap.here") as opened:
        assert dict(opened) == {"a": 1}


def test_directory_that_others_may_write_is_refused(tmp_path):
    tmp_path.chmod(0o777)
    told = run(SHARE, SHAREDMAP_DIRECTORY=str(tmp_path)).stderr
    assert f"PermissionError: [Errno 13] {tmp_path}, where maps with a name live, is not" in told
    assert os.listdir(tmp_path) == []
    # With the sticky bit others can make files there, but not replace ours.
    tmp_path.chmod(0o1777)
    assert run(SHARE, SHAREDMAP_DIRECTORY=str(tmp_path)).returncode == 0


def test_absent_directory_is_named_and_what_to_do(tmp_path):
    place = str(tmp_path / "none" / "maps")
    told = run(SHARE, SHAREDMAP_DIRECTORY=place).stderr
    assert f"there is no directory {place}, where maps with a name live; make it, or set" in told
    assert "SHAREDMAP_DIRECTORY" in told
    doctor = run(None, "doctor", SHAREDMAP_DIRECTORY=place)
    assert f"! there is no directory {place}, where maps with a name live" in doctor.stdout
    assert "/dev/shm" not in told + doctor.stdout


@pytest.mark.parametrize("words", [["--help"], ["--manual"], ["doctor"], ["doctor", "--help"]])
def test_command_line_names_the_directory(tmp_path, words):
    done = run(None, *words, SHAREDMAP_DIRECTORY=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert os.path.basename(tmp_path) in done.stdout.replace("\\", "")
    assert "/dev/shm" not in done.stdout
