"""Checks the model of the publish protocol with Spin, and that it finds each mutant.

    python3 tests/protocol/model.py

Each scenario is explored completely. A mutant is the model with one step left out or in the wrong
place; Spin has to find an error in it.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

MODEL = pathlib.Path(__file__).with_name("publish.pml")
ROLES = ("SHARES", "FORCED", "EXPECTING", "UPDATERS", "REMOVERS")
SCENARIOS = {
    "publisher and remover": (0, 1, 0, 0, 1),
    "updater and remover": (0, 0, 0, 1, 1),
    "two updaters": (0, 0, 0, 2, 0),
    "publisher and updater": (0, 1, 0, 1, 0),
    "two that expect the same": (0, 0, 2, 0, 0),
    "first publications": (1, 2, 0, 0, 0),
    "publisher, updater and remover": (0, 1, 0, 1, 1),
}
MARK = "    atomic { MAY_DIE; file[h].word = file[h].word | MARK };\n"
MUTANTS = {
    # The mark does not come before the rename.
    "no-mark": ("publisher and updater", [(MARK + "    atomic {\n        MAY_DIE;\n        if\n"
                  "        :: temporary", "    atomic {\n        MAY_DIE;\n        if\n"
                  "        :: temporary")]),
    "no-mark-of-remove": ("publisher and remover", [(MARK + "    atomic {\n        MAY_DIE;\n"
                          "        if\n        :: !is_calm   /* unlink", "    atomic {\n"
                          "        MAY_DIE;\n        if\n        :: !is_calm   /* unlink")]),
    "no-second-look": ("publisher and updater", [("if :: name == h && file[h]", "if :: file[h]")]),
    "no-lock": ("two updaters", [("           file[h].locked_by = _pid;\n", ""),
                ("name == h && file[h].locked_by == _pid", "name == h")]),
    "keeps-leftover": ("publisher and updater", [("old = temporary; temporary = 0; "
                       "forget_if_free(old); old = 0 };\n    atomic {\n        MAY_DIE;\n        if"
                       " :: temporary", "true };\n    atomic {\n        MAY_DIE;\n        if"
                       " :: temporary")]),
    "no-repair": ("updater and remover", [(" && !is_marked(h) -> goto", " -> goto")]),
    "same-generation": ("publisher and updater", [("generation = g + 1;", "generation = g;")]),
    # The mark comes after the rename.
    "late-mark": ("publisher and updater", [
        (MARK + "    atomic {\n        MAY_DIE;\n        if\n        :: temporary",
         "    atomic {\n        MAY_DIE;\n        if\n        :: temporary"),
        ("        fi\n    }\n}\n\nproctype publisher",
         "        fi\n    };\n" + MARK[:-2] + "\n}\n\nproctype publisher")]),
    # A follower does not look again, whatever is marked.
    "deaf-follower": ("publisher and updater", [
        ("(followed == 0 || is_marked(followed)) ->", "followed == 0 ->")]),
    "waits-for-the-dead": ("publisher, updater and remover", [(" || true) ->", ") ->")]),
}  # fmt: skip


def check(roles, changes=()):
    """(found an error, number of states) of one exploration."""
    text = MODEL.read_text()
    for found, put in changes:
        assert text.count(found) == 1, found
        text = text.replace(found, put)
    with tempfile.TemporaryDirectory(prefix="model-") as folder:
        pathlib.Path(folder, "model.pml").write_text(text)
        sizes = [f"-D{role}={count}" for role, count in zip(ROLES, roles, strict=True)]
        for command in (
            ["spin", *sizes, "-a", "model.pml"],
            ["gcc", "-O1", "-w", "-DSAFETY", "-DCOLLAPSE", "-DMEMLIM=3000", "-o", "pan", "pan.c"],
        ):
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE)
        told = subprocess.run(["./pan", "-m1000000"], cwd=folder, capture_output=True, text=True)
    errors = re.search(r"errors: (\d+)", told.stdout)
    states = re.search(r"([\d.e+]+) states, stored", told.stdout)
    if (
        errors is None
        or states is None
        or ("Search not completed" in told.stdout and errors[1] == "0")
    ):
        sys.exit(f"not explored completely:\n{told.stdout}{told.stderr}")
    return errors[1] != "0", int(float(states[1]))


def main():
    failures = 0
    for name, roles in SCENARIOS.items():
        is_wrong, states = check(roles)
        failures += is_wrong
        print(f"{name}: {states} states{', FAILED' * is_wrong}", flush=True)
    for name, (scenario, changes) in MUTANTS.items():
        is_found, states = check(SCENARIOS[scenario], changes)
        failures += not is_found
        print(
            f"{name}: {'found' if is_found else 'FAILED: not found'}, {states} states", flush=True
        )
    print(f"{len(SCENARIOS)} scenarios, {len(MUTANTS)} mutants, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
