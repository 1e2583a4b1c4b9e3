"""Keeps a node connected to what a strategy finds.

    every interval_s:  find() ──> known ──┐
    a peer went down ─────────────────────┼──> for each that is missing: connect, back off, connect, ...   at once
    start ────────────────────────────────┘

Rules: a find that fails, or finds nothing, disconnects nobody: a session ends when its link does. Every node is tried
for as long as it is known, for ever if need be, after 1, 2, 4 ... times ``retry_ms`` with jitter, at most
``retry_ms_max``. One node that doesn't answer delays no other. Who said goodbye is left alone for a while.
Source: libcluster, whose strategies connect one by one in the polling process, and disconnect all on a failed lookup.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from random import Random
from typing import Protocol

from zmqcluster import telemetry
from zmqcluster.discovery.strategy import Address, Host, Strategy
from zmqcluster.protocol import steps
from zmqcluster.runtime.events import NodeDown, NodeUp
from zmqcluster.runtime.timing import Timing

__all__ = ["Topology"]

log = logging.getLogger("zmqcluster.discovery")


class Joining(Host, Protocol):
    """What a topology asks of its node."""

    timing: Timing
    random: Random

    def nodes(self) -> list[str]: ...

    async def connect(self, node: str, *, timeout_s: float = 7.0, endpoints: tuple[str, ...] = ()) -> bool: ...

    def is_wanted(self, node: str, incarnation: int | None = None) -> bool: ...

    def watch(self, callback: Callable[[NodeUp | NodeDown], None]) -> Callable[[], None]: ...


class Topology:
    """Joins the nodes that ``strategy`` finds; give it to ``Node(topologies=[...])``.

    Args:
        strategy: finds nodes.
        connect: called instead of the node's own connect, with a name; returns whether it is connected.
        list_nodes: called instead of the node's own ``nodes``: the names that need no connect.
    """

    any_port = False  # whether a name without a port may listen anywhere, because others find out where

    def __init__(
        self,
        strategy: Strategy,
        *,
        connect: Callable[[str], Awaitable[bool]] | None = None,
        list_nodes: Callable[[], Iterable[str]] | None = None,
    ) -> None:
        self.strategy = strategy
        self._connect = connect
        self._list_nodes = list_nodes
        self._known: dict[str, Address] = {}
        self._joins: dict[str, asyncio.Task[None]] = {}
        self._poller: asyncio.Task[None] | None = None
        self._unwatch: Callable[[], None] | None = None

    @property
    def label(self) -> str:
        """Names the strategy in logs and telemetry."""
        return type(self.strategy).__name__

    async def start(self, node: Joining) -> None:
        """Announce the node, and begin to look for others; returns before any is found.

        Raises:
            NameInUse: another node has its name.
        """
        await self.strategy.announce(node)
        self._node = node
        self._random = Random(node.random.getrandbits(64))
        self._unwatch = node.watch(self._on_event)
        self._poller = asyncio.get_running_loop().create_task(self._poll())

    async def stop(self) -> None:
        """Look for nobody any more, and withdraw. Idempotent."""
        if self._unwatch:
            self._unwatch()
        tasks = [*self._joins.values(), *([self._poller] if self._poller else [])]
        self._unwatch = self._poller = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.strategy.withdraw()

    async def _poll(self) -> None:
        while True:
            await self._find()
            for address in self._known.values():
                self._join(address)
            await asyncio.sleep(self.strategy.interval_s)

    async def _find(self) -> None:
        try:
            found = await self.strategy.find()
        except Exception as error:
            log.warning("%s: %s could not look for nodes: %s", self._node.name, self.label, error)
            telemetry.emit("zmqcluster.discovery.failed", node=self._node.name, topology=self.label, error=error)
            return
        self._known = {address.node: address for address in sorted(found, key=lambda address: address.node)}

    def _on_event(self, event: NodeUp | NodeDown) -> None:
        address = self._known.get(event.node)
        if address and isinstance(event, NodeDown) and event.reason != steps.DISCONNECT:
            self._join(address, pause_s=self._random.random() * self._node.timing.retry_ms / 1000)

    def _is_missing(self, address: Address) -> bool:
        connected = self._list_nodes() if self._list_nodes else self._node.nodes()
        return (
            address.node != self._node.name
            and address.node not in connected
            and self._node.is_wanted(address.node, address.incarnation)
        )

    def _join(self, address: Address, pause_s: float = 0.0) -> None:
        if address.node in self._joins or not self._is_missing(address):
            return
        join = self._keep_trying(address.node, pause_s)
        task = self._joins[address.node] = asyncio.get_running_loop().create_task(join)
        task.add_done_callback(lambda _: self._joins.pop(address.node, None))

    async def _keep_trying(self, node: str, pause_s: float) -> None:
        """Connect to ``node`` until it is, or is no longer to be, connected."""
        await asyncio.sleep(pause_s)
        loop, timing = asyncio.get_running_loop(), self._node.timing
        began_s, wait_s = loop.time(), timing.retry_ms / 1000
        while (address := self._known.get(node)) and self._is_missing(address):
            if await self._try(address):
                fields = {"node": self._node.name, "peer": node, "topology": self.label}
                telemetry.emit("zmqcluster.discovery.connected", **fields, duration_s=loop.time() - began_s)
                return
            await asyncio.sleep(wait_s * (0.5 + self._random.random()))
            wait_s = min(wait_s * 2, timing.retry_ms_max / 1000)

    async def _try(self, address: Address) -> bool:
        error: object = "unreachable"
        try:
            if self._connect:
                is_connected = await self._connect(address.node)
            else:
                is_connected = await self._node.connect(address.node, endpoints=address.endpoints)
        except Exception as raised:
            is_connected, error = False, raised
        if not is_connected:
            fields = {"node": self._node.name, "peer": address.node, "topology": self.label}
            telemetry.emit("zmqcluster.discovery.failed", **fields, error=error)
        return is_connected
