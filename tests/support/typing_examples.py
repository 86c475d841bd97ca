"""What type checkers make of every public function; test_stubs.py has them read it, and runs it.

assert_type() says that a checker must see this very type. Each line that must be an error carries
an ignore comment, and the checkers are told to complain of ignore comments that ignore nothing.
"""

import asyncio
import enum
import fractions
import os
import pickle
from collections.abc import (
    ItemsView,
    Iterator,
    KeysView,
    Mapping,
    MutableMapping,
    Reversible,
    ValuesView,
)
from typing import Any, Literal, NamedTuple, assert_type

import sharedmap
from sharedmap import rbtree
from sharedmap.typing import Storable, Value

# ---- making a tree ----------------------------------------------------------------------------


def unparametrised_tree_holds_anything() -> None:
    tree = rbtree()
    assert_type(tree, rbtree[Any])
    tree["a"] = 1
    tree["b"] = "2"
    assert_type(tree["a"], Any)


def values_decide_the_parameter() -> None:
    assert_type(rbtree({"a": 1}), rbtree[int])
    pairs = [("a", "1")]
    assert_type(rbtree(pairs), rbtree[str])
    assert_type(rbtree(a=b"1", b=b"2"), rbtree[bytes])
    assert_type(rbtree({"a": 1}, b=2), rbtree[int])
    assert_type(rbtree(rbtree(a=1.5)), rbtree[float])
    assert_type(rbtree(sharedmap.sharedmap[int].frombuffer(rbtree(a=1).dump())), rbtree[int])


def annotation_decides_the_parameter() -> None:
    tree: rbtree[int | None] = rbtree()
    tree["a"] = None
    tree["b"] = 1
    assert_type(tree["a"], int | None)
    mixed: rbtree[int | str] = rbtree({"a": 1}, b="2")
    assert_type(mixed["a"], int | str)


def hooks_open_the_tree_for_other_types() -> None:
    tree: rbtree[list[int]] = rbtree({"a": [1, 2]}, encode=pickle.dumps, decode=pickle.loads)
    assert_type(tree["a"], list[int])
    assert_type(rbtree(encode=pickle.dumps), rbtree[Any])


def all_of_one_value() -> None:
    assert_type(rbtree.fromkeys("ab", 0), rbtree[int])
    assert_type(rbtree.fromkeys(["a"]), rbtree[Any | None])


def wrong_trees() -> None:
    rbtree({1: "a"})  # type: ignore[arg-type]  # pyright: ignore
    rbtree(["a"])  # type: ignore[list-item]  # pyright: ignore
    rbtree({}, {})  # type: ignore[call-overload]  # pyright: ignore
    rbtree(encode=1)  # type: ignore[call-overload]  # pyright: ignore


# ---- changing a tree --------------------------------------------------------------------------


def changing() -> None:
    tree = rbtree({"a": 1, "b": 2, "c": 3, "d": 4})
    tree["e"] = 5
    del tree["e"]
    assert_type(tree.set("f", 6), Literal[True])
    assert_type(tree.pop("a"), int)
    assert_type(tree.pop("a", 0), int)
    assert_type(tree.pop("a", "none"), int | str)
    assert_type(tree.pop("a", None), int | None)
    assert_type(tree.popitem(), tuple[str, int])
    assert_type(tree.popitem(0), tuple[str, int])
    assert_type(tree.popitem(index=-1), tuple[str, int])
    assert_type(tree.setdefault("a", 1), int)
    assert_type(tree.setdefault("a", default=1), int)
    tree.update()
    tree.update({"a": 1})
    tree.update([("a", 1)], b=2)
    tree.update(rbtree(a=1))
    tree.update(c=3)
    tree |= {"d": 4}
    tree |= [("e", 5)]
    assert_type(tree, rbtree[int])
    assert_type(tree.copy(), rbtree[int])
    assert_type(tree | {"a": 1}, rbtree[int])
    assert_type(tree | {"a": "1"}, rbtree[int | str])
    assert_type(tree | rbtree(a=1), rbtree[int])
    tree.clear()


def default_of_none_needs_a_tree_that_may_hold_it() -> None:
    tree: rbtree[int | None] = rbtree()
    assert_type(tree.setdefault("a"), int | None)


def wrong_changes(tree: rbtree[int]) -> None:
    tree["a"] = "1"  # type: ignore[assignment]  # pyright: ignore
    tree[1] = 1  # type: ignore[index]  # pyright: ignore
    tree.set("a", "1")  # type: ignore[arg-type]  # pyright: ignore
    tree.setdefault("a")  # type: ignore[call-arg]  # pyright: ignore
    tree["a":"b"] = 1  # type: ignore[index]  # pyright: ignore


# ---- reading, from whatever map ---------------------------------------------------------------


def reading_a_tree() -> None:
    tree = rbtree(a=1, b=2)
    assert_type(tree["a"], int)
    assert_type(tree.get("a"), int | None)
    assert_type(tree.get("a", 0), int)
    assert_type(tree.get("a", "none"), int | str)
    assert_type(tree.get("a", default=0), int)
    assert_type("a" in tree, bool)
    assert_type(len(tree), int)
    assert_type(iter(tree), Iterator[str])
    assert_type(next(reversed(tree)), str)
    assert_type(tree == {"a": 1}, bool)
    assert_type(tree.floor("a"), str | None)
    assert_type(tree.ceiling("a"), str | None)
    assert_type(tree.lower("a"), str | None)
    assert_type(tree.higher("a"), str | None)
    assert_type(tree.longest_prefix("a"), str | None)
    assert_type(tree.to_dict(), dict[str, int])
    assert_type(tree.first(), tuple[str, int])
    assert_type(tree.last(), tuple[str, int])


def reading_a_part_of_a_tree() -> None:
    tree = rbtree({"a": 1, "b": 2})
    for part in (
        tree["a":"c"],
        tree["a":],
        tree[:"c"],
        tree[:],
        tree["a":]["a":],
        tree.prefix("a"),
    ):
        assert_type(part["a"], int)
        assert_type(part.get("a"), int | None)
        assert_type(list(part), list[str])
        assert_type(dict(part), dict[str, int])
        assert_type(part.first(), tuple[str, int])
        assert_type(part.floor("a"), str | None)
        assert_type(part.to_dict(), dict[str, int])
        assert_type(part | {"c": 3}, dict[str, int])
        assert_type(part | {"c": "x"}, dict[str, int | str])


def wrong_parts(tree: rbtree[int]) -> None:
    tree[1:2]  # type: ignore[index]  # pyright: ignore
    tree["a":"b":2]  # type: ignore[index]  # pyright: ignore
    tree["a":"b"]["a"] = 1  # type: ignore[index]  # pyright: ignore
    tree.peekitem()  # type: ignore[attr-defined]  # pyright: ignore


def looking_at_keys_values_and_items() -> None:
    tree = rbtree(a=1, b=2)
    keys, values, items = tree.keys(), tree.values(), tree.items()
    assert_type(list(keys), list[str])
    assert_type(list(values), list[int])
    assert_type(list(items), list[tuple[str, int]])
    assert_type(next(reversed(keys)), str)
    assert_type(next(reversed(values)), int)
    assert_type(next(reversed(items)), tuple[str, int])
    assert_type(keys & {"a"}, set[str])
    assert_type(keys | {1}, set[str | int])
    assert_type({"a"} - keys, set[str])
    assert_type(items ^ {("a", 1)}, set[tuple[str, int]])
    assert_type(keys.isdisjoint(["a"]), bool)
    assert_type(items.isdisjoint([("a", 1)]), bool)
    assert_type(keys <= {"a", "b"}, bool)
    assert_type(len(values), int)
    assert_type(items.mapping, Mapping[str, int])
    assert_type(values.mapping, Mapping[str, int])
    assert_type(keys.mapping, Mapping[str, Any])


def abstract_classes_fit() -> None:
    tree = rbtree(a=1)
    mutable: MutableMapping[str, int] = tree
    mapping: Mapping[str, int] = sharedmap.sharedmap.frombuffer(tree.dump())
    # Who only reads may take a map of ints for one of ints and strs.
    wider: Mapping[str, int | str] = sharedmap.sharedmap[int].frombuffer(tree.dump())
    part: Mapping[str, int] = tree["a":]
    keys: KeysView[str] = tree.keys()
    values: ValuesView[int] = tree.values()
    items: ItemsView[str, int] = tree.items()
    backwards: Reversible[str] = tree
    assert (mutable, mapping, wider, part) == (tree, tree, tree, tree)
    assert (list(keys), list(values), list(items)) == (["a"], [1], [("a", 1)])
    assert next(iter(backwards)) == "a"


# ---- publishing and opening -------------------------------------------------------------------


def publishing(name: str) -> None:
    tree = rbtree(a=b"12345678")
    assert_type(tree.share(name), bool)
    assert_type(tree.share(name, True), bool)
    assert_type(tree.share(name, force=True, mode=0o644), bool)
    assert_type(sharedmap.share({"a": b"12345678"}, name, force=True), bool)
    assert_type(sharedmap.share([("a", 1)], name, True, mode=0o600), bool)
    assert_type(sharedmap.share(tree, name, True), bool)
    mixed = {"a": 1, "b": "2", "c": None}
    assert_type(sharedmap.share(mixed, name, True, huge_pages=True), bool)
    assert_type(sharedmap.share({"a": [1]}, name, True, encode=pickle.dumps), bool)
    assert_type(sharedmap.share(mixed, name, exist_ok=True), bool)
    now = sharedmap.sharedmap(name, wait=1.5).generation
    assert_type(sharedmap.share({"a": 1}, name, expect=now, index="tree"), bool)
    assert_type(tree.share(name, expect=now + 1, index="hash"), bool)
    assert_type(sharedmap.update(name, {"b": 1}, remove=["b", "c"][1:]), int)
    assert_type(sharedmap.update(name, [("c", [1])], encode=pickle.dumps), int)
    assert_type(sharedmap.names(), list[str])
    assert_type(tree.dump(), bytes)
    assert_type(tree.dump("label"), bytes)


def opening(name: str) -> None:
    with sharedmap.sharedmap(name) as shared:
        assert_type(shared, sharedmap.sharedmap[Any])
        assert_type(shared.name, str | None)
        assert_type(shared.generation, int)
        assert_type(shared.nbytes, int)
        assert_type(shared.closed, bool)
        shared.verify()
        assert_type(shared["a"], Any)
        assert_type(shared.stale, bool)
        assert_type(shared.refresh(), bool)
        assert_type(shared.wait(0), bool)
        assert_type(shared.wait(timeout=0.0), bool)
        assert_type(shared.snapshot(), sharedmap.sharedmap[Any])
        assert_type(shared.derived(len), int)
    shared.close()
    typed: sharedmap.sharedmap[bytes] = sharedmap.sharedmap(name)
    assert_type(typed["a"], bytes)
    assert_type(typed.get("a"), bytes | None)
    assert_type(typed.get_many(["a", "b"]), list[bytes | None])
    assert_type(typed.get_many(iter("ab"), default=b""), list[bytes])
    assert_type(typed.get_many(["a", "b"], 0), list[bytes | int])
    assert_type(typed.get_many(["a", None], missing="default"), list[bytes | None])
    assert_type(typed[:].get_many(["a", None], 0, missing="default"), list[bytes | int])
    assert_type(typed.snapshot(), sharedmap.sharedmap[bytes])
    assert_type(typed.peekitem(), tuple[str, bytes])
    assert_type(typed.peekitem(0), tuple[str, bytes])
    assert_type(typed.index("a"), int)
    assert_type(typed.bisect_left("a"), int)
    assert_type(typed.bisect_right("a"), int)
    assert_type(typed.view("a"), memoryview)
    for part in (typed["a":"c"], typed["a":]["a":], typed.prefix("a"), typed.prefix("a")[:"c"]):
        assert_type(part["a"], bytes)
        assert_type(part.peekitem(-1), tuple[str, bytes])
        assert_type(part.index("a"), int)
        assert_type(part.bisect_left("a"), int)
        assert_type(part.bisect_right("a"), int)
        assert_type(part.view("a"), memoryview)
        assert_type(list(part.values()), list[bytes])


def following(name: str) -> None:
    followed: sharedmap.sharedmap[bytes] = sharedmap.sharedmap(name, follow=True, owner=os.getuid())
    assert_type(followed["a"], bytes)
    sharedmap.sharedmap(name, owner="root")
    sharedmap.sharedmap(name, owner=None, decode=pickle.loads)


async def watching(name: str) -> None:
    async for newest in sharedmap.watch(name, decode=None, owner=os.getuid()):
        assert_type(newest, sharedmap.sharedmap[Any])
        break


def removing(name: str) -> None:
    assert_type(sharedmap.remove(name), bool)
    assert_type(rbtree.remove(name), bool)


def saving(path: str) -> None:
    tree = rbtree(a=1)
    assert_type(tree.save(path), Literal[True])
    assert_type(tree.save(os.fsencode(path), force=True, mode=0o644), Literal[True])
    opened: sharedmap.sharedmap[int] = sharedmap.sharedmap.open(path)
    assert_type(opened["a"], int)
    assert_type(sharedmap.sharedmap[int].open(path, decode=None), sharedmap.sharedmap[int])
    assert_type(sharedmap.sharedmap[int].frombuffer(tree.dump()), sharedmap.sharedmap[int])
    sharedmap.sharedmap.frombuffer(memoryview(tree.dump()), decode=pickle.loads)


def wrong_openings(name: str, shared: sharedmap.sharedmap[int]) -> None:
    sharedmap.sharedmap(1)  # type: ignore[arg-type]  # pyright: ignore
    sharedmap.sharedmap(name, None)  # type: ignore[arg-type, call-arg]  # pyright: ignore
    sharedmap.sharedmap(name, owner=1.5)  # type: ignore[arg-type]  # pyright: ignore
    sharedmap.rbtree().dump(index="none")  # type: ignore[arg-type]  # pyright: ignore
    sharedmap.sharedmap.frombuffer("text")  # type: ignore[arg-type]  # pyright: ignore
    sharedmap.share({1: "a"}, name)  # type: ignore[arg-type]  # pyright: ignore
    sharedmap.update(name, {1: "a"})  # type: ignore[arg-type]  # pyright: ignore
    sharedmap.update(name, {}, [1])  # type: ignore[list-item]  # pyright: ignore
    shared["a"] = 1  # type: ignore[index]  # pyright: ignore
    shared.name = "other"  # type: ignore[misc]  # pyright: ignore


def errors_and_version(name: str) -> None:
    try:
        sharedmap.sharedmap.frombuffer(b"")
    except sharedmap.SnapshotError as error:
        as_value_error: ValueError = error
        assert as_value_error.args
    try:
        sharedmap.share({}, name, expect=1)
    except sharedmap.StaleError as stale:
        as_runtime_error: RuntimeError = stale
        assert as_runtime_error.args
        assert_type(stale.expected, int | str)
        assert_type(stale.found, int)
    assert_type(sharedmap.__version__, str)
    assert sharedmap.__all__


# ---- values -----------------------------------------------------------------------------------


class Level(enum.IntEnum):
    HIGH = 3


class Point(NamedTuple):
    x: int
    y: list[int]


def native_values_come_back(name: str) -> None:
    config: Value = {"hosts": ["a", {"port": 80}], "size": (640, 480.5), "flags": [True, None, b""]}
    tree: rbtree[Value] = rbtree({"config": config})
    tree["a"] = [1, ("2", {"b": None})]
    found = tree["config"]
    assert isinstance(found, dict)
    hosts: Value = found["hosts"]
    assert isinstance(hosts, list)
    tree.share(name, force=True)
    shared: sharedmap.sharedmap[Value] = sharedmap.sharedmap(name)
    assert_type(shared["a"], Value)
    assert_type(shared.get("a"), Value)  # None is one


def publish_all(name: str, entries: Mapping[str, Storable]) -> bool:
    return sharedmap.share(entries, name, force=True)


def more_is_stored_than_comes_back(name: str) -> None:
    numbers: list[int] = [1]
    levels: dict[str, Level] = {"a": Level.HIGH}
    publish_all(name, {"numbers": numbers, "levels": levels, "nested": [numbers, (levels,)]})
    publish_all(name, {"point": Point(1, numbers), "level": Level.HIGH})
    publish_all(name, {"data": bytearray(b"x"), "view": [memoryview(b"x")]})
    publish_all(name, levels)


def wrong_values(name: str, value: Value) -> None:
    tree: rbtree[Value] = rbtree()
    tree["a"] = {1}  # type: ignore[assignment]  # pyright: ignore
    tree["a"] = [1, 1j]  # type: ignore[list-item]  # pyright: ignore
    tree["a"] = {1: 2}  # type: ignore[dict-item]  # pyright: ignore
    publish_all(name, {"a": {1}})  # type: ignore[dict-item]  # pyright: ignore
    publish_all(name, {"a": [object()]})  # type: ignore[list-item]  # pyright: ignore
    publish_all(name, {"a": fractions.Fraction(1)})  # type: ignore[dict-item]  # pyright: ignore
    value.append(1)  # type: ignore[union-attr]  # pyright: ignore


class Prices(rbtree[float]):
    """A subclass keeps its type where a dict's would."""

    def total(self) -> float:
        return sum(self.values())


def subclassing() -> None:
    prices = Prices(apple=1.5, pear=2.5)
    assert_type(prices.copy(), Prices)
    assert_type((prices | {"plum": 3.0}).total(), float)
    assert_type(prices["apple"], float)


def main(name: str, path: str) -> None:
    """Runs what can run; the functions whose names begin with wrong_ are for checkers alone."""
    unparametrised_tree_holds_anything()
    values_decide_the_parameter()
    annotation_decides_the_parameter()
    hooks_open_the_tree_for_other_types()
    all_of_one_value()
    changing()
    default_of_none_needs_a_tree_that_may_hold_it()
    reading_a_tree()
    reading_a_part_of_a_tree()
    looking_at_keys_values_and_items()
    abstract_classes_fit()
    publishing(name)
    sharedmap.share({"a": b"1", "b": b"2"}, name, force=True)
    opening(name)
    following(name)
    asyncio.run(watching(name))
    removing(name)
    saving(path)
    errors_and_version(name)
    native_values_come_back(name)
    more_is_stored_than_comes_back(name)
    subclassing()
