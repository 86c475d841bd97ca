"""Threads that cache values, each for itself where there is no GIL.

Whether a key object is in a cache shows in the references to it.
"""

import sys
import sysconfig
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers import exit_code, forked

import sharedmap

HAS_GIL = not sysconfig.get_config_var("Py_GIL_DISABLED")
needs_own_caches = pytest.mark.skipif(HAS_GIL, reason="with a GIL threads share one cache")

# More lookups than it takes until a thread has a cache, and each key is in it.
OFTEN = 100


@pytest.fixture
def thread():
    """One thread that does what is submitted."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


def named_objects(count):
    """Objects that are not constants of this file, which would live for ever."""
    return [f"key {number} of the test" for number in range(count)]


def look_up(m, keys):
    for _ in range(OFTEN):
        for key in keys:
            assert m[key] == f"value of {key}"


def references(keys):
    return [sys.getrefcount(key) for key in keys]


@pytest.fixture
def keys(name):
    keys = named_objects(5)
    sharedmap.share({key[:1] + key[1:]: f"value of {key}" for key in keys}, name)
    return keys


@needs_own_caches
def test_thread_frees_what_it_cached_when_it_ends(name, keys):
    before = references(keys)
    with sharedmap.sharedmap(name) as m:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(look_up, m, keys).result()
            assert references(keys) == [count + 1 for count in before]
        assert references(keys) == before


@needs_own_caches
def test_thread_frees_what_it_cached_of_a_closed_map_in_its_next_lookup(name, keys, thread):
    before = references(keys)
    other = sharedmap.sharedmap.frombuffer(sharedmap.rbtree({"other": 1}).dump())
    m = sharedmap.sharedmap(name)
    thread.submit(look_up, m, keys).result()
    m.close()
    assert references(keys) == [count + 1 for count in before]
    assert thread.submit(other.get, "other").result() == 1
    assert references(keys) == before


@needs_own_caches
def test_thread_that_closes_a_map_frees_what_it_cached(name, keys):
    before = references(keys)
    with sharedmap.sharedmap(name) as m:
        look_up(m, keys)
        assert references(keys) == [count + 1 for count in before]
    assert references(keys) == before


@needs_own_caches
def test_threads_have_objects_of_their_own(name, keys, thread):
    with sharedmap.sharedmap(name) as m:
        look_up(m, keys)
        thread.submit(look_up, m, keys).result()
        theirs = thread.submit(m.get, keys[0]).result()
        assert m[keys[0]] is m[keys[0]]
        assert theirs is thread.submit(m.get, keys[0]).result()
        assert theirs is not m[keys[0]]


def test_closed_map_is_closed_for_a_thread_that_has_its_values(name, keys, thread):
    m = sharedmap.sharedmap(name)
    thread.submit(look_up, m, keys).result()
    m.close()
    with pytest.raises(ValueError, match="closed"):
        thread.submit(m.get, keys[0]).result()


@pytest.mark.parametrize("follow", [False, True])
def test_no_thread_gets_an_older_value_than_the_map_has(name, follow):
    sharedmap.share({"key": 0}, name)
    m = sharedmap.sharedmap(name, follow=follow)
    present = 0
    done = threading.Event()

    def read():
        while not done.is_set():
            oldest = present
            assert m["key"] >= oldest

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for number in range(1, 300):
            sharedmap.update(name, {"key": number})
            if not follow:
                assert m.refresh()
            present = number
        done.set()
        for reader in readers:
            reader.result()


@pytest.mark.parametrize("count", [2, 8, 9, 30])
def test_many_maps_in_turn_keep_their_values(count):
    maps = [
        sharedmap.sharedmap.frombuffer(sharedmap.rbtree({"key": number}).dump())
        for number in range(count)
    ]
    for _ in range(OFTEN):
        assert [m["key"] for m in maps] == list(range(count))
        assert [m.get_many(["key"])[0] for m in maps] == list(range(count))
    # Enough for one that has a cache to lose it to another.
    for m in maps[-1:] * 5000 + maps:
        assert m["key"] == m.get("key")


def test_decoder_may_look_up_in_so_many_maps_that_the_cache_is_another_ones():
    others = [
        sharedmap.sharedmap.frombuffer(sharedmap.rbtree({"key": -number}).dump())
        for number in range(20)
    ]

    def decode(data):
        for other in others * 300:
            other["key"]
        return int(data)

    tree = sharedmap.rbtree(encode=lambda value: str(value[0]).encode())
    tree["decoded"] = [7]
    tree["key"] = 1
    m = sharedmap.sharedmap.frombuffer(tree.dump(), decode=decode)
    for _ in range(OFTEN // 10):
        assert m.get_many(["key", "decoded", "key"]) == [1, 7, 1]
        assert [m["key"], m["decoded"], m["key"]] == [1, 7, 1]


def test_child_of_a_process_with_caches_in_several_threads_looks_up(name, keys):
    with sharedmap.sharedmap(name) as m, ThreadPoolExecutor(3) as pool:
        everybody = threading.Barrier(3)

        def look_up_beside_others():
            look_up(m, keys)
            everybody.wait()

        for future in [pool.submit(look_up_beside_others) for _ in range(3)]:
            future.result()
        look_up(m, keys)

        def look_up_and_close():
            look_up(m, keys)
            thread = threading.Thread(target=look_up, args=(m, keys))
            thread.start()
            thread.join()
            m.close()
            return True

        assert exit_code(forked(look_up_and_close)) == 0
        look_up(m, keys)
