"""Who looks at a map may go on looking when the map is closed, dropped, replaced or removed.

Each scenario of lifetime_scenarios.py runs in a process of its own, so that a crash is one failed
test: in development mode, where CPython's own memory has guards around it, and with freed memory
overwritten by the C library. The slow tests run them all again in a debug build of Python, where
every reference is counted and many more assertions hold.
"""

import os
import subprocess
import sys

import lifetime_scenarios as scenarios
import pytest
from helpers import HANG, SUPPORT


def run(python, flags, arguments, **environment):
    """The scenario in another process; what it has to say if it fails."""
    ended = subprocess.run(
        [python, *flags, os.fspath(SUPPORT / "lifetime_scenarios.py"), *arguments],
        env={**os.environ, "MALLOC_PERTURB_": "165", "PYTHONFAULTHANDLER": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=10 * HANG,
    )
    assert (ended.returncode, ended.stdout.decode()) == (0, "survived\n")


@pytest.fixture
def place(name, tmp_path):
    return [name, os.fspath(tmp_path / "map")]


each_form = pytest.mark.parametrize("form", scenarios.FORMS)
each_event = pytest.mark.parametrize("event", scenarios.EVENTS)
each_change = pytest.mark.parametrize("change", scenarios.CHANGES)


@pytest.fixture
def survives(place):
    return lambda *scenario: run(sys.executable, ["-X", "dev", "-W", "error"], [*place, *scenario])


@each_form
@each_event
def test_all_holders_survive_the_end_of_their_map(survives, form, event):
    survives("snapshot", form, event)


@each_form
def test_each_holder_alone_keeps_its_snapshot(survives, form):
    survives("snapshot_one_holder_at_a_time", form)


@each_form
def test_holders_of_a_map_survive_the_end_of_the_process(survives, form):
    survives("snapshot_end_of_process", form)


def test_all_holders_survive_the_end_of_their_tree(survives):
    survives("tree_del")


def test_each_holder_alone_keeps_its_tree(survives):
    survives("tree_one_holder_at_a_time")


@each_change
def test_all_holders_survive_a_change_of_their_tree(survives, change):
    survives("tree_change", change)


def test_iterators_survive_new_values_in_their_tree(survives):
    survives("tree_overwrite")


def test_holders_of_a_tree_survive_the_end_of_the_process(survives):
    survives("tree_end_of_process")


def test_reading_survives_a_decoder_that_drops_the_map(survives):
    survives("hooks_that_drop_their_map")


# ---- a debug build of Python -------------------------------------------------------------------


@pytest.fixture(scope="module")
def debug_build(debug_builder):
    """(python, folder): our package, built for that Python with nothing but its C compiler."""
    python, builder = debug_builder
    return python, builder.link()


@pytest.fixture
def survives_debugging(place, debug_build):
    python, folder = debug_build
    flags = ["-X", "dev", "-W", "error"]
    return lambda *scenario: run(python, flags, [*place, *scenario], PYTHONPATH=folder)


@pytest.mark.slow
def test_debug_build_is_the_one_that_is_tested(debug_build):
    python, folder = debug_build
    program = "import sys, sharedmap; print(sharedmap.__file__, sharedmap.__version__)"
    shown = subprocess.check_output(
        [python, "-c", program], env={**os.environ, "PYTHONPATH": folder}, text=True
    )
    assert shown.startswith(folder)
    assert shown.endswith(" faults\n")


@pytest.mark.slow
@each_form
def test_each_holder_alone_keeps_its_snapshot_in_a_debug_build(survives_debugging, form):
    survives_debugging("snapshot_one_holder_at_a_time", form)


@pytest.mark.slow
@each_form
def test_all_holders_survive_the_end_of_their_map_in_a_debug_build(survives_debugging, form):
    survives_debugging("snapshot_all_events", form)


@pytest.mark.slow
@each_form
def test_holders_of_a_map_survive_the_end_of_a_debug_process(survives_debugging, form):
    survives_debugging("snapshot_end_of_process", form)


@pytest.mark.slow
@pytest.mark.parametrize(
    "scenario",
    ["tree_del", "tree_one_holder_at_a_time", "tree_overwrite", "tree_end_of_process"],
)
def test_holders_of_a_tree_survive_in_a_debug_build(survives_debugging, scenario):
    survives_debugging(scenario)


@pytest.mark.slow
def test_all_holders_survive_changes_of_their_tree_in_a_debug_build(survives_debugging):
    survives_debugging("tree_all_changes")


@pytest.mark.slow
def test_reading_survives_a_decoder_that_drops_the_map_in_a_debug_build(survives_debugging):
    survives_debugging("hooks_that_drop_their_map")


@pytest.mark.slow
def test_no_reference_stays_behind(survives_debugging):
    survives_debugging("references_that_stay")
