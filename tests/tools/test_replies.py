"""The fuzzer of replies finds what is planted in the package; tests/fuzz/replies.py.

That it finds nothing in the package as it is: tests/replication/test_redis_fuzz.py.
"""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from helpers import TESTS
from redis_groups import require

import sharedmap

SCRIPT = TESTS / "fuzz" / "replies.py"
SECONDS = 20
SLOW = {"end at a deadline": 4}  # seconds that an operation may take
LIMIT = 120

# What a client does not do: what is replaced in which file, by what, and how the tool finds it.
MUTANTS = {
    "bound the bytes of a reply": (
        [("_server/resp.py", "if self.size < 0:", "if False:")],
        "the process has grown by",
    ),
    "bound the items of a reply": (
        [
            ("_server/resp.py", "if self.items < 0:", "if False:"),
            ("_server/resp.py", "budget.spend(len(line) + 2)", "pass"),
        ],
        "the process has grown by",
    ),
    "check the type of a reply": (
        [("_server/replies.py", "if not isinstance(reply, bytes):", "if reply is None:")],
        "\nTypeError: ",
    ),
    "translate the errors of redis-py": (
        [("_server/connection.py", "except Exception as error:", "except OSError as error:")],
        "\nredis.exceptions.",
    ),
    "end at a deadline": (
        [
            ("_server/connection.py", "if left <= 0:", "if False:"),
            ("_server/connection.py", "settimeout(left)", "settimeout(None)"),
            ("_server/connection.py", "budget), lambda: self.deadline)", "budget))"),
        ],
        "TookTooLong",
    ),
    # Each of the four alone is found by tests/faults/many_machines.py, or by the others.
    "compare an image with its digests": (
        [
            ("_incoming.py", "if len(data) != chunk.size or", "if False and"),
            ("_state.py", "if digest.hexdigest() != image.sha256:", "if False:"),
            ("_state.py", "if content != manifest.image.content:", "if False:"),
            ("_state.py", "if content_after(content, image, changes) !=", "if False and 0 !="),
        ],
        "a map that was not pushed is published",
    ),
    "compare the content with its digest": (
        [
            ("_state.py", "if content != manifest.content:", "if False:"),
            ("_state.py", "if content_after(content, image, changes) !=", "if False and 0 !="),
        ],
        "a map that was not pushed is published",
    ),
}
# With which the first of its runs find it.
SEEDS = {
    "bound the items of a reply": 3,
    "compare an image with its digests": 2,
    "compare the content with its digest": 2,
}


def planted(name, directory):
    """A copy of the package, in which a client does not do that."""
    package = directory / "sharedmap"
    shutil.copytree(pathlib.Path(sharedmap.__file__).parent, package)
    for file, found, put in MUTANTS[name][0]:
        path = package / "replication" / file
        text = path.read_text()
        assert text.count(found) == 1, found
        path.write_text(text.replace(found, put))
    return os.fspath(directory)


@pytest.mark.slow
@pytest.mark.mutant
@pytest.mark.parametrize("name", MUTANTS)
def test_client_that_does_not_is_found(name, tmp_path):
    require()
    options = [
        "--seed",
        f"{SEEDS.get(name, 1)}",
        "--seconds",
        f"{SECONDS}",
        "--slow",
        f"{SLOW.get(name, 20)}",
    ]
    done = subprocess.run(
        [sys.executable, SCRIPT, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
        env=os.environ | {"PYTHONPATH": planted(name, tmp_path)},
    )
    assert done.returncode == 1, done.stdout
    assert "FAILED: " in done.stdout
    assert MUTANTS[name][1] in done.stdout
