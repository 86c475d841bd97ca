"""What test_lifetime.py runs in processes of their own, also with a debug build of Python.

    python lifetime_scenarios.py NAME PATH SCENARIO [ARGUMENT ...]

Whatever can look at a map is taken, then the map goes away in one of many ways, then everything
must still answer. What is freed too early is overwritten meanwhile, by churn() and, since the
tests set MALLOC_PERTURB_, by the C library.
"""

import gc
import mmap
import os
import sys

import sharedmap

ENTRIES = {f"{number:03}": f"value {number}" for number in range(100)}
ENTRIES |= {"bytes": bytes(range(256)) * 8, "int": 2**100, "none": None}
KEYS = sorted(ENTRIES)
ITEMS = sorted(ENTRIES.items(), key=lambda item: item[0])
VALUES = [value for _, value in ITEMS]


# ---- who looks -----------------------------------------------------------------------------------


def started(take):
    def take_and_start(mapping):
        iterator = take(mapping)
        next(iterator)
        return iterator

    return take_and_start


# What is taken from a map, how it is read, and what must come out.
OF_ANY_MAP = {
    "iterator": (iter, list, KEYS),
    "reversed iterator": (reversed, list, KEYS[::-1]),
    "started iterator": (started(iter), list, KEYS[1:]),
    "started reversed iterator": (started(reversed), list, KEYS[-2::-1]),
    "keys": (lambda m: m.keys(), list, KEYS),
    "values": (lambda m: m.values(), list, VALUES),
    "items": (lambda m: m.items(), list, ITEMS),
    "reversed items": (lambda m: m.items(), lambda items: list(reversed(items)), ITEMS[::-1]),
    "iterator over values": (lambda m: iter(m.values()), list, VALUES),
    "started iterator over items": (started(lambda m: iter(m.items())), list, ITEMS[1:]),
    "length of keys": (lambda m: m.keys(), len, len(KEYS)),
    "keys as a set": (lambda m: m.keys(), lambda keys: keys & {"int", "x"}, {"int"}),
    "mapping of a view": (lambda m: m.items().mapping, dict, ENTRIES),
    "part": (lambda m: m["bytes":], lambda part: list(part.items()), ITEMS[-3:]),
    "part of a part": (lambda m: m["0":"z"].prefix("int")["i":], dict, {"int": 2**100}),
    "iterator over a part": (lambda m: iter(m["010":"020"]), list, KEYS[10:20]),
    "keys of a part": (lambda m: m[:"010"].keys(), list, KEYS[:10]),
    "neighbours in a part": (
        lambda m: m["010":"020"],
        lambda part: (part.floor("zzz"), part.ceiling(""), part.first(), part.last()),
        ("019", "010", ITEMS[10], ITEMS[19]),
    ),
}
OF_SNAPSHOTS = {
    "memoryview": (lambda m: m.view("bytes"), bytes, ENTRIES["bytes"]),
    "part of a memoryview": (lambda m: m.view("bytes")[10:20], bytes, bytes(range(10, 20))),
    "cast memoryview": (lambda m: m.view("bytes").cast("Q")[:2], bytes, bytes(range(16))),
    "memoryview of a part": (lambda m: m["b":].view("bytes"), bytes, ENTRIES["bytes"]),
    "places in a part": (
        lambda m: m["010":"020"],
        lambda part: (part.index("015"), part.peekitem(-1), part.bisect_left("zzz")),
        (5, ITEMS[19], 10),
    ),
}


def take_all(mapping, holders):
    return {name: take(mapping) for name, (take, _, _) in holders.items()}


def check_all(held, holders):
    for name, (_, read, expected) in holders.items():
        found = read(held[name])
        assert found == expected, (name, found)


def churn():
    """Gives freed memory and freed addresses to somebody else."""
    gc.collect()
    blocks = [b"\xee" * size for size in range(16, 2000, 16) for _ in range(5)]
    areas = [mmap.mmap(-1, 64 * 1024) for _ in range(8)]
    for area in areas:
        area.write(b"\xee" * (64 * 1024))
    others = [sharedmap.rbtree({str(number): "\xee" * 50 for number in range(200)})]
    others.append(sharedmap.sharedmap.frombuffer(others[0].dump()))
    return len(blocks) + len(areas) + len(others)


# ---- snapshots -----------------------------------------------------------------------------------


class Place:
    def __init__(self, name, path):
        self.name = name
        self.path = path


def by_name(place):
    sharedmap.share(ENTRIES, place.name, force=True)
    return sharedmap.sharedmap(place.name)


def by_path(place):
    sharedmap.rbtree(ENTRIES).save(place.path, force=True)
    return sharedmap.sharedmap.open(place.path)


def by_buffer(place):
    return sharedmap.sharedmap.frombuffer(bytearray(sharedmap.rbtree(ENTRIES).dump()))


def by_mmap(place):
    sharedmap.rbtree(ENTRIES).save(place.path, force=True)
    with open(place.path, "rb") as file:
        return sharedmap.sharedmap.frombuffer(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))


FORMS = {"name": by_name, "path": by_path, "buffer": by_buffer, "mmap": by_mmap}


def leave_with(shared, place):
    with shared:
        pass


def publish_again(shared, place):
    for number in range(3):
        sharedmap.share({"newer": number}, place.name, force=True)
        sharedmap.rbtree(newer=number).save(place.path, force=True)


def remove(shared, place):
    sharedmap.remove(place.name)
    if os.path.exists(place.path):
        os.unlink(place.path)


EVENTS = {
    "close": lambda shared, place: shared.close(),
    "del": lambda shared, place: None,
    "with": leave_with,
    "publish": publish_again,
    "remove": remove,
    "close and remove": lambda shared, place: (shared.close(), remove(shared, place)),
    "close twice": lambda shared, place: (shared.close(), shared.close()),
}


def snapshot(place, form, event):
    holders = OF_ANY_MAP | OF_SNAPSHOTS
    shared = FORMS[form](place)
    held = take_all(shared, holders)
    EVENTS[event](shared, place)
    del shared
    churn()
    check_all(held, holders)
    # In another order than they were made, and while the others are still in use.
    for name in sorted(held, key=lambda name: name[::-1]):
        del held[name]
    gc.collect()


def snapshot_all_events(place, form):
    for event in EVENTS:
        snapshot(place, form, event)


def snapshot_end_of_process(place, form):
    """Everything is still there when the interpreter ends."""
    shared = FORMS[form](place)
    globals()["kept"] = [shared, take_all(shared, OF_ANY_MAP | OF_SNAPSHOTS)]
    globals()["cycle"] = cycle = [iter(shared), shared.view("bytes")]
    cycle.append(cycle)


def snapshot_one_holder_at_a_time(place, form):
    """Each kind of holder alone has to keep the snapshot."""
    for name, holder in (OF_ANY_MAP | OF_SNAPSHOTS).items():
        shared = FORMS[form](place)
        held = take_all(shared, {name: holder})
        shared.close()
        del shared
        churn()
        check_all(held, {name: holder})


# ---- trees ---------------------------------------------------------------------------------------


def tree_del(place):
    held = take_all(sharedmap.rbtree(ENTRIES), OF_ANY_MAP)
    churn()
    check_all(held, OF_ANY_MAP)


def tree_one_holder_at_a_time(place):
    for name, holder in OF_ANY_MAP.items():
        held = take_all(sharedmap.rbtree(ENTRIES), {name: holder})
        churn()
        check_all(held, {name: holder})


def tree_change(place, change):
    """Iterators notice; views and parts show what is there."""
    tree = sharedmap.rbtree(ENTRIES)
    held = take_all(tree, OF_ANY_MAP)
    CHANGES[change](tree)
    churn()
    for name, holder in held.items():
        if "iterator" in name:
            try:
                next(holder)
            except RuntimeError:
                continue
            raise AssertionError(f"{name} has not noticed")
    remaining = list(tree)
    assert list(held["keys"]) == remaining
    assert list(held["values"]) == [tree[key] for key in remaining]
    assert list(held["part"]) == [key for key in remaining if key >= "bytes"]
    del tree
    churn()
    assert list(held["items"]) == [(key, held["items"].mapping[key]) for key in remaining]


def tree_all_changes(place):
    for change in CHANGES:
        tree_change(place, change)


CHANGES = {
    "clear": lambda tree: tree.clear(),
    "del": lambda tree: tree.__delitem__("050"),
    "popitem": lambda tree: [tree.popitem(0) for _ in range(50)],
    "clear and fill": lambda tree: (tree.clear(), tree.update(dict.fromkeys(KEYS, "new"))),
    "update": lambda tree: tree.update({f"{key}+": "x" * 1000 for key in KEYS}),
    "empty it from both ends": lambda tree: [tree.popitem(-(n % 2)) for n in range(len(tree))],
}


def tree_overwrite(place):
    """Iterators do not mind new values, wherever these have to be put."""
    tree = sharedmap.rbtree(ENTRIES)
    iterators = {name: (h, v) for name, (h, *v) in OF_ANY_MAP.items() if "iterator" in name}
    held = {name: take(tree) for name, (take, _) in iterators.items()}
    for size in (1, 100, 10_000):
        for key in KEYS:
            tree[key] = "x" * size
        churn()
    for name, iterator in held.items():
        expected = iterators[name][1][1]
        assert len(list(iterator)) == len(expected), name


def tree_end_of_process(place):
    tree = sharedmap.rbtree(ENTRIES)
    globals()["kept"] = [tree, take_all(tree, OF_ANY_MAP)]


def hooks_that_drop_their_map(place):
    """The decoder closes, clears or drops what is just being read."""
    held = {}

    def decode(data):
        if "map" in held:
            held.pop("map").close()
        if "tree" in held:
            held.pop("tree").clear()
        churn()
        return bytes(data)

    big = {str(number): [number] for number in range(10)}
    data = sharedmap.rbtree(big, encode=lambda value: b"x" * 5000).dump()
    for read in (
        lambda m: m["5"],
        lambda m: m.get("5"),
        lambda m: m.first()[1],
        lambda m: next(iter(m.values())),
        lambda m: next(iter(m.items()))[1],
        lambda m: m["5":]["5"],
        lambda m: next(iter(m["5":].values())),
    ):
        held["map"] = sharedmap.sharedmap.frombuffer(bytearray(data), decode=decode)
        assert read(held["map"]) == b"x" * 5000
        held["tree"] = sharedmap.rbtree(big, encode=lambda value: b"x" * 5000, decode=decode)
        assert read(held["tree"]) == b"x" * 5000


def references_that_stay(place):
    """With a debug build: no scenario leaves references behind, however often it runs."""
    # Here nothing is looked for in memory that was freed.
    globals()["churn"] = gc.collect
    runs = [
        *[lambda f=f, e=e: snapshot(place, f, e) for f in FORMS for e in EVENTS],
        *[lambda c=c: tree_change(place, c) for c in CHANGES],
        lambda: tree_del(place),
        lambda: tree_overwrite(place),
        lambda: hooks_that_drop_their_map(place),
    ]
    grown = []
    for run in runs:
        counts = []
        for _ in range(3):
            run()
            gc.collect()
            counts.append(sys.gettotalrefcount())
        # The first round fills caches, and perhaps the second. What leaks leaks in every round.
        grown.append(min(counts[2] - counts[1], counts[1] - counts[0]))
    assert all(growth < 5 for growth in grown), grown


def main(name, path, scenario, *arguments):
    globals()[scenario](Place(name, path), *arguments)
    print("survived")


if __name__ == "__main__":
    main(*sys.argv[1:])
