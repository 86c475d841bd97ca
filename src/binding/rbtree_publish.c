/* binding/rbtree_publish.c
 *
 * In Python this file would be:
 *
 *     class rbtree:  # continued
 *         def share(self, name, force=False): ...  # -> True
 *         def dump(self, name=""): ...             # -> bytes
 *         @classmethod
 *         def remove(cls, name): ...               # -> bool
 *
 * The entries borrow from the tree's nodes, so the guard is held until the
 * last byte is written; the GIL is not.
 *
 * Not here: what publishing means; see core/publish.h.
 */
#include "binding/errors.h"
#include "binding/name.h"
#include "binding/rbtree_type.h"
#include "core/memory.h"
#include "core/publish.h"
#include "core/segment.h"

enum { DEFAULT_MODE = 0600 };

/* The tree's entries in order, and the plan of a snapshot of them. */
struct publication {
    struct entry *entries;  // owned; borrow from the tree
    struct snapshot_plan plan;
};

/* Call between guard_begin_publish() and guard_end_publish(), without the
 * GIL. Clear the publication also on failure. */
static enum status
publication_prepare(struct publication *publication, const struct rbtree *tree,
                    struct slice label)
{
    size_t count = rbtree_count(tree);
    publication->entries = memory_allocate_array(count, sizeof(struct entry));
    if (publication->entries == NULL) {
        return STATUS_NO_MEMORY;
    }
    rbtree_entries(tree, publication->entries);
    return publish_plan(&publication->plan, publication->entries, count,
                        label);
}

static void
publication_clear(struct publication *publication)
{
    memory_release(publication->entries);
}

const char rbtree_share_doc[] =
    "share($self, name, force=False)\n"
    "--\n"
    "\n"
    "Publish a snapshot under the name and return True.\n"
    "\n"
    "Any process of the same user opens it with sharedmap(name), until\n"
    "rbtree.remove(name). With force it replaces what is published; open readers\n"
    "keep what they have. A name that fails to be replaced keeps what it had.\n"
    "\n"
    "Raises FileExistsError when the name is taken and force is false,\n"
    "PermissionError when it is another user's, OSError(ENOSPC) when /dev/shm is\n"
    "full, TimeoutError when another publisher holds the lock for 5 seconds,\n"
    "ValueError for an empty name, one with NUL or one that is too long,\n"
    "SnapshotError when the name belongs to something that is no regular file.\n"
    "O(n).";

PyObject *
rbtree_py_share(PyObject *object, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"name", "force", NULL};
    RBTreeObject *self = (RBTreeObject *)object;
    PyObject *name_object;
    int force = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|p:share", names,
                                     &name_object, &force))
    {
        return NULL;
    }
    struct name name;
    struct publication publication = {.entries = NULL};
    PyObject *result = NULL;
    if (name_parse(self->state, &name, name_object) < 0) {
        goto done;
    }
    enum status status;
    guard_begin_publish(&self->guard);
    Py_BEGIN_ALLOW_THREADS
    status = publication_prepare(&publication, self->tree, name.text.slice);
    if (status == STATUS_OK) {
        status = publish_to_segment(&publication.plan, name.path, force != 0,
                                    DEFAULT_MODE);
    }
    Py_END_ALLOW_THREADS
    guard_end_publish(&self->guard);
    if (status == STATUS_NO_SPACE) {
        raise_no_space(name_object, publication.plan.header.total_size,
                       segment_space(name.path));
    }
    else if (status != STATUS_OK) {
        raise_status(self->state, status, name_object);
    }
    else {
        result = Py_NewRef(Py_True);
    }
done:
    publication_clear(&publication);
    name_clear(&name);
    return result;
}

const char rbtree_dump_doc[] =
    "dump($self, name='')\n"
    "--\n"
    "\n"
    "The snapshot that share() would publish, as bytes.\n"
    "\n"
    "The optional name is written into it as a label. Two dumps of equal trees\n"
    "differ in their unique ids alone.\n"
    "\n"
    "Raises ValueError for a name of more than 256 bytes of UTF-8. O(n).";

PyObject *
rbtree_py_dump(PyObject *object, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"name", NULL};
    RBTreeObject *self = (RBTreeObject *)object;
    PyObject *name = NULL, *bytes = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|U:dump", names, &name))
    {
        return NULL;
    }
    struct text label = {.slice = {NULL, 0}};
    if (name != NULL && text_encode(&label, name) < 0) {
        return NULL;
    }
    struct publication publication = {.entries = NULL};
    enum status status;
    guard_begin_publish(&self->guard);
    Py_BEGIN_ALLOW_THREADS
    status = publication_prepare(&publication, self->tree, label.slice);
    Py_END_ALLOW_THREADS
    if (status == STATUS_OK) {
        bytes = PyBytes_FromStringAndSize(
            NULL, (Py_ssize_t)publication.plan.header.total_size);
    }
    if (bytes != NULL) {
        Py_BEGIN_ALLOW_THREADS
        status =
            publish_to_memory(&publication.plan, PyBytes_AS_STRING(bytes));
        Py_END_ALLOW_THREADS
    }
    guard_end_publish(&self->guard);
    publication_clear(&publication);
    text_clear(&label);
    if (status != STATUS_OK) {
        Py_CLEAR(bytes);
        raise_status(self->state, status, name);
    }
    return bytes;
}

const char rbtree_remove_doc[] =
    "remove($type, name, /)\n"
    "--\n"
    "\n"
    "Free a published name; False when nothing was published under it.\n"
    "\n"
    "Any process of the same user may do it. Open readers keep what they have.\n"
    "\n"
    "Raises PermissionError when it is another user's, SnapshotError when it is\n"
    "no regular file, ValueError for what cannot be a name. O(1).";

PyObject *
rbtree_py_remove(PyObject *type, PyObject *name_object)
{
    struct state *state = state_of_type((PyTypeObject *)type);
    struct name name;
    PyObject *result = NULL;
    if (name_parse(state, &name, name_object) < 0) {
        goto done;
    }
    enum status status;
    Py_BEGIN_ALLOW_THREADS
    status = segment_remove(name.path);
    Py_END_ALLOW_THREADS
    if (status == STATUS_NAME_ABSENT) {
        result = Py_NewRef(Py_False);
    }
    else if (status != STATUS_OK) {
        raise_status(state, status, name_object);
    }
    else {
        result = Py_NewRef(Py_True);
    }
done:
    name_clear(&name);
    return result;
}
