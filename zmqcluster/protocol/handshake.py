"""The messages that open and close a session, and who is refused.

    A, who dials                                B, who is dialled
    HELLO(epoch a)        ------------------->  valid: chooses epoch b and dials A back
                          <-------------------  WELCOME(epoch b, echo a)      on B's own connection
    up; READY(a ^ b)      ------------------->  up
    NEIGHBOURS(a ^ b)     <------------------>  where both said they can mesh
    GOODBYE(a ^ b)        ------------------->  down: "left"
    down: "stopped"       <-------------------  GOODBYE_ACK(a ^ b)

Every frame travels on the connection its sender dialled; only a REFUSED that answers HELLO or WELCOME goes back on the
other's, for which the dialler listens until it is up. Each end draws its half of the epoch anew for every attempt, so a
frame of any other session is recognised. ``attempt`` grows with every dial of a node's life: a HELLO that was overtaken
by a later one is known to be old.
Source: erl_dist_protocol; there the proof of the cookie is part of it, here the connection was authenticated before.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

__all__ = [
    "VERSION_MAX",
    "VERSION_MIN",
    "Control",
    "Goodbye",
    "GoodbyeAck",
    "Hello",
    "Introduction",
    "Neighbour",
    "Neighbours",
    "Ready",
    "Refused",
    "Terms",
    "Welcome",
    "another_address",
    "common_version",
    "refusal",
    "terms",
]

VERSION_MIN = 1
VERSION_MAX = 1

# What a node may say it can do. What only one of two knows is never used between them.
HIDDEN = "hidden"  # it is for nobody's list. Source: the hidden nodes of Erlang
MESH = "mesh"  # it tells and is told who else is connected: NEIGHBOURS

# Why a node is refused. The first group is worth a line in the log of both sides; the second ends what is over anyway.
WRONG_CLUSTER = "cluster"
WRONG_NAME = "name"
OWN_NAME = "own_name"
NO_COMMON_VERSION = "version"
EARLIER_INCARNATION = "incarnation"
NAME_TAKEN = "taken"
UNREACHABLE = "unreachable"
IMPOSTOR = "impostor"  # its connection was proven to be another's
FAULTS = frozenset(
    {WRONG_CLUSTER, WRONG_NAME, OWN_NAME, NO_COMMON_VERSION, EARLIER_INCARNATION, NAME_TAKEN, UNREACHABLE, IMPOSTOR}
)

STALE = "stale"
ENDED = "ended"
LEAVING = "leaving"


@dataclass(frozen=True, slots=True)
class Introduction:
    """Who a node says it is, what it can do, and where it is reached."""

    name: str
    incarnation: int
    cluster: str
    versions: tuple[int, int] = (VERSION_MIN, VERSION_MAX)
    capabilities: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    gossip: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hello:
    """``node`` asks the node named ``to`` for a session and offers its half of the epoch."""

    node: Introduction
    to: str
    epoch: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Welcome:
    """Accepts the HELLO whose epoch was ``echo``, with the other half of the epoch."""

    node: Introduction
    to: str
    epoch: int
    attempt: int
    echo: int


@dataclass(frozen=True, slots=True)
class Refused:
    """No session for ``epoch``: the half the receiver offered, or the epoch of the whole session."""

    epoch: int
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Ready:
    """The session ``epoch`` is up on the node ``name``. Repeated while it is: who knows of no session connects anew."""

    name: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The sender leaves; nothing follows in the session ``epoch``."""

    epoch: int


@dataclass(frozen=True, slots=True)
class GoodbyeAck:
    """Everything up to the GOODBYE of ``epoch`` has arrived."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A node that the sender is connected to, and where it is reached."""

    name: str
    incarnation: int
    links: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Some of whom the sender of the session ``epoch`` is connected to. Said once, when the session is up."""

    epoch: int
    nodes: tuple[Neighbour, ...]


Control = Hello | Welcome | Refused | Ready | Goodbye | GoodbyeAck | Neighbours


@dataclass(frozen=True, slots=True)
class Terms:
    """What two nodes agreed on: the version they speak, and what both can do, sorted."""

    version: int
    capabilities: tuple[str, ...]


def terms(ours: Introduction, theirs: Introduction) -> Terms | None:
    """Return the terms of a session, the same on both sides; None: there is no common version."""
    version = common_version(ours.versions, theirs.versions)
    common = sorted(set(ours.capabilities) & set(theirs.capabilities))
    return None if version is None else Terms(version, tuple(common))


def common_version(ours: tuple[int, int], theirs: tuple[int, int]) -> int | None:
    """Return the highest version in both ranges, or None."""
    highest = min(ours[1], theirs[1])
    return highest if highest >= max(ours[0], theirs[0]) else None


def refusal(own: Introduction, offer: Hello | Welcome, ended: Container[int]) -> tuple[str, str] | None:
    """Return why ``offer`` can't become a session as (reason, detail), or None when it can.

    Args:
        own: what we say of ourselves.
        offer: the peer's HELLO or WELCOME.
        ended: incarnations of that peer that were replaced by a later one.
    """
    their = offer.node
    checks = (
        (WRONG_CLUSTER, their.cluster == own.cluster, f"this is cluster {own.cluster!r}, not {their.cluster!r}"),
        (WRONG_NAME, offer.to == own.name, f"this is {own.name}, not {offer.to}"),
        (OWN_NAME, their.name != own.name, f"{own.name} is the name of this node itself"),
        (
            NO_COMMON_VERSION,
            common_version(own.versions, their.versions) is not None,
            f"this node speaks versions {own.versions}, not {their.versions}",
        ),
        (EARLIER_INCARNATION, their.incarnation not in ended, f"another {their.name} has taken over the name"),
    )
    return next(((reason, detail) for reason, is_fine, detail in checks if not is_fine), None)


def another_address(before: Introduction, now: Introduction) -> str | None:
    """Return where the node ``before`` listens, when ``now`` can't be its next life: it listens elsewhere.

    A port has one owner, so a restarted node that took its port again proves the end of its last life. Who has the name
    and another port is told to wait for that end: it may be a second node of the same name.
    """
    taken = {link for link in before.links if not link.startswith("ipc://")}
    claimed = {link for link in now.links if not link.startswith("ipc://")}
    return None if taken & claimed or not taken or not claimed else min(taken)
