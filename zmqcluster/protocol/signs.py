"""What the failure detector is told, what it tells, and its limits.

    Beat ──> Membership ──> PeerStalled, PeerResumed        the peer's loop
                       ├──> PeerSuspected, PeerRefuted      our doubts
                       └──> PeerSilent                      the verdict: its session is to end
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "Beat",
    "Limits",
    "NodeState",
    "PeerEvent",
    "PeerRefuted",
    "PeerResumed",
    "PeerSilent",
    "PeerStalled",
    "PeerSuspected",
]

NodeState = Literal["up", "stalled", "suspect", "down"]


@dataclass(frozen=True, slots=True)
class Limits:
    """When what is concluded; see ``runtime.timing.Timing``, which derives them from each other."""

    beat_ms: int
    tick_ms: int
    stalled_ms: int
    suspect_ms: int
    silence_ms: int
    unreachable_ms: int
    unacked_ms: int
    helpers_max: int


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
class PeerSuspected:
    """Nothing came from the peer for ``silent_ms``; ``helpers`` are asked whether they hear it."""

    peer: str
    silent_ms: int
    helpers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PeerRefuted:
    """A suspected peer gave a sign of life."""

    peer: str


@dataclass(frozen=True, slots=True)
class PeerSilent:
    """Nothing came from the peer for ``silent_ms``: it is given up. ``vouchers`` are the ``helpers`` that hear it."""

    peer: str
    silent_ms: int
    helpers: tuple[str, ...] = ()
    vouchers: tuple[str, ...] = ()


PeerEvent = PeerStalled | PeerResumed | PeerSuspected | PeerRefuted | PeerSilent
