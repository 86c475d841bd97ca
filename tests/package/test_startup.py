"""What is imported: the package costs each worker and each command as little as can be.

Modules are named and counted, and no time is measured: a time would depend on the machine.
"""

import importlib
import inspect
import json
import os
import pickle
import sys

import pytest
from command import output_of

import sharedmap
from sharedmap._cli import arguments, formats, input_arguments, manual
from sharedmap._cli.formats import values

PACKAGE = {"sharedmap", "sharedmap._sharedmap", "sharedmap._watch"}

# What the interpreter itself has imported before any program runs.
OF_THE_INTERPRETER = {"_collections_abc"}

# What other commands need, and what is dear: `get` does well without.
NOT_FOR_GET = {
    "asyncio",
    "base64",
    "csv",
    "dataclasses",
    "hashlib",
    "inspect",
    "json",
    "logging",
    "pathlib",
    "selectors",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
}


def imported_by(program, *options):
    """The modules that a program in a process of its own imports."""
    words = f"""
import sys
before = {{*sys.modules}}
{program}
imported = {{*sys.modules}} - before
import json
print(json.dumps(sorted(imported)))
"""
    # Development mode, in which the tests themselves may run, has the interpreter import more.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    told = output_of(sys.executable, *options, "-c", words, env=environment)
    return {*json.loads(told.splitlines()[-1])}


def test_import_of_the_package_imports_nothing_but_itself():
    assert imported_by("import sharedmap") == PACKAGE


def test_import_of_the_package_needs_nothing_that_site_brings():
    path = f"sys.path.append({next(p for p in sys.path if p.endswith('site-packages'))!r})\n"
    imported = imported_by(f"{path}import sharedmap", "-I", "-S")
    assert imported - OF_THE_INTERPRETER == PACKAGE


def test_publishing_and_reading_import_nothing_more(name):
    program = f"""
import sharedmap
sharedmap.share({{"a": 1}}, {name!r})
with sharedmap.sharedmap({name!r}, follow=True) as m:
    assert m["a"] == 1 and m.get_many(["a"]) == [1] and list(m.prefix("")) == ["a"]
    sharedmap.update({name!r}, {{"a": 2}})
    assert m["a"] == 2
"""
    # The abstract classes are asked whether what is published is a mapping.
    assert imported_by(program) <= PACKAGE | of_module("collections.abc")


def of_module(module):
    return imported_by(f"import {module}")


def test_watch_is_what_it_was_although_asyncio_is_not_imported_for_it():
    assert inspect.isasyncgenfunction(sharedmap.watch)
    assert [*inspect.signature(sharedmap.watch).parameters] == ["name", "decode", "owner"]
    assert "after each publication" in sharedmap.watch.__doc__
    assert pickle.loads(pickle.dumps(sharedmap.watch)) is sharedmap.watch
    assert "watch" in dir(sharedmap)


def test_watch_imports_asyncio_when_it_begins():
    assert "asyncio" not in imported_by("import sharedmap; sharedmap.watch('x')")
    assert "asyncio" in imported_by(
        "import sharedmap\ntry: sharedmap.watch('x').asend(None).send(None)\n"
        "except RuntimeError: pass  # no running event loop"
    )


def run_command(*words):
    return imported_by(f"from sharedmap._cli import main; assert main({words!r}) == 0")


def cli(*modules):
    return {"sharedmap._cli", *(f"sharedmap._cli.{module}" for module in modules)}


def ours(imported):
    return {module for module in imported if module.startswith("sharedmap")}


@pytest.mark.parametrize("keys", [["a"], ["a", "b"], ["a", "--json"]])
def test_get_imports_hardly_more_than_the_package(name, keys):
    sharedmap.share({"a": "1", "b": 2}, name)
    imported = run_command("get", name, *keys)
    assert ours(imported) == PACKAGE | cli("quick")
    dear = {"argparse", "re", "enum", "collections", "contextlib", "signal", "typing", "importlib"}
    assert imported & (dear | NOT_FOR_GET) == set()


def test_get_with_options_imports_only_what_it_needs(name):
    sharedmap.share({"a": "1"}, name)
    imported = run_command("get", name, "a", "--owner", "root")
    assert imported & NOT_FOR_GET == set()
    modules = ("argument_types", "arguments", "input_arguments")
    modules += ("errors", "maps", "output", "quick", "reading")
    others = {f"sharedmap.{module}" for module in ("_encoded", "_header", "_names")}
    assert ours(imported) == PACKAGE | cli(*modules) | others


@pytest.mark.parametrize("words", [["ls"], ["stat", "{}"], ["update", "{}", "a=2"], ["rm", "{}"]])
def test_no_local_command_imports_what_only_other_machines_need(name, words):
    sharedmap.share({"a": "1"}, name)
    imported = run_command(*[word.format(name) for word in words])
    assert not any(module.startswith("sharedmap.replication") for module in imported)
    assert imported & {"asyncio", "socket", "ssl", "hashlib", "logging"} == set()


def commands():
    found = manual.commands(arguments.make_parser())
    return [(name, parser) for name, (_, parser) in found.items()]


@pytest.mark.parametrize(("command", "parser"), commands())
def test_function_of_every_command_is_there_when_it_is_asked_for(command, parser):
    module, function = parser.get_default("run").split(".")
    assert callable(getattr(importlib.import_module(f"sharedmap._cli.{module}"), function))


def test_choices_of_the_arguments_are_what_the_formats_know():
    options = arguments.make_parser().parse_args(["load", "x"])
    for kind in input_arguments.TYPES:
        assert callable(values.converter(kind, options))
    known = {*input_arguments.INPUT_FORMATS}
    assert {formats.format_of(f"x.{form}", None) for form in known} == known
    assert {*formats.SUFFIXES.values()} == known
