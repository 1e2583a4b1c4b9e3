"""Who is alive: judged by beats, doubted with the help of others, and given up only then.

    up ──lag of its loop above stalled_ms──> stalled ──lag small──> up         it beats: its loop is busy, no more
    up, stalled ──unheard for suspect_ms──> suspect: PING it, ask k others
    suspect ──any sign of life──> up: refuted
            ──unheard for silence_ms, and nobody asked has heard it──> down
            ──unheard for unreachable_ms, whatever others hear──> down: our link to it is gone
            ──only datagrams for unacked_ms──> down: they carry no messages

A sign of life is whatever came from the peer itself: a beat, an answer, data. That others hear it buys time, so that a
bad connection can recover, but not for ever: every view is settled within 2 × silence_ms of the last change. Between
the two limits the answers decide, see ``suspicion``. Who is stalled, suspected or paused has no say about others.

Invariants: per session at most one PeerSilent; PeerStalled and PeerResumed alternate, so do PeerSuspected and
PeerRefuted. Of equal inputs come equal effects: peers are looked at in the order of their sessions.
Source: SWIM and Lifeguard. Here everybody hears everybody, so a helper is asked what it heard, not to ping.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from zmqcluster.protocol.effects import Effect, Emit, Send
from zmqcluster.protocol.health import LocalHealth
from zmqcluster.protocol.inquiries import Inquiries
from zmqcluster.protocol.probes import Ack, Alive, Ping, PingRequest, Suspect
from zmqcluster.protocol.signs import (
    Beat,
    Limits,
    NodeState,
    PeerRefuted,
    PeerResumed,
    PeerSilent,
    PeerStalled,
    PeerSuspected,
)
from zmqcluster.protocol.suspicion import Suspicion

__all__ = ["Membership"]


@dataclass(slots=True)
class Watched:
    """What is known of one peer with a session."""

    incarnation: int
    helps: bool  # whether it may be asked about others
    heard_ms: int  # in whatever way
    linked_ms: int  # over a connection, which carries more than datagrams
    number: int = 0  # of its last beat
    is_stalled: bool = False


class Membership:
    """The failure detector of one node; a ``Core``.

    Args:
        limits: when what is concluded.
        sample: draws so many of the names it is given.
    """

    def __init__(self, limits: Limits, sample: Callable[[Sequence[str], int], list[str]]) -> None:
        self.health = LocalHealth(tick_ms=limits.tick_ms, beat_ms=limits.beat_ms, silence_ms=limits.silence_ms)
        self._limits = limits
        self._sample = sample
        self._watched: dict[str, Watched] = {}
        self._suspicions: dict[str, Suspicion] = {}
        self._looks_ms = 0  # nobody is silent for long before
        self._inquiries = Inquiries()

    def state(self, peer: str) -> NodeState:
        """What the node makes of ``peer``; down is whoever has no session."""
        watched = self._watched.get(peer)
        if watched is None:
            return "down"
        return "suspect" if peer in self._suspicions else "stalled" if watched.is_stalled else "up"

    def suspects(self) -> list[str]:
        """The suspected peers, the earliest first."""
        return list(self._suspicions)

    # --- told of sessions, and by peers

    def on_node_up(self, peer: str, now_ms: int, incarnation: int = 0, helps: bool = True) -> list[Effect]:
        """Watch ``peer``; the session itself was a sign of life. ``helps``: it may be asked about others."""
        self._watched[peer] = Watched(incarnation, helps, heard_ms=now_ms, linked_ms=now_ms)
        return []

    def on_node_down(self, peer: str, now_ms: int) -> list[Effect]:
        """Watch ``peer`` no more."""
        watched = self._watched.pop(peer, None)
        self._suspicions.pop(peer, None)
        self._inquiries.forget(peer)
        return self._miss(peer, watched.incarnation) if watched else []

    def on_message(self, peer: str, message: Any, now_ms: int) -> list[Effect]:
        """Take a beat or a probe of a peer with a session; of others nothing counts."""
        watched = self._watched.get(peer)
        if watched is None:
            return []
        return HANDLERS[type(message)](self, peer, watched, message, now_ms)

    def on_sign(self, peer: str, now_ms: int) -> list[Effect]:
        """Anything else came from ``peer`` itself: it lives."""
        watched = self._watched.get(peer)
        return [] if watched is None else self._hear(peer, watched, now_ms)

    def on_echo(self, peer: str, asked_ms: int, now_ms: int) -> list[Effect]:
        """``peer`` answered a datagram of ``asked_ms``: it lived then. Not counted for ever: it carries no messages."""
        watched = self._watched.get(peer)
        if watched is None or not watched.heard_ms < asked_ms <= now_ms:
            return []
        if now_ms - watched.linked_ms > self._limits.unacked_ms:
            return []
        watched.heard_ms = asked_ms
        return self._refute(peer) if now_ms - asked_ms <= self._limits.suspect_ms else []

    def _hear(self, peer: str, watched: Watched, now_ms: int) -> list[Effect]:
        watched.heard_ms = watched.linked_ms = now_ms
        return self._refute(peer)

    def _refute(self, peer: str) -> list[Effect]:
        return [Emit(PeerRefuted(peer))] if self._suspicions.pop(peer, None) else []

    def _on_beat(self, peer: str, watched: Watched, beat: Beat, now_ms: int) -> list[Effect]:
        """An overtaken beat says nothing."""
        if beat.number <= watched.number:
            return []
        watched.number = beat.number
        watched.heard_ms = watched.linked_ms = now_ms
        is_stalled = beat.lag_ms > self._limits.stalled_ms
        if is_stalled == watched.is_stalled and not self._suspicions and not self._inquiries:
            return []  # as nearly always: an idle node does little else than this
        effects = self._refute(peer) + self._vouch(peer, watched)
        was_stalled, watched.is_stalled = watched.is_stalled, is_stalled
        if watched.is_stalled != was_stalled:
            effects.append(Emit(PeerStalled(peer, beat.lag_ms) if watched.is_stalled else PeerResumed(peer)))
        return effects

    def _on_ping(self, peer: str, watched: Watched, ping: Ping, now_ms: int) -> list[Effect]:
        return [*self._hear(peer, watched, now_ms), Send(peer, Ack(ping.number))]

    def _on_ack(self, peer: str, watched: Watched, _: Ack, now_ms: int) -> list[Effect]:
        return self._hear(peer, watched, now_ms)

    # --- asking others

    def _on_alive(self, helper: str, watched: Watched, alive: Alive, now_ms: int) -> list[Effect]:
        if suspicion := self._suspicion_of(alive.target, alive.incarnation):
            suspicion.on_alive(helper, alive.number, now_ms)
        return self._hear(helper, watched, now_ms)

    def _on_suspect(self, helper: str, watched: Watched, suspect: Suspect, now_ms: int) -> list[Effect]:
        if suspicion := self._suspicion_of(suspect.target, suspect.incarnation):
            suspicion.on_suspect(helper)
        return self._hear(helper, watched, now_ms)

    def _suspicion_of(self, target: str, incarnation: int) -> Suspicion | None:
        watched = self._watched.get(target)
        return self._suspicions.get(target) if watched and watched.incarnation == incarnation else None

    def _is_fit(self, peer: str) -> bool:
        watched = self._watched.get(peer)
        return watched is not None and peer not in self._suspicions and not watched.is_stalled

    # --- asked by others

    def _on_ping_request(self, peer: str, watched: Watched, request: PingRequest, now_ms: int) -> list[Effect]:
        effects = self._hear(peer, watched, now_ms)
        target = self._watched.get(request.target)
        self._inquiries.open(request.target, peer, request.number)
        if target is None or target.incarnation != request.incarnation or request.target in self._suspicions:
            return effects + self._miss(request.target, request.incarnation)
        return effects + self._vouch(request.target, target)

    def _vouch(self, target: str, watched: Watched) -> list[Effect]:
        """Tell those who wait for a beat of ``target`` that it came."""
        askers = self._inquiries.answered_by(target, watched.number)
        return [Send(asker, Alive(target, watched.incarnation, watched.number)) for asker in askers]

    def _miss(self, target: str, incarnation: int) -> list[Effect]:
        """Tell those who wait for ``target`` that we miss it too; not when the fault may be ours."""
        askers = self._inquiries.close(target)
        if self.health.score:
            return []
        return [Send(asker, Suspect(target, incarnation, number)) for asker, number in askers]

    # --- time

    def on_tick(self, now_ms: int) -> list[Effect]:
        """Suspect who was silent for long, give up who was for too long."""
        late_ms = self.health.on_tick(now_ms)
        if late_ms > self._limits.tick_ms:  # beats may lie unread
            for watched in self._watched.values():
                watched.heard_ms = min(now_ms, watched.heard_ms + late_ms)
        return self._doubt(now_ms) + self._look_for_silence(now_ms)

    def _doubt(self, now_ms: int) -> list[Effect]:
        """Give up the suspects whose time is over, and ask again about the others."""
        effects: list[Effect] = []
        for peer, suspicion in list(self._suspicions.items()):
            watched = self._watched[peer]
            silent_ms = now_ms - watched.heard_ms
            if silent_ms > self._patience_ms(suspicion, now_ms):
                effects += self._give_up(peer, suspicion, silent_ms, now_ms)
            elif now_ms >= suspicion.asks_ms:
                effects += self._ask(peer, watched, suspicion, now_ms)
        return effects

    def _look_for_silence(self, now_ms: int) -> list[Effect]:
        """Suspect who was not heard for long; not at every tick, for nobody can become silent faster."""
        if now_ms < self._looks_ms:
            return []
        effects: list[Effect] = []
        oldest_ms = now_ms
        for peer, watched in list(self._watched.items()):
            if peer in self._suspicions:
                continue
            if now_ms - watched.heard_ms > self._limits.suspect_ms * self.health.factor:
                effects += self._suspect(peer, watched, now_ms - watched.heard_ms, now_ms)
            oldest_ms = min(oldest_ms, watched.heard_ms)
        self._looks_ms = oldest_ms + self._limits.suspect_ms
        return effects

    def _suspect(self, peer: str, watched: Watched, silent_ms: int, now_ms: int) -> list[Effect]:
        fit = [other for other, known in self._watched.items() if other != peer and known.helps and self._is_fit(other)]
        helpers = self._sample(fit, min(self._limits.helpers_max, len(fit)))
        suspicion = Suspicion(helpers, watched.number, fresh_ms=self._limits.suspect_ms)
        self._suspicions[peer] = suspicion
        told = [Emit(PeerSuspected(peer, silent_ms, tuple(helpers)))]
        return [*told, *self._miss(peer, watched.incarnation), *self._ask(peer, watched, suspicion, now_ms)]

    def _ask(self, peer: str, watched: Watched, suspicion: Suspicion, now_ms: int) -> list[Effect]:
        suspicion.asks_ms = now_ms + self._limits.beat_ms
        request = PingRequest(peer, watched.incarnation, suspicion.number)
        return [Send(peer, Ping(now_ms)), *(Send(helper, request) for helper in suspicion.helpers)]

    def _patience_ms(self, suspicion: Suspicion, now_ms: int) -> int:
        """For how long a suspected peer may be silent in all."""
        limits = self._limits
        doubt_ms = suspicion.timeout_ms(
            now_ms,
            self._is_fit,
            min_ms=limits.silence_ms - limits.suspect_ms,
            max_ms=limits.unreachable_ms - limits.suspect_ms,
        )
        return (limits.suspect_ms + doubt_ms) * self.health.factor

    def _give_up(self, peer: str, suspicion: Suspicion, silent_ms: int, now_ms: int) -> list[Effect]:
        del self._watched[peer], self._suspicions[peer]
        return [Emit(PeerSilent(peer, silent_ms, suspicion.helpers, suspicion.vouchers(now_ms)))]

    def deadline_ms(self) -> int | None:
        """Every tick is one: the pause of a node shows in its ticks."""
        return None if self.health.ticked_ms is None else self.health.ticked_ms + self._limits.tick_ms


Handler = Callable[[Membership, str, Watched, Any, int], list[Effect]]

HANDLERS: dict[type, Handler] = {
    Beat: Membership._on_beat,
    Ping: Membership._on_ping,
    Ack: Membership._on_ack,
    PingRequest: Membership._on_ping_request,
    Alive: Membership._on_alive,
    Suspect: Membership._on_suspect,
}
