"""Every checker lets a healthy cluster pass, and bites on each planted bug."""

from __future__ import annotations

import random

import pytest

from zmqcluster.errors import ConfigError
from zmqcluster.ids import Pid
from zmqcluster.testing import checkers
from zmqcluster.testing.network import Conditions, SeededFaults
from zmqcluster.testing.trace import Entry, Trace

P1, P2, P3 = Pid("a", 1, 1), Pid("b", 1, 2), Pid("b", 1, 3)
RUNNING = {"w1": [P1], "w2": [P2]}
VIEWS = {"a": {"w1": P1, "w2": P2}, "b": {"w1": P1, "w2": P2}}
MESH = {"a": ["b", "c"], "b": ["a", "c"], "c": ["a", "b"]}


def test_one_process_per_id_when_it_holds_then_nothing() -> None:
    assert checkers.one_process_per_id(["w1", "w2"], RUNNING) == []


@pytest.mark.parametrize(
    ("running", "problem"),
    [
        ({"w1": [P1]}, "w2: no process runs"),
        ({"w1": [P1], "w2": []}, "w2: no process runs"),
        ({**RUNNING, "w2": [P2, P3]}, "w2: 2 processes run"),
        ({**RUNNING, "w3": [P3]}, "w3: runs at"),
    ],
    ids=["lost", "empty", "doubled", "orphan"],
)
def test_one_process_per_id_when_a_bug_is_planted_then_it_bites(running: dict[str, list[Pid]], problem: str) -> None:
    assert [each[: len(problem)] for each in checkers.one_process_per_id(["w1", "w2"], running)] == [problem]


def test_names_resolve_when_it_holds_then_nothing() -> None:
    assert checkers.names_resolve(["w1", "w2"], RUNNING, VIEWS) == []


@pytest.mark.parametrize(
    ("answer", "problem"), [(None, "w2: unknown at b"), (P3, "w2: at b it leads to")], ids=["lost", "dead pid"]
)
def test_names_resolve_when_a_bug_is_planted_then_it_bites(answer: Pid | None, problem: str) -> None:
    views = {**VIEWS, "b": {"w1": P1, "w2": answer}}
    assert [each[: len(problem)] for each in checkers.names_resolve(["w1", "w2"], RUNNING, views)] == [problem]


def test_full_mesh_when_it_holds_then_nothing() -> None:
    assert checkers.full_mesh(MESH) == []


@pytest.mark.parametrize(
    ("seen", "problem"),
    [(["a"], "b: not connected to c"), (["a", "c", "z"], "b: connected to z, which is not there")],
    ids=["missing", "ghost"],
)
def test_full_mesh_when_a_bug_is_planted_then_it_bites(seen: list[str], problem: str) -> None:
    assert checkers.full_mesh({**MESH, "b": seen}) == [problem]


def test_equal_views_when_one_differs_then_it_is_named() -> None:
    assert checkers.equal_views("children", {"a": [1], "b": [1]}) == []
    assert checkers.equal_views("children", {"a": [1], "b": [2]}) == ["children: b and a differ"]


def test_only_connected_names_when_a_view_keeps_a_lost_node_then_it_bites() -> None:
    assert checkers.only_connected_names({"a": ["b"], "b": ["a"]}, VIEWS) == []
    problems = checkers.only_connected_names({"a": [], "b": ["a"]}, VIEWS)
    assert problems == ["w2: at a it leads to b, which is not connected"]


def entries(*events: str) -> list[Entry]:
    return [Entry(float(at_ms), "a", event) for at_ms, event in enumerate(events)]


def test_alternating_when_it_holds_then_nothing() -> None:
    healthy = entries("start", "node_up b", "node_up c", "node_down b", "node_up b", "start", "node_up b")
    assert checkers.alternating(healthy) == []


@pytest.mark.parametrize(
    "events",
    [("node_up b", "node_up b"), ("node_down b",), ("node_up b", "node_down b", "node_down b")],
    ids=["twice up", "down first", "twice down"],
)
def test_alternating_when_a_bug_is_planted_then_it_bites(events: tuple[str, ...]) -> None:
    problem = f"a: {events[-1].replace(' ', ' of ')} at {len(events) - 1}.0 ms does not alternate"
    assert checkers.alternating(entries(*events)) == [problem]


@pytest.mark.parametrize("numbers", [[1, 3], [1, 1], [2, 1]], ids=["gap", "repeat", "exchange"])
def test_contiguous_when_a_bug_is_planted_then_it_bites(numbers: list[int]) -> None:
    assert checkers.contiguous({"a to b": [5, 6, 7]}) == []
    assert checkers.contiguous({"a to b": numbers}) == [f"a to b: {numbers[1]} follows {numbers[0]}"]


# --- trace and weather


def test_trace_when_one_event_differs_then_so_does_the_digest() -> None:
    now_ms = 0.0
    first, second = Trace(lambda: now_ms), Trace(lambda: now_ms)
    for trace in (first, second):
        trace.add("a", "start")
    assert first.digest() == second.digest()
    second.add("a", "crash")
    assert first.digest() != second.digest()
    assert (second.tail(1), second.of("b")) == ("     0.000 ms  a            crash", [])


def test_weather_when_the_seed_is_equal_then_so_is_every_answer() -> None:
    def answers(seed: int) -> list[object]:
        faults = SeededFaults(random.Random(seed), Conditions())
        return [
            ask()
            for _ in range(50)
            for ask in (
                lambda: faults.latency_ms("a", "b"),
                lambda: faults.gossip_ms("a", "b"),
                faults.outlives_cut,
                faults.gives_up_ms,
                lambda: faults.kept(10),
            )
        ]

    assert answers(1) == answers(1)
    assert answers(1) != answers(2)
    assert None in answers(1)


@pytest.mark.parametrize("wrong", [{"gossip_loss": 1.5}, {"latency_ms": (3, 1)}, {"retry_ms": (-1, 1)}])
def test_conditions_when_impossible_then_config_error(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Conditions(**wrong)  # type: ignore[arg-type]
