"""How long to doubt before a verdict: the more others confirm it, the shorter.

    timeout = max - (max - min) × log(c + 1) / log(k + 1)         c of k confirmations
      c = 0     max ────────────────────────────┐
      c = 1          ───────────────────┐       │                 the first confirmation says most
      c = k     min ───────────┐        │       │
    suspected ─────────────────┴────────┴───────┴──> down

Invariant: never less than min, never more than max; with nobody to ask (k = 0) it is min at once.
Source: Lifeguard (arXiv 1707.00788), memberlist suspicion.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import log

__all__ = ["Suspicion", "suspicion_ms"]


def suspicion_ms(confirmations: int, needed: int, *, min_ms: int, max_ms: int) -> int:
    """Return how long a suspicion lasts when ``confirmations`` of the ``needed`` have come, without the accuser's own.

    Cost: O(1).
    """
    if needed <= 0 or confirmations >= needed:
        return min_ms
    share = log(confirmations + 1) / log(needed + 1)
    return max(min_ms, round(max_ms - (max_ms - min_ms) * share))


class Suspicion:
    """The doubts about one peer: who was asked, and what they said last.

        helper ──> when it last heard a beat that was news to us | None: it misses the peer too | not in the dict yet

    Args:
        helpers: whom to ask.
        number: the last beat of the peer that was heard here.
        fresh_ms: for how long a helper's word counts that the peer lives.
    """

    def __init__(self, helpers: Iterable[str], number: int, fresh_ms: int) -> None:
        self.helpers = tuple(helpers)
        self.number = number  # the last beat that anybody is known to have heard
        self.asks_ms = 0  # when to ask again
        self._fresh_ms = fresh_ms
        self._vouched_ms: dict[str, int | None] = {}

    def on_alive(self, helper: str, number: int, now_ms: int) -> None:
        """``helper`` heard the beat ``number``: news, or nothing."""
        if helper in self.helpers and number > self.number:
            self.number = number
            self._vouched_ms[helper] = now_ms

    def on_suspect(self, helper: str) -> None:
        """``helper`` misses the peer too."""
        if helper in self.helpers:
            self._vouched_ms[helper] = None

    def vouchers(self, now_ms: int) -> tuple[str, ...]:
        """Who heard the peer a moment ago."""
        return tuple(
            helper
            for helper, at_ms in self._vouched_ms.items()
            if at_ms is not None and now_ms - at_ms <= self._fresh_ms
        )

    def timeout_ms(self, now_ms: int, is_fit: Callable[[str], bool], *, min_ms: int, max_ms: int) -> int:
        """Return how long this suspicion is to last, as things stand.

        Args:
            is_fit: whether a helper's silence means anything; one that is suspected or stalled itself does not count.
        """
        if self.vouchers(now_ms):
            return max_ms
        fit = [helper for helper in self.helpers if is_fit(helper)]
        confirmations = sum(self._vouched_ms.get(helper, 0) is None for helper in fit)
        return suspicion_ms(confirmations, len(fit), min_ms=min_ms, max_ms=max_ms)
