"""The run of the demo: feeds donations to the doors, kills one node on the way, collects what is acknowledged.

A donation counts once, when its reply arrives, by its id: a worker that died with its node may have processed one that
is processed again elsewhere, and the total is still right.
"""

import asyncio
import time
from bisect import insort
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from donations import Donation
from nodes import Event, NodeProcess

DOOR_MAX = 200  # donations a door has in hand at a time
TICK_S = 0.01
KILL_AT = 1 / 3  # of the donations
HURRY_AT = 0.6  # from here on as fast as it goes, to measure the throughput


@dataclass
class Phase:
    """What happened before the kill, or after it, by node."""

    donations: Counter[str] = field(default_factory=Counter)  # finished, by the node their worker ran on
    calls: Counter[str] = field(default_factory=Counter)  # made, by the node they were made from


class Starts:
    """When and where each worker was started, in order of time."""

    def __init__(self) -> None:
        self._of: dict[str, list[tuple[float, str]]] = {}

    def __len__(self) -> int:
        return len(self._of)

    def add(self, donor: str, at: float, node: str) -> None:
        insort(self._of.setdefault(donor, []), (at, node))

    def workers_at(self, moment: float) -> Counter[str]:
        """Return how many workers each node had."""
        past = ([node for at, node in starts if at <= moment] for starts in self._of.values())
        return Counter(nodes[-1] for nodes in past if nodes)

    def failovers(self, dead: str, moment: float) -> dict[str, float | None]:
        """Return the workers that died with a node, each with when it ran again, None: not yet."""
        found: dict[str, float | None] = {}
        for donor, starts in self._of.items():
            past = [node for at, node in starts if at <= moment]
            if past and past[-1] == dead:
                found[donor] = next((at for at, node in starts if at > moment and node != dead), None)
        return found


class Run:
    """One run. ``on_progress`` is called as it goes on, ``on_note`` with a line worth reading."""

    def __init__(
        self,
        nodes: list[NodeProcess],
        donations: list[Donation],
        rate: float,
        on_progress: Callable[["Run"], None],
        on_note: Callable[[str], None],
    ) -> None:
        self.nodes, self.rate = nodes, rate
        self.on_progress, self.on_note = on_progress, on_note
        self.total = len(donations)
        self.waiting = deque(donations)
        self.zakat_of: dict[str, Decimal] = {}
        self.starts = Starts()
        self.before, self.after = Phase(), Phase()
        self.ready_count = self.hurried_from = 0
        self.retried: Counter[str] = Counter()  # calls that failed and were made again, by error
        self.victim: NodeProcess | None = None
        self.started_at = self.killed_at = self.hurried_at = self.finished_at = 0.0
        self.nodedown_at: dict[str, float] = {}  # survivor -> when it knew
        self.problems: list[str] = []

    # --- what the nodes report
    def on_event(self, node: NodeProcess, event: Event) -> None:
        match event:
            case {"event": "finished"}:
                self._on_finished(node, event)
            case {"event": "started", "donor": donor, "at": at}:
                self.starts.add(donor, at, node.name)
            case {"event": "nodedown", "node": name, "at": at}:
                self._on_nodedown(node, name, at)
            case {"event": "ready"}:
                self.ready_count += 1
            case {"event": "failed", "id": donation_id, "donor": donor, "failures": failures}:
                self.problems.append(f"{donation_id} of {donor} failed {len(failures)} times, last with {failures[-1]}")

    def on_end(self, node: NodeProcess) -> None:
        """A node is gone: what it had in hand goes to the other doors."""
        if self.finished_at:
            return
        self.waiting.extendleft(node.pending.values())
        node.pending.clear()
        if node is not self.victim:
            self.problems.append(f"{node.name} ended by itself")

    def _on_nodedown(self, node: NodeProcess, name: str, at: float) -> None:
        if self.victim and name == self.victim.name:
            self.nodedown_at.setdefault(node.name, at)
        elif not self.finished_at:
            self.problems.append(f"{node.name} took {name} for dead")

    def _on_finished(self, node: NodeProcess, event: Event) -> None:
        if node.pending.pop(event["id"], None) is None:
            return
        phase = self.after if self.victim and node is not self.victim else self.before
        phase.donations[event["node"]] += 1
        phase.calls[node.name] += 1 + len(event["failures"])
        self.retried.update(event["failures"])
        self.zakat_of.setdefault(event["id"], Decimal(event["zakat"]))
        self.on_progress(self)

    # --- what the run does
    async def perform(self) -> None:
        """Wait for the cluster, bring every donation through, and wait until the dead node's workers run again."""
        try:
            await self._perform()
        finally:
            self.finished_at = time.monotonic()

    async def _perform(self) -> None:
        while self.ready_count < len(self.nodes) and not self.problems:
            await asyncio.sleep(TICK_S)
        self.started_at = time.monotonic()
        given = 0
        while not self.problems and not self._is_complete():
            self._kill_if_due()
            self._hurry_if_due()
            given += self._feed(self._due(given))
            await asyncio.sleep(0.001 if self.hurried_at else TICK_S)

    @property
    def failovers(self) -> dict[str, float | None]:
        """The workers that died with the killed node, each with when it ran again, None: not yet."""
        return self.starts.failovers(self.victim.name, self.killed_at) if self.victim else {}

    def _is_complete(self) -> bool:
        if len(self.zakat_of) < self.total or self.victim is None or self.victim.alive:
            return False
        return None not in self.failovers.values() and len(self.nodedown_at) == len(self.nodes) - 1

    def _kill_if_due(self) -> None:
        """Kill the node with the most workers."""
        if self.victim or len(self.zakat_of) < self.total * KILL_AT:
            return
        workers = self.starts.workers_at(time.monotonic())
        self.victim = max(self.nodes, key=lambda node: workers[node.name])
        self.killed_at = time.monotonic()
        self.victim.kill()
        self.on_note(f"kill -9 {self.victim.pid} ({self.victim.name}) after {len(self.zakat_of):,} donations")

    def _hurry_if_due(self) -> None:
        if not self.hurried_at and (self.rate <= 0 or len(self.zakat_of) >= self.total * HURRY_AT):
            self.hurried_at, self.hurried_from = time.monotonic(), len(self.zakat_of)

    def _due(self, given: int) -> int:
        if self.hurried_at:
            return len(self.waiting)
        return min(len(self.waiting), int((time.monotonic() - self.started_at) * self.rate) - given)

    def _feed(self, due: int) -> int:
        """Hand in up to ``due`` donations, to the least busy doors first; return how many it were."""
        doors = [node for node in self.nodes if node.alive and node is not self.victim]
        given = 0
        for door in sorted(doors, key=lambda node: len(node.pending)):
            share = min(-(-due // len(doors)), due - given, DOOR_MAX - len(door.pending))
            if share > 0:
                door.give([self.waiting.popleft() for _ in range(share)])
                given += share
        return given
