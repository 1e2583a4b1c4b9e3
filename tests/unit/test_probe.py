"""Why a connection could not be made: the kernel's answer, on sockets of this host."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from tests.support.transport_world import free_port
from zmqcluster.transport.probe import Probe


def refusals(endpoint: str, *, asks: int = 1, closes: bool = False) -> int:
    """Ask about an endpoint so often, let the loop turn, and count the refusals."""

    async def scenario() -> int:
        loop = asyncio.get_running_loop()
        heard: list[bool] = []
        probe = Probe(loop, endpoint, lambda: heard.append(True))
        for _ in range(asks):
            probe.ask()
        if closes:
            probe.close()
        for _ in range(20):
            await asyncio.sleep(0)
        probe.close()
        return len(heard)

    return asyncio.run(scenario())


def test_port_without_a_listener_refuses() -> None:
    assert refusals(f"tcp://127.0.0.1:{free_port()}") == 1


def test_listener_does_not_refuse() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as server:
        assert refusals(f"tcp://127.0.0.1:{server.getsockname()[1]}") == 0


def test_closed_probe_is_quiet() -> None:
    assert refusals(f"tcp://127.0.0.1:{free_port()}", closes=True) == 0


def test_socket_file_that_is_not_there_refuses(tmp_path: Path) -> None:
    assert refusals(f"ipc://{tmp_path}/none.ipc", asks=2) == 2


def test_socket_file_of_a_dead_process_refuses(tmp_path: Path) -> None:
    path = tmp_path / "stale.ipc"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert refusals(f"ipc://{path}") == 1


def test_listening_socket_file_does_not_refuse(tmp_path: Path) -> None:
    path = tmp_path / "live.ipc"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert refusals(f"ipc://{path}") == 0


def test_full_backlog_is_no_refusal(tmp_path: Path) -> None:
    path = tmp_path / "full.ipc"
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as first:
        server.bind(str(path))
        server.listen(0)
        first.connect(str(path))
        assert refusals(f"ipc://{path}") == 0
