"""One agent for all maps of a machine: names, patterns, and what appears and disappears."""

import agents as support
import machines
from agents import published, push
from helpers import HANG

server, shared_server, own_server = machines.server, machines.shared_server, machines.own_server
agents = support.agents


def test_agent_follows_names_and_patterns(server, names, agents):
    one, two, other, plain = names("a:{}"), names("a:{}"), names("b:{}"), names("c:{}")
    for name in (one, two, other, plain):
        push(server, name, {"name": name})
    running = agents(server.url, [f"a:{names.token}*", plain], poll=HANG)
    running.follow_to(one, two, plain)
    assert [published(name) for name in (one, two, plain)] == [
        {"name": name} for name in (one, two, plain)
    ]
    assert published(other) is None
    assert running.status().ok
