"""Builds kill_everywhere, and the same with cores that are wrong on purpose.

    python3 tests/faults/build.py DIRECTORY [MUTANT ...]

makes DIRECTORY/kill_everywhere, and DIRECTORY/kill_everywhere-MUTANT for each mutant that is
named; `all` names all of them. A mutant is the core with one step of the protocol left out or in
the wrong place (tests/support/mutants.py).

The compiler is $CC, or cc, and gets the switches that the extension is built with.
"""

import os
import pathlib
import sys

sys.path.insert(0, os.fspath(pathlib.Path(__file__).resolve().parents[1] / "support"))
import mutants

FLAGS = ["-std=c11", "-O2", "-DNDEBUG", "-g", "-fvisibility=hidden", "-pthread"]
# The dynamic linker looks functions up at the start, not in the middle of what is recorded.
LINK = ["-Wl,-z,now"]

MUTANTS = {
    # The mark comes after the rename: whoever is killed in between leaves readers behind.
    "late-mark": [
        (
            "segment/publish.c",
            "    status = holder_mark_superseded(holder);\n    if (status == STATUS_OK && !rename",
            "    if (status == STATUS_OK && !rename",
        ),
        (
            "segment/publish.c",
            "    holder_wake_readers(holder);\n    return options->is_durable",
            "    (void)holder_mark_superseded(holder);\n    holder_wake_readers(holder);\n"
            "    return options->is_durable",
        ),
    ],
    # The same when a name is taken away.
    "late-mark-of-remove": [
        (
            "segment/publish.c",
            "    (void)holder_mark_superseded(&holder);  // names are in memory\n",
            "",
        ),
        (
            "segment/publish.c",
            "        holder_wake_readers(&holder);",
            "        (void)holder_mark_superseded(&holder);\n        holder_wake_readers(&holder);",
        ),
    ],
    # Nobody locks the holder.
    "no-lock": [
        (
            "segment/lock.c",
            "    enum status status = system_lock(holder->file.descriptor, is_busy);",
            "    enum status status = STATUS_OK;\n    *is_busy = false;",
        )
    ],
    # Who got the lock does not look whether the name still leads to what is locked.
    "no-second-look": [
        (
            "segment/lock.c",
            "    if (status == STATUS_OK && !is_named) {",
            "    if (path == NULL && !is_named) {",
        )
    ],
    # What a killed publisher left under the temporary name stays there.
    "keeps-leftover": [
        (
            "segment/publish.c",
            "        status = leftover_clear_locked(temporary, draft->interrupt, &is_own);",
            "        status = STATUS_OK;\n        is_own = false;",
        )
    ],
    # The old map goes before the new one comes, as it did in version 1.
    "early-unlink": [
        (
            "segment/publish.c",
            "    if (status == STATUS_OK && !rename_path(temporary, path, draft->interrupt))\n",
            "    unlink(path);\n"
            "    if (status == STATUS_OK && !rename_path(temporary, path, draft->interrupt))\n",
        )
    ],
    # The name is taken before the header is complete.
    "late-stamp": [
        (
            "segment/publish.c",
            "    if (status == STATUS_OK) {\n"
            "        status = stamp(draft, 1, options, header);\n"
            "    }",
            "",
        ),
        (
            "segment/publish.c",
            "        return errno == EEXIST ? STATUS_NAME_TAKEN : system_failure();\n    }",
            "        return errno == EEXIST ? STATUS_NAME_TAKEN : system_failure();\n    }\n"
            "    status = stamp(draft, 1, options, header);\n"
            "    if (status != STATUS_OK) {\n        return status;\n    }",
        ),
    ],
    # A new snapshot has the generation of the one it replaces.
    "same-generation": [
        (
            "segment/publish.c",
            "    return generation == UINT64_MAX ? 1 : generation + 1;",
            "    return generation;",
        )
    ],
    # An update lets go of the lock between reading and replacing.
    "update-lets-go": [
        (
            "publish.c",
            "    status = holder_map(&holder, path, &segment);\n    if (status == STATUS_OK) {",
            "    status = holder_map(&holder, path, &segment);\n    if (status == STATUS_OK) {\n"
            "        holder_close(&holder);\n"
            "        status = holder_lock(&holder, path, &update->lock);\n    }\n"
            "    if (status == STATUS_OK) {",
        )
    ],
}


def build(directory, words=()):
    """The programs, those of the mutants after the true one."""
    sources = [*mutants.core_sources(), *sorted((mutants.TOP / "tests/faults").glob("*.c"))]
    program = pathlib.Path(directory).resolve() / "kill_everywhere"
    return mutants.Tool(FLAGS, LINK).build(program, sources, mutants.chosen(MUTANTS, words))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    build(sys.argv[1], sys.argv[2:])
