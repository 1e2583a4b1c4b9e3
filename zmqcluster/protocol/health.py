"""How far a node may trust its own eyes.

    a tick late by a beat or more:   score + 1 for each silence it lasted, at least 1
    a beat without such a tick:      score - 1           score 0: all is well       score 7: eight times the patience

Who was paused by the system (a stop, a swap, a busy machine) has missed what others said, and would blame them.
Source: Lifeguard, local health; there it counts failed probes as well, here only what is surely our own fault: beats
that the network lost must not make everybody slower.
"""

from __future__ import annotations

__all__ = ["SCORE_MAX", "LocalHealth"]

SCORE_MAX = 7  # memberlist: AwarenessMaxMultiplier - 1


class LocalHealth:
    """The score of one node.

    Args:
        tick_ms: how often ``on_tick`` is to be called.
        beat_ms: a tick that is late by more is a pause; after as long without one the score falls by one.
        silence_ms: the score rises by one for each of these that a pause lasted.
    """

    def __init__(self, *, tick_ms: int, beat_ms: int, silence_ms: int) -> None:
        self.score = 0
        self.ticked_ms: int | None = None
        self._tick_ms = tick_ms
        self._beat_ms = beat_ms
        self._silence_ms = silence_ms
        self._changed_ms = 0

    @property
    def factor(self) -> int:
        """By what to multiply one's patience."""
        return self.score + 1

    def on_tick(self, now_ms: int) -> int:
        """Take note of a tick; return by how much it was late."""
        last_ms, self.ticked_ms = self.ticked_ms, now_ms
        if last_ms is None:
            return 0
        late_ms = max(0, now_ms - last_ms - self._tick_ms)
        if late_ms > self._beat_ms:
            self.score = min(SCORE_MAX, self.score + max(1, late_ms // self._silence_ms))
            self._changed_ms = now_ms
        elif self.score and now_ms - self._changed_ms >= self._beat_ms:
            self.score -= 1
            self._changed_ms = now_ms
        return late_ms
