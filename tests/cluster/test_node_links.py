"""Nodes in OS processes of their own, on loopback: they meet, break, stall, leave and come back."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.node_process import NodeProcess, free_name
from zmqcluster.discovery.local import listing
from zmqcluster.runtime.timing import Timing

pytestmark = pytest.mark.cluster

SILENCE_S = Timing.local().silence_ms / 1000
DOWN_S_MAX = 1.0  # for what a kernel tells at once, on a busy machine
Start = Callable[..., NodeProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts nodes that share a run directory, and kills what is left of them."""
    started: list[NodeProcess] = []

    def start(name: str, **options: str) -> NodeProcess:
        node = NodeProcess(name, tmp_path, **options)
        started.append(node)
        return node

    yield start
    for node in started:
        node.__exit__(None, None, None)


@pytest.fixture
def pair(start: Start) -> tuple[NodeProcess, NodeProcess]:
    a, b = start(free_name("a")), start(free_name("b"))
    assert a.ask(f"connect {b.name}") == "True"
    a.expect("up")
    b.expect("up")
    return a, b


def test_connect_then_both_list_each_other_and_again_is_no_event(pair: tuple[NodeProcess, NodeProcess]) -> None:
    """Case NODE-01."""
    a, b = pair
    assert (a.ask("nodes"), b.ask("nodes")) == (b.name, a.name)
    assert a.ask(f"connect {b.name}") == a.ask(f"connect {a.name}") == "True"
    assert (a.events(), b.events()) == (["up b"], ["up a"])


def test_another_cookie_then_false_soon_and_logged_and_no_event(start: Start) -> None:
    """Case NODE-02."""
    a, b = start(free_name("a"), cookie="another"), start(free_name("b"))
    began_s = time.monotonic()
    assert a.ask(f"connect {b.name}") == "False"
    assert time.monotonic() - began_s < 3
    assert (a.ask("nodes"), b.ask("nodes")) == ("", "")
    assert (a.events(), b.events()) == ([], [])
    assert "cookie" in a.log() and "refused a connection" in b.log()


def test_kill_in_a_flood_then_up_first_and_down_last_and_no_gap(start: Start) -> None:
    """Case NODE-07."""
    a, b = start(free_name("a")), start(free_name("b"))
    b.tell(f"flood {a.name} 100000000")
    a.expect("message 1")
    b.kill()
    a.expect("down", DOWN_S_MAX)
    a.ask("nodes")
    told = [line.split(" ")[0] for line in a.lines]
    assert told == ["ready", "up", "message", "down", "="]
    assert a.events() == ["up b", "down b connection_closed"]


def test_killed_and_restarted_under_its_name_then_up_down_up(
    pair: tuple[NodeProcess, NodeProcess], start: Start
) -> None:
    """Cases NODE-08, NODE-16: the name is free at once."""
    a, b = pair
    b.kill()
    again = start(b.name)
    assert again.ask(f"connect {a.name}") == "True"
    a.expect("up")
    assert a.events() == ["up b", "down b connection_closed", "up b"]


def test_same_name_twice_then_the_second_fails_to_start(pair: tuple[NodeProcess, NodeProcess], start: Start) -> None:
    """Case NODE-16."""
    a, b = pair
    start(b.name, expects="failed NameInUse")
    assert a.ask("nodes") == b.name and a.events() == ["up b"]


def test_stopped_by_a_signal_then_silence_and_the_session_is_over_for_both(
    pair: tuple[NodeProcess, NodeProcess],
) -> None:
    """Case NODE-10, first part."""
    a, b = pair
    began_s = time.monotonic()
    b.signal(signal.SIGSTOP)
    try:
        assert a.expect("down").endswith("silence")
        assert SILENCE_S * 0.7 < time.monotonic() - began_s < SILENCE_S + 1.0
    finally:
        b.signal(signal.SIGCONT)
    b.expect("down")
    assert a.ask("nodes") == ""


def test_blocked_loop_then_it_is_not_taken_for_dead(pair: tuple[NodeProcess, NodeProcess]) -> None:
    """Case NODE-10, last part: beats do not wait for the loop."""
    a, b = pair
    b.ask(f"block {4 * SILENCE_S}")
    assert b.ask("nodes") == a.name
    assert a.ask("nodes") == b.name
    assert a.events() == ["up b"] and b.events() == ["up a"]
    assert "has not turned" in a.log()


@pytest.mark.parametrize("how", ["stop", "SIGTERM"])
def test_leave_then_left_and_what_was_sent_has_arrived(how: str, pair: tuple[NodeProcess, NodeProcess]) -> None:
    """Case F02."""
    a, b = pair
    b.tell(f"flood {a.name} 20000")
    a.expect("message 1")
    a.expect("message 20000")
    if how == "stop":
        assert b.ask("stop") == "stopped"
    else:
        b.signal(signal.SIGTERM)
    assert a.expect("down").endswith("left")


def test_disconnect_then_both_are_told_and_the_next_use_connects_again(pair: tuple[NodeProcess, NodeProcess]) -> None:
    a, b = pair
    assert a.ask(f"disconnect {b.name}") == "True"
    a.expect("down")
    b.expect("down")
    b.tell(f"flood {a.name} 10")
    a.expect("message 10")
    b.expect("up")
    assert a.events() == ["up b", "down b disconnect", "up b"]
    assert b.events() == ["up a", "down a connection_closed", "up a"]


def test_local_topology_then_a_mesh_without_any_port_or_list(start: Start, tmp_path: Path) -> None:
    nodes = [start(f"{name}@127.0.0.1", topology="local") for name in "abc"]
    for node in nodes:
        while len(node.events()) < 2:
            node.expect("up")
    nodes[0].kill()
    nodes[1].expect("down", DOWN_S_MAX)
    nodes[2].expect("down", DOWN_S_MAX)
    again = start("a@127.0.0.1", topology="local")
    again.expect("up")
    again.expect("up")
    assert [(entry.name[0], entry.is_alive) for entry in listing(tmp_path)] == [("a", True), ("b", True), ("c", True)]
    assert [node.events() for node in nodes[1:]] == [
        [f"up {first}", f"up {second}", "down a connection_closed"]
        for first, second in [sorted_events(node) for node in nodes[1:]]
    ]


def sorted_events(node: NodeProcess) -> tuple[str, str]:
    """Who came up first and second: either order is right."""
    first, second = (event.removeprefix("up ") for event in node.events()[:2])
    return first, second


def test_static_topology_then_connected_again_after_a_kill(start: Start) -> None:
    names = [free_name("a"), free_name("b")]
    a, b = (start(name, topology=",".join(names)) for name in names)
    a.expect("up")
    b.expect("up")
    b.kill()
    a.expect("down", DOWN_S_MAX)
    start(names[1])
    a.expect("up")
    assert a.events() == ["up b", "down b connection_closed", "up b"]
