"""What the child processes of test_handles.py run: spawn and forkserver import it by its name."""

import os
import pickle


def read(shared):
    """Everything about a map that was an argument, and who says so."""
    with shared:
        return os.getpid(), dict(shared), shared.name, shared.nbytes


def get(arguments):
    shared, key = arguments
    return shared[key]


def read_into(shared, results):
    results.send(read(shared))
    results.close()


def is_usable(shared):
    return not shared.closed and len(shared) >= 0


def give_back(shared):
    """On the way back it is pickled in the child and opened again in the parent."""
    return shared


def decode(data):
    return pickle.loads(data)


_initial = None


def initialise(shared):
    global _initial
    _initial = shared


def get_from_initial(key):
    return _initial[key]
