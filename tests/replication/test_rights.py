"""The lines of docs/guide/many-machines.md that give users their rights, as they are there."""

import re
import shlex

import agents as support
import machines
import pytest
import redis
from agents import published, push
from helpers import HANG, TOP
from machines import VALUES, chunks_of, many, publish

import sharedmap
from sharedmap import replication
from sharedmap.replication._operations import Keys

PAGE = TOP / "docs/guide/many-machines.md"
if not PAGE.exists():
    pytest.skip("an installed package is tested, its guide is elsewhere", allow_module_level=True)
SECTION = PAGE.read_text().partition("## Rights")[2].partition("\n## ")[0]
LINES = re.findall(r"^    (ACL SETUSER (\w+) on >(\w+) .*~.*)$", SECTION, re.M)

server, shared_server, small_chunks = machines.server, machines.shared_server, machines.small_chunks
host, hosts = machines.host, machines.hosts
agents = support.agents


@pytest.fixture(scope="module")
def urls(shared_server):
    """The URL of each user, whose rights are those of the page."""
    found = {}
    for line, user, password in LINES:
        shared_server.client.execute_command(*shlex.split(line))
        found[user] = shared_server.url.replace("://", f"://{user}:{password}@")
    return found


@pytest.fixture
def pushed(server, name):
    publish(name, many())
    return replication.push(server.url, name)


def refuses(url, *command):
    client = redis.Redis.from_url(url)
    try:
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*command)
    finally:
        client.close()


def test_page_has_a_line_for_each_kind_of_user():
    assert [user for _, user, _ in LINES] == ["publisher", "agent", "operator"]


def test_publisher_pushes_and_rolls_back(server, urls, name, small_chunks):
    url = urls["publisher"]
    publish(name, many())
    first = replication.push(url, name)
    server.client.delete(*chunks_of(server, name)[:2])
    assert replication.push(url, name).transferred > 0
    publish(name, many(501))
    replication.push(url, name)
    assert replication.rollback(url, name).entries == first.entries
    server.client.set(Keys(name).manifest, b"{")
    assert replication.push(url, name, everything=True).is_new
    assert name in {each.name for each in replication.maps(server.url)}


def test_agent_follows_and_reports_damage(server, urls, name, hosts, small_chunks):
    publish(name, many())
    replication.push(server.url, name)
    host = hosts(server, name)
    host.url = urls["agent"]
    host.start()
    assert host.next().entries == 500
    publish(name, many(501))
    replication.push(server.url, name)
    host.follow_to(many(501))
    host.wants_end = True
    host.url = server.url  # for the push that ends it


def test_agent_reports_damage(server, urls, name, host, small_chunks):
    publish(name, many())
    replication.push(server.url, name)
    host.url = urls["agent"]
    server.client.setrange(chunks_of(server, name)[0], 1, b"oops")
    with pytest.raises(replication.ReplicationError, match="damaged on the server"):
        host.pull()
    assert server.client.scard(Keys(name).damaged) == 1


def test_agent_of_all_maps_lists_names_and_waits_for_pushes(server, urls, names, agents):
    running = agents(urls["agent"], f"{names.token}*", poll=HANG)
    running.wait(running.agent.ready.is_set)
    for _ in range(2):
        name = names()
        push(server, name, {"a": 1})
        running.wait(lambda name=name: published(name) == {"a": 1})
    running.wait(lambda: running.status().ok)


def test_agent_without_the_right_to_report_works(server, urls, name, host, small_chunks, caplog):
    publish(name, many())
    replication.push(server.url, name)
    host.url = urls["agent"]
    server.client.execute_command("ACL", "SETUSER", "agent", "-sadd")
    try:
        host.pull()
        assert host.read() == many()
        publish(name, {"a": 1})
        replication.push(server.url, name)
        server.client.delete(*chunks_of(server, name))
        host.pull()
        assert "1 chunk is missing on the server" in caplog.text
        assert host.read() == many()
    finally:
        server.client.execute_command("ACL", "SETUSER", "agent", "+sadd")
    assert server.client.scard(Keys(name).damaged) == 0


def test_operator_lists_checks_and_removes(server, urls, name, pushed):
    url = urls["operator"]
    assert name in {each.name for each in replication.maps(url, scan=True)}
    assert replication.stat(url, name).policy == "noeviction"
    replication.remove(url, name)
    assert name not in {each.name for each in replication.maps(url, scan=True)}


def test_operator_without_writing_lists_and_checks(server, urls, name, pushed):
    url = urls["operator"]
    server.client.execute_command("ACL", "SETUSER", "operator", "-@write")
    try:
        assert name in {each.name for each in replication.maps(url, scan=True)}
        assert replication.stat(url, name).missing == 0
        with pytest.raises(replication.ServerError, match="permission"):
            replication.remove(url, name)
    finally:
        server.client.execute_command(
            "ACL", "SETUSER", "operator", "+@write", "-@dangerous", "+info"
        )
    assert replication.stat(url, name).missing == 0


def test_rights_for_one_map_are_enough_for_it(server, urls, names):
    ours, other = names(), names()
    for name in (ours, other):
        publish(name, VALUES)
    keys = re.search(
        r"`(~sharedmap:\{prices\}:\* ~sharedmap:names\n?\s*~sharedmap:pushes)`", SECTION
    )
    given = keys[1].replace("{prices}", f"{{{ours}}}").split()
    server.client.execute_command("ACL", "SETUSER", "publisher", "resetkeys", *given)
    try:
        assert replication.push(urls["publisher"], ours).is_new
        with pytest.raises(replication.ServerError, match="permission"):
            replication.push(urls["publisher"], other)
    finally:
        server.client.execute_command("ACL", "SETUSER", "publisher", "resetkeys", "~sharedmap:*")


@pytest.mark.parametrize("user", ["publisher", "agent", "operator"])
def test_nobody_can_do_more(server, urls, user):
    url = urls[user]
    for command in (("FLUSHALL",), ("KEYS", "*"), ("CONFIG", "GET", "*"), ("ACL", "LIST")):
        refuses(url, *command)
    refuses(url, "GET", "session:1")
    refuses(url, "SET", "session:1", "x")
    if user == "agent":
        for key in ("sharedmap:{a}:manifest", "sharedmap:{a}:damaged"):
            refuses(url, "SET", key, "x")
        refuses(url, "SADD", "sharedmap:names", "x")


def test_namespace_has_the_keys_that_the_page_says(server, urls, name):
    assert "`~staging:sharedmap:*`" in SECTION
    sharedmap.share(VALUES, name)
    with pytest.raises(replication.ServerError, match="permission"):
        replication.push(urls["publisher"], name, namespace="staging")
    server.client.execute_command("ACL", "SETUSER", "publisher", "~staging:sharedmap:*")
    assert replication.push(urls["publisher"], name, namespace="staging").is_new
