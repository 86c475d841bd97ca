"""Builds a test program from the core, and the same with cores that are wrong on purpose.

A mutant is the core with one thing left out, off by one or in the wrong place. A tool that looks
for faults has to report something with each of its mutants, else its silence would mean nothing.
Each tool has a table of its own:

    MUTANTS = {"name": [(file, what to find there exactly once, what to put in its place), ...]}

A file is named from src/core, or from src if it is one of src/binding.

Objects are kept in build/objects: whoever compiles the same text with the same flags again, in
this run of the tests or in a later one, finds them there.
"""

import concurrent.futures
import contextlib
import functools
import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
INCLUDE = [f"-I{TOP}/src", f"-I{TOP}/tests"]
OBJECTS = TOP / "build/objects"
KEPT = 7 * 24 * 3600  # seconds since it was last used


def core_sources():
    return sorted((TOP / "src/core").rglob("*.c"))


@functools.cache
def digest_of_surroundings(compiler):
    """What an object depends on besides its source and the flags: the compiler, our headers."""
    digest = hashlib.sha256(subprocess.check_output([*compiler, "--version"]))
    for folder in ("src", "tests"):
        for header in sorted((TOP / folder).rglob("*.h")):
            digest.update(f"{header}\0".encode() + header.read_bytes())
    return digest.digest()


@functools.cache
def prepare_objects():
    """Once: makes the folder, removes what nobody has used for long."""
    OBJECTS.mkdir(parents=True, exist_ok=True)
    for kept in OBJECTS.glob("*.o"):
        with contextlib.suppress(FileNotFoundError):  # others do the same
            if kept.stat().st_mtime < time.time() - KEPT:
                kept.unlink()


def mutate(mutant, changes):
    """The changed files of a mutant, by their paths from the checkout's root -> text."""
    texts = {}
    for name, found, put in changes:
        file = f"src/{name}" if name.startswith("binding/") else f"src/core/{name}"
        text = texts.get(file) or (TOP / file).read_text()
        # A mutant of sources that have moved on would be the healthy core, and be missed.
        if text.count(found) != 1:
            sys.exit(f"{mutant}: not exactly once in {file}:\n{found}")
        texts[file] = text.replace(found, put)
    return texts


class Tool:
    """How a program is compiled and linked; `flags` go to both."""

    def __init__(self, flags, link=(), compiler=None):
        self.compiler = (compiler or os.environ.get("CC", "cc")).split()
        self.flags = list(flags)
        self.link_flags = list(link)

    def compile_one(self, source, headers=None):
        """The object, compiled now or earlier; with the headers in that folder before ours."""
        # Where a mutant lies is chance, and must not make another object of it.
        command = [*self.compiler, *self.flags, *INCLUDE, "-c", source.name]
        digest = hashlib.sha256(digest_of_surroundings(tuple(self.compiler)))
        digest.update("\0".join([*command, ""]).encode() + source.read_bytes())
        if headers is not None:
            digest.update(b"".join(file.read_bytes() for file in sorted(headers.rglob("*.h"))))
            command.insert(1, f"-I{headers}")
        kept = OBJECTS / f"{source.stem}-{digest.hexdigest()[:32]}.o"
        try:
            os.utime(kept)
        except FileNotFoundError:
            # Others may be compiling the same, or be linking with it.
            with tempfile.TemporaryDirectory(dir=OBJECTS) as folder:
                new = os.path.join(folder, kept.name)
                subprocess.run([*command, "-o", new], cwd=source.parent, check=True)
                os.replace(new, kept)
        return kept

    def compile(self, sources, root=TOP, headers=None):
        """The objects of the sources by their paths from the root."""
        prepare_objects()
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = pool.map(lambda source: self.compile_one(source, headers), sources)
            names = [os.fspath(source.relative_to(root)) for source in sources]
            return dict(zip(names, objects, strict=True))

    def link(self, objects, program):
        program.parent.mkdir(parents=True, exist_ok=True)
        paths = [os.fspath(path) for path in objects.values()]
        command = [*self.compiler, *self.flags, *paths, *self.link_flags]
        subprocess.run([*command, "-o", os.fspath(program)], check=True)
        return program

    def compile_mutant(self, mutant, changes, directory):
        """The objects of the files that the mutant changes, and of those that include them."""
        texts = mutate(mutant, changes)
        headers = [file.removeprefix("src/") for file in texts if file.endswith(".h")]
        for source in [*core_sources(), *sorted(TOP.glob("src/binding/*.c"))] if headers else []:
            text = source.read_text()
            if any(f'#include "{header}"' in text for header in headers):
                texts.setdefault(os.fspath(source.relative_to(TOP)), text)
        for file, text in texts.items():
            (directory / file).parent.mkdir(parents=True, exist_ok=True)
            (directory / file).write_text(text)
        sources = [directory / file for file in texts if file.endswith(".c")]
        return self.compile(sources, directory, directory / "src" if headers else None)

    def build(self, program, sources, mutants, common=()):
        """The program, and beside it program-MUTANT for each of the mutants, name -> changes. All
        of them have the changes that are common."""
        directory = program.parent
        objects = self.compile(sources)
        if common:
            objects |= self.compile_mutant("common", common, directory / "common")
        programs = [self.link(objects, program)]
        for mutant, changes in mutants.items():
            changes = [*common, *changes]
            wrong = objects | self.compile_mutant(mutant, changes, directory / mutant)
            programs.append(self.link(wrong, program.with_name(f"{program.name}-{mutant}")))
        return programs


def chosen(mutants, words):
    """Those of the mutants that a command line names; `all` names all."""
    return mutants if list(words) == ["all"] else {word: mutants[word] for word in words}
