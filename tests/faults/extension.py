"""Builds the package where it is not installed: with test hooks, for another Python, or wrong.

    builder = Builder(directory, python=sys.executable, flags=[...])
    folder = builder.link(name, changes)

makes FOLDER/sharedmap from our sources with nothing but the C compiler, to be imported with
PYTHONPATH=FOLDER. What the core has for its own tests (memory_fail_after() and others) is
exported, for ctypes. The changes of a mutant are those of mutants.py.
"""

import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, os.fspath(pathlib.Path(__file__).resolve().parents[1] / "support"))
import mutants
from mutants import TOP

FLAGS = ["-std=c11", "-O1", "-g", "-UNDEBUG", "-fPIC", "-pthread", "-DSHAREDMAP_TESTING"]
VERSION = '-DSHAREDMAP_VERSION="faults"'
ASK = "import sysconfig as s; print(s.get_path('include'), s.get_config_var('EXT_SUFFIX'))"


def debug_python():
    """One that was configured with --with-pydebug; Debian has it as python3-dbg."""
    candidates = [f"python3.{minor}d" for minor in range(10, 20)]
    for candidate in [sys.executable, *candidates, "python3-dbg"]:
        python = shutil.which(candidate)
        ask = "import sys; sys.exit(not hasattr(sys, 'gettotalrefcount'))"
        if python is not None and subprocess.run([python, "-c", ask]).returncode == 0:
            return python
    return None


def why_impossible(python=sys.executable):
    """What is missing to build for that Python, or None."""
    if not (TOP / "src/core").is_dir():
        return "our sources are not beside the tests"
    if shutil.which(os.environ.get("CC", "cc").split()[0]) is None:
        return "there is no C compiler"
    include = subprocess.check_output([python, "-c", ASK], text=True).split()[0]
    if not pathlib.Path(include, "Python.h").exists():
        return f"the headers of {python} are not in {include}"
    return None


class Builder:
    """The true extension, and its mutants."""

    def __init__(self, directory, python=sys.executable, flags=()):
        self.directory = pathlib.Path(directory).resolve()
        include, self.suffix = subprocess.check_output([python, "-c", ASK], text=True).split()
        self.tool = mutants.Tool([*FLAGS, VERSION, f"-I{include}", *flags], ["-shared"])
        sources = [*mutants.core_sources(), *sorted(TOP.glob("src/binding/*.c"))]
        self.objects = self.tool.compile(sources)

    def link(self, name="true", changes=()):
        """The folder to import the package from."""
        folder = self.directory / name
        package = folder / "sharedmap"
        if package.exists():
            return os.fspath(folder)
        shutil.copytree(TOP / "src/sharedmap", package, ignore=shutil.ignore_patterns("*.so"))
        objects = dict(self.objects)
        if changes:
            objects |= self.tool.compile_mutant(name, changes, folder / "changed")
        self.tool.link(objects, package / f"_sharedmap{self.suffix}")
        return os.fspath(folder)


def build(directory, python=sys.executable):
    """The folder of the true one."""
    return Builder(directory, python).link()


def build_module(source, directory):
    """A module of the tests, for the Python that runs this; the folder to import it from."""
    include, suffix = subprocess.check_output([sys.executable, "-c", ASK], text=True).split()
    source = TOP / "tests" / source
    tool = mutants.Tool([*FLAGS, f"-I{include}"], ["-shared"])
    tool.link({source.name: source}, pathlib.Path(directory, source.stem + suffix))
    return os.fspath(directory)


# Name: changes, for the tests of the tools that look at the extension. Each has to be noticed.
MUTANTS = {
    # What opened a file for a draft does not close it when there is no room.
    "leaks-descriptor": [
        (
            "segment/draft.c",
            "        status = set_mode(draft, options->mode);\n    }\n"
            "    if (status != STATUS_OK) {\n        draft_close(draft);\n    }\n",
            "        status = set_mode(draft, options->mode);\n    }\n",
        )
    ],
    # What is to be updated stays mapped.
    "leaks-mapping": [
        (
            "update.c",
            "        segment_close(&segment);  // of a file",
            "        // of a file",
        ),
        ("update.c", "        holder_unmap(&segment, path);", "        (void)path;"),
    ],
    # What could not be written is published all the same.
    "believes-pwrite": [
        (
            "segment/system.c",
            "                continue;\n            }\n            return system_failure();",
            "                continue;\n            }\n            return STATUS_OK;",
        )
    ],
    # A rename that failed leaves the temporary name behind.
    "keeps-temporary": [
        (
            "segment/publish.c",
            "            system_unlink(temporary);",
            "            (void)temporary;",
        )
    ],
    # The exception does not say which map it is about.
    "forgets-name": [
        (
            "binding/errors.c",
            "PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, name)",
            "PyErr_SetFromErrno(PyExc_OSError)",
        )
    ],
    # A call that a signal interrupted is made again, whatever the signal means.
    "ignores-signals": [
        (
            "segment/system.c",
            "    errno = EINTR;\n    return !stops;",
            "    errno = EINTR;\n    (void)stops;\n    return true;",
        )
    ],
    # While a file is opened no other thread runs.
    "hangs-with-the-gil": [
        (
            "binding/snapshot_type.c",
            "        Py_BEGIN_ALLOW_THREADS\n        status = open_file(",
            "        status = open_file(",
        ),
        (
            "binding/snapshot_type.c",
            "        Py_END_ALLOW_THREADS\n    }\n    if (status != STATUS_OK) {",
            "    }\n    if (status != STATUS_OK) {",
        ),
    ],
    # A handle that could not move on lets go of what it had.
    "loses-old": [
        (
            "binding/sharedmap_follow.c",
            "        note(self, seen, status);\n    }\n    if (status != STATUS_OK) {\n",
            "        note(self, seen, status);\n    }\n    if (status != STATUS_OK) {\n"
            "        sharedmap_replace(self, seen, NULL);\n",
        )
    ],
    # Many entries are put one by one, and those before the failure stay.
    "half-an-update": [
        (
            "tree/rbtree.c",
            "            rbtree_remove(tree, entries[i].key);",
            "            continue;",
        )
    ],
    # What was reserved for a new value is not given back.
    "leaks-place": [
        (
            "tree/rbtree.c",
            "            memory_release(replacements[i].storage);",
            "            (void)replacements[i].storage;",
        )
    ],
    # A lack of memory is taken for a lack of attributes.
    "loses-attributes": [
        (
            "binding/mapping_type.c",
            'PyObject_CallMethod(object, "__getstate__", NULL);',
            'PyObject_CallMethod(object, "__getstate__", NULL)\n'
            "                     ?: (PyErr_Clear(), Py_NewRef(Py_None));",
        )
    ],
    # A reference too many, when something fails.
    "leaks-bytes": [
        (
            "binding/rbtree_publish.c",
            "    if (state == NULL) {\n        goto done;\n    }",
            "    if (state == NULL) {\n        Py_CLEAR(rebuild);\n        return NULL;\n    }",
        )
    ],
    # Who opens a map waits until no publisher has its lock.
    "readers-lock": [
        (
            "segment/open.c",
            "    enum status status = STATUS_OK;\n    struct stat file;\n"
            "    if (!system_stat(opened.descriptor, &file, &AT_ANY_SIGNAL)) {",
            "    struct flock lock = {.l_type = F_RDLCK};\n"
            "    (void)fcntl(opened.descriptor, F_OFD_SETLKW, &lock);\n"
            "    lock.l_type = F_UNLCK;\n"
            "    (void)fcntl(opened.descriptor, F_OFD_SETLK, &lock);\n"
            "    enum status status = STATUS_OK;\n    struct stat file;\n"
            "    if (!system_stat(opened.descriptor, &file, &AT_ANY_SIGNAL)) {",
        )
    ],
    # A publisher unlocks the holder before its file has the name.
    "unlocks-early": [
        (
            "segment/publish.c",
            "    if (status == STATUS_OK && !rename_path(temporary, path, draft->interrupt))\n",
            "    struct flock lock = {.l_type = F_UNLCK};\n"
            "    (void)fcntl(holder->file.descriptor, F_OFD_SETLK, &lock);\n"
            "    if (status == STATUS_OK && !rename_path(temporary, path, draft->interrupt))\n",
        )
    ],
    # Forked children keep what is being written.
    "child-keeps-files": [
        (
            "segment/fork.c",
            "        system_close(file->descriptor);\n    }\n    file->descriptor = -1;\n}\n\nst",
            "    }\n    file->descriptor = -1;\n}\n\nst",
        )
    ],
    # In a forked child nobody ends what a thread of its parent began.
    "child-waits": [("segment/fork_list.c", "    generation += 1;\n", "")],
    # A forked child waits for lookups of threads that it does not have.
    "child-counts-readers": [
        (
            "segment/readers.c",
            "        atomic_store(&readers_stripes[i].counts[0], 0);\n"
            "        atomic_store(&readers_stripes[i].counts[1], 0);\n",
            "        (void)i;\n",
        )
    ],
    # All interpreters have the types and exceptions of the first.
    "one-state": [
        (
            "binding/state.c",
            "    return PyModule_GetState(state_module_of_type(type));",
            "    static struct state *first;\n"
            "    return first ? first : (first = PyModule_GetState(state_module_of_type(type)));",
        )
    ],
    # What was gathered for a publication is never freed.
    "leaks-entries": [
        (
            "binding/rbtree_publish.c",
            "        memory_release(entries);\n        signals_end(&signals);",
            "        signals_end(&signals);",
        )
    ],
    # Each snapshot keeps a reference to its type.
    "leaks-reference": [
        (
            "binding/snapshot_type.c",
            "    type->tp_free(self);\n    Py_DECREF(type);",
            "    type->tp_free(self);",
        )
    ],
    # Nobody who changes a tree waits for those who publish it, and these take their time.
    "no-guard": [
        (
            "binding/guard.c",
            "    guard->is_publishing = true;",
            "    guard->is_publishing = false;",
        ),
        (
            "binding/rbtree_publish.c",
            "        status = publishing_run(target, entries, count);",
            "        extern int usleep(unsigned);\n        usleep(3000);\n"
            "        status = publishing_run(target, entries, count);",
        ),
        # The same without a GIL.
        ("binding/guard.c", "    guard_lock(guard);\n    return 0;", "    return 0;"),
        ("binding/guard.c", "    PyMutex_Unlock(&guard->mutex);", "    (void)guard;"),
    ],
    # The core frees nothing, and counts as if it did.
    "frees-nothing": [("base/memory.c", "    free(memory);", "    (void)memory;")],
    # Pages are not reserved, and what could not be written is published all the same.
    "ignores-full-shm": [
        (
            "segment/draft.c",
            "    status = reserve(draft, size, &options->lock.interrupt);",
            "    (void)reserve;\n"
            "    status = ftruncate(draft->file.descriptor, (off_t)size) < 0 ? STATUS_SYSTEM "
            ": STATUS_OK;",
        ),
        (
            "segment/system.c",
            "                continue;\n            }\n            return system_failure();",
            "                continue;\n            }\n            return STATUS_OK;",
        ),
    ],
    # Who opens a map does not look whose it is, or who else may write to it, ...
    "believes-anybody": [
        ("segment/open.c", "        return STATUS_FOREIGN_OWNER;", "        return STATUS_OK;")
    ],
    "lets-others-write": [
        (
            "segment/open.c",
            "        return STATUS_OTHERS_MAY_WRITE;\n    }\n    return STATUS_OK;\n}",
            "    }\n    return STATUS_OK;\n}",
        )
    ],
    # ... and who replaces one neither.
    "replaces-anybodys": [
        (
            "segment/lock.c",
            "            status = STATUS_FOREIGN_OWNER;",
            "            holder->generation = 0;",
        )
    ],
    # The mode is what the umask left of it.
    "obeys-umask": [
        (
            "segment/draft.c",
            "fchmod(draft->file.descriptor, (mode_t)mode)",
            "fchmod(draft->file.descriptor, (mode_t)mode & ~(umask(0) | 022))",
        )
    ],
}

# What random kills and stops find only in the history of all processes.
LINEARIZABILITY_MUTANTS = {
    # A follower that was marked early and has found nothing new does not check again, ...
    "trusts-a-stale-word": [
        (
            "segment/follow.c",
            "        atomic_store(&follow->hint_since, now);",
            "        atomic_store(&follow->hint_since, now);\n"
            "        atomic_store(&follow->next_check, INT64_MAX);",
        )
    ],
    # ... or never checks.
    "ignores-the-word": [
        (
            "segment/wait.c",
            "    return atomic_load_explicit(head_word(segment), memory_order_acquire)\n"
            "           != segment->head;",
            "    return false;",
        )
    ],
    # What is expected is not compared under the lock.
    "expects-nothing": [
        (
            "segment/publish.c",
            "    return is_expected ? STATUS_OK : STATUS_STALE;",
            "    return is_expected || !is_expected ? STATUS_OK : STATUS_STALE;",
        )
    ],
    # Somebody else's lock is no reason to wait after a moment.
    "impatient": [
        (
            "segment/system.c",
            "        *is_busy = errno == EAGAIN || errno == EACCES || errno == EINTR;\n"
            "        return STATUS_SYSTEM;",
            "        static int attempts;\n        *is_busy = ++attempts % 16 != 0;\n"
            "        return *is_busy ? STATUS_SYSTEM : STATUS_OK;",
        )
    ],
    # Removing a name that another publisher has taken over meanwhile removes nothing.
    "removes-nothing": [
        (
            "segment/publish.c",
            "    if (!unlink_path(path, holder.interrupt)) {\n",
            "    if (holder.generation % 16 != 0 && !unlink_path(path, holder.interrupt)) {\n",
        )
    ],
    # What a merge has no room for is left out.
    "drops-an-update": [
        (
            "update.c",
            "                           &is_changed, &update->lock.interrupt);",
            "                           &is_changed, &update->lock.interrupt);\n"
            "    count -= count > 30 && version->generation % 32 == 0 ? 3 : 0;",
        )
    ],
}
