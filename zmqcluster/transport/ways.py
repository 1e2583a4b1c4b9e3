"""How the connections of a node are secured, and the ladder on which a cluster goes from one way to another.

    encryption=      listens            dials                       meets, besides its equals
    curve            CURVE              CURVE                       listen_curve
    listen_curve     CURVE              CURVE, then challenge       curve, listen_none
    listen_none      challenge          CURVE, then challenge       listen_curve, none
    none             challenge          challenge                   listen_none

A session needs a connection each way, and neighbours on the ladder have one. So a cluster climbs it one step at a time,
node by node, without being apart. On the two steps in the middle somebody on the wire can keep links from being
encrypted: do not stay there. Without a cookie there is one way, and it is for nodes that only this host can reach.
Source: memberlist's GossipVerifyIncoming and GossipVerifyOutgoing, whose rollout this is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal, get_args

from zmqcluster.errors import ConfigError
from zmqcluster.transport.curve import Key

__all__ = ["Encryption", "Mechanism", "Way", "check_encryption", "dialling", "listening"]

Encryption = Literal["curve", "listen_curve", "listen_none", "none"]


class Mechanism(Enum):
    """What ZMTP does before the first frame."""

    NULL = "null"  # nothing: no cookie
    CHALLENGE = "challenge"  # a ticket at the door, then proofs; see ``ticket`` and ``proof``
    CURVE = "curve"


@dataclass(frozen=True, slots=True)
class Way:
    """A mechanism and the key it uses."""

    mechanism: Mechanism
    key: Key | None = None


OPEN = Way(Mechanism.NULL)
LISTENS = {
    "curve": Mechanism.CURVE,
    "listen_curve": Mechanism.CURVE,
    "listen_none": Mechanism.CHALLENGE,
    "none": Mechanism.CHALLENGE,
}
DIALS = {
    "curve": (Mechanism.CURVE,),
    "listen_curve": (Mechanism.CURVE, Mechanism.CHALLENGE),
    "listen_none": (Mechanism.CURVE, Mechanism.CHALLENGE),
    "none": (Mechanism.CHALLENGE,),
}


def check_encryption(encryption: str) -> None:
    """Let a step of the ladder pass.

    Raises:
        ConfigError: it is none.
    """
    if encryption not in get_args(Encryption):
        raise ConfigError(f"encryption={encryption!r} is none of {', '.join(get_args(Encryption))}")


def listening(encryption: Encryption, primary: Key | None) -> Way:
    """Return how a node listens."""
    return Way(LISTENS[encryption], primary) if primary else OPEN


def dialling(encryption: Encryption, keys: Sequence[Key]) -> tuple[Way, ...]:
    """Return how a node dials, the way to try first before the others; ``keys`` in their order."""
    if not keys:
        return (OPEN,)
    return tuple(Way(mechanism, key) for mechanism in DIALS[encryption] for key in keys)
