/* binding/functions_doc.h
 *
 * What help() says. The first line of each is its signature; the examples are
 * run by the tests.
 */
#ifndef SHAREDMAP_BINDING_FUNCTIONS_DOC_H
#define SHAREDMAP_BINDING_FUNCTIONS_DOC_H

static const char snapshot_error_doc[] =
    "The bytes are no snapshot, or not a whole one; says which check failed.\n"
    "\n"
    ">>> from sharedmap import SnapshotError, sharedmap\n"
    ">>> try:\n"
    "...     sharedmap.frombuffer(b\"x\" * 512)\n"
    "... except SnapshotError as error:\n"
    "...     print(error)\n"
    "not a sharedmap snapshot (wrong magic number)";

static const char stale_error_doc[] =
    "Another generation is published than was expected.\n"
    "\n"
    "The attributes expected and found are both generations, int; 0 stands\n"
    "for none.\n"
    "\n"
    ">>> from sharedmap import StaleError, remove, share\n"
    ">>> share({}, \"doc:stale\", force=True)\n"
    "True\n"
    ">>> try:\n"
    "...     share({}, \"doc:stale\", expect=7)\n"
    "... except StaleError as error:\n"
    "...     print(error)\n"
    "generation 1 of 'doc:stale' is published, not the expected 7\n"
    ">>> remove(\"doc:stale\")\n"
    "True";

static const char module_update_doc[] =
    "update($module, /, name, changes, remove=(), *, encode=None)\n"
    "--\n"
    "\n"
    "Publish what is published with some changes; return its generation.\n"
    "\n"
    "changes is a mapping or an iterable of pairs to insert or replace,\n"
    "remove an iterable of keys to leave out; those that are not there do\n"
    "not matter. It happens under the publish lock: of two updates at the\n"
    "same time none is lost. The mode stays.\n"
    "\n"
    "Raises FileNotFoundError when nothing is published under the name,\n"
    "ValueError when a key is in both, SnapshotError when what is published\n"
    "is damaged, and what share() raises. O(n + k log k) for k changes.\n"
    "\n"
    ">>> from sharedmap import remove, share, sharedmap, update\n"
    ">>> share({\"a\": 1, \"b\": 2}, \"doc:update\", force=True)\n"
    "True\n"
    ">>> update(\"doc:update\", {\"c\": 3}, remove=[\"a\"])\n"
    "2\n"
    ">>> dict(sharedmap(\"doc:update\"))\n"
    "{'b': 2, 'c': 3}\n"
    ">>> remove(\"doc:update\")\n"
    "True";

static const char module_share_doc[] =
    "share($module, /, mapping, name, force=False, *, mode=0o600,\n"
    "      expect=None, index='hash', huge_pages=False, encode=None)\n"
    "--\n"
    "\n"
    "Publish a mapping, or pairs, under the name without building a tree.\n"
    "\n"
    "The same as rbtree(mapping, encode=encode).share(name, ...), but\n"
    "faster. Returns True and raises what these two raise. O(n log n), O(n)\n"
    "if sorted. A sharedmap without decode, or a part of one, is copied as it\n"
    "is, with values that somebody encoded, and without a copy in between;\n"
    "SnapshotError when it is damaged.\n"
    "\n"
    ">>> from sharedmap import remove, share, sharedmap\n"
    ">>> share({\"b\": 2, \"a\": 1}, \"doc:share\", force=True)\n"
    "True\n"
    ">>> dict(sharedmap(\"doc:share\"))\n"
    "{'a': 1, 'b': 2}\n"
    ">>> remove(\"doc:share\")\n"
    "True";

static const char module_remove_doc[] =
    "remove($module, name, /)\n"
    "--\n"
    "\n"
    "Free a published name; False when nothing was published under it.\n"
    "\n"
    "The same as rbtree.remove(name).\n"
    "\n"
    ">>> from sharedmap import remove\n"
    ">>> remove(\"doc:nobody\")\n"
    "False";

static const char module_names_doc[] =
    "names($module, /)\n"
    "--\n"
    "\n"
    "The names under which something is published here, sorted.\n"
    "\n"
    "Those of other users too, which one may not be allowed to open. O(k)\n"
    "for k files in /dev/shm.\n"
    "\n"
    ">>> from sharedmap import names, remove, share\n"
    ">>> share({}, \"doc:names\", force=True)\n"
    "True\n"
    ">>> \"doc:names\" in names()\n"
    "True\n"
    ">>> remove(\"doc:names\")\n"
    "True";

#endif
