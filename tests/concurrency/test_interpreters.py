"""Subinterpreters, with a GIL of their own where Python has that (3.12 and newer).

They run in the other process, so that a crash is one failed test. Each script tells its result by
what it publishes, or by the exception that ends it.
"""

import sys
import textwrap

import pytest

import sharedmap

# The modules below this API moved twice; what they do with a script is the same.
RUN = """
import threading
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

def create():
    try:
        return interpreters.create("isolated")
    except TypeError:
        return interpreters.create(isolated=True)

def run(script, interpreter=None):
    own = create() if interpreter is None else interpreter
    try:
        # Newer versions return what went wrong, older ones raise it.
        failure = interpreters.run_string(own, script)
        assert failure is None, failure
    finally:
        if interpreter is None:
            interpreters.destroy(own)

def run_together(scripts):
    failures = []
    def attempt(script):
        try:
            run(script)
        except BaseException as error:
            failures.append(repr(error))
    threads = [threading.Thread(target=attempt, args=(script,)) for script in scripts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures
"""


@pytest.fixture
def host(workers):
    worker = workers()
    worker.run(RUN)
    return worker


def script(text, **names):
    lines = [f"{name} = {value!r}" for name, value in names.items()]
    return "\n".join(["import sharedmap", *lines, textwrap.dedent(text)])


def test_import_works_in_a_subinterpreter(host):
    host.run("run(script)", script="import sharedmap; sharedmap.rbtree()")


def test_import_works_in_many_subinterpreters_one_after_the_other(host):
    for _ in range(10):
        host.run("run(script)", script="import sharedmap; sharedmap.rbtree()['a'] = '1'")


def test_subinterpreter_reads_what_the_main_one_shared(host, name):
    tree = sharedmap.rbtree()
    tree["a"] = "1"
    tree.share(name)
    host.run(
        "run(script)",
        script=script(
            """
            with sharedmap.sharedmap(name) as m:
                assert m["a"] == "1" and list(m) == ["a"]
            """,
            name=name,
        ),
    )


def test_interpreters_share_one_mapping_of_a_map(host, name):
    sharedmap.share({"a": "1"}, name)
    host.run("m = sharedmap.sharedmap(name)", name=name)
    host.run(
        "run(script)",
        script=script(
            """
            with open("/proc/self/maps") as maps:
                before = maps.read().count("/dev/shm/sharedmap." + name)
            with sharedmap.sharedmap(name) as m, open("/proc/self/maps") as maps:
                assert before == 1 == maps.read().count("/dev/shm/sharedmap." + name)
            """,
            name=name,
        ),
    )
    assert host.eval("m['a']") == "1"


def test_interpreters_share_one_mapping_while_all_of_them_follow_the_map(host, name):
    """Each opens it by its name; with a GIL of its own where Python has that."""
    sharedmap.share({"a": "1"}, name)
    host.run("ready = os.pipe(); go = [os.pipe() for _ in range(4)]; failures = []")
    work = """
        import os
        m = sharedmap.sharedmap(name, follow=True)
        for value in ("1", "2"):
            assert m["a"] == value
            os.write(ready, b"x")
            assert os.read(go, 1) == b"x"
        """
    ready = host.eval("ready[1]")
    scripts = [script(work, name=name, ready=ready, go=go) for go, _ in host.eval("go")]
    host.run("follow = lambda: failures.extend(run_together(scripts))", scripts=scripts)
    host.run("thread = threading.Thread(target=follow); thread.start()")
    mapped = "sum('/dev/shm/' in line for line in open('/proc/self/maps'))"
    for value in ("2", "3"):
        assert host.eval("b''.join(os.read(ready[0], 1) for _ in range(4))") == b"xxxx"
        assert host.eval(mapped) == 1
        sharedmap.share({"a": value}, name, force=True)
        host.run("for _, one in go: os.write(one, b'x')")
    host.run("thread.join()")
    assert host.eval("failures") == []
    assert host.eval(mapped) == 0


def test_main_interpreter_reads_what_a_subinterpreter_shared(host, name):
    host.run(
        "run(script)",
        script=script(
            """
            t = sharedmap.rbtree()
            t["a"] = "sub"
            t.share(name)
            """,
            name=name,
        ),
    )
    assert host.eval("sharedmap.sharedmap(name)['a']", name=name) == "sub"


def test_exception_of_a_subinterpreter_is_its_own_type(host, name, plant_bytes):
    plant_bytes(name, b"junk")
    host.run(
        "run(script)",
        script=script(
            """
            try:
                sharedmap.sharedmap(name)
            except sharedmap.SnapshotError as error:
                assert type(error) is sharedmap.SnapshotError
            else:
                raise AssertionError
            """,
            name=name,
        ),
    )
    with pytest.raises(sharedmap.SnapshotError):
        host.run("sharedmap.sharedmap(name)", name=name)


def test_map_of_the_main_interpreter_survives_the_end_of_others(host, name):
    host.run("t = sharedmap.rbtree(); t['a'] = '1'; t.share(name)", name=name)
    host.run("m = sharedmap.sharedmap(name); keys = iter(m)")
    use = script("m = sharedmap.sharedmap(name); list(m)", name=name)
    for _ in range(5):
        host.run("run(use)", use=use)
    assert host.eval("(m['a'], list(keys), t['a'])") == ("1", ["a"], "1")


def test_subinterpreter_that_ends_with_open_maps_leaves_no_mapping(host, name):
    sharedmap.rbtree().share(name)
    leave_open = script(
        """
        m = sharedmap.sharedmap(name)
        keys = iter(m)
        t = sharedmap.rbtree()
        t["a"] = "1"
        """,
        name=name,
    )
    host.run("run(leave_open)", leave_open=leave_open)
    assert host.eval("sum('/dev/shm/' in line for line in open('/proc/self/maps'))") == 0


def test_subinterpreters_work_at_the_same_time(host, names):
    own = [names() for _ in range(4)]
    common = names()
    work = """
    for turn in range(30):
        t = sharedmap.rbtree()
        for number in range(200):
            t[str(number)] = name
        t.share(name, force=True)
        t.share(common, force=True)
        sharedmap.update(common, t)
        with sharedmap.sharedmap(name) as m:
            assert [m[key] for key in m] == [name] * 200
            assert m.get_many(list(m)) == list(m.values()) == [name] * 200
            assert len(m["1":"2"]) == 111 and m == t and m.verify() is None
            assert [m["7"] for _ in range(5)] == [name] * 5
        assert name in sharedmap.names()
        with sharedmap.sharedmap(common) as m:
            assert len({m[key] for key in m}) == 1
    """
    scripts = [script(work, name=name, common=common) for name in own]
    assert host.eval("run_together(scripts)", scripts=scripts) == []
    for name in own:
        with sharedmap.sharedmap(name) as shared:
            assert shared["7"] == name


@pytest.mark.skipif(
    sys.version_info < (3, 12),
    reason="Python before 3.12 hangs when another thread ends an interpreter",
)
def test_interpreters_of_one_thread_each_cache_their_values(host, name):
    """One thread goes back and forth between them; another one ends the one that it used."""
    sharedmap.share({f"key {number}": f"value {number}" for number in range(10)}, name)
    host.run(
        """
work = f'''
import sharedmap
m = sharedmap.sharedmap({name!r})
keys = [f"key {{number}}" for number in range(10)]
for _ in range(100):
    assert [m[key] for key in keys] == [f"value {{number}}" for number in range(10)]
'''
exec(work)
for _ in range(5):
    own = create()
    for _ in range(3):
        run(work, own)
        exec(work)
    ending = threading.Thread(target=interpreters.destroy, args=(own,))
    ending.start()
    ending.join()
    exec(work)
""",
        name=name,
    )


@pytest.mark.skipif(
    sys.version_info < (3, 12), reason="Python before 3.12 has one GIL for all interpreters"
)
def test_interpreters_of_this_test_have_a_gil_of_their_own(host):
    """While the main interpreter waits in C and keeps its GIL, another one runs to its end."""
    host.run("""
import ctypes, os
reading, writing = os.pipe()
script = f'''
import os, sharedmap
t = sharedmap.rbtree()
t["a"] = "1"
os.write({writing}, t["a"].encode())
'''
# PyDLL keeps the GIL for the whole call, so with one GIL for all this would wait for ever.
read_with_gil = ctypes.PyDLL(None).read
buffer = ctypes.create_string_buffer(1)
own = create()
interpreters.run_string(own, "import sharedmap")
ready = threading.Event()
def start_and_run():
    ready.set()
    run(script, own)
thread = threading.Thread(target=start_and_run)
thread.start()
ready.wait()
""")
    assert host.eval("read_with_gil(reading, buffer, 1)") == 1
    host.run("thread.join(); interpreters.destroy(own)")
    assert host.eval("buffer.raw") == b"1"
