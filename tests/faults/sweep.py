"""What the tools share that go through all cases of many operations: options, and the sum."""

import argparse
import time


def parse(doc, add_options=lambda parser: None):
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--stride", type=int, default=1, help="each so many cases one is taken")
    parser.add_argument(
        "--only", default="", help="this operation, or those with this in their name"
    )
    parser.add_argument("--stop-early", action="store_true", help="after the first failure")
    add_options(parser)
    return parser.parse_args()


def play(run, names, arguments, steps, cases="cases"):
    """Returns the exit status. run(name) tells how many steps the operation has, how many cases it
    has run, and what went wrong."""
    begun = time.monotonic()
    total = failures = 0
    is_exact = arguments.only in names
    for name in names:
        if arguments.only != name if is_exact else arguments.only not in name:
            continue
        step_count, count, failed = run(name)
        print(f"{name}: {step_count} {steps}, {count} {cases}, {len(failed)} failures", flush=True)
        total += count
        failures += len(failed)
        if failures and arguments.stop_early:
            break
    print(f"{total} {cases}, {failures} failures, {time.monotonic() - begun:.0f} seconds")
    return 1 if failures or total == 0 else 0
