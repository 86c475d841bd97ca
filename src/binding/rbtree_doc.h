/* binding/rbtree_doc.h
 *
 * Docstrings. The first line of each is its signature; the tests run the
 * examples.
 */
#ifndef SHAREDMAP_BINDING_RBTREE_DOC_H
#define SHAREDMAP_BINDING_RBTREE_DOC_H

static const char rbtree_doc[] =
    "rbtree(data=(), /, *, encode=None, decode=None, **items)\n"
    "--\n"
    "\n"
    "A mutable mapping with str keys that is always sorted.\n"
    "\n"
    "Apart from the order it behaves like a dict. data is a mapping or an\n"
    "iterable of (key, value) pairs. Keys are ordered by code point. Values\n"
    "are str, bytes, int, float, bool, None, or a list, tuple or dict of such\n"
    "values, and keep their type and value. Each lookup returns a new object.\n"
    "Other types need encode, a function from the value to bytes, and decode,\n"
    "its inverse. share() publishes a snapshot, which any process opens with\n"
    "sharedmap().\n"
    "\n"
    "Raises TypeError for a key that is not a str and for a value of another\n"
    "type without encode. Raises ValueError for an element that is not a\n"
    "pair. O(n log n) to build, O(n) if sorted; O(log n) for one key.\n"
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
    "Raises TypeError for a key that is not a str and for a value of another\n"
    "type without encode. O(log n).\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> rbtree().set(\"a\", \"1\")\n"
    "True";

static const char rbtree_pop_doc[] =
    "pop($self, key, default=..., /)\n"
    "--\n"
    "\n"
    "Remove a key and return its value.\n"
    "\n"
    "When the key is absent, return default, or raise KeyError if no default\n"
    "is given. Raises TypeError when the key is not a str. O(log n).\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> t = rbtree(a=1)\n"
    ">>> t.pop(\"a\"), t.pop(\"a\", None), len(t)\n"
    "(1, None, 0)";

static const char rbtree_popitem_doc[] =
    "popitem($self, index=-1)\n"
    "--\n"
    "\n"
    "Remove the (key, value) pair at an index in key order; return it.\n"
    "\n"
    "The last pair by default; popitem(0) removes the first. Raises KeyError\n"
    "when the tree is empty, IndexError when the index is out of range. O(log\n"
    "n) near both ends, O(n) in the middle.\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> t = rbtree(a=1, b=2, c=3)\n"
    ">>> t.popitem(), t.popitem(0)\n"
    "(('c', 3), ('a', 1))";

static const char rbtree_setdefault_doc[] =
    "setdefault($self, key, /, default=None)\n"
    "--\n"
    "\n"
    "Look up a key; when it is absent, insert default. Return its value.\n"
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
    "Insert or replace entries from a mapping or an iterable of pairs.\n"
    "\n"
    "The update is atomic: an invalid key or value anywhere leaves the tree\n"
    "unchanged. Only the exception of a signal handler, KeyboardInterrupt for\n"
    "example, can leave some entries put and others not. Raises TypeError for\n"
    "an invalid key or value, ValueError for an element that is not a pair.\n"
    "O(k log(n + k)) for k entries; into an empty tree O(k log k), O(k) if\n"
    "sorted.\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> t = rbtree(a=1)\n"
    ">>> t.update([(\"b\", 2)], c=3)\n"
    ">>> t\n"
    "rbtree({'a': 1, 'b': 2, 'c': 3})";

static const char rbtree_clear_doc[] = "clear($self, /)\n"
                                       "--\n"
                                       "\n"
                                       "Remove all entries. O(n).\n"
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
    "The copy of a subclass instance has the same class and the same\n"
    "attributes, as with copy.copy(); __init__ is not called. The same\n"
    "applies to t | other and other | t.\n"
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
    "      index='hash', huge_pages=False, timeout=5.0, exist_ok=False,\n"
    "      align=8)\n"
    "--\n"
    "\n"
    "Publish a snapshot under a name, atomically; return True.\n"
    "\n"
    "Any process of the same user opens it with sharedmap(name), until\n"
    "remove(name). When publishing fails, the previous snapshot stays\n"
    "published.\n"
    "\n"
    "force replaces a published snapshot. Open readers keep the old snapshot,\n"
    "or switch to the new one if they follow. mode=0o644 lets other users\n"
    "read it. expect is the generation or the id of the version to replace,\n"
    "0 for none; a different version stays published. With exist_ok, the\n"
    "call changes nothing and returns False when the name is taken.\n"
    "\n"
    "index='tree' omits the hash index: this saves 7 bytes per entry, and\n"
    "m[key] takes O(log n). huge_pages requests memory pages of 2 MiB.\n"
    "Publishing then takes longer, and random reads of large maps are faster.\n"
    "align, 8 to 64, is what the addresses of bytes and of encoded values are\n"
    "multiples of, for view(). With more than 8, update() copies the map.\n"
    "\n"
    "Raises FileExistsError when the name is in use and force is false,\n"
    "StaleError when another version than expect is published. Raises\n"
    "PermissionError when the map belongs to another user, OSError(ENOSPC)\n"
    "when /dev/shm is full. Raises TimeoutError when other publishers hold\n"
    "the lock for longer than timeout, in seconds; None waits without limit.\n"
    "Publishers get the lock in the order of their arrival. Raises ValueError\n"
    "for an invalid name (empty, with a NUL or too long), for a mode that\n"
    "lets other users write, and for exist_ok together with force or expect.\n"
    "Raises SnapshotError when the name belongs to something other than a\n"
    "regular file. An exception of a signal handler,\n"
    "KeyboardInterrupt for example, interrupts publishing; the previous\n"
    "snapshot then stays published. O(n).\n"
    "\n"
    ">>> from sharedmap import rbtree, remove, sharedmap\n"
    ">>> rbtree(a=\"1\").share(\"doc:share\", force=True)\n"
    "True\n"
    ">>> sharedmap(\"doc:share\")[\"a\"]\n"
    "'1'\n"
    ">>> remove(\"doc:share\")\n"
    "True";

static const char rbtree_save_doc[] =
    "save($self, path, force=False, *, mode=0o600, index='hash',\n"
    "     timeout=5.0, align=8)\n"
    "--\n"
    "\n"
    "Save a snapshot as a file, atomically; return True.\n"
    "\n"
    "The file is complete and synced to disk before it appears under the\n"
    "path. force replaces an existing file. Open the file with\n"
    "sharedmap.open(path). align is that of share().\n"
    "\n"
    "Raises FileExistsError when the file exists and force is false,\n"
    "SnapshotError when the path belongs to something other than a regular\n"
    "file. Raises OSError for errors of the file system, TimeoutError and\n"
    "ValueError as share() does. A path that ends in .sharedmap~ is reserved\n"
    "for temporary files and raises ValueError. O(n).\n"
    "\n"
    ">>> import os, tempfile\n"
    ">>> from sharedmap import rbtree, sharedmap\n"
    ">>> with tempfile.TemporaryDirectory() as folder:\n"
    "...     path = os.path.join(folder, \"a.map\")\n"
    "...     rbtree(a=\"1\").save(path), sharedmap.open(path)[\"a\"]\n"
    "(True, '1')";

static const char rbtree_dump_doc[] =
    "dump($self, name='', *, index='hash', align=8)\n"
    "--\n"
    "\n"
    "Serialize the tree as the snapshot that share() publishes, to bytes.\n"
    "\n"
    "The optional name is stored as a label. Two dumps of equal trees differ\n"
    "only in their unique ids. align is that of share(), from the first byte on.\n"
    "\n"
    "Raises ValueError for a name longer than 256 bytes of UTF-8. O(n).\n"
    "\n"
    ">>> from sharedmap import rbtree, sharedmap\n"
    ">>> sharedmap.frombuffer(rbtree(a=\"1\").dump())[\"a\"]\n"
    "'1'";

static const char rbtree_remove_doc[] =
    "remove($type, name, /, *, timeout=5.0)\n"
    "--\n"
    "\n"
    "Remove a published map; return False when there was none.\n"
    "\n"
    "Any process of the same user may remove it. Open readers keep their\n"
    "snapshot. Raises PermissionError when the map belongs to another user,\n"
    "SnapshotError when it is not a regular file, ValueError for an invalid\n"
    "name. Raises TimeoutError when a publisher holds the lock for longer\n"
    "than timeout, in seconds; None waits without limit. O(1).\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> rbtree.remove(\"doc:absent\")\n"
    "False";

static const char rbtree_sizeof_doc[] =
    "__sizeof__($self, /)\n"
    "--\n"
    "\n"
    "The memory used by the tree in bytes, keys and values included.";

#endif
