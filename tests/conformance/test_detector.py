"""Failure detector and membership: cases F01 to F14 and the states of issue 4, one test each.

T is ``silence_ms``. Where nodes are whole, they are those of production on a virtual clock; where a hundred are needed,
their detectors alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random

import pytest

from tests.support.detectors import Detectors
from zmqcluster import telemetry
from zmqcluster.protocol.broadcasts import Broadcasts, transmits_max
from zmqcluster.protocol.membership import Membership
from zmqcluster.protocol.suspicion import suspicion_ms
from zmqcluster.runtime.timing import Timing
from zmqcluster.testing import Conditions, Simulation, checkers

TIMING = Timing.local()
T = TIMING.silence_ms
TOLD_MS = 60  # two ticks, and the way of a frame
JOIN_MS_MAX = 10_000
STEADY = Conditions(gossip_loss=0.0, gives_up=0.0)  # no kernel gives a connection up: what is noticed, we notice
MEMBERLIST_LAN = {"mult": 4, "max_mult": 6, "probe_ms": 1_000}


def formed(nodes: int, seed: int = 1, conditions: Conditions = STEADY) -> Simulation:
    simulation = Simulation(seed, nodes, conditions=conditions, timing=TIMING)
    for name in simulation.names:
        simulation.start(name)
    simulation.holds(lambda: mesh(simulation), JOIN_MS_MAX)
    return simulation


@pytest.fixture
def five() -> Iterator[Simulation]:
    with formed(5) as simulation:
        yield simulation
        assert checkers.alternating(simulation.trace.entries) == []


def mesh(simulation: Simulation) -> list[str]:
    return checkers.full_mesh(
        {simulation.full_name(name): simulation.node(name).nodes() for name in simulation.running}
    )


def state(simulation: Simulation, name: str, peer: str) -> str:
    return simulation.node(name).state(simulation.full_name(peer))


def downs(simulation: Simulation) -> list[tuple[str, str]]:
    return [(each.node, each.event[-1]) for each in simulation.trace.entries if each.event.startswith("node_down")]


def test_f_01_idle_nodes_and_one_is_killed_then_every_survivor_is_told_once(five: Simulation) -> None:
    """The kernel tells at once; without it, within T."""
    reasons = watched_reasons(five)
    five.crash("a")
    five.run_ms(TOLD_MS)
    assert sorted(downs(five)) == [(name, "a") for name in "bcde"]
    five.run_ms(3 * T)
    assert sorted(downs(five)) == [(name, "a") for name in "bcde"]
    assert set(reasons) == {"connection_closed"}


def test_f_01_cable_pulled_then_every_survivor_is_told_once_within_t(five: Simulation) -> None:
    reasons = watched_reasons(five)
    five.cut("a", "bcde")
    five.run_ms(T - TIMING.beat_ms - TOLD_MS)
    assert downs(five) == []
    five.run_ms(TIMING.beat_ms + 2 * TOLD_MS)
    assert sorted(each for each in downs(five) if each[1] == "a") == [(name, "a") for name in "bcde"]
    five.run_ms(3 * T)
    assert len(downs(five)) == 8 and set(reasons) == {"silence"}


def watched_reasons(simulation: Simulation, names: str = "abcde") -> list[str]:
    """The reasons of every nodedown at these nodes from now on."""
    reasons: list[str] = []
    for name in names:
        simulation.node(name).watch(lambda event: reasons.append(event.reason))  # type: ignore[union-attr]
    return reasons


def test_f_02_graceful_leave_then_left_and_neither_doubts_nor_calls(five: Simulation) -> None:
    doubts = heard_events("zmqcluster.node.suspect")
    reasons = watched_reasons(five, "bcde")
    five.stop("a")
    five.run_ms(10)
    assert sorted(each for each in downs(five) if each[1] == "a") == [(name, "a") for name in "bcde"]
    assert reasons == ["left"] * 4
    five.run_ms(10 * T)
    assert doubts == []
    assert not any(five.node(name).is_wanted(five.full_name("a")) for name in "bcde")


def heard_events(event: str) -> list[str]:
    """The nodes that tell of ``event`` from now on; the handler goes with the test's telemetry."""
    told: list[str] = []
    telemetry.attach(f"test {id(told)}", event, lambda _, fields: told.append(fields["node"][0]))
    return told


@pytest.fixture(autouse=True)
def detached() -> Iterator[None]:
    yield
    for event in ("suspect", "refuted", "stalled", "resumed"):
        for handler_id in list(telemetry._handlers.get(f"zmqcluster.node.{event}", {})):
            telemetry.detach(handler_id, f"zmqcluster.node.{event}")


@pytest.mark.parametrize("nodes", [10, 50, 100, 1_000, 10_000])
def test_f_04_confirmations_then_the_time_out_falls_by_the_formula(nodes: int) -> None:
    """With memberlist's own numbers, and never below min; ours are T - suspect_ms and 1.5 T - suspect_ms."""
    mult, max_mult, probe_ms = MEMBERLIST_LAN.values()
    min_ms = round(mult * max(1.0, math.log10(nodes)) * probe_ms)
    max_ms, needed = max_mult * min_ms, mult - 2
    for count in range(needed + 3):
        expected = max_ms - (max_ms - min_ms) * math.log(count + 1) / math.log(needed + 1)
        assert suspicion_ms(count, needed, min_ms=min_ms, max_ms=max_ms) == max(min_ms, round(expected))


def test_f_04_accuser_then_it_does_not_count_itself() -> None:
    """A suspects B and asks C, who is asked by nobody else: only C's word is a confirmation."""
    detectors = Detectors("abc")
    detectors.cut("a", "b")
    detectors.run_ms(2 * T)
    assert detectors.given_up("a") == {"b": detectors.timing.unreachable_ms + detectors.timing.tick_ms}


def test_f_05_nobody_to_ask_then_the_least_time_out_at_once() -> None:
    assert suspicion_ms(0, 0, min_ms=300, max_ms=600) == 300
    detectors = Detectors("ab")
    detectors.cut("a", "b")
    detectors.run_ms(2 * T)
    assert detectors.given_up("a") == {"b": T + TIMING.tick_ms}


def test_f_07_paused_node_then_its_patience_grows_and_it_accuses_nobody() -> None:
    """Whatever it missed in 5 s: its score is 7 of 7, and comes back to 0."""
    detectors = Detectors("abcde")
    detectors.run_ms(1_000)
    detectors.pause("a")
    detectors.run_ms(5_000)
    detectors.resume("a")
    assert detectors.scores()["a"] == 7
    detectors.run_ms(8 * T)
    assert detectors.given_up("a") == {} and detectors.scores()["a"] == 0


def test_f_08_one_percent_with_stalls_then_no_healthy_node_is_given_up() -> None:
    """A detector of silence alone gives up all the others when it wakes; ours nobody."""
    wan = Timing.wan()
    plain, ours = Detectors.of_count(100, timing=wan, forgives=False), Detectors.of_count(100, timing=wan)
    for detectors in (plain, ours):
        detectors.run_ms(wan.beat_ms)
        (stalled,) = Random(8).sample(detectors.names, 1)
        detectors.pause(stalled)
        detectors.run_ms(3 * wan.silence_ms // 2)
        detectors.resume(stalled)
        detectors.run_ms(3 * wan.beat_ms)
    healthy = [len(detectors.given_up(stalled)) for detectors in (plain, ours)]
    assert healthy == [99, 0]


def test_f_10_dead_node_then_it_is_looked_for_and_found_when_it_lives() -> None:
    """Whoever was taken for dead comes back when it lives; who went for good costs a try now and then."""
    with formed(3) as simulation:
        simulation.stall("a")
        simulation.run_ms(2 * T)
        assert sorted(downs(simulation)) == [("b", "a"), ("c", "a")]
        simulation.run_ms(30_000)
        simulation.resume("a")
        simulation.holds(lambda: mesh(simulation), 2 * T)


def test_f_11_second_node_of_a_name_elsewhere_then_refused_while_the_first_lives() -> None:
    """See NODE-03 and NODE-17: here, that a silence frees the name."""
    with formed(2) as simulation:
        links = simulation.node("b").links
        assert links is not None
        simulation.cut("a", "b")
        simulation.run_ms(T + 2 * TOLD_MS)
        assert simulation.node("b").nodes() == []
        simulation.crash("a")
        simulation.restart("a")
        simulation.heal()
        simulation.holds(lambda: mesh(simulation), JOIN_MS_MAX)
        assert links.up[simulation.full_name("a")].incarnation == 2


@pytest.mark.parametrize("nodes", [3, 9, 10, 100, 1_000])
def test_f_13_broadcast_then_it_leaves_a_node_so_often_and_the_newest_first(nodes: int) -> None:
    broadcasts = Broadcasts(mult=4)
    broadcasts.add("x", b"old news of x")
    broadcasts.add("y", b"news of y")
    broadcasts.add("x", b"news of x")
    told = [frame for _ in range(100) for frame in broadcasts.take(nodes, 1)]
    limit = 4 * math.ceil(math.log10(nodes + 1))
    assert limit == transmits_max(nodes, 4)
    assert sorted(told) == [b"news of x"] * limit + [b"news of y"] * limit
    assert told[:4] == [b"news of x", b"news of y"] * 2


def test_f_14_idle_cluster_then_a_node_says_the_same_however_many_there_are() -> None:
    """One beat per interval, and no probe. A departure: the beat goes to each peer, so a wire carries N - 1 of them."""
    for count in (3, 100):
        detectors = Detectors.of_count(count)
        detectors.run_ms(6 * TIMING.beat_ms)
        assert detectors.published_count == 6 * count
        assert detectors.sent_count == 0


# --- states


def test_states_then_up_stalled_suspect_and_down_are_seen(five: Simulation) -> None:
    told = {event: heard_events(f"zmqcluster.node.{event}") for event in ("stalled", "resumed", "suspect", "refuted")}
    assert state(five, "b", "a") == state(five, "a", "a") == "up"
    five.block("a")
    five.run_ms(3 * TIMING.beat_ms)
    assert state(five, "b", "a") == "stalled"
    five.resume("a")
    five.run_ms(2 * TIMING.beat_ms)
    assert state(five, "b", "a") == "up"
    five.cut("a", "bcde")
    five.run_ms(TIMING.suspect_ms + TOLD_MS)
    assert state(five, "b", "a") == "suspect"
    five.heal()
    five.run_ms(TIMING.suspect_ms + 500)
    assert state(five, "b", "a") == "up"
    five.crash("a")
    five.run_ms(TOLD_MS)
    assert state(five, "b", "a") == "down" == five.node("b").state("stranger@10.0.0.99:7100")
    assert {event: set(nodes) for event, nodes in told.items()} == {
        "stalled": set("bcde"),
        "resumed": set("bcde"),
        "suspect": set("abcde"),
        "refuted": set("abcde"),
    }


def test_loop_that_hangs_for_long_then_stalled_and_never_down(five: Simulation) -> None:
    five.block("a")
    five.run_ms(5_000)
    assert {state(five, name, "a") for name in "bcde"} == {"stalled"}
    five.resume("a")
    five.run_ms(3 * T)
    assert downs(five) == []


def test_stall_shows_within_two_beats(five: Simulation) -> None:
    five.block("a")
    five.run_ms(2 * TIMING.beat_ms + TIMING.tick_ms + 10)
    assert {state(five, name, "a") for name in "bcde"} == {"stalled"}


def test_stopped_node_then_down_within_t_and_a_tenth() -> None:
    """SIGSTOP: neither loop nor beats. The last beat was at most an interval before."""
    for seed in range(5):
        with formed(3, seed) as simulation:
            simulation.run_ms(37 * seed)
            simulation.stall("a")
            began_ms = simulation.loop.now_ms
            simulation.eventually(lambda: len(downs(simulation)) == 2, 2 * T, step_ms=5)
            assert T - TIMING.beat_ms - TOLD_MS < simulation.loop.now_ms - began_ms <= 1.1 * T


def test_paused_node_that_wakes_then_it_gives_up_nobody_who_lives() -> None:
    with formed(3) as simulation:
        simulation.stall("a")
        simulation.run_ms(int(T * 0.8))
        simulation.resume("a")
        simulation.run_ms(3 * T)
        assert downs(simulation) == []


def test_beats_that_are_lost_then_the_link_itself_is_asked_and_nobody_is_given_up() -> None:
    """All gossip and every datagram is lost; what travels on links tells that all live."""
    with formed(3) as simulation:
        simulation.weather(gossip_loss=1.0)
        simulation.run_ms(20 * T)
        assert downs(simulation) == []


def test_data_of_a_silent_peer_then_a_sign_of_life_too() -> None:
    """Whatever became of its beats and answers: who sends messages lives."""
    membership = Detectors("ab").core("a")
    assert isinstance(membership, Membership)
    membership.on_tick(TIMING.suspect_ms + 2 * TIMING.tick_ms)
    membership.on_sign("b", TIMING.suspect_ms + 3 * TIMING.tick_ms)
    assert membership.state("b") == "up"
