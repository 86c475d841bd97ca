"""Builds hostile, and the same with readers that are wrong on purpose.

    python3 tests/hostile/build_hostile.py DIRECTORY [MUTANT ...]

makes DIRECTORY/hostile, and DIRECTORY/hostile-MUTANT for each mutant that is named; `all` names
all of them (tests/support/mutants.py). The compiler is $CC, or cc; it needs both sanitizers.
"""

import os
import pathlib
import sys

sys.path.insert(0, os.fspath(pathlib.Path(__file__).resolve().parents[1] / "support"))
import mutants

FLAGS = [
    *("-std=c11", "-O1", "-g", "-pthread", "-DSHAREDMAP_TESTING", "-fno-omit-frame-pointer"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
]

MUTANTS = {
    # A short key and value are believed to lie inside the records.
    "size-unchecked": [
        (
            "snapshot/record.h",
            "if (cursor.left < key_code + value_code) {",
            "if (cursor.left < key_code) {",
        )
    ],
    # A size behind the head may lie behind the records, too.
    "width-unchecked": [
        ("snapshot/record.h", "    if (cursor->left < width) {\n", "    if (width > 8) {\n")
    ],
    # The last byte of the records is taken for a head of two.
    "reference-off-by-one": [
        (
            "snapshot/record.h",
            "offset > view->records_size - RECORD_HEAD_SIZE)",
            "offset > view->records_size - RECORD_HEAD_SIZE + 1)",
        )
    ],
    # Nothing keeps a reference of the indices inside the records.
    "reference-unchecked": [
        (
            "snapshot/record.h",
            "        || offset > view->records_size - RECORD_HEAD_SIZE)",
            "        || offset > UINT64_MAX - RECORD_HEAD_SIZE)",
        ),
        (
            "snapshot/record.h",
            "    if (reference > view->records_size >> view->reference_shift) {",
            "    if (reference > UINT64_MAX >> view->reference_shift) {",
        ),
    ],
    # The sum of offset and size goes round.
    "region-overflows": [
        (
            "snapshot/header.c",
            "region->size <= total_size - region->offset",
            "region->offset + region->size <= total_size",
        )
    ],
    # So does the size of the sorted index.
    "count-overflows": [
        (
            "snapshot/header.c",
            "        || __builtin_mul_overflow(header->entry_count, header->reference_size,\n"
            "                                  &sorted_size)\n",
            "        || ((sorted_size = header->entry_count * header->reference_size), false)\n",
        )
    ],
    # What leaves the last bucket goes on behind it.
    "bucket-off-by-one": [
        ("snapshot/find.c", "at + 1 < view->bucket_count ?", "at + 1 <= view->bucket_count ?")
    ],
    "group-bucket-off-by-one": [
        ("snapshot/version_group.c", "bucket < end ? bucket", "bucket <= end ? bucket")
    ],
    # A probe does not end at the max probe distance.
    "endless-probe": [("snapshot/find.c", "        max_probe -= 1;\n", "")],
    # Verify lets a key be there twice.
    "order-unchecked": [
        (
            "snapshot/verify.c",
            "slice_compare(previous.key, entry.key) >= 0",
            "slice_compare(previous.key, entry.key) > 0",
        )
    ],
    # Verify does not mind the checksum of the contents.
    "checksum-ignored": [
        (
            "snapshot/verify.c",
            "    return checksum == view->header.content_checksum ? STATUS_OK",
            "    return checksum == view->header.content_checksum || at > 0 ? STATUS_OK",
        )
    ],
    # A delta ends where its header says, even if the file does before.
    "delta-size-unchecked": [
        (
            "snapshot/delta.c",
            "header.size > room_size - begin",
            "header.size > UINT64_MAX - begin",
        )
    ],
    # What a delta's parts come to is not compared with its size.
    "delta-parts-unchecked": [("snapshot/delta.c", "|| layout.hash_index > header.size\n", "\n")],
    # What the ranks of a delta come to is not compared with what lies beneath.
    "rank-unchecked": [
        (
            "snapshot/version.c",
            "        if (index >= count_beneath(version, i)) {",
            "        if (index == UINT64_MAX) {",
        )
    ],
    # A step between two ranks is reckoned with a sign.
    "step-overflows": [
        (
            "snapshot/delta_merge.c",
            "    uint64_t beneath = (uint64_t)!entry_is_tombstone(&taken->entry)\n"
            "                       - (uint64_t)delta_step(delta, index);\n",
            "    int64_t beneath =\n"
            "        !entry_is_tombstone(&taken->entry) - delta_step(delta, index);\n",
        )
    ],
    # Verify believes the ranks of a delta.
    "ranks-unverified": [
        ("snapshot/version_verify.c", "delta_below(delta, index) != beneath->below", "false")
    ],
    # Verify does not mind the checksum of a delta.
    "delta-checksum-ignored": [
        (
            "snapshot/delta.c",
            "    return checksum == delta->header.content_checksum ? STATUS_OK",
            "    return checksum != 0 ? STATUS_OK",
        )
    ],
}


def build(directory, words=()):
    """The programs, those of the mutants after the true one."""
    sources = [*mutants.core_sources(), mutants.TOP / "tests/hostile/hostile.c"]
    program = pathlib.Path(directory).resolve() / "hostile"
    return mutants.Tool(FLAGS).build(program, sources, mutants.chosen(MUTANTS, words))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    build(sys.argv[1], sys.argv[2:])
