"""Checks the models of publishing and of versions with Spin, and that it finds each mutant.

    python3 tests/protocol/model.py

Each scenario is explored completely. A mutant is the model with one step left out or in the wrong
place; Spin has to find an error in it.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

FOLDER = pathlib.Path(__file__).parent
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

# ---- versions.pml ---------------------------------------------------------------------------

VERSION_ROLES = ("UPDATERS", "COMPACTORS", "FORCED", "REMOVERS")
VERSION_SCENARIOS = {
    "two appends": (2, 0, 0, 0),
    "append and compaction": (1, 1, 0, 0),
    "append and two compactions": (1, 2, 0, 0),
    "two appends and compaction": (2, 1, 0, 0),
    "append, compaction and publisher": (1, 1, 1, 0),
    "append, compaction and remover": (1, 1, 0, 1),
}
ALLOCATE = "    atomic { MAY_DIE; if :: file[h].size <= s -> file[h].size = s + 1 :: else fi };"
BEGIN_COPY = "    atomic { MAY_DIE; file[h].word = file[h].word | MARK };\n    atomic {\n"
LOOK = "       atomic { s = head_of(f) };\n       atomic { assert(s < file[f].size); advance(f, s);"
VERSION_MUTANTS = {
    # The head is stored before the bytes that it leads to.
    "early-head": ("two appends", [(ALLOCATE, ALLOCATE + " file[h].word = s << 1;")]),
    "room-not-allocated": ("two appends", [(ALLOCATE, "")]),
    "appends-without-lock": ("two appends", [("file[h].locked_by == 0 ->", "true ->")]),
    "appends-to-another-file": ("append and compaction", [("if :: name == h -> break\n",
                                "if :: true -> break\n"), (":: is_marked(h) -> goto copy",
                                ":: false -> goto copy")]),
    "appends-to-marked": ("two appends", [(":: is_marked(h) -> goto copy",
                          ":: false -> goto copy")]),
    "overwrites-newest": ("two appends", [(":: s + 1 < SLOTS -> s++", ":: s > 0")]),
    "generation-of-base": ("two appends", [("file[h].generation[s - 1] + 1",
                           "file[h].generation[0] + 1")]),
    "size-before-head": ("two appends", [(LOOK, LOOK.replace("s = head_of(f)", "z = file[f].size")
                         .replace("assert(s < file[f].size)", "s = head_of(f); assert(s < z)")),
                         ("    byte f, s, content,", "    byte f, s, z, content,")]),
    # The mark takes the head away, or comes too late.
    "mark-loses-head": ("two appends", [(BEGIN_COPY, BEGIN_COPY.replace(
                        "file[h].word | MARK", "MARK"))]),
    "rename-before-mark": ("two appends", [(BEGIN_COPY, "    atomic {\n")]),
    "keeps-leftover": ("two appends", [("    atomic { MAY_DIE; temporary = 0 };\n    atomic { "
                       "MAY_DIE; assert(", "    atomic { MAY_DIE; assert(")]),
    "no-catch-up": ("append and compaction", [("    :: t != s ->\n", "    :: false ->\n")]),
    "catch-up-without-head": ("append and compaction", [("file[d].word = 2 }", "true }")]),
    "compacts-another-file": ("append, compaction and publisher", [(
                              "if :: h != c -> goto", "if :: h == 0 -> goto"), (
                              "        if :: is_marked(c) -> goto end_of_process"
                              " :: else fi;\n        t =", "        t =")]),
    "compacts-to-a-new-version": ("append and compaction", [(
                                  "create_draft(file[c].content[s], file[c].generation[s])",
                                  "create_draft(file[c].content[s], file[c].generation[s] + 1)")]),
    "compacts-unlocked": ("append and compaction", [(
                          "    lock_holder();                                               "
                          "/* C4 */\n", "    h = name;\n")]),
}  # fmt: skip

MODELS = {
    "publish.pml": (ROLES, SCENARIOS, MUTANTS),
    "versions.pml": (VERSION_ROLES, VERSION_SCENARIOS, VERSION_MUTANTS),
}


def check(model, roles, changes=()):
    """(found an error, number of states) of one exploration; roles: name -> how many."""
    text = FOLDER.joinpath(model).read_text()
    for found, put in changes:
        assert text.count(found) == 1, found
        text = text.replace(found, put)
    with tempfile.TemporaryDirectory(prefix="model-") as folder:
        pathlib.Path(folder, "model.pml").write_text(text)
        sizes = [f"-D{role}={count}" for role, count in roles.items()]
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


def check_all(model):
    """The number of failures."""
    names, scenarios, mutants = MODELS[model]
    roles = {name: dict(zip(names, counts, strict=True)) for name, counts in scenarios.items()}
    failures = 0
    for name in scenarios:
        is_wrong, states = check(model, roles[name])
        failures += is_wrong
        print(f"{name}: {states} states{', FAILED' * is_wrong}", flush=True)
    for name, (scenario, changes) in mutants.items():
        is_found, states = check(model, roles[scenario], changes)
        failures += not is_found
        print(
            f"{name}: {'found' if is_found else 'FAILED: not found'}, {states} states", flush=True
        )
    print(f"{model}: {len(scenarios)} scenarios, {len(mutants)} mutants, {failures} failures")
    return failures


def main():
    return 1 if sum(map(check_all, MODELS)) else 0


if __name__ == "__main__":
    sys.exit(main())
