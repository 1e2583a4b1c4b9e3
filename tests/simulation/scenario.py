"""Five nodes, a hundred supervised workers with names and in groups, and whatever weather the seed brings.

    start, ensure most ──> faults: cuts, one-way cuts, crashes, restarts, stalls, heals ──> last heal ──> converge
                           safety is looked at after each                               liveness is demanded

One node, drawn from the seed, is never killed: what all its copies have lost nobody can bring back.
Run one seed by hand: ``python tests/simulation/scenario.py 17`` prints its trace and digest.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Hashable
from typing import Any

from zmqcluster.cluster.groups import Groups
from zmqcluster.cluster.registry import ClusterRegistry
from zmqcluster.cluster.supervisor import ClusterSupervisor
from zmqcluster.errors import ClusterError
from zmqcluster.ids import Pid
from zmqcluster.otp.gen_server import GenServer
from zmqcluster.otp.methods import call
from zmqcluster.otp.supervisor import Supervisor
from zmqcluster.runtime.process import receive
from zmqcluster.runtime.timing import Timing
from zmqcluster.testing import checkers
from zmqcluster.testing.network import Conditions, short
from zmqcluster.testing.simulation import Simulation, note
from zmqcluster.testing.trace import Entry

NODES = 5
IDS = [f"w{number:02}" for number in range(100)]
GROUPS = [f"g{number}" for number in range(10)]  # of the workers by the last digit of their id
NAMED = [each for each in IDS if not each.endswith("7")]  # a name ends a double too: without one, others must
EARLY, LATE = IDS[:80], IDS[80:]  # ensured before the faults, and during them
FAULTS = ["cut", "cut", "cut_one_way", "blip", "reset", "crash", "crash", "restart", "bounce", "stall", "heal", "ask"]
FAULTS_COUNT = (3, 7)  # in a run
PAUSE_MS = (50, 1_200)  # between two
TIMING = Timing.of(200, beats_lost=4, delay_ms=200)
CLIMATES = [
    Conditions(),
    Conditions(gossip_loss=0.0, outlives_cut=1.0, gives_up=0.0),  # TCP at its most patient: cuts leave no mark
    Conditions(latency_ms=(5.0, 80.0), gossip_ms=(5.0, 120.0), gossip_loss=0.2, outlives_cut=0.2),
]
JOIN_MS_MAX = 10_000
CONVERGE_MS_MAX = 10_000
STEADY_MS = 400  # and it stays so

names = ClusterRegistry("names")
workers = ClusterSupervisor("workers")
groups = Groups("groups")


class Worker(GenServer):
    """One per id; it knows its id and nothing else, and is a member of one group."""

    def init(self, worker_id: str) -> None:
        self.worker_id = worker_id
        groups.join(group_of(worker_id))
        note(f"started {worker_id}")

    def terminate(self, reason: object) -> None:
        note(f"stopped {self.worker_id}: {type(reason).__name__}")

    @call
    def whoami(self) -> str:
        return self.worker_id


def group_of(worker_id: str) -> str:
    return f"g{worker_id[-1]}"


async def main() -> None:
    """What runs on every node."""
    await Supervisor.start_link([names, groups, workers])
    await receive(match=lambda _: False)


class Scenario:
    """One seed's life, from start to convergence."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.chance = simulation.chance
        self.witness = self.chance.choice(simulation.names)
        self.stalled: str | None = None

    def run(self) -> None:
        """Raises AssertionError where a checker finds something."""
        simulation = self.simulation
        for name in simulation.names:
            simulation.start(name, main)
        simulation.holds(self.mesh, JOIN_MS_MAX)
        for name in simulation.names:
            self.ensure(name, EARLY[simulation.names.index(name) :: NODES])
        for _ in range(self.chance.randint(*FAULTS_COUNT)):
            self.fault()
            simulation.run_ms(self.chance.randint(*PAUSE_MS))
            self.check_safety()
        self.calm()
        simulation.holds(self.liveness, CONVERGE_MS_MAX)
        events_count = len(simulation.trace.entries)
        simulation.run_ms(STEADY_MS)
        if not any(is_down(entry) for entry in simulation.trace.entries[events_count:]):  # by beats lost in bad weather
            assert self.liveness() == []
        assert checkers.alternating(simulation.trace.entries) == []

    def ensure(self, name: str, ids: list[str]) -> None:
        """Ask at ``name`` for the workers ``ids``."""

        async def ask() -> None:
            await asyncio.gather(*(self.ensured(each) for each in ids))

        self.simulation.run_on(name, ask)

    def ensured(self, worker_id: str) -> Coroutine[Any, Any, Worker]:
        name = names.via(worker_id) if worker_id in NAMED else None
        return workers.ensure(worker_id, Worker, worker_id, name=name)

    # --- faults

    def fault(self) -> None:
        """Draw one and let it happen."""
        name = self.chance.choice(FAULTS)
        getattr(self, name)()

    def cut(self) -> None:
        one, other = self._sides()
        self.simulation.cut(one, other)

    def cut_one_way(self) -> None:
        one, other = self._sides()
        self.simulation.cut(one[:1], other[:1], one_way=True)

    def blip(self) -> None:
        """A cut too short to be noticed, unless a connection broke by it. Case P02."""
        self.cut()
        self.simulation.run_ms(self.chance.randint(1, 100))
        self.heal()

    def reset(self) -> None:
        """A connection breaks, the network is whole."""
        self.simulation.reset(*self.chance.sample(self.simulation.names, 2))

    def _sides(self) -> tuple[list[str], list[str]]:
        shuffled = self.chance.sample(self.simulation.names, NODES)
        size = self.chance.randint(1, NODES // 2)
        return shuffled[:size], shuffled[size:]

    def crash(self) -> str | None:
        mortal = [name for name in self.simulation.running if name not in (self.witness, self.stalled)]
        if not mortal:
            return None
        name = self.chance.choice(mortal)
        self.simulation.crash(name)
        return name

    def restart(self) -> None:
        off = [name for name in self.simulation.names if name not in self.simulation.running]
        if off:
            self.simulation.restart(self.chance.choice(off))

    def bounce(self) -> None:
        """A crash and a restart so close that peers may meet the successor before they miss its predecessor."""
        name = self.crash()
        if name is not None:
            self.simulation.run_ms(self.chance.choice([0, 1, 5, 50]))
            self.simulation.restart(name)

    def stall(self) -> None:
        if self.stalled is None:
            self.stalled = self.chance.choice(self.simulation.running)
            self.chance.choice([self.simulation.stall, self.simulation.block])(self.stalled)
        else:
            self.simulation.resume(self.stalled)
            self.stalled = None

    def heal(self) -> None:
        self.simulation.heal()

    def ask(self) -> None:
        """Both sides of whatever split there is ask for the same workers; under faults they may be told No."""
        ids = self.chance.sample(LATE, 3)
        for name in self.simulation.running:
            if name != self.stalled:
                try:
                    self.ensure(name, ids)
                except (ClusterError, AssertionError) as refusal:
                    self.simulation.trace.add(name, f"ensure refused: {type(refusal).__name__}")

    def calm(self) -> None:
        """The last heal: everybody is back, and asks for what may have been refused."""
        if self.stalled is not None:
            self.stall()
        self.simulation.heal()
        while len(self.simulation.running) < NODES:
            self.restart()
        self.ensure(self.witness, LATE)

    # --- what is looked at

    def check_safety(self) -> None:
        """What holds under faults too."""
        views = {self.simulation.full_name(name): self.lookups(name) for name in self.simulation.running}
        connected = {self.simulation.full_name(name): self.peers(name) for name in self.simulation.running}
        assert checkers.only_connected_names(connected, views) == []
        for name, view in views.items():
            self.simulation.trace.add(short(name), f"knows {summary(view)}")

    def mesh(self) -> list[str]:
        return checkers.full_mesh(
            {self.simulation.full_name(name): self.peers(name) for name in self.simulation.running}
        )

    def liveness(self) -> list[str]:
        """What is demanded after the last heal."""
        alive = self.alive()
        found = self.mesh() + checkers.one_process_per_id(IDS, alive)
        if found:
            return found
        views = {name: self.lookups(name) for name in self.simulation.names}
        children = {name: self.children(name) for name in self.simulation.names}
        members = {name: self.members(name) for name in self.simulation.names}
        return (
            checkers.names_resolve(NAMED, alive, views)
            + checkers.equal_views("children", children)
            + checkers.equal_views("groups", {**members, "alive": grouped(alive)})
        )

    def peers(self, name: str) -> list[str]:
        return self.simulation.node(name).nodes()

    def alive(self) -> dict[str, list[Pid]]:
        """The live workers, from the process tables."""
        found: dict[str, list[Pid]] = {}
        for name in self.simulation.running:
            scheduler = self.simulation.node(name).scheduler
            for pid in scheduler.pids():
                server = scheduler.server_of(pid)
                if isinstance(server, Worker):
                    found.setdefault(server.worker_id, []).append(pid)
        return found

    def lookups(self, name: str) -> dict[Hashable, Pid | None]:
        def look() -> dict[Hashable, Pid | None]:
            found = ((worker_id, names.lookup(worker_id)) for worker_id in NAMED)
            return {worker_id: entry and entry[0] for worker_id, entry in found}

        return self.simulation.at(name, look)

    def children(self, name: str) -> object:
        return self.simulation.at(name, workers.which_children)

    def members(self, name: str) -> dict[str, list[Pid]]:
        def look() -> dict[str, list[Pid]]:
            return {group: sorted(groups.get_members(group)) for group in GROUPS}

        return self.simulation.at(name, look)


def grouped(alive: dict[str, list[Pid]]) -> dict[str, list[Pid]]:
    """The members of each group, by what its workers were told."""
    found: dict[str, list[Pid]] = {group: [] for group in GROUPS}
    for worker_id, pids in alive.items():
        found[group_of(worker_id)] += pids
    return {group: sorted(pids) for group, pids in found.items()}


def is_down(entry: Entry) -> bool:
    return entry.event.startswith("node_down")


def summary(view: dict[Hashable, Pid | None]) -> str:
    """How many names lead to which node."""
    owners = Counter(short(pid.node) for pid in view.values() if pid is not None)
    return " ".join(f"{owner}:{count}" for owner, count in sorted(owners.items()))


def world(seed: int) -> Simulation:
    """The nodes of ``seed``, none started, and the climate it brings."""
    conditions = random.Random(f"climate {seed}").choice(CLIMATES)
    return Simulation(seed, NODES, timing=TIMING, conditions=conditions)


def run_seed(seed: int, prepare: Callable[[Simulation], None] = lambda _: None) -> str:
    """Run one seed; return the digest of its trace."""
    with world(seed) as simulation:
        prepare(simulation)
        Scenario(simulation).run()
        return simulation.trace.digest()


if __name__ == "__main__":
    with world(int(sys.argv[1])) as simulation:
        Scenario(simulation).run()
        print(simulation.trace.tail(100_000))
        print(simulation.trace.digest())
