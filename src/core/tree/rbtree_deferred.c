/* core/tree/rbtree_deferred.c
 *
 * A new node of a large tree waits for memory again and again on its way down,
 * for a line of each node that it passes. Some of them that go down together
 * wait together:
 *
 *     one after the other   a --- a --- a     b --- b --- b     c --- c --- c
 *
 *     together              a b c --- a b c --- a b c
 *
 * So nodes that are put are made at once, which is all that can fail, and wait
 * until they are enough. Then all of them are led down, one step each in turn,
 * and nothing is done but to ask for what comes next. After that each takes its
 * place as if it were alone, and finds its way in the caches.
 *
 * Not here: how it takes its place; see rbtree.c.
 */
#include "core/tree/rbtree_inside.h"

/* Trees with fewer nodes are in the caches anyway. In test builds they are
 * small, so that each test meets nodes that wait. */
#ifdef SHAREDMAP_TESTING
enum { FEW = 5 };
#else
enum { FEW = 16384 };
#endif

enum status
rbtree_put_later(struct rbtree *tree, struct slice key, struct value value)
{
    if (tree->count < FEW) {
        return rbtree_put(tree, key, value);
    }
    if (tree->waiting_count == RBTREE_WAITING) {
        rbtree_settle(tree);
    }
    enum status status = rbtree_node_create(
        &tree->memory, &tree->waiting[tree->waiting_count], key, value);
    tree->waiting_count += status == STATUS_OK;
    return status;
}

/* Leads all down. */
static void
fetch_ways(const struct rbtree *tree)
{
    const struct rbtree_node *nodes[RBTREE_WAITING];
    size_t count = tree->waiting_count;
    for (size_t i = 0; i < count; i++) {
        nodes[i] = tree->root;
    }
    for (size_t under_way = count; under_way > 0;) {
        under_way = 0;
        for (size_t i = 0; i < count; i++) {
            if (nodes[i] == NULL) {
                continue;
            }
            int order = slice_compare(rbtree_node_key(tree->waiting[i]),
                                      rbtree_node_key(nodes[i]));
            nodes[i] =
                order == 0 ? NULL : nodes[i]->child[order < 0 ? LEFT : RIGHT];
            rbtree_prefetch(nodes[i]);
            under_way += nodes[i] != NULL;
        }
    }
}

void
rbtree_settle(struct rbtree *tree)
{
    if (tree->waiting_count == 0) {
        return;
    }
    // One alone has nobody to wait with.
    if (tree->waiting_count > 1) {
        fetch_ways(tree);
    }
    for (size_t i = 0; i < tree->waiting_count; i++) {
        rbtree_put_node(tree, tree->waiting[i]);
    }
    tree->waiting_count = 0;
}
