"""Connections between nodes: the cases NODE-* of the reference, each a test of its name, and what follows from them.

Whole nodes on the memory network in virtual time, where a cut or a restart is one line. What only sockets can show is
in test_node_sockets.py and tests/cluster.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.test_node import TIMING, A, B, C, World
from zmqcluster.core import Down, Exit
from zmqcluster.errors import ConfigError, UsageError
from zmqcluster.exits import NoConnection, NoProcess
from zmqcluster.ids import Pid
from zmqcluster.protocol import steps
from zmqcluster.protocol.handshake import HIDDEN, MESH, Terms
from zmqcluster.runtime.current import monitor_node, monitor_nodes, nodes
from zmqcluster.runtime.events import NodeDown, NodeUp
from zmqcluster.runtime.node import Node
from zmqcluster.runtime.process import link, monitor, receive, send, trap_exits
from zmqcluster.runtime.subscribers import SWEPT_MIN
from zmqcluster.testing import Conditions, Simulation

D = "d@10.0.0.4:7100"
SETTLED_MS = 100  # more than any handshake on this network


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


def told(world: World, node: Node, **options: Any) -> list[Any]:
    """What a process of ``node`` is told of other nodes from now on, and whatever else it gets."""
    pid, inbox = world.inbox(node)
    node.monitor_nodes(pid, **options)
    return inbox


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """What a record has for programs that read logs."""
    found: dict[str, Any] = vars(record)["zmqcluster"]
    return found


def events(inbox: list[Any]) -> list[str]:
    return [f"{type(each).__name__} {each.node[0]}" for each in inbox if isinstance(each, NodeUp | NodeDown)]


def settle(world: World) -> None:
    world.loop.run_ms(SETTLED_MS)


# --- connect, nodes, mesh


def test_node_01_connect_is_true_again_and_to_oneself_and_one_event(world: World) -> None:
    one, other = world.node(A), world.node(B)
    here, there = told(world, one), told(world, other)
    assert world.run(one.connect(B))
    settle(world)
    assert (one.nodes(), other.nodes()) == ([B], [A])
    assert world.run(one.connect(B)) and world.run(one.connect(A))
    settle(world)
    assert (here, there) == ([NodeUp(B)], [NodeUp(A)])


def test_node_01_nodes_of_each_kind(world: World) -> None:
    one, _, looking = world.node(A), world.node(B), world.node(C, hidden=True)
    assert (one.nodes(), one.nodes("connected"), one.nodes("this", "known")) == ([], [], [A])
    assert world.run(one.connect(B)) and world.run(looking.connect(A))
    settle(world)
    assert (one.nodes(), one.nodes("visible"), one.nodes("hidden")) == ([B], [B], [C])
    assert one.nodes("connected") == one.nodes("visible", "hidden") == [B, C]
    assert (one.nodes("this"), one.nodes("known")) == ([A], [A, B, C])
    assert (looking.nodes(), looking.nodes("hidden")) == ([A], [])
    one.disconnect(B)
    assert (one.nodes(), one.nodes("known")) == ([], [A, B, C])
    with pytest.raises(ConfigError, match="'dead'"):
        one.nodes("dead")  # type: ignore[arg-type]


def test_node_01_node_without_a_name_then_it_is_not_alive_and_knows_itself(world: World) -> None:
    alone, named = Node(), world.node(A)
    world.nodes.append(alone)
    world.run(alone.start())
    assert not alone.is_alive and named.is_alive
    assert (alone.nodes(), alone.nodes("known", "this")) == ([], ["nonode@nohost"])
    with pytest.raises(UsageError, match="has a name"):
        alone.monitor_node(B, alone.scheduler.spawn(forever()))
    world.run(named.stop())
    assert not named.is_alive


def test_node_02_another_secret_then_false_soon_and_no_event_and_both_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    stranger, node = world.node(A, cookie=b"other"), world.node(B)
    inboxes = told(world, stranger), told(world, node)
    began_ms = world.loop.now_ms
    with caplog.at_level(logging.INFO, "zmqcluster.node"):
        assert world.run(stranger.connect(B)) is False
    assert world.loop.now_ms - began_ms < SETTLED_MS
    settle(world)
    assert inboxes == ([], []) and stranger.nodes() == node.nodes() == []
    refused, door = sorted(map(fields, caplog.records), key=lambda each: str(each["node"]))
    assert refused == {
        "event": "node.refused",
        "node": A,
        "peer": B,
        "reason": "cookie",
        "detail": "it does not share our cookie",
        "by_peer": True,
    }
    assert (door["event"], door["node"]) == ("door.refused", B)  # who did not prove the secret has no name there
    assert stranger.last_problem(B) == "it does not share our cookie" and node.last_problem(A) is None


def test_node_05_connect_to_one_of_two_then_all_three_are_connected(world: World) -> None:
    a, b, c = world.node(A), world.node(B), world.node(C)
    inboxes = [told(world, node) for node in (a, b, c)]
    world.joined(a, b)
    assert world.run(c.connect(A))
    settle(world)
    assert [node.nodes() for node in (a, b, c)] == [[B, C], [A, C], [A, B]]
    assert [sorted(events(inbox)) for inbox in inboxes] == [
        ["NodeUp b", "NodeUp c"],
        ["NodeUp a", "NodeUp c"],
        ["NodeUp a", "NodeUp b"],
    ]
    assert b.terms(C) == Terms(1, (MESH,))


def test_node_05_two_pairs_meet_then_one_mesh_of_four(world: World) -> None:
    a, b, c, d = (world.node(name) for name in (A, B, C, D))
    world.joined(a, b)
    world.joined(c, d)
    assert world.run(b.connect(D))
    settle(world)
    assert [len(node.nodes()) for node in (a, b, c, d)] == [3, 3, 3, 3]


@pytest.mark.parametrize("options", [{"connect_all": False}, {"hidden": True}])
@pytest.mark.parametrize("apart", [A, B, C])
def test_node_05_one_does_not_like_to_mesh_or_is_hidden_then_the_others_do(
    apart: str, options: dict[str, bool], world: World
) -> None:
    a, b, c = (world.node(name, **(options if name == apart else {})) for name in (A, B, C))
    assert world.run(a.connect(B)) and world.run(c.connect(A))
    settle(world)
    assert [node.nodes("connected") for node in (a, b, c)] == [[B, C], [A], [A]]


def test_node_05_neighbour_that_cannot_be_reached_then_it_is_tried_once(world: World) -> None:
    a, b, c = world.node(A), world.node(B), world.node(C)
    world.joined(a, b)
    world.network.stall(B)
    assert world.run(c.connect(A))
    world.loop.run_ms(TIMING.silence_ms // 2)
    assert c.nodes() == [A] and c.links and next(c.links._attempts) == 3


def test_node_05_neighbour_that_said_goodbye_then_it_is_left_alone(world: World) -> None:
    a, b, c = world.node(A), world.node(B), world.node(C)
    world.joined(a, b)
    assert world.run(c.connect(A))
    settle(world)
    world.run(b.stop())
    assert c.links
    attempts = next(c.links._attempts)
    c.disconnect(A)
    assert world.run(c.connect(A))
    settle(world)
    assert c.nodes() == [A] and next(c.links._attempts) == attempts + 2


def test_simultaneous_connect_of_many_then_one_nodeup_each(world: World) -> None:
    names = [f"n{number}@10.0.1.{number}:7100" for number in range(1, 7)]
    all_nodes = [world.node(name) for name in names]
    inboxes = [told(world, node) for node in all_nodes]

    async def connect() -> list[bool]:
        return await asyncio.gather(*(node.connect(name) for node in all_nodes for name in names))

    assert all(world.run(connect()))
    world.loop.run_ms(5_000)
    for node, inbox in zip(all_nodes, inboxes, strict=True):
        assert sorted(inbox, key=lambda event: event.node) == [NodeUp(name) for name in names if name != node.name]


# --- events


def test_node_07_up_before_the_first_message_and_down_after_the_last(world: World) -> None:
    one, other = world.node(A), world.node(B)
    inbox = told(world, one)

    async def flood() -> None:
        for number in range(10_000):
            send(("inbox", A), number)
            if number % 50 == 0:
                await asyncio.sleep(0.001)

    other.scheduler.spawn(flood())
    world.loop.run_ms(100)
    world.network.crash(B)
    settle(world)
    numbers = inbox[1:-1]
    assert (inbox[0], inbox[-1]) == (NodeUp(B), NodeDown(B, steps.CONNECTION_CLOSED))
    assert len(numbers) > 1_000 and numbers == list(range(len(numbers)))


def test_node_08_event_then_nodes_agrees_and_a_reconnect_is_up_down_up(world: World) -> None:
    seen: list[tuple[str, list[str]]] = []

    async def watch() -> None:
        monitor_nodes()
        while True:
            event = await receive()
            seen.append((type(event).__name__, nodes()))

    one, other = world.node(A), world.node(B)
    one.scheduler.spawn(watch())
    settle(world)
    world.joined(one, other)
    one.disconnect(B)
    settle(world)
    world.joined(one, other)
    settle(world)
    assert seen == [("NodeUp", [B]), ("NodeDown", []), ("NodeUp", [B])]


def test_node_10_stopped_then_down_within_the_silence_and_busy_then_not() -> None:
    with Simulation(seed=1, nodes=3, conditions=Conditions(gives_up=0)) as simulation:
        for name in simulation.names:
            simulation.start(name)
        simulation.eventually(lambda: len(simulation.node("a").nodes()) == 2, 10_000)
        b, c = simulation.full_name("b"), simulation.full_name("c")
        simulation.stall("b")
        simulation.block("c")
        simulation.run_ms(TIMING.silence_ms * 0.75)
        assert simulation.node("a").nodes() == [b, c]
        simulation.run_ms(TIMING.silence_ms * 0.75)
        assert simulation.node("a").nodes() == [c]
        simulation.resume("b")
        simulation.run_ms(2 * TIMING.silence_ms)
        assert c in simulation.node("a").nodes()
        downs = [(each.node, each.event) for each in simulation.trace.entries if "node_down" in each.event]
        assert ("a", "node_down b") in downs and ("b", "node_down a") in downs and ("a", "node_down c") not in downs


def test_node_11_asked_n_times_then_n_copies_and_all_of_equal_options_are_undone(world: World) -> None:
    one, other, looking = world.node(A), world.node(B), world.node(C, hidden=True)
    pid, inbox = world.inbox(one)
    one.monitor_nodes(pid)
    one.monitor_nodes(pid)
    one.monitor_nodes(pid, node_type="all")
    one.monitor_nodes(pid, node_type="hidden")
    world.joined(one, other)
    assert world.run(looking.connect(A))
    settle(world)
    assert inbox == [NodeUp(B)] * 3 + [NodeUp(C, "hidden")] * 2
    inbox.clear()
    one.monitor_nodes(pid, False)
    world.run(looking.stop())
    one.disconnect(B)
    settle(world)
    assert inbox == [NodeDown(C, steps.LEFT, "hidden")] * 2 + [NodeDown(B, steps.DISCONNECT)]
    inbox.clear()
    one.monitor_nodes(pid, False, node_type="all")
    one.monitor_nodes(pid, False, node_type="hidden")
    world.joined(one, other)
    assert inbox == []


def test_node_11_wrong_option_then_an_error_names_it_and_nothing_is_changed(world: World) -> None:
    node, other = world.node(A), world.node(B)
    pid, inbox = world.inbox(node)
    for flag in (True, False):
        with pytest.raises(ConfigError, match="'invisible'"):
            node.monitor_nodes(pid, flag, node_type="invisible")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no process of"):
        node.monitor_nodes(Pid(B, 1, 5))
    world.joined(node, other)
    assert inbox == []


def test_node_11_subscriber_dies_then_nothing_of_it_is_kept(world: World) -> None:
    node, other = world.node(A), world.node(B)

    async def dies() -> None:
        monitor_nodes()
        monitor_nodes(node_type="hidden")
        monitor_node(B)

    for _ in range(20 * SWEPT_MIN):
        node.scheduler.spawn(dies())
        world.loop.run_ms(1)
    assert len(node._subscribers.subscriptions) <= 2 * SWEPT_MIN + 2
    assert len(node._lookouts) <= SWEPT_MIN + 1
    world.joined(node, other)
    node.disconnect(B)
    assert len(node._lookouts) == 0


def test_node_19_monitor_of_a_node_that_is_not_there_then_down_each_time(world: World) -> None:
    node = world.node(A)
    pid, inbox = world.inbox(node)
    for _ in range(3):
        node.monitor_node(B, pid)
    settle(world)
    assert inbox == [NodeDown(B, steps.UNREACHABLE)] * 3


def test_node_19_monitor_of_a_node_then_it_is_connected_and_one_down_each_when_it_goes(world: World) -> None:
    node, other = world.node(A), world.node(B)
    pid, inbox = world.inbox(node)
    for _ in range(3):
        node.monitor_node(B, pid)
    settle(world)
    assert (node.nodes(), inbox) == ([B], [])
    node.monitor_node(B, pid, False)
    world.run(other.stop())
    settle(world)
    assert inbox == [NodeDown(B, steps.LEFT)] * 2
    world.node(B)
    assert world.run(node.connect(B))
    node.disconnect(B)
    settle(world)
    assert len(inbox) == 2


def test_node_19_monitor_of_a_hidden_node_of_oneself_and_of_no_node(world: World) -> None:
    node, looking = world.node(A), world.node(C, hidden=True)
    pid, inbox = world.inbox(node)
    node.monitor_node(C, pid)
    node.monitor_node(A, pid)
    settle(world)
    world.run(looking.stop())
    settle(world)
    assert inbox == [NodeDown(C, steps.LEFT, "hidden")]
    with pytest.raises(ConfigError):
        node.monitor_node("nonsense", pid)
    node.monitor_node(B, pid, False)  # there is none to take back


# --- identity: a restarted node is another one


async def forever() -> None:
    await receive(lambda _: False)


def restarted(world: World, other: Node) -> tuple[Node, list[Any]]:
    """The next life of ``other``, with a process in the very slot of the last one's."""
    world.network.crash(B)
    settle(world)
    again = world.node(B)
    heard: list[Any] = []

    async def listen() -> None:
        while True:
            heard.append(await receive())

    for _ in range(5):
        again.scheduler.spawn(listen())
    settle(world)
    return again, heard


def test_node_13_old_pid_of_a_restarted_node_then_noproc_and_no_new_process_is_reached(world: World) -> None:
    one, other = world.node(A), world.node(B)
    world.joined(one, other)
    old = other.scheduler.spawn(forever())
    again, heard = restarted(world, other)
    assert old.id in [pid.id for pid in again.scheduler.pids()]
    world.joined(one, again)
    got: list[Any] = []

    async def use_it() -> None:
        trap_exits(True)
        send(old, "for the dead")
        ref = monitor(old)
        link(old)
        got.extend([await receive(), await receive()])
        assert {type(each) for each in got} == {Down, Exit}
        assert ref in [each.ref for each in got if isinstance(each, Down)]

    one.scheduler.spawn(use_it())
    settle(world)
    assert [each.reason for each in got] == [NoProcess(), NoProcess()] and heard == []


def test_node_13_first_use_of_an_old_pid_connects_to_the_new_life_then_noproc_all_the_same(world: World) -> None:
    one, other = world.node(A), world.node(B)
    world.joined(one, other)
    old = other.scheduler.spawn(forever())
    _, heard = restarted(world, other)
    assert one.nodes() == []
    reasons: list[Any] = []

    async def use_it() -> None:
        send(old, "for the dead")
        monitor(old)
        reasons.append((await receive()).reason)

    one.scheduler.spawn(use_it())
    settle(world)
    assert (one.nodes(), reasons, heard) == ([B], [NoProcess()], [])


def test_node_14_sent_before_nodedown_then_never_after_the_next_nodeup(world: World) -> None:
    one, other = world.node(A), world.node(B)
    inbox = told(world, one)
    world.joined(one, other)
    sent = []

    async def number() -> None:
        for life in range(4):
            for each in range(200):
                send(("inbox", A), (life, each))
                sent.append((life, each))
                await asyncio.sleep(0.0005)
            other.disconnect(A) if life % 2 else world.network.reset(B, A)  # with messages on their way

    other.scheduler.spawn(number())
    world.loop.run_ms(3_000)
    other.disconnect(A)
    settle(world)
    sessions: list[list[Any]] = []
    for event in inbox:
        if isinstance(event, NodeUp):
            sessions.append([])
        elif isinstance(event, tuple):
            sessions[-1].append(event)
    received = [message for session in sessions for message in session]
    assert len(sessions) >= 4 and received == sorted(set(received)) and len(received) > len(sent) // 2
    assert events(inbox) == ["NodeUp b", "NodeDown b"] * len(sessions)


def test_node_14_connection_lost_then_links_and_monitors_learn_it_and_the_process_may_live(world: World) -> None:
    one, other = world.node(A), world.node(B)
    world.joined(one, other)
    far = other.scheduler.spawn(forever())
    reasons: list[Any] = []

    async def use_it() -> None:
        trap_exits(True)
        monitor(far)
        link(far)
        for _ in range(2):
            reasons.append((await receive(Down | Exit)).reason)

    one.scheduler.spawn(use_it())
    settle(world)
    one.disconnect(B)
    settle(world)
    assert reasons == [NoConnection(B)] * 2


def test_node_17_claims_a_name_without_the_secret_then_refused_and_the_session_stays(world: World) -> None:
    one, other = world.node(A), world.node(B)
    world.joined(one, other)
    inbox = told(world, one)
    claimer = world.network.transport("b@10.0.0.9:7100", cookie=b"wrong")
    impostor = Node(B, transport=claimer, timing=TIMING, incarnation=77)
    world.nodes.append(impostor)
    world.run(impostor.start())
    assert world.run(impostor.connect(A)) is False
    settle(world)
    assert (one.nodes(), impostor.nodes(), inbox) == ([B], [], [])
    assert one.counters["auth_failed"] > 0


def test_node_17_restarted_before_its_end_was_noticed_then_down_before_up(world: World) -> None:
    one, other = world.node(A), world.node(B)
    world.joined(one, other)
    inbox = told(world, one)
    # Its host is gone without a word, and the node starts again at the same address.
    world.network.stall(B)
    world.network.closed(other._transport)  # type: ignore[arg-type]
    again = Node(B, transport=world.network.transport(B), timing=TIMING, incarnation=99)
    world.nodes.append(again)
    world.network.resume(B)
    world.run(again.start())
    assert world.run(again.connect(A))
    settle(world)
    assert inbox[:2] == [NodeDown(B, steps.INCARNATION), NodeUp(B)] and one.nodes() == [B]


def test_node_17_second_node_of_a_name_at_another_address_then_refused_with_the_address_of_the_first(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Also case F11: the newcomer waits until the first is gone."""
    one, other = world.node(A), world.node(B)
    world.joined(one, other)
    inbox = told(world, one)
    second = Node(B, transport=world.network.transport("b@10.0.0.9:7100"), timing=TIMING, incarnation=77)
    world.nodes.append(second)
    world.run(second.start())
    with caplog.at_level(logging.WARNING, "zmqcluster.node"):
        assert world.run(second.connect(A)) is False
    settle(world)
    assert (inbox, one.nodes(), other.nodes(), second.nodes()) == ([], [B], [A], [])
    problem = "b@10.0.0.2:7100 is connected already, from tcp://10.0.0.2:7100"
    assert second.last_problem(A) == f"refused: {problem}"
    assert [fields(record)["reason"] for record in caplog.records] == ["taken", "taken"]
    assert all(problem in record.getMessage() for record in caplog.records)
    world.run(other.stop())
    assert world.run(second.connect(A))
    settle(world)
    assert inbox == [NodeDown(B, steps.LEFT), NodeUp(B)]


def test_versions_without_a_common_one_then_both_say_why(world: World, caplog: pytest.LogCaptureFixture) -> None:
    old = world.node(A)
    new = Node(B, transport=world.network.transport(B), timing=TIMING, incarnation=5)
    new.versions = (2, 3)
    world.nodes.append(new)
    world.run(new.start())
    with caplog.at_level(logging.WARNING, "zmqcluster.node"):
        assert world.run(old.connect(B)) is False
        assert world.run(new.connect(A)) is False
    said = {(each["node"][0], each["by_peer"], each["detail"]) for each in map(fields, caplog.records)}
    new_says, old_says = "this node speaks versions (2, 3), not (1, 1)", "this node speaks versions (1, 1), not (2, 3)"
    assert said == {("b", False, new_says), ("a", True, new_says), ("a", False, old_says), ("b", True, old_says)}
    assert old.last_problem(B) == f"refused: {new_says}"


def test_joins_and_leaves_then_structured_records_with_reasons(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = world.node(A), world.node(B)
    with caplog.at_level(logging.INFO, "zmqcluster.node"):
        world.joined(one, other)
        world.run(other.stop())
        settle(world)
    up, down = (each for each in map(fields, caplog.records) if each["node"] == A)
    assert up == {
        "event": "node.up",
        "node": A,
        "peer": B,
        "node_type": "visible",
        "incarnation": 2,
        "version": 1,
        "capabilities": (MESH,),
        "links": ("tcp://10.0.0.2:7100",),
    }
    assert down.items() >= {"event": "node.down", "node": A, "peer": B, "reason": "left"}.items()


def test_capabilities_then_what_only_one_has_is_not_agreed(world: World) -> None:
    one = world.node(A)
    other = world.node(B, hidden=True)
    assert world.run(one.connect(B))
    assert one.terms(B) == Terms(1, ()) and one.terms(C) is None and HIDDEN in other.capabilities
