/* core/tree/rbtree.h
 *
 * A sorted map in private memory: keys are bytes in the order of
 * slice_compare(), each with one value.
 *
 * The tree owns its nodes, and the nodes own copies of the bytes that they
 * were given. What a function returns is borrowed: a node until its key is
 * removed, its value until the key is put again. Iteration costs O(1) a step
 * on average, everything else O(log n) comparisons.
 *
 * The caller keeps writers away from all other threads. Any number of readers
 * may share a tree while it does not change.
 */
#ifndef SHAREDMAP_CORE_TREE_RBTREE_H
#define SHAREDMAP_CORE_TREE_RBTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/entry.h"
#include "core/base/interrupt.h"
#include "core/base/status.h"

struct rbtree;
struct rbtree_node;

/* Fills `tree` with an empty tree. STATUS_NO_MEMORY. */
enum status
rbtree_create(struct rbtree **tree);

/* Accepts NULL. O(n). */
void
rbtree_destroy(struct rbtree *tree);

/* Back to the empty tree. O(n). */
void
rbtree_clear(struct rbtree *tree);

size_t
rbtree_count(const struct rbtree *tree);

/* Bytes of memory that the tree and its nodes take. */
size_t
rbtree_memory(const struct rbtree *tree);

/* A number that changes whenever a node is inserted or removed, so that an
 * iterator can tell whether its node is still valid. Replacing a value does
 * not change it: nodes never move. */
uint64_t
rbtree_version(const struct rbtree *tree);

/* Inserts or replaces. On STATUS_NO_MEMORY nothing has changed. */
enum status
rbtree_put(struct rbtree *tree, struct slice key, struct value value);

/* The same, but the insertion is deferred, which takes less time in a large
 * tree. Call rbtree_flush() before any other function of the tree, except
 * rbtree_put_deferred(), rbtree_clear() and rbtree_destroy(). */
enum status
rbtree_put_deferred(struct rbtree *tree, struct slice key, struct value value);

/* Inserts what was deferred. Cannot fail. Writes nothing to the tree when
 * nothing was deferred. */
void
rbtree_flush(struct rbtree *tree);

/* Puts entries in strictly ascending order, all or none: on STATUS_NO_MEMORY
 * nothing has changed. Their bytes must not be those of the tree. On
 * STATUS_INTERRUPTED some of them are put, others not: to take them back would
 * take as long again. Put all again to go on. `interrupt` may be NULL. */
enum status
rbtree_put_all(struct rbtree *tree, const struct entry *entries, size_t count,
               const struct interrupt *interrupt);

/* Fills an empty tree, balanced, from entries in strictly ascending order. On
 * STATUS_NO_MEMORY and STATUS_INTERRUPTED it is empty again; `interrupt` may
 * be NULL. O(n), without comparisons. */
enum status
rbtree_build(struct rbtree *tree, const struct entry *entries, size_t count,
             const struct interrupt *interrupt);

/* False when the key was not there. */
bool
rbtree_remove(struct rbtree *tree, struct slice key);

/* NULL when the key is not there. */
const struct rbtree_node *
rbtree_find(const struct rbtree *tree, struct slice key);

/* The first node whose key is not below `key`; NULL when all are. */
const struct rbtree_node *
rbtree_seek(const struct rbtree *tree, struct slice key);

/* The last node whose key is not above `key`; NULL when all are. */
const struct rbtree_node *
rbtree_seek_back(const struct rbtree *tree, struct slice key);

/* NULL at the ends. */
const struct rbtree_node *
rbtree_first(const struct rbtree *tree);
const struct rbtree_node *
rbtree_last(const struct rbtree *tree);
const struct rbtree_node *
rbtree_next(const struct rbtree_node *node);
const struct rbtree_node *
rbtree_previous(const struct rbtree_node *node);

/* Fills how many steps of rbtree_next() lead from one node to another, which
 * may be NULL. STATUS_INTERRUPTED; `interrupt` may be NULL. O(steps). */
enum status
rbtree_distance(const struct rbtree_node *first, const struct rbtree_node *end,
                size_t *distance, const struct interrupt *interrupt);

/* Fills the node with this index, which is below rbtree_count().
 * STATUS_INTERRUPTED; `interrupt` may be NULL. O(distance from the nearer
 * end). */
enum status
rbtree_at(const struct rbtree *tree, size_t index,
          const struct rbtree_node **node, const struct interrupt *interrupt);

struct entry
rbtree_entry(const struct rbtree_node *node);

/* Fills rbtree_count() entries, in order. STATUS_INTERRUPTED; `interrupt` may
 * be NULL. O(n). */
enum status
rbtree_entries(const struct rbtree *tree, struct entry *entries,
               const struct interrupt *interrupt);

/* NULL when every rule of the tree holds, otherwise the broken rule. O(n). */
const char *
rbtree_check(const struct rbtree *tree);

#endif
