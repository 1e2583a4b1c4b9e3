"""Where one test runs: a loop in virtual time, a node or a cluster in it, and the test as a process.

    World.run(test) ──> the test's process ── its result, its exception, or the exit reason that ended it
                                          └─> it exits with Shutdown: what is linked to it ends too
    World.left()    ──> what is left then, after ``GRACE_S`` to end
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from zmqcluster.core import Down
from zmqcluster.errors import ProcessExit, ServerExited
from zmqcluster.exits import Shutdown
from zmqcluster.runtime.node import Node
from zmqcluster.runtime.process import exit, monitor, receive
from zmqcluster.testing.births import Births
from zmqcluster.testing.clock import VirtualLoop
from zmqcluster.testing.simulation import Simulation

__all__ = ["ClusterWorld", "NodeWorld", "World"]

WITHIN_S = 600.0  # virtual seconds that a test may take
GRACE_S = 2.0  # virtual seconds for what ends with the test to end
FORMED_MS_MAX = 30_000.0

Test = Callable[[], Coroutine[Any, Any, Any]]


class World:
    """A loop and a node in it that runs the test; ``nodes`` are all whose processes must end with the test."""

    def __init__(self, loop: VirtualLoop, node: Node, nodes: list[Node]) -> None:
        self.loop = loop
        self.node = node
        self.has_run = False
        self.births = Births(loop)
        for each in nodes:
            self.births.watch(each.scheduler)

    def run(self, test: Test, within_s: float = WITHIN_S) -> None:
        """Run ``test`` as a process of the node; raise what it raises.

        Raises:
            ServerExited: an exit signal ended the test, for one because a linked process crashed.
            AssertionError: it is not done within ``within_s``; the message says where it waits.
        """
        self.has_run = True
        outcome: asyncio.Future[Any] = self.loop.create_future()
        scheduler = self.node.scheduler
        pid = scheduler.context.copy().run(scheduler.spawn, _test(test, outcome))
        watcher = scheduler.context.copy().run(scheduler.spawn, _watch(pid, outcome))
        self.births.ignore(pid)
        self.births.ignore(watcher)
        if not self.loop.run_for(outcome, within_s * 1000):
            place = (scheduler.describe(pid) or {}).get("current")
            raise AssertionError(f"the test is not done after {within_s:g} virtual seconds; it waits in {place}")
        outcome.result()

    def left(self) -> list[str]:
        """What the test has started and not ended."""
        self.loop.run_until(lambda: not self.births.any_process(), GRACE_S * 1000, step_ms=20.0)
        return self.births.left()

    def close(self) -> None:
        """End whatever is left."""
        raise NotImplementedError

    def notes(self) -> str:
        """What a failure should tell besides itself."""
        return ""


async def _test(test: Test, outcome: asyncio.Future[Any]) -> None:
    try:
        result = await test()
    except ProcessExit:
        raise
    except BaseException as error:
        outcome.set_exception(error)
    else:
        outcome.set_result(result)
    exit(Shutdown("the test has ended"))


async def _watch(pid: Any, outcome: asyncio.Future[Any]) -> None:
    monitor(pid)
    down = await receive(Down)
    if not outcome.done():
        outcome.set_exception(ServerExited("the test", down.reason))


class NodeWorld(World):
    """One node without a name."""

    def __init__(self, *, copy_messages: bool = True) -> None:
        loop = VirtualLoop()
        node = Node(copy_messages=copy_messages)
        loop.run(node.start())
        super().__init__(loop, node, [node])

    def close(self) -> None:
        self.node.scheduler.close()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run(self.node.stop())
        self.loop.run(self.loop.shutdown_asyncgens())
        self.loop.close()


class ClusterWorld(World):
    """The nodes of a Simulation, started and connected; the test runs on the first."""

    def __init__(self, nodes: int = 3, *, seed: int = 0, copy_messages: bool = True) -> None:
        self.simulation = simulation = Simulation(seed, nodes)
        for name in simulation.names:
            simulation.start(name).scheduler.copy_messages = copy_messages
        everybody = [simulation.node(name) for name in simulation.names]
        simulation.eventually(lambda: all(len(node.nodes()) == nodes - 1 for node in everybody), FORMED_MS_MAX)
        super().__init__(simulation.loop, everybody[0], everybody)
        self._nodes = dict(zip(simulation.names, everybody, strict=True))

    def left(self) -> list[str]:
        running = [self.simulation.node(name) for name in self.simulation.running]
        for node in self._nodes.values():
            if node not in running:
                self.births.forget(node.scheduler)
        return super().left()

    def close(self) -> None:
        self.simulation.close()

    def notes(self) -> str:
        return f"{self.simulation.trace.tail()}\n{self.simulation.replay}"
