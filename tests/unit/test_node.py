"""Nodes on the memory network: sessions, events and gossip, driver and core together, in virtual time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import pytest

from zmqcluster.discovery.static import Static
from zmqcluster.errors import AlreadyRunning, ConfigError, EncodeError, NameInUse, UsageError
from zmqcluster.ids import Pid
from zmqcluster.protocol import steps
from zmqcluster.protocol.handshake import Hello, Introduction, Ready
from zmqcluster.runtime.events import Gossip, NodeDown, NodeUp
from zmqcluster.runtime.node import Node
from zmqcluster.runtime.process import receive, send
from zmqcluster.runtime.timing import Timing
from zmqcluster.testing.clock import VirtualLoop
from zmqcluster.transport.memory import MemoryNetwork
from zmqcluster.wire.schema import encode_control

A, B, C = "a@10.0.0.1:7100", "b@10.0.0.2:7100", "c@10.0.0.3:7100"
TIMING = Timing.local()


class World:
    """A loop, a network, and nodes that are stopped at the end."""

    def __init__(self) -> None:
        self.loop = VirtualLoop()
        self.network = MemoryNetwork(self.loop)
        self.nodes: list[Node] = []
        self.inboxes: dict[str, list[Any]] = {}

    def node(self, name: str, **options: Any) -> Node:
        transport = self.network.transport(name, cookie=options.pop("cookie", b""))
        options.setdefault("incarnation", len(self.nodes) + 1)
        node = Node(name, transport=transport, timing=TIMING, seed=1, **options)
        self.nodes.append(node)
        self.loop.run(node.start())
        return node

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run(main)

    def inbox(self, node: Node) -> tuple[Pid, list[Any]]:
        """A process that collects its messages."""
        inbox: list[Any] = []

        async def collect() -> None:
            while True:
                inbox.append(await receive())

        return node.scheduler.spawn(collect(), name="inbox" if node.scheduler.whereis("inbox") is None else None), inbox

    def joined(self, one: Node, other: Node) -> None:
        assert other.name and self.run(one.connect(other.name))
        self.loop.run_ms(5)
        assert other.name in one.nodes() and one.name in other.nodes()

    def close(self) -> None:
        for node in self.nodes:
            self.run(node.stop())
        for node in self.nodes:
            if node._scheduler:
                node.scheduler.close()
        self.loop.run_ms(1)
        assert asyncio.all_tasks(self.loop) == set()
        self.loop.close()


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


@pytest.fixture
def pair(world: World) -> tuple[Node, Node]:
    one, other = world.node(A), world.node(B)
    world.joined(one, other)
    return one, other


def as_process(node: Node, function: Callable[[], Any]) -> Any:
    """Do something as a process of the node."""
    return node.scheduler.context.copy().run(function)


# --- connect


def test_connect_then_true_again_and_one_event_each(world: World) -> None:
    """Case NODE-01."""
    one, other = world.node(A), world.node(B)
    pid, inbox = world.inbox(one)
    one.monitor_nodes(pid)
    world.joined(one, other)
    assert world.run(one.connect(B)) and world.run(one.connect(A))
    world.loop.run_ms(10)
    assert inbox == [NodeUp(B)]


def test_connect_to_nobody_then_false_at_once_and_no_event(world: World) -> None:
    node = world.node(A)
    pid, inbox = world.inbox(node)
    node.monitor_nodes(pid)
    assert world.run(node.connect(B)) is False
    assert world.loop.now_ms < 100 and inbox == []


def test_connect_without_answer_then_false_at_the_time_out(world: World) -> None:
    one, _ = world.node(A), world.node(B)
    world.network.stall(B)
    began_ms = world.loop.now_ms
    assert world.run(one.connect(B, timeout_s=0.5)) is False
    assert world.loop.now_ms - began_ms == 500


@pytest.mark.parametrize("simultaneous", [1, 2, 3])
def test_connect_of_both_at_once_then_one_session(simultaneous: int, world: World) -> None:
    nodes = [world.node(A), world.node(B)]
    inboxes = []
    for node in nodes:
        pid, inbox = world.inbox(node)
        node.monitor_nodes(pid)
        inboxes.append(inbox)

    async def connect() -> list[bool]:
        asked: list[Awaitable[bool]] = [nodes[0].connect(B), nodes[1].connect(A)]
        return await asyncio.gather(*asked, *(nodes[0].connect(B) for _ in range(simultaneous)))

    assert all(world.run(connect()))
    world.loop.run_ms(10_000)
    assert inboxes == [[NodeUp(B)], [NodeUp(A)]]


@pytest.mark.parametrize("name", ["b", "b@", "@h", "b@h:0", 5])
def test_connect_to_no_name_then_error(name: Any, world: World) -> None:
    node = world.node(A)
    with pytest.raises(ConfigError):
        world.run(node.connect(name))


# --- refusals: False here, a word in both logs, no event anywhere

REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "another cookie": ({"cookie": b"other"}, "cookie"),
    "another cluster": ({"cluster": "other"}, "this is cluster 'zmqcluster', not 'other'"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_stranger_then_refused_and_both_log_and_no_event(
    case: str, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Case NODE-02."""
    options, problem = REFUSALS[case]
    stranger, node = world.node(A, **options), world.node(B)
    watched = [world.inbox(each) for each in (stranger, node)]
    for each, (pid, _) in zip((stranger, node), watched, strict=True):
        each.monitor_nodes(pid)
    with caplog.at_level(logging.WARNING, "zmqcluster.node"):
        for _ in range(3):
            assert world.run(stranger.connect(B)) is False
    assert [inbox for _, inbox in watched] == [[], []]
    assert stranger.nodes() == node.nodes() == []
    assert {record.args[0] for record in caplog.records if record.args} >= {A, B}
    assert problem in caplog.text and A in caplog.text


def test_refused_again_and_again_then_logged_once_by_each(world: World, caplog: pytest.LogCaptureFixture) -> None:
    stranger, _ = world.node(A, cluster="other"), world.node(B)
    with caplog.at_level(logging.WARNING, "zmqcluster.node"):
        for _ in range(5):
            world.run(stranger.connect(B))
    assert len(caplog.records) == 2
    with caplog.at_level(logging.WARNING, "zmqcluster.node"):
        world.loop.run_ms(60_000)
        world.run(stranger.connect(B))
    assert len(caplog.records) == 4


def test_refused_stranger_then_nothing_of_it_is_kept(world: World) -> None:
    stranger, node = world.node(A, cluster="other"), world.node(B)
    world.run(stranger.connect(B))
    assert node.links and stranger.links
    assert len(node.links.peers) == len(stranger.links.peers) == 0


def test_node_behind_another_name_then_refused(world: World) -> None:
    node, _ = world.node(A), world.node(B)
    assert world.run(node.connect("z@10.0.0.2:7100")) is False


def test_name_in_use_then_start_fails_and_the_first_stays(world: World) -> None:
    first = world.node(A)
    with pytest.raises(NameInUse):
        world.node(A)
    assert world.run(first.connect(A))


# --- down and up again


def test_disconnect_then_down_here_and_there_with_the_reasons(world: World, pair: tuple[Node, Node]) -> None:
    inboxes = [world.inbox(node) for node in pair]
    for node, (pid, _) in zip(pair, inboxes, strict=True):
        node.monitor_nodes(pid)
    assert pair[0].disconnect(B) and not pair[0].disconnect(B)
    assert pair[0].nodes() == []
    world.loop.run_ms(5)
    assert [inbox for _, inbox in inboxes] == [
        [NodeDown(B, steps.DISCONNECT)],
        [NodeDown(A, steps.CONNECTION_CLOSED)],
    ]
    world.joined(*pair)


def test_event_then_nodes_says_the_same(world: World) -> None:
    """Case NODE-08."""
    one, other = world.node(A), world.node(B)
    seen: list[tuple[type, list[str]]] = []
    one.watch(lambda event: seen.append((type(event), one.nodes())))
    world.joined(one, other)
    one.disconnect(B)
    assert seen == [(NodeUp, [B]), (NodeDown, [])]


def test_subscribed_n_times_then_n_copies_and_none_after_the_end(world: World, pair: tuple[Node, Node]) -> None:
    """Case NODE-11."""
    one, other = pair
    pid, inbox = world.inbox(one)
    one.monitor_nodes(pid)
    one.monitor_nodes(pid)
    one.disconnect(B)
    world.loop.run_ms(5)
    assert inbox == [NodeDown(B, steps.DISCONNECT)] * 2
    one.monitor_nodes(pid, False)
    world.joined(one, other)
    assert len(inbox) == 2


def test_subscriber_dies_then_forgotten(world: World, pair: tuple[Node, Node]) -> None:
    one, _ = pair

    async def dies() -> None:
        pass

    one.monitor_nodes(one.scheduler.spawn(dies()))
    world.loop.run_ms(1)
    one.disconnect(B)
    assert one._subscribers.subscriptions == []


def test_subscriber_of_another_node_then_refused(world: World, pair: tuple[Node, Node]) -> None:
    pid, _ = world.inbox(pair[1])
    with pytest.raises(ConfigError):
        pair[0].monitor_nodes(pid)


def test_peer_restarted_unnoticed_then_down_before_up(world: World, pair: tuple[Node, Node]) -> None:
    """Case NODE-17: the same name with another incarnation, while the session is up."""
    one, _ = pair
    pid, inbox = world.inbox(one)
    one.monitor_nodes(pid)
    assert one.links
    newcomer = Introduction(B, 99, "zmqcluster", links=("tcp://10.0.0.2:7100",))

    async def hello() -> None:
        assert one.links
        one.links.on_control(b"another connection", encode_control(Hello(newcomer, A, 5, 1)))

    world.run(hello())
    world.loop.run_ms(1)
    assert inbox == [NodeDown(B, steps.INCARNATION)]


def test_half_a_session_then_it_is_made_whole(world: World, pair: tuple[Node, Node]) -> None:
    """One side lost the session and could not say so; the other still repeats Ready."""
    one, other = pair
    assert one.links and other.links
    peer = other.links.peers.record(A)
    epoch = peer.session.epoch
    *_, down = peer.session.on(steps.DialLost("broke"), other.links.now_ms())
    assert isinstance(down, steps.Down)
    other.links._performer._down(peer, steps.Down(steps.PROTOCOL_ERROR))  # for which no LOST goes out
    assert (one.nodes(), other.nodes()) == ([B], [])
    world.loop.run_ms(3 * TIMING.verify_ms)
    assert (one.nodes(), other.nodes()) == ([B], [A])
    assert one.links.peers.record(B).session.epoch != epoch


def test_ready_of_an_unknown_node_then_ignored(world: World) -> None:
    node = world.node(A)

    async def ready() -> None:
        assert node.links
        node.links.on_control(b"x", encode_control(Ready(B, 5)))
        node.links.on_control(b"x", b"\x05nonsense")

    world.run(ready())
    assert node.links and len(node.links.peers) == 0 and node.counters["control_malformed"] == 1


# --- leaving


def test_stop_then_left_and_not_looked_for(world: World) -> None:
    """Case F02."""
    one, other = world.node(A, topologies=[Static([B])]), world.node(B)
    world.loop.run_ms(100)
    pid, inbox = world.inbox(one)
    one.monitor_nodes(pid)
    world.run(other.stop())
    dials: list[str] = []
    dial = one._transport.dial  # type: ignore[union-attr]
    one._transport.dial = lambda endpoint, *rest: dials.append(endpoint) or dial(endpoint, *rest)  # type: ignore
    world.loop.run_ms(TIMING.rejoin_ms - 1_000)
    assert inbox == [NodeDown(B, steps.LEFT)] and dials == []
    assert not one.is_wanted(B) and one.is_wanted(B, incarnation=99)
    world.node(B)
    world.loop.run_ms(10_000)
    assert one.nodes() == [B]


def test_stop_then_what_was_sent_before_has_arrived(world: World, pair: tuple[Node, Node]) -> None:
    one, other = pair
    _, inbox = world.inbox(other)

    async def leave() -> None:
        for number in range(100):
            send(("inbox", B), number)
        await one.stop()

    as_process(one, lambda: world.run(leave()))
    world.loop.run_ms(5)
    assert inbox == list(range(100)) and other.nodes() == []


def test_stop_without_answer_then_bounded(world: World, pair: tuple[Node, Node]) -> None:
    world.network.stall(B)
    began_ms = world.loop.now_ms
    world.run(pair[0].stop())
    assert world.loop.now_ms - began_ms <= TIMING.goodbye_ms + 200


def test_stop_while_a_connect_waits_for_a_name_then_it_is_answered(world: World) -> None:
    node = world.node(A)
    assert node.links

    async def silent_name_server(_: object) -> tuple[str, ...]:
        await asyncio.sleep(3_600)
        return ()

    async def stop_meanwhile() -> bool:
        asked = asyncio.ensure_future(node.connect(B))
        await asyncio.sleep(0.1)
        await node.stop()
        return await asked

    node.links._resolve = silent_name_server
    assert world.run(stop_meanwhile()) is False
    assert world.loop.now_ms < 1_000


def test_stopped_then_no_use_connects_anew(world: World, pair: tuple[Node, Node]) -> None:
    one, _ = pair
    world.run(one.stop())
    assert one.scheduler.hooks.connect(B) is None
    assert world.run(one.connect(B)) is False


# --- first use


def test_send_to_an_unconnected_node_then_connected_and_delivered(world: World) -> None:
    one, other = world.node(A), world.node(B)
    _, inbox = world.inbox(other)
    as_process(one, lambda: send(("inbox", B), "hello"))
    world.loop.run_ms(50)
    assert inbox == ["hello"] and one.nodes() == [B]


def test_sends_to_nobody_then_few_dials(world: World) -> None:
    one = world.node(A)
    assert one.links
    for _ in range(100):
        as_process(one, lambda: send(("inbox", B), "hello"))
        world.loop.run_ms(1)
    assert next(one.links._attempts) < 6


def test_send_to_what_is_no_node_then_dropped(world: World) -> None:
    one = world.node(A)
    for name in ("nonsense", "x@y@z", ""):
        as_process(one, lambda name=name: send(("inbox", name), "hello"))
    assert one.links and len(one.links.peers) == 0


# --- gossip


def test_publish_then_subscribers_of_the_topic_elsewhere_get_it(world: World, pair: tuple[Node, Node]) -> None:
    one, other = pair
    here, there = world.inbox(one), world.inbox(other)
    for node, (pid, _) in zip(pair, (here, there), strict=True):
        node.subscribe("news", pid)
        node.subscribe("news", pid)
    one.publish("news", {"n": (1, 2)})
    one.publish("other", 5)
    world.loop.run_ms(5)
    assert (here[1], there[1]) == ([], [Gossip(A, "news", {"n": (1, 2)})])


def test_publish_what_cannot_travel_then_error_here(pair: tuple[Node, Node]) -> None:
    with pytest.raises(EncodeError):
        pair[0].publish("news", object())


def test_gossip_of_who_is_not_connected_then_dropped_and_counted(world: World, pair: tuple[Node, Node]) -> None:
    one, other = pair
    pid, inbox = world.inbox(other)
    other.subscribe("news", pid)
    assert one.gossip and other.gossip
    one.gossip._incarnation = 77
    one.publish("news", 1)
    world.loop.run_ms(5)
    assert inbox == [] and other.counters["gossip_foreign"] == 1
    other.on_gossip(b"\x63nonsense")
    assert other.counters["gossip_malformed"] == 1


def test_gossip_subscriber_dies_then_forgotten(world: World, pair: tuple[Node, Node]) -> None:
    one, other = pair

    async def dies() -> None:
        pass

    other.subscribe("news", other.scheduler.spawn(dies()))
    world.loop.run_ms(1)
    one.publish("news", 1)
    world.loop.run_ms(5)
    assert other.gossip and other.gossip._subscribers == {}


# --- life of a node


def test_joined_then_returns_at_the_last_and_fails_at_the_time_out(world: World) -> None:
    """Case D29."""
    node = world.node(A, topologies=[Static([A, B, C])])
    with pytest.raises(TimeoutError, match="0 of 2 nodes joined within"):
        world.run(node.joined(2, timeout_s=0.5))
    world.node(B)
    world.node(C)
    world.run(node.joined(2, timeout_s=6))
    assert node.nodes() == [B, C] and len(node._subscribers.watchers) == 1


def test_node_without_a_name_then_no_transport_and_processes_all_the_same(world: World) -> None:
    node = Node()
    world.nodes.append(node)
    world.run(node.start())
    _, inbox = world.inbox(node)
    as_process(node, lambda: send("inbox", "hello"))
    as_process(node, lambda: send(("inbox", B), "lost"))
    world.loop.run_ms(1)
    assert inbox == ["hello"] and node._transport is None and node.nodes() == []
    assert not node.disconnect(B)
    with pytest.raises(UsageError, match="has a name"):
        world.run(node.connect(B))


def test_node_without_a_name_but_with_topologies_then_error() -> None:
    with pytest.raises(ConfigError, match="name"):
        Node(topologies=[Static([B])])


def test_node_then_usable_only_between_start_and_stop(world: World) -> None:
    with pytest.raises(UsageError, match="not started"):
        Node().scheduler  # noqa: B018
    node = world.node(A)
    assert node.scheduler.owner is node
    with pytest.raises(AlreadyRunning):
        world.run(node.start())


def test_incarnation_then_it_grows_with_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 1_000_000_000)
    first = Node().incarnation
    monkeypatch.setattr("time.time_ns", lambda: 1_001_000_000)
    assert 1_000 << 8 <= first < 1_001 << 8 <= Node().incarnation < 2**64


def test_equal_seeds_then_nodes_of_other_names_draw_otherwise() -> None:
    draws = {Node(None, seed=1, incarnation=incarnation).random.random() for incarnation in (1, 1, 2)}
    assert len(draws) == 2
