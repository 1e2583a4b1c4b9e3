"""Does what the sessions ask for, and tells them what became of it.

    Session ──actions──> Performer ──> transport   dial, close, send, reply
       ^                     ├───────> scheduler   link_up, link_down
       └──── dial events ────┤ ──────> watcher     on_up, on_down
                             └───────> waiters     True, False

Invariants: actions are performed in their order, those of one input before those of the next, also when performing one
leads to another input. ``up`` holds exactly the peers between Up and Down, and changes before anybody is told.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Protocol

from zmqcluster import telemetry
from zmqcluster.core import Scheduler
from zmqcluster.errors import ClusterError, ConfigError, DecodeError
from zmqcluster.protocol import handshake, steps
from zmqcluster.protocol.handshake import HIDDEN, Control, Hello, Introduction, Neighbour, Refused, Welcome
from zmqcluster.protocol.probes import Probe
from zmqcluster.protocol.steps import DialConnected, DialLost
from zmqcluster.runtime.peers import Peer, Peers
from zmqcluster.runtime.records import record
from zmqcluster.runtime.throttle import Throttle
from zmqcluster.transport.interface import Dial, DialEvent, Transport
from zmqcluster.transport.rundir import nearest
from zmqcluster.wire.schema import decode_control, encode_control

__all__ = ["Performer", "Watcher"]

PROBLEMS_MAX = 1_000  # nodes whose last problem is remembered
WRONG_COOKIE: Final = "cookie"  # beside the reasons of the handshake
UNSENT_MAX = 8  # control frames that wait for a full connection
LINGER_S = 0.1  # for the last control frame of a session to leave

log = logging.getLogger("zmqcluster.node")

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

    def on_probe(self, peer: str, probe: Probe) -> None: ...

    def on_neighbours(self, neighbours: Sequence[Neighbour]) -> None: ...


class Performer:
    """Performs the actions of all sessions of the node ``name``; counts what was refused or malformed."""

    def __init__(
        self,
        name: str,
        peers: Peers,
        scheduler: Scheduler,
        transport: Transport,
        watcher: Watcher,
        counters: Counter[str],
    ) -> None:
        self.up: dict[str, Introduction] = {}
        self.problems: dict[str, str] = {}
        self.all_down = asyncio.Event()
        self._name = name
        self._peers = peers
        self._scheduler = scheduler
        self._transport = transport
        self._watcher = watcher
        self._counters = counters
        self._loop = asyncio.get_running_loop()
        self._actions: deque[tuple[Peer, steps.Action]] = deque()
        self._is_performing = False
        self._lingering: dict[Dial, asyncio.TimerHandle] = {}
        self._said = Throttle()

    def now_ms(self) -> int:
        return int(self._loop.time() * 1000)

    # --- inputs

    def tell(self, peer: Peer, event: object, source: bytes = b"") -> None:
        """Give the peer's session an input, and do what it asks for."""
        self.perform(peer, peer.session.on(event, self.now_ms(), source))

    def perform(self, peer: Peer, actions: list[steps.Action]) -> None:
        self._actions.extend((peer, action) for action in actions)
        if self._is_performing:
            return
        self._is_performing = True
        try:
            while self._actions:
                next_peer, action = self._actions.popleft()
                PERFORM[type(action)](self, next_peer, action)
        finally:
            self._is_performing = False
        self._peers.forget_stranger(peer)

    def parse(self, frame: bytes) -> Control | Probe | None:
        """Return the control message, or None for a malformed frame."""
        try:
            return decode_control(frame)
        except DecodeError as error:
            self._counters["control_malformed"] += 1
            self.warn("malformed", "%s got a malformed control frame: %s", self._name, error)
            return None

    def warn(self, key: object, text: str, *fields: object, extra: dict[str, Any] | None = None) -> None:
        """Log ``text``, unless the same ``key`` was logged a moment ago."""
        if self._said.passes(key, self.now_ms()):
            log.warning(text, *fields, extra=extra)

    def _on_reply(self, peer: Peer, number: int, frame: bytes) -> None:
        message = self.parse(frame)
        if message is not None and number == peer.dial_number:
            self.tell(peer, message)

    def _on_dial_event(self, peer: Peer, number: int, event: DialEvent) -> None:
        if number != peer.dial_number:
            return  # of one that lingers
        if event is DialEvent.WRITABLE:
            self._send_unsent(peer)
        elif event is DialEvent.CONNECTED:
            self.tell(peer, DialConnected())
        else:
            if event in (DialEvent.AUTH_FAILED, DialEvent.HANDSHAKE_FAILED):
                peer.refusal = PROBLEMS[event]
                self._tell_of_refusal(peer, "%s can't connect to %s: %s", WRONG_COOKIE, PROBLEMS[event], by_peer=True)
            self.tell(peer, DialLost(PROBLEMS[event]))

    # --- actions on connections

    def _dial(self, peer: Peer, dial: steps.Dial) -> None:
        peer.dial_number += 1
        on_event = partial(self._on_dial_event, peer, peer.dial_number)
        on_reply = partial(self._on_reply, peer, peer.dial_number)
        try:
            if nearest((dial.endpoint,)) is None:
                raise ConfigError("not on this host")
            peer.dial = self._transport.dial(dial.endpoint, on_event, on_reply, peer.name)
        except (OSError, ClusterError) as error:
            self.tell(peer, DialLost(f"{dial.endpoint}: {error}"))

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

    async def linger(self) -> None:
        """Wait until the last words of ended sessions are out."""
        for dial, closing in list(self._lingering.items()):
            await asyncio.sleep(closing.when() - self._loop.time())
            self._close_lingering(dial)

    def _send_control(self, peer: Peer, send: steps.SendControl) -> None:
        self.send_control(peer, send.message)

    def send_control(self, peer: Peer, message: Control | Probe) -> None:
        """Send ``message`` on our own connection, before what the core sends from now on; at worst it is lost."""
        frame = encode_control(message)
        if peer.dial is None or (not peer.unsent and peer.dial.outlet.push_bytes(frame)):
            return
        if len(peer.unsent) < UNSENT_MAX:
            peer.unsent.append(frame)

    def _send_unsent(self, peer: Peer) -> None:
        """The connection has room again: first for what the core has cut, then for control."""
        if peer.link and peer.name in self.up:
            peer.link.writable()
        while peer.unsent and peer.dial and peer.dial.outlet.push_bytes(peer.unsent[0]):
            del peer.unsent[0]

    def send_back(self, source: bytes, message: Control) -> None:
        self._transport.reply(source, encode_control(message))

    def _send_back(self, _: Peer, send: steps.SendBack) -> None:
        self.send_back(send.source, send.message)

    # --- actions on sessions

    def _up(self, peer: Peer, up: steps.Up) -> None:
        assert peer.dial is not None
        if peer.link is None:
            peer.link = self._scheduler.open_link(peer.name)
        self._scheduler.link_up(peer.link, peer.dial.outlet, up.epoch, up.source, up.node.incarnation)
        self.up[peer.name] = up.node
        self.problems.pop(peer.name, None)
        peer.refusal = None
        peer.dial.established()
        self._log_up(peer, up)
        telemetry.emit("zmqcluster.node.up", node=self._name, peer=peer.name)
        self._watcher.on_up(peer.name, up.node)
        peer.answer_waiters(True)

    def _down(self, peer: Peer, down: steps.Down) -> None:
        del self.up[peer.name]
        peer.left_ms = self.now_ms()
        # What was sent and not confirmed: each of it was handled there or was not, and is not sent again.
        fields = {"reason": down.reason, "unacked_count": peer.link.unacked_count if peer.link else 0}
        self._drop_link(peer, down.reason)
        extra = record("node.down", node=self._name, peer=peer.name, **fields)
        log.info("%s: %s is down: %s", self._name, peer.name, down.reason, extra=extra)
        telemetry.emit("zmqcluster.node.down", node=self._name, peer=peer.name, **fields)
        self._watcher.on_down(peer.name, down.reason)
        if not self.up:
            self.all_down.set()

    def _failed(self, peer: Peer, failed: steps.Failed) -> None:
        log.debug("%s could not connect to %s: %s", self._name, peer.name, failed.problem)
        self.problems.pop(peer.name, None)
        self.problems[peer.name] = peer.refusal or failed.problem
        peer.refusal = None
        if len(self.problems) > PROBLEMS_MAX:
            del self.problems[next(iter(self.problems))]
        self.give_up(peer, failed.problem)

    def give_up(self, peer: Peer, problem: str) -> None:
        """Nobody need wait for a session any more."""
        self._drop_link(peer, problem)
        peer.answer_waiters(False)

    def _drop_link(self, peer: Peer, reason: str) -> None:
        self._peers.unbind(peer)
        link, peer.link = peer.link, None
        if link:
            self._scheduler.link_down(link, reason)

    def _heard(self, _: Peer, heard: steps.Heard) -> None:
        self._watcher.on_neighbours(heard.nodes)

    # --- telling people

    def _log_up(self, peer: Peer, up: steps.Up) -> None:
        fields = record(
            "node.up",
            node=self._name,
            peer=peer.name,
            node_type="hidden" if HIDDEN in up.node.capabilities else "visible",
            incarnation=up.node.incarnation,
            version=up.version,
            capabilities=up.node.capabilities,
            links=up.node.links,
        )
        log.info("%s: %s is up", self._name, peer.name, extra=fields)

    def _log_refusal(self, peer: Peer, entry: steps.Log) -> None:
        self._counters["refused"] += 1
        text = "%s was refused by %s: %s" if entry.by_peer else "%s refused %s: %s"
        self._tell_of_refusal(peer, text, entry.refused.reason, entry.refused.detail, by_peer=entry.by_peer)

    def refuse_impostor(self, source: bytes, offer: Hello | Welcome, proven: str) -> None:
        """The connection belongs to another node than the one its offer names."""
        detail = f"this connection belongs to {proven}, not to {offer.node.name} ({offer.node.incarnation})"
        self._counters["refused"] += 1
        self.warn((offer.node.name, handshake.IMPOSTOR), "%s refused %s: %s", self._name, offer.node.name, detail)
        self.send_back(source, Refused(offer.epoch, handshake.IMPOSTOR, detail))

    def _tell_of_refusal(self, peer: Peer, text: str, reason: str, detail: str, *, by_peer: bool) -> None:
        fields = {"node": self._name, "peer": peer.name, "reason": reason, "detail": detail, "by_peer": by_peer}
        extra = record("node.refused", **fields)
        self.warn((peer.name, reason, by_peer), text, self._name, peer.name, detail, extra=extra)
        telemetry.emit("zmqcluster.node.refused", **fields)


PERFORM: dict[type, Callable[[Performer, Peer, Any], None]] = {
    steps.Dial: Performer._dial,
    steps.CloseDial: Performer._close_dial,
    steps.SendControl: Performer._send_control,
    steps.SendBack: Performer._send_back,
    steps.Up: Performer._up,
    steps.Down: Performer._down,
    steps.Failed: Performer._failed,
    steps.Log: Performer._log_refusal,
    steps.Heard: Performer._heard,
}
