"""Peers of peers: what one node tells another of them, and what the other makes of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.test_node import A, B, World
from zmqcluster.constants import CONTROL_BYTES_MAX
from zmqcluster.protocol.handshake import Neighbour, Neighbours
from zmqcluster.runtime import node as node_module
from zmqcluster.runtime.links import portions
from zmqcluster.wire.schema import encode_control

EPOCH = 2**64 - 1


def neighbour(number: int, links: tuple[str, ...] | None = None) -> Neighbour:
    name = f"node-{number}@10.1.{number // 250}.{number % 250}:7100"
    return Neighbour(name, 2**63 + number, links or (f"ipc:///run/user/1000/zmqcluster/{number:024x}.ipc", f"tcp://{name}"))


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


def test_portions_then_each_fits_a_control_frame_and_none_is_lost() -> None:
    many = [neighbour(number) for number in range(1_000)]
    some = list(portions(many))
    assert [each for portion in some for each in portion] == many
    assert all(len(encode_control(Neighbours(EPOCH, portion))) <= CONTROL_BYTES_MAX for portion in some)
    assert len(some) < 16


def test_portions_of_none_and_of_one_that_is_too_long_then_it_is_left_out() -> None:
    assert list(portions([])) == []
    long = neighbour(1, ("tcp://" + "x" * CONTROL_BYTES_MAX,))
    assert list(portions([long, neighbour(2)])) == [(neighbour(2),)]


def test_more_neighbours_than_can_be_dialled_at_a_time_then_the_first_ones(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_module, "MEETING_MAX", 5)
    one, other = world.node(A), world.node(B)
    world.joined(one, other)
    assert one.links
    attempts = next(one.links._attempts)

    async def hear() -> None:
        one.on_neighbours([neighbour(number) for number in range(20)])
        one.on_neighbours([neighbour(number) for number in range(20)])

    world.run(hear())
    assert next(one.links._attempts) == attempts + 6
    world.loop.run_ms(10_000)
    assert one._meeting == set() and one.nodes() == [B]
