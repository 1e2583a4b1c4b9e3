"""Who is alive, judged by beats.

A peer's beat thread sends a beat every interval, whatever its Python code does; each beat says for how long the peer's
loop has not turned. So silence and slowness are told apart:

    beats, lag small   up                        beats, lag above stalled_ms   stalled: alive, its loop is busy
    no beat for silence_ms                       silent: its session is to end

Invariant: per session at most one PeerSilent, and PeerStalled and PeerResumed alternate.
Rule: who was paused accuses nobody. When our own tick comes late, beats may lie unread, so every deadline moves by what
the tick was late. Source: Lifeguard, "local health"; there it stretches the probe interval.
"""

from __future__ import annotations

from dataclasses import dataclass

from zmqcluster.protocol.effects import Effect, Emit

__all__ = ["Beat", "Membership", "PeerResumed", "PeerSilent", "PeerStalled"]


@dataclass(frozen=True, slots=True)
class Beat:
    """The ``number``-th sign of life of a node, whose loop turned ``lag_ms`` ago."""

    number: int
    lag_ms: int


@dataclass(frozen=True, slots=True)
class PeerStalled:
    """The peer lives, but its loop has not turned for ``lag_ms``."""

    peer: str
    lag_ms: int


@dataclass(frozen=True, slots=True)
class PeerResumed:
    """The loop of a stalled peer turns again."""

    peer: str


@dataclass(frozen=True, slots=True)
class PeerSilent:
    """No beat came from the peer for ``silent_ms``."""

    peer: str
    silent_ms: int


@dataclass(slots=True)
class Watched:
    """What is known of one peer with a session."""

    heard_ms: int
    number: int = 0
    is_stalled: bool = False


class Membership:
    """The failure detector of one node; a ``Core``.

    Args:
        silence_ms: a peer that was not heard for longer is silent.
        stalled_ms: a peer whose loop has not turned for longer is stalled.
        tick_ms: how often ``on_tick`` is to be called; what it is late counts as our own pause.
    """

    def __init__(self, *, silence_ms: int, stalled_ms: int, tick_ms: int) -> None:
        self._silence_ms = silence_ms
        self._stalled_ms = stalled_ms
        self._tick_ms = tick_ms
        self._watched: dict[str, Watched] = {}
        self._ticked_ms: int | None = None

    def on_node_up(self, peer: str, now_ms: int) -> list[Effect]:
        """Watch ``peer``; the session itself was a sign of life."""
        self._watched[peer] = Watched(heard_ms=now_ms)
        return []

    def on_node_down(self, peer: str, now_ms: int) -> list[Effect]:
        """Watch ``peer`` no more."""
        self._watched.pop(peer, None)
        return []

    def on_message(self, peer: str, message: Beat, now_ms: int) -> list[Effect]:
        """Take note of a beat of the session that is up; an old one says nothing."""
        watched = self._watched.get(peer)
        if watched is None or message.number <= watched.number:
            return []
        watched.heard_ms = now_ms
        watched.number = message.number
        was_stalled, watched.is_stalled = watched.is_stalled, message.lag_ms > self._stalled_ms
        if watched.is_stalled == was_stalled:
            return []
        return [Emit(PeerStalled(peer, message.lag_ms) if watched.is_stalled else PeerResumed(peer))]

    def on_tick(self, now_ms: int) -> list[Effect]:
        """Accuse who was silent for too long."""
        self._forgive_own_pause(now_ms)
        silent = [
            PeerSilent(peer, now_ms - watched.heard_ms)
            for peer, watched in self._watched.items()
            if now_ms - watched.heard_ms > self._silence_ms
        ]
        for event in silent:
            del self._watched[event.peer]
        return [Emit(event) for event in silent]

    def _forgive_own_pause(self, now_ms: int) -> None:
        last_ms, self._ticked_ms = self._ticked_ms, now_ms
        if last_ms is None:
            return
        late_ms = now_ms - last_ms - self._tick_ms
        if late_ms > self._tick_ms:
            for watched in self._watched.values():
                watched.heard_ms += late_ms

    def deadline_ms(self) -> int | None:
        """Every tick is one: the pause of a node shows in its ticks."""
        return None if self._ticked_ms is None else self._ticked_ms + self._tick_ms

    def is_stalled(self, peer: str) -> bool:
        """Whether the peer's last beat told of a loop that does not turn."""
        watched = self._watched.get(peer)
        return watched is not None and watched.is_stalled
