"""Whole nodes under single faults: who sees whom, how soon, and what becomes of messages on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from zmqcluster.runtime.events import NodeDown, NodeUp
from zmqcluster.runtime.process import receive, register, send, spawn
from zmqcluster.runtime.process import self as this_process
from zmqcluster.runtime.timing import Timing
from zmqcluster.testing import Conditions, checkers
from zmqcluster.testing.simulation import Simulation

TIMING = Timing.local()
TOLD_MS = 300  # what the network adds to a silence, and the ticks
JOIN_MS_MAX = 10_000


@pytest.fixture
def trio() -> Iterator[Simulation]:
    # No kernel gives a connection up: what is noticed here is noticed by the nodes.
    with Simulation(seed=1, nodes=3, conditions=Conditions(gives_up=0)) as simulation:
        for name in simulation.names:
            simulation.start(name)
        simulation.eventually(lambda: mesh(simulation) == [], JOIN_MS_MAX)
        yield simulation
        assert checkers.alternating(simulation.trace.entries) == []


def mesh(simulation: Simulation) -> list[str]:
    return checkers.full_mesh(
        {simulation.full_name(name): simulation.node(name).nodes() for name in simulation.running}
    )


def sees(simulation: Simulation, name: str) -> str:
    """The peers of a node, by their short names."""
    return "".join(peer[0] for peer in simulation.node(name).nodes())


def views(simulation: Simulation) -> list[str]:
    return [sees(simulation, name) for name in simulation.running]


def test_cut_then_both_sides_are_down_within_the_silence_and_up_after_the_heal(trio: Simulation) -> None:
    trio.cut("a", "bc")
    trio.run_ms(TIMING.silence_ms - TIMING.beat_ms - 100)
    assert views(trio) == ["bc", "ac", "ab"]
    trio.run_ms(TIMING.beat_ms + 100 + TOLD_MS)
    assert views(trio) == ["", "c", "b"]
    trio.run_ms(20_000)
    assert views(trio) == ["", "c", "b"]
    trio.heal()
    trio.eventually(lambda: mesh(trio) == [], JOIN_MS_MAX)


def test_crash_then_down_at_once_and_up_again_after_a_restart(trio: Simulation) -> None:
    trio.crash("a")
    trio.run_ms(30)
    assert views(trio) == ["c", "b"]
    trio.restart("a")
    trio.eventually(lambda: mesh(trio) == [], JOIN_MS_MAX)
    assert trio.node("a").incarnation == 2


def test_stop_then_it_leaves_in_order_and_nobody_waits(trio: Simulation) -> None:
    trio.stop("a")
    trio.run_ms(10)
    assert views(trio) == ["c", "b"]


def test_stall_then_down_after_the_silence_and_up_after_it_resumes(trio: Simulation) -> None:
    trio.stall("a")
    trio.run_ms(TIMING.silence_ms + TOLD_MS)
    assert [sees(trio, "b"), sees(trio, "c")] == ["c", "b"]
    trio.run_ms(3_000)
    trio.resume("a")
    trio.eventually(lambda: mesh(trio) == [], JOIN_MS_MAX)


def test_block_of_a_loop_then_nobody_is_taken_for_dead(trio: Simulation) -> None:
    trio.block("a")
    trio.run_ms(3 * TIMING.silence_ms)
    assert [sees(trio, "b"), sees(trio, "c")] == ["ac", "ab"]
    trio.resume("a")
    trio.run_ms(3 * TIMING.silence_ms)
    assert views(trio) == ["bc", "ac", "ab"]
    assert not [entry for entry in trio.trace.entries if entry.event.startswith("node_down")]


def test_one_way_cut_then_both_sides_agree_and_do_not_flap(trio: Simulation) -> None:
    """Case P07: A hears B, B does not hear A."""
    trio.cut("a", "b", one_way=True)
    trio.run_ms(2 * TIMING.silence_ms)
    assert views(trio) == ["c", "c", "ab"]
    flaps = len(trio.trace.entries)
    trio.run_ms(10 * TIMING.silence_ms)
    assert len(trio.trace.entries) - flaps <= 2 * 10
    trio.heal()
    trio.eventually(lambda: mesh(trio) == [], JOIN_MS_MAX)


def test_reset_of_one_connection_then_down_on_both_sides_and_a_new_session(trio: Simulation) -> None:
    trio.reset("a", "b")
    trio.run_ms(1_000)
    assert views(trio) == ["bc", "ac", "ab"]
    downs = sorted((entry.node, entry.event) for entry in trio.trace.entries if "down" in entry.event)
    assert downs == [("a", "node_down b"), ("b", "node_down a")]


async def numbering(target: tuple[str, str], pause_s: float = 0.01) -> None:
    number = 0
    while True:
        await asyncio.sleep(pause_s)
        send(target, ("number", number))
        number += 1


@pytest.mark.parametrize("seed", range(20))
def test_messages_under_faults_then_each_session_brings_a_run_without_gap(seed: int) -> None:
    """At most once and in order, with what is lost lost at the ends of sessions only."""
    sessions: dict[str, list[int]] = {}

    with Simulation(seed, nodes=2) as simulation:

        async def listening() -> None:
            register("listener")
            simulation.node("b").monitor_nodes(this_process())
            count = 0
            while True:
                match await receive():
                    case NodeUp():
                        count += 1
                        sessions[f"session {count}"] = []
                    case NodeDown():
                        pass
                    case ("number", number):
                        sessions[f"session {count}"].append(number)

        async def speaking() -> None:
            spawn(numbering, ("listener", simulation.full_name("b")))

        simulation.start("b", listening)
        simulation.start("a", speaking)
        for _ in range(6):
            simulation.run_ms(simulation.chance.randint(100, 1_500))
            simulation.cut("a", "b", one_way=simulation.chance.random() < 0.3)
            simulation.run_ms(simulation.chance.randint(10, 2_500))
            simulation.heal()
        simulation.eventually(lambda: mesh(simulation) == [], JOIN_MS_MAX)
        simulation.run_ms(500)
        assert checkers.alternating(simulation.trace.entries) == []
    assert checkers.contiguous(sessions) == []
    assert len(sessions) > 1 and list(sessions.values())[-1]


def test_one_way_cut_when_the_deaf_side_cannot_say_so_then_the_other_learns_it_from_its_kernel(
    trio: Simulation,
) -> None:
    """A hears B, B has ended the session and its own connection is gone: nobody tells A, which sends into nothing."""
    trio.cut("a", "b", one_way=True)
    trio.reset("b", "a")
    trio.run_ms(TIMING.silence_ms + TOLD_MS)
    assert "a" not in sees(trio, "b")
    trio.run_ms(TIMING.verify_ms + TIMING.silence_ms)
    assert views(trio) == ["c", "c", "ab"]
