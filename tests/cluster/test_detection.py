"""Failure detection among real processes on loopback: hard evidence, stopped processes, loops that hang."""

from __future__ import annotations

import signal
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.node_process import NodeProcess, free_name
from zmqcluster.runtime.timing import Timing

pytestmark = pytest.mark.cluster

T_S = Timing.local().silence_ms / 1000
HANG_S = 5.0
KILLS_COUNT = 5
KILL_S_MAX = 0.1  # 7 ms on a quiet machine, see detect.kill9_ms of the benchmarks
Start = Callable[[str], NodeProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[NodeProcess] = []

    def start(name: str) -> NodeProcess:
        started.append(NodeProcess(name, tmp_path))
        return started[-1]

    yield start
    for node in started:
        node.__exit__(None, None, None)


def test_kill_9_then_its_kernel_tells_at_once(start: Start) -> None:
    a, took_s = start(free_name("a")), []
    for _ in range(KILLS_COUNT):
        peer = start(free_name("b"))
        assert a.ask(f"connect {peer.name}") == "True"
        a.expect("up")
        began_s = time.monotonic()
        peer.kill()
        assert a.expect("down").endswith("connection_closed")
        took_s.append(a.changed_s() - began_s)
    assert statistics.median(took_s) < KILL_S_MAX


def test_stopped_process_then_down_after_the_silence_and_its_state_is_seen(start: Start) -> None:
    a, b = start(free_name("a")), start(free_name("b"))
    assert a.ask(f"connect {b.name}") == "True"
    a.expect("up")
    b.signal(signal.SIGSTOP)
    try:
        began_s = time.monotonic()
        states = []
        while not states or states[-1] != "down":
            states.append(a.ask(f"state {b.name}"))
            time.sleep(0.01)
        assert time.monotonic() - began_s <= 1.1 * T_S + 0.3
        assert list(dict.fromkeys(states)) == ["up", "suspect", "down"]
    finally:
        b.signal(signal.SIGCONT)


def test_loops_that_hang_for_5_s_then_stalled_never_down_and_where_they_hang_is_logged(start: Start) -> None:
    """One computes in Python, one is in a C function that keeps the GIL; a third one looks."""
    a, b, c = (start(free_name(name)) for name in "abc")
    for one, other in ((a, c), (b, c), (a, b)):
        assert one.ask(f"connect {other.name}") == "True"
    a.ask(f"compute {HANG_S}")
    b.ask(f"hold {HANG_S}")
    end_s = time.monotonic() + HANG_S
    states = set()
    time.sleep(3 * T_S)
    while time.monotonic() < end_s - T_S:
        states |= {c.ask(f"state {a.name}"), c.ask(f"state {b.name}")}
        time.sleep(0.1)
    assert states == {"stalled"}
    assert a.ask("nodes").split() == sorted([b.name, c.name]) and b.ask("nodes").split() == sorted([a.name, c.name])
    deadline_s = time.monotonic() + T_S
    while (after := [c.ask(f"state {peer.name}") for peer in (a, b)]) != ["up", "up"]:
        assert time.monotonic() < deadline_s, after
    assert not [event for node in (a, b, c) for event in node.events() if event.startswith("down")]
    assert "in compute" in a.log() and "in hold_the_gil" in b.log()
    assert "has not turned" in a.log() and "turns again" in b.log()
