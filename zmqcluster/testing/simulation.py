"""Whole nodes in one loop of virtual time, on a network whose faults come from a seed.

    with Simulation(seed=17, nodes=3) as simulation:
        for name in simulation.names:
            simulation.start(name, main)                       # ``main`` runs as a process of each node
        simulation.cut({"a"}, {"b", "c"})
        simulation.run_ms(5_000)
        simulation.heal()
        simulation.eventually(lambda: len(simulation.node("a").nodes()) == 2, within_ms=10_000)

The nodes are those of production: only time, the network and the seeds of their random choices are given to them from
here. Invariant: equal seeds and equal calls give an equal ``trace``.
A failure in the ``with`` block carries the line that replays it and the end of the trace.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from zmqcluster.discovery.static import Static
from zmqcluster.errors import ConfigError, UsageError
from zmqcluster.ids import Pid
from zmqcluster.runtime.events import NodeDown, NodeUp
from zmqcluster.runtime.node import Node
from zmqcluster.runtime.process import receive, scheduler
from zmqcluster.runtime.process import self as this_process
from zmqcluster.runtime.timing import Timing
from zmqcluster.testing.clock import VirtualLoop
from zmqcluster.testing.network import Conditions, SimulatedNetwork, short
from zmqcluster.testing.trace import Trace

__all__ = ["Main", "Simulation", "note"]

T = TypeVar("T")
Main = Callable[[], Coroutine[Any, Any, object]]

START_MS_MAX = 10_000.0  # virtual time in which a node starts or stops, and ``run_on`` ends
SHELF = "zmqcluster.testing.note"
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(slots=True)
class Place:
    """A machine of the simulation: it outlives the node that runs on it."""

    full_name: str
    incarnation: int = 0
    node: Node | None = None  # None: off
    main: Main | None = None
    context: Context | None = None

    @property
    def cell(self) -> str:
        """Each start of the node is a cell of its own: the dead one never runs again."""
        return f"{self.full_name}#{self.incarnation}"


def note(event: str) -> None:
    """Put ``event`` into the trace, from a process under simulation; elsewhere nothing happens."""
    add = scheduler().shelf.get(SHELF)
    if add is not None:
        add(event)


class Simulation:
    """A cluster of ``nodes`` that are called a, b, c ... or as given; none is started yet."""

    def __init__(
        self,
        seed: int = 0,
        nodes: int | Sequence[str] = 5,
        *,
        conditions: Conditions | None = None,
        timing: Timing | None = None,
        cookie: bytes = b"simulated",
    ) -> None:
        self._places = {name: Place(full_name) for name, full_name in _full_names(nodes).items()}
        self.seed = seed
        self.loop = VirtualLoop()
        self.trace = Trace(lambda: self.loop.now_ms)
        self.chance = random.Random(seed)
        self.timing = timing or Timing.local()
        self._cookie = cookie
        self._nodes: list[Node] = []  # all that ever ran
        # A stream of its own: what a test draws does not change the weather.
        weather = random.Random(f"weather {seed}")
        self.network = SimulatedNetwork(
            self.loop, weather, self.trace, conditions, unacked_ms_max=self.timing.unacked_ms
        )

    @property
    def names(self) -> tuple[str, ...]:
        """All places, started or not."""
        return tuple(self._places)

    @property
    def running(self) -> tuple[str, ...]:
        """The places where a node runs."""
        return tuple(name for name, place in self._places.items() if place.node is not None)

    def node(self, name: str) -> Node:
        """The node that runs at ``name``.

        Raises:
            UsageError: none does.
        """
        node = self._place(name).node
        if node is None:
            raise UsageError(f"no node runs at {name!r}")
        return node

    def full_name(self, name: str) -> str:
        """The node name of a place, as in its pids."""
        return self._place(name).full_name

    # --- nodes

    def start(self, name: str, main: Main | None = None) -> Node:
        """Start a node at ``name``, and ``main`` as a process of it; returns when both are started."""
        place = self._place(name)
        if place.node is not None:
            raise UsageError(f"a node runs at {name!r} already")
        place.incarnation += 1
        place.main = main or place.main
        place.context = self.loop.cell(place.cell)
        self.trace.add(name, "start")
        node = place.node = place.context.copy().run(self._make, place)
        self._nodes.append(node)
        self._finish(place, node.start())
        node.scheduler.shelf[SHELF] = partial(self.trace.add, name)
        self._spawn(place, self._watch(name, node))
        if place.main is not None:
            self._spawn(place, place.main())
        return node

    def restart(self, name: str) -> Node:
        """Start the place again, with its last ``main``: another incarnation under the same name."""
        return self.start(name)

    def stop(self, name: str) -> None:
        """Let the node leave in order."""
        place = self._place(name)
        self._finish(place, self.node(name).stop())
        place.node = None
        self.trace.add(name, "stop")

    def crash(self, name: str) -> None:
        """Kill -9: nothing of the node ever runs again."""
        self.node(name)
        place = self._place(name)
        self.network.crash(place.full_name, place.cell)
        place.node = None

    def stall(self, name: str) -> None:
        """SIGSTOP, until ``resume``."""
        place = self._place(name)
        self.network.stall(place.full_name, place.cell)

    def block(self, name: str) -> None:
        """Let the node's loop hang, beats going on, until ``resume``."""
        place = self._place(name)
        self.network.block(place.full_name, place.cell)

    def resume(self, name: str) -> None:
        """End a stall or a block."""
        place = self._place(name)
        self.network.resume(place.full_name, place.cell)

    # --- network

    def cut(self, one: Iterable[str], other: Iterable[str], *, one_way: bool = False) -> None:
        """Let nothing pass between the places of ``one`` and ``other``, or only nothing from one to other."""
        self.network.cut(map(self.full_name, one), map(self.full_name, other), one_way=one_way)

    def reset(self, dialler: str, acceptor: str) -> None:
        """End the connections that one place has dialled to another; each node has dialled its own to every peer."""
        self.network.reset(self.full_name(dialler), self.full_name(acceptor))

    def weather(self, **changes: Any) -> None:
        """Go on under other ``Conditions``: those of now, with these fields changed; ``heal`` does not undo it."""
        self.network.weather(**changes)

    def heal(self) -> None:
        """Let everything pass again."""
        self.network.heal()

    # --- time

    def run_ms(self, ms: float) -> None:
        """Let ``ms`` of virtual time pass."""
        self.loop.run_ms(ms)

    def eventually(self, predicate: Callable[[], object], within_ms: float, *, step_ms: float = 50.0) -> None:
        """Run until ``predicate()`` is true, looking every ``step_ms``.

        Raises:
            AssertionError: it is not within ``within_ms``; the message shows its last value.
        """
        if not self.loop.run_until(predicate, within_ms, step_ms=step_ms):
            raise AssertionError(f"not true within {within_ms} virtual ms; last value: {predicate()!r}")

    def holds(self, violations: Callable[[], list[str]], within_ms: float, *, step_ms: float = 50.0) -> None:
        """Run until a checker finds nothing any more.

        Raises:
            AssertionError: it still does after ``within_ms``; the message lists what it found.
        """
        if not self.loop.run_until(lambda: not violations(), within_ms, step_ms=step_ms):
            found = violations()
            raise AssertionError(f"{len(found)} violations after {within_ms} virtual ms:\n" + "\n".join(found[:20]))

    def run_on(self, name: str, work: Callable[[], Coroutine[Any, Any, T]], within_ms: float = START_MS_MAX) -> T:
        """Run ``work`` as a process of the node and return its result; its exception is raised here."""
        outcome: asyncio.Future[T] = self.loop.create_future()

        async def process() -> None:
            try:
                outcome.set_result(await work())
            except Exception as error:
                outcome.set_exception(error)

        self._spawn(self._place(name), process())
        if not self.loop.run_for(outcome, within_ms):
            raise AssertionError(f"not done within {within_ms} virtual ms: {getattr(work, '__qualname__', work)}")
        return outcome.result()

    def spawn(self, name: str, function: Callable[..., Coroutine[Any, Any, object]], *arguments: Any) -> Pid:
        """Start a process on the node; a test that is a process of another node can do so too."""
        return self._spawn(self._place(name), function(*arguments))

    def at(self, name: str, function: Callable[[], T]) -> T:
        """Call a plain function as code of the node: what it reads is that node's view."""
        return self.node(name).scheduler.context.copy().run(function)

    # --- the end

    @property
    def replay(self) -> str:
        """The command that runs this seed again."""
        file, _, test = os.environ.get("PYTEST_CURRENT_TEST", "").partition("::")
        what = f"python -m pytest {file} -k {test.split('[')[0].split(' ')[0]}" if test else "run it again"
        return f"replay: ZMQCLUSTER_SEED={self.seed} {what}"

    def close(self) -> None:
        """End this world, without a goodbye: what still unwinds, of the dead too, does it now and reaches nobody."""
        tasks = [] if self.loop.is_closed() else asyncio.all_tasks(self.loop)
        self.loop.close()
        for node in self._nodes:
            with contextlib.suppress(UsageError):  # it did not get as far as to have one
                node.scheduler.close()
        for task in tasks:
            coroutine = task.get_coro()
            if coroutine is not None:
                with contextlib.suppress(RuntimeError):  # a finally block that awaits
                    coroutine.close()
        self._nodes.clear()

    def __enter__(self) -> Simulation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            error.add_note(f"{self.trace.tail()}\n{self.replay}")
        self.close()

    # --- inside

    def _place(self, name: str) -> Place:
        try:
            return self._places[name]
        except KeyError:
            raise UsageError(f"no place {name!r}; there are {', '.join(self._places)}") from None

    def _make(self, place: Place) -> Node:
        return Node(
            place.full_name,
            cookie=self._cookie,
            timing=self.timing,
            topologies=[Static(each.full_name for each in self._places.values())],
            transport=self.network.memory.transport(place.full_name, cookie=self._cookie),
            incarnation=place.incarnation,
            seed=random.Random(f"{place.cell} {self.seed}").getrandbits(32),
        )

    def _finish(self, place: Place, work: Coroutine[Any, Any, object]) -> None:
        assert place.context is not None
        task = place.context.copy().run(self.loop.create_task, work)
        if not self.loop.run_for(task, START_MS_MAX):
            raise AssertionError(f"{place.full_name} did not start or stop within {START_MS_MAX} virtual ms")
        task.result()

    def _spawn(self, place: Place, coroutine: Coroutine[Any, Any, object]) -> Pid:
        assert place.node is not None and place.context is not None
        pid: Pid = place.context.copy().run(place.node.scheduler.spawn, coroutine)
        return pid

    async def _watch(self, name: str, node: Node) -> None:
        node.monitor_nodes(this_process())
        while True:
            match await receive():
                case NodeUp(peer):
                    self.trace.add(name, f"node_up {short(peer)}")
                case NodeDown(peer):
                    self.trace.add(name, f"node_down {short(peer)}")


def _full_names(nodes: int | Sequence[str]) -> dict[str, str]:
    names = LETTERS[:nodes] if isinstance(nodes, int) else nodes
    if isinstance(nodes, int) and not 1 <= nodes <= len(LETTERS):
        raise ConfigError(f"a simulation has 1 to {len(LETTERS)} nodes, or give their names; not {nodes}")
    return {name: f"{name}@10.0.0.{index}:7100" for index, name in enumerate(names, 1)}
