/* binding/errors.h
 *
 * From the core's status codes to Python's exceptions.
 */
#ifndef SHAREDMAP_BINDING_ERRORS_H
#define SHAREDMAP_BINDING_ERRORS_H

#include "binding/state.h"
#include "core/base/status.h"

/* Raises what `status` stands for and returns NULL. `name`, which may be NULL,
 * is the map's name or path as the user wrote it. Reads errno when the status
 * says so: call it before anything that could change errno. */
PyObject *
raise_status(struct state *state, enum status status, PyObject *name);

/* The same for the path of a file. */
PyObject *
raise_file_status(struct state *state, enum status status, PyObject *path);

/* For opening a map or a file: a PermissionError says how its publisher lets
 * other users read it. */
PyObject *
raise_open_status(struct state *state, enum status status, PyObject *name,
                  bool is_path);

/* For publishing, updating and removing, which keep errno until here: what the
 * system or the owner's rights forbid is told with the owner and the mode that
 * do, and what helps. `path` is that of the file. */
PyObject *
raise_publish_status(struct state *state, enum status status, PyObject *name,
                     const char *path, bool is_file);

/* OSError that says how much was needed, how much was free, and what to do;
 * with ENOSPC, or EDQUOT if that is errno. */
PyObject *
raise_no_space(PyObject *name, uint64_t needed, uint64_t available,
               bool is_file);

/* Adds a note to the current exception, which Python code of the user raised.
 * Not to a MemoryError, nor to what is no Exception; if it fails, the exception
 * stays as it is. The format is that of PyUnicode_FromFormat(). */
void
errors_add_note(const char *format, ...);

/* StaleError with both generations; 0 stands for none. */
PyObject *
raise_stale(struct state *state, PyObject *name, uint64_t expected,
            uint64_t found);

/* StaleError with the id that was expected and the generation found. */
PyObject *
raise_stale_id(struct state *state, PyObject *name,
               const unsigned char expected[16], uint64_t found);

#endif
