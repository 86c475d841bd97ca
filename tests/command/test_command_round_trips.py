"""load -> export -> load: the same map, through every format and compression."""

import importlib.util
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import ALL_VALUES, KEYS

import sharedmap

SUFFIXES = ["", ".gz", ".bz2", ".xz"]
if sys.version_info >= (3, 14) or importlib.util.find_spec("zstandard"):
    SUFFIXES.append(".zst")
suffixes = st.sampled_from(SUFFIXES)
# A file of UTF-8 has no lone surrogates; in JSON they are escaped.
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
NASTY = st.sampled_from(['"', "'", ",", "\t", "\n", "\r", "\\", "\\N", "\\t", " ", "\0", "\ufeff"])
CELLS = st.one_of(TEXT, st.lists(NASTY, max_size=6).map("".join))
MANY = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    print_blob=True,
)


def exact(items):
    """Tells all values apart but NaNs, of which JSON has one."""
    return repr([*items])


@pytest.fixture
def round_trip(command, names, tmp_path):
    """The entries that come back through a file, and what the file contains the second time."""

    def round_trip(entries, form, suffix, options):
        first, second = names(), names()
        one, two = (tmp_path / f"{number}.{form}{suffix}" for number in "12")
        sharedmap.share(entries, first, force=True)
        more = ("--allow-empty", *options)
        assert command("export", first, "-o", one, *options).code == 0
        done = command("load", second, one, "--force", *more)
        assert done.code == 0, done
        assert command("export", second, "-o", two, *options).code == 0
        assert one.read_bytes() == two.read_bytes()
        with sharedmap.sharedmap(second) as opened:
            found = exact(opened.items())
        sharedmap.remove(first)
        sharedmap.remove(second)
        return found

    return round_trip


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "tsv"])
@MANY
@given(entries=st.dictionaries(CELLS, CELLS, max_size=8), suffix=suffixes)
def test_text_comes_back_through_every_format(round_trip, form, entries, suffix):
    assert round_trip(entries, form, suffix, ()) == exact(sorted(entries.items()))


@pytest.mark.parametrize("form", ["json", "jsonl"])
@MANY
@given(entries=st.dictionaries(KEYS, ALL_VALUES, max_size=8), suffix=suffixes)
def test_every_value_comes_back_through_json(round_trip, form, entries, suffix):
    assert round_trip(entries, form, suffix, ()) == exact(sorted(entries.items()))


@pytest.mark.parametrize("form", ["csv", "tsv"])
@MANY
@given(entries=st.dictionaries(CELLS, ALL_VALUES, max_size=8), suffix=suffixes)
def test_every_value_comes_back_through_a_table_of_json(round_trip, form, entries, suffix):
    found = round_trip(entries, form, suffix, ("--type", "json"))
    assert found == exact(sorted(entries.items()))
