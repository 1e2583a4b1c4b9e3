"""The transport without sockets: many nodes in one loop, joined by a network that can be told to fail.

    node a                                                             node b
    MemoryTransport                MemoryNetwork                       MemoryTransport
      MemoryDial ──outlet──> Connection.forward  (Pipe) ──────────────> handler.inlet     source = connection id
        on_reply <───────────Connection.backward (Pipe) <────────────── reply(source)
      publish ───────────────> Subscription ────────────────────────────> handler.on_gossip

It mirrors what ``transport/zmq.py`` shows its node: frames of one connection arrive in order, each at most once; a full
window answers False and later WRITABLE; nobody listens: REFUSED, and the dial tries on; across a cut there is silence,
no event; a peer that dies ends its connections. A connection is known to its acceptor by a source id of its own.
Invariant: everything that happens to a node (frames, events, gossip) happens in the context in which its transport was
opened. Bytes and mechanism are here; when and whom it hits is decided by ``Faults``.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from contextvars import Context, copy_context

from zmqcluster.errors import NameInUse
from zmqcluster.transport.interface import DialEvent, Endpoints, Handler
from zmqcluster.transport.memory_dial import Connection, MemoryDial, Wiring, keep_all
from zmqcluster.transport.memory_pipe import Calm, Faults

__all__ = ["MemoryNetwork", "MemoryTransport"]

WINDOW_FRAMES_MAX = 1_000  # in flight on one connection; as libzmq's high-water mark
BEAT = struct.Struct(">QI")  # number, lag_ms


class MemoryNetwork(Wiring):
    """The wires between the transports of one loop.

    Args:
        faults: decides what goes wrong; by default nothing does.
        window_frames: in flight on one connection.
        unacked_ms_max: after so long without acknowledgement a kernel ends its connection; None: never.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        faults: Faults | None = None,
        *,
        window_frames: int = WINDOW_FRAMES_MAX,
        unacked_ms_max: float | None = None,
    ) -> None:
        super().__init__(loop, faults or Calm(), window_frames, unacked_ms_max)
        self.context = copy_context()  # for what goes on while a node's own code does not
        self.subscriptions: dict[str, dict[MemoryTransport, Subscription]] = {}  # gossip endpoint -> subscribers
        self._transports: dict[str, MemoryTransport] = {}  # link endpoint -> who is open there

    def transport(self, name: str, *, cookie: bytes = b"") -> MemoryTransport:
        """A transport for the node ``name``: it listens where the part after ``@`` says."""
        return MemoryTransport(self, name, cookie)

    def crash(self, name: str) -> None:
        """Kill the machine's node: peers that can be reached learn it as from a kernel, by the end of connections."""
        self.stalled.pop(name, None)
        for transport in [each for each in self._transports.values() if each.name == name]:
            transport.leave(self.faults.kept)

    def stall(self, name: str) -> None:
        """SIGSTOP: no beats, no handshakes. Suspend the node's callbacks beside it."""
        self.stalled[name] = None

    def resume(self, name: str) -> None:
        """SIGCONT."""
        self.stalled.pop(name, None)
        self.routes_changed()

    def reset(self, dialler: str, acceptor: str) -> None:
        """End the connections from one machine to another, as a kernel or a box on the way may; nobody is cut off."""
        for connection in list(self.connections):
            if (connection.dialler, connection.acceptor) == (dialler, acceptor):
                connection.break_soon()

    def routes_changed(self) -> None:
        """Call after ``faults.passes`` began to answer otherwise: connections and waiting dials look again."""
        for connection in list(self.connections):
            connection.route_changed()
        for dial in list(self.dials):
            dial.route_changed()
        for subscribers in self.subscriptions.values():
            for subscription in subscribers.values():
                subscription.route_changed()

    def transport_at(self, endpoint: str) -> MemoryTransport | None:
        """Who listens there."""
        return self._transports.get(endpoint)

    def opened(self, transport: MemoryTransport) -> None:
        """The transport listens from now on; those who subscribed to its predecessor find it.

        Raises:
            NameInUse: another listens there.
        """
        if transport.endpoint in self.listeners:
            raise NameInUse(transport.name, f"{transport.endpoint} is taken")
        self._transports[transport.endpoint] = self.listeners[transport.endpoint] = transport
        self.owners[transport.endpoint] = self.owners[transport.gossip] = transport.name
        for subscription in self.subscriptions.get(transport.gossip, {}).values():
            subscription.pause_ms(self.faults.retry_ms())

    def closed(self, transport: MemoryTransport) -> None:
        """The transport listens and hears no more. Idempotent."""
        if self._transports.get(transport.endpoint) is transport:
            del self._transports[transport.endpoint], self.listeners[transport.endpoint]
        for subscribers in self.subscriptions.values():
            subscribers.pop(transport, None)


class MemoryTransport:
    """One node's end: see ``transport.interface.Transport``."""

    def __init__(self, network: MemoryNetwork, name: str, cookie: bytes) -> None:
        address = name.rpartition("@")[2]
        self.network = network
        self.name = name
        self.cookie = cookie
        self.endpoint = f"tcp://{address}"
        self.gossip = f"gossip://{address}"
        self.context: Context = network.context
        self.incoming: dict[bytes, Connection] = {}
        self._handler: Handler | None = None
        self._is_open = False
        self._dials: dict[MemoryDial, None] = {}
        self._beat: asyncio.TimerHandle | None = None
        self._beat_count = 0
        self._turned_s = 0.0

    @property
    def handler(self) -> Handler:
        assert self._handler is not None, "open() comes first"
        return self._handler

    async def open(self, handler: Handler) -> Endpoints:
        self._handler = handler
        self.context = copy_context()
        self._turned_s = self.network.loop.time()
        self.network.opened(self)
        self._is_open = True
        return Endpoints(links=(self.endpoint,), gossip=(self.gossip,))

    def dial(
        self, endpoint: str, on_event: Callable[[DialEvent], None], on_reply: Callable[[bytes], None], node: str = ""
    ) -> MemoryDial:
        dial = MemoryDial(self.network, self, endpoint, on_event, on_reply)
        self._dials[dial] = None
        return dial

    def forget(self, dial: MemoryDial) -> None:
        self._dials.pop(dial, None)

    def admits(self, source: bytes, frame: bytes) -> bool:
        return True

    def identity(self, source: bytes) -> None:
        return None

    def receive(self, source: bytes, frames: list[bytes]) -> None:
        inlet = self.handler.inlet
        inlet.begin_batch()
        for frame in frames:
            inlet.feed_bytes(source, frame)
        inlet.end_batch()

    def reply(self, source: bytes, frame: bytes) -> bool:
        connection = self.incoming.get(source)
        if connection is None:
            return False
        connection.backward.push(frame)
        return True

    def subscribe(self, endpoint: str, node: str = "") -> None:
        subscribers = self.network.subscriptions.setdefault(endpoint, {})
        if self not in subscribers:
            subscribers[self] = Subscription(self.network, endpoint, self)

    def unsubscribe(self, endpoint: str) -> None:
        self.network.subscriptions.get(endpoint, {}).pop(self, None)

    def publish(self, frame: bytes) -> None:
        if not self._is_open:
            return
        for subscription in list(self.network.subscriptions.get(self.gossip, {}).values()):
            subscription.offer(frame)

    def hear(self, frame: bytes) -> None:
        """A gossip frame arrived; in flight it may have outlived us."""
        if self._is_open:
            self.handler.on_gossip(frame)

    def knock(self, endpoint: str, datagram: bytes) -> None:
        network, there = self.network, self.network.transport_at(endpoint)
        if there is None or not network.faults.passes(self.name, there.name):
            return
        delay_ms = network.faults.gossip_ms(self.name, there.name)
        if delay_ms is not None:
            take, context = there.take_datagram, there.context
            network.loop.call_later(delay_ms / 1000, take, datagram, self.endpoint, context=context)

    def take_datagram(self, datagram: bytes, source: str) -> None:
        """In flight it may have outlived us."""
        if self._is_open:
            self.handler.on_datagram(datagram, source)

    def start_beats(self, prefix: bytes, interval_ms: int) -> None:
        if self._beat is not None:
            self._beat.cancel()
        self._publish_beat(prefix, interval_ms)

    def _publish_beat(self, prefix: bytes, interval_ms: int) -> None:
        loop = self.network.loop
        if self.name not in self.network.stalled:
            self._beat_count += 1
            lag_ms = round((loop.time() - self._turned_s) * 1000)
            self.publish(prefix + BEAT.pack(self._beat_count, lag_ms))
        # In the network's context, as the native beat thread: it goes on whatever the node's loop does.
        self._beat = loop.call_later(
            interval_ms / 1000, self._publish_beat, prefix, interval_ms, context=self.network.context
        )

    def turned(self) -> None:
        self._turned_s = self.network.loop.time()

    async def close(self) -> None:
        self.leave(keep_all)

    def leave(self, kept: Callable[[int], int]) -> None:
        """End every connection; ``kept`` says how many frames in flight still arrive."""
        self._is_open = False
        self.network.closed(self)
        if self._beat is not None:
            self._beat.cancel()
        for dial in list(self._dials):
            dial.leave(kept)
        for connection in list(self.incoming.values()):
            connection.acceptor_left(kept)


class Subscription:
    """The gossip of one publisher to one subscriber: in order, and lossy."""

    def __init__(self, network: MemoryNetwork, endpoint: str, subscriber: MemoryTransport) -> None:
        self._network = network
        self._endpoint = endpoint
        self._subscriber = subscriber
        self._last_due = 0.0
        self._active_from = 0.0
        self._is_cut = False
        self.pause_ms(network.faults.latency_ms(*self.route))

    @property
    def route(self) -> tuple[str, str]:
        """From whom to whom; who publishes there may be known only later."""
        return self._network.owner(self._endpoint), self._subscriber.name

    def pause_ms(self, ms: float) -> None:
        """Lose what is published in the next ``ms``: it takes that long to connect."""
        self._active_from = self._network.loop.time() + ms / 1000

    def route_changed(self) -> None:
        """After a cut a connection is silent for a while longer. Measured on TCP: seconds after a long cut."""
        was_cut, self._is_cut = self._is_cut, not self._network.faults.passes(*self.route)
        if was_cut and not self._is_cut:
            self.pause_ms(self._network.faults.notice_ms())

    def offer(self, frame: bytes) -> None:
        """Send the frame, or lose it."""
        loop, faults, route = self._network.loop, self._network.faults, self.route
        if loop.time() < self._active_from or not faults.passes(*route):
            return
        for _ in range(2 if faults.gossip_twice() else 1):
            delay_ms = faults.gossip_ms(*route)
            if delay_ms is None:
                continue
            due = loop.time() + delay_ms / 1000
            if not faults.gossip_overtakes():
                self._last_due = due = max(self._last_due, due)
            loop.call_at(due, self._subscriber.hear, frame, context=self._subscriber.context)
