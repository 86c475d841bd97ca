"""Builds a test program from the core, and the same with cores that are wrong on purpose.

A mutant is the core with one thing left out, off by one or in the wrong place. A tool that looks
for faults has to report something with each of its mutants, else its silence would mean nothing.
Each tool has a table of its own:

    MUTANTS = {"name": [(file, what to find there exactly once, what to put in its place), ...]}

A file without a folder is one of src/core.
"""

import os
import pathlib
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[1]
INCLUDE = [f"-I{TOP}/src", f"-I{TOP}/tests"]


def core_sources():
    return sorted((TOP / "src/core").glob("*.c"))


def mutate(mutant, changes):
    """The changed files of a mutant, name -> text."""
    texts = {}
    for place, found, put in changes:
        path = TOP / "src" / (place if "/" in place else f"core/{place}")
        file = path.name
        text = texts.get(file) or path.read_text()
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

    def compile(self, sources, directory):
        """The objects of the sources by their files' names."""
        directory.mkdir(parents=True, exist_ok=True)
        paths = [os.fspath(source) for source in sources]
        command = [*self.compiler, *self.flags, *INCLUDE, "-c", *paths]
        subprocess.run(command, cwd=directory, check=True)
        return {source.name: directory / f"{source.stem}.o" for source in sources}

    def link(self, objects, program):
        paths = [os.fspath(path) for path in objects.values()]
        command = [*self.compiler, *self.flags, *paths, *self.link_flags]
        subprocess.run([*command, "-o", os.fspath(program)], check=True)
        return program

    def compile_mutant(self, mutant, changes, directory):
        """The objects of the files that the mutant changes."""
        directory.mkdir(parents=True, exist_ok=True)
        texts = mutate(mutant, changes)
        for file, text in texts.items():
            (directory / file).write_text(text)
        return self.compile([directory / file for file in texts], directory)

    def build(self, program, sources, mutants):
        """The program, and beside it program-MUTANT for each of the mutants, name -> changes."""
        directory = program.parent
        objects = self.compile(sources, directory / "objects")
        programs = [self.link(objects, program)]
        for mutant, changes in mutants.items():
            wrong = objects | self.compile_mutant(mutant, changes, directory / mutant)
            programs.append(self.link(wrong, program.with_name(f"{program.name}-{mutant}")))
        return programs


def chosen(mutants, words):
    """Those of the mutants that a command line names; `all` names all."""
    return mutants if list(words) == ["all"] else {word: mutants[word] for word in words}
