"""The driver of sessions: what happens on connections goes in, what the sessions ask for is done.

    hooks.connect ─┐                      ┌─> transport   dial, close, send, reply
    control frames ┼──> Session.on ──────>┼─> scheduler   link_up, link_down
    dial events ───┤     (one per peer)   ├─> watcher     on_up, on_down
    ticks ─────────┘                      └─> waiters     True, False

Invariants: a session's actions are performed in their order, and those of one input before those of the next, also
when performing one leads to another input. ``up`` holds exactly the peers between Up and Down, before anybody is told.
A peer that never got as far as a valid offer leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from random import Random
from typing import Any, Protocol

from zmqcluster import telemetry
from zmqcluster.core import Link, Scheduler
from zmqcluster.errors import ClusterError, ConfigError, DecodeError
from zmqcluster.ids import NodeName
from zmqcluster.protocol import handshake, steps
from zmqcluster.protocol.handshake import Control, Hello, Introduction, Ready, Refused, Welcome
from zmqcluster.protocol.session import Session, State
from zmqcluster.protocol.steps import ConnectAsked, DialConnected, DialLost, End, LeaveAsked
from zmqcluster.runtime.throttle import Throttle
from zmqcluster.runtime.timing import Timing
from zmqcluster.transport.interface import Dial, DialEvent, Transport
from zmqcluster.transport.rundir import nearest
from zmqcluster.wire.schema import decode_control, encode_control

__all__ = ["Links", "Resolve", "Watcher"]

PEERS_MAX = 10_000  # names a node keeps a session for; the idle ones go first
UNSENT_MAX = 8  # control frames that wait for a full connection
LINGER_S = 0.1  # for the last control frame of a session to leave

log = logging.getLogger("zmqcluster.node")

Resolve = Callable[[NodeName], Awaitable[tuple[str, ...]]]

PROBLEMS = {
    DialEvent.REFUSED: "nobody listens there",
    DialEvent.DISCONNECTED: "the connection broke",
    DialEvent.AUTH_FAILED: "it does not share our cookie",
    DialEvent.HANDSHAKE_FAILED: "the connection was refused during its handshake; does it share our cookie?",
}


class Watcher(Protocol):
    """Who is told of sessions."""

    def on_up(self, peer: str, node: Introduction) -> None: ...

    def on_down(self, peer: str, reason: str) -> None: ...


class Peer:
    """One other node: its session, and what of the transport and the core belongs to it now."""

    def __init__(self, name: str, session: Session) -> None:
        self.name = name
        self.session = session
        self.link: Link | None = None
        self.dial: Dial | None = None
        self.dial_number = 0
        self.source = b""
        self.unsent: list[bytes] = []
        self.waiters: list[asyncio.Future[bool]] = []
        self.resolving: asyncio.Task[None] | None = None
        self.left_ms = 0

    def is_forgettable(self) -> bool:
        """Whether nothing is known of it that a new record would not know."""
        return self.session.state is State.IDLE and self.session.heard is None and self.resolving is None


class Links:
    """The sessions of one node.

    Args:
        own: what the node says of itself, endpoints included.
        scheduler: the core, whose links live and die with the sessions.
        transport: opened already.
        random: draws epochs.
        resolve: finds where a node may be dialled, from its name.
        watcher: is told of sessions that begin and end.
    """

    def __init__(
        self,
        own: Introduction,
        scheduler: Scheduler,
        transport: Transport,
        *,
        timing: Timing,
        random: Random,
        resolve: Resolve,
        watcher: Watcher,
    ) -> None:
        self.own = own
        self.up: dict[str, Introduction] = {}
        self.counters = {"control_malformed": 0, "refused": 0}
        self._scheduler = scheduler
        self._transport = transport
        self._timing = timing
        self._random = random
        self._resolve = resolve
        self._watcher = watcher
        self._loop = asyncio.get_running_loop()
        self._attempts = count(1)
        self._peers: dict[str, Peer] = {}
        self._sources: dict[bytes, Peer] = {}
        self._actions: deque[tuple[Peer, steps.Action]] = deque()
        self._is_performing = False
        self._is_leaving = False
        self._all_left = asyncio.Event()
        self._lingering: dict[Dial, asyncio.TimerHandle] = {}
        self._first_uses = Throttle(timing.retry_ms)
        self._log_throttle = Throttle()

    def now_ms(self) -> int:
        return int(self._loop.time() * 1000)

    # --- asked by this node

    def connect(self, node: str) -> Link | None:
        """The core's first use of ``node``: return a link that waits for the session, or None."""
        peer = self._peer(node)
        if peer is None:
            return None
        if peer.link is None:
            if peer.session.state is State.IDLE and not self._first_uses.passes(node, self.now_ms()):
                self._forget_if_new(peer)
                return None
            peer.link = self._scheduler.open_link(node)
            self._start(peer, ())
        return peer.link  # None when the attempt failed at once

    def ask(self, node: str, endpoints: tuple[str, ...] = ()) -> asyncio.Future[bool]:
        """Connect to ``node``; the future tells whether a session is up."""
        waiter: asyncio.Future[bool] = self._loop.create_future()
        peer = self._peer(node)
        if peer is None or node in self.up:
            waiter.set_result(peer is not None)
            return waiter
        peer.waiters.append(waiter)
        self._start(peer, endpoints)
        return waiter

    def end(self, node: str, reason: str) -> bool:
        """End the session with ``node``, or the attempt at one; return whether one was up."""
        was_up = node in self.up
        if node in self._peers:
            self._tell(self._peers[node], End(reason))
        return was_up

    def is_wanted(self, node: str, incarnation: int | None) -> bool:
        """Whether to look for ``node``: not for a while after it said goodbye, unless it is known to be back."""
        peer = self._peers.get(node)
        if peer is None or not peer.session.has_left or peer.session.heard is None:
            return True
        if incarnation is not None and incarnation != peer.session.heard[0]:
            return True
        return self.now_ms() - peer.left_ms >= self._timing.rejoin_ms

    async def leave(self) -> None:
        """Send what is to be sent, say goodbye to all peers and wait for their answers, but not for long."""
        self._is_leaving = True
        try:
            async with asyncio.timeout(self._timing.goodbye_ms / 1000):
                await self._say_goodbye()
        except TimeoutError:
            log.info("%s leaves without an answer to its goodbye from %s", self.own.name, ", ".join(self.up))
        for peer in list(self._peers.values()):
            self._tell(peer, End(steps.STOPPED))
            if peer.resolving:
                peer.resolving.cancel()
        for dial, closing in list(self._lingering.items()):
            await asyncio.sleep(closing.when() - self._loop.time())
            self._close_lingering(dial)

    async def _say_goodbye(self) -> None:
        pause_s = 0.0  # what this turn has sent leaves with its end
        while any(peer.link and peer.link.buffered_bytes for peer in self._peers.values() if peer.name in self.up):
            await asyncio.sleep(pause_s)
            pause_s = self._timing.tick_ms / 1000
        for peer in list(self._peers.values()):
            self._tell(peer, LeaveAsked() if peer.name in self.up else End(steps.STOPPED))
        if self.up:
            await self._all_left.wait()

    # --- told by transport, core and clock

    def on_control(self, source: bytes, frame: bytes) -> None:
        """Take a frame of a session's set-up or end."""
        try:
            message = decode_control(frame)
        except DecodeError as error:
            self.counters["control_malformed"] += 1
            self._warn("malformed", "a peer of %s sent a malformed control frame: %s", self.own.name, error)
            return
        if isinstance(message, Hello | Welcome):
            self._on_offer(message, source)
        elif peer := self._sources.get(source):
            self._tell(peer, message, source)
        elif isinstance(message, Ready) and (peer := self._peer(message.name)):
            self._tell(peer, message, source)
            self._forget_if_new(peer)

    def _on_offer(self, offer: Hello | Welcome, source: bytes) -> None:
        if self._is_leaving:
            self._send_back(source, Refused(offer.epoch, handshake.LEAVING))
            return
        peer = self._record(offer.node.name)
        self._tell(peer, offer, source)
        if peer.session.source == source:
            self._sources.pop(peer.source, None)
            self._sources[source] = peer
            peer.source = source

    def _on_reply(self, peer: Peer, number: int, frame: bytes) -> None:
        try:
            if number == peer.dial_number:
                self._tell(peer, decode_control(frame))
        except DecodeError:
            self.counters["control_malformed"] += 1

    def on_link_broken(self, link: Link, problem: str) -> None:
        """The core met a frame that must not be there."""
        peer = self._peers.get(link.node)
        if peer and peer.link is link:
            log.warning("%s ends the session with %s: %s", self.own.name, link.node, problem)
            self._tell(peer, End(steps.PROTOCOL_ERROR))

    def on_tick(self, now_ms: int) -> None:
        """Let sessions whose time has come look at it."""
        for peer in list(self._peers.values()):
            deadline_ms = peer.session.deadline_ms()
            if deadline_ms is not None and now_ms >= deadline_ms:
                self._perform(peer, peer.session.on_tick(now_ms))

    def _on_dial_event(self, peer: Peer, number: int, event: DialEvent) -> None:
        if number != peer.dial_number:
            return  # of one that lingers
        if event is DialEvent.WRITABLE:
            self._send_unsent(peer)
        elif event is DialEvent.CONNECTED:
            self._tell(peer, DialConnected())
        else:
            if event in (DialEvent.AUTH_FAILED, DialEvent.HANDSHAKE_FAILED):
                self._warn((peer.name, event), "%s can't connect to %s: %s", self.own.name, peer.name, PROBLEMS[event])
            self._tell(peer, DialLost(PROBLEMS[event]))

    # --- records of peers

    def _peer(self, node: str) -> Peer | None:
        """The record of a node that may be dialled; None for ourselves, for what is no name, and on leaving."""
        if node in self._peers:
            return None if self._is_leaving else self._peers[node]
        if self._is_leaving or node == self.own.name:
            return None
        try:
            return self._record(NodeName.parse(node))
        except ConfigError:
            return None

    def _record(self, name: str) -> Peer:
        peer = self._peers.get(name)
        if peer is None:
            session = Session(
                self.own,
                name,
                draw=partial(self._random.getrandbits, 64),
                next_attempt=partial(next, self._attempts),
                setup_ms=self._timing.setup_ms,
                verify_ms=self._timing.verify_ms,
            )
            if len(self._peers) >= PEERS_MAX:
                self._forget_one()
            peer = self._peers[name] = Peer(name, session)
        return peer

    def _forget_one(self) -> None:
        idle = (name for name, peer in self._peers.items() if peer.session.state is State.IDLE and not peer.resolving)
        name = next(idle, None)
        if name is not None:
            del self._peers[name]

    # --- inputs and actions

    def _start(self, peer: Peer, endpoints: tuple[str, ...]) -> None:
        if peer.session.state is not State.IDLE or peer.resolving:
            return
        if endpoints:
            self._tell(peer, ConnectAsked(endpoints))
        else:
            peer.resolving = self._loop.create_task(self._resolve_and_connect(peer))

    async def _resolve_and_connect(self, peer: Peer) -> None:
        try:
            endpoints = await self._resolve(NodeName.parse(peer.name))
        except (OSError, ClusterError) as error:
            endpoints = ()
            self._warn((peer.name, "resolve"), "%s can't resolve %s: %s", self.own.name, peer.name, error)
        finally:
            peer.resolving = None
        self._tell(peer, ConnectAsked(endpoints))

    def _tell(self, peer: Peer, event: object, source: bytes = b"") -> None:
        self._perform(peer, peer.session.on(event, self.now_ms(), source))

    def _perform(self, peer: Peer, actions: list[steps.Action]) -> None:
        self._actions.extend((peer, action) for action in actions)
        if self._is_performing:
            return
        self._is_performing = True
        try:
            while self._actions:
                peer, action = self._actions.popleft()
                PERFORM[type(action)](self, peer, action)
                if not self._actions:
                    self._forget_if_new(peer)
        finally:
            self._is_performing = False

    def _forget_if_new(self, peer: Peer) -> None:
        if peer.is_forgettable():
            self._peers.pop(peer.name, None)

    def _dial(self, peer: Peer, dial: steps.Dial) -> None:
        peer.dial_number += 1
        on_event = partial(self._on_dial_event, peer, peer.dial_number)
        on_reply = partial(self._on_reply, peer, peer.dial_number)
        try:
            if nearest((dial.endpoint,)) is None:
                raise ConfigError("not on this host")
            peer.dial = self._transport.dial(dial.endpoint, on_event, on_reply)
        except (OSError, ClusterError) as error:
            self._tell(peer, DialLost(f"{dial.endpoint}: {error}"))

    def _close_dial(self, peer: Peer, close: steps.CloseDial) -> None:
        dial, peer.dial = peer.dial, None
        peer.dial_number += 1
        peer.unsent.clear()
        if dial and close.lingers:
            self._lingering[dial] = self._loop.call_later(LINGER_S, self._close_lingering, dial)
        elif dial:
            dial.close()

    def _close_lingering(self, dial: Dial) -> None:
        if closing := self._lingering.pop(dial, None):
            closing.cancel()
            dial.close()

    def _send_control(self, peer: Peer, send: steps.SendControl) -> None:
        frame = encode_control(send.message)
        if peer.dial is None or (not peer.unsent and peer.dial.outlet.push_bytes(frame)):
            return
        if len(peer.unsent) < UNSENT_MAX:
            peer.unsent.append(frame)

    def _send_unsent(self, peer: Peer) -> None:
        """The connection has room again: first what the core has cut, then control."""
        if peer.link and peer.name in self.up:
            peer.link.writable()
        while peer.unsent and peer.dial and peer.dial.outlet.push_bytes(peer.unsent[0]):
            del peer.unsent[0]

    def _send_back(self, source: bytes, message: Control) -> None:
        self._transport.reply(source, encode_control(message))

    def _perform_send_back(self, _: Peer, send: steps.SendBack) -> None:
        self._send_back(send.source, send.message)

    def _on_session_up(self, peer: Peer, up: steps.Up) -> None:
        assert peer.dial is not None
        if peer.link is None:
            peer.link = self._scheduler.open_link(peer.name)
        self._scheduler.link_up(peer.link, peer.dial.outlet, up.epoch, up.source, up.node.incarnation)
        self.up[peer.name] = up.node
        peer.dial.established()
        telemetry.emit("zmqcluster.node.up", node=self.own.name, peer=peer.name)
        self._watcher.on_up(peer.name, up.node)
        self._answer_waiters(peer, True)

    def _on_session_down(self, peer: Peer, down: steps.Down) -> None:
        del self.up[peer.name]
        peer.left_ms = self.now_ms()
        self._drop_link(peer, down.reason)
        log.info("%s: %s is down: %s", self.own.name, peer.name, down.reason)
        telemetry.emit("zmqcluster.node.down", node=self.own.name, peer=peer.name, reason=down.reason)
        self._watcher.on_down(peer.name, down.reason)
        if not self.up:
            self._all_left.set()

    def _on_failed(self, peer: Peer, failed: steps.Failed) -> None:
        log.debug("%s could not connect to %s: %s", self.own.name, peer.name, failed.problem)
        self._drop_link(peer, failed.problem)
        self._answer_waiters(peer, False)

    def _drop_link(self, peer: Peer, reason: str) -> None:
        self._sources.pop(peer.source, None)
        link, peer.link = peer.link, None
        if link:
            self._scheduler.link_down(link, reason)

    def _answer_waiters(self, peer: Peer, is_up: bool) -> None:
        waiters, peer.waiters = peer.waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(is_up)

    def _log_refusal(self, peer: Peer, entry: steps.Log) -> None:
        self.counters["refused"] += 1
        text = "%s was refused by %s: %s" if entry.by_peer else "%s refused %s: %s"
        refused = entry.refused
        self._warn((peer.name, refused.reason, entry.by_peer), text, self.own.name, peer.name, refused.detail)

    def _warn(self, key: object, text: str, *fields: object) -> None:
        if self._log_throttle.passes(key, self.now_ms()):
            log.warning(text, *fields)


PERFORM: dict[type, Callable[[Links, Peer, Any], None]] = {
    steps.Dial: Links._dial,
    steps.CloseDial: Links._close_dial,
    steps.SendControl: Links._send_control,
    steps.SendBack: Links._perform_send_back,
    steps.Up: Links._on_session_up,
    steps.Down: Links._on_session_down,
    steps.Failed: Links._on_failed,
    steps.Log: Links._log_refusal,
}
