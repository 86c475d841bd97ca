"""Differences: only what has changed is sent, and what arrives is the complete version."""

import asyncio
import contextlib
import shutil
from functools import partial

import agents as agent_support
import changing as support
import machines
import pytest
from agents import published, push
from changing import COUNT
from helpers import HANG
from machines import blobs_of, keys_of, manifest_of, many, publish
from versions import deltas_of

import sharedmap
from sharedmap import replication
from sharedmap.replication import _source, _state, aio

server, shared_server = machines.server, machines.shared_server
host, hosts, agents = machines.host, machines.hosts, agent_support.agents
changing, few_rows = support.changing, support.few_rows


# ---- only what has changed -------------------------------------------------------------------


def test_change_is_pushed_and_pulled_as_a_difference(changing, host):
    whole = host.pull()
    changing.update({"key 000002": "changed", "new": b"\x00"}, remove=["key 000001"])
    version = changing.push()
    assert version.is_new and 0 < version.transferred < 1000 < whole.transferred
    assert changing.rows() == 1
    pulled = host.pull()
    assert (pulled.version, pulled.transferred) == (version.version, version.transferred)
    assert (pulled.entries, pulled.size, pulled.sha256) == version[2:5]
    assert changing.is_on(host)
    # Appended to the local map, which was not published anew.
    assert len(deltas_of(host.local)) == 1


def test_map_that_another_program_changes_during_the_check_is_replaced(changing, host, monkeypatch):
    """The digest of what is put would be right, and the other program's entry would stay."""
    host.pull()
    decode_all = _state.decode_all

    def decode_and_change(rows, read):
        sharedmap.update(host.local, {"key 000000": "of another program"})
        return decode_all(rows, read)

    changing.update({"key 000002": "changed"})
    changing.push()
    monkeypatch.setattr(_state, "decode_all", decode_and_change)
    host.pull()
    assert changing.is_on(host)


def test_follower_is_told_of_each_difference(changing, host):
    host.start()
    host.next()
    for _ in range(3):
        version = changing.change()
        assert changing.rows() > 0
        while host.next().version != version.version:
            pass
        assert changing.is_on(host)


def test_follower_that_missed_versions_catches_up_by_their_differences(changing, host):
    host.pull()
    sent = [changing.change().transferred for _ in range(5)]
    assert host.pull().transferred == sum(sent)
    assert changing.is_on(host)


def test_new_machine_fetches_the_image_and_the_differences(changing, host):
    for _ in range(3):
        changing.change()
    assert changing.rows() == 3
    version = host.pull()
    assert version.transferred == sum(changing.manifest().blobs().values())
    assert changing.is_on(host)


def test_rows_are_merged_and_lead_from_any_version_to_the_newest(changing, hosts, few_rows):
    often, seldom, last = (hosts(changing.server, changing.name) for _ in range(3))
    for each in (often, seldom):
        each.pull()
    for number in range(16):
        changing.update({changing.key(): number, f"number {number % 7}": number}, ["key 000000"])
        changing.dict["key 000000"] = "back"
        sharedmap.update(changing.name, {"key 000000": "back"})
        changing.push()
        assert changing.rows() <= 6
        often.pull()
        if number % 7 == 0:
            seldom.pull()
            assert changing.is_on(seldom)
    image = changing.manifest().image
    for each in (often, seldom, last):
        each.pull()
        assert changing.is_on(each)
        state = _state.State(each.directory, each.local, 0o600)
        assert {kept.image.sha256 for kept in state.versions} == {image.sha256}
        assert len(state.newest.differences) <= 6
        state.close()


def test_image_is_pushed_again_when_differences_add_up_to_an_eighth_of_it(changing, host):
    host.pull()
    first = changing.manifest().image
    for number in range(0, 20, 2):
        changing.update({f"key {key:06}": f"{number:060}" for key in range(number * 30)})
        changing.push()
        manifest = changing.manifest()
        assert sum(row.raw_size for row in manifest.differences) * 8 <= manifest.image.size
        host.pull()
        assert changing.is_on(host)
    assert manifest.image.version > first.version


def test_map_of_which_most_has_changed_is_pushed_as_an_image(server, name, host, monkeypatch):
    publish(name, many(6000))
    replication.push(server.url, name)
    value = publish(name, {key: text[::-1] for key, text in many(6000).items()})
    monkeypatch.setattr(_source, "decode_all", lambda *_: pytest.fail("all keys were compared"))
    replication.push(server.url, name)
    assert manifest_of(server, name).differences == ()
    host.pull()
    assert host.read() == value


def test_map_that_is_published_anew_is_pushed_as_a_difference(changing, host):
    host.pull()
    changing.dict |= {"key 000002": "x", "another": None}
    publish(changing.name, changing.dict)
    assert changing.push().transferred < 1000
    host.pull()
    assert changing.is_on(host)


@pytest.mark.parametrize("options", [{"index": "tree"}, {"align": 64}])
def test_map_that_is_published_in_another_layout_is_pushed_as_an_image(changing, host, options):
    host.pull()
    sharedmap.share(changing.dict, changing.name, force=True, **options)
    assert changing.push().is_new
    assert changing.rows() == 0
    assert host.pull().is_new
    assert changing.is_on(host)


def test_push_of_the_same_content_after_differences_is_no_new_version(changing):
    version = changing.change()
    for _ in range(2):
        again = changing.push()
        assert (again.version, again.is_new, again.transferred) == (version.version, False, 0)
        publish(changing.name, changing.dict)
    shutil.rmtree(changing.kept())
    again = changing.push()
    assert (again.version, again.is_new, again.transferred) == (version.version, False, 0)


def test_differences_of_older_versions_expire(changing):
    changing.change()
    old = changing.difference()
    for number in range(2):
        # Too much for a difference.
        changing.update({f"key {key:06}": f"{number:060}" for key in range(1000)})
        changing.push(grace=1000)
    client = changing.server.client
    assert 990 <= client.ttl(old) <= 1000
    chunks = [key for key in keys_of(changing.server, changing.name) if b":chunk:" in key]
    lasting = {key for key in chunks if client.ttl(key) == -1}
    assert {*blobs_of(changing.server, changing.name)} <= lasting
    assert old not in lasting


def test_everything_sends_all_blobs_of_the_version(changing):
    changing.change()
    assert changing.push(everything=True).transferred == sum(changing.manifest().blobs().values())
    shutil.rmtree(changing.kept())
    version = changing.push(everything=True)
    # The differences are not on this disk, so it is an image.
    assert version.is_new and changing.rows() == 0
    assert version.transferred == sum(changing.manifest().blobs().values())


# ---- by event loops --------------------------------------------------------------------------


def test_differences_are_pushed_and_followed_by_an_event_loop(changing, host):
    async def main():
        follower = aio.follow(
            host.url, host.name, local=host.local, directory=host.directory, poll=HANG
        )
        async with contextlib.aclosing(follower) as versions:
            await anext(versions)
            for _ in range(3):
                changing.update()
                pushed = await aio.push(host.url, host.name)
                followed = await anext(versions)
                assert followed == pushed
                assert 0 < followed.transferred < 1000
                assert changing.is_on(host)

    asyncio.run(asyncio.wait_for(main(), HANG))


def all_have(names, number):
    return all(published(name).get("number") == number for name in names)


def test_agent_of_all_maps_applies_differences(server, names, agents):
    several = [names(), names()]
    value = many(COUNT)
    for name in several:
        push(server, name, value)
    running = agents(server.url, several, poll=HANG)
    running.follow_to(*several)
    for number in range(3):
        for name in several:
            push(server, name, value | {"number": number})
        running.wait(partial(all_have, several, number))
    assert all(len(deltas_of(name)) == 1 for name in several)
    assert all(version.transferred < 1000 for version in running.versions[2:])
