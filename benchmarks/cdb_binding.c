/* cdb_binding.c
 *
 * Debian's libcdb for Python, as thin as it can be:
 *
 *     write(path, dict)          str -> str, in the dict's order
 *     Reader(path)[key]          KeyError when it is missing
 *     Reader(path).get(key)      None when it is missing
 *     Reader(path).items()       list of all pairs
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cdb.h>
#include <fcntl.h>
#include <unistd.h>

typedef struct {
    PyObject_HEAD
    struct cdb cdb;
} ReaderObject;

static PyObject *
reader_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    const char *path;
    if (!PyArg_ParseTuple(args, "s", &path)) {
        return NULL;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return PyErr_SetFromErrnoWithFilename(PyExc_OSError, path);
    }
    ReaderObject *self = (ReaderObject *)type->tp_alloc(type, 0);
    if (self == NULL || cdb_init(&self->cdb, fd) != 0) {
        close(fd);
        Py_XDECREF(self);
        return PyErr_SetFromErrnoWithFilename(PyExc_OSError, path);
    }
    close(fd);
    return (PyObject *)self;
}

static void
reader_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    cdb_free(&((ReaderObject *)self)->cdb);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
text(struct cdb *cdb, unsigned size, unsigned position)
{
    const char *bytes = cdb_get(cdb, size, position);
    if (bytes == NULL) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return PyUnicode_DecodeUTF8(bytes, size, NULL);
}

/* 1 found, 0 missing, -1 exception */
static int
find(struct cdb *cdb, PyObject *key)
{
    Py_ssize_t size;
    const char *bytes = PyUnicode_AsUTF8AndSize(key, &size);
    if (bytes == NULL) {
        return -1;
    }
    return cdb_find(cdb, bytes, (unsigned)size);
}

static PyObject *
reader_subscript(PyObject *self, PyObject *key)
{
    struct cdb *cdb = &((ReaderObject *)self)->cdb;
    int found = find(cdb, key);
    if (found > 0) {
        return text(cdb, cdb_datalen(cdb), cdb_datapos(cdb));
    }
    if (found == 0) {
        PyErr_SetObject(PyExc_KeyError, key);
    }
    return NULL;
}

static PyObject *
reader_get(PyObject *self, PyObject *key)
{
    struct cdb *cdb = &((ReaderObject *)self)->cdb;
    int found = find(cdb, key);
    if (found > 0) {
        return text(cdb, cdb_datalen(cdb), cdb_datapos(cdb));
    }
    if (found == 0) {
        Py_RETURN_NONE;
    }
    return NULL;
}

static PyObject *
reader_items(PyObject *self, PyObject *unused)
{
    struct cdb *cdb = &((ReaderObject *)self)->cdb;
    PyObject *list = PyList_New(0);
    unsigned position;
    cdb_seqinit(&position, cdb);
    while (list != NULL && cdb_seqnext(&position, cdb) > 0) {
        PyObject *pair =
            Py_BuildValue("(NN)", text(cdb, cdb_keylen(cdb), cdb_keypos(cdb)),
                          text(cdb, cdb_datalen(cdb), cdb_datapos(cdb)));
        if (pair == NULL || PyList_Append(list, pair) != 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(pair);
    }
    return list;
}

static PyObject *
write_dict(PyObject *module, PyObject *args)
{
    const char *path;
    PyObject *dict, *key, *value;
    if (!PyArg_ParseTuple(args, "sO!", &path, &PyDict_Type, &dict)) {
        return NULL;
    }
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return PyErr_SetFromErrnoWithFilename(PyExc_OSError, path);
    }
    struct cdb_make make;
    Py_ssize_t next = 0, key_size, value_size;
    int failed = cdb_make_start(&make, fd);
    while (!failed && PyDict_Next(dict, &next, &key, &value)) {
        const char *key_bytes = PyUnicode_AsUTF8AndSize(key, &key_size);
        const char *value_bytes = PyUnicode_AsUTF8AndSize(value, &value_size);
        failed = key_bytes == NULL || value_bytes == NULL
                 || cdb_make_add(&make, key_bytes, (unsigned)key_size,
                                 value_bytes, (unsigned)value_size)
                        != 0;
    }
    failed = cdb_make_finish(&make) != 0 || failed;
    failed = close(fd) != 0 || failed;
    if (failed) {
        return PyErr_Occurred() ? NULL : PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_RETURN_NONE;
}

static PyMethodDef reader_methods[] = {
    {"get", reader_get, METH_O, NULL},
    {"items", reader_items, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot reader_slots[] = {
    {Py_tp_new, reader_new},
    {Py_tp_dealloc, reader_dealloc},
    {Py_mp_subscript, reader_subscript},
    {Py_tp_methods, reader_methods},
    {0, NULL},
};

static PyType_Spec reader_spec = {
    .name = "cdb_binding.Reader",
    .basicsize = sizeof(ReaderObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = reader_slots,
};

static PyMethodDef functions[] = {
    {"write", write_dict, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "cdb_binding",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC
PyInit_cdb_binding(void)
{
    PyObject *module = PyModule_Create(&definition);
    PyObject *type = module ? PyType_FromSpec(&reader_spec) : NULL;
    if (type == NULL || PyModule_AddObject(module, "Reader", type) != 0) {
        Py_XDECREF(module);
        Py_XDECREF(type);
        return NULL;
    }
    return module;
}
