"""Runs stress.py under ThreadSanitizer: no report, and one of each that is racy on purpose.

    python3 tests/threads/sanitized.py [--threads N] [--rounds N] [--seconds N]

The Python without a GIL and with the sanitizer comes from build_python.sh, the extension is built
for it here. --seconds says how long the true one runs, instead of rounds. Exits with a failure if
there is a report, or none where there has to be one.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, os.fspath(HERE.parent / "faults"))
import extension  # noqa: E402

REPORTED = 66
ATTEMPTS = 5
HANDLE = "binding/sharedmap_handle.c"
MAPPING = "segment/mapping.c"
THREAD_CACHE = "binding/thread_cache.c"
RACY = {
    # What a handle had is freed in the middle of other threads' lookups.
    "racy": [(HANDLE, "    readers_wait();\n", "")],
    # The next version refers to the mapping of the one before without the lock of all mappings.
    "racy-versions": [
        (
            MAPPING,
            "    fork_list_lock();\n    refer(segment, known->mapping, known->size);\n"
            "    fork_list_unlock();\n",
            "    refer(segment, known->mapping, known->size);\n",
        )
    ],
    # That a snapshot has gone is told to other threads by a plain store.
    "racy-cache": [
        (
            THREAD_CACHE,
            "atomic_store(&life->is_over, true)",
            "*(volatile bool *)&life->is_over = true",
        )
    ],
}


def run(python, folder, *numbers):
    """(exit status, what was told); a report makes the status REPORTED."""
    environment = os.environ | {"PYTHONPATH": folder, "TSAN_OPTIONS": f"exitcode={REPORTED}"}
    # The sanitizer of older compilers does not know how far addresses are spread nowadays.
    command = ["setarch", "--addr-no-randomize", python, HERE / "stress.py"]
    done = subprocess.run([*command, *numbers], env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--seconds", type=int, help="of the true one, instead of rounds")
    arguments = parser.parse_args()
    script = ["bash", HERE / "build_python.sh", "sanitized"]
    python = subprocess.check_output(script, text=True).strip()
    os.environ["CC"] = "clang"
    with tempfile.TemporaryDirectory(prefix="extension-") as folder:
        builder = extension.Builder(folder, python, ["-fsanitize=thread"])
        numbers = ["--threads", str(arguments.threads), "--rounds", str(arguments.rounds)]
        length = ["--seconds", str(arguments.seconds)] if arguments.seconds else []
        code, told = run(python, builder.link(), *numbers, *length)
        reports = told.count("WARNING: ThreadSanitizer")
        print(told if code != 0 else told.splitlines()[-1], f"{reports} reports")
        is_good = code == 0
        for name, changes in RACY.items():
            # The same, as often, finds it in one of a few runs at the latest.
            folder = builder.link(name, changes)
            for _ in range(ATTEMPTS):
                racy, told = run(python, folder, *numbers)
                reports = told.count("WARNING: ThreadSanitizer")
                if racy == REPORTED:
                    break
            is_good = is_good and racy == REPORTED
            print(f"{reports} reports of the extension that is {name} on purpose", flush=True)
        return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
