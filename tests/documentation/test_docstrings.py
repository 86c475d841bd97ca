"""help(): every public name is explained, with an example that runs and a signature."""

import doctest
import inspect
import os
import re
import types

import pytest

import sharedmap

TREE = sharedmap.rbtree(a=1)
MAP = sharedmap.sharedmap.frombuffer(TREE.dump())


def public(owner):
    return [name for name in dir(owner) if not name.startswith("_")]


def own_types():
    """Every type that a user gets to see an object of, public or not."""
    objects = [TREE, TREE["a":], MAP, MAP["a":], TREE.keys(), TREE.values(), TREE.items()]
    return {type(thing).__name__: type(thing) for thing in objects}


def everything():
    """All that help(sharedmap) and help() of its objects lead to, by name."""
    found = {}
    for name in sharedmap.__all__:
        if not name.startswith("_"):
            found[f"module.{name}"] = getattr(sharedmap, name)
    for type_name, kind in own_types().items():
        found[type_name] = kind
        found |= {f"{type_name}.{name}": getattr(kind, name) for name in public(kind)}
    return found


EVERYTHING = everything()
ATTRIBUTES = {
    name: thing
    for name, thing in EVERYTHING.items()
    if isinstance(thing, (types.GetSetDescriptorType, types.MemberDescriptorType))
}
# The types of parts have no name in the module; slices and prefix() explain what they are.
WITH_EXAMPLE = {
    name: thing
    for name, thing in EVERYTHING.items()
    if name not in ATTRIBUTES and name not in ("_rbtree_range", "_sharedmap_range")
}
# Nobody calls the types of views, and exceptions take what any exception takes.
CALLABLE = {
    name: thing
    for name, thing in WITH_EXAMPLE.items()
    if not name.endswith(("View", "Error", "Warning"))
}


def each(things):
    return pytest.mark.parametrize("thing", things.values(), ids=things.keys())


def test_everything_public_was_found():
    """So that the tests below cannot pass by looking at nothing."""
    some = {
        "module.share",
        "rbtree.share",
        "sharedmap.open",
        "_rbtree_range.get",
        "KeysView.isdisjoint",
    }
    assert some <= CALLABLE.keys() <= WITH_EXAMPLE.keys()
    assert {"module.SnapshotError", "KeysView"} <= WITH_EXAMPLE.keys()
    assert {"sharedmap.closed", "KeysView.mapping"} <= ATTRIBUTES.keys()


def test_nothing_is_public_that_is_not_documented():
    """__all__ is all there is."""
    own = [
        name
        for name in public(sharedmap)
        if not isinstance(getattr(sharedmap, name), types.ModuleType)
    ]
    assert sorted(own) == sorted(name for name in sharedmap.__all__ if not name.startswith("_"))
    assert all(hasattr(sharedmap, name) for name in sharedmap.__all__)


@each(WITH_EXAMPLE | ATTRIBUTES | {"module": sharedmap})
def test_public_name_has_a_docstring(thing):
    docstring = inspect.getdoc(thing)
    assert docstring
    first_line = docstring.splitlines()[0]
    # A sentence that can stand alone in a list, not a signature that nobody could read.
    assert first_line[0].isupper()
    assert "($" not in docstring
    assert "--\n" not in docstring


@each(WITH_EXAMPLE)
def test_docstring_has_an_example_that_runs_and_leaves_nothing(thing, names, tmp_path, monkeypatch):
    # They have names of this test for their fixed ones, which others may use at the same time;
    # what they save goes elsewhere.
    monkeypatch.chdir(tmp_path)
    docstring = inspect.getdoc(thing).replace("doc:", f"doc:{names.token}:")
    test = doctest.DocTestParser().get_doctest(docstring, {}, thing.__name__, None, 0)
    assert test.examples
    said = []
    runner = doctest.DocTestRunner(verbose=False)
    results = runner.run(test, out=said.append)
    assert results.failed == 0, "".join(said)
    assert results.attempted == len(test.examples)
    assert os.listdir(tmp_path) == []
    assert names.files() == []


@each(WITH_EXAMPLE)
def test_example_imports_what_it_uses(thing):
    """Whoever copies it needs nothing else: no name that only our tests would know."""
    assert "import sharedmap" in inspect.getdoc(thing) or "from sharedmap import" in inspect.getdoc(
        thing
    )


@each(WITH_EXAMPLE)
def test_example_publishes_under_no_other_name_than_those_of_examples(thing):
    """So that who tries it meets no map of somebody's, and the test above finds what stays."""
    docstring = inspect.getdoc(thing)
    for call in re.findall(r"\bshare\((.*)\)$", docstring, re.MULTILINE):
        assert '"doc:' in call


@each(CALLABLE)
def test_signature_is_known(thing):
    signature = inspect.signature(thing)
    for parameter in signature.parameters.values():
        assert not parameter.name.startswith("_")


@each({name: thing for name, thing in EVERYTHING.items() if name.startswith("module.")})
def test_public_name_says_where_it_comes_from(thing):
    assert thing.__module__.split(".")[0] == "sharedmap"
    assert getattr(sharedmap, thing.__qualname__) is thing
