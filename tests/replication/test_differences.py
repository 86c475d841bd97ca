"""Differences: only what has changed is sent, and what arrives is the complete version."""

import contextlib
import errno
import logging
import os
import random
import re
import shutil

import machines
import pytest
from helpers import segment_path
from machines import blobs_of, chunks_of, keys_of, manifest_of, many, publish
from versions import deltas_of

import sharedmap
from sharedmap import replication
from sharedmap.replication import _difference, _kept, _local, _manifest, _source, _state
from sharedmap.replication._operations import Keys

server, shared_server, small_chunks = machines.server, machines.shared_server, machines.small_chunks
host, hosts = machines.host, machines.hosts

COUNT = 5000  # fewer are always copied by update()


@pytest.fixture
def changing(server, name):
    """A map that is large enough for differences, and was pushed once."""
    map = Changing(server, name)
    map.push()
    return map


class Changing:
    def __init__(self, server, name):
        self.server, self.name = server, name
        self.dict = publish(name, many(COUNT, 60))
        self.random = random.Random(1)

    def update(self, changes=None, remove=()):
        if changes is None:
            changes = {self.key(): f"changed {self.random.random()}" for _ in range(3)}
        sharedmap.update(self.name, changes, remove=remove)
        self.dict |= changes
        for key in remove:
            del self.dict[key]

    def key(self):
        return f"key {self.random.randrange(COUNT):06}"

    def push(self, **options):
        return replication.push(self.server.url, self.name, **options)

    def change(self):
        self.update()
        return self.push()

    def manifest(self):
        return manifest_of(self.server, self.name)

    def rows(self):
        return len(self.manifest().differences)

    def kept(self):
        """The folder of the publisher."""
        return _kept.folder_of(self.server.url, None, self.name)

    def difference(self):
        """The key of the newest one."""
        return Keys(self.name).chunk(self.manifest().differences[-1].sha256)

    def is_on(self, host):
        """Compared by type and bytes of each value."""
        with sharedmap.sharedmap(self.name) as mine, sharedmap.sharedmap(host.local) as local:
            local.verify()
            return local.diff(mine) == ([], [], []) and len(mine) == len(self.dict)


def refused(host, before, why, caplog):
    """The host says why it does not take the newest version, and keeps the one it has."""
    with caplog.at_level(logging.WARNING, "sharedmap.replication"):
        assert host.pull().is_new is False
    assert re.search(why, caplog.text)
    assert host.read() == before


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


@pytest.fixture
def few_rows(monkeypatch):
    monkeypatch.setattr(_manifest, "MOST_ROWS", 6)
    monkeypatch.setattr(_difference, "MOST_ROWS", 6)
    monkeypatch.setattr(_difference, "_NEWEST", 3)


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


# ---- what the publisher keeps ----------------------------------------------------------------


def test_publisher_without_what_it_kept_pushes_an_image(changing, host):
    host.pull()
    changing.change()
    shutil.rmtree(changing.kept())
    changing.change()
    assert changing.rows() == 0
    host.pull()
    assert changing.is_on(host)
    changing.change()
    assert changing.rows() == 1


def test_publisher_that_cannot_keep_anything_tells_it_once(changing, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STATE_DIRECTORY", os.fspath(tmp_path / "file"))
    for _ in range(2):
        changing.change()
        assert changing.rows() == 0
    told = [record.message for record in caplog.records if "Not a directory" in record.message]
    assert len(told) == 1 and "sends the complete map" in told[0]


def test_disk_of_the_publisher_that_is_full_costs_an_image(changing, host, monkeypatch, caplog):
    host.pull()
    changing.change()

    def fail(*arguments):
        raise OSError(28, "No space left on device: kept")

    with monkeypatch.context() as patch:
        patch.setattr(_kept, "write_file", fail)
        changing.change()
    assert "No space left" in caplog.text
    changing.change()
    host.pull()
    assert changing.is_on(host)


def test_difference_that_another_publisher_pushed_is_fetched(changing, host, tmp_path):
    """As when the state directory comes from a backup."""
    host.pull()
    shutil.copytree(changing.kept(), tmp_path / "older")
    changing.change()
    shutil.rmtree(changing.kept())
    shutil.copytree(tmp_path / "older", changing.kept())
    changing.change()
    assert changing.rows() == 2
    host.pull()
    assert changing.is_on(host)
    shutil.rmtree(changing.kept())
    shutil.copytree(tmp_path / "older", changing.kept())
    changing.server.client.delete(changing.difference())
    changing.change()
    assert changing.rows() == 0
    host.pull()
    assert changing.is_on(host)


def test_two_publishers_in_turns_push_images(changing, host, tmp_path, monkeypatch):
    for number in range(4):
        monkeypatch.setenv("STATE_DIRECTORY", os.fspath(tmp_path / f"state {number % 2}"))
        changing.change()
        host.pull()
        assert changing.is_on(host)


def test_second_push_at_the_same_time_does_without_what_is_kept(changing, host):
    held = _kept.Kept(changing.kept())
    changing.change()
    assert changing.rows() == 0
    held.close()
    changing.change()
    assert changing.rows() == 0
    changing.change()
    assert changing.rows() == 1


def damaged_image(changing, key):
    """The kept image says that the key has the new value already."""
    path = changing.kept() / "image"
    data = path.read_bytes()
    old, new = changing.dict[key].encode(), changing.dict[key].encode()[::-1]
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))
    return new.decode()


def test_difference_from_a_kept_version_that_is_not_the_pushed_one_is_not_sent(changing, host):
    """The digest of the content finds it: publisher and follower would not be the same."""
    host.pull()
    changing.update({"key 001234": damaged_image(changing, "key 001234")})
    changing.update()
    changing.push()
    assert changing.rows() == 0
    host.pull()
    assert changing.is_on(host)


def test_publisher_that_skips_the_check_of_the_content_would_be_found(
    changing, host, monkeypatch, caplog
):
    host.pull()
    before = host.read()
    changing.update({"key 001234": damaged_image(changing, "key 001234")})
    changing.update()
    monkeypatch.setattr(_source, "content_between", lambda *_: changing_content(changing))
    changing.push()
    assert changing.rows() == 1
    # The follower does not believe it either.
    refused(host, before, "content does not match", caplog)


def changing_content(changing):
    with sharedmap.sharedmap(changing.name) as opened:
        return opened._content_digest()


@pytest.mark.parametrize("how", ["cut", "flip", "gone"])
def test_kept_difference_that_is_damaged_costs_an_image(changing, host, how):
    changing.change()
    (path,) = changing.kept().glob("*.difference")
    data = bytearray(path.read_bytes())
    data[50] ^= 1
    path.write_bytes(data if how == "flip" else data[:-1])
    if how == "gone":
        path.unlink()
    changing.server.client.delete(changing.difference())
    changing.change()
    assert changing.rows() == 0
    host.pull()
    assert changing.is_on(host)


def test_chunk_that_the_server_lost_is_sent_again_from_the_kept_image(changing, host):
    changing.change()
    (chunk,) = chunks_of(changing.server, changing.name)
    changing.server.client.delete(chunk)
    version = changing.push()
    assert (version.is_new, version.transferred > 100_000) == (False, True)
    host.pull()
    assert changing.is_on(host)
    # That is damaged, too.
    path = changing.kept() / "image"
    path.write_bytes(path.read_bytes()[:-64])
    changing.server.client.delete(chunk)
    assert changing.push().is_new
    assert changing.rows() == 0
    host.pull()
    assert changing.is_on(host)


# ---- what is applied, and what is not --------------------------------------------------------


def back_and_on(changing, host):
    """The host has a version that was rolled back, and the newest one leads from the one before."""
    changing.change()
    before = dict(changing.dict)
    changing.update({"key 000001": "only in the version that is rolled back"})
    changing.push()
    host.pull()
    replication.rollback(changing.server.url, changing.name)
    changing.dict = publish(changing.name, before)
    changing.change()
    assert changing.rows() == 2


def test_difference_that_leads_from_another_version_is_not_applied(changing, host):
    """The digest of the content finds it; image and differences are on the disk or fetched."""
    back_and_on(changing, host)
    assert 0 < host.pull().transferred < 2000
    assert changing.is_on(host)


def test_follower_that_skips_the_check_of_the_content_would_be_found(changing, host, monkeypatch):
    back_and_on(changing, host)
    content = changing.manifest().content
    monkeypatch.setattr(_state, "content_after", lambda *_: content)
    host.pull()
    assert not changing.is_on(host)


def test_manifest_whose_content_is_not_that_of_its_differences_is_refused(changing, host, caplog):
    host.pull()
    before = host.read()
    changing.change()
    manifest = changing.manifest()
    lie = _manifest.replace(manifest, content=manifest.content ^ 1, version=manifest.version + 1)
    changing.server.client.set(Keys(changing.name).manifest, lie.to_bytes())
    refused(host, before, "content does not match", caplog)
    changing.push()
    host.pull()
    assert changing.is_on(host)


def test_rollback_to_a_version_with_differences_and_back(changing, host):
    changing.change()
    first = dict(changing.dict)
    changing.change()
    host.pull()
    replication.rollback(changing.server.url, changing.name)
    assert host.pull().transferred == 0
    assert host.read() == first
    replication.rollback(changing.server.url, changing.name)
    assert host.pull().transferred == 0
    assert changing.is_on(host)
    changing.change()
    host.pull()
    assert changing.is_on(host)


def test_local_map_that_was_changed_is_replaced(changing, host):
    host.pull()
    sharedmap.update(host.local, {"key 000001": "by another program"})
    version = changing.change()
    assert host.pull().transferred == version.transferred
    assert changing.is_on(host)
    sharedmap.update(host.local, {"key 000001": "by another program"})
    assert host.pull().is_new
    assert changing.is_on(host)


def test_local_map_that_is_changed_while_a_difference_is_applied_is_replaced(
    changing, host, monkeypatch
):
    host.pull()
    changing.change()
    real = _local.update

    def update(name, *arguments, **options):
        real(name, {"key 000001": "by another program"})
        return real(name, *arguments, **options)

    monkeypatch.setattr(_local, "update", update)
    host.pull()
    assert changing.is_on(host)
    assert deltas_of(host.local) == []


def test_local_map_that_is_changed_right_after_is_replaced(changing, host, monkeypatch):
    host.pull()
    changing.change()
    real = _local.update

    def update(name, *arguments, **options):
        generation = real(name, *arguments, **options)
        real(name, {"key 000001": "by another program"})
        return generation

    with monkeypatch.context() as patch:
        patch.setattr(_local, "update", update)
        host.pull()
    host.pull()
    assert changing.is_on(host)


def test_machine_that_was_restarted_builds_the_version_without_the_server(changing, host):
    changing.change()
    host.pull()
    changing.change()
    version = host.pull()
    sharedmap.remove(host.local)
    host.url += "-is-down"
    again = host.pull()
    assert (again.version, again.is_new, again.transferred) == (version.version, True, 0)
    assert changing.is_on(host)


def test_agent_that_finds_its_version_published_does_not_publish_it_again(changing, host):
    changing.change()
    host.pull()
    changing.change()
    assert host.pull().is_new
    with sharedmap.sharedmap(host.local) as opened:
        identity = opened.id
    assert host.pull().is_new is False
    with sharedmap.sharedmap(host.local) as opened:
        assert opened.id == identity
    # Of the same content, published by another program.
    publish(host.local, host.read())
    assert host.pull().is_new is False


def test_agent_that_was_killed_before_it_recorded_goes_on_from_there(changing, host, monkeypatch):
    host.pull()
    version = changing.change()
    with monkeypatch.context() as patch:
        patch.setattr(_state.State, "record", lambda *_: exec("raise KeyboardInterrupt"))
        with pytest.raises(KeyboardInterrupt):
            host.pull()
    assert changing.is_on(host)
    state = _state.State(host.directory, host.local, 0o600)
    assert state.newest.version == version.version
    state.close()
    sharedmap.remove(host.local)
    host.pull()
    assert changing.is_on(host)


@pytest.mark.parametrize("is_difference", [True, False])
def test_version_that_cannot_be_recorded_stays_published(
    changing, host, monkeypatch, is_difference
):
    """The map never goes back to the version that was recorded last."""
    host.pull()
    if is_difference:
        changing.change()
    else:
        changing.dict = publish(changing.name, many(4000))
        changing.push()

    def fail(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(_state, "sync", fail)
        with pytest.raises(OSError, match="No space"):
            host.pull()
    with sharedmap.sharedmap(host.local) as opened:
        identity = opened.id
        assert changing.is_on(host)
        host.pull()
        assert opened.id == identity
    sharedmap.remove(host.local)
    host.pull()
    assert changing.is_on(host)


def test_differences_that_cannot_be_merged_on_a_full_disk_are_kept(
    changing, host, monkeypatch, few_rows
):
    host.pull()

    def fail(self):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(_state.State, "_merge_newest", fail)
        for _ in range(8):
            version = changing.change()
            assert host.pull().version == version.version
    sharedmap.remove(host.local)
    assert host.pull().transferred == 0
    assert changing.is_on(host)


def test_local_map_that_is_damaged_is_replaced(changing, host):
    host.pull()
    with open(segment_path(host.local), "r+b") as file:
        file.seek(512)
        file.write(bytes(300_000))
    changing.update({f"key {number:06}": number for number in range(0, 5000, 100)})
    changing.push()
    host.pull()
    assert changing.is_on(host)


@pytest.mark.parametrize("how", ["cut", "flip", "gone"])
def test_difference_that_was_damaged_on_the_disk_is_fetched_again(changing, host, how, caplog):
    host.pull()
    version = changing.change()
    host.pull()
    (path,) = host.directory.glob("*/*.difference")
    data = bytearray(path.read_bytes())
    data[50] ^= 1
    path.write_bytes(data if how == "flip" else data[:-1])
    if how == "gone":
        path.unlink()
    sharedmap.remove(host.local)
    with caplog.at_level(logging.WARNING, "sharedmap.replication"):
        assert host.pull().transferred == version.transferred
    assert "fetching the version again" in caplog.text
    assert changing.is_on(host)


@pytest.mark.parametrize("how", ["cut", "flip", "gone", "other"])
def test_difference_that_is_damaged_on_the_server_is_refused_and_repaired(
    changing, host, how, caplog
):
    host.pull()
    before = host.read()
    changing.change()
    key, client = changing.difference(), changing.server.client
    data = client.get(key)
    if how == "gone":
        client.delete(key)
    elif how == "flip":
        client.setrange(key, 40, bytes([data[40] ^ 1]))
    else:
        client.set(key, data[:-1] if how == "cut" else b"x" * len(data))
    refused(host, before, "1 chunk is (missing|damaged)", caplog)
    again = changing.push()
    assert (again.is_new, again.transferred) == (False, len(data))
    host.pull()
    assert changing.is_on(host)


def test_list_of_chunks_that_is_damaged_is_refused_and_repaired(server, name, host, small_chunks):
    value = publish(name, many(3000))
    replication.push(server.url, name)
    key = Keys(name).chunk(manifest_of(server, name).image.chunk_list.sha256)
    server.client.setrange(key, 3, b"oops")
    with pytest.raises(replication.ReplicationError, match="1 chunk is damaged"):
        host.pull()
    assert replication.push(server.url, name).is_new is False
    host.pull()
    assert host.read() == value
    server.client.delete(key)
    shutil.rmtree(_kept.folder_of(server.url, None, name))
    # Nothing knows the chunks of the newest version any more, so they expire with it.
    value = publish(name, {"a": 1})
    assert replication.push(server.url, name, grace=1000).is_new
    left = {*keys_of(server, name)} - {*blobs_of(server, name)}
    assert all(server.client.ttl(key) > 0 for key in left if b":chunk:" in key)
    host.pull()
    assert host.read() == value


def test_bytes_of_a_version_that_was_fetched_in_two_attempts_are_counted(changing, host):
    host.pull()
    sent = changing.change().transferred
    missing = changing.difference()
    sent += changing.change().transferred
    client = changing.server.client
    data = client.getdel(missing)
    agent = replication.follow(
        host.url, host.name, local=host.local, directory=host.directory, poll=0.05
    )
    log = logging.getLogger("sharedmap.replication")

    def repair(record):
        client.set(missing, data)
        return True

    log.addFilter(repair)
    try:
        with contextlib.closing(agent) as versions:
            version = next(version for version in versions if version.is_new)
    finally:
        log.removeFilter(repair)
    assert changing.is_on(host)
    assert version.transferred == sent


# ---- where the publisher keeps it ------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:secret@host:6379/2?socket_timeout=3",
        "rediss://:secret@host:6379/2",
        "unix://user:secret@/run/redis.sock?db=2&password=secret",
        "redis+cluster://user:secret@one:7000,two:7001",
        "redis+sentinel://user:secret@one:26379,two:26379/service/2",
    ],
)
def test_credentials_are_no_part_of_where_a_publisher_keeps_a_map(url):
    location = _kept.location_of(url)
    assert "secret" not in location and "user" not in location
    assert location == _kept.location_of(url.replace("secret", "other"))


def test_each_server_namespace_and_name_has_a_folder_of_its_own():
    folders = [
        _kept.folder_of(url, namespace, name)
        for url in ("redis://host/0", "redis://host/1", "redis://other/0", "unix:///run/0")
        for namespace in (None, "None", "staging")
        for name in ("name", "other", 'staging", "name', "\ud800")
    ]
    assert len({*folders}) == len(folders) == 48
    assert all(len(folder.name) == 64 for folder in folders)
