"""Worlds for the transport contract: the same nodes on sockets and in memory, and a wait that never sleeps.

A test says ``await world.until(predicate)``; the predicate is asked again after everything a handler or dial was told.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from zmqcluster._ports import CallableInlet
from zmqcluster.ids import NodeName
from zmqcluster.transport.interface import Dial, DialEvent, Endpoints, Transport
from zmqcluster.transport.memory import MemoryNetwork
from zmqcluster.transport.zmq import ZmqTransport

# kind -> which of a node's endpoints is dialled, whether all share a cookie, whether libzmq is called directly
ZMQ_WORLDS = {
    "ipc": (0, False, True),
    "tcp": (1, False, True),
    "ipc-cookie": (0, True, True),
    "tcp-cookie": (1, True, True),
    "ipc-plain": (0, False, False),
    "tcp-plain-cookie": (1, True, False),
}
WORLDS = [*ZMQ_WORLDS, "memory"]
COOKIE = "a cookie for tests"
TEST_S_MAX = 10.0

_port_steps = itertools.count(os.getpid() * 31)


def free_port() -> int:
    """A port nobody listens at; outside the ephemeral range and outside those the transport picks for itself."""
    while True:
        port = 10_000 + next(_port_steps) % 10_000
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


def on_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test on a loop of its own, within a time limit, and close its worlds after it."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        async def bounded() -> None:
            worlds = [each for each in fixtures.values() if isinstance(each, World)]
            try:
                async with asyncio.timeout(TEST_S_MAX):
                    await test(**fixtures)
            except TimeoutError:
                raise AssertionError(f"not within {TEST_S_MAX} s; so far: {[each.log for each in worlds]}") from None
            finally:
                for world in worlds:
                    await world.close()

        asyncio.run(bounded())

    return run


class World:
    """A network and its nodes; ``log`` holds what was told to whom, for the message of a test that waits in vain."""

    def __init__(self, kind: str, run_dir: Path) -> None:
        self.kind = kind
        self.log: list[tuple[str, str, object]] = []
        self._run_dir = run_dir
        self._nodes: list[Node] = []
        self._news = asyncio.Event()
        self._memory: MemoryNetwork | None = None

    @property
    def is_real(self) -> bool:
        return self.kind in ZMQ_WORLDS

    def name(self, name: str) -> NodeName:
        return NodeName.parse(f"{name}@127.0.0.1:{free_port()}")

    def node(self, name: str | NodeName, **options: Any) -> Node:
        """A node, not yet open; options are those of ZmqTransport, of which memory knows the cookie."""
        full = name if isinstance(name, NodeName) else self.name(name)
        node = Node(self, full, self._transport(full, options))
        self._nodes.append(node)
        return node

    def _transport(self, name: NodeName, options: dict[str, Any]) -> Transport:
        if not self.is_real:
            if self._memory is None:
                self._memory = MemoryNetwork(asyncio.get_running_loop())
            return self._memory.transport(name, cookie=(options.get("cookie") or "").encode())
        _, has_cookie, raw = ZMQ_WORLDS[self.kind]
        defaults = {"cookie": COOKIE if has_cookie else None, "run_dir": self._run_dir, "raw": raw}
        return ZmqTransport(name, **(defaults | options))

    async def open(self, name: str | NodeName, **options: Any) -> Node:
        node = self.node(name, **options)
        await node.open()
        return node

    def tell(self, whom: str, what: str, value: object) -> None:
        self.log.append((whom, what, value))
        self._news.set()

    async def until(self, predicate: Callable[[], object]) -> None:
        while not predicate():
            self._news.clear()
            await self._news.wait()

    async def close(self) -> None:
        for node in self._nodes:
            await node.transport.close()


class Node:
    """A handler that remembers, its transport, and its dials."""

    def __init__(self, world: World, name: NodeName, transport: Transport) -> None:
        self.world = world
        self.name = name
        self.transport = transport
        self.endpoints = Endpoints((), ())
        self.batches: list[list[tuple[bytes, bytes]]] = []
        self.gossip: list[bytes] = []
        self.datagrams: list[tuple[bytes, str]] = []
        self.refused: list[tuple[str, str]] = []
        self.inlet = CallableInlet(self._feed, self._begin, self._end)
        self._open_batch: list[tuple[bytes, bytes]] | None = None

    @property
    def frames(self) -> list[bytes]:
        return [frame for batch in self.batches for _, frame in batch]

    @property
    def sources(self) -> set[bytes]:
        return {source for batch in self.batches for source, _ in batch}

    @property
    def link(self) -> str:
        """Where this world's nodes dial us."""
        return self._choose(self.endpoints.links)

    @property
    def gossip_endpoint(self) -> str:
        return self._choose(self.endpoints.gossip)

    def _choose(self, endpoints: tuple[str, ...]) -> str:
        return endpoints[ZMQ_WORLDS[self.world.kind][0]] if self.world.is_real else endpoints[0]

    async def open(self) -> None:
        self.endpoints = await self.transport.open(self)

    def dial(self, endpoint: str) -> Dialled:
        return Dialled(self, endpoint)

    def _begin(self) -> None:
        assert self._open_batch is None, "a batch within a batch"
        self._open_batch = []

    def _feed(self, source: bytes, frame: bytes) -> None:
        assert self._open_batch is not None, "a frame outside of a batch"
        self._open_batch.append((source, frame))

    def _end(self) -> None:
        assert self._open_batch, "a batch without a frame"
        self.batches.append(self._open_batch)
        self.world.tell(self.name.name, "batch", len(self._open_batch))
        self._open_batch = None

    def on_datagram(self, datagram: bytes, source: str) -> None:
        self.datagrams.append((datagram, source))
        self.world.tell(self.name.name, "datagram", datagram[:16])

    def on_gossip(self, frame: bytes) -> None:
        self.gossip.append(frame)
        self.world.tell(self.name.name, "gossip", frame[:16])

    def on_refused(self, address: str, problem: str) -> None:
        self.refused.append((address, problem))
        self.world.tell(self.name.name, "refused", (address, problem))


class Dialled:
    """A dial and what it was told."""

    def __init__(self, node: Node, endpoint: str) -> None:
        self.events: list[DialEvent] = []
        self.replies: list[bytes] = []
        self._node = node
        self.dial: Dial = node.transport.dial(endpoint, self._on_event, self._on_reply)

    def push(self, frame: bytes) -> bool:
        return self.dial.outlet.push_bytes(frame)

    async def connected(self) -> Dialled:
        await self.until(DialEvent.CONNECTED)
        return self

    async def first(self) -> DialEvent:
        """The first thing that happens to the dial."""
        await self._node.world.until(lambda: self.events)
        return self.events[0]

    async def until(self, event: DialEvent) -> None:
        await self._node.world.until(lambda: event in self.events)

    def _on_event(self, event: DialEvent) -> None:
        self.events.append(event)
        self._node.world.tell(self._node.name.name, "event", event.name)

    def _on_reply(self, frame: bytes) -> None:
        self.replies.append(frame)
        self._node.world.tell(self._node.name.name, "reply", frame[:16])
