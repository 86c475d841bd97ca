/* binding/sharedmap_doc.h
 *
 * What help() says. The first line of each is its signature; the examples are
 * run by the tests.
 */
#ifndef SHAREDMAP_BINDING_SHAREDMAP_DOC_H
#define SHAREDMAP_BINDING_SHAREDMAP_DOC_H

static const char sharedmap_doc[] =
    "sharedmap(name, *, follow=False, decode=None, owner=None)\n"
    "--\n"
    "\n"
    "The map that some process published under the name, read in place.\n"
    "\n"
    "It is a snapshot, an immutable Mapping with str keys in order: what it\n"
    "answers never changes, whatever is published or removed later. Opening\n"
    "costs the same whatever the size, and however many processes have it\n"
    "open, it is in memory once. With follow each operation sees the newest\n"
    "snapshot that is published; views and iterators stay on the one they\n"
    "began with. decode reverses the encode of the publisher. owner is the\n"
    "uid or the name of a user who is trusted to publish, besides oneself\n"
    "and root.\n"
    "\n"
    "Raises FileNotFoundError when nothing is published under the name,\n"
    "PermissionError when it is another user's or others may write to it,\n"
    "SnapshotError when it is no whole snapshot, ValueError for what cannot\n"
    "be a name and for an owner that cannot be a uid, KeyError for an owner\n"
    "whose name no user has. O(1).\n"
    "\n"
    ">>> from sharedmap import remove, share, sharedmap\n"
    ">>> share({\"b\": 2, \"a\": 1}, \"doc:sharedmap\", force=True)\n"
    "True\n"
    ">>> with sharedmap(\"doc:sharedmap\") as m:\n"
    "...     m[\"a\"], list(m), m.get(\"c\")\n"
    "(1, ['a', 'b'], None)\n"
    ">>> remove(\"doc:sharedmap\")\n"
    "True";

static const char sharedmap_open_doc[] =
    "open($type, path, *, follow=False, decode=None, owner=None)\n"
    "--\n"
    "\n"
    "The map that rbtree.save() wrote to a file, read in place.\n"
    "\n"
    "The keywords are those of sharedmap(name); what follows notices files\n"
    "that save() replaces.\n"
    "\n"
    "Raises FileNotFoundError when there is no such file, PermissionError\n"
    "when it belongs to neither you nor root or others may write to it,\n"
    "SnapshotError when it is no whole snapshot. O(1).\n"
    "\n"
    ">>> import os, tempfile\n"
    ">>> from sharedmap import rbtree, sharedmap\n"
    ">>> with tempfile.TemporaryDirectory() as folder:\n"
    "...     path = os.path.join(folder, \"a.map\")\n"
    "...     rbtree(a=\"1\").save(path), sharedmap.open(path)[\"a\"]\n"
    "(True, '1')";

static const char sharedmap_frombuffer_doc[] =
    "frombuffer($type, data, *, decode=None)\n"
    "--\n"
    "\n"
    "The map in the bytes of a buffer: what rbtree.dump() made, an mmap.\n"
    "\n"
    "The bytes are not copied, and the buffer is held until nobody looks at\n"
    "them any more. Raises SnapshotError when they are no whole snapshot,\n"
    "TypeError or BufferError when data has no contiguous buffer. O(1).\n"
    "\n"
    ">>> from sharedmap import rbtree, sharedmap\n"
    ">>> sharedmap.frombuffer(rbtree(a=\"1\").dump())\n"
    "<sharedmap in a buffer, 1 entry>";

static const char sharedmap_get_many_doc[] =
    "get_many($self, keys, default=None)\n"
    "--\n"
    "\n"
    "The values of many keys, a list; default for those that are not there.\n"
    "\n"
    "Much faster than asking for one after the other, since the memory that\n"
    "one key needs is on its way while others are looked up. Raises\n"
    "TypeError when a key is not a str. O(k), O(k log n) without a hash\n"
    "index.\n"
    "\n"
    ">>> from sharedmap import rbtree, sharedmap\n"
    ">>> m = sharedmap.frombuffer(rbtree(a=1, b=2).dump())\n"
    ">>> m.get_many([\"b\", \"c\", \"a\"])\n"
    "[2, None, 1]";

static const char sharedmap_peekitem_doc[] =
    "peekitem($self, index=-1)\n"
    "--\n"
    "\n"
    "The (key, value) pair at a place in the order, the last by default.\n"
    "\n"
    "Raises IndexError when the index is out of range. O(1).\n"
    "\n"
    ">>> from sharedmap import rbtree, sharedmap\n"
    ">>> sharedmap.frombuffer(rbtree(a=1, b=2).dump()).peekitem(0)\n"
    "('a', 1)";

static const char sharedmap_index_doc[] =
    "index($self, key, /)\n"
    "--\n"
    "\n"
    "The place of the key in the order.\n"
    "\n"
    "Raises ValueError when the key is not there, TypeError when it is not\n"
    "a str. O(log n).\n"
    "\n"
    ">>> from sharedmap import rbtree, sharedmap\n"
    ">>> sharedmap.frombuffer(rbtree(a=1, b=2).dump()).index(\"b\")\n"
    "1";

static const char sharedmap_bisect_left_doc[] =
    "bisect_left($self, key, /)\n"
    "--\n"
    "\n"
    "How many keys are below the key.\n"
    "\n"
    "Raises TypeError when the key is not a str. O(log n).\n"
    "\n"
    ">>> from sharedmap import rbtree, sharedmap\n"
    ">>> sharedmap.frombuffer(rbtree(a=1, b=2).dump()).bisect_left(\"b\")\n"
    "1";

static const char sharedmap_bisect_right_doc[] =
    "bisect_right($self, key, /)\n"
    "--\n"
    "\n"
    "How many keys are not above the key.\n"
    "\n"
    "Raises TypeError when the key is not a str. O(log n).\n"
    "\n"
    ">>> from sharedmap import rbtree, sharedmap\n"
    ">>> sharedmap.frombuffer(rbtree(a=1, b=2).dump()).bisect_right(\"b\")\n"
    "2";

static const char sharedmap_view_doc[] =
    "view($self, key, /)\n"
    "--\n"
    "\n"
    "A read-only memoryview of the value's bytes, where they are.\n"
    "\n"
    "Nothing is copied. The bytes of a bytes value begin at a multiple of 8,\n"
    "so numpy can use them as they are; those of other types are as the\n"
    "format stores them. The view keeps the snapshot open, also when the\n"
    "map is closed. Raises KeyError, TypeError. O(1), O(log n) without a\n"
    "hash index.\n"
    "\n"
    ">>> from sharedmap import rbtree, sharedmap\n"
    ">>> m = sharedmap.frombuffer(rbtree(a=bytes(range(4))).dump())\n"
    ">>> m.view(\"a\")[1:3].tolist()\n"
    "[1, 2]";

static const char sharedmap_range_copy_doc[] =
    "__copy__($self, /)\n"
    "--\n"
    "\n"
    "The part itself: it never changes.";

static const char sharedmap_range_deepcopy_doc[] =
    "__deepcopy__($self, memo, /)\n"
    "--\n"
    "\n"
    "The part itself: it never changes.";

static const char sharedmap_refresh_doc[] =
    "refresh($self, /)\n"
    "--\n"
    "\n"
    "Move to the newest snapshot; True if there was a newer one.\n"
    "\n"
    "A name that was removed meanwhile leaves the map as it is. Raises\n"
    "SnapshotError and PermissionError as opening does when what is\n"
    "published now cannot be used; the map keeps what it has. O(1).\n"
    "\n"
    ">>> from sharedmap import remove, share, sharedmap\n"
    ">>> share({\"a\": 1}, \"doc:refresh\", force=True)\n"
    "True\n"
    ">>> m = sharedmap(\"doc:refresh\")\n"
    ">>> share({\"a\": 2}, \"doc:refresh\", force=True)\n"
    "True\n"
    ">>> m[\"a\"], m.stale, m.refresh(), m[\"a\"]\n"
    "(1, True, True, 2)\n"
    ">>> remove(\"doc:refresh\")\n"
    "True";

static const char sharedmap_wait_doc[] =
    "wait($self, timeout=None)\n"
    "--\n"
    "\n"
    "Sleep until something newer is published; False after timeout seconds.\n"
    "\n"
    "None waits for ever. Returns at once when there is something newer\n"
    "already: refresh() moves to it, a map that follows is there. Signals\n"
    "are handled while it sleeps. Raises ValueError when timeout is\n"
    "negative, the map is in a buffer, or it is closed meanwhile.\n"
    "\n"
    ">>> from sharedmap import remove, share, sharedmap\n"
    ">>> share({\"a\": 1}, \"doc:wait\", force=True)\n"
    "True\n"
    ">>> sharedmap(\"doc:wait\").wait(timeout=0.01)\n"
    "False\n"
    ">>> remove(\"doc:wait\")\n"
    "True";

static const char sharedmap_snapshot_doc[] =
    "snapshot($self, /)\n"
    "--\n"
    "\n"
    "Another map on what this one sees now, that does not follow.\n"
    "\n"
    "That of a subclass is of the same class and has the same attributes, as\n"
    "with copy.copy(). Raises ValueError when the map is closed. O(1).\n"
    "\n"
    ">>> from sharedmap import remove, share, sharedmap\n"
    ">>> share({\"a\": 1}, \"doc:snapshot\", force=True)\n"
    "True\n"
    ">>> m = sharedmap(\"doc:snapshot\", follow=True)\n"
    ">>> pinned = m.snapshot()\n"
    ">>> share({\"a\": 2}, \"doc:snapshot\", force=True)\n"
    "True\n"
    ">>> m[\"a\"], pinned[\"a\"]\n"
    "(2, 1)\n"
    ">>> remove(\"doc:snapshot\")\n"
    "True";

static const char sharedmap_copy_doc[] =
    "__copy__($self, /)\n"
    "--\n"
    "\n"
    "Another map on what this one sees now, that follows if this one does.\n"
    "\n"
    "Nothing is opened again, and nothing of the content copied. Raises\n"
    "ValueError when the map is closed. O(1).";

static const char sharedmap_deepcopy_doc[] =
    "__deepcopy__($self, memo, /)\n"
    "--\n"
    "\n"
    "Like __copy__; the attributes of a subclass are deep copies.";

static const char sharedmap_stale_doc[] =
    "Whether something newer is published or the name was removed, a bool.\n"
    "\n"
    "One memory load. Never true for a map in a buffer.";

static const char sharedmap_verify_doc[] =
    "verify($self, /)\n"
    "--\n"
    "\n"
    "Check every byte: checksum, references, types, text, order.\n"
    "\n"
    "Raises SnapshotError with the check that failed. O(size).\n"
    "\n"
    ">>> from sharedmap import rbtree, sharedmap\n"
    ">>> sharedmap.frombuffer(rbtree(a=1).dump()).verify()";

static const char sharedmap_close_doc[] =
    "close($self, /)\n"
    "--\n"
    "\n"
    "Let go of the snapshot; closing twice is fine.\n"
    "\n"
    "Iterators, ranges, views and memoryviews go on with what they have.\n"
    "Any other use of the closed map than name, closed and repr() is a\n"
    "ValueError. O(1).\n"
    "\n"
    ">>> from sharedmap import rbtree, sharedmap\n"
    ">>> m = sharedmap.frombuffer(rbtree(a=1).dump())\n"
    ">>> m.close()\n"
    ">>> m.closed\n"
    "True";

static const char sharedmap_enter_doc[] =
    "__enter__($self, /)\n"
    "--\n"
    "\n"
    "The map itself; leaving the with statement closes it.";

static const char sharedmap_exit_doc[] = "__exit__($self, /, *exc_info)\n"
                                         "--\n"
                                         "\n"
                                         "Close the map.";

static const char sharedmap_name_doc[] =
    "The name it was opened by, or the path from the root, a str.\n"
    "\n"
    "None for a buffer.";

static const char sharedmap_generation_doc[] =
    "How often the name had been published, counting this snapshot, an int.\n"
    "\n"
    "1 for the first; 0 for a snapshot that was only dumped.";

static const char sharedmap_nbytes_doc[] =
    "The size of the snapshot in bytes, an int.";

static const char sharedmap_closed_doc[] =
    "Whether close() was called, a bool.";

#endif
