"""The simulation as a tool: what it runs, what it refuses, and how it tells of a failure."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from zmqcluster.errors import ConfigError, UsageError
from zmqcluster.ids import Pid
from zmqcluster.runtime.process import receive
from zmqcluster.runtime.process import self as this_process
from zmqcluster.testing import Simulation, note


@pytest.fixture
def pair() -> Iterator[Simulation]:
    with Simulation(seed=1, nodes=["left", "right"]) as simulation:
        yield simulation


async def asked_who_i_am() -> Pid:
    return this_process()


async def waiting() -> None:
    await receive()


def test_run_on_when_it_returns_then_its_result_and_its_time(pair: Simulation) -> None:
    pair.start("left")
    assert pair.run_on("left", asked_who_i_am).node == pair.full_name("left") == "left@10.0.0.1:7100"


def test_run_on_when_it_raises_then_so_does_the_call(pair: Simulation) -> None:
    async def failing() -> None:
        raise LookupError("no such thing")

    pair.start("left")
    with pytest.raises(LookupError, match="no such thing"):
        pair.run_on("left", failing)


def test_run_on_when_it_takes_too_long_then_assertion_error(pair: Simulation) -> None:
    pair.start("left")
    with pytest.raises(AssertionError, match="within 50 virtual ms"):
        pair.run_on("left", waiting, within_ms=50)


def test_main_when_the_place_is_restarted_then_it_runs_again_in_a_new_incarnation(pair: Simulation) -> None:
    seen: list[int] = []

    async def main() -> None:
        seen.append(this_process().incarnation)

    pair.start("left", main)
    pair.run_ms(1)
    pair.crash("left")
    assert pair.running == ()
    pair.restart("left")
    pair.run_ms(1)
    assert (seen, pair.running) == ([1, 2], ("left",))


def test_crash_then_no_line_of_the_node_runs_again(pair: Simulation) -> None:
    seen: list[str] = []

    async def main() -> None:
        try:
            await receive(timeout_s=0.1)
        finally:
            seen.append("the dead act")

    pair.start("left", main)
    pair.run_ms(10)
    pair.crash("left")
    pair.run_ms(1000)
    assert seen == []
    assert [entry.event for entry in pair.trace.of("left")] == ["start", "crash"]


def test_note_when_a_process_makes_it_then_it_is_in_the_trace(pair: Simulation) -> None:
    async def main() -> None:
        note("here I am")

    pair.start("left", main)
    pair.run_ms(1)
    assert [(entry.node, entry.event) for entry in pair.trace.entries][1:] == [("left", "here I am")]


@pytest.mark.parametrize("method", ["node", "crash", "stop"])
def test_place_where_no_node_runs_then_usage_error(pair: Simulation, method: str) -> None:
    with pytest.raises(UsageError, match="no node runs at 'left'"):
        getattr(pair, method)("left")


def test_place_that_is_not_there_or_taken_then_usage_error(pair: Simulation) -> None:
    with pytest.raises(UsageError, match="there are left, right"):
        pair.start("middle")
    pair.start("left")
    with pytest.raises(UsageError, match="already"):
        pair.start("left")


@pytest.mark.parametrize("count", [0, 27])
def test_nodes_when_too_few_or_too_many_then_config_error(count: int) -> None:
    with pytest.raises(ConfigError, match="1 to 26 nodes"):
        Simulation(nodes=count)


def test_failure_then_it_carries_the_last_value_the_trace_and_the_replay_line() -> None:
    with pytest.raises(AssertionError, match=r"within 100 virtual ms; last value: 0") as failed:  # noqa: SIM117
        with Simulation(seed=42) as simulation:
            simulation.start("a")
            simulation.eventually(lambda: len(simulation.node("a").nodes()), within_ms=100)
    note = failed.value.__notes__[-1]
    assert "a            start" in note
    assert note.endswith(
        "replay: ZMQCLUSTER_SEED=42 python -m pytest tests/unit/test_simulation.py"
        " -k test_failure_then_it_carries_the_last_value_the_trace_and_the_replay_line"
    )


def test_holds_when_violations_stay_then_they_are_listed(pair: Simulation) -> None:
    with pytest.raises(AssertionError, match="1 violations after 20 virtual ms:\nw1: lost"):
        pair.holds(lambda: ["w1: lost"], within_ms=20)
