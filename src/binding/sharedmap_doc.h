/* binding/sharedmap_doc.h
 *
 * Docstrings. The first line of each is its signature; the tests run the
 * examples.
 */
#ifndef SHAREDMAP_BINDING_SHAREDMAP_DOC_H
#define SHAREDMAP_BINDING_SHAREDMAP_DOC_H

static const char sharedmap_doc[] =
    "sharedmap(name, *, follow=False, decode=None, owner=None, wait=0)\n"
    "--\n"
    "\n"
    "A read-only mapping that a process published under a name.\n"
    "\n"
    "It is an immutable Mapping with str keys in sorted order. Opening is\n"
    "zero-copy: no deserialization, the same cost at any size. Reads are\n"
    "lock-free. All processes that open the map share one copy in memory.\n"
    "\n"
    "Without follow, the map is one snapshot and never changes, whatever is\n"
    "published or removed later. With follow, each operation uses the newest\n"
    "published snapshot; views and iterators keep the one that they started\n"
    "on. decode is the inverse of the publisher's encode. owner is the uid or\n"
    "user name of a trusted publisher, in addition to the current user and\n"
    "root. In a user namespace the uid of all unmapped users is not trusted.\n"
    "wait is how long to wait, in seconds, for a map that is not published\n"
    "yet; None waits without limit. It is opened within 32 ms of its publication.\n"
    "\n"
    "Raises FileNotFoundError when nothing is published under the name,\n"
    "PermissionError when the map belongs to an untrusted user or is writable\n"
    "by others. Raises SnapshotError when the snapshot is not valid. Raises\n"
    "ValueError for an invalid name or an owner that is not a valid uid,\n"
    "KeyError for an unknown user name. O(1).\n"
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
    "open($type, path, *, follow=False, decode=None, owner=None, wait=0)\n"
    "--\n"
    "\n"
    "Open a file that rbtree.save() wrote, as a read-only mapping.\n"
    "\n"
    "Opening is zero-copy: the file is mapped into memory. The keyword\n"
    "arguments are those of sharedmap(name). With follow, the map switches\n"
    "when save() replaces the file.\n"
    "\n"
    "Raises FileNotFoundError when the file does not exist, PermissionError\n"
    "when it belongs to an untrusted user or is writable by others. Only the\n"
    "current user, root and owner are trusted. Raises SnapshotError when the\n"
    "file is not a valid snapshot. O(1).\n"
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
    "Open a snapshot in a buffer, such as rbtree.dump() or an mmap.\n"
    "\n"
    "Opening is zero-copy. The buffer is held until the map is closed and its\n"
    "iterators, ranges, views and memoryviews are gone. Raises SnapshotError\n"
    "when the bytes are not a valid snapshot, TypeError or BufferError when\n"
    "data has no contiguous buffer. O(1).\n"
    "\n"
    ">>> from sharedmap import rbtree, sharedmap\n"
    ">>> sharedmap.frombuffer(rbtree(a=\"1\").dump())\n"
    "<sharedmap in a buffer, 1 entry>";

static const char sharedmap_peekitem_doc[] =
    "peekitem($self, index=-1)\n"
    "--\n"
    "\n"
    "The (key, value) pair at an index in key order, the last by default.\n"
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
    "The index of a key in key order: its rank.\n"
    "\n"
    "Raises ValueError when the key is absent, TypeError when it is not a\n"
    "str. O(log n).\n"
    "\n"
    ">>> from sharedmap import rbtree, sharedmap\n"
    ">>> sharedmap.frombuffer(rbtree(a=1, b=2).dump()).index(\"b\")\n"
    "1";

static const char sharedmap_bisect_left_doc[] =
    "bisect_left($self, key, /)\n"
    "--\n"
    "\n"
    "The number of keys that are less than key.\n"
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
    "The number of keys that are less than or equal to key.\n"
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
    "A read-only, zero-copy memoryview of the value's bytes.\n"
    "\n"
    "The bytes of a bytes value begin at a multiple of 8, so that numpy can\n"
    "use them directly. Values of other types are in the encoding of the\n"
    "snapshot format. The view keeps the snapshot open, even after the map is\n"
    "closed. Raises KeyError when the key is absent, TypeError when it is not\n"
    "a str. O(1), O(log n) without a hash index.\n"
    "\n"
    ">>> from sharedmap import rbtree, sharedmap\n"
    ">>> m = sharedmap.frombuffer(rbtree(a=bytes(range(4))).dump())\n"
    ">>> m.view(\"a\")[1:3].tolist()\n"
    "[1, 2]";

static const char sharedmap_range_copy_doc[] =
    "__copy__($self, /)\n"
    "--\n"
    "\n"
    "Return the range itself, which is immutable.";

static const char sharedmap_range_deepcopy_doc[] =
    "__deepcopy__($self, memo, /)\n"
    "--\n"
    "\n"
    "Return the range itself, which is immutable.";

static const char sharedmap_follow_error_doc[] =
    "The exception of the last attempt to open what is newer, or None.\n"
    "\n"
    "None when the last attempt succeeded. An attempt fails when the process\n"
    "has no descriptor left, may not read the file, or the file is damaged.\n"
    "The map then keeps its snapshot. A map that follows tries again, 10 ms\n"
    "to 1 s later. The first failure of a kind issues FollowWarning.\n"
    "\n"
    ">>> from sharedmap import remove, share, sharedmap\n"
    ">>> share({\"a\": 1}, \"doc:follow_error\", force=True)\n"
    "True\n"
    ">>> m = sharedmap(\"doc:follow_error\", follow=True)\n"
    ">>> m[\"a\"], m.follow_error\n"
    "(1, None)\n"
    ">>> remove(\"doc:follow_error\")\n"
    "True";

static const char sharedmap_refresh_doc[] =
    "refresh($self, /)\n"
    "--\n"
    "\n"
    "Switch to the newest snapshot; True if there was a newer one.\n"
    "\n"
    "When the name was removed, the map keeps its snapshot. When the newest\n"
    "snapshot cannot be used, raises SnapshotError or PermissionError as\n"
    "opening does, and the map keeps the current one. O(1).\n"
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
    "Block until a newer snapshot is published; False after timeout seconds.\n"
    "\n"
    "With None it waits without limit. Returns True immediately when a newer\n"
    "snapshot exists already. refresh() then switches to it; a map that\n"
    "follows has switched. What cannot be opened is tried again 10 ms to 1 s\n"
    "later; after a refresh() that failed, wait() returns True no sooner.\n"
    "Signals are handled while waiting. Raises ValueError when timeout is\n"
    "negative, when the map is in a buffer, or when it is closed meanwhile.\n"
    "\n"
    ">>> from sharedmap import remove, share, sharedmap\n"
    ">>> share({\"a\": 1}, \"doc:wait\", force=True)\n"
    "True\n"
    ">>> sharedmap(\"doc:wait\").wait(timeout=0.01)\n"
    "False\n"
    ">>> remove(\"doc:wait\")\n"
    "True";

static const char sharedmap_diff_doc[] =
    "diff($self, old, /)\n"
    "--\n"
    "\n"
    "The keys in which this map differs from an older one.\n"
    "\n"
    "Returns (added, changed, removed), three lists of keys in key order. A\n"
    "value is changed when its stored bytes or its type differ. Of maps that\n"
    "follow, the present versions are compared. Raises TypeError when old is\n"
    "not a sharedmap, SnapshotError when one of them is damaged. O(n);\n"
    "O(m log n) for two versions that update() appended to one file, for m\n"
    "keys changed since it was published or compacted.\n"
    "\n"
    ">>> from sharedmap import rbtree, sharedmap\n"
    ">>> old = sharedmap.frombuffer(rbtree(a=1, b=2, c=3).dump())\n"
    ">>> new = sharedmap.frombuffer(rbtree(b=2, c=4, d=5).dump())\n"
    ">>> new.diff(old)\n"
    "(['d'], ['c'], ['a'])";

static const char sharedmap_content_digest_doc[] =
    "_content_digest($self, keys=None, /)\n"
    "--\n"
    "\n"
    "A number below 2**128 that tells the content of this version.\n"
    "\n"
    "It is equal for maps with equal keys, values and types of values, in this\n"
    "and in every other process, however they were published. It is the sum,\n"
    "modulo 2**128, of a hash of each entry. With keys, an iterable, it is the\n"
    "sum for those of them that the map has; each key counts once. So the\n"
    "digest of a version is that of an older one, minus the older entries of\n"
    "the changed keys, plus the newer. It detects mistakes and damage, but not\n"
    "forged entries. Raises TypeError when keys is a str, SnapshotError when\n"
    "the map is damaged. O(n); O(k) for k keys, O(k log n) with index='tree'.\n"
    "\n"
    ">>> from sharedmap import rbtree, sharedmap\n"
    ">>> old = sharedmap.frombuffer(rbtree(a=1, b=2).dump())\n"
    ">>> new = sharedmap.frombuffer(rbtree(b=3, a=1).dump(index=\"tree\"))\n"
    ">>> changed = new._content_digest([\"b\"]) - old._content_digest([\"b\"])\n"
    ">>> new._content_digest() == (old._content_digest() + changed) % 2**128\n"
    "True";

static const char sharedmap_derived_doc[] =
    "derived($self, function, /)\n"
    "--\n"
    "\n"
    "Return function(snapshot), called once per version in each process.\n"
    "\n"
    "Use it for what is expensive to make of a map: compiled patterns, a\n"
    "validated model, a parsed config. The result is kept with the version,\n"
    "for all handles on it, and dropped with it. Threads that ask meanwhile\n"
    "wait. An exception is not kept: the next call tries again. function must\n"
    "be hashable and must be the same object in each call, so define it once,\n"
    "not inside a loop. Raises TypeError when it is not callable, ValueError\n"
    "when the map is closed. O(1) when the result exists.\n"
    "\n"
    ">>> import re\n"
    ">>> from sharedmap import rbtree, sharedmap\n"
    ">>> def pattern(words):\n"
    "...     return re.compile(\"|\".join(map(re.escape, words)))\n"
    ">>> m = sharedmap.frombuffer(rbtree(bad=1, worse=2).dump())\n"
    ">>> m.derived(pattern).search(\"much worse\")[0]\n"
    "'worse'\n"
    ">>> m.derived(pattern) is m.derived(pattern)\n"
    "True";

static const char sharedmap_snapshot_doc[] =
    "snapshot($self, /)\n"
    "--\n"
    "\n"
    "A new map on the current snapshot that does not follow.\n"
    "\n"
    "The new map of a subclass instance has the same class and the same\n"
    "attributes, as with copy.copy(). Raises ValueError when the map is\n"
    "closed. O(1).\n"
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
    "A new map on the current snapshot; it follows if this one does.\n"
    "\n"
    "The snapshot is neither opened again nor copied. Raises ValueError when\n"
    "the map is closed. O(1).";

static const char sharedmap_deepcopy_doc[] =
    "__deepcopy__($self, memo, /)\n"
    "--\n"
    "\n"
    "Like __copy__; the attributes of a subclass are deep copies.";

static const char sharedmap_stale_doc[] =
    "Whether a newer snapshot is published or the name was removed, a bool.\n"
    "\n"
    "Also true after an attempt to open a newer one that failed, until one\n"
    "succeeds, and after a compaction, which moves the same snapshot to another\n"
    "file: refresh() follows it there and returns False. Costs one memory\n"
    "load. Always False for a map in a buffer.";

static const char sharedmap_verify_doc[] =
    "verify($self, /)\n"
    "--\n"
    "\n"
    "Check every byte: checksum, references, types, UTF-8, key order.\n"
    "\n"
    "Raises SnapshotError with the check that failed. O(size).\n"
    "\n"
    ">>> from sharedmap import rbtree, sharedmap\n"
    ">>> sharedmap.frombuffer(rbtree(a=1).dump()).verify()";

static const char sharedmap_verify_deltas_doc[] =
    "_verify_deltas($self, /)\n"
    "--\n"
    "\n"
    "Check what update() has added to the file, as verify() does.\n"
    "\n"
    "For a map whose other bytes were verified before: they never change.\n"
    "Raises SnapshotError with the check that failed. O(size of what was added).\n"
    "\n"
    ">>> from sharedmap import rbtree, sharedmap\n"
    ">>> sharedmap.frombuffer(rbtree(a=1).dump())._verify_deltas()";

static const char sharedmap_close_doc[] =
    "close($self, /)\n"
    "--\n"
    "\n"
    "Release the snapshot; closing twice is allowed.\n"
    "\n"
    "Iterators, ranges, views and memoryviews stay valid. Any other use of\n"
    "the closed map than name, closed and repr() raises ValueError. O(1).\n"
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
    "Return the map itself; leaving the with statement closes it.";

static const char sharedmap_exit_doc[] = "__exit__($self, /, *exc_info)\n"
                                         "--\n"
                                         "\n"
                                         "Close the map.";

static const char sharedmap_name_doc[] =
    "The name or the absolute path that the map was opened by, a str.\n"
    "\n"
    "None for a map in a buffer.";

static const char sharedmap_generation_doc[] =
    "How often the name was published up to this snapshot, an int.\n"
    "\n"
    "1 for the first publication; 0 for a snapshot that was only dumped.\n"
    "\n"
    ">>> from sharedmap import rbtree, sharedmap\n"
    ">>> sharedmap.frombuffer(rbtree(a=1).dump()).generation\n"
    "0";

static const char sharedmap_id_doc[] =
    "The unique id of this version, a str of 32 hexadecimal digits.\n"
    "\n"
    "Unlike a generation, an id is never used twice: not when the map is\n"
    "removed and published again, nor for another map. expect= of share()\n"
    "accepts it.\n"
    "\n"
    ">>> from sharedmap import remove, share, sharedmap\n"
    ">>> share({\"a\": 1}, \"doc:id\", force=True)\n"
    "True\n"
    ">>> version = sharedmap(\"doc:id\").id\n"
    ">>> share({\"a\": 2}, \"doc:id\", expect=version)\n"
    "True\n"
    ">>> sharedmap(\"doc:id\").id == version\n"
    "False\n"
    ">>> remove(\"doc:id\")\n"
    "True";

static const char sharedmap_published_at_doc[] =
    "When this version was published or saved, in seconds as time.time().\n"
    "\n"
    "A float; None for a snapshot that was only dumped.\n"
    "\n"
    ">>> import time\n"
    ">>> from sharedmap import remove, share, sharedmap\n"
    ">>> share({\"a\": 1}, \"doc:published_at\", force=True)\n"
    "True\n"
    ">>> time.time() - sharedmap(\"doc:published_at\").published_at < 60\n"
    "True\n"
    ">>> remove(\"doc:published_at\")\n"
    "True";

static const char sharedmap_nbytes_doc[] =
    "The size of the snapshot in bytes, with its deltas, an int.";

static const char sharedmap_closed_doc[] =
    "Whether close() was called, a bool.";

#endif
