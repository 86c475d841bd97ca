/* binding/view_doc.h
 *
 * Docstrings. The first line of each is its signature; the tests run the
 * examples.
 */
#ifndef SHAREDMAP_BINDING_VIEW_DOC_H
#define SHAREDMAP_BINDING_VIEW_DOC_H

static const char view_reversed_doc[] =
    "__reversed__($self, /)\n"
    "--\n"
    "\n"
    "Iterate over the elements in descending key order.";

static const char view_isdisjoint_doc[] =
    "isdisjoint($self, other, /)\n"
    "--\n"
    "\n"
    "Whether no element of other is in the view. O(len(other) log n).\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> rbtree(a=1).keys().isdisjoint([\"b\", \"c\"])\n"
    "True";

static const char view_mapping_doc[] =
    "The mapping that the view shows: the tree, or a read-only range.";

static const char keys_view_doc[] =
    "A set-like view of the keys of a map, in key order.\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> rbtree(a=1, b=2).keys()\n"
    "keys(['a', 'b'])";

static const char values_view_doc[] =
    "A view of the values of a map, in key order.\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> rbtree(a=1, b=2).values()\n"
    "values([1, 2])";

static const char items_view_doc[] =
    "A set-like view of the (key, value) pairs of a map, in key order.\n"
    "\n"
    ">>> from sharedmap import rbtree\n"
    ">>> rbtree(a=1, b=2).items()\n"
    "items([('a', 1), ('b', 2)])";

#endif
