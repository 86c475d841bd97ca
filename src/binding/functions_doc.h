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

static const char module_share_doc[] =
    "share($module, /, mapping, name, force=False, *, mode=0o600)\n"
    "--\n"
    "\n"
    "Publish a mapping, or pairs, under the name without building a tree.\n"
    "\n"
    "The same as rbtree(mapping).share(name, force, mode=mode), but faster.\n"
    "Returns True and raises what these two raise. O(n log n), O(n) if\n"
    "sorted.\n"
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
