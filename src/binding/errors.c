/* binding/errors.c
 *
 * The one table of errors. The switch has no default, so the compiler reports
 * a status code that has no exception yet.
 *
 * Not here: TypeErrors of arguments; they are raised where arguments are read.
 */
#include "binding/errors.h"

#include <errno.h>

#include "binding/identity.h"
#include "core/segment/segment.h"

static PyObject *
raise_os_error(int number, const char *message, PyObject *name)
{
    // Creating the instance selects the subclass that belongs to the errno.
    PyObject *error = PyObject_CallFunction(PyExc_OSError, "isO", number,
                                            message, name ? name : Py_None);
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    return NULL;
}

/* Room for a message with the path of a map, or of their directory. */
enum { REASON_SIZE = 512 + SEGMENT_PATH_SIZE };

/* What is wrong is wrong with all names. */
static PyObject *
raise_shm_error(enum status status, int number)
{
    char message[REASON_SIZE];
    if (status == STATUS_SHM_ABSENT) {
        PyOS_snprintf(message, sizeof(message),
                      "there is no directory %s, where maps with a name live; "
                      "%s, or use save(path) and sharedmap.open(path)",
                      segment_directory(), segment_advice(false));
    }
    else {
        PyOS_snprintf(message, sizeof(message),
                      "%s, where maps with a name live, is not writable for "
                      "this process; make it writable, or use save(path) and "
                      "sharedmap.open(path)",
                      segment_directory());
    }
    PyObject *path = PyUnicode_DecodeFSDefault(segment_directory());
    if (path != NULL) {
        raise_os_error(number, message, path);
        Py_DECREF(path);
    }
    return NULL;
}

static PyObject *
raise_with_name(PyObject *type, const char *message, PyObject *name)
{
    if (name == NULL) {
        PyErr_SetString(type, message);
    }
    else {
        PyErr_Format(type, "%s: %.200R", message, name);
    }
    return NULL;
}

/* What to do about errors of the file system, behind what the system says of
 * them; NULL without advice. */
static const char *
advice_for(int number)
{
    switch (number) {
    case EIO:
        return "the disk or the server of the file system failed; see the "
               "system's log and try again, or use another file system";
    case ESTALE:
        return "the server of the file system does not know the file any "
               "more; try again, or mount the file system again";
    case ENODEV:
        return "the file system has lost its device, or cannot map files; "
               "mount it again, or use another file system";
    case ENOTCONN:
    case ECONNABORTED:
        return "the server of the file system is gone; mount the file system "
               "again";
    case EINTR:
        return "a signal interrupted the file system; try again";
    default:
        return NULL;
    }
}

static PyObject *
raise_system_error(PyObject *name)
{
    char message[256];
    const int number = errno;
    const char *advice = advice_for(number);
    // A signal's handler says what is to be raised; it may have run.
    if (number == EINTR
        && (PyErr_Occurred() != NULL || PyErr_CheckSignals() < 0))
    {
        return NULL;
    }
    errno = number;
    if (advice == NULL) {
        return PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, name);
    }
    PyOS_snprintf(message, sizeof(message), "%s: %s", strerror(number),
                  advice);
    return raise_os_error(number, message, name);
}

PyObject *
raise_status(struct state *state, enum status status, PyObject *name)
{
    const char *message = status_message(status);
    switch (status) {
    case STATUS_OK:
        PyErr_SetString(PyExc_SystemError, "there is no error to raise");
        return NULL;
    case STATUS_NO_MEMORY:
        return PyErr_NoMemory();
    case STATUS_SYSTEM:
    case STATUS_NO_SPACE:
        if (errno == ENOMEM) {
            // More often too many maps are open than memory is short. All
            // handles of one version share a mapping.
            return raise_os_error(
                ENOMEM,
                "cannot allocate memory: the process has as many mappings as "
                "vm.max_map_count allows, each version of a map that is open "
                "being one, or the limit of its memory is reached; close maps "
                "that are not used",
                name);
        }
        return raise_system_error(name);
    case STATUS_TOO_LARGE:
        return raise_with_name(PyExc_OverflowError, message, name);
    case STATUS_NAME_EMPTY:
    case STATUS_NAME_HAS_NUL:
    case STATUS_NAME_TOO_LONG:
    case STATUS_LABEL_TOO_LONG:
    case STATUS_PATH_RESERVED:
        return raise_with_name(PyExc_ValueError, message, name);
    case STATUS_NAME_ABSENT:
        return raise_os_error(ENOENT, message, name);
    case STATUS_SHM_ABSENT:
        // Not ENOENT: a FileNotFoundError says that the map is absent.
        return raise_shm_error(status, ENODEV);
    case STATUS_SHM_READ_ONLY:
        return raise_shm_error(status, errno);
    case STATUS_NAME_TAKEN:
        return raise_os_error(EEXIST,
                              "a map is already published under this name; "
                              "pass force=True to replace it",
                              name);
    case STATUS_FOREIGN_OWNER:
    case STATUS_UNMAPPED_OWNER:
    case STATUS_OTHERS_MAY_WRITE:
        return raise_os_error(EACCES, message, name);
    case STATUS_LOCK_TIMEOUT:
        return raise_os_error(ETIMEDOUT, message, name);
    case STATUS_INTERRUPTED:
        return NULL;  // with the exception of a signal handler
    case STATUS_STALE:
        return raise_with_name(state->stale_error, message, name);
    case STATUS_UNCHANGED:
        return raise_with_name(PyExc_RuntimeError, message, name);
    case STATUS_NOT_REGULAR:
    case STATUS_EMPTY:
    case STATUS_NOT_A_SNAPSHOT:
    case STATUS_OTHER_VERSION:
    case STATUS_OTHER_KIND:
    case STATUS_TRUNCATED:
    case STATUS_BAD_HEADER_CHECKSUM:
    case STATUS_BAD_HEADER:
    case STATUS_BAD_REGION:
    case STATUS_BAD_REFERENCE:
    case STATUS_BAD_RECORD:
    case STATUS_RECORDS_OVERLAP:
    case STATUS_BAD_VALUE:
    case STATUS_BAD_TEXT:
    case STATUS_BAD_ORDER:
    case STATUS_BAD_HASH_INDEX:
    case STATUS_BAD_CHECKSUM:
    case STATUS_BAD_DELTA:
    case STATUS_BAD_RANK:
        return raise_with_name(state->snapshot_error, message, name);
    }
    PyErr_Format(PyExc_SystemError, "unknown status %d", (int)status);
    return NULL;
}

PyObject *
raise_file_status(struct state *state, enum status status, PyObject *path)
{
    if (status == STATUS_NAME_ABSENT) {
        return raise_os_error(ENOENT, "no such file", path);
    }
    if (status == STATUS_NAME_TAKEN) {
        return raise_os_error(
            EEXIST, "the file already exists; pass force=True to replace it",
            path);
    }
    return raise_status(state, status, path);
}

PyObject *
raise_open_status(struct state *state, enum status status, PyObject *name,
                  bool is_path)
{
    if (status == STATUS_SYSTEM && errno == EACCES) {
        return raise_os_error(
            EACCES,
            is_path ? "Permission denied: the file may not be read by this "
                      "user; save(path, mode=0o644) lets other users read it"
                    : "Permission denied: the map may not be read by this "
                      "user; share(name, mode=0o644) lets other users read it",
            name);
    }
    return is_path ? raise_file_status(state, status, name)
                   : raise_status(state, status, name);
}

/* Fills why what has the path may not be replaced, updated or removed. */
static void
explain_refusal(int number, const char *path, bool is_file,
                char reason[REASON_SIZE])
{
    const char *what = is_file ? "file" : "map";
    const char *refusal =
        number == EPERM ? "Operation not permitted" : "Permission denied";
    struct segment_access access;
    // The file system may hang.
    Py_BEGIN_ALLOW_THREADS
    segment_inspect_access(path, &access);
    Py_END_ALLOW_THREADS
    if (number == EROFS) {
        PyOS_snprintf(
            reason, REASON_SIZE,
            "Read-only file system: the %s cannot be written; %s%s%s", what,
            is_file ? "save to another file system" : "mount ",
            is_file ? "" : segment_directory(), is_file ? "" : " writable");
    }
    else if (access.exists && access.owner != access.user) {
        PyOS_snprintf(reason, REASON_SIZE,
                      "%s: the %s belongs to uid %lu (mode %04o), this "
                      "process is uid %lu; only its owner replaces, updates "
                      "or removes it: let that user do it, or choose another "
                      "%s%s",
                      refusal, what, (unsigned long)access.owner, access.mode,
                      (unsigned long)access.user, is_file ? "path" : "name",
                      access.user == 0 ? ", or remove the file with rm first"
                                       : "");
    }
    else if (!access.has_directory) {
        PyOS_snprintf(reason, REASON_SIZE,
                      "%s: the directory of the %s, or one above it, may not "
                      "be searched by this process, uid %lu; choose another "
                      "path, or let its owner permit it",
                      refusal, what, (unsigned long)access.user);
    }
    else if (!access.may_write_directory) {
        PyOS_snprintf(reason, REASON_SIZE,
                      "%s: the directory of the %s belongs to uid %lu (mode "
                      "%04o) and is not writable for this process, uid %lu; "
                      "let its owner permit it%s",
                      refusal, what, (unsigned long)access.directory_owner,
                      access.directory_mode, (unsigned long)access.user,
                      is_file ? ", or choose another path" : "");
    }
    else if (access.exists && (access.mode & 0600) != 0600) {
        PyOS_snprintf(reason, REASON_SIZE,
                      "%s: the %s has mode %04o, and is replaced, updated or "
                      "removed only if its mode lets the owner read and "
                      "write; permit it with chmod u+rw %s",
                      refusal, what, access.mode, is_file ? "" : path);
    }
    else {
        PyOS_snprintf(
            reason, REASON_SIZE,
            "%s: owner and mode would permit it (uid %lu, mode %04o, the directory's uid %lu, mode "
            "%04o); the %s may be immutable (lsattr) or forbidden "
            "by a security module",
            refusal, (unsigned long)access.owner, access.mode,
            (unsigned long)access.directory_owner, access.directory_mode,
            what);
    }
}

PyObject *
raise_publish_status(struct state *state, enum status status, PyObject *name,
                     const char *path, bool is_file)
{
    int number = status == STATUS_FOREIGN_OWNER ? EACCES : errno;
    if (status == STATUS_FOREIGN_OWNER
        || (status == STATUS_SYSTEM
            && (number == EACCES || number == EPERM || number == EROFS)))
    {
        char reason[REASON_SIZE];
        explain_refusal(number, path, is_file, reason);
        return raise_os_error(number, reason, name);
    }
    return is_file ? raise_file_status(state, status, name)
                   : raise_status(state, status, name);
}

PyObject *
raise_no_space(PyObject *name, uint64_t needed, uint64_t available,
               bool is_file)
{
    char message[REASON_SIZE];
    const int number = errno == EDQUOT ? EDQUOT : ENOSPC;
    if (needed <= available) {
        PyOS_snprintf(message, sizeof(message),
                      "the snapshot's %llu bytes would fit, but the file "
                      "system has no room for one more file or a quota is "
                      "exhausted",
                      (unsigned long long)needed);
    }
    else if (is_file) {
        PyOS_snprintf(message, sizeof(message),
                      "the snapshot needs %llu bytes and %llu are free",
                      (unsigned long long)needed,
                      (unsigned long long)available);
    }
    else {
        PyOS_snprintf(message, sizeof(message),
                      "the snapshot needs %llu bytes and %llu are free; "
                      "%s, remove maps, or save(path) to a disk instead",
                      (unsigned long long)needed,
                      (unsigned long long)available, segment_advice(true));
    }
    return raise_os_error(number, message, name);
}

/* Takes the references to the message and to both attributes. */
static PyObject *
raise_stale_error(struct state *state, PyObject *message, PyObject *expected,
                  PyObject *found)
{
    PyObject *error = message != NULL
                          ? PyObject_CallOneArg(state->stale_error, message)
                          : NULL;
    if (error != NULL && expected != NULL && found != NULL
        && PyObject_SetAttrString(error, "expected", expected) == 0
        && PyObject_SetAttrString(error, "found", found) == 0)
    {
        PyErr_SetObject(state->stale_error, error);
    }
    Py_XDECREF(found);
    Py_XDECREF(expected);
    Py_XDECREF(error);
    Py_XDECREF(message);
    return NULL;
}

PyObject *
raise_stale(struct state *state, PyObject *name, uint64_t expected,
            uint64_t found)
{
    unsigned long long number_found = found, number_expected = expected;
    PyObject *message;
    if (found == 0) {
        message = PyUnicode_FromFormat(
            "nothing is published under %R, but generation %llu was expected",
            name, number_expected);
    }
    else if (expected == 0) {
        message = PyUnicode_FromFormat(
            "generation %llu of %R is published, but none was expected",
            number_found, name);
    }
    else {
        message = PyUnicode_FromFormat(
            "generation %llu of %R is published, not the expected %llu",
            number_found, name, number_expected);
    }
    return raise_stale_error(state, message,
                             PyLong_FromUnsignedLongLong(expected),
                             PyLong_FromUnsignedLongLong(found));
}

PyObject *
raise_stale_id(struct state *state, PyObject *name,
               const unsigned char expected[16], uint64_t found)
{
    PyObject *id = identity_text(expected), *message = NULL;
    if (id != NULL && found == 0) {
        message = PyUnicode_FromFormat(
            "nothing is published under %R, but version %U was expected", name,
            id);
    }
    else if (id != NULL) {
        message = PyUnicode_FromFormat(
            "generation %llu of %R is published, not the expected version %U",
            (unsigned long long)found, name, id);
    }
    return raise_stale_error(state, message, id,
                             PyLong_FromUnsignedLongLong(found));
}

void
errors_add_note(const char *format, ...)
{
    // A MemoryError may be an object that exists once.
    if (!PyErr_ExceptionMatches(PyExc_Exception)
        || PyErr_ExceptionMatches(PyExc_MemoryError))
    {
        return;
    }
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    va_list arguments;
    va_start(arguments, format);
    PyObject *note = PyUnicode_FromFormatV(format, arguments);
    va_end(arguments);
    PyObject *none = note != NULL
                         ? PyObject_CallMethod(error, "add_note", "(O)", note)
                         : NULL;
    Py_XDECREF(none);
    Py_XDECREF(note);
    PyErr_Restore(type, error, traceback);
}
