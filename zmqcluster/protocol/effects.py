"""What a protocol core answers with, and what makes a core.

A core is plain Python without clock, socket, asyncio or randomness of its own: it is told what happened, with the time
as an argument, and answers with effects. Two things perform effects and nothing else does: the node's driver (ZeroMQ,
real clock) and the simulator (seeded network, virtual clock).

    on_message / on_node_up / on_node_down / on_tick  --->  core  --->  [Send, Broadcast, Emit, Reply]

Rules: the list is performed in its order; a core never iterates a set, so equal inputs give equal effects everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["Broadcast", "Core", "Effect", "Emit", "Reply", "Send"]


@dataclass(frozen=True, slots=True)
class Send:
    """Send ``message`` to the same core on the node ``peer``."""

    peer: str
    message: Any


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Send ``message`` to the same core on every connected node; it may be lost on the way."""

    message: Any


@dataclass(frozen=True, slots=True)
class Emit:
    """Tell this node that ``event`` happened."""

    event: Any


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer the request that was asked with ``ref``."""

    ref: Any
    value: Any


Effect = Send | Broadcast | Emit | Reply


class Core(Protocol):
    """A small machine that decides; ``now_ms`` never goes back."""

    def on_message(self, peer: str, message: Any, now_ms: int) -> list[Effect]:
        """``message`` came from the same core on ``peer``."""
        ...

    def on_node_up(self, peer: str, now_ms: int) -> list[Effect]:
        """A session with ``peer`` began; nothing of it was heard before."""
        ...

    def on_node_down(self, peer: str, now_ms: int) -> list[Effect]:
        """The session with ``peer`` ended; nothing of it comes any more."""
        ...

    def on_tick(self, now_ms: int) -> list[Effect]:
        """Time has passed; called at ``deadline_ms`` or later, and it may be called before."""
        ...

    def deadline_ms(self) -> int | None:
        """When ``on_tick`` is due next; None: not before something else happens."""
        ...
