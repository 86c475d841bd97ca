"""URLs of a server: what each means, and that no message repeats a part of one that is invalid."""

import machines
import pytest
import redis
from command import failed

import sharedmap
from sharedmap import replication
from sharedmap._cli import errors
from sharedmap.replication._operations import Keys
from sharedmap.replication._server.urls import parse

server, shared_server = machines.server, machines.shared_server

REFUSED = [
    "redis://:{}#x@localhost",
    "redis://:{}/x@localhost",
    "redis://user:{}?x@localhost:1/0",
    "redis://user:{}?db=1&x@localhost:1/0",
    "redis://:{}%zz@localhost",
    "redis://:{}%ff@localhost",
    "redis://:{} @localhost",
    "redis://:{}@localhost:port",
    "redis://:{}@localhost:0",
    "redis://:{}@localhost:65536",
    "redis://:{}@local:host:1",
    "redis://:{}@[::1",
    "redis://:{}@localhost/database",
    "redis://localhost?{}=1",
    "redis://localhost?db={}",
    "redis://localhost?ssl_ca_certs={}",
    "rediss://localhost?ssl_cert_reqs={}",
    "rediss://localhost?ssl_check_hostname={}",
    "redis+cluster://:{}@localhost,localhost:x",
    "redis+cluster://:{}@localhost/1",
    "redis+sentinel://:{}@localhost",
    "redis+sentinel://:{}@localhost/service/x",
    "unix://:{}",
    "unix://user:{}/@/tmp/x",
    "unix://:{}@",
    "{}://localhost",
    "{}",
]


@pytest.mark.parametrize("form", REFUSED)
def test_url_that_is_not_valid_is_refused_and_no_part_of_it_is_shown(command, name, form):
    secret = "Zq7Wv9"
    url = form.format(secret)
    with pytest.raises(ValueError, match="the URL is not valid") as caught:
        parse(url)
    sharedmap.share({"a": 1}, name)
    done = command("push", url, name)
    message = failed(done, errors.USAGE, "the URL is not valid")
    parts = {secret[begin:end] for begin in range(6) for end in range(begin + 3, 7)}
    assert not [part for part in parts if part in str(caught.value) + done.err]
    assert caught.value.__cause__ is None
    if "@" in form and "://:" in form:
        assert "percent-encode" in done.err
    assert message


def test_functions_raise_value_error_for_a_url_that_is_not_valid(name, tmp_path):
    sharedmap.share({"a": 1}, name)
    for call in (replication.push, replication.rollback, replication.pull):
        with pytest.raises(ValueError, match="the URL is not valid"):
            call("redis://:a#b@localhost", name)
    with pytest.raises(ValueError, match="the URL is not valid"):
        next(replication.follow("redis://:a#b@localhost", name, directory=tmp_path))


@pytest.mark.parametrize(
    ("url", "kind", "addresses", "settings"),
    [
        ("redis://", "server", [("localhost", 6379)], {}),
        ("redis://shop/3", "server", [("shop", 6379)], {"db": 3}),
        ("valkey://shop:1?db=2", "server", [("shop", 1)], {"db": 2}),
        ("redis://[::1]:7", "server", [("::1", 7)], {}),
        (
            "redis://user:%23%2F%3F%40%3A%25@h",
            "server",
            [("h", 6379)],
            {"username": "user", "password": "#/?@:%"},
        ),
        ("redis://:a@b@h", "server", [("h", 6379)], {"password": "a@b"}),
        ("redis+cluster://:p@a,b:1", "cluster", [("a", 6379), ("b", 1)], {"password": "p"}),
        ("redis+sentinel://a,b:1/shop", "sentinel", [("a", 26379), ("b", 1)], {}),
        ("valkey+sentinel://a/shop/2", "sentinel", [("a", 26379)], {"db": 2}),
    ],
)
def test_url_means(url, kind, addresses, settings):
    target = parse(url)
    assert (target.kind, list(target.addresses), target.settings) == (kind, addresses, settings)
    assert not target.has_tls
    assert target.service == ("shop" if kind == "sentinel" else "")
    assert "p@" not in repr(target)
    assert "password" not in repr(target)


@pytest.mark.parametrize("scheme", ["rediss", "valkeys", "rediss+cluster", "valkeys+sentinel"])
def test_certificates_and_host_names_are_checked_unless_the_url_says_otherwise(scheme):
    target = parse(f"{scheme}://h/shop") if "sentinel" in scheme else parse(f"{scheme}://h")
    checked = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
    assert target.has_tls
    assert target.settings == checked
    assert target.sentinel_settings == checked
    service = "/shop" if "sentinel" in scheme else ""
    loose = parse(f"{scheme}://h{service}?ssl_check_hostname=no&ssl_ca_certs=/x").settings
    assert loose == {**checked, "ssl_check_hostname": False, "ssl_ca_certs": "/x"}
    none = parse(f"{scheme}://h{service}?ssl_cert_reqs=none").settings
    assert none == {"ssl_cert_reqs": "none", "ssl_check_hostname": False}


def test_sentinels_have_a_user_of_their_own():
    url = "redis+sentinel://u:p@h/shop?sentinel_username=a&sentinel_password=b"
    target = parse(url)
    assert target.settings == {"username": "u", "password": "p"}
    assert target.sentinel_settings == {"username": "a", "password": "b"}


def test_location_of_a_server_has_neither_user_nor_password():
    with_user = parse("redis://user:pass@h:1/2?client_name=x").location
    assert with_user == parse("redis://h:1/2").location == "server h:1  2"
    assert parse("redis+cluster://b,a").location == parse("redis+cluster://a,b").location
    assert parse("unix:///run/x?db=1").location == "server /run/x  1"


def test_path_of_a_socket_may_have_any_characters(name, tmp_path):
    target = parse("unix:///run/user@1000/redis%20x.sock?db=3")
    assert (target.path, target.settings) == ("/run/user@1000/redis x.sock", {"db": 3})


def test_database_and_client_name_of_the_url_are_used(server, name):
    sharedmap.share({"a": 1}, name)
    replication.push(server.url + "?db=5&client_name=shop", name)
    fifth = redis.Redis.from_url(server.url, db=5)
    assert fifth.exists(Keys(name).manifest)
    assert not server.client.exists(Keys(name).manifest)
    fifth.close()
