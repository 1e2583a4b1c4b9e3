"""A network whose faults are drawn from a seed, and steered by hand: delay, loss, cuts, crashes, stalls.

    SimulatedNetwork.cut / heal / crash / stall  ──>  SeededFaults (who passes, how long, what survives)
              │ each one is noted in the trace                 │ asked by
              └──────────> trace                               └──> MemoryNetwork (the mechanism)

Invariant: every choice comes from one ``random.Random``, in the order of events; so a seed is the whole weather.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from zmqcluster.errors import ConfigError
from zmqcluster.testing.clock import VirtualLoop
from zmqcluster.testing.trace import EVERYBODY, Trace
from zmqcluster.transport.memory import MemoryNetwork

__all__ = ["Conditions", "SeededFaults", "SimulatedNetwork", "short"]

Span = tuple[float, float]  # from, to: drawn evenly between


@dataclass(frozen=True, slots=True)
class Conditions:
    """How bad the network is; probabilities from 0 to 1, times in milliseconds."""

    latency_ms: Span = (0.2, 2.0)
    gossip_ms: Span = (0.2, 5.0)
    gossip_loss: float = 0.05
    gossip_twice: float = 0.0  # no transport of ours does this and the next; whoever is to live with anything, may try
    gossip_overtakes: float = 0.0
    retry_ms: Span = (50.0, 150.0)  # between two dials. Source: libzmq RECONNECT_IVL and its jitter
    notice_ms: Span = (5.0, 400.0)  # after a heal, until an old connection speaks or breaks: TCP's retransmission timer
    outlives_cut: float = 0.5
    gives_up: float = 0.3  # how often a kernel ends a connection within a cut
    gives_up_ms: Span = (100.0, 2_000.0)

    def __post_init__(self) -> None:
        for name in ("gossip_loss", "gossip_twice", "gossip_overtakes", "outlives_cut", "gives_up"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is a probability from 0 to 1, not {getattr(self, name)!r}")
        for name in ("latency_ms", "gossip_ms", "retry_ms", "notice_ms", "gives_up_ms"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ConfigError(f"{name} is a span (from, to) of milliseconds, not {getattr(self, name)!r}")


class SeededFaults:
    """The answers of ``transport.memory_pipe.Faults``, drawn from ``chance``."""

    def __init__(self, chance: random.Random, conditions: Conditions) -> None:
        self.conditions = conditions
        self.routes_cut: set[tuple[str, str]] = set()  # only ever asked for membership
        self._chance = chance

    def passes(self, source: str, target: str) -> bool:
        return (source, target) not in self.routes_cut

    def latency_ms(self, source: str, target: str) -> float:
        return self._draw(self.conditions.latency_ms)

    def gossip_ms(self, source: str, target: str) -> float | None:
        if self._chance.random() < self.conditions.gossip_loss:
            return None
        return self._draw(self.conditions.gossip_ms)

    def gossip_twice(self) -> bool:
        return self._happens(self.conditions.gossip_twice)

    def gossip_overtakes(self) -> bool:
        return self._happens(self.conditions.gossip_overtakes)

    def _happens(self, probability: float) -> bool:
        """Draw; what never happens draws nothing, so that it does not change the rest of the weather."""
        return probability > 0 and self._chance.random() < probability

    def retry_ms(self) -> float:
        return self._draw(self.conditions.retry_ms)

    def notice_ms(self) -> float:
        return self._draw(self.conditions.notice_ms)

    def outlives_cut(self) -> bool:
        return self._chance.random() < self.conditions.outlives_cut

    def gives_up_ms(self) -> float | None:
        if self._chance.random() >= self.conditions.gives_up:
            return None
        return self._draw(self.conditions.gives_up_ms)

    def kept(self, frames: int) -> int:
        return self._chance.randint(0, frames)

    def _draw(self, span: Span) -> float:
        low, high = span
        return low + (high - low) * self._chance.random()


def short(name: str) -> str:
    """The part of a node name by which people call it."""
    return name.partition("@")[0]


class SimulatedNetwork:
    """The network of a simulation; nodes are called by their full names, and in the trace by those before the ``@``."""

    def __init__(
        self,
        loop: VirtualLoop,
        chance: random.Random,
        trace: Trace,
        conditions: Conditions | None = None,
        *,
        unacked_ms_max: float | None = None,
    ) -> None:
        self.faults = SeededFaults(chance, conditions or Conditions())
        self.memory = MemoryNetwork(loop, self.faults, unacked_ms_max=unacked_ms_max)
        self._loop = loop
        self._trace = trace

    def cut(self, one: Iterable[str], other: Iterable[str], *, one_way: bool = False) -> None:
        """Let nothing pass from ``one`` to ``other``, nor back unless ``one_way``; in silence, as a pulled cable."""
        sources, targets = sorted(one), sorted(other)
        arrow = "->" if one_way else "<->"
        self._trace.add(EVERYBODY, f"cut {' '.join(map(short, sources))} {arrow} {' '.join(map(short, targets))}")
        routes = [(source, target) for source in sources for target in targets if source != target]
        self.faults.routes_cut.update(routes)
        if not one_way:
            self.faults.routes_cut.update([(target, source) for source, target in routes])
        self.memory.routes_changed()

    def weather(self, **changes: Any) -> None:
        """Go on under other ``Conditions``: those of now, with these fields changed."""
        self._trace.add(EVERYBODY, " ".join(["weather", *(f"{name}={value}" for name, value in changes.items())]))
        self.faults.conditions = replace(self.faults.conditions, **changes)

    def reset(self, dialler: str, acceptor: str) -> None:
        """End the connections that one node has dialled to another."""
        self._trace.add(EVERYBODY, f"reset {short(dialler)} -> {short(acceptor)}")
        self.memory.reset(dialler, acceptor)

    def heal(self) -> None:
        """Let everything pass again. Old connections speak or break a while later; new dials succeed."""
        self._trace.add(EVERYBODY, "heal")
        self.faults.routes_cut.clear()
        self.memory.routes_changed()

    def crash(self, name: str, cell: str) -> None:
        """Kill the node: its callbacks never run again, and its peers' connections end."""
        self._trace.add(short(name), "crash")
        self._loop.suspend(cell)
        self.memory.crash(name)

    def stall(self, name: str, cell: str) -> None:
        """SIGSTOP: neither the node's loop nor its beats go on; its kernel still takes what is sent."""
        self._trace.add(short(name), "stall")
        self._loop.suspend(cell)
        self.memory.stall(name)

    def block(self, name: str, cell: str) -> None:
        """The node's loop hangs in a callback; its beats go on, with a growing lag."""
        self._trace.add(short(name), "block")
        self._loop.suspend(cell)

    def resume(self, name: str, cell: str) -> None:
        """End a stall or a block: what fell due meanwhile runs now."""
        self._trace.add(short(name), "resume")
        self._loop.resume(cell)
        self.memory.resume(name)
