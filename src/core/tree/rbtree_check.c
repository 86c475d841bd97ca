/* core/tree/rbtree_check.c
 *
 * Checks the rules that rbtree.c states. For tests, which check after each
 * step.
 *
 * Not here: what is checked of a snapshot; see snapshot/verify.c.
 */
#include "core/tree/rbtree_inside.h"

/* Black nodes on every path from `node` down; -1 and a reason when they differ
 * or another rule is broken. Recursion is as deep as the tree is high. */
static int
check_subtree(const struct rbtree_node *node, const struct rbtree_node *parent,
              size_t *count, const char **reason)
{
    if (node == NULL) {
        return 0;
    }
    *count += 1;
    if (node->parent != parent) {
        *reason = "a node does not know its parent";
        return -1;
    }
    if (node->is_red && is_red(parent)) {
        *reason = "a red node has a red child";
        return -1;
    }
    int left = check_subtree(node->child[LEFT], node, count, reason);
    int right = check_subtree(node->child[RIGHT], node, count, reason);
    if (left < 0 || right < 0) {
        return -1;
    }
    if (left != right) {
        *reason = "two paths down have different numbers of black nodes";
        return -1;
    }
    return left + !node->is_red;
}

const char *
rbtree_check(const struct rbtree *tree)
{
    const char *reason = NULL;
    size_t count = 0;
    if (tree->deferred_count > 0) {
        return "some nodes are deferred and not yet inserted";
    }
    if (check_subtree(tree->root, NULL, &count, &reason) < 0) {
        return reason;
    }
    if (count != tree->count) {
        return "the count is not the number of nodes";
    }
    const struct rbtree_node *node = rbtree_first(tree);
    const struct rbtree_node *next;
    for (; node != NULL && (next = rbtree_next(node)) != NULL; node = next) {
        if (slice_compare(rbtree_node_key(node), rbtree_node_key(next)) >= 0) {
            return "two keys are not in order";
        }
    }
    return NULL;
}
