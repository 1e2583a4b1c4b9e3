"""Remote calls and spawns while the network misbehaves: each has one outcome, and nothing runs twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from zmqcluster.core import Down
from zmqcluster.errors import CallTimeout, NoConnectionError
from zmqcluster.exits import NoConnection, NoProcess, Normal
from zmqcluster.otp import erpc
from zmqcluster.runtime.exported import remote
from zmqcluster.runtime.process import monitor, receive, spawn
from zmqcluster.runtime.spawning import spawn_monitor_on
from zmqcluster.testing.simulation import Simulation

ran: Counter[Any] = Counter()
CALLERS = 5
DONE = "done"


@remote
async def run_once(key: Any) -> Any:
    ran[key] += 1
    await asyncio.sleep(0.02)
    return key


async def call_again_and_again(peer: str, name: str, outcomes: dict[Any, Any], stop: list[bool]) -> None:
    number = 0
    while not stop:
        number += 1
        key = (name, number)
        try:
            assert await erpc.call(peer, run_once, key, timeout_s=0.5) == key
            outcomes[key] = DONE
        except (NoConnectionError, CallTimeout) as error:
            outcomes[key] = type(error)
            await asyncio.sleep(0.05)


async def spawn_again_and_again(peer: str, name: str, outcomes: dict[Any, Any], stop: list[bool]) -> None:
    number = 0
    while not stop:
        number += 1
        key = (name, number)
        pid, ref = await spawn_monitor_on(peer, run_once, key)
        down = await receive(Down, timeout_s=60.0)
        assert (down.ref, down.object) == (ref, pid)
        outcomes[key] = DONE if down.reason == Normal() else type(down.reason)
        if down.reason != Normal():
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("seed", range(8))
def test_calls_and_spawns_under_faults_then_one_outcome_each_and_nothing_twice(seed: int) -> None:
    ran.clear()
    outcomes: dict[Any, Any] = {}
    stop: list[bool] = []

    with Simulation(seed, nodes=2) as simulation:
        for name in simulation.names:
            simulation.start(name)

        async def all_of_them() -> Any:
            b = simulation.full_name("b")
            workers = [(call_again_and_again, f"call {n}") for n in range(CALLERS)]
            workers += [(spawn_again_and_again, f"spawn {n}") for n in range(CALLERS)]
            refs = [monitor(spawn(work, b, name, outcomes, stop)) for work, name in workers]
            return [(await receive(lambda message, ref=ref: message.ref == ref)).reason for ref in refs]

        ends: list[Any] = []

        async def main() -> None:
            ends.extend(await all_of_them())

        simulation.spawn("a", main)
        for _ in range(5):
            simulation.run_ms(simulation.chance.randint(50, 1_000))
            simulation.cut("a", "b", one_way=simulation.chance.random() < 0.4)
            simulation.run_ms(simulation.chance.randint(10, 2_000))
            simulation.heal()
            if simulation.chance.random() < 0.3:
                simulation.crash("b")
                simulation.run_ms(simulation.chance.randint(10, 500))
                simulation.restart("b")
        simulation.run_ms(8_000)
        stop.append(True)
        simulation.eventually(lambda: ends, within_ms=70_000)
        assert ends == [Normal()] * 2 * CALLERS
    assert set(ran.values()) <= {1}
    assert all(ran[key] == 1 for key, outcome in outcomes.items() if outcome is DONE)
    assert set(outcomes.values()) <= {DONE, NoConnectionError, CallTimeout, NoConnection, NoProcess}
    assert sum(outcome is DONE for outcome in outcomes.values()) > 50
