"""Two builds share a directory: each reads, follows and updates what the other publishes.

    SHAREDMAP_DIRECTORY=/dev/shm python tests/faults/two_builds.py PYTHON PYTHON

The package of one is built for Linux, that of the other with SHAREDMAP_PORTABLE=1. What one of them
saves, the other reads, follows and saves again. Then two processes of each update the same map at
the same time. No update may be lost.
"""

import os
import subprocess
import sys
import tempfile

ENTRIES, UPDATES = 20_000, 1_500


def start(python, name, code):
    code = f"import sharedmap\nname = {name!r}\n{code}"
    return subprocess.Popen([python, "-c", code], stdout=subprocess.PIPE, text=True)


def answer(process):
    text = process.communicate()[0].strip()
    if process.returncode != 0:
        sys.exit("a process failed")
    return text


def run(python, name, code):
    return answer(start(python, name, code))


def play(one, two, name):
    """One publishes, two updates while one follows; then both update."""
    entries = f"{{f'{{i:06}}': i for i in range({ENTRIES})}}"
    run(one, name, f"sharedmap.share({entries}, name, force=True)")
    assert run(two, name, "print(sharedmap.sharedmap(name)['000042'])") == "42"
    follower = start(
        one,
        name,
        "m = sharedmap.sharedmap(name, follow=True)\nprint('ready', flush=True)\n"
        "print(m.wait(30), m['000042'])",
    )
    assert follower.stdout.readline() == "ready\n"
    run(two, name, "sharedmap.update(name, {'000042': -1})")
    assert answer(follower) == "True -1"
    writers = [
        start(
            python, name, f"for i in range({UPDATES}): sharedmap.update(name, {{f'{key}{{i}}': i}})"
        )
        for python, key in ((one, "a"), (two, "b"), (one, "c"), (two, "d"))
    ]
    for writer in writers:
        answer(writer)
    found = run(two, name, "m = sharedmap.sharedmap(name)\nm.verify()\nprint(len(m), m.generation)")
    assert found == f"{ENTRIES + 4 * UPDATES} {2 + 4 * UPDATES}", found
    run(two, name, "assert sharedmap.remove(name)")


def save(one, two, path):
    """One saves and follows, two reads and saves a newer version, one publishes that as a map."""
    run(one, path, "sharedmap.rbtree({'a': 1, 'b': [2]}).save(name)")
    assert run(two, path, "print(dict(sharedmap.sharedmap.open(name)))") == "{'a': 1, 'b': [2]}"
    follower = start(
        one,
        path,
        "m = sharedmap.sharedmap.open(name, follow=True)\nprint('ready', flush=True)\n"
        "print(m.wait(30), m['a'])",
    )
    assert follower.stdout.readline() == "ready\n"
    run(two, path, "sharedmap.rbtree({'a': 3}).save(name, force=True)")
    assert answer(follower) == "True 3"
    found = run(one, path, "m = sharedmap.sharedmap.open(name)\nm.verify()\nprint(m.generation)")
    assert found == "2", found
    assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]
    os.unlink(path)


def main():
    pythons = sys.argv[1:]
    if len(pythons) != 2:
        sys.exit(__doc__)
    name = f"two-builds-{os.getpid()}"
    built = {run(python, name, "print(sharedmap._sharedmap._platform())") for python in pythons}
    if built != {"linux", "portable"}:
        sys.exit(f"one build of each kind is needed, not {sorted(built)}")
    for one, two in (pythons, reversed(pythons)):
        play(one, two, name)
        with tempfile.TemporaryDirectory() as folder:
            save(one, two, os.path.join(folder, "saved.map"))
    print(f"{8 * UPDATES:,} updates of two builds, none lost")


if __name__ == "__main__":
    main()
