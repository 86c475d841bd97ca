"""Builds the package with extensions that are wrong on purpose.

    python3 tests/hostile/build_package.py DIRECTORY [MUTANT ...]

makes DIRECTORY/MUTANT/sharedmap for each mutant that is named; `all` names all of them
(tests/mutants.py). PYTHONPATH=DIRECTORY/MUTANT puts it before the installed one.
"""

import os
import pathlib
import shutil
import sys
import sysconfig

sys.path.insert(0, os.fspath(pathlib.Path(__file__).resolve().parents[1]))
import build_hostile
import mutants

FLAGS = [
    *("-std=c11", "-O2", "-g", "-DNDEBUG", "-fPIC", "-fvisibility=hidden", "-pthread"),
    *('-DSHAREDMAP_VERSION="mutant"', "-isystem"),
    sysconfig.get_path("include"),
]

# For writer.py.
DECODERS = {
    # CPython decodes what lies in the snapshot, and looks at it twice.
    "decodes-in-place": [
        (
            "binding/text.c",
            "    PyObject *string = PyUnicode_New((Py_ssize_t)bytes.size, 127);",
            "    if (bytes.size > 0) {\n"
            "        return PyUnicode_DecodeUTF8((const char *)bytes.bytes,\n"
            '                                    (Py_ssize_t)bytes.size, "surrogatepass");\n'
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
            "PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)",
            "PyErr_ExceptionMatches(PyExc_KeyError)",
        )
    ],
    **{name: build_hostile.MUTANTS[name] for name in ("reference-unchecked", "checksum-ignored")},
}

MUTANTS = DECODERS | READERS


def build(directory, words=()):
    """Where the package of each mutant is, name -> path."""
    directory = pathlib.Path(directory).resolve()
    tool = mutants.Tool(FLAGS, ["-shared"])
    binding = sorted((mutants.TOP / "src/binding").glob("*.c"))
    objects = tool.compile([*mutants.core_sources(), *binding], directory / "objects")
    packages = {}
    for mutant, changes in mutants.chosen(MUTANTS, words).items():
        wrong = tool.compile_mutant(mutant, changes, directory / mutant)
        packages[mutant] = directory / mutant
        package = directory / mutant / "sharedmap"
        shutil.copytree(mutants.TOP / "src/sharedmap", package, dirs_exist_ok=True)
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        tool.link(objects | wrong, package / f"_sharedmap{suffix}")
    return packages


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    build(sys.argv[1], sys.argv[2:])
