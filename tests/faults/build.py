"""Builds kill_everywhere, and the same with cores that are wrong on purpose.

    python3 tests/faults/build.py DIRECTORY [MUTANT ...]

makes DIRECTORY/kill_everywhere, and DIRECTORY/kill_everywhere-MUTANT for each mutant that is
named; `all` names all of them. A mutant is the core with one step of the protocol left out or in
the wrong place. The tool has to report failures with each, else its silence would mean nothing.

The compiler is $CC, or cc, and gets the switches that the extension is built with.
"""

import os
import pathlib
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
FLAGS = ["-std=c11", "-O2", "-DNDEBUG", "-g", "-fvisibility=hidden", "-pthread"]
# The dynamic linker looks functions up at the start, not in the middle of what is recorded.
LINK = ["-Wl,-z,now"]

# Name: (file, what to find there exactly once, what to put in its place), one or several times.
MUTANTS = {
    # The mark comes after the rename: whoever is killed in between leaves readers behind.
    "late-mark": [
        (
            "segment_publish.c",
            "    holder_mark_superseded(holder);\n    if (rename(temporary, path) < 0) {",
            "    if (rename(temporary, path) < 0) {",
        ),
        (
            "segment_publish.c",
            "    holder_wake_readers(holder);\n    return terms->is_durable",
            "    holder_mark_superseded(holder);\n    holder_wake_readers(holder);\n"
            "    return terms->is_durable",
        ),
    ],
    # The same when a name is taken away.
    "late-mark-of-remove": [
        (
            "segment_publish.c",
            "    holder_mark_superseded(&holder);\n    if (unlink(path) < 0) {",
            "    if (unlink(path) < 0) {",
        ),
        (
            "segment_publish.c",
            "        holder_wake_readers(&holder);",
            "        holder_mark_superseded(&holder);\n        holder_wake_readers(&holder);",
        ),
    ],
    # Nobody locks the holder.
    "no-lock": [
        (
            "segment_publish.c",
            "if (fcntl(holder->file.descriptor, F_OFD_SETLK, &lock) < 0) {\n        *is_busy",
            "if (lock.l_type != F_WRLCK) {\n        *is_busy",
        )
    ],
    # Who got the lock does not look whether the name still leads to what is locked.
    "no-second-look": [
        (
            "segment_publish.c",
            "    if (!holder_is_named(holder, path)) {",
            "    if (path == NULL && !holder_is_named(holder, path)) {",
        )
    ],
    # What a killed publisher left under the temporary name stays there.
    "keeps-leftover": [
        (
            "segment_publish.c",
            "    unlink(temporary);\n    if (system_link_draft(draft, temporary)) {",
            "    if (system_link_draft(draft, temporary)) {",
        )
    ],
    # The old map goes before the new one comes, as it did in version 1.
    "early-unlink": [
        (
            "segment_publish.c",
            "    if (rename(temporary, path) < 0) {",
            "    unlink(path);\n    if (rename(temporary, path) < 0) {",
        )
    ],
    # The name is taken before the header is complete.
    "late-stamp": [
        (
            "segment_publish.c",
            "    if (status == STATUS_OK) {\n"
            "        status = stamp(draft, 1, terms, header);\n"
            "    }",
            "",
        ),
        (
            "segment_publish.c",
            "        return errno == EEXIST ? STATUS_NAME_TAKEN : system_failure();\n    }",
            "        return errno == EEXIST ? STATUS_NAME_TAKEN : system_failure();\n    }\n"
            "    status = stamp(draft, 1, terms, header);\n"
            "    if (status != STATUS_OK) {\n        return status;\n    }",
        ),
    ],
    # A new snapshot has the generation of the one it replaces.
    "same-generation": [("segment_publish.c", "holder->generation + 1", "holder->generation")],
    # An update lets go of the lock between reading and replacing.
    "update-lets-go": [
        (
            "publish.c",
            "    status = holder_map(&holder, &segment);\n    if (status == STATUS_OK) {",
            "    status = holder_map(&holder, &segment);\n    if (status == STATUS_OK) {\n"
            "        holder_close(&holder);\n        status = holder_lock(&holder, path);\n    }\n"
            "    if (status == STATUS_OK) {",
        )
    ],
}


def mutate(mutant):
    """The changed files of a mutant, name -> text."""
    texts = {}
    for file, found, put in MUTANTS[mutant]:
        text = texts.get(file) or (TOP / "src/core" / file).read_text()
        # A mutant of sources that have moved on would be the healthy core, and be missed.
        if text.count(found) != 1:
            sys.exit(f"{mutant}: not exactly once in {file}:\n{found}")
        texts[file] = text.replace(found, put)
    return texts


def compile_objects(sources, directory):
    directory.mkdir(parents=True, exist_ok=True)
    compiler = os.environ.get("CC", "cc").split()
    paths = [os.fspath(source) for source in sources]
    include = [f"-I{TOP}/src", f"-I{TOP}/tests"]
    subprocess.run([*compiler, *FLAGS, *include, "-c", *paths], cwd=directory, check=True)
    return {source.name: directory / f"{source.stem}.o" for source in sources}


def link(objects, program):
    compiler = os.environ.get("CC", "cc").split()
    paths = [os.fspath(path) for path in objects.values()]
    subprocess.run([*compiler, *FLAGS, *LINK, *paths, "-o", os.fspath(program)], check=True)
    return program


def build(directory, mutants=()):
    """The programs, those of the mutants after the true one."""
    directory = pathlib.Path(directory).resolve()
    sources = [*(TOP / "src/core").glob("*.c"), *(TOP / "tests/faults").glob("*.c")]
    objects = compile_objects(sorted(sources), directory / "objects")
    programs = [link(objects, directory / "kill_everywhere")]
    for mutant in mutants:
        place = directory / mutant
        place.mkdir(exist_ok=True)
        changed = [place / file for file in mutate(mutant)]
        for file, text in mutate(mutant).items():
            (place / file).write_text(text)
        wrong = objects | compile_objects(changed, place)
        programs.append(link(wrong, directory / f"kill_everywhere-{mutant}"))
    return programs


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    build(sys.argv[1], MUTANTS if sys.argv[2:] == ["all"] else sys.argv[2:])
