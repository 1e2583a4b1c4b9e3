"""Connections between nodes on sockets: what only a transport can show of the cases NODE-*."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from tests.support.transport_world import free_port, on_loop
from zmqcluster.errors import NameInUse
from zmqcluster.ids import NodeName
from zmqcluster.runtime.node import Node
from zmqcluster.runtime.timing import Timing
from zmqcluster.transport import zmq as zmq_transport
from zmqcluster.transport.curve import secret_key

COOKIE = "a secret of a cluster"
TIMING = Timing.local()


def socket_node(name: str, run_dir: Path, **options: Any) -> Node:
    run_dir.mkdir(mode=0o700, exist_ok=True)
    transport = zmq_transport.ZmqTransport(NodeName.parse(name), cookie=COOKIE, run_dir=run_dir)
    return Node(name, transport=transport, timing=TIMING, **options)


@contextlib.asynccontextmanager
async def running(*socket_nodes: Node) -> AsyncIterator[None]:
    try:
        for node in socket_nodes:
            await node.start()
        yield
    finally:
        for node in reversed(socket_nodes):
            await node.stop()
            if node._scheduler:
                node.scheduler.close()
        await asyncio.sleep(0)


@on_loop
async def test_node_16_same_name_on_one_host_then_refused_with_the_address(tmp_path: Path) -> None:
    port = free_port()
    name = f"b@127.0.0.1:{port}"
    first, second = socket_node(name, tmp_path), socket_node(name, tmp_path)
    elsewhere = socket_node(name, tmp_path / "o")  # another run directory: the port tells
    async with running(first):
        with pytest.raises(NameInUse, match=rf"process \d+ of this host .* tcp://127.0.0.1:{port}"):
            await second.start()
        with pytest.raises(NameInUse, match=f"port {port} of 127.0.0.1 is taken"):
            await elsewhere.start()
    async with running(socket_node(name, tmp_path)):
        pass


class Recorder:
    """A proxy that keeps what passes, piece by piece."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.forth: list[bytes] = []
        self.back: list[bytes] = []

    async def serve(self) -> tuple[asyncio.Server, str]:
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        return server, f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        await asyncio.gather(copy(reader, far_writer, self.forth), copy(far_reader, writer, self.back))


async def copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: list[bytes], *, is_echoed: bool = True
) -> None:
    with contextlib.suppress(ConnectionError):
        while some := await reader.read(65_536):
            kept.append(some)
            if is_echoed:
                writer.write(some)
    writer.close()


async def talk(port: int, words: list[bytes]) -> bytes:
    """Say ``words`` to a port, each when the last had time for an answer; return all it says before it hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer: list[bytes] = []
    listening = asyncio.create_task(copy(reader, writer, answer, is_echoed=False))
    for word in words:
        writer.write(word)
        await asyncio.sleep(0.02)
    async with asyncio.timeout(3):
        await listening
    return b"".join(answer)


@on_loop
async def test_node_04_secret_not_on_the_wire_and_no_replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(zmq_transport.OPTIONS[zmq.ROUTER], zmq.HANDSHAKE_IVL, 300)
    ports = free_port(), free_port()
    one, other = (
        socket_node(f"{name}@127.0.0.1:{port}", tmp_path / name) for name, port in zip("ab", ports, strict=True)
    )
    recorder = Recorder(ports[1])
    async with running(one, other):
        server, endpoint = await recorder.serve()
        assert await one.connect(str(other.name), endpoints=(endpoint,))
        while other.nodes() != [one.name]:
            await asyncio.sleep(0.01)
        one.disconnect(str(other.name))
        server.close()
        said = b"".join(recorder.forth + recorder.back)
        assert len(said) > 1_000
        for secret in (COOKIE.encode(), secret_key(COOKIE), str(one.name).encode()):
            assert secret not in said
        await talk(ports[1], [])  # who proves nothing is hung up on
        for words in (recorder.forth, recorder.back):  # so are a replay and a mirror, and it is told
            refused = other.counters["auth_failed"]
            assert len(await talk(ports[1], words)) < len(b"".join(recorder.back))
            while other.counters["auth_failed"] == refused:
                await asyncio.sleep(0.01)
        assert one.nodes() == other.nodes() == []
