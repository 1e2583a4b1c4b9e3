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
from typing import Any, Literal, Protocol, get_args

from zmqcluster.core import Scheduler
from zmqcluster.errors import AlreadyRunning, ConfigError, DecodeError, UsageError
from zmqcluster.ids import NodeName, Pid
from zmqcluster.protocol import steps
from zmqcluster.protocol.handshake import (
    HIDDEN,
    MESH,
    VERSION_MAX,
    VERSION_MIN,
    Introduction,
    Neighbour,
    Terms,
    terms,
)
from zmqcluster.protocol.probes import Probe
from zmqcluster.protocol.signs import NodeState
from zmqcluster.runtime.addresses import dial_endpoints
from zmqcluster.runtime.detector import Detector
from zmqcluster.runtime.events import NodeDown, NodeType, NodeUp
from zmqcluster.runtime.gossip import GossipChannel
from zmqcluster.runtime.hooks import NodeHooks
from zmqcluster.runtime.links import Links
from zmqcluster.runtime.records import record
from zmqcluster.runtime.remote import RemoteService
from zmqcluster.runtime.subscribers import Lookouts, NodeEvent, NodeSelection, Subscribers, deliver
from zmqcluster.runtime.timing import Timing
from zmqcluster.runtime.watchdog import Watchdog
from zmqcluster.transport.cookie import Secret, find_keyring
from zmqcluster.transport.interface import Transport
from zmqcluster.transport.pulse import Pulse
from zmqcluster.transport.rundir import run_directory
from zmqcluster.transport.ways import Encryption
from zmqcluster.transport.zmq import ZmqTransport

__all__ = ["Node", "NodeKind", "Topology"]

NO_NAME = "nonode@nohost"
INCARNATION_RANDOM_BITS = 8
MEETING_MAX = 512  # neighbours of peers that are dialled at a time: each costs three sockets

NodeKind = Literal["visible", "hidden", "connected", "known", "this"]

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
        cookie: the secret of the cluster: text, a keyring of several, or the path of a file that holds it and is made
            where it is missing. By default the variable ZMQCLUSTER_COOKIE, else the cookie file where there is one;
            without any the node listens on loopback only.
        encryption: how connections are secured: "curve", or "none" for authentication alone; see ``transport.ways``.
        allow: the networks whose machines may connect, such as ``["10.0.0.0/8"]``; by default all.
        topologies: find other nodes and keep it connected to them.
        cluster: nodes of another cluster name are refused.
        timing: how fast silence is noticed; the same on all nodes.
        transport: in place of sockets.
        incarnation: of this start, above those of all earlier ones; by default from the clock.
        seed: of all chance; by default none is repeated.
        listen: ``host:port`` to listen at, where that is not what the name says.
        hidden: connected nodes talk to it, but neither list it nor are told of it; for tools that look at a cluster.
        connect_all: connect to the peers of each peer too, so that nodes which meet become one mesh; both ends must
            want it, and a hidden node never does. Source: the ``connect_all`` of kernel(6).
        copy_messages: pass local messages through the codec too, so that what could not travel, and what relies on a
            shared object, shows at once. Slow; the default of the test kit.
        services: async functions that run as processes of a node with a name from its start, to answer other nodes.
        spawn_allow: modules whose public functions other nodes may run here, besides those decorated with ``remote``.
    Raises:
        ConfigError: the name, a network or the cookie is malformed, or there is something that needs a name.
        CookieFileError: the file cannot be used, as one that others may read.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        cookie: Secret | None = None,
        encryption: Encryption = "curve",
        allow: Sequence[str] = (),
        topologies: Sequence[Topology] = (),
        cluster: str = "zmqcluster",
        timing: Timing | None = None,
        transport: Transport | None = None,
        incarnation: int | None = None,
        seed: int | None = None,
        listen: str | None = None,
        hidden: bool = False,
        connect_all: bool = True,
        copy_messages: bool = False,
        services: Sequence[Callable[[], Coroutine[Any, Any, object]]] = (),
        spawn_allow: Sequence[str] = (),
    ) -> None:
        if name is None and (topologies or transport or listen):
            raise ConfigError("a node without a name connects to nobody: give it a name, or no topologies")
        self.name = None if name is None else NodeName.parse(name)
        self.incarnation = _incarnation() if incarnation is None else incarnation
        self.timing = timing or Timing.lan()
        # The name is part of it: nodes of one seed must not draw the same epochs.
        self.random = Random(f"{name} {self.incarnation} {SystemRandom().getrandbits(128) if seed is None else seed}")
        self.topologies = tuple(topologies)
        self.links: Links | None = None
        self.gossip: GossipChannel | None = None
        self.remote = RemoteService(spawn_allow)
        self.detector: Detector | None = None
        self.link_endpoints: tuple[str, ...] = ()
        # What went wrong on the wire: auth_failed refused control_malformed gossip_malformed gossip_foreign
        # datagram_malformed
        self.counters: Counter[str] = Counter()
        self._cluster = cluster
        # What this node says of itself in the handshake; to be changed before ``start`` only.
        self.versions = (VERSION_MIN, VERSION_MAX)
        self.capabilities: tuple[str, ...] = (HIDDEN,) if hidden else (MESH,) if connect_all else ()
        self._copy_messages = copy_messages
        self._services = tuple(services)
        self._hidden: set[str] = set()  # peers with a session that nobody is told of
        self.encryption: Encryption = encryption
        self._run_dir = run_directory() if self.name and transport is None else None
        # The cookies; changed at any time, for the connections made from then on. None: there is none.
        self.keyring = find_keyring(cookie) if self.name and transport is None else None
        self._transport = transport or (self._sockets(self.name, allow, listen) if self.name else None)
        self._scheduler: Scheduler | None = None
        self._subscribers = Subscribers()
        self._lookouts = Lookouts()
        self._meeting: set[str] = set()  # neighbours of peers that are being connected to
        self._ticking: asyncio.TimerHandle | None = None
        self._watchdog: Watchdog | None = None
        self._pulse: Pulse | None = None
        self._started: list[Topology] = []

    def _sockets(self, name: NodeName, allow: Sequence[str], listen: str | None) -> Transport:
        any_port = any(topology.any_port for topology in self.topologies)
        return ZmqTransport(
            name,
            cookie=self.keyring,
            encryption=self.encryption,
            allow=allow,
            incarnation=self.incarnation,
            listen=listen,
            run_dir=self._run_dir,
            any_port=any_port,
            unacked_ms_max=self.timing.unacked_ms,
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
            NodeHooks(lambda: self.links, self.remote.on_call),
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
            versions=self.versions,
            capabilities=self.capabilities,
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
        self.detector = Detector(
            name,
            self.incarnation,
            self.timing,
            random=self.random,
            prober=self.links,
            publish=transport.publish,
            knock=transport.knock,
            on_verdict=self.links.end,
        )
        self.gossip = GossipChannel(
            name,
            self.incarnation,
            transport,
            beat_ms=self.timing.beat_ms,
            up=self.links.up,
            deliver=partial(deliver, self.scheduler),
            detector=self.detector,
            counters=self.counters,
        )
        if self._run_dir is not None:
            self._watchdog = Watchdog(name, self.timing.stalled_ms)
            self._pulse = Pulse(self._run_dir, name)
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
        if self._watchdog and self._pulse:
            self._watchdog.stop()
            self._pulse.close()
            self._watchdog = self._pulse = None
        if self._transport:
            await self._transport.close()

    # --- the cluster, as seen from here

    @property
    def is_alive(self) -> bool:
        """Whether others can reach this node: it has a name, is started, and does not leave. Source: is_alive/0."""
        return self.links is not None and not self.links.is_leaving

    def nodes(self, *kinds: NodeKind) -> list[str]:
        """The names of nodes of any of ``kinds``, sorted; without an argument the visible ones.

        Args:
            kinds: ``visible`` and ``hidden`` nodes are connected, ``connected`` is both; ``this`` is this node;
                ``known`` are this one, the connected, those that were, and those that are being connected to.
        Raises:
            ConfigError: there is no such kind.
        Source: nodes/0,1.
        """
        if wrong := [kind for kind in kinds if kind not in get_args(NodeKind)]:
            raise ConfigError(f"nodes are of kind {', '.join(get_args(NodeKind))}, not {wrong[0]!r}")
        return sorted(set().union(*(self._of_kind(kind) for kind in kinds or ("visible",))))

    def _of_kind(self, kind: NodeKind) -> set[str]:
        up = set(self.links.up) if self.links else set()
        this = {str(self.name or NO_NAME)}
        match kind:
            case "visible":
                return up - self._hidden
            case "hidden":
                return up & self._hidden
            case "connected":
                return up
            case "this":
                return this
            case "known":
                return up | this | ({peer.name for peer in self.links.peers.all()} if self.links else set())

    def state(self, node: str) -> NodeState:
        """What is thought of ``node``: up; stalled, it lives but its loop does not turn; suspect, unheard; or down.

        Stalled and suspect nodes are connected: what is sent to them waits, or is on its way. This node itself is up.
        """
        if node == self.name:
            return "up"
        return self.detector.state(node) if self.detector else "down"

    def terms(self, node: str) -> Terms | None:
        """What was agreed with a connected node: the version of the protocol and what both can do; None: it is not."""
        their = self.links.up.get(node) if self.links else None
        return terms(self.links.own, their) if self.links and their else None

    def last_problem(self, node: str) -> str | None:
        """Why the last attempt to connect to ``node`` failed, in words for a person; None: it is not known to have."""
        return self.links.problems.get(node) if self.links else None

    async def connect(self, node: str, *, timeout_s: float = 7.0, endpoints: tuple[str, ...] = ()) -> bool:
        """Return whether ``node`` is connected, after trying to; to itself a node always is.

        Args:
            endpoints: where to dial, best first; by default the name says where.
        Raises:
            ConfigError: ``node`` is no node name.
            UsageError: this node has no name, or is not started.
        Source: net_kernel:connect_node/1.
        """
        links = self._links_to(node)
        if node == self.name:
            return True
        try:
            async with asyncio.timeout(timeout_s):
                return await links.ask(node, endpoints)
        except TimeoutError:
            return False

    def disconnect(self, node: str) -> bool:
        """End the session with ``node``; return whether there was one. The next use, or a topology, connects again."""
        return self.links is not None and self.links.end(node, steps.DISCONNECT)

    def set_cookie(self, node: str, cookie: str | bytes) -> None:
        """Dial ``node`` with ``cookie``, the one it listens with, from now on; so nodes of two clusters can meet.

        Each of the two needs the cookie of the other.

        Raises:
            UsageError: this node has no cookie itself.
            ConfigError: ``node`` is no node name, or the cookie is empty.
        Source: erlang:set_cookie/2; there it is enough that one side knows the other's.
        """
        if self.keyring is None:
            raise UsageError("a node without a cookie of its own cannot use another's")
        self.keyring.set_cookie(NodeName.parse(node), cookie)

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
        """Call ``callback`` at each NodeUp and NodeDown of a visible node, for code that is no process.

        The result undoes it.
        """
        return self._subscribers.watch(callback)

    def monitor_nodes(self, pid: Pid, flag: bool = True, *, node_type: NodeSelection = "visible") -> None:
        """Send NodeUp and NodeDown to ``pid``, once for each time it asked.

        Args:
            flag: False ends all that was asked for with the same ``node_type``.
            node_type: of ``visible`` nodes, ``hidden`` ones or ``all``.
        Raises:
            ConfigError: there is no such type, or it is a process of another node.
        Source: net_kernel:monitor_nodes/2.
        """
        if flag:
            self._subscribers.subscribe(self.scheduler, pid, node_type)
        else:
            self._subscribers.unsubscribe(pid, node_type)

    def monitor_node(self, node: str, pid: Pid, flag: bool = True) -> None:
        """Send ``pid`` one NodeDown when ``node`` goes, or at once if it cannot be connected to.

        Asked for n times it is told n times; ``flag=False`` takes back one of them. To monitor this node itself is
        allowed, and nothing comes of it.

        Raises:
            ConfigError: ``node`` is no node name, or ``pid`` a process of another node.
            UsageError: this node has no name, or is not started.
        Source: erlang:monitor_node/2.
        """
        links = self._links_to(node)
        if not flag:
            self._lookouts.remove(node, pid)
            return
        self._lookouts.add(self.scheduler, node, pid)
        if node != self.name and node not in links.up:
            links.ask(node).add_done_callback(partial(self._on_asked, node))

    def _on_asked(self, node: str, is_up: asyncio.Future[bool]) -> None:
        if self.links and node not in self.links.up and not is_up.cancelled():
            self._lookouts.fire(self.scheduler, node, steps.UNREACHABLE)

    def _links_to(self, node: str) -> Links:
        NodeName.parse(node)
        if not self.links:
            raise UsageError("a node connects to others when it has a name and is started")
        return self.links

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

    def on_datagram(self, datagram: bytes, source: str) -> None:
        if self.detector and self.links and not self.links.is_leaving:
            try:
                self.detector.on_datagram(datagram, source, self.links.now_ms())
            except DecodeError:
                self.counters["datagram_malformed"] += 1

    def on_refused(self, address: str, problem: str) -> None:
        self.counters["auth_failed"] += 1
        fields = record("door.refused", node=self.name, address=address, problem=problem)
        log.warning("%s refused a connection from %s: %s", self.name, address, problem, extra=fields)

    def on_up(self, peer: str, node: Introduction) -> None:
        assert self.gossip and self.links and self.detector
        self.gossip.on_up(peer, node)
        self.detector.on_up(peer, node, self.links.now_ms())
        is_hidden = HIDDEN in node.capabilities
        if is_hidden:
            self._hidden.add(peer)
        self._subscribers.announce(self.scheduler, NodeUp(peer, "hidden" if is_hidden else "visible"))
        self.links.introduce(peer)

    def on_down(self, peer: str, reason: str) -> None:
        assert self.gossip and self.links and self.detector
        self.gossip.on_down(peer)
        self.detector.on_down(peer, reason, self.links.now_ms())
        node_type: NodeType = "hidden" if peer in self._hidden else "visible"
        self._hidden.discard(peer)
        self._subscribers.announce(self.scheduler, NodeDown(peer, reason, node_type))
        self._lookouts.fire(self.scheduler, peer, reason, node_type)

    def on_neighbours(self, neighbours: Sequence[Neighbour]) -> None:
        """A peer tells whom it is connected to: connect to them too."""
        assert self.links
        for each in neighbours:
            is_new = each.name not in self.links.up and each.name not in self._meeting
            if is_new and len(self._meeting) < MEETING_MAX and self.links.is_wanted(each.name, each.incarnation):
                self._meeting.add(each.name)
                self.links.ask(each.name, each.links).add_done_callback(partial(self._on_met, each.name))

    def _on_met(self, node: str, _: asyncio.Future[bool]) -> None:
        self._meeting.discard(node)

    def on_probe(self, peer: str, probe: Probe) -> None:
        assert self.detector and self.links
        self.detector.on_probe(peer, probe, self.links.now_ms())

    def _tick(self) -> None:
        assert self._transport and self.links and self.detector
        tick_s = self.timing.tick_ms / 1000
        self._ticking = asyncio.get_running_loop().call_later(tick_s, self._tick)
        now_ms = self.links.now_ms()
        self._transport.turned()
        if self._watchdog and self._pulse:
            self._watchdog.turned()
            self._pulse.turned()
        self.scheduler.acknowledge()
        self.links.on_tick(now_ms)
        self.detector.on_tick(now_ms)


def _incarnation() -> int:
    """A number above those of all earlier starts, as long as the clock does not go back."""
    return time.time_ns() // 1_000_000 << INCARNATION_RANDOM_BITS | SystemRandom().getrandbits(INCARNATION_RANDOM_BITS)
