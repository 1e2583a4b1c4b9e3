"""Two versions of the protocol in one cluster: they talk, agree on what both know, and are replaced one by one.

The later version is this one with another range of versions, a capability that the earlier one has never heard of, and
fields in its HELLO that are not in the table.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pytest

import zmqcluster as zc
from tests.support.joined import Mail
from tests.support.joined import World as Schedulers
from tests.unit.test_node import TIMING, A, B, C, World
from zmqcluster._codec import encode_varint
from zmqcluster.core import encode
from zmqcluster.protocol.handshake import MESH, Terms
from zmqcluster.runtime import performer
from zmqcluster.runtime.node import Node
from zmqcluster.testing import Simulation
from zmqcluster.wire import schema
from zmqcluster.wire.codec import pack, unpack

WARP = "warp"  # the capability of the later version
UNKNOWN_KIND = 15  # of a control frame
UNKNOWN_ENVELOPE = 60


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch, world: World) -> Any:
    """Starts nodes of the later version; all they say before a session is up has more fields than we know."""
    names: set[str] = set()

    def encode_more(message: Any) -> bytes:
        frame = schema.encode_control(message)
        speaker = getattr(message, "node", None)
        if speaker is None or speaker.name not in names:
            return frame
        return frame[:1] + pack({**unpack(frame[1:]), "warp_factor": 9, "coils": [{"left": 1.5}, None]})

    def start(name: str) -> Node:
        names.add(name)
        node = Node(name, transport=world.network.transport(name), timing=TIMING, incarnation=len(world.nodes) + 1)
        node.versions = (1, 2)
        node.capabilities = (*node.capabilities, WARP)
        world.nodes.append(node)
        world.loop.run(node.start())
        return node

    monkeypatch.setattr(performer, "encode_control", encode_more)
    return start


def warp(node: Node, peer: str) -> bool:
    """What code of the later version does before it says something new: it asks what was agreed."""
    terms = node.terms(peer)
    if terms is None or terms.version < 2 or WARP not in terms.capabilities:
        return False
    assert node.links
    dial = node.links.peers.record(peer).dial
    assert dial
    return dial.outlet.push_bytes(bytes([UNKNOWN_KIND]) + pack({"factor": 9}))


def test_two_versions_then_the_highest_common_one_and_what_both_know(world: World, later: Any) -> None:
    old, new, newer = world.node(A), later(B), later(C)
    _, heard = world.inbox(old)
    world.joined(new, old)
    assert world.run(newer.connect(A))  # and by the mesh the new ones meet
    world.loop.run_ms(50)
    assert old.terms(B) == new.terms(A) == Terms(1, (MESH,))
    assert new.terms(C) == newer.terms(B) == Terms(2, (MESH, WARP))
    assert old.counters["control_malformed"] == 0 and heard == []


def test_two_versions_then_everything_works_between_them(world: World, later: Any) -> None:
    old, new = world.node(A), later(B)
    world.joined(new, old)
    for here, there in ((old, new), (new, old)):
        _, heard = world.inbox(there)
        here.scheduler.context.copy().run(zc.send, ("inbox", str(there.name)), "hello")
        listener, gossip = world.inbox(there)
        there.subscribe("news", listener)
        reasons: list[Any] = []

        async def watch(there: Node = there, reasons: list[Any] = reasons) -> None:
            zc.monitor(("nobody", str(there.name)))
            reasons.append((await zc.receive()).reason)

        here.scheduler.spawn(watch())
        world.loop.run_ms(20)
        here.publish("news", 5)
        world.loop.run_ms(20)
        assert heard == ["hello"] and reasons == [zc.NoProcess()]
        assert gossip == [zc.Gossip(str(here.name), "news", 5)]
    world.loop.run_ms(3 * TIMING.verify_ms)
    assert (old.nodes(), new.nodes()) == ([B], [A])


def test_what_is_new_is_said_only_to_who_knows_it(world: World, later: Any) -> None:
    old, new, newer = world.node(A), later(B), later(C)
    assert world.run(new.connect(A)) and world.run(new.connect(C))
    world.loop.run_ms(50)
    assert (warp(new, A), warp(new, C), warp(new, "z@10.0.0.9")) == (False, True, False)
    world.loop.run_ms(50)
    assert old.counters["control_malformed"] == 0
    assert newer.counters["control_malformed"] == 1  # it arrived; the code that would read it is not written yet


def test_what_is_new_is_said_all_the_same_then_it_is_dropped_and_the_session_goes_on(
    world: World, later: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = world.node(A), later(B)
    world.joined(new, old)
    monkeypatch.setattr(new, "terms", lambda _: Terms(2, (WARP,)))
    assert warp(new, A)
    world.loop.run_ms(50)
    assert old.counters["control_malformed"] == 1 and old.nodes() == [B]


def test_unknown_envelope_then_it_alone_is_dropped() -> None:
    world = Schedulers("a", "b")
    world.join("a", "b")
    box = Mail(world["b"])
    unknown = bytes([UNKNOWN_ENVELOPE]) + encode_varint(box.pid.id) + encode({"factor": 9})
    known = b"\x01" + encode_varint(box.pid.id) + encode("hello")
    envelopes = b"".join(struct.pack(">I", len(each)) + each for each in (unknown, known))
    world["b"].feed_bytes(b"a>b", struct.pack(">BQQQQ", 1, world.link("b", "a").epoch, 1, 0, 0) + envelopes)
    world["b"].drain()
    hooks = world.hooks["b"]
    assert box.messages == ["hello"] and hooks.named("on_link_broken") == []
    assert len(hooks.named("on_undecodable")) == 1
    world.close()


# --- one by one


class Worker(zc.GenServer):
    @zc.call
    def ask(self) -> str:
        return "here"


names, workers = zc.ClusterRegistry("upgrade.names"), zc.ClusterSupervisor("upgrade.workers")


class Site(zc.Supervisor):
    children = [names, workers]


async def site() -> None:
    await Site.start_link()
    await zc.receive(lambda _: False)


async def use() -> str:
    """Find or start the worker, from wherever this runs, and ask it."""
    worker = await workers.ensure("one", Worker, name=names.via("one"))
    return await worker.ask()


def upgrade(simulation: Simulation, versions: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Start every node again with other versions, one after the other; at no time the worker is lost for long."""
    monkeypatch.setattr("zmqcluster.runtime.node.VERSION_MIN", versions[0])
    monkeypatch.setattr("zmqcluster.runtime.node.VERSION_MAX", versions[1])
    for name in simulation.names:
        simulation.stop(name)
        simulation.run_ms(200)
        others = [each for each in simulation.names if each != name]
        assert [simulation.run_on(each, use) for each in others] == ["here"] * len(others)
        simulation.restart(name)
        simulation.eventually(lambda: all(len(simulation.node(n).nodes()) == 2 for n in simulation.names), 10_000)
        assert simulation.run_on(name, use) == "here"


def test_every_node_is_upgraded_in_turn_then_the_cluster_goes_on_and_ends_in_the_new_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Simulation(seed=1, nodes=3) as simulation:
        for name in simulation.names:
            simulation.start(name, site)
        simulation.eventually(lambda: all(len(simulation.node(n).nodes()) == 2 for n in simulation.names), 10_000)
        assert simulation.run_on("a", use) == "here"
        for versions, agreed in (((1, 2), 2), ((2, 3), 3)):
            upgrade(simulation, versions, monkeypatch)
            assert {version_of(simulation, one, other) for one in "abc" for other in "abc" if one != other} == {agreed}
        simulation.stop("c")
        monkeypatch.setattr("zmqcluster.runtime.node.VERSION_MIN", 1)
        monkeypatch.setattr("zmqcluster.runtime.node.VERSION_MAX", 1)
        simulation.restart("c")  # too old by now
        simulation.run_ms(5_000)
        assert simulation.node("c").nodes() == []
        problem = simulation.node("c").last_problem(simulation.full_name("a"))
        assert problem == "refused: this node speaks versions (2, 3), not (1, 1)"


def version_of(simulation: Simulation, one: str, other: str) -> int:
    terms = simulation.node(one).terms(simulation.full_name(other))
    assert terms is not None
    return terms.version
