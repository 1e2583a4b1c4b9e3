"""Seen before? What is signed and carries a time and a random number counts once, and only for a while.

    older than the window ──> refused    in the window: seen ──> refused    not seen ──> remembered    ahead ──> refused

Invariant: an entry is remembered for as long as its time is in the window, so a replay is refused at any time.
Rule: only what was signed with an accepted key gets here, so strangers cost no memory.
"""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["Freshness"]


class Freshness:
    """The random numbers of one window, which reaches ``window_ms`` into the past and the future.

    Args:
        window_ms: how far clocks may differ, and how long a message may be on its way.
        count_max: remembered at once; above it all is refused until the oldest is out of the window.
    """

    def __init__(self, window_ms: int, count_max: int) -> None:
        self._window_ms = window_ms
        self._count_max = count_max
        self._seen: OrderedDict[bytes, int] = OrderedDict()  # random number -> when it may be forgotten

    def __len__(self) -> int:
        return len(self._seen)

    def refusal(self, number: bytes, stamp_ms: int, now_ms: int) -> str | None:
        """Return why what carries ``number`` and ``stamp_ms`` is not fresh, or None, and remember it."""
        self._forget(now_ms)
        ahead_ms = stamp_ms - now_ms
        if abs(ahead_ms) > self._window_ms:
            return f"its clock and ours differ by {ahead_ms / 1000:+.0f} s, or it is a replay"
        if number in self._seen:
            return "a replay"
        if len(self._seen) >= self._count_max:
            return "too many at once"
        self._seen[number] = now_ms + 2 * self._window_ms
        return None

    def _forget(self, now_ms: int) -> None:
        while self._seen:
            number, until_ms = next(iter(self._seen.items()))
            if until_ms > now_ms:
                return
            del self._seen[number]
