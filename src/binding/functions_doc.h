/* binding/functions_doc.h
 *
 * Docstrings. The first line of each is its signature; the tests run the
 * examples.
 */
#ifndef SHAREDMAP_BINDING_FUNCTIONS_DOC_H
#define SHAREDMAP_BINDING_FUNCTIONS_DOC_H

static const char snapshot_error_doc[] =
    "The bytes are not a valid snapshot.\n"
    "\n"
    "The message names the check that failed. A subclass of ValueError.\n"
    "\n"
    ">>> from sharedmap import SnapshotError, sharedmap\n"
    ">>> try:\n"
    "...     sharedmap.frombuffer(b\"x\" * 512)\n"
    "... except SnapshotError as error:\n"
    "...     print(error)\n"
    "not a sharedmap snapshot (wrong magic number)";

static const char stale_error_doc[] =
    "The published version is not the expected one.\n"
    "\n"
    "The attribute expected is what was passed, a generation (int) or an id\n"
    "(str). The attribute found is the published generation, 0 for none.\n"
    "Unpickling a map that does not follow raises it, too, when its version\n"
    "is gone. A subclass of RuntimeError.\n"
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

static const char follow_warning_doc[] =
    "A map cannot advance: what is published cannot be opened.\n"
    "\n"
    "Issued by lookups of a map that follows, by wait() and by watch(), once\n"
    "per map for each kind of failure (type and errno). The map keeps its\n"
    "snapshot and tries again; its attribute follow_error has the exception.\n"
    "If a filter turns the warning into an exception, a lookup does not raise\n"
    "it but passes it to sys.unraisablehook. A subclass of RuntimeWarning.\n"
    "\n"
    ">>> import warnings\n"
    ">>> from sharedmap import FollowWarning\n"
    ">>> with warnings.catch_warnings():\n"
    "...     warnings.simplefilter(\"ignore\", FollowWarning)";

static const char module_update_doc[] =
    "update($module, /, name, changes, remove=(), *, encode=None,\n"
    "       timeout=60.0, expect=None)\n"
    "--\n"
    "\n"
    "Change entries of a published map atomically; return its generation.\n"
    "\n"
    "changes is a mapping or an iterable of (key, value) pairs to insert or\n"
    "replace. remove is an iterable of keys to remove, not a single str;\n"
    "absent keys are ignored. encode converts values of other types to\n"
    "bytes. The publish lock is held meanwhile, so that no concurrent update\n"
    "is lost; timeout is how long to wait for it, in seconds, None waits\n"
    "without limit. The mode stays the same. Changes that change nothing are\n"
    "not published; the present generation is returned then. expect is the\n"
    "generation or the id of the version to change; a different version\n"
    "stays as it is.\n"
    "\n"
    "Raises FileNotFoundError when nothing is published under the name,\n"
    "StaleError when that or another version is, but not the one that expect\n"
    "requires. Raises ValueError when a key is in both changes and remove,\n"
    "SnapshotError when the published snapshot is damaged, and the errors of\n"
    "share(). An interrupt leaves the old version published; during the\n"
    "compaction that may follow, the new one.\n"
    "\n"
    "O(k log n + sqrt(m)) for k changes to n entries, of which m have been\n"
    "changed since the last compaction, amortized; O(n) for a map of less\n"
    "than 4,096 entries or with align, or when more than an eighth of it has\n"
    "changed.\n"
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
    "      expect=None, index='hash', huge_pages=False, encode=None,\n"
    "      timeout=5.0, exist_ok=False, align=8)\n"
    "--\n"
    "\n"
    "Publish a mapping or an iterable of pairs without building a tree.\n"
    "\n"
    "Equivalent to rbtree(mapping, encode=encode).share(name, ...), but\n"
    "faster. Returns the same and raises the same errors. O(n log n), or O(n)\n"
    "if sorted. With exist_ok, mapping is not read when the name is taken.\n"
    "\n"
    "A sharedmap without decode, or a range of one, is copied directly from\n"
    "its snapshot, without deserialization. Values in a custom encoding are\n"
    "copied unchanged. Raises SnapshotError when that snapshot is damaged.\n"
    "\n"
    ">>> from sharedmap import remove, share, sharedmap\n"
    ">>> share({\"b\": 2, \"a\": 1}, \"doc:share\", force=True)\n"
    "True\n"
    ">>> dict(sharedmap(\"doc:share\"))\n"
    "{'a': 1, 'b': 2}\n"
    ">>> remove(\"doc:share\")\n"
    "True";

static const char module_remove_doc[] =
    "remove($module, name, /, *, timeout=5.0)\n"
    "--\n"
    "\n"
    "Remove a published map; return False when there was none.\n"
    "\n"
    "Equivalent to rbtree.remove(name).\n"
    "\n"
    ">>> from sharedmap import remove\n"
    ">>> remove(\"doc:absent\")\n"
    "False";

static const char module_names_doc[] =
    "names($module, /)\n"
    "--\n"
    "\n"
    "The names of all published maps, a sorted list of str.\n"
    "\n"
    "Maps of other users are included, even when the current user may not\n"
    "open them. O(k) for k files in their directory.\n"
    "\n"
    ">>> from sharedmap import names, remove, share\n"
    ">>> share({}, \"doc:names\", force=True)\n"
    "True\n"
    ">>> \"doc:names\" in names()\n"
    "True\n"
    ">>> remove(\"doc:names\")\n"
    "True";

#endif
