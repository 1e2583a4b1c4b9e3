"""Hybrid logical time: close to the wall clock, yet later than everything its owner has heard of.

    time  =  milliseconds (48 bits and more) | count (16 bits)          one integer, compared as such

Two events of one clock have different times, the later one the greater; an event that knew of another has a greater
time than it, however the two machines' clocks differ. So "who was first" has one answer on every node.
Invariant: ``last`` never decreases. Source: Kulkarni et al., "Logical Physical Clocks", 2014.
"""

from __future__ import annotations

__all__ = ["COUNT_BITS", "DRIFT_MS_MAX", "HybridClock"]

COUNT_BITS = 16
DRIFT_MS_MAX = 60_000  # a time further ahead of us than this is not followed: one broken clock must not move all others


class HybridClock:
    """Gives each event of one owner its time; ``now_ms`` is the wall clock and may jump either way."""

    __slots__ = ("last",)

    def __init__(self) -> None:
        self.last = 0

    def next(self, now_ms: int) -> int:
        """Return the time of an event that happens now."""
        self.last = max(now_ms << COUNT_BITS, self.last + 1)
        return self.last

    def observe(self, time: int, now_ms: int) -> None:
        """Let our later events have a greater time than ``time``, unless that lies too far in the future."""
        if self.last < time <= (now_ms + DRIFT_MS_MAX) << COUNT_BITS:
            self.last = time
