"""Nodes that run one scope of groups, a PubSub or a Presence, on a network that loses nothing unless it is cut.

    with nodes(2, groups) as world:
        p = member(world, "a", heard := [])          # a process of node a; what it gets is in ``heard``
        world.at("a", lambda: groups.join("g", p))
        world.run_ms(PUSH_MS)                        # now everybody knows
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from zmqcluster.ids import Pid
from zmqcluster.otp.child_spec import Child
from zmqcluster.otp.supervisor import Supervisor
from zmqcluster.runtime.process import receive
from zmqcluster.testing.checkers import full_mesh
from zmqcluster.testing.network import Conditions
from zmqcluster.testing.simulation import Simulation

__all__ = ["HEAL_MS", "PUSH_MS", "end", "is_whole", "member", "nodes", "settle"]

PUSH_MS = 30  # a write, its broadcast and the delay of the network
HEAL_MS = 10_000
RELIABLE = Conditions(gossip_loss=0.0, gives_up=0.0)


@contextmanager
def nodes(count: int, *children: Child, seed: int = 1) -> Iterator[Simulation]:
    """Connected nodes that run ``children`` under a supervisor each."""

    async def main() -> None:
        await Supervisor.start_link(list(children), strategy="rest_for_one")
        await receive(lambda _: False)

    with Simulation(seed, count, conditions=RELIABLE) as world:
        for name in world.names:
            world.start(name, main)
        settle(world)
        yield world


def is_whole(world: Simulation) -> bool:
    """Whether every running node is connected to every other."""
    return not full_mesh({world.full_name(name): world.node(name).nodes() for name in world.running})


def settle(world: Simulation) -> None:
    """Wait until the nodes are connected and have told each other what they have."""
    world.eventually(lambda: is_whole(world), HEAL_MS)
    world.run_ms(10 * PUSH_MS)


def member(world: Simulation, name: str, heard: list[Any] | None = None) -> Pid:
    """A process of node ``name`` that puts all it gets into ``heard``."""

    async def listen() -> None:
        while True:
            message = await receive()
            if heard is not None:
                heard.append(message)

    return world.spawn(name, listen)


def end(world: Simulation, pid: Pid, reason: Any) -> None:
    """Send an exit signal to a process, on its own node."""
    name = pid.node.partition("@")[0]
    world.node(name).scheduler.exit(pid, pid, reason)
