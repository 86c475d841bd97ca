"""Builds the package with extensions that are wrong on purpose.

    python3 tests/hostile/build_package.py DIRECTORY [MUTANT ...]

makes DIRECTORY/MUTANT/sharedmap for each mutant that is named; `all` names all of them
(tests/support/mutants.py). PYTHONPATH=DIRECTORY/MUTANT puts it before the installed one.
"""

import os
import pathlib
import sys

sys.path.insert(0, os.fspath(pathlib.Path(__file__).resolve().parents[1] / "faults"))
import build_hostile
import extension
import mutants

# As the package is built: what a compiler makes of a double fetch depends on it.
FLAGS = ["-O2", "-DNDEBUG", "-fvisibility=hidden"]

# For writer.py.
DECODERS = {
    # CPython decodes what lies in the snapshot, and looks at it twice; it takes anything.
    "decodes-in-place": [
        (
            "binding/text.c",
            "    PyObject *string = PyUnicode_New((Py_ssize_t)bytes.size, 127);",
            "    if (bytes.size > 0) {\n"
            "        return PyUnicode_DecodeUTF8((const char *)bytes.bytes,\n"
            '                                    (Py_ssize_t)bytes.size, "replace");\n'
            "    }\n"
            "    PyObject *string = PyUnicode_New((Py_ssize_t)bytes.size, 127);",
        )
    ],
    # All bytes are looked at, then all are copied.
    "looks-then-copies": [
        (
            "binding/text.c",
            "    size_t last = size - sizeof(word);\n",
            "    for (size_t at = 0; at + sizeof(word) <= size; at += sizeof(word)) {\n"
            "        seen |= load_u64(from + at);\n"
            "    }\n"
            "    if (((seen | load_u64(from + size - sizeof(word))) & high_bits) == 0) {\n"
            "        memcpy(to, from, size);\n"
            "        return true;\n"
            "    }\n"
            "    seen = 0;\n"
            "    size_t last = size - sizeof(word);\n",
        )
    ],
}

# For read_all.py.
READERS = {
    # It is not said of what the text was that could not be decoded.
    "text-error-escapes": [
        (
            "binding/value.c",
            "string == NULL && !PyErr_Occurred()",
            "string == NULL && PyErr_Occurred()",
        )
    ],
    **{name: build_hostile.MUTANTS[name] for name in ("reference-unchecked", "checksum-ignored")},
}

MUTANTS = DECODERS | READERS


def build(directory, words=()):
    """Where the package of each mutant is, name -> path."""
    builder = extension.Builder(directory, flags=FLAGS)
    return {
        mutant: builder.link(mutant, changes)
        for mutant, changes in mutants.chosen(MUTANTS, words).items()
    }


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    build(sys.argv[1], sys.argv[2:])
