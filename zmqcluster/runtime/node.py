"""A node: one event loop's processes, and their sessions with other nodes.

    Node ──owns──> Scheduler   processes and their links
          ├─────> Transport   sockets, or the simulator's network
          ├─────> Links       sessions                    NodeUp, NodeDown
          ├─────> GossipChannel   beats and published messages    Gossip
          └─────> topologies  whom to connect to

Nothing here is global: several nodes live in one OS process, and in a simulator. Time is the loop's, chance comes from
one seeded ``Random``. A node without a name has the first part only, and opens no socket.
Order: a peer's session is up in the core, then in ``nodes()``, then NodeUp is in the mailboxes, then its first frame is
read; down goes the same way.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from random import Random, SystemRandom
from typing import Any, Protocol

from zmqcluster.core import Scheduler
from zmqcluster.errors import AlreadyRunning, ConfigError, UsageError
from zmqcluster.ids import NodeName, Pid
from zmqcluster.protocol import steps
from zmqcluster.protocol.handshake import Introduction
from zmqcluster.runtime.addresses import dial_endpoints
from zmqcluster.runtime.events import NodeDown, NodeUp
from zmqcluster.runtime.gossip import GossipChannel
from zmqcluster.runtime.hooks import NodeHooks
from zmqcluster.runtime.links import Links
from zmqcluster.runtime.subscribers import NodeEvent, Subscribers, deliver
from zmqcluster.runtime.timing import Timing
from zmqcluster.transport.interface import Transport
from zmqcluster.transport.rundir import run_directory
from zmqcluster.transport.zmq import ZmqTransport

__all__ = ["Node", "Topology"]

NO_NAME = "nonode@nohost"
INCARNATION_RANDOM_BITS = 8
HIDDEN = "hidden"  # the capability of a node that nobody is told of. Source: the hidden nodes of Erlang

log = logging.getLogger("zmqcluster.node")


class Topology(Protocol):
    """Connects a node to others; see ``discovery``."""

    any_port: bool

    async def start(self, node: Node) -> None: ...

    async def stop(self) -> None: ...


class Node:
    """One node.

    Args:
        name: ``orders@10.0.0.7:7101``, which others know it by; None: a node of its own.
        cookie: the secret of the cluster.
        topologies: find other nodes and keep it connected to them.
        cluster: nodes of another cluster name are refused.
        timing: how fast silence is noticed; the same on all nodes.
        transport: in place of sockets.
        incarnation: of this start, above those of all earlier ones; by default from the clock.
        seed: of all chance; by default none is repeated.
        listen: ``host:port`` to listen at, where that is not what the name says.
        hidden: connected nodes talk to it, but neither list it nor are told of it; for tools that look at a cluster.
        copy_messages: pass local messages through the codec too, so that what could not travel, and what relies on a
            shared object, shows at once. Slow; the default of the test kit.
        services: async functions that run as processes of a node with a name from its start, to answer other nodes.
    Raises:
        ConfigError: the name is malformed, or there is something that needs one.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        cookie: str | bytes | None = None,
        topologies: Sequence[Topology] = (),
        cluster: str = "zmqcluster",
        timing: Timing | None = None,
        transport: Transport | None = None,
        incarnation: int | None = None,
        seed: int | None = None,
        listen: str | None = None,
        hidden: bool = False,
        copy_messages: bool = False,
        services: Sequence[Callable[[], Coroutine[Any, Any, object]]] = (),
    ) -> None:
        if name is None and (topologies or transport or listen):
            raise ConfigError("a node without a name connects to nobody: give it a name, or no topologies")
        self.name = None if name is None else NodeName.parse(name)
        self.incarnation = _incarnation() if incarnation is None else incarnation
        self.timing = timing or Timing.lan()
        # The name is part of it: nodes of one seed must not draw the same epochs.
        self.random = Random(f"{name} {self.incarnation} {seed}")
        self.topologies = tuple(topologies)
        self.links: Links | None = None
        self.gossip: GossipChannel | None = None
        self.link_endpoints: tuple[str, ...] = ()
        # What went wrong on the wire: auth_failed refused control_malformed gossip_malformed gossip_foreign
        self.counters: Counter[str] = Counter()
        self._cluster = cluster
        self._capabilities = (HIDDEN,) if hidden else ()
        self._copy_messages = copy_messages
        self._services = tuple(services)
        self._hidden: set[str] = set()  # peers with a session that nobody is told of
        self._run_dir = run_directory() if self.name and transport is None else None
        self._transport = transport or (self._sockets(self.name, cookie, listen) if self.name else None)
        self._scheduler: Scheduler | None = None
        self._subscribers = Subscribers()
        self._ticking: asyncio.TimerHandle | None = None
        self._started: list[Topology] = []

    def _sockets(self, name: NodeName, cookie: str | bytes | None, listen: str | None) -> Transport:
        any_port = any(topology.any_port for topology in self.topologies)
        return ZmqTransport(
            name,
            cookie=cookie,
            listen=listen,
            run_dir=self._run_dir,
            any_port=any_port,
            unacked_ms_max=self.timing.silence_ms,
        )

    @property
    def scheduler(self) -> Scheduler:
        """The core. Raises UsageError before ``start``."""
        if self._scheduler is None:
            raise UsageError("the node is not started")
        return self._scheduler

    # --- start and stop

    async def start(self) -> None:
        """Accept connections, and begin to look for other nodes; returns before any is found.

        Raises:
            NameInUse: another node has the name or its port; nothing was started.
            ConfigError: the address can't be used.
        """
        if self._scheduler is not None:
            raise AlreadyRunning(f"the node {self.name or NO_NAME}")
        loop = asyncio.get_running_loop()
        self._scheduler = Scheduler(
            loop,
            str(self.name or NO_NAME),
            self.incarnation,
            NodeHooks(lambda: self.links),
            virtual=getattr(loop, "is_virtual", False),
        )
        self._scheduler.owner = self
        self._scheduler.copy_messages = self._copy_messages
        if self._transport and self.name:
            try:
                await self._open(self._transport, self.name)
            except BaseException:
                await self.stop()
                raise

    async def _open(self, transport: Transport, name: NodeName) -> None:
        endpoints = await transport.open(self)
        self.link_endpoints = endpoints.links
        own = Introduction(
            name,
            self.incarnation,
            self._cluster,
            capabilities=self._capabilities,
            links=endpoints.links,
            gossip=endpoints.gossip,
        )
        self.links = Links(
            own,
            self.scheduler,
            transport,
            timing=self.timing,
            random=self.random,
            resolve=partial(dial_endpoints, name, self._run_dir),
            watcher=self,
            counters=self.counters,
        )
        self.gossip = GossipChannel(
            name,
            self.incarnation,
            transport,
            timing=self.timing,
            up=self.links.up,
            deliver=partial(deliver, self.scheduler),
            on_silent=self._on_silent,
            counters=self.counters,
        )
        self._tick()
        for service in self._services:
            self.scheduler.spawn(service())
        for topology in self.topologies:
            self._started.append(topology)
            await topology.start(self)

    async def stop(self) -> None:
        """Leave in order: others see the node leave, not fail. Processes are to be ended before. Idempotent."""
        started, self._started = self._started, []
        for topology in reversed(started):
            with contextlib.suppress(OSError):
                await topology.stop()
        if self.links:
            await self.links.leave()
        if self._ticking:
            self._ticking.cancel()
            self._ticking = None
        if self._transport:
            await self._transport.close()

    # --- the cluster, as seen from here

    def nodes(self) -> list[str]:
        """The names of the connected nodes, sorted; hidden ones are not among them."""
        return sorted(self.links.up.keys() - self._hidden) if self.links else []

    async def connect(self, node: str, *, timeout_s: float = 7.0, endpoints: tuple[str, ...] = ()) -> bool:
        """Return whether ``node`` is connected, after trying to; to itself a node always is.

        Args:
            endpoints: where to dial, best first; by default the name says where.
        Raises:
            ConfigError: ``node`` is no node name.
            UsageError: this node has no name, or is not started.
        Source: net_kernel:connect_node/1.
        """
        if not self.links:
            raise UsageError("a node connects to others when it has a name and is started")
        if NodeName.parse(node) == self.name:
            return True
        try:
            async with asyncio.timeout(timeout_s):
                return await self.links.ask(node, endpoints)
        except TimeoutError:
            return False

    def disconnect(self, node: str) -> bool:
        """End the session with ``node``; return whether there was one. The next use, or a topology, connects again."""
        return self.links is not None and self.links.end(node, steps.DISCONNECT)

    def is_wanted(self, node: str, incarnation: int | None = None) -> bool:
        """Whether a topology should look for ``node``; not for a while after it said goodbye."""
        return self.links is not None and self.links.is_wanted(node, incarnation)

    async def joined(self, min_nodes: int, timeout_s: float) -> None:
        """Wait until at least ``min_nodes`` other nodes are connected.

        Raises:
            TimeoutError: they are not within ``timeout_s``; the message says how many are.
        """
        enough = asyncio.Event()

        def look(_: object = None) -> None:
            if len(self.nodes()) >= min_nodes:
                enough.set()

        unwatch = self.watch(look)
        look()
        try:
            async with asyncio.timeout(timeout_s):
                await enough.wait()
        except TimeoutError:
            raise TimeoutError(f"{len(self.nodes())} of {min_nodes} nodes joined within {timeout_s} s") from None
        finally:
            unwatch()

    def watch(self, callback: Callable[[NodeEvent], None]) -> Callable[[], None]:
        """Call ``callback`` at each NodeUp and NodeDown, for code that is no process; the result undoes it."""
        return self._subscribers.watch(callback)

    def monitor_nodes(self, pid: Pid, flag: bool = True) -> None:
        """Send NodeUp and NodeDown to ``pid``, once for each time it asked; ``flag=False`` ends all of that.

        Source: net_kernel:monitor_nodes/1.
        """
        if flag:
            self._subscribers.subscribe(self.scheduler, pid)
        else:
            self._subscribers.unsubscribe(pid)

    def publish(self, topic: str, message: Any) -> None:
        """Tell the subscribers of ``topic`` on all connected nodes, not here; any of them may miss it.

        Raises:
            EncodeError: the message can't travel.
            FrameTooLarge: it is too long for gossip.
        """
        if self.gossip:
            self.gossip.publish(topic, message)

    def subscribe(self, topic: str, pid: Pid) -> None:
        """Send ``Gossip(node, topic, message)`` to ``pid`` for what other nodes publish under ``topic``."""
        if self.gossip:
            self.gossip.subscribe(topic, pid)

    # --- told by transport, links and clock

    @property
    def inlet(self) -> Scheduler:
        return self.scheduler

    def on_gossip(self, frame: bytes) -> None:
        if self.gossip and self.links:
            self.gossip.on_frame(frame, self.links.now_ms())

    def on_refused(self, address: str, problem: str) -> None:
        self.counters["auth_failed"] += 1
        log.warning("%s refused a connection from %s: %s", self.name, address, problem)

    def on_up(self, peer: str, node: Introduction) -> None:
        assert self.gossip and self.links
        self.gossip.on_up(peer, node, self.links.now_ms())
        if HIDDEN in node.capabilities:
            self._hidden.add(peer)
        else:
            self._subscribers.announce(self.scheduler, NodeUp(peer))

    def on_down(self, peer: str, reason: str) -> None:
        assert self.gossip and self.links
        self.gossip.on_down(peer, self.links.now_ms())
        if peer in self._hidden:
            self._hidden.remove(peer)
        else:
            self._subscribers.announce(self.scheduler, NodeDown(peer, reason))

    def _on_silent(self, peer: str) -> None:
        assert self.links
        self.links.end(peer, steps.SILENCE)

    def _tick(self) -> None:
        assert self._transport and self.links and self.gossip
        tick_s = self.timing.tick_ms / 1000
        self._ticking = asyncio.get_running_loop().call_later(tick_s, self._tick)
        now_ms = self.links.now_ms()
        self._transport.turned()
        self.scheduler.acknowledge()
        self.links.on_tick(now_ms)
        self.gossip.on_tick(now_ms)


def _incarnation() -> int:
    """A number above those of all earlier starts, as long as the clock does not go back."""
    return time.time_ns() // 1_000_000 << INCARNATION_RANDOM_BITS | SystemRandom().getrandbits(INCARNATION_RANDOM_BITS)
