/* tests/binding/forking.c
 *
 * A module that forks in C, as extensions and servers that embed Python do:
 *
 *     fork()                             -> as os.fork()
 *     fork_bare(handle, key, value, limit, refreshes)
 *                                        -> how the child ended, as os.waitpid()
 *
 * The first calls what Python asks for in the child. Without a GIL it has to
 * call what Python asks for before that, too, which stops all threads; with one
 * that is left out, as servers do. The second calls nothing of that: its child
 * has the state of threads that it does not have, and CPython would wait for
 * them when a GIL changes hands or a garbage collection stops the others. So it
 * is all in C, and ends without returning.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOOKUPS = 100 };

static PyObject *
forking_fork(PyObject *module, PyObject *ignored)
{
#ifdef Py_GIL_DISABLED
    PyOS_BeforeFork();
#endif
    pid_t child = fork();
    if (child == 0) {
        PyOS_AfterFork_Child();
    }
#ifdef Py_GIL_DISABLED
    else {
        PyOS_AfterFork_Parent();
    }
#endif
    return child < 0 ? PyErr_SetFromErrno(PyExc_OSError)
                     : PyLong_FromLong(child);
}

static bool
has_value(PyObject *handle, PyObject *key, PyObject *value)
{
    PyObject *found = PyObject_GetItem(handle, key);
    bool is_equal =
        found != NULL && PyObject_RichCompareBool(found, value, Py_EQ) == 1;
    Py_XDECREF(found);
    return is_equal;
}

static bool
call(PyObject *handle, const char *method)
{
    PyObject *result = PyObject_CallMethod(handle, method, NULL);
    Py_XDECREF(result);
    return result != NULL;
}

/* What a child comes to: 0 if it could read the handle and close it. */
static int
read_and_close(PyObject *handle, PyObject *key, PyObject *value,
               bool refreshes)
{
    for (int i = 0; i < LOOKUPS; i++) {
        if (!has_value(handle, key, value)) {
            return 1;
        }
    }
    if (refreshes
        && !(call(handle, "refresh") && has_value(handle, key, value)))
    {
        return 2;
    }
    return call(handle, "close") && !has_value(handle, key, value) ? 0 : 3;
}

static PyObject *
forking_fork_bare(PyObject *module, PyObject *args)
{
    PyObject *handle, *key, *value;
    unsigned limit;
    int refreshes, status;
    if (!PyArg_ParseTuple(args, "OUOIp", &handle, &key, &value, &limit,
                          &refreshes))
    {
        return NULL;
    }
    pid_t child = fork();
    if (child == 0) {
        alarm(limit);
        _exit(read_and_close(handle, key, value, refreshes));
    }
    pid_t ended;
    Py_BEGIN_ALLOW_THREADS
    ended = child < 0 ? -1 : waitpid(child, &status, 0);
    Py_END_ALLOW_THREADS
    return ended < 0 ? PyErr_SetFromErrno(PyExc_OSError)
                     : PyLong_FromLong(status);
}

static PyMethodDef functions[] = {
    {"fork", forking_fork, METH_NOARGS, NULL},
    {"fork_bare", forking_fork_bare, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "forking",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit_forking(void);

PyMODINIT_FUNC
PyInit_forking(void)
{
    return PyModuleDef_Init(&definition);
}
