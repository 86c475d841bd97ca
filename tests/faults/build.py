"""Builds kill_everywhere, and the same with cores that are wrong on purpose.

    python3 tests/faults/build.py DIRECTORY [MUTANT ...]

makes DIRECTORY/kill_everywhere, and DIRECTORY/kill_everywhere-MUTANT for each mutant that is
named; `all` names all of them. A mutant is the core with one step of the protocol left out or in
the wrong place (tests/support/mutants.py).

The compiler is $CC, or cc, and gets the switches that the extension is built with.
"""

import os
import pathlib
import sys

sys.path.insert(0, os.fspath(pathlib.Path(__file__).resolve().parents[1] / "support"))
import mutants

FLAGS = ["-std=c11", "-O2", "-DNDEBUG", "-g", "-fvisibility=hidden", "-pthread"]
# The dynamic linker looks functions up at the start, not in the middle of what is recorded.
LINK = ["-Wl,-z,now"]

# Small maps have room for deltas, too: a large one is copied in a million instructions. And a
# program with one map needs no thousand buckets, each of which every update looks into.
SMALL = [
    ("publish.c", "enum { LEAST_ENTRIES = 4096 };", "enum { LEAST_ENTRIES = 32 };"),
    ("segment/mapping.c", "enum { BUCKET_BITS = 10,", "enum { BUCKET_BITS = 2,"),
]

MUTANTS = {
    # The mark comes after the rename: whoever is killed in between leaves readers behind.
    "late-mark": [
        (
            "segment/publish.c",
            "    status = holder_mark_superseded(holder);\n    if (status == STATUS_OK && !rename",
            "    if (status == STATUS_OK && !rename",
        ),
        (
            "segment/publish.c",
            "    holder_wake_all(holder);\n    return options->is_durable",
            "    (void)holder_mark_superseded(holder);\n    holder_wake_all(holder);\n"
            "    return options->is_durable",
        ),
    ],
    # The same when a name is taken away.
    "late-mark-of-remove": [
        (
            "segment/publish.c",
            "    (void)holder_mark_superseded(&holder);  // names are in memory\n",
            "",
        ),
        (
            "segment/publish.c",
            "        holder_wake_all(&holder);",
            "        (void)holder_mark_superseded(&holder);\n        holder_wake_all(&holder);",
        ),
    ],
    # Nobody locks the holder.
    "no-lock": [
        (
            "segment/lock.c",
            "    enum status status = system_lock(holder->file.descriptor, byte, is_busy);",
            "    enum status status = STATUS_OK;\n    *is_busy = false;",
        )
    ],
    # Who got the lock does not look whether the name still leads to what is locked.
    "no-second-look": [
        (
            "segment/lock.c",
            "    if (status == STATUS_OK && !is_named) {",
            "    if (path == NULL && !is_named) {",
        )
    ],
    # What a killed publisher left under the temporary name stays there.
    "keeps-leftover": [
        (
            "segment/publish.c",
            "        status = leftover_clear_locked(temporary, draft->interrupt, &is_own);",
            "        status = STATUS_OK;\n        is_own = false;",
        ),
        (
            "segment/publish.c",
            "        status =\n"
            "            leftover_clear_locked(temporary, draft->interrupt, &is_cleared);",
            "        (void)is_cleared;",
        ),
    ],
    # The old map goes before the new one comes, as it did in version 1.
    "early-unlink": [
        (
            "segment/publish.c",
            "    if (status == STATUS_OK && !rename_path(temporary, path, draft->interrupt))\n",
            "    unlink(path);\n"
            "    if (status == STATUS_OK && !rename_path(temporary, path, draft->interrupt))\n",
        )
    ],
    # The name is taken before the header is complete.
    "late-stamp": [
        (
            "segment/publish.c",
            "    if (status == STATUS_OK) {\n"
            "        status = stamp(draft, 1, options, header);\n"
            "    }",
            "",
        ),
        (
            "segment/publish.c",
            "        return errno == EEXIST ? STATUS_NAME_TAKEN : system_failure();\n    }",
            "        return errno == EEXIST ? STATUS_NAME_TAKEN : system_failure();\n    }\n"
            "    status = stamp(draft, 1, options, header);\n"
            "    if (status != STATUS_OK) {\n        return status;\n    }",
        ),
    ],
    # A new snapshot has the generation of the one it replaces.
    "same-generation": [
        (
            "segment/lock.h",
            "    return generation == UINT64_MAX ? 1 : generation + 1;",
            "    return generation;",
        )
    ],
    # An update lets go of the lock between reading and replacing.
    "update-lets-go": [
        (
            "update.c",
            "    status = holder_map(&holder, path, &segment);\n    if (status == STATUS_OK) {",
            "    status = holder_map(&holder, path, &segment);\n    if (status == STATUS_OK) {\n"
            "        holder_close(&holder);\n"
            "        status = holder_lock(&holder, path, &update->lock);\n    }\n"
            "    if (status == STATUS_OK) {",
        )
    ],
    # ---- deltas: the head is stored before the bytes that it leads to, ...
    "early-head": [
        (
            "segment/append.c",
            "    enum status status =\n        system_allocate(",
            "    atomic_store(holder_head_word(holder), update->head);\n"
            "    enum status status =\n        system_allocate(",
        )
    ],
    # ... and a file that has been marked gets a delta, ...
    "appends-to-marked": [
        (
            "segment/append.c",
            "atomic_load(holder_head_word(holder)) == holder->head;",
            "(atomic_load(holder_head_word(holder)) & ~HEAD_SUPERSEDED) == holder->head;",
        )
    ],
    # ... or one that lies over what is not the present version any more: nobody has the lock.
    "appends-without-lock": [
        (
            "update.c",
            "    status = holder_map(&holder, path, &segment);\n",
            "    status = holder_map(&holder, path, &segment);\n"
            "    struct flock lock = {.l_type = F_UNLCK};\n"
            "    fcntl(holder.file.descriptor, F_OFD_SETLK, &lock);\n",
        ),
        (
            "update.c",
            '#include "core/update.h"\n\n#include "core/base/memory.h"',
            "#define _GNU_SOURCE\n"
            '#include <fcntl.h>\n#include "core/update.h"\n\n#include "core/base/memory.h"',
        ),
    ],
    # The mark of a file with deltas takes the head away.
    "mark-loses-head": [
        (
            "segment/publish.c",
            "        atomic_fetch_or(holder_head_word(holder), HEAD_SUPERSEDED);",
            "        atomic_store(holder_head_word(holder), HEAD_SUPERSEDED);",
        )
    ],
    # The room is a hole up to its end.
    "sparse-room": [
        (
            "segment/append.c",
            "#include <stdatomic.h>\n",
            "#include <stdatomic.h>\n#include <unistd.h>\n",
        ),
        (
            "segment/append.c",
            "    enum status status =\n"
            "        system_allocate(holder->file.descriptor, offset, update->size,\n"
            "                        holder->interrupt, &is_allocated);",
            "    enum status status = STATUS_OK;\n"
            "    (void)is_allocated;\n"
            "    (void)!ftruncate(holder->file.descriptor, (off_t)(offset + 4096));",
        ),
    ],
    # A delta's keys are hashed by a seed of its own.
    "other-seed": [
        (
            "snapshot/delta_writer.c",
            "                hash_bytes(key.bytes, key.size, plan->base->hash_seed);",
            "                hash_bytes(key.bytes, key.size, plan->base->hash_seed + 1);",
        )
    ],
    # The next generation is that after the base's.
    "generation-of-base": [
        ("segment/lock.c", "        holder->generation = delta.generation;\n", "")
    ],
    # A new young delta begins where the one before began, ...
    "overwrites-young": [
        (
            "snapshot/version_update.c",
            "top != NULL ? top->end : 0,",
            "top != NULL ? version->delta_count == VERSION_DELTAS ? top->begin : top->end : 0,",
        )
    ],
    # ... or says that it lies over the one before.
    "over-young": [
        (
            "snapshot/version_update.c",
            "            header->beneath = delta_head(version->deltas[0].begin);",
            "            header->beneath = delta_head(version_top(version)->begin);",
        )
    ],
    # A fold drops the tombstones of what the base has.
    "drops-tombstones": [
        (
            "snapshot/delta_merge.c",
            "                entry->record == RECORD_NEW || !delta_entry_is_void(entry);",
            "                !entry_is_tombstone(&entry->entry);",
        )
    ],
    # A rank is one too high.
    "rank-off-by-one": [
        (
            "snapshot/delta_writer.c",
            "        write_number(&to, entry->below + shift, size);",
            "        write_number(&to, entry->below + shift + (i == 1), size);",
        )
    ],
    # A fold does not take off what the old delta shifts.
    "fold-keeps-shift": [
        (
            "snapshot/delta_merge.c",
            "                entry->below -= delta_shift(old, index);",
            "                entry->below -= 0;",
        )
    ],
    # A delta may end behind the room, ...
    "limit-not-checked": [
        (
            "snapshot/version_update.c",
            "    if (size > room || chosen->plan.begin > room - size\n        || (copying",
            "    if ((copying",
        )
    ],
    # ... and a reader that opens the map takes the size of the file before the head.
    "size-before-head": [
        (
            "segment/open.c",
            "    segment->head = segment_load_head(segment);\n    if (segment->head == 0) {\n"
            "        return STATUS_OK;\n    }\n"
            "    if (!system_stat(descriptor, &file, interrupt)) {\n"
            "        return system_failure();\n    }\n",
            "    if (!system_stat(descriptor, &file, interrupt)) {\n"
            "        return system_failure();\n    }\n"
            "    segment->head = segment_load_head(segment);\n    if (segment->head == 0) {\n"
            "        return STATUS_OK;\n    }\n",
        )
    ],
    # ---- compaction: what was published since it began is lost, ...
    "no-catch-up": [
        (
            "compact.c",
            "    if (present->head != compaction->copied.head) {",
            "    if (present->head == UINT32_MAX) {",
        )
    ],
    # ... also where another publisher has replaced the file, ...
    "compacts-anything": [
        (
            "compact.c",
            "        || holder->inode != compaction->compactor.inode)",
            "        || holder->inode == 0)",
        ),
        (
            "compact.c",
            "        && !holder_can_append(holder, &compaction->segment))",
            "        && segment_is_marked(&compaction->segment) && holder->size == 0)",
        ),
    ],
    # ... or it makes a new version of what is the present one.
    "compacts-to-a-new-version": [
        (
            "compact.c",
            "    header->generation = version->generation;",
            "    header->generation = version->generation + 1;",
        )
    ],
    # The new file's head does not lead to what was published meanwhile.
    "compacts-without-head": [("segment/publish.c", "        header->head = newer->head;\n", "")],
    # What a killed publisher left stays as long as deltas are appended.
    "keeps-leftover-of-copy": [
        ("segment/append.c", "        holder_clear_leftover(path);", "        (void)path;")
    ],
}


def build(directory, words=()):
    """The programs, those of the mutants after the true one."""
    sources = [*mutants.core_sources(), *sorted((mutants.TOP / "tests/faults").glob("*.c"))]
    program = pathlib.Path(directory).resolve() / "kill_everywhere"
    return mutants.Tool(FLAGS, LINK).build(program, sources, mutants.chosen(MUTANTS, words), SMALL)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    build(sys.argv[1], sys.argv[2:])
