"""Each allocation of each public call fails, once and for ever.

    python3 tests/faults/allocations.py [--only TEXT] [--rounds N]

There are two to fail: those of Python (tests/binding/failing.c) and those of the core, with its own
memory_fail_after(). For each call the first allocation fails, then the second, ... until the call
does not ask for more:

    returned       what it returns and what it changed is as if nothing had failed
    MemoryError    nothing is changed: not the tree, not what is published, no file is left
    in any case    who has a map open reads it as before

Then all of it again, some rounds, in which nothing may grow: no memory of Python's or of the core,
no descriptor, no mapping. Each call is made in a process of its own, so a crash is one failure.
Without test hooks in the installed package another is built, in which a map of 32 entries has room
for deltas. Exits with a failure if anything was different, or if an update did something else to
the file than it is there for.
"""

import argparse
import array
import ast
import contextlib
import ctypes
import functools
import gc
import importlib.util
import operator
import os
import pathlib
import pickle
import sys
import tempfile
import traceback
import tracemalloc
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from itertools import pairwise

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, os.fspath(HERE))
import deltas  # noqa: E402
import extension  # noqa: E402

import build  # noqa: E402

LONG = "é" * 400
ENTRIES = {
    "a": "text",
    "b": b"bytes",
    "c": 2**500,
    "d": 1.5,
    "e": None,
    "f": "é" * 700,
    LONG: "under a long key",
    **{f"k{number:02}": number for number in range(40)},
}
MORE = {"a": 1, "new": 2**500, LONG + "new": b"x" * 3000}


class Text(str):
    pass


# What is converted, and makes that all of a container is written from copies.
CONVERTED = [[1], {Text("k"): 2, "m": memoryview(b"x")}, OrderedDict(a=bytearray(b"y")), Text("é")]

READING = """
    {}.get("a")
    {}.get("nobody")
    {}.get(LONG, 1)
    {}["c"]
    {}["f"]
    {}["nobody"]
    {}[LONG + "nobody"]
    {}["b":"k05"]
    {}.prefix("k")["k03":].keys()
    LONG in {}
    len({})
    list({})
    list(reversed({}))
    list({}.keys())
    list({}.values())
    list({}.items())
    list(reversed({}.items()))
    {}.keys() & {{"a", LONG}}
    {}.items() - {{("a", "text")}}
    {}.keys().isdisjoint([LONG])
    {}.values().mapping
    {}.values()
    {}.items()
    {}.prefix("k")
    repr({}.keys())
    {} == ENTRIES
    {}.floor("zz")
    {}.ceiling(LONG)
    {}.lower("zz")
    {}.higher(LONG)
    {}.longest_prefix(LONG)
    {}.to_dict()
    {}.first()
    {}.last()
    type({})[int]
    {}.__reduce_ex__(4)
"""
OF_TREE = """
    t.get_many(["a", LONG, "nobody"])
    t.set("new", "x" * 5000)
    t.set("a", b"y" * 5000)
    t.set(LONG + "new", 2**9000)
    t.__setitem__("d", -(2**70))
    t.__setitem__(LONG, None)
    h.set("a", [1, 2])
    h["hooked"]
    list(h.items())
    h.copy()
    t.__delitem__("a")
    t.__delitem__(slice("a", "k05"))
    t.set("nested", [1, {"a": ("b", 2**500)}])
    t.set("converted", CONVERTED)
    t.set("data", bytearray(5000))
    t.update({"view": memoryview(b"x" * 5000), "converted": CONVERTED})
    t.pop("c")
    t.pop("nobody", LONG)
    t.popitem()
    t.popitem(0)
    t.setdefault("a", 1)
    t.setdefault(LONG + "new", 2**500)
    t.update(MORE)
    t.update(list(MORE.items()), z=1)
    t.update({"a": "x" * 3000, "b": "y" * 3000, LONG: "z" * 3000})
    t.update(m)
    t.clear()
    t.copy()
    t | MORE
    MORE | t
    t.__ior__(MORE)
    rbtree()
    rbtree(MORE, z=1)
    rbtree(list(MORE.items()))
    rbtree(t)
    rbtree(m)
    rbtree.fromkeys(["a", LONG], 2**500)
    repr(t)
    repr(h)
    t.__sizeof__()
    t.dump()
    t.dump("é" * 90, index="tree")
    s.__reduce_ex__(4)
    s.copy()
    h.pop("hooked")
    h.popitem()
    h.setdefault("hooked", 1)
    pickle.loads(pickled_tree)
"""
OF_MAP = """
    sharedmap(name)
    sharedmap(name, follow=True, decode=len, owner="root")
    sharedmap(name + "nobody")
    sharedmap.open(path)
    sharedmap.open(os.fsencode(path), follow=True)
    sharedmap.open("relative/nobody")
    open(path)
    frombuffer(dumped)
    sharedmap.frombuffer(dumped)
    sharedmap.frombuffer(b"no snapshot")
    m.get_many(["a", LONG, "nobody"])
    m.get_many(iter(["c", "f", LONG + "nobody"]), 1.5)
    d.get_many(["hooked", "a"])
    d["hooked"]
    list(d.items())
    m.view("b")
    m.peekitem(2)
    m.index(LONG)
    m.bisect_left("d")
    m.bisect_right(LONG)
    m["b":"k05"].index("k04")
    m.name
    m.generation
    m.id
    m.published_at
    m.follow_error
    m.nbytes
    m.closed
    m.stale
    m.refresh()
    m.wait(0)
    m.snapshot()
    m.diff(d)
    m.derived(len)
    m._content_digest()
    m._content_digest(["a", LONG, "nobody"])
    m.verify()
    m._verify_deltas()
    repr(m)
    repr(d.items())
    d.values().__contains__(2)
    f["a"]
    f.get_many(["a"])
    pickle.loads(pickled_map)
    m.snapshot().close()
"""
PUBLISHING = """
    t.share(name)
    t.share(name, force=True)
    t.share(name, expect=77)
    t.share(name + LONG)
    t.share(new, index="tree")
    t.save(path)
    t.save(path, force=True)
    rbtree.remove(name)
    share(MORE, name, force=True)
    share([("a", (1,))], name, True, encode=bytes)
    share(MORE, new, mode=0o644, huge_pages=True)
    update(name, MORE, remove=["c", LONG])
    update(name, {"a": 1, "b": 2, "new": 3}, remove=["c", LONG])
    update(name, {"a": 1}, remove=["c"])
    update(old, {"a": 1}, remove=["c"])
    update(name, {"a": 1}, expect=77)
    update(name, {"a": 1}, expect=m.id)
    update(name, {})
    remove(name)
    remove(new)
    names()
    moved.refresh()
    following["a"]
    following.stale
    following.wait(0)
"""
CALLS = [
    *[line.format("t", "t") for line in READING.split("\n")],
    *[line.format("m", "m") for line in READING.split("\n")],
    *OF_TREE.split("\n"),
    *OF_MAP.split("\n"),
    *PUBLISHING.split("\n"),
]
CALLS = [line.strip() for line in CALLS if line.strip()]
# What these do to the files of their maps.
UPDATES = {
    'update(name, {"a": 1}, remove=["c"])': ["appends"],
    'update(old, {"a": 1}, remove=["c"])': ["appends", "folds"],
    'update(name, {"a": 1, "b": 2, "new": 3}, remove=["c", LONG])': ["appends", "compactions"],
    'update(name, MORE, remove=["c", LONG])': ["copies"],
}


# ---- what fails --------------------------------------------------------------------------------


class PythonMemory:
    name = "Python"

    def __init__(self, call):
        self.call = call


class CoreMemory:
    """Does not tell how often it was asked: some more calls must succeed until that is believed."""

    name = "core"
    enough = 5

    def __init__(self, library):
        self.fail_after = library.memory_fail_after
        self.fail_after.argtypes = [ctypes.c_long, ctypes.c_bool]
        self.fail_after.restype = None
        self.outstanding = library.memory_outstanding
        self.outstanding.restype = ctypes.c_long

    def call(self, function, args, kwargs, left, is_forever):
        result = error = None
        self.fail_after(left, is_forever)
        try:
            result = function(*args, **kwargs)
        except BaseException as raised:
            # Not with this frame, which is a cycle: without a GIL, CPython 3.13 takes MemoryErrors
            # from a list of its own, and sometimes does not collect them.
            error = raised.with_traceback(None)
        finally:
            self.fail_after(-1, False)
        return result, error, None


# What an expression does in the end, and with what.
OPERATORS = {
    ast.In: lambda left, right: (operator.contains, [right, left]),
    ast.Eq: lambda left, right: (operator.eq, [left, right]),
    ast.BitOr: lambda left, right: (operator.or_, [left, right]),
    ast.BitAnd: lambda left, right: (operator.and_, [left, right]),
    ast.Sub: lambda left, right: (operator.sub, [left, right]),
}


@functools.cache
def parsed(source):
    return ast.parse(source, mode="eval").body


@functools.cache
def compiled(node):
    """Once: without a GIL, CPython 3.13 keeps the constants of all code that there ever was."""
    return compile(ast.Expression(node), "call", "eval")


def outermost(source, space):
    """(function, arguments, keyword arguments) of the last step; all before it is done."""

    def value(node):
        return eval(compiled(node), space)

    node = parsed(source)
    if isinstance(node, ast.Call):
        keywords = {keyword.arg: value(keyword.value) for keyword in node.keywords}
        return value(node.func), tuple(map(value, node.args)), keywords
    if isinstance(node, ast.Compare):
        function, args = OPERATORS[type(node.ops[0])](value(node.left), value(node.comparators[0]))
    elif isinstance(node, ast.BinOp):
        function, args = OPERATORS[type(node.op)](value(node.left), value(node.right))
    elif isinstance(node, ast.Subscript):
        function, args = operator.getitem, [value(node.value), value(node.slice)]
    else:
        function, args = getattr, [value(node.value), node.attr]
    return function, tuple(args), {}


# ---- one call ----------------------------------------------------------------------------------


def plain(result):
    """What can be compared with the result of another time."""
    import sharedmap

    if isinstance(result, bytes):
        if result[:5] == b"\x89SMAP":
            return plain(sharedmap.sharedmap.frombuffer(result))
        if result[:1] == b"\x80":
            return "pickled", plain(pickle.loads(result))
    if isinstance(result, memoryview):
        return bytes(result)
    if isinstance(result, sharedmap.sharedmap) and result.closed:
        return "closed"
    if isinstance(result, tuple):
        return tuple(map(plain, result))
    if isinstance(result, dict):
        return result
    if isinstance(result, Mapping):
        return type(result).__name__, dict(result.items()), getattr(result, "kept", None)
    if type(result).__name__.endswith("View"):
        return type(result).__name__, list(result)
    return result


class Scene:
    """The maps that the calls are made on, and what they look like."""

    def __init__(self, source, folder):
        import sharedmap

        # Where pickle looks for it. What a subclass keeps besides must not get lost.
        globals()["Kept"] = type("Kept", (sharedmap.rbtree,), {"__module__": __name__})
        self.sharedmap = sharedmap
        self.source = source
        self.is_publishing = source in PUBLISHING
        # Who follows goes on with what there is, without a word.
        self.goes_on = source.startswith("following")
        token = f"allocations-{uuid.uuid4().hex[:12]}"
        hooked = sharedmap.rbtree({"hooked": [1], "a": 1}, encode=bytes)
        self.space = vars(sharedmap) | {
            "name": token,
            "new": token + ".new",
            "old": token + ".old",
            "path": os.path.join(folder, token),
            "d": sharedmap.sharedmap.frombuffer(hooked.dump(), decode=list),
            "s": globals()["Kept"](ENTRIES),
        }
        self.space |= {"ENTRIES": ENTRIES, "MORE": MORE, "LONG": LONG, "CONVERTED": CONVERTED}
        self.space |= {"os": os, "pickle": pickle}
        # Other processes have names, too, that come and go.
        self.space["names"] = lambda: [own for own in sharedmap.names() if token in own]
        self.space["s"].kept = "by the subclass"
        self.publish(ENTRIES)
        self.space["m"] = sharedmap.sharedmap(token)
        self.space["f"] = sharedmap.sharedmap(token, follow=True)
        self.space["pickled_map"] = pickle.dumps(self.space["m"])
        self.space["pickled_tree"] = pickle.dumps(self.space["s"])
        self.space["dumped"] = self.space["s"].dump()

    def publish(self, entries):
        for name in ("name", "new", "old"):
            self.sharedmap.remove(self.space[name])
        for name in ("name", "old"):
            self.sharedmap.share(entries, self.space[name])
        # So that the next one has something to fold.
        self.sharedmap.update(self.space["old"], {"d": 2.5, "more": b"x" * 20})
        self.sharedmap.rbtree(entries).save(self.space["path"], force=True)

    def open(self, name, follow=False):
        return self.sharedmap.sharedmap(name, follow=follow, decode=bytes)

    def prepare(self):
        self.space["t"] = self.sharedmap.rbtree(ENTRIES)
        hooked = {"hooked": [1], "a": 1}
        self.space["h"] = self.sharedmap.rbtree(hooked, encode=bytes, decode=list)
        if self.is_publishing:
            for handle in ("moved", "following"):
                if handle in self.space:
                    self.space[handle].close()
            self.publish(ENTRIES)
            self.space["moved"] = self.open(self.space["name"])
            self.space["following"] = self.open(self.space["name"], follow=True)
            if "moved" in self.source or "following" in self.source:
                self.sharedmap.share(MORE, self.space["name"], force=True)

    def look(self):
        """All that a call could change."""
        published = {}
        for name in (self.space["name"], self.space["new"], self.space["old"]):
            with contextlib.suppress(FileNotFoundError), self.open(name) as opened:
                published[name] = dict(opened), opened.verify()
        with self.sharedmap.sharedmap.open(self.space["path"]) as opened:
            published["saved"] = dict(opened)
        files = [file for file in os.listdir("/dev/shm") if self.space["name"] in file]
        folder = os.listdir(os.path.dirname(self.space["path"]))
        trees = dict(self.space["t"]), dict(self.space["h"]), dict(self.space["s"])
        return trees, published, sorted(files), sorted(folder)

    def look_at_open_maps(self):
        assert self.space["m"] == ENTRIES, "an open map is not what it was"
        if self.is_publishing:
            for handle in ("moved", "following"):
                assert self.space[handle]["a"] in ("text", 1, b"\1"), f"{handle} lost its map"

    def call(self, memory, left, is_forever):
        """(what is returned or raised, what the world looks like then, allocations)."""
        self.prepare()
        function, args, keywords = outermost(self.source, self.space)
        result, error, count = memory.call(function, args, keywords, left, is_forever)
        told = type(error).__name__ if error is not None else plain(result)
        return told, self.look(), count


def check_update(scene):
    """That it does to the file what it is there for."""
    scene.prepare()
    place = "old" if scene.source.startswith("update(old") else "name"
    files = deltas.Files(f"/dev/shm/sharedmap.{scene.space[place]}")
    function, args, keywords = outermost(scene.source, scene.space)
    function(*args, **keywords)
    files.look()
    counts = deltas.total([files])
    assert [kind for kind in deltas.KINDS if counts[kind]] == UPDATES[scene.source], counts


HOLDINGS = ["bytes of Python", "pieces of the core", "descriptors", "mappings"]


def holdings(memories):
    """What must not grow."""
    # It keeps the names that were looked up, thousands of them.
    sys._clear_type_cache()
    gc.collect()
    # Not as text: that leaves 51 bytes behind in Python 3.11.
    with open("/proc/self/maps", "rb") as maps:
        mapped = sum(b"/dev/shm/" in line or b"allocations-" in line for line in maps)
    core = memories[1].outstanding()
    return tracemalloc.get_traced_memory()[0], core, len(os.listdir("/proc/self/fd")), mapped


def fail_each(scene, memory, is_forever, before, after):
    """Returns how many allocations the call cannot do without."""
    mattered = left = quiet = 0
    while quiet < CoreMemory.enough:
        told, world, count = scene.call(memory, left, is_forever)
        what = f"{memory.name} allocation {left}{' and all later ones' if is_forever else ''}"
        scene.look_at_open_maps()
        left += 1
        if told == "MemoryError":
            mattered += 1
            quiet = 0
            assert world == before, f"{what}: MemoryError, and something is changed"
            continue
        if not (scene.goes_on and told in ("text", False)):
            assert told == after[0], f"{what}: {told!r:.500} instead of {after[0]!r:.500}"
            assert world == after[1], f"{what}: as if it had succeeded, and something is different"
        if count is None:
            quiet += 1
        elif left > count:
            break
    return mattered


def check(source, memories, rounds):
    """Everything about one call; returns how often a MemoryError came of it."""
    with tempfile.TemporaryDirectory(prefix="allocations-") as folder:
        scene = Scene(source, folder)
        try:
            if source in UPDATES:
                check_update(scene)
            scene.prepare()
            before = scene.look()
            after = scene.call(memories[1], -1, False)
            assert after == scene.call(memories[1], -1, False), "not the same the second time"
            tracemalloc.start()
            # Not a list that would itself be what grows.
            held = array.array("q", bytes(8 * len(HOLDINGS) * rounds))
            for turn in range(rounds):
                mattered = 0
                for memory in memories:
                    for is_forever in (False, True):
                        mattered += fail_each(scene, memory, is_forever, before, after)
                for place, number in enumerate(holdings(memories)):
                    held[turn * len(HOLDINGS) + place] = number
            # The first rounds fill caches. What leaks at one place only does so in every round.
            columns = [held[place :: len(HOLDINGS)][1:] for place in range(len(HOLDINGS))]
            least = [min(new - old for old, new in pairwise(column)) for column in columns]
            # No object has less than 16 bytes.
            is_growing = least[0] >= 16 or max(least[1:]) > 0
            assert not is_growing, (
                f"grows in each round by {dict(zip(HOLDINGS, least, strict=True))}"
            )
            return mattered
        finally:
            tracemalloc.stop()
            for name in ("name", "new", "old"):
                scene.sharedmap.remove(scene.space[name])


def check_in_child(source, memories, rounds):
    """(how many MemoryErrors, "" or what went wrong)."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = check(source, memories, rounds), ""
        except BaseException:
            answer = 0, traceback.format_exc(limit=-1)
        with open(writing, "wb") as pipe:
            pickle.dump(answer, pipe)
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        told = pipe.read()
    status = os.waitpid(child, 0)[1]
    return pickle.loads(told) if status == 0 and told else (0, f"died, status {status:#x}")


def library_with_hooks(folder):
    """The extension that is imported from now on, as ctypes sees it."""
    found = importlib.util.find_spec("sharedmap")
    if found is not None:
        import sharedmap._sharedmap as imported

        library = ctypes.PyDLL(imported.__file__)
        if hasattr(library, "memory_fail_after"):
            return library
        for module in [name for name in sys.modules if name.startswith("sharedmap")]:
            del sys.modules[module]
    sys.path.insert(0, extension.Builder(folder).link("small", build.SMALL))
    import sharedmap._sharedmap as built

    return ctypes.PyDLL(built.__file__)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="calls with this in them")
    parser.add_argument("--rounds", type=int, default=5, help="after the first two nothing grows")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="extension-") as folder:
        sys.path.insert(0, extension.build_module("binding/failing.c", folder))
        import failing

        memories = [PythonMemory(failing.call), CoreMemory(library_with_hooks(folder))]
        calls = [source for source in CALLS if arguments.only in source]
        errors = 0
        failures = 0
        for source in calls:
            mattered, failure = check_in_child(source, memories, arguments.rounds)
            errors += mattered
            if failure:
                failures += 1
                print(f"FAILED {source}\n{failure}", flush=True)
    print(f"{len(calls)} calls, {errors} MemoryErrors each round, {failures} failures")
    return 1 if failures or not calls else 0


if __name__ == "__main__":
    sys.exit(main())
