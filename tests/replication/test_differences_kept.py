"""What a publisher keeps of the version that it pushed last, and what it does without."""

import os
import shutil

import changing as support
import machines
import pytest
from changing import refused
from machines import chunks_of

import sharedmap
from sharedmap.replication import _kept, _source

server, shared_server = machines.server, machines.shared_server
host, hosts = machines.host, machines.hosts
changing = support.changing


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
