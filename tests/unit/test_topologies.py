"""Topologies keep a node connected to what is found, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from zmqcluster import telemetry
from zmqcluster.discovery.static import Static
from zmqcluster.discovery.strategy import Address, Host
from zmqcluster.discovery.topologies import Topology
from zmqcluster.errors import ConfigError
from zmqcluster.ids import NodeName
from zmqcluster.protocol import steps
from zmqcluster.runtime.events import NodeDown, NodeUp
from zmqcluster.runtime.timing import Timing
from zmqcluster.testing.clock import VirtualLoop

A, B, C, D = (f"{name}@10.0.0.1:71{number:02}" for number, name in enumerate("abcd"))


class FakeNode:
    """Connects to those in ``reachable``, after ``delay_s``; notes every attempt with its time."""

    name, incarnation, link_endpoints = A, 1, ("tcp://10.0.0.1:7100",)

    def __init__(self, *reachable: str) -> None:
        self.timing = Timing.local()
        self.random = Random(1)
        self.reachable = set(reachable)
        self.slow: dict[str, float] = {}
        self.unwanted: set[str] = set()
        self.up: list[str] = []
        self.attempts: list[tuple[float, str]] = []
        self.endpoints: tuple[str, ...] = ()
        self.watchers: list[Callable[[NodeUp | NodeDown], None]] = []

    def nodes(self) -> list[str]:
        return sorted(self.up)

    async def connect(self, node: str, *, timeout_s: float = 7.0, endpoints: tuple[str, ...] = ()) -> bool:
        self.attempts.append((asyncio.get_running_loop().time(), node))
        self.endpoints = endpoints
        await asyncio.sleep(self.slow.get(node, 0.001))
        if node in self.reachable:
            self.up.append(node)
        return node in self.reachable

    def is_wanted(self, node: str, incarnation: int | None = None) -> bool:
        return node not in self.unwanted

    def watch(self, callback: Callable[[NodeUp | NodeDown], None]) -> Callable[[], None]:
        self.watchers.append(callback)
        return lambda: self.watchers.remove(callback)

    def lose(self, node: str, reason: str = steps.CONNECTION_CLOSED) -> None:
        self.up.remove(node)
        for watcher in list(self.watchers):
            watcher(NodeDown(node, reason))

    def tried(self, node: str) -> list[float]:
        return [round(when, 3) for when, name in self.attempts if name == node]


class Answers:
    """A strategy that gives one answer after the other, the last one for ever; an exception is raised."""

    interval_s = 1.0

    def __init__(self, *answers: Collection[str] | Exception) -> None:
        self.answers = list(answers)
        self.announced: list[str] = []

    async def find(self) -> Collection[Address]:
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {Address(NodeName(name), (f"tcp://{name}",)) for name in answer}

    async def announce(self, host: Host) -> None:
        self.announced.append(f"+{host.name}")

    async def withdraw(self) -> None:
        self.announced.append("-")


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    yield loop
    loop.close()


@pytest.fixture
def events() -> Iterator[list[tuple[str, str, Any]]]:
    """What telemetry says of connects, as (event, peer, error)."""
    seen: list[tuple[str, str, Any]] = []
    names = ["zmqcluster.discovery.connected", "zmqcluster.discovery.failed"]
    for name in names:
        telemetry.attach(
            "test", name, lambda event, fields: seen.append((event[21:], fields.get("peer", ""), fields.get("error")))
        )
    yield seen
    for name in names:
        telemetry.detach("test", name)


def run(loop: VirtualLoop, topology: Topology, node: FakeNode, seconds: float) -> None:
    """Start the topology and let the time pass; it stays running."""
    loop.run(topology.start(node))
    loop.run_ms(seconds * 1000)


def stop(loop: VirtualLoop, topology: Topology) -> None:
    loop.run(topology.stop())
    assert asyncio.all_tasks(loop) == set()


def test_static_then_each_other_is_connected_once_and_itself_never(loop: VirtualLoop) -> None:
    """Case D01."""
    node, topology = FakeNode(A, B, C), Static([A, B, C])
    node.up.append(C)
    run(loop, topology, node, 60)
    assert [name for _, name in node.attempts] == [B]
    stop(loop, topology)


@pytest.mark.parametrize("names", [["nobody"], ["a@10.0.0.1:99999"], "a@10.0.0.1", [5]])
def test_static_malformed_then_error_at_once(names: Any) -> None:
    with pytest.raises(ConfigError):
        Static(names)


def test_static_unknown_option_then_error() -> None:
    with pytest.raises(TypeError):
        Static([A], intervall=5)  # type: ignore[call-arg]


def test_empty_list_then_nothing_happens(loop: VirtualLoop) -> None:
    """Case D04."""
    node, topology = FakeNode(), Static([])
    run(loop, topology, node, 60)
    assert node.attempts == []
    stop(loop, topology)


def test_unreachable_then_tried_for_ever_with_growing_pauses(loop: VirtualLoop) -> None:
    """Case D10; D02 is another default: we do retry."""
    node, topology = FakeNode(), Static([B])
    run(loop, topology, node, 120)
    times = node.tried(B)
    pauses = [later - earlier for earlier, later in pairwise(times)]
    retry_s, retry_s_max = node.timing.retry_ms / 1000, node.timing.retry_ms_max / 1000
    assert 0.5 * retry_s < pauses[0] < 1.6 * retry_s
    assert max(pauses) < 1.5 * retry_s_max + 0.1 and len(set(pauses[-5:])) > 1
    assert times[-1] > 110
    node.reachable.add(B)
    loop.run_ms(8_000)
    assert node.nodes() == [B]
    stop(loop, topology)


def test_one_unreachable_then_the_others_do_not_wait(loop: VirtualLoop) -> None:
    """Case D26."""
    node, topology = FakeNode(C, D), Static([B, C, D])
    node.slow[B] = 7.0
    run(loop, topology, node, 0.1)
    assert node.nodes() == [C, D]
    stop(loop, topology)


def test_lost_then_connected_again_at_once(loop: VirtualLoop) -> None:
    node, topology = FakeNode(B), Static([B])
    run(loop, topology, node, 1)
    loop.call_soon(node.lose, B)
    loop.run_ms(node.timing.retry_ms + 10)
    assert node.nodes() == [B]
    stop(loop, topology)


def test_disconnected_by_the_user_then_left_alone_until_the_next_poll(loop: VirtualLoop) -> None:
    node, topology = FakeNode(B), Static([B])
    run(loop, topology, node, 1)
    loop.call_soon(node.lose, B, steps.DISCONNECT)
    loop.run_ms(1_000)
    assert node.nodes() == []
    loop.run_ms(5_000)
    assert node.nodes() == [B]
    stop(loop, topology)


def test_peer_that_left_then_not_looked_for_until_it_is_wanted(loop: VirtualLoop) -> None:
    """Case F02."""
    node, topology = FakeNode(B), Static([B])
    run(loop, topology, node, 1)
    node.unwanted.add(B)
    loop.call_soon(node.lose, B, steps.LEFT)
    loop.run_ms(60_000)
    assert len(node.tried(B)) == 1
    node.unwanted.clear()
    loop.run_ms(6_000)
    assert node.nodes() == [B]
    stop(loop, topology)


@pytest.mark.parametrize("answer", [OSError("no name server"), []], ids=["a failed lookup", "an empty answer"])
def test_bad_answer_then_nobody_is_disconnected_and_the_next_one_counts(
    answer: Any, loop: VirtualLoop, events: list[Any]
) -> None:
    """Cases D11, D13."""
    node, topology = FakeNode(B, C), Topology(Answers([B], answer, [B, C]))
    run(loop, topology, node, 1.5)
    assert node.nodes() == [B]
    loop.run_ms(1_000)
    assert node.nodes() == [B, C]
    assert [event[0] for event in events] == ["connected", *(["failed"] if answer else []), "connected"]
    stop(loop, topology)


def test_no_longer_found_then_not_tried_any_more(loop: VirtualLoop) -> None:
    node, topology = FakeNode(), Topology(Answers([B], []))
    run(loop, topology, node, 1.5)
    count = len(node.attempts)
    loop.run_ms(60_000)
    assert len(node.attempts) <= count + 1
    stop(loop, topology)


def test_attempts_then_telemetry_tells_of_each(loop: VirtualLoop, events: list[Any]) -> None:
    """Case D05."""
    node, topology = FakeNode(C), Static([B, C])
    run(loop, topology, node, 0.02)
    assert sorted(events) == [("connected", C, None), ("failed", B, "unreachable")]
    stop(loop, topology)


def test_own_hooks_then_the_node_is_not_asked(loop: VirtualLoop, events: list[Any]) -> None:
    """Case D07."""
    asked: list[str] = []

    async def connect(name: str) -> bool:
        asked.append(name)
        if name == C:
            raise OSError("no route")
        return True

    node, topology = FakeNode(B), Topology(Answers([B, C, D]), connect=connect, list_nodes=lambda: [D, *asked])
    run(loop, topology, node, 0.02)
    assert (asked, node.attempts) == ([B, C], [])
    assert [(event, peer) for event, peer, _ in events] == [("connected", B), ("failed", C)]
    stop(loop, topology)


def test_endpoints_of_an_answer_then_dialled(loop: VirtualLoop) -> None:
    node, topology = FakeNode(B), Topology(Answers([B]))
    run(loop, topology, node, 0.1)
    assert node.endpoints == (f"tcp://{B}",)
    stop(loop, topology)


def test_start_and_stop_then_announced_and_withdrawn_in_order(loop: VirtualLoop) -> None:
    strategy = Answers([])
    node, topology = FakeNode(), Topology(strategy)
    run(loop, topology, node, 3)
    stop(loop, topology)
    stop(loop, topology)
    assert strategy.announced == [f"+{A}", "-", "-"] and node.watchers == []
