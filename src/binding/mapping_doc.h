/* binding/mapping_doc.h
 *
 * Docstrings. The first line of each is its signature; the tests run the
 * examples.
 */
#ifndef SHAREDMAP_BINDING_MAPPING_DOC_H
#define SHAREDMAP_BINDING_MAPPING_DOC_H

static const char mapping_get_doc[] =
    "get($self, key, /, default=None)\n"
    "--\n"
    "\n"
    "Look up a key; return its value, or default when the key is absent.\n"
    "\n"
    "Raises TypeError when the key is not a str. O(log n) on a tree, O(1) on\n"
    "a snapshot with a hash index, O(log n) without one.\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> rbtree(a=1).get(\"b\", 0)\n"
    "0";

static const char mapping_get_many_doc[] =
    "get_many($self, keys, default=None, *, missing='error')\n"
    "--\n"
    "\n"
    "Look up many keys; return a list of values, default for absent keys.\n"
    "\n"
    "keys is an iterable of str, such as a numpy array or a pandas Series. A\n"
    "key that is not a str, such as NaN or None, raises TypeError, with\n"
    "missing='default' it is absent. Raises TypeError when keys is a single\n"
    "str. On a sharedmap much faster than one lookup after the other, because\n"
    "lookups overlap and prefetch memory. O(k) for k keys, O(k log n) on a\n"
    "tree, on a range and without a hash index.\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> t = rbtree(a=1, b=2)\n"
    ">>> t.get_many([\"b\", \"c\", \"a\"])\n"
    "[2, None, 1]\n"
    ">>> t.get_many([\"b\", None, float(\"nan\")], 0, missing=\"default\")\n"
    "[2, 0, 0]";

static const char mapping_keys_doc[] =
    "keys($self, /)\n"
    "--\n"
    "\n"
    "A set-like view of the keys, in key order.\n"
    "\n"
    "On a tree the view is live. On a sharedmap it keeps its snapshot, even\n"
    "after the map is closed. O(1).\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> rbtree(b=1, a=2).keys() & {\"a\", \"c\"}\n"
    "{'a'}";

static const char mapping_values_doc[] =
    "values($self, /)\n"
    "--\n"
    "\n"
    "A view of the values, in key order.\n"
    "\n"
    "On a tree the view is live. On a sharedmap it keeps its snapshot, even\n"
    "after the map is closed. O(1).\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> list(rbtree(b=1, a=2).values())\n"
    "[2, 1]";

static const char mapping_items_doc[] =
    "items($self, /)\n"
    "--\n"
    "\n"
    "A set-like view of the (key, value) pairs, in key order.\n"
    "\n"
    "On a tree the view is live. On a sharedmap it keeps its snapshot, even\n"
    "after the map is closed. O(1).\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> list(rbtree(b=1, a=2).items())\n"
    "[('a', 2), ('b', 1)]";

static const char mapping_prefix_doc[] =
    "prefix($self, prefix, /)\n"
    "--\n"
    "\n"
    "The range of keys that begin with prefix, as a read-only Mapping.\n"
    "\n"
    "On a tree the range is live. Raises TypeError when prefix is not a str.\n"
    "O(log n). len() of a range of k entries is O(1) on a snapshot, O(k) on a\n"
    "tree.\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> t = rbtree({\"user:1\": \"Ann\", \"user:2\": \"Bo\", \"zone\": \"eu\"})\n"
    ">>> list(t.prefix(\"user:\"))\n"
    "['user:1', 'user:2']";

static const char mapping_floor_doc[] =
    "floor($self, key, /)\n"
    "--\n"
    "\n"
    "The greatest key less than or equal to key; None when there is none.\n"
    "\n"
    "Raises TypeError when the key is not a str. O(log n).\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> rbtree(b=1, d=2).floor(\"c\")\n"
    "'b'";

static const char mapping_ceiling_doc[] =
    "ceiling($self, key, /)\n"
    "--\n"
    "\n"
    "The least key greater than or equal to key; None when there is none.\n"
    "\n"
    "Raises TypeError when the key is not a str. O(log n).\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> rbtree(b=1, d=2).ceiling(\"c\")\n"
    "'d'";

static const char mapping_lower_doc[] =
    "lower($self, key, /)\n"
    "--\n"
    "\n"
    "The predecessor: the greatest key less than key; None when there is\n"
    "none.\n"
    "\n"
    "Raises TypeError when the key is not a str. O(log n).\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> rbtree(b=1, d=2).lower(\"d\")\n"
    "'b'";

static const char mapping_higher_doc[] =
    "higher($self, key, /)\n"
    "--\n"
    "\n"
    "The successor: the least key greater than key; None when there is none.\n"
    "\n"
    "Raises TypeError when the key is not a str. O(log n).\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> rbtree(b=1, d=2).higher(\"b\")\n"
    "'d'";

static const char mapping_longest_prefix_doc[] =
    "longest_prefix($self, text, /)\n"
    "--\n"
    "\n"
    "The longest key that text begins with; None when there is none.\n"
    "\n"
    "Routes, phone prefixes and URL rules are looked up like this. Raises\n"
    "TypeError when text is not a str. O(m log n) for a text of m bytes,\n"
    "usually a few times O(log n).\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> t = rbtree({\"/api\": 1, \"/api/users\": 2, \"/\": 0})\n"
    ">>> t.longest_prefix(\"/api/orders\")\n"
    "'/api'";

static const char mapping_first_doc[] =
    "first($self, /)\n"
    "--\n"
    "\n"
    "The (key, value) pair with the lowest key.\n"
    "\n"
    "Raises KeyError when the map is empty. O(log n) on a tree, O(1) on a\n"
    "snapshot.\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> rbtree(b=1, a=2).first()\n"
    "('a', 2)";

static const char mapping_last_doc[] =
    "last($self, /)\n"
    "--\n"
    "\n"
    "The (key, value) pair with the highest key.\n"
    "\n"
    "Raises KeyError when the map is empty. O(log n) on a tree, O(1) on a\n"
    "snapshot.\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> rbtree(b=1, a=2).last()\n"
    "('b', 1)";

static const char mapping_to_dict_doc[] =
    "to_dict($self, /)\n"
    "--\n"
    "\n"
    "A new dict of all entries, in key order; of one version, also when the\n"
    "map follows.\n"
    "\n"
    "O(n), and n values in memory of this process. map | other makes a dict of\n"
    "both mappings.\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> rbtree(b=1, a=2).to_dict()\n"
    "{'a': 2, 'b': 1}";

static const char mapping_reversed_doc[] =
    "__reversed__($self, /)\n"
    "--\n"
    "\n"
    "Iterate over the keys in descending order.";

#endif
