"""Each row of the table of failures in docs/guide/many-machines.md is held by tests."""

import ast
import re

import pytest
from helpers import TESTS, TOP

PAGE = TOP / "docs/guide/many-machines.md"
if not PAGE.exists():
    pytest.skip("an installed package is tested, its guide is elsewhere", allow_module_level=True)

TABLE = PAGE.read_text().partition("## Failures")[2].partition("\n## ")[0]

# The first cell of a row -> the tests, of all files in tests/replication.
ROWS = {
    "the server is down, or connections are cut": [
        "test_follower_survives_cut_connections",
        "test_follower_keeps_the_map_while_the_server_is_dead_and_goes_on_after",
        "test_trouble_is_told_once_and_so_is_its_end",
    ],
    "the server has lost its data": [
        "test_follower_keeps_the_map_while_the_server_is_dead_and_goes_on_after",
    ],
    "the server returns with an older version": [
        "test_follower_never_goes_back_to_what_a_server_remembers",
    ],
    "a chunk or difference is missing on the server, or was evicted": [
        "test_chunk_that_is_not_whole_is_refused_and_repaired",
        "test_difference_that_is_missing_or_damaged_is_refused_and_repaired",
    ],
    "a chunk or difference is damaged": [
        "test_corrupted_chunk_is_refused_and_repaired_by_the_next_push",
        "test_difference_that_is_missing_or_damaged_is_refused_and_repaired",
    ],
    "the manifest is damaged": [
        "test_truncated_manifest_is_refused_and_replaced_by_the_next_push",
        "test_chunks_of_a_manifest_that_nobody_can_read_expire",
        "test_list_of_chunks_that_is_damaged_is_refused_and_repaired",
    ],
    "the manifest lists differences that do not lead to its content": [
        "test_differences_that_do_not_lead_to_the_content_are_refused",
        "test_manifest_whose_content_is_not_that_of_its_differences_is_refused",
        "test_follower_that_skips_the_check_of_the_content_would_be_found",
    ],
    "an agent is killed": [
        "test_fetching_goes_on_where_it_was_ended",
        "test_agent_that_was_killed_before_it_recorded_goes_on_from_there",
    ],
    "a machine starts without network": [
        "test_machine_that_was_restarted_needs_no_server",
        "test_machine_that_was_restarted_builds_the_version_without_the_server",
    ],
    "the disk of a machine is full": ["test_full_disk_is_told_and_the_local_map_stays"],
    "`/dev/shm` of a machine is full": [
        "test_version_that_cannot_be_published_takes_nothing_away",
    ],
    "a file of an agent is damaged or lost": [
        "test_version_that_was_damaged_on_the_disk_is_fetched_again",
        "test_version_that_the_disk_has_lost_is_fetched_again",
        "test_difference_that_was_damaged_on_the_disk_is_fetched_again",
    ],
    "a process changes or removes the local map": [
        "test_local_map_that_was_updated_is_published_again",
        "test_follower_restores_a_local_map_that_was_removed",
        "test_local_map_that_is_changed_while_a_difference_is_applied_is_replaced",
        "test_local_map_that_is_changed_right_after_is_replaced",
    ],
    "two agents use the same directory for one map": [
        "test_second_agent_with_the_same_directory_is_refused",
    ],
    "a push is killed before its transaction": [
        "test_push_that_is_killed_leaves_chunks_that_expire_and_nothing_else",
    ],
    "a push is killed after its transaction": [
        "test_push_that_is_killed_at_any_request_is_pushed_or_not",
        "test_push_that_is_killed_before_it_keeps_the_version_goes_on_by_differences",
    ],
    "what the publisher keeps is lost, damaged, or cannot be written": [
        "test_what_a_publisher_keeps_can_be_lost",
        "test_publisher_that_cannot_keep_anything_tells_it_once",
        "test_disk_of_the_publisher_that_is_full_costs_an_image",
    ],
    "two publishers push at the same time": [
        "test_of_two_pushes_at_the_same_time_both_happen",
        "test_second_push_at_the_same_time_does_without_what_is_kept",
    ],
    "a publisher pushes what another machine pushed last": [
        "test_two_publishers_in_turns_push_images",
    ],
    "the publisher's clock goes back": ["test_versions_grow_and_never_fall_behind_the_clock"],
    "a version is more than a day ahead of the clock": [
        "test_manifest_far_ahead_of_the_clock_is_refused_and_replaced",
    ],
    "a map is removed from the server": ["test_machines_keep_their_version_of_a_removed_map"],
    "the master of a service, or a node of a cluster, fails": [
        "test_nothing_is_lost_when_the_master_is_killed",
        "test_maps_of_a_service_travel_whichever_sentinel_is_down",
        "test_url_of_one_node_that_is_down_is_no_obstacle",
    ],
    "an old agent meets a new publisher": [
        "test_agent_refuses_a_format_that_it_does_not_know",
    ],
    "an old publisher meets a new agent": [
        "test_publisher_of_format_1_is_followed_and_followed_by_differences",
    ],
}


def named_tests():
    found = set()
    for path in (TESTS / "replication").glob("test_*.py"):
        tree = ast.parse(path.read_text())
        found |= {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}
    return found


def test_every_failure_of_the_page_is_known():
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \|$", TABLE, re.M)
    assert rows[0] == "WHAT FAILS"
    assert rows[1:] == [*ROWS]


@pytest.mark.parametrize("row", ROWS)
def test_failure_of_the_page_has_tests(row):
    assert ROWS[row]
    assert {*ROWS[row]} <= named_tests()
