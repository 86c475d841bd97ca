"""The smallest complete program: one process writes a map, another one reads it.

    python examples/hello.py

The map stays when the writer ends, so the last line removes it.
"""

import multiprocessing

import sharedmap

NAME = "test:3325"


def write() -> None:
    tree = sharedmap.rbtree()
    tree.set("aaa", "323")
    tree.set("zb", "1233")
    tree.set("tes", "32z")
    tree.set("红", "32是")
    print("writer: tes is", tree.get("tes"))
    tree.share(NAME, force=True)


def read() -> None:
    shared = sharedmap.sharedmap(NAME)
    for key in ("aaa", "zb", "tes", "红", "missing"):
        print(f"reader: {key} is", shared.get(key))


if __name__ == "__main__":
    try:
        write()
        # A spawned process is a new interpreter: it inherits nothing of this one's memory.
        reader = multiprocessing.get_context("spawn").Process(target=read)
        reader.start()
        reader.join()
    finally:
        sharedmap.rbtree.remove(NAME)
    raise SystemExit(reader.exitcode)
