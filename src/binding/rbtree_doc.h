/* binding/rbtree_doc.h
 *
 * What help() says. The first line of each is its signature; the examples are
 * run by the tests.
 */
#ifndef SHAREDMAP_BINDING_RBTREE_DOC_H
#define SHAREDMAP_BINDING_RBTREE_DOC_H

static const char rbtree_doc[] =
    "rbtree(data=(), /, *, encode=None, decode=None, **items)\n"
    "--\n"
    "\n"
    "A mutable map with str keys that is always sorted, like a dict\n"
    "otherwise.\n"
    "\n"
    "data is a mapping or an iterable of pairs. Keys are in the order of\n"
    "their code points. Values are str, bytes, int, float, bool or None and\n"
    "come back with the same type and value; anything else goes through\n"
    "encode, a function from the value to bytes, and comes back through\n"
    "decode, which reverses it. share() publishes a snapshot, which any\n"
    "process reads with sharedmap().\n"
    "\n"
    "Raises TypeError for a key that is not a str and for a value of\n"
    "another type without encode. O(n log n) to build, O(n) if sorted;\n"
    "O(log n) for one key.\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> t = rbtree({\"b\": 2}, a=1)\n"
    ">>> t[\"c\"] = 3.5\n"
    ">>> t\n"
    "rbtree({'a': 1, 'b': 2, 'c': 3.5})\n"
    ">>> list(t[\"b\":])\n"
    "['b', 'c']";

static const char rbtree_set_doc[] =
    "set($self, key, value, /)\n"
    "--\n"
    "\n"
    "Insert the key or replace its value, like t[key] = value; return True.\n"
    "\n"
    "Raises TypeError for a key that is not a str and for a value of\n"
    "another type without encode. O(log n).\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> rbtree().set(\"a\", \"1\")\n"
    "True";

static const char rbtree_pop_doc[] =
    "pop($self, key, default=..., /)\n"
    "--\n"
    "\n"
    "Remove the key and return its value.\n"
    "\n"
    "When the key is not there, return default, or raise KeyError without\n"
    "one. O(log n).\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> t = rbtree(a=1)\n"
    ">>> t.pop(\"a\"), t.pop(\"a\", None), len(t)\n"
    "(1, None, 0)";

static const char rbtree_popitem_doc[] =
    "popitem($self, index=-1)\n"
    "--\n"
    "\n"
    "Remove and return the (key, value) pair at a place in the order.\n"
    "\n"
    "The last by default; popitem(0) takes the first. Raises KeyError when\n"
    "the tree is empty, IndexError when the index is out of range.\n"
    "O(log n) near both ends, O(n) in the middle.\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> t = rbtree(a=1, b=2, c=3)\n"
    ">>> t.popitem(), t.popitem(0)\n"
    "(('c', 3), ('a', 1))";

static const char rbtree_setdefault_doc[] =
    "setdefault($self, key, /, default=None)\n"
    "--\n"
    "\n"
    "The value of key; when it is not there, insert default and return it.\n"
    "\n"
    "Raises TypeError as t[key] = default does. O(log n).\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> t = rbtree(a=1)\n"
    ">>> t.setdefault(\"a\", 5), t.setdefault(\"b\", 6)\n"
    "(1, 6)";

static const char rbtree_update_doc[] =
    "update($self, data=(), /, **items)\n"
    "--\n"
    "\n"
    "Insert or replace from a mapping or an iterable of pairs.\n"
    "\n"
    "A bad key or value anywhere leaves the tree as it was. Raises\n"
    "TypeError, and ValueError for a pair that is none. O(k log(n + k)) for\n"
    "k entries; into an empty tree O(k log k), O(k) if sorted.\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> t = rbtree(a=1)\n"
    ">>> t.update([(\"b\", 2)], c=3)\n"
    ">>> t\n"
    "rbtree({'a': 1, 'b': 2, 'c': 3})";

static const char rbtree_clear_doc[] = "clear($self, /)\n"
                                       "--\n"
                                       "\n"
                                       "Remove everything. O(n).\n"
                                       "\n"
                                       ">>> from sharedmap import rbtree\n"
                                       ">>> t = rbtree(a=1)\n"
                                       ">>> t.clear()\n"
                                       ">>> t\n"
                                       "rbtree()";

static const char rbtree_copy_doc[] =
    "copy($self, /)\n"
    "--\n"
    "\n"
    "A new tree with the same entries and hooks. O(n).\n"
    "\n"
    "That of a subclass is of the same class and has the same attributes, as\n"
    "with copy.copy(); __init__ is not called. The same is true of t | other\n"
    "and other | t.\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> t = rbtree(a=1)\n"
    ">>> u = t.copy()\n"
    ">>> u[\"b\"] = 2\n"
    ">>> t, u\n"
    "(rbtree({'a': 1}), rbtree({'a': 1, 'b': 2}))";

static const char rbtree_fromkeys_doc[] =
    "fromkeys($type, keys, value=None, /)\n"
    "--\n"
    "\n"
    "A new tree with these keys, all with the same value. O(n log n).\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> rbtree.fromkeys(\"ba\", 0)\n"
    "rbtree({'a': 0, 'b': 0})";

static const char rbtree_share_doc[] =
    "share($self, name, force=False, *, mode=0o600, expect=None,\n"
    "      index='hash', huge_pages=False)\n"
    "--\n"
    "\n"
    "Publish a snapshot under the name and return True.\n"
    "\n"
    "Any process of the same user opens it with sharedmap(name), until\n"
    "remove(name). With force it replaces what is published; open readers\n"
    "keep what they have, or move on if they follow. mode=0o644 lets other\n"
    "users read it. expect is the generation to be replaced, 0 for none: if\n"
    "another one is published by now, that one stays. index='tree' leaves\n"
    "out the hash index: 7 bytes less for each entry, and m[key] searches\n"
    "in O(log n). huge_pages asks the system to keep the snapshot in pages\n"
    "of 2 MiB: publishing takes longer, reading large maps at random is\n"
    "faster. Whatever goes wrong, what was published before stays\n"
    "published.\n"
    "\n"
    "Raises FileExistsError when the name is taken and force is false,\n"
    "StaleError when another generation than expect is published,\n"
    "PermissionError when it is another user's, OSError(ENOSPC) when\n"
    "/dev/shm is full, TimeoutError when another publisher holds the lock\n"
    "for 5 seconds, ValueError for a name that is empty, has a NUL or is\n"
    "too long and for a mode that lets others write, SnapshotError when\n"
    "the name belongs to something that is no regular file. O(n).\n"
    "\n"
    ">>> from sharedmap import rbtree, remove, sharedmap\n"
    ">>> rbtree(a=\"1\").share(\"doc:share\", force=True)\n"
    "True\n"
    ">>> sharedmap(\"doc:share\")[\"a\"]\n"
    "'1'\n"
    ">>> remove(\"doc:share\")\n"
    "True";

static const char rbtree_save_doc[] =
    "save($self, path, force=False, *, mode=0o600, index='hash')\n"
    "--\n"
    "\n"
    "Save a snapshot as a file and return True.\n"
    "\n"
    "It is on the disk, whole, before the path leads to it; with force it\n"
    "replaces a file that is there. Read it with sharedmap.open(path).\n"
    "\n"
    "Raises FileExistsError when the file exists and force is false,\n"
    "SnapshotError when the path belongs to something that is no regular\n"
    "file, OSError for what the file system refuses, TimeoutError and\n"
    "ValueError as share() does, and ValueError for a path that ends in\n"
    ".sharedmap~, as files do that are being saved. O(n).\n"
    "\n"
    ">>> import os, tempfile\n"
    ">>> from sharedmap import rbtree, sharedmap\n"
    ">>> with tempfile.TemporaryDirectory() as folder:\n"
    "...     path = os.path.join(folder, \"a.map\")\n"
    "...     rbtree(a=\"1\").save(path), sharedmap.open(path)[\"a\"]\n"
    "(True, '1')";

static const char rbtree_dump_doc[] =
    "dump($self, name='', *, index='hash')\n"
    "--\n"
    "\n"
    "The snapshot that share() would publish, as bytes.\n"
    "\n"
    "The optional name is written into it as a label. Two dumps of equal\n"
    "trees differ in their unique ids alone.\n"
    "\n"
    "Raises ValueError for a name of more than 256 bytes of UTF-8. O(n).\n"
    "\n"
    ">>> from sharedmap import rbtree, sharedmap\n"
    ">>> sharedmap.frombuffer(rbtree(a=\"1\").dump())[\"a\"]\n"
    "'1'";

static const char rbtree_remove_doc[] =
    "remove($type, name, /)\n"
    "--\n"
    "\n"
    "Free a published name; False when nothing was published under it.\n"
    "\n"
    "Any process of the same user may do it. Open readers keep what they\n"
    "have. Raises PermissionError when it is another user's, SnapshotError\n"
    "when it is no regular file, ValueError for what cannot be a name.\n"
    "O(1).\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> rbtree.remove(\"doc:nobody\")\n"
    "False";

static const char rbtree_sizeof_doc[] =
    "__sizeof__($self, /)\n"
    "--\n"
    "\n"
    "Bytes of memory that the tree takes, keys and values included.";

#endif
