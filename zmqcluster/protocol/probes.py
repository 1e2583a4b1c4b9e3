"""What nodes ask each other before they give one up.

    A has not heard C for a while          A ── PING ──────────────────> C        is our link dead too?
                                             <───────────────── ACK ──            no: C is up
    and asks helpers that are well         A ── PING_REQUEST(C, 57) ──> B        have you heard C beyond its beat 57?
                                             <─ ALIVE(C, 58) ──────────            yes: C lives, and we can't hear it
                                             <─ SUSPECT(C, 57) ────────            no: neither do I
    A has ended its session with C         A ── LOST(A, C, epoch) ──> B ──> C    so that C need not find out by itself

All travel on links, as control frames. Invariant: an answer is about one beat of one incarnation, so an old one says
nothing. Source: SWIM's ping, ping-req and ack; the helper need not ping, because it hears C's beats all the time.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Ack", "Alive", "Lost", "Ping", "PingRequest", "Probe", "Suspect"]


@dataclass(frozen=True, slots=True)
class Ping:
    """Answer with ``Ack``: I have not heard you."""

    number: int


@dataclass(frozen=True, slots=True)
class Ack:
    """I am here, and heard your ``Ping``."""

    number: int


@dataclass(frozen=True, slots=True)
class PingRequest:
    """Tell me when you hear this life of ``target`` beyond beat ``number``, or when you miss it too."""

    target: str
    incarnation: int
    number: int


@dataclass(frozen=True, slots=True)
class Alive:
    """I heard beat ``number`` of ``target``."""

    target: str
    incarnation: int
    number: int


@dataclass(frozen=True, slots=True)
class Suspect:
    """I have not heard ``target`` either, beyond beat ``number``."""

    target: str
    incarnation: int
    number: int


@dataclass(frozen=True, slots=True)
class Lost:
    """The session ``epoch`` of the nodes ``by`` and ``target`` is over, says ``by``. Passed on to ``target``."""

    by: str
    target: str
    epoch: int


Probe = Ping | Ack | PingRequest | Alive | Suspect | Lost
