"""The two halves of a set-up: what we try, and which of the peer's offers counts."""

from __future__ import annotations

from collections.abc import Iterable

from zmqcluster.protocol.handshake import Hello, Introduction, Welcome, refusal
from zmqcluster.protocol.steps import Dial

__all__ = ["Attempt", "Offers"]

ENDED_INCARNATIONS_MAX = 8  # lives of one name that are remembered as over


class Attempt:
    """One try of ours: a half of an epoch, a number, and the endpoints that are left to dial until the time is up.

        began ──share──> dial 1 ──share──> dial 2 ──share──> ends_ms         a share is what is left / endpoints left
    """

    def __init__(self, half: int, number: int, endpoints: Iterable[str], ends_ms: int) -> None:
        self.half = half
        self.number = number
        self.endpoints = list(endpoints)
        self.ends_ms = ends_ms
        self.dial_ends_ms = ends_ms

    def add(self, endpoints: Iterable[str]) -> None:
        """Try these too, after the others."""
        self.endpoints += [endpoint for endpoint in endpoints if endpoint not in self.endpoints]

    def next_dial(self, now_ms: int) -> Dial | None:
        """Return the next endpoint to dial, which may use its share of the time; None: all were tried."""
        if not self.endpoints:
            return None
        self.dial_ends_ms = now_ms + max(0, self.ends_ms - now_ms) // len(self.endpoints)
        return Dial(self.endpoints.pop(0))


class Offers:
    """The Hellos and Welcomes of one peer: strangers are refused, and what was overtaken does not count.

    Invariant: an incarnation that was replaced by another never counts again, be the clocks as they may.
    """

    def __init__(self, own: Introduction) -> None:
        self._own = own
        self.last: tuple[int, int] | None = None  # incarnation and attempt of the last one that counted
        self.ended: list[int] = []  # incarnations that were replaced, the latest last

    def fault(self, offer: Hello | Welcome) -> tuple[str, str] | None:
        """Return (reason, detail) to refuse it with."""
        return refusal(self._own, offer, self.ended)

    def counts(self, offer: Hello | Welcome) -> bool:
        """Take note of the offer; return False when it was overtaken, or is here for the second time."""
        incarnation, attempt = self.last or (offer.node.incarnation, 0)
        if incarnation != offer.node.incarnation:
            self.ended = [*self.ended, incarnation][-ENDED_INCARNATIONS_MAX:]
        elif offer.attempt < attempt or (offer.attempt == attempt and isinstance(offer, Hello)):
            return False
        self.last = offer.node.incarnation, offer.attempt
        return True
