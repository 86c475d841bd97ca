"""What happens to differences when something fails: rows of the table in the guide."""

import json
import os
import shutil

import machines
import pytest
from machines import many, publish

import sharedmap
from sharedmap import replication
from sharedmap.replication import _push
from sharedmap.replication._kept import Kept
from sharedmap.replication._operations import Keys
from sharedmap.replication._server.drive import Server

server, shared_server = machines.server, machines.shared_server
host, hosts = machines.host, machines.hosts

COUNT = 3000


@pytest.fixture
def state(monkeypatch, tmp_path):
    """The state directory of the publisher."""
    folder = tmp_path / "publisher"
    monkeypatch.setenv("STATE_DIRECTORY", os.fspath(folder))
    return folder


@pytest.fixture
def push(server, name, state):
    """push(number): a version that differs from the others in few entries."""
    publish(name, many(COUNT))

    def push(number, **options):
        sharedmap.update(name, {"number": number, f"number {number}": number})
        return replication.push(server.url, name, **options)

    push(0)
    return push


def fields_of(server, name):
    return json.loads(server.client.get(Keys(name).manifest))


def rows_of(server, name):
    return fields_of(server, name)["differences"]


def content(name):
    with sharedmap.sharedmap(name) as opened:
        return dict(opened)


def written(server, name, fields):
    server.client.set(Keys(name).manifest, json.dumps(fields))


# ---- what the server says --------------------------------------------------------------------


@pytest.mark.parametrize("how", ["swapped", "left out", "of another version"])
def test_differences_that_do_not_lead_to_the_content_are_refused(server, name, push, host, how):
    push(1)
    host.pull()
    first = content(host.local)
    push(2)
    push(3)
    fields = fields_of(server, name)
    rows = fields["differences"]
    assert len(rows) == 3
    if how == "swapped":
        rows[1][1:], rows[2][1:] = rows[2][1:], rows[1][1:]
    elif how == "left out":
        del rows[1]
    else:
        rows[2][1:] = rows[1][1:]
    written(server, name, fields)
    host.pull()
    assert content(host.local) == first
    # A machine that starts from the image does not publish it either.
    shutil.rmtree(host.directory)
    sharedmap.remove(host.local)
    with pytest.raises(replication.ReplicationError, match="the content does not match"):
        host.pull()
    push(4)
    host.pull()
    assert host.read() == content(name)


@pytest.mark.parametrize("how", ["missing", "truncated", "damaged", "another"])
def test_difference_that_is_missing_or_damaged_is_refused_and_repaired(
    server, name, push, host, how
):
    push(1)
    host.pull()
    first = content(host.local)
    push(2)
    keys, rows = Keys(name), rows_of(server, name)
    blob = keys.chunk(rows[-1][1])
    data = server.client.get(blob)
    if how == "missing":
        server.client.delete(blob)
    elif how == "truncated":
        server.client.set(blob, data[:-1])
    elif how == "damaged":
        server.client.set(blob, data[:-9] + b"12345678" + data[-1:])
    else:
        server.client.copy(keys.chunk(rows[0][1]), blob, replace=True)
    host.pull()
    assert content(host.local) == first
    assert server.client.smembers(keys.damaged) == {rows[-1][1].encode()}
    assert not replication.push(server.url, name).is_new
    assert server.client.get(blob) == data
    host.pull()
    assert host.read() == content(name)


def test_stat_tells_image_and_differences(server, name, push):
    image = fields_of(server, name)["version"]
    push(1)
    push(2)
    sizes = [row[2] for row in rows_of(server, name)]
    found = replication.stat(server.url, name)
    assert (found.image, found.differences, found.difference_size) == (image, 2, sum(sizes))
    assert found.missing == 0 and found.blobs >= 3
    server.client.delete(Keys(name).chunk(rows_of(server, name)[0][1]))
    assert replication.stat(server.url, name).missing == 1


def test_agent_refuses_a_format_that_it_does_not_know(server, name, push, host, caplog):
    """As agents of format 1 refuse what this version pushes."""
    push(1)
    host.pull()
    first = content(host.local)
    push(2)
    fields = fields_of(server, name)
    assert fields["format"] == 2
    fields["format"] = 3
    written(server, name, fields)
    host.pull()
    assert "format 3 is not supported" in caplog.text
    assert content(host.local) == first


def format_1(fields, chunks):
    """The manifest of an image, as versions before this one wrote it."""
    image = fields["image"]
    kept = {field: image[field] for field in ("entries", "size", "sha256", "header")}
    return {"format": 1, "version": fields["version"], **kept, "chunks": chunks}


def test_publisher_of_format_1_is_followed_and_followed_by_differences(server, name, push, host):
    fields = fields_of(server, name)
    chunks = fields["image"]["chunks"]
    if chunks is None:
        chunks = json.loads(server.client.get(Keys(name).chunk(fields["image"]["list"][0])))
    written(server, name, format_1(fields, chunks))
    (stored,) = [each for each in replication.maps(server.url) if each.name == name]
    assert (stored.problem, stored.entries) == (None, COUNT + 2)
    assert replication.stat(server.url, name).missing == 0
    host.pull()
    assert host.read() == content(name)
    push(1)
    push(2)
    assert rows_of(server, name)
    host.pull()
    assert host.read() == content(name)


# ---- the publisher ---------------------------------------------------------------------------


class Killed(Exception):
    pass


class KilledAt(Server):
    """The push ends in front of the n-th request to the server."""

    def __init__(self, url, number):
        super().__init__(url)
        self.number = number

    def perform(self, operation):
        if not isinstance(operation, _push.Work):
            self.number -= 1
            if self.number == 0:
                raise Killed
        return super().perform(operation)


def killed_push(server, name, number, state):
    """Whether there were that many requests."""
    killed = KilledAt(server.url, number)
    try:
        folder = next((state / "pushed").iterdir())
        killed.run(_push.push(name, None, None, False, 60, None, folder))
    except Killed:
        return True
    finally:
        killed.close()
    return False


def test_push_that_is_killed_at_any_request_is_pushed_or_not(server, name, push, host, state):
    """And the next one brings all machines to its version."""
    host.pull()
    number = 1
    is_killed = True
    while is_killed:
        before = fields_of(server, name)["version"]
        sharedmap.update(name, {"number": number})
        is_killed = killed_push(server, name, number, state)
        is_pushed = fields_of(server, name)["version"] > before
        assert is_pushed or is_killed
        host.pull()
        assert (host.read() == content(name)) == is_pushed
        assert replication.stat(server.url, name).missing == 0
        sharedmap.update(name, {"next": number})
        replication.push(server.url, name)
        host.pull()
        assert host.read() == content(name)
        number += 1
    assert number > 5


def test_push_that_is_killed_before_it_keeps_the_version_goes_on_by_differences(
    server, name, push, host, monkeypatch
):
    host.pull()

    def kill(*arguments):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Kept, "save", kill)
        with pytest.raises(Killed):
            push(1)
    assert len(rows_of(server, name)) == 1
    host.pull()
    assert host.read() == content(name)
    # The row that was not kept is fetched.
    push(2)
    assert len(rows_of(server, name)) == 2
    host.pull()
    assert host.read() == content(name)


@pytest.mark.parametrize("how", ["lost", "image damaged", "difference damaged", "not writable"])
def test_what_a_publisher_keeps_can_be_lost(server, name, push, host, state, monkeypatch, how):
    host.pull()
    push(1)
    (folder,) = (state / "pushed").iterdir()
    if how == "lost":
        shutil.rmtree(state)
    elif how == "not writable":
        monkeypatch.setenv("STATE_DIRECTORY", os.fspath(folder / "image"))
    else:
        (path,) = folder.glob("image" if how == "image damaged" else "*.difference")
        data = bytearray(path.read_bytes())
        data[len(data) // 3] ^= 255
        path.write_bytes(data)
    push(2)
    host.pull()
    assert host.read() == content(name)
    if how != "difference damaged":  # that one the server has
        assert rows_of(server, name) == []
