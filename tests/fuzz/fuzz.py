"""Builds the fuzz targets with libFuzzer, runs them, keeps their corpus small.

    python3 tests/fuzz/fuzz.py DIRECTORY [--seconds N | --runs N] [TARGET ...]
    python3 tests/fuzz/fuzz.py DIRECTORY [--seconds N | --runs N] --mutants [TARGET ...]
    python3 tests/fuzz/fuzz.py DIRECTORY --minimise [TARGET ...]

The targets are fuzz_read, fuzz_delta, fuzz_publish, fuzz_msgpack and fuzz_utf8; all of them, one
after the other, if none is named. Each begins with what is in tests/fuzz/corpus and with what
earlier runs have found and left in DIRECTORY, for as many seconds or executions as are wanted.
What crashes one is left there, too.
A mutant (tests/support/mutants.py) has to crash its target, within the seconds or executions that
are given.

--minimise writes to tests/fuzz/corpus the fewest inputs that reach as much of the code as all that
are known. An input of fuzz_read is a snapshot without its bytes 160 to 511.

The compiler is $FUZZ_CC, or clang; it has to know -fsanitize=fuzzer.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.fspath(pathlib.Path(__file__).resolve().parents[1] / "support"))
sys.path.insert(0, os.fspath(pathlib.Path(__file__).resolve().parents[1] / "hostile"))
import build_hostile
import mutants

HERE = pathlib.Path(__file__).resolve().parent
TARGETS = ["fuzz_read", "fuzz_delta", "fuzz_publish", "fuzz_msgpack", "fuzz_utf8"]
LONGEST = {
    "fuzz_read": 2048,
    "fuzz_delta": 2048,
    "fuzz_publish": 64,
    "fuzz_msgpack": 256,
    "fuzz_utf8": 64,
}

FLAGS = [
    *("-std=c11", "-O2", "-g", "-pthread", "-DSHAREDMAP_TESTING", "-fno-omit-frame-pointer"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
]
# What the targets themselves reach is not worth an input, nor the time to notice it. Nor is what
# the core compares, but where the input is what it reads.
NOTICED = {
    "plain": "-fsanitize-coverage=inline-8bit-counters,pc-table",
    "compares": "-fsanitize-coverage=inline-8bit-counters,pc-table,trace-cmp",
}

SMALL = [
    # The sanitizer takes longer to hand out a megabyte than a small snapshot takes to be written.
    (
        "snapshot/writer.c",
        "OUTPUT_SIZE = 16 * SNAPSHOT_CHECKSUM_BLOCK",
        "OUTPUT_SIZE = SNAPSHOT_CHECKSUM_BLOCK",
    ),
    # With few entries, too, all the ways to sort them.
    ("base/sort.c", "    MANY = 512,\n", "    MANY = 9,\n"),
]

# Target: its mutants.
MUTANTS = {
    "fuzz_read": {
        name: build_hostile.MUTANTS[name]
        for name in ("size-unchecked", "reference-off-by-one", "order-unchecked")
    },
    "fuzz_delta": {
        name: build_hostile.MUTANTS[name]
        for name in ("delta-size-unchecked", "rank-unchecked", "ranks-unverified")
    },
    "fuzz_publish": {
        # The size 256 goes into one byte.
        "size-in-too-few-bytes": [
            ("snapshot/record_shape.h", "size <= UINT8_MAX    ? 0", "size <= UINT8_MAX + 1 ? 0")
        ],
        # What is removed is gone over and stays.
        "merge-skips-removals": [
            (
                "snapshot/merge.c",
                "                      < 0)\n        {\n            removal += 1;\n",
                "                      <= 0)\n        {\n            removal += 1;\n",
            ),
        ],
        # A node is looked at after it was given back.
        "removed-and-used": [
            (
                "tree/rbtree.c",
                "    rbtree_node_destroy(&tree->memory, node);\n    return true;\n",
                "    rbtree_node_destroy(&tree->memory, node);\n    return node->parent != node;\n",
            ),
        ],
        # Of two puts of a key the first one stays.
        "sort-keeps-the-first": [
            (
                "base/sort.c",
                "return left->index < right->index;",
                "return left->index > right->index;",
            )
        ],
    },
    "fuzz_msgpack": {
        # A str of one byte more than there is.
        "bytes-off-by-one": [
            ("base/msgpack.h", "size > reader->left - reader->owed)", "size > reader->left + 1)")
        ],
        # The last key is not compared with the one before.
        "last-key-uncompared": [
            (
                "base/msgpack.c",
                "for (size_t i = 1; i < count; i++)",
                "for (size_t i = 2; i < count; i++)",
            )
        ],
    },
    "fuzz_utf8": {
        # Four bytes may hold what three could.
        "overlong": [("base/utf8.c", "first == 0xF0 ? 0x90 : 0x80", "0x80")],
        # The first code point of four bytes gets room for three.
        "limit-off-by-one": [("base/utf8.c", "(point >= 0x10000);", "(point > 0x10000);")],
    },
}


class Fuzzers:
    """The programs in a directory."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory).resolve()
        self.compiler = os.environ.get("FUZZ_CC", "clang")

    def build(self, target, mutant=None):
        kind = "compares" if target in ("fuzz_read", "fuzz_delta") else "plain"
        core = mutants.Tool([*FLAGS, NOTICED[kind]], compiler=self.compiler)
        outer = mutants.Tool(FLAGS, ["-fsanitize=fuzzer"], compiler=self.compiler)
        changes = [*SMALL, *(MUTANTS[target][mutant] if mutant else [])]
        name = f"{target}-{mutant}" if mutant else target
        objects = core.compile_mutant(name, changes, self.directory / f"{name}.changed")
        objects = core.compile(mutants.core_sources()) | objects
        objects |= outer.compile([HERE / f"{target}.c"])
        return outer.link(objects, self.directory / name)

    def run(self, program, target, limits, keeps=True):
        """(exit status, executions). What it finds is kept for the next time, if wanted."""
        known = self.directory / "corpus" / (target if keeps else program.name)
        known.mkdir(parents=True, exist_ok=True)
        options = [
            f"-max_len={LONGEST[target]}",
            f"-artifact_prefix={self.directory}/{program.name}-",
            # Inputs are short: those of any length are tried from the beginning.
            "-len_control=0",
            # An input takes microseconds; what takes this long does not end.
            "-timeout=30",
            "-print_final_stats=1",
        ]
        command = [program, *options, *limits, known, HERE / "corpus" / target]
        log = self.directory / f"{program.name}.log"
        # What was freed is guarded for as long as an input takes, and not for 256 MiB. Who had
        # allocated it is what a crash says that is run again without these.
        fast = "quarantine_size_mb=4:malloc_context_size=1:max_malloc_fill_size=0"
        options = os.environ | {"ASAN_OPTIONS": fast}
        with open(log, "w") as output:
            code = subprocess.run(command, stdout=output, stderr=output, env=options).returncode
        executions = re.findall(r"stat::number_of_executed_units: (\d+)", log.read_text())
        return code, int(executions[-1]) if executions else 0, log

    def minimise(self, target):
        """Only what is reached counts, not how often."""
        program = self.build(target)
        committed = HERE / "corpus" / target
        merged = self.directory / f"merged-{target}"
        shutil.rmtree(merged, ignore_errors=True)
        merged.mkdir()
        options = ["-merge=1", "-use_counters=0", f"-max_len={LONGEST[target]}"]
        known = [path for path in (self.directory / "corpus" / target, committed) if path.exists()]
        subprocess.run([program, *options, merged, *known], check=True, capture_output=True)
        shutil.rmtree(committed, ignore_errors=True)
        shutil.copytree(merged, committed)
        files = list(committed.iterdir())
        print(f"{target}: {len(files)} files, {sum(f.stat().st_size for f in files)} bytes")


def fuzz(fuzzers, target, limits):
    code, executions, log = fuzzers.run(fuzzers.build(target), target, limits)
    print(
        f"{target}: {executions} executions, {'0 failures' if code == 0 else 'FAILED'}", flush=True
    )
    if code != 0:
        print(log.read_text()[-8000:])
    return code == 0 and executions > 0


def find_mutant(fuzzers, target, mutant, limits):
    program = fuzzers.build(target, mutant)
    code, _, log = fuzzers.run(program, target, limits, keeps=False)
    # 77 is a report; so is 1, from a sanitizer. A limit that is reached is no failure: 0.
    is_found = code in (1, 77) and "Test unit written to" in log.read_text()
    print(f"{target}, {mutant}: {'found' if is_found else 'NOT FOUND'}", flush=True)
    return is_found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directory")
    parser.add_argument("targets", nargs="*", default=TARGETS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--runs", type=int)
    parser.add_argument("--mutants", action="store_true")
    parser.add_argument("--minimise", action="store_true")
    arguments = parser.parse_intermixed_args()
    fuzzers = Fuzzers(arguments.directory)
    limits = [f"-max_total_time={arguments.seconds}"]
    if arguments.runs is not None:
        limits = [f"-runs={arguments.runs}"]
    good = True
    for target in arguments.targets:
        if arguments.minimise:
            fuzzers.minimise(target)
        elif arguments.mutants:
            for mutant in MUTANTS[target]:
                good &= find_mutant(fuzzers, target, mutant, limits)
        else:
            good &= fuzz(fuzzers, target, limits)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
