"""What users would otherwise write by hand has a test, a docstring and a place in the guide."""

from typing import NamedTuple

import pytest
from helpers import TESTS, TOP

import sharedmap

if not (TOP / "docs").is_dir():
    pytest.skip("an installed package is tested, its pages are elsewhere", allow_module_level=True)


class Promise(NamedTuple):
    explained: dict  # what has a docstring -> words of it
    page: str  # of the guide
    shown: list  # code on the page
    tests: dict  # file -> names


MAP, TREE = sharedmap.sharedmap, sharedmap.rbtree

PROMISES = {
    "something is derived once per version": Promise(
        {MAP.derived: "once per version"},
        "live-configuration.md",
        ["settings.derived(pattern)", "settings.derived(parsed)", "settings.derived(model)"],
        {
            "map/test_derived.py": [
                "test_function_is_called_once_for_a_version",
                "test_new_version_has_the_function_called_again",
                "test_threads_wait_for_one_call",
                "test_exception_is_raised_and_not_remembered",
            ]
        },
    ),
    "exist_ok publishes unless the name is taken": Promise(
        {sharedmap.share: "exist_ok", TREE.share: "exist_ok"},
        "sharing.md",
        ['"countries", exist_ok=True)'],
        {
            "publish/test_module_functions.py": [
                "test_exist_ok_keeps_what_is_published_and_returns_false",
                "test_exist_ok_of_many_processes_publishes_once",
            ]
        },
    ),
    "opening waits until the map is there": Promise(
        {MAP: "wait is how long to wait"},
        "live-configuration.md",
        ["wait=10)"],
        {
            "follow/test_wait.py": [
                "test_opening_waits_until_the_map_is_published",
                "test_opening_raises_file_not_found_when_the_time_is_over",
            ]
        },
    ),
    "two versions are compared": Promise(
        {MAP.diff: "(added, changed, removed)"},
        "live-configuration.md",
        ["new.diff(old)"],
        {
            "map/test_diff.py": [
                "test_keys_are_added_changed_and_removed",
                "test_diff_is_that_of_dicts",
            ]
        },
    ),
    "one consistent copy is a dict": Promise(
        {MAP.to_dict: "one version", TREE.to_dict: "dict"},
        "trees.md",
        ["m.to_dict()", 'm | {"kiwi": 4}'],
        {
            "mapping/test_dicts.py": [
                "test_to_dict_is_of_one_version_while_the_map_changes",
                "test_map_or_mapping_is_a_dict_where_the_right_one_wins",
            ]
        },
    ),
    "a version has an id that is not reused": Promise(
        {
            MAP.id: "never used twice",
            MAP.published_at: "published",
            TREE.share: "the id of the version",
        },
        "sharing.md",
        ["now.id", "expect=version", "now.published_at"],
        {
            "publish/test_identity.py": [
                "test_id_is_32_digits_and_that_of_the_version",
                "test_expect_takes_an_id",
                "test_expect_of_an_id_is_not_met_by_a_later_lineage",
                "test_published_at_is_the_time_of_publication",
            ],
            "publish/test_expect.py": ["test_share_with_the_published_generation_replaces"],
        },
    ),
    "the neighbours of a key, and the longest prefix": Promise(
        {TREE.lower: "less than", MAP.higher: "greater than", MAP.longest_prefix: "begins with"},
        "sorted-queries.md",
        ["m.lower(", "m.higher(", "longest_prefix("],
        {
            "mapping/test_ranges.py": [
                "test_lower_is_the_nearest_key_below",
                "test_higher_is_the_nearest_key_above",
                "test_longest_prefix_is_the_longest_key_that_the_text_begins_with",
            ]
        },
    ),
    "a range of keys is removed": Promise(
        {TREE: 'del t["a":"f"] removes'},
        "trees.md",
        ['del stock["b":"e"]'],
        {"mapping/test_ranges.py": ["test_del_of_a_slice_removes_the_keys_inside"]},
    ),
    "why a map does not advance": Promise(
        {MAP.follow_error: "None when the last attempt", sharedmap.FollowWarning: "follow"},
        "live-configuration.md",
        ["settings.follow_error", "sharedmap.FollowWarning"],
        {
            "follow/test_delivery.py": [
                "test_following_map_says_once_why_it_cannot_advance_and_advances_later"
            ]
        },
    ),
    "timeout limits the wait of everything that publishes": Promise(
        {
            TREE.share: "timeout",
            TREE.save: "TimeoutError",
            sharedmap.update: "timeout",
            TREE.remove: "timeout",
        },
        "sharing.md",
        ["timeout=0.5)", "`timeout=None`"],
        {
            "publish/test_publish_wait.py": [
                "test_timeout_ends_the_wait_for_the_lock",
                "test_timeout_of_save_is_for_the_lock_of_the_file",
            ]
        },
    ),
}

each_promise = pytest.mark.parametrize("promise", PROMISES.values(), ids=PROMISES.keys())


@each_promise
def test_promise_is_explained_by_help(promise):
    for thing, words in promise.explained.items():
        assert words in " ".join(thing.__doc__.split()), thing


@each_promise
def test_promise_is_shown_by_the_guide(promise):
    page = (TOP / "docs/guide" / promise.page).read_text()
    assert [code for code in promise.shown if code not in page] == []


@each_promise
def test_promise_has_tests_of_its_name(promise):
    for file, names in promise.tests.items():
        text = (TESTS / file).read_text()
        assert [name for name in names if f"def {name}(" not in text] == []
