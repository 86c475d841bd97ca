/* tests/binding/failing.c
 *
 * A module that calls something while Python's allocations fail:
 *
 *     call(function, args, kwargs, left, is_forever)
 *         -> (result, exception, how many allocations there were)
 *
 * The first `left` allocations succeed, then one fails, or all that follow.
 * Nothing of the interpreter runs in between but what the function calls: its
 * loop, which could not even tell its own exceptions apart without memory, is
 * not what is tested.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

enum { DOMAINS = 3 };

static const PyMemAllocatorDomain domains[DOMAINS] = {
    PYMEM_DOMAIN_RAW, PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ};
static PyMemAllocatorEx originals[DOMAINS];
static long requests, first_failure;
static bool fails_forever;

static bool
must_fail(void)
{
    long number = requests++;
    return number == first_failure
           || (fails_forever && number > first_failure);
}

static void *
allocate(void *context, size_t size)
{
    PyMemAllocatorEx *original = context;
    return must_fail() ? NULL : original->malloc(original->ctx, size);
}

static void *
allocate_zeroed(void *context, size_t count, size_t size)
{
    PyMemAllocatorEx *original = context;
    return must_fail() ? NULL : original->calloc(original->ctx, count, size);
}

static void *
reallocate(void *context, void *memory, size_t size)
{
    PyMemAllocatorEx *original = context;
    return must_fail() ? NULL : original->realloc(original->ctx, memory, size);
}

static void
release(void *context, void *memory)
{
    PyMemAllocatorEx *original = context;
    original->free(original->ctx, memory);
}

static PyObject *
failing_call(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *function, *args, *kwargs;
    int is_forever;
    PyObject *type, *exception, *traceback;
    if (!PyArg_ParseTuple(arguments, "OO!O!lp", &function, &PyTuple_Type,
                          &args, &PyDict_Type, &kwargs, &first_failure,
                          &is_forever))
    {
        return NULL;
    }
    requests = 0;
    fails_forever = is_forever != 0;
    for (int i = 0; i < DOMAINS; i++) {
        PyMem_GetAllocator(domains[i], &originals[i]);
        PyMemAllocatorEx ours = {&originals[i], allocate, allocate_zeroed,
                                 reallocate, release};
        PyMem_SetAllocator(domains[i], &ours);
    }
    PyObject *result = PyObject_Call(function, args, kwargs);
    for (int i = 0; i < DOMAINS; i++) {
        PyMem_SetAllocator(domains[i], &originals[i]);
    }
    PyErr_Fetch(&type, &exception, &traceback);
    PyErr_NormalizeException(&type, &exception, &traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return Py_BuildValue("NNl", result != NULL ? result : Py_NewRef(Py_None),
                         exception != NULL ? exception : Py_NewRef(Py_None),
                         requests);
}

static PyMethodDef functions[] = {
    {"call", failing_call, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "failing",
    .m_methods = functions,
};

PyMODINIT_FUNC
PyInit_failing(void);

PyMODINIT_FUNC
PyInit_failing(void)
{
    return PyModule_Create(&definition);
}
