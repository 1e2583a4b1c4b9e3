"""A node dies while hundreds of ``ensure`` are on their way: each is answered, and each worker runs once."""

from __future__ import annotations

import asyncio
import random
from functools import partial

import pytest
from scenario import TIMING, Worker, main, names, workers

from zmqcluster.ids import Pid
from zmqcluster.runtime.process import spawn
from zmqcluster.testing import checkers
from zmqcluster.testing.simulation import Simulation

IDS = [f"w{number:03}" for number in range(200)]
SETTLE_MS = 8_000


def is_joined(simulation: Simulation, name: str) -> bool:
    return len(simulation.node(name).nodes()) == 2


def running_workers(simulation: Simulation) -> dict[str, list[Pid]]:
    found: dict[str, list[Pid]] = {}
    for name in simulation.running:
        scheduler = simulation.node(name).scheduler
        for pid in scheduler.pids():
            server = scheduler.server_of(pid)
            if isinstance(server, Worker):
                found.setdefault(server.worker_id, []).append(pid)
    return found


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("seed", range(8))
def test_node_dies_while_workers_are_ensured(seed: int) -> None:
    chance, answers = random.Random(seed), {}

    async def each(worker_id: str) -> None:
        answers[worker_id] = await workers.ensure(worker_id, Worker, worker_id, name=names.via(worker_id))

    async def ask(ids: list[str]) -> None:
        for worker_id in ids:
            spawn(each, worker_id)
            await asyncio.sleep(chance.choice([0, 0, 0, 0, 0.001]))

    with Simulation(seed, 3, timing=TIMING) as simulation:
        first, doomed, other = simulation.names
        for name in simulation.names:
            simulation.start(name, main)
        for name in simulation.names:
            simulation.eventually(partial(is_joined, simulation, name), 10_000)
        simulation.spawn(first, ask, IDS[::2])
        simulation.spawn(other, ask, IDS[1::2])
        simulation.run_ms(chance.randint(0, 80))
        simulation.crash(doomed)
        simulation.run_ms(SETTLE_MS)
        assert sorted(answers) == IDS
        assert checkers.one_process_per_id(IDS, running_workers(simulation)) == []
