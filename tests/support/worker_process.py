"""The other process of the tests: runs what it reads from its standard input, until that ends.

Each request is (kind, source, variables), each answer (ok, value or exception). The names live on
from request to request, so that a test can open a map here, do something elsewhere and look again.
Started as a program of its own, it has nothing from the test process but the pipe.
"""

import contextlib
import os
import pathlib
import signal
import traceback
from multiprocessing.connection import Connection

import sharedmap


def main():
    # A shell starts what runs in the background with this signal ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    requests = Connection(os.dup(0), writable=False)
    answers = Connection(os.dup(1), readable=False)
    # Whatever a test prints must not get between the answers.
    os.dup2(2, 1)
    space = {"os": os, "pathlib": pathlib, "sharedmap": sharedmap}
    while True:
        try:
            kind, source, variables = requests.recv()
        except EOFError:
            return
        space.update(variables)
        try:
            answer = (True, eval(source, space) if kind == "eval" else exec(source, space))
        except BaseException as error:
            # As another user this process may not be able to read the sources it would quote.
            with contextlib.suppress(Exception):
                traceback.print_exc()
            answer = (False, error)
        try:
            answers.send(answer)
        except TypeError as error:
            answers.send((False, error))


if __name__ == "__main__":
    main()
