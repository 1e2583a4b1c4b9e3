"""Functions and processes on a node in another OS process, on loopback, encrypted."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import remote_functions as remote
from tests.support.node_process import free_name
from tests.support.remote_node import COOKIE, remote_node
from tests.support.running import arriving, run_real
from zmqcluster.core import Down, Exit
from zmqcluster.errors import CallTimeout, ClusterError, NoConnectionError, NotExported, RemoteError, RemoteExit
from zmqcluster.exits import Killed, NoConnection
from zmqcluster.otp import erpc
from zmqcluster.otp.requests import abcast
from zmqcluster.runtime.process import receive, send, trap_exits
from zmqcluster.runtime.process import self as this_process
from zmqcluster.runtime.spawning import spawn_link_on, spawn_monitor_on, spawn_on
from zmqcluster.runtime.timing import Timing

pytestmark = pytest.mark.cluster

Peer = tuple[str, "subprocess.Popen[str]"]


@pytest.fixture
def peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Peer]:
    monkeypatch.setenv("ZMQCLUSTER_RUN_DIR", str(tmp_path))
    with remote_node(tmp_path) as started:
        yield started


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return run_real(main, name=free_name("a"), cookie=COOKIE, timing=Timing.local())


async def outcome(node: str, function: Any, *arguments: Any, **keywords: Any) -> Any:
    try:
        return await erpc.call(node, function, *arguments, **keywords)
    except ClusterError as error:
        return error


def test_every_outcome_of_a_call_is_told_apart(peer: Peer) -> None:
    """RPC-04, RPC-05."""
    b, child = peer

    async def main() -> Any:
        calls = [
            (remote.where, ()),
            (remote.fail, ("no",)),
            (remote.leave, ("gone",)),
            (remote.killed, ()),
            (remote.not_exported, ()),
        ]
        outcomes = [await outcome(b, function, *arguments) for function, arguments in calls]
        outcomes.append(await outcome(b, remote.wait_for_ever, timeout_s=0.2))
        waiting = erpc.send_request(b, remote.wait_for_ever)
        assert await outcome(b, remote.add, 1) == 2
        child.kill()
        began_s = time.monotonic()
        with pytest.raises(NoConnectionError):
            await waiting
        return outcomes, time.monotonic() - began_s

    (value, raised, left, killed, refused, late), took_s = run(main)
    assert value == b
    assert isinstance(raised, RemoteError) and "raise ValueError(text)" in raised.trace
    assert isinstance(left, RemoteExit) and (left.reason, left.by_signal) == ("gone", False)
    assert isinstance(killed, RemoteExit) and (killed.reason, killed.by_signal) == (Killed(), True)
    assert isinstance(refused, NotExported) and isinstance(late, CallTimeout)
    assert took_s < 1.0


def test_spawned_linked_and_watched_processes_and_the_kill_of_their_node(peer: Peer) -> None:
    """RPC-01, RPC-02."""
    b, child = peer

    async def main() -> None:
        trap_exits()
        echo = await spawn_on(b, remote.echo, this_process())
        send(echo, "right after")
        assert await receive(timeout_s=10.0) == ("echo", "right after")
        linked = await spawn_link_on(b, remote.wait_for_ever)
        watched, ref = await spawn_monitor_on(b, remote.wait_for_ever)
        soon = await spawn_link_on(b, remote.leave, "soon")
        assert await receive(timeout_s=10.0) == Exit(soon, "soon")
        child.kill()
        lost = [await receive(timeout_s=10.0), await receive(timeout_s=10.0)]
        assert Exit(linked, NoConnection(b)) in lost and Down(ref, watched, NoConnection(b)) in lost

    run(main)


def test_thousands_at_once_then_each_has_its_pid_and_its_result(peer: Peer) -> None:
    b, _ = peer

    async def main() -> None:
        spawned = [spawn_on(b, remote.me) for _ in range(3_000)]
        called = [erpc.send_request(b, remote.add, number) for number in range(1_000)]
        assert len({await each for each in spawned}) == 3_000
        assert [await each for each in called] == [number + 1 for number in range(1_000)]
        assert await arriving(0) == []

    run(main)


def test_gs_22_node_that_takes_connections_and_never_answers_then_casts_return_at_once() -> None:
    """What waits for a session waits in the link, not in the caller."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        name = f"silent@127.0.0.1:{silent.getsockname()[1]}"

        async def main() -> Any:
            began_s = time.monotonic()
            abcast([name], "server", "request")
            send(("server", name), "message")
            erpc.cast(name, remote.add, 1)
            asked = spawn_on(name, remote.add, 1)
            took_s = time.monotonic() - began_s
            late = await outcome(name, remote.add, 1, timeout_s=0.2)
            return took_s, late, asked.node

        took_s, late, node = run(main)
    assert took_s < 0.5 and isinstance(late, CallTimeout) and node == name
