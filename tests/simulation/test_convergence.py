"""After any weather, and the last heal, every worker runs once and every name leads to it from everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from scenario import Scenario, Worker, run_seed, world

from zmqcluster.testing.simulation import Simulation

HERE = Path(__file__).parent


@pytest.mark.usefixtures("quiet")
def test_workers_after_faults_and_heal_then_each_runs_once_and_is_found(seeds: Iterable[int]) -> None:
    for seed in seeds:
        assert run_seed(seed)


@pytest.mark.soak
@pytest.mark.usefixtures("quiet")
def test_workers_after_faults_and_heal_soak(soak_seeds: Iterable[int]) -> None:
    for seed in soak_seeds:
        assert run_seed(seed)


def test_one_seed_under_two_hash_seeds_then_one_digest() -> None:
    program = "import scenario; print(scenario.run_seed(17))"
    digests = set()
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        environment["PYTHONPATH"] = os.pathsep.join([str(HERE), str(HERE.parents[1])])
        run = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=True
        )
        digests.add(run.stdout)
    assert len(digests) == 1, digests


def test_seed_when_it_fails_then_the_error_carries_its_replay_line() -> None:
    def plant(simulation: Simulation) -> None:
        simulation.loop.call_later(0.003, lambda: 1 // 0)

    with pytest.raises(ZeroDivisionError) as failed:
        run_seed(7, plant)
    note = failed.value.__notes__[-1]
    assert "replay: ZMQCLUSTER_SEED=7 python -m pytest tests/simulation/test_convergence.py -k test_seed_when" in note
    assert "a            start" in note


@pytest.mark.usefixtures("quiet")
def test_scenario_when_a_worker_is_doubled_by_hand_then_it_is_noticed() -> None:
    """The eyes of the scenario are open: a second process of an id, started behind the supervisor's back, is seen."""
    with world(3) as simulation:
        scenario = Scenario(simulation)
        scenario.run()

        async def behind_its_back() -> None:
            await Worker.start("w07")

        simulation.run_on("a", behind_its_back)
        assert [each[:16] for each in scenario.liveness()] == ["w07: 2 processes"]
