"""What the tests of damaged and forged snapshots share: a small one, and a use of all it has."""

import sharedmap

USE_EVERYTHING = """
KINDS = (str, bytes, int, float, bool, type(None), list, tuple, dict)

def use(m, keys, thoroughly=True):
    # Each call answers or raises SnapshotError; the values it answers with are sound objects.
    def attempt(call, *kinds):
        try:
            answer = call()
            assert isinstance(answer, kinds), answer
            return repr(answer), answer
        except (sharedmap.SnapshotError, KeyError):
            return None
        except ValueError as error:
            assert "is not in the map" in str(error)
        except TypeError as error:
            # Damage can turn any type into that of an encoded value.
            assert "pass decode=" in str(error)
        return None
    attempt(lambda: len(m), int)
    attempt(lambda: list(m.items()), list)
    listed = attempt(lambda: list(m), list)
    for key in keys + (listed[1] if listed else []):
        assert isinstance(key, str)
        hash(key)
        attempt(lambda: m.get(key), *KINDS)
        attempt(lambda: m[key], *KINDS)
        attempt(lambda: key in m, bool)
    attempt(lambda: m.get_many(keys * 10), list)
    if not thoroughly:
        return
    attempt(lambda: list(m.values()), list)
    attempt(lambda: list(reversed(m)), list)
    attempt(lambda: m == {}, bool)
    attempt(lambda: m.to_dict(), dict)
    attempt(lambda: sharedmap.rbtree(m), sharedmap.rbtree)
    attempt(lambda: m.first(), tuple)
    attempt(lambda: m.last(), tuple)
    for key in keys:
        attempt(lambda: bytes(m.view(key)), bytes)
        attempt(lambda: m.floor(key), str, type(None))
        attempt(lambda: m.ceiling(key), str, type(None))
        attempt(lambda: m.lower(key), str, type(None))
        attempt(lambda: m.higher(key), str, type(None))
        attempt(lambda: m.longest_prefix(key * 2), str, type(None))
        attempt(lambda: m.index(key), int)
        attempt(lambda: m.bisect_right(key), int)
        attempt(lambda: list(m[key:].items()), list)
        attempt(lambda: list(m.prefix(key)), list)
    for place in range(-3, 3):
        try:
            attempt(lambda: m.peekitem(place), tuple)
        except IndexError:
            pass

def use_damaged(path, name, data, offsets, masks, keys):
    rejected = noticed = 0
    for offset in offsets:
        for mask in masks:
            damaged = bytearray(data)
            damaged[offset] ^= mask
            with open(path, "wb") as file:
                file.write(damaged)
            try:
                m = sharedmap.sharedmap(name)
            except sharedmap.SnapshotError:
                rejected += 1
                continue
            use(m, keys, offset % 16 == mask % 16)
            try:
                m.verify()
            except sharedmap.SnapshotError:
                noticed += 1
            m.close()
    return rejected, noticed
"""

SOME_KEYS = ["a", "b" * 130, "c", "dé", "e", "f", "g", "h", "i", "", "zz"]


def small_snapshot(index):
    tree = sharedmap.rbtree()
    tree["a"] = "1"
    tree["b" * 130] = b"2" * 70
    tree["c"] = b"333"
    tree["dé"] = "4\ud800" * 30
    tree["e"] = ""
    tree["f"] = -(2**100)
    tree["g"] = 0.5
    tree["h"] = True
    tree["i"] = None
    return tree.dump(index=index)
