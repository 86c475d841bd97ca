"""How long a change takes from the publisher to a reader in another process.

    python benchmarks/update_latency.py [--updates N]

Prints a Markdown table. All rows are measured in one run, in turns of BATCH updates each, because
what a wake-up costs depends on what else the machine is doing. The two lines to compare with are a
bare futex, which is the least that waking another process can cost, and a byte through a pipe.

    publisher    called ---- share() ---- returned
                   |                        |
    reader         |   asleep, or looking   |           up: has the new value, or has returned
                   +---- "from the call" ---|-----------+
                                            +-----------+ "from the return"

A reader can be up before the publisher has returned, because the publisher still has to clean up
then; such times are negative. In the row "from its wake-up alone" the steps of share() are done by
hand, so that the clock can be read right before the last one, as it is with the bare futex.
"""

import argparse
import ctypes
import mmap
import multiprocessing
import os
import platform
import statistics
import time
import uuid

import sharedmap

BATCH = 200
# The reader has said that it is about to sleep; by then it does.
FALL_ASLEEP = 0.0003
WAKE_ONLY = "`wait()` returns, from its wake-up alone"
FUTEX_WAIT, FUTEX_WAKE = 0, 1
SYS_FUTEX = {"x86_64": 202, "aarch64": 98}[platform.machine()]

libc = ctypes.CDLL(None, use_errno=True)
clock = time.perf_counter_ns  # the same in all processes of a machine


class Word:
    """32 bits that two processes share."""

    def __init__(self):
        self.memory = mmap.mmap(-1, mmap.PAGESIZE)
        self.place = ctypes.c_uint32.from_buffer(self.memory)

    def wait(self, old):
        libc.syscall(SYS_FUTEX, ctypes.byref(self.place), FUTEX_WAIT, old, None, None, 0)

    def wake(self):
        libc.syscall(SYS_FUTEX, ctypes.byref(self.place), FUTEX_WAKE, 1, None, None, 0)


class Stage:
    """What both processes have: made before the fork, so nothing is passed on."""

    def __init__(self, name):
        self.name = name
        self.word = Word()
        self.ready = Word()
        self.down = os.pipe()
        self.up = os.pipe()


# --- readers: each returns when it was up, for each update of a batch -------------------------


def read_futex(stage, numbers):
    for number in numbers:
        old = stage.word.place.value
        stage.ready.place.value = number
        stage.word.wait(old)
        yield clock()


def read_pipe(stage, numbers):
    for number in numbers:
        stage.ready.place.value = number
        os.read(stage.down[0], 1)
        yield clock()
        os.write(stage.up[1], b".")


def read_wait(stage, numbers):
    with sharedmap.sharedmap(stage.name) as shared:
        for number in numbers:
            shared.refresh()
            stage.ready.place.value = number
            shared.wait()
            yield clock()


def read_wait_value(stage, numbers):
    with sharedmap.sharedmap(stage.name, follow=True) as shared:
        for number in numbers:
            stage.ready.place.value = number
            shared.wait()
            assert shared["number"] == number
            yield clock()


def read_without_pause(stage, numbers):
    """Never asleep: reads and reads until it gets the new value."""
    with sharedmap.sharedmap(stage.name, follow=True) as shared:
        for number in numbers:
            stage.ready.place.value = number
            while shared["number"] != number:
                pass
            yield clock()


def read_now_and_then(stage, numbers):
    """Reads once in a while, as a worker does with each request."""
    with sharedmap.sharedmap(stage.name, follow=True) as shared:
        for number in numbers:
            stage.ready.place.value = number
            while shared["number"] != number:
                pause = clock() + 100_000
                while clock() < pause:
                    pass
            yield clock()


# --- publishers: what comes before the clock is read, and what comes after --------------------


def nothing(stage, number):
    pass


def publish_futex(stage, number):
    stage.word.place.value = number
    stage.word.wake()


def publish_pipe(stage, number):
    os.write(stage.down[1], b".")


def publish_map(stage, number):
    sharedmap.share({"number": number}, stage.name, force=True)


def rename_by_hand(stage, number):
    """All that share() does before it wakes who waits: a new file, the mark, the rename."""
    path = f"/dev/shm/sharedmap.{stage.name}"
    with open(os.open(f"{path}.new", os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
        file.write(sharedmap.rbtree(number=number).dump())
    with open(path, "r+b") as file:
        stage.old = mmap.mmap(file.fileno(), 0)
    stage.superseded = ctypes.c_uint32.from_buffer(stage.old, 192)
    stage.superseded.value = 1
    os.rename(f"{path}.new", path)


def wake_by_hand(stage, number):
    libc.syscall(SYS_FUTEX, ctypes.byref(stage.superseded), FUTEX_WAKE, 1 << 30, None, None, 0)


ROWS = {
    "bare futex": (read_futex, nothing, publish_futex),
    "byte through a pipe, one way": (read_pipe, nothing, publish_pipe),
    WAKE_ONLY: (read_wait, rename_by_hand, wake_by_hand),
    "`wait()` returns": (read_wait, nothing, publish_map),
    "`wait()`, then `m[key]` of a following map": (read_wait_value, nothing, publish_map),
    "`m[key]` of a following map, every 100 µs": (read_now_and_then, nothing, publish_map),
    "`m[key]` of a following map, without a pause": (read_without_pause, nothing, publish_map),
}


def reader(stage, connection):
    while True:
        row, numbers = connection.recv()
        if row is None:
            return
        connection.send(list(ROWS[row][0](stage, numbers)))


def run_batch(stage, connection, row, numbers, results):
    _, prepare, publish = ROWS[row]
    connection.send((row, numbers))
    called, returned, back = [], [], []
    for number in numbers:
        while stage.ready.place.value != number:
            time.sleep(0.00005)
        time.sleep(FALL_ASLEEP)
        prepare(stage, number)
        called.append(clock())
        publish(stage, number)
        returned.append(clock())
        if publish is publish_pipe:
            os.read(stage.up[0], 1)
            back.append(clock())
    up = connection.recv()
    results[row]["call"] += [u - c for u, c in zip(up, called, strict=True)]
    results[row]["return"] += [u - r for u, r in zip(up, returned, strict=True)]
    results[row]["back"] += [b - c for b, c in zip(back, called[: len(back)], strict=True)]


def line(title, times, bare):
    times = [t / 1000 for t in times]
    median = statistics.median(times)
    last = statistics.quantiles(times, n=100)[98]
    return f"| {title} | {median:.1f} | {last:.1f} | {median / bare:.2f} |"


def report(results):
    bare = statistics.median(results["bare futex"]["call"]) / 1000
    for moment in ("call", "return"):
        print(f"| from the {moment} | median, µs | 99 %, µs | median / bare futex |")
        print("|---|---:|---:|---:|")
        for row, times in results.items():
            print(line(row, times[moment], bare))
            if times["back"] and moment == "call":
                print(line("byte through a pipe and another one back", times["back"], bare))
        print()
    print("The last column is always relative to the bare futex from its call.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--updates", type=int, default=10_000, help="for each row")
    options = parser.parse_args()
    context = multiprocessing.get_context("fork")
    stage = Stage(f"benchmark:{uuid.uuid4().hex[:12]}")
    results = {row: {"call": [], "return": [], "back": []} for row in ROWS}
    here, there = context.Pipe()
    sharedmap.share({"number": 0}, stage.name)
    child = context.Process(target=reader, args=(stage, there))
    child.start()
    try:
        number = 0
        while len(results["bare futex"]["call"]) < options.updates:
            for row in ROWS:
                numbers = range(number + 1, number + 1 + BATCH)
                number += BATCH
                run_batch(stage, here, row, numbers, results)
        here.send((None, ()))
        child.join()
    finally:
        child.kill()
        sharedmap.remove(stage.name)
    load = " ".join(f"{n:.1f}" for n in os.getloadavg())
    print(f"{options.updates} updates per row, {os.cpu_count()} processors, load {load}\n")
    report(results)


if __name__ == "__main__":
    main()
