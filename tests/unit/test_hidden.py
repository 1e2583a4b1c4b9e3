"""Nodes that look at others without being one of them, and what else a node is told at its start."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.test_node import A, B, C, World
from zmqcluster.errors import EncodeError
from zmqcluster.runtime.events import NodeUp
from zmqcluster.runtime.node import Node
from zmqcluster.runtime.process import receive, register, send, whereis


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


def test_hidden_node_then_it_talks_to_others_who_neither_list_it_nor_are_told(world: World) -> None:
    a, b, looking = world.node(A), world.node(B), world.node(C, hidden=True)
    inbox, told = world.inbox(a)
    a.monitor_nodes(inbox)
    assert world.run(looking.connect(A))
    looking.scheduler.spawn(say_hello(("inbox", A)))
    world.loop.run_ms(50)
    assert told == ["hello"]
    assert (a.nodes(), looking.nodes()) == ([], [A])
    world.joined(a, b)
    world.run(looking.stop())
    world.loop.run_ms(50)
    assert told == ["hello", NodeUp(B)] and a.nodes() == [B]


async def say_hello(dest: Any) -> None:
    send(dest, "hello")


def test_services_then_they_run_on_a_node_with_a_name_and_on_no_other(world: World) -> None:
    async def service() -> None:
        register("service")
        await receive()

    a = world.node(A, services=[service])
    alone = Node(services=[service])
    world.nodes.append(alone)
    world.run(alone.start())
    world.loop.run_ms(10)
    assert a.scheduler.context.copy().run(whereis, "service") is not None
    assert alone.scheduler.context.copy().run(whereis, "service") is None


def test_copy_messages_then_what_is_sent_is_a_copy_and_what_cannot_travel_fails(world: World) -> None:
    a = world.node(A, copy_messages=True)
    inbox, told = world.inbox(a)
    amounts = [1]
    a.scheduler.deliver(inbox, amounts)
    amounts.append(2)
    world.loop.run_ms(1)
    assert told == [[1]]
    with pytest.raises(EncodeError):
        a.scheduler.deliver(inbox, object())
