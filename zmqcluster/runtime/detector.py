"""The failure detector of a node, driven: beats and probes go in, verdicts come out.

    gossip BEAT, links' probes, data ──> Membership ──> probes to peers' links
    knocks' ACK ─────────────────────────────^
                                             ├────────> logs and telemetry: stalled, resumed, suspect, refuted
                                             └────────> on_verdict: the session ends
    a session ended here ──LOST──> gossip, a few times, and the helpers: the peer need not find out by itself

A suspected peer is asked over its link, and at each tick with a datagram: a link may be busy repeating what was lost.

Invariant: only what belongs to the session that is up counts; the epoch in a LOST says which session is meant, and
proves a datagram.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from zmqcluster import telemetry
from zmqcluster.protocol import steps
from zmqcluster.protocol.broadcasts import Broadcasts
from zmqcluster.protocol.effects import Effect, Emit, Send
from zmqcluster.protocol.handshake import HIDDEN, Introduction
from zmqcluster.protocol.membership import Membership
from zmqcluster.protocol.probes import Lost, Probe
from zmqcluster.protocol.signs import (
    Beat,
    NodeState,
    PeerRefuted,
    PeerResumed,
    PeerSilent,
    PeerStalled,
    PeerSuspected,
)
from zmqcluster.runtime.records import record
from zmqcluster.runtime.timing import Timing
from zmqcluster.transport.rundir import nearest
from zmqcluster.wire.datagrams import Knock, decode_knock, encode_knock, is_proven
from zmqcluster.wire.frames import Kind, LostFrame, lost_frame

__all__ = ["Detector", "Prober"]

TRANSMITS_MULT = 2  # how often a LOST is told, see ``broadcasts``. Source: RetransmitMult of memberlist's local preset
TRANSMITS_PER_TICK_MAX = 32

# Verdicts of ours that the peer may not have noticed; of all others it is told, or was the cause.
UNTOLD = (steps.SILENCE, steps.CUT_OFF, steps.CONNECTION_CLOSED)

log = logging.getLogger("zmqcluster.node")

Verdict = Callable[[str, str], object]  # peer, reason


class Prober(Protocol):
    """What a detector asks of the node's links."""

    def send_probe(self, peer: str, probe: Probe) -> None:
        """Send on the link of a peer with a session; may be lost."""

    def received_bytes(self, peer: str) -> int:
        """How much data the session of ``peer`` has brought."""
        ...

    def epoch_of(self, peer: str) -> int | None:
        """The epoch of the session with ``peer``."""
        ...


class Detector:
    """Who of the peers lives.

    Args:
        name: the node's own, with its incarnation.
        prober: sends probes.
        publish: sends a gossip frame to all peers; may be lost.
        knock: sends a datagram to an endpoint; may be lost.
        on_verdict: told which session is to end, and for which reason of ``protocol.steps``.
    """

    def __init__(
        self,
        name: str,
        incarnation: int,
        timing: Timing,
        *,
        random: Random,
        prober: Prober,
        publish: Callable[[bytes], None],
        knock: Callable[[str, bytes], None],
        on_verdict: Verdict,
    ) -> None:
        self._name = name
        self._incarnation = incarnation
        self._prober = prober
        self._publish = publish
        self._knock = knock
        self._on_verdict = on_verdict
        self._membership = Membership(timing.limits, Random(random.getrandbits(64)).sample)
        self._epochs: dict[str, int] = {}  # of the sessions that are up
        self._doors: dict[str, str] = {}  # where to knock, of the same
        self._received: dict[str, int] = {}  # bytes, of the peers that are suspected
        self._broadcasts = Broadcasts(TRANSMITS_MULT)

    def state(self, peer: str) -> NodeState:
        """What is thought of ``peer``."""
        return self._membership.state(peer)

    # --- told of sessions

    def on_up(self, peer: str, node: Introduction, now_ms: int) -> None:
        """A session began."""
        epoch = self._prober.epoch_of(peer)
        if epoch is not None:
            self._epochs[peer] = epoch
        if (door := nearest(node.links)) is not None:
            self._doors[peer] = door
        self._broadcasts.drop(peer)
        helps = HIDDEN not in node.capabilities
        self._perform(self._membership.on_node_up(peer, now_ms, node.incarnation, helps))

    def on_down(self, peer: str, reason: str, now_ms: int) -> None:
        """A session ended."""
        epoch = self._epochs.pop(peer, None)
        if epoch is not None and reason in UNTOLD:
            self._broadcasts.add(peer, lost_frame(self._name, self._incarnation, peer, epoch))
        self._received.pop(peer, None)
        self._doors.pop(peer, None)
        self._perform(self._membership.on_node_down(peer, now_ms))

    # --- told by peers

    def on_beat(self, peer: str, number: int, lag_ms: int, now_ms: int) -> None:
        """A beat of the session that is up."""
        if effects := self._membership.on_message(peer, Beat(number, lag_ms), now_ms):
            self._perform(effects)

    def on_lost(self, lost: LostFrame) -> None:
        """A peer has given up its session with somebody."""
        if lost.target == self._name:
            self._end_lost(lost.name, lost.epoch)

    def on_probe(self, peer: str, probe: Probe, now_ms: int) -> None:
        """A probe came on the link of ``peer``."""
        if not isinstance(probe, Lost):
            self._perform(self._membership.on_message(peer, probe, now_ms))
        elif probe.target == self._name:
            self._end_lost(probe.by, probe.epoch)
        elif probe.by == peer:  # asked of us as a helper; what was passed on is not passed on again
            self._prober.send_probe(probe.target, probe)

    def on_datagram(self, datagram: bytes, source: str, now_ms: int) -> None:
        """A datagram came from the endpoint ``source``.

        Raises:
            DecodeError: it is none of ours.
        """
        knock = decode_knock(datagram)
        epoch = self._epochs.get(knock.name)
        if epoch is None or not is_proven(datagram, epoch):
            return
        if knock.kind is Kind.PING:
            answer = Knock(Kind.ACK, self._incarnation, self._name, knock.number)
            self._knock(source, encode_knock(answer, epoch))
        else:  # the number is the time at which we asked, so the peer lived then or later
            self._perform(self._membership.on_echo(knock.name, knock.number, now_ms))

    def _end_lost(self, peer: str, epoch: int) -> None:
        if self._epochs.get(peer) == epoch:
            log.info("%s: %s has given up the session with us", self._name, peer)
            self._on_verdict(peer, steps.CONNECTION_CLOSED)

    # --- time

    def on_tick(self, now_ms: int) -> None:
        """Look for silence, and say again what may have been lost."""
        if self._received or self._membership.suspects():
            self._look_for_data(now_ms)
            self._knock_at_suspects(now_ms)
        self._perform(self._membership.on_tick(now_ms))
        if self._broadcasts:
            for frame in self._broadcasts.take(1 + len(self._epochs), TRANSMITS_PER_TICK_MAX):
                self._publish(frame)

    def _look_for_data(self, now_ms: int) -> None:
        """Whoever sends data lives, whatever became of its beats."""
        suspects = self._membership.suspects()
        received = {peer: self._prober.received_bytes(peer) for peer in suspects}
        for peer in suspects:
            if received[peer] != self._received.get(peer, received[peer]):
                self._perform(self._membership.on_sign(peer, now_ms))
        self._received = received

    def _knock_at_suspects(self, now_ms: int) -> None:
        ping = Knock(Kind.PING, self._incarnation, self._name, now_ms)
        for peer in self._membership.suspects():
            if (door := self._doors.get(peer)) and (epoch := self._epochs.get(peer)) is not None:
                self._knock(door, encode_knock(ping, epoch))

    # --- what the core asks for

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self._prober.send_probe(effect.peer, effect.message)
            else:
                assert isinstance(effect, Emit)
                TELL[type(effect.event)](self, effect.event)

    def _stalled(self, event: PeerStalled) -> None:
        self._tell("stalled", "the loop of %s has not turned for %d ms", peer=event.peer, lag_ms=event.lag_ms)

    def _resumed(self, event: PeerResumed) -> None:
        self._tell("resumed", "the loop of %s turns again", peer=event.peer)

    def _suspected(self, event: PeerSuspected) -> None:
        text = "nothing from %s for %d ms; asked: %s"
        self._tell("suspect", text, peer=event.peer, silent_ms=event.silent_ms, helpers=event.helpers)

    def _refuted(self, event: PeerRefuted) -> None:
        self._tell("refuted", "%s lives", peer=event.peer)

    def _tell(self, event: str, text: str, **fields: object) -> None:
        """Log ``text`` with the values of ``fields``, and emit the event with them."""
        log.info(f"%s: {text}", self._name, *fields.values(), extra=record(f"node.{event}", node=self._name, **fields))
        telemetry.emit(f"zmqcluster.node.{event}", node=self._name, **fields)

    def _silent(self, event: PeerSilent) -> None:
        heard = f", though {', '.join(event.vouchers)} can hear it" if event.vouchers else ""
        log.warning("%s: no sign of life from %s for %d ms%s", self._name, event.peer, event.silent_ms, heard)
        epoch = self._epochs.get(event.peer)
        if epoch is not None:
            for helper in event.helpers:
                self._prober.send_probe(helper, Lost(self._name, event.peer, epoch))
        self._on_verdict(event.peer, steps.CUT_OFF if event.vouchers else steps.SILENCE)


TELL: dict[type, Callable[[Detector, Any], None]] = {
    PeerStalled: Detector._stalled,
    PeerResumed: Detector._resumed,
    PeerSuspected: Detector._suspected,
    PeerRefuted: Detector._refuted,
    PeerSilent: Detector._silent,
}
