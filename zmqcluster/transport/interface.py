"""What a node asks of its network: bytes only, no names, no sessions, no values.

    links    this node --Dial--> the peer's acceptor     in order, at most once per dial; one dial is one session
    gossip   this node --publish--> all its subscribers  in order per publisher, any of it may be lost
    knocks   this node --knock--> another                a datagram: no order, no connection, anybody may send one

A transport never decides: it reports what happened to a connection as a ``DialEvent`` and hands every frame it receives
to the node's ``Handler``. Everything happens on the node's event loop, except the beats, which must not wait for it.

Implementations: ``zmq`` (sockets) and ``memory`` (the simulator's network); one contract test runs on both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from zmqcluster._ports import Inlet, Outlet

__all__ = ["GOSSIP_BYTES_MAX", "Dial", "DialEvent", "Endpoints", "Handler", "Transport"]

GOSSIP_BYTES_MAX = 1024 * 1024  # of one published frame


class DialEvent(Enum):
    """What became of a dial. After one whose comment says "over", the dial is of no more use: close it, dial anew."""

    CONNECTED = "connected"  # authenticated, and the peer's process answered: frames may be pushed
    WRITABLE = "writable"  # there is room again after a push that was not taken
    REFUSED = "refused"  # nobody listens there, the process is gone; the transport keeps trying
    DISCONNECTED = "disconnected"  # over: was connected; what was pushed last may or may not have arrived
    AUTH_FAILED = "auth_failed"  # over: the peer does not share our cookie
    HANDSHAKE_FAILED = "handshake_failed"  # over: hung up or silent during the handshake; often another cookie, too


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where others reach this node, the preferred address first."""

    links: tuple[str, ...]
    gossip: tuple[str, ...]


class Dial(Protocol):
    """One outgoing connection; never reused for another session."""

    @property
    def endpoint(self) -> str: ...

    @property
    def outlet(self) -> Outlet: ...

    def established(self) -> None:
        """The session is up: no refusal can come any more, so the transport stops listening for one."""

    def close(self) -> None:
        """Give the connection up. Idempotent; no event follows and the outlet takes nothing any more."""


class Handler(Protocol):
    """What a node gives its transport; all of it is called on the node's loop."""

    @property
    def inlet(self) -> Inlet:
        """Where the frames of all peers go; their source is the connection's opaque id, good for ``reply``."""
        ...

    def on_gossip(self, frame: bytes) -> None:
        """Take one frame of a subscribed peer."""

    def on_datagram(self, datagram: bytes, source: str) -> None:
        """Take a datagram that came from the endpoint ``source``; anybody may have sent it."""

    def on_refused(self, address: str, problem: str) -> None:
        """Learn that somebody failed to authenticate; to be logged. Calls are limited in rate."""


class Transport(Protocol):
    """The network of one node; opened once, closed once."""

    async def open(self, handler: Handler) -> Endpoints:
        """Begin to accept connections.

        Raises:
            NameInUse: another process has this node's address; nothing is left open.
            ConfigError: the address cannot be used; the message says why.
        """
        ...

    def dial(
        self, endpoint: str, on_event: Callable[[DialEvent], None], on_reply: Callable[[bytes], None], node: str = ""
    ) -> Dial:
        """Connect to one of a peer's ``Endpoints.links``; ``on_reply`` takes what its ``reply`` sends back.

        Args:
            node: who is expected there; it may have a cookie of its own.
        """
        ...

    def admits(self, source: bytes, frame: bytes) -> bool:
        """Whether a control frame is to be read: its connection is authenticated, and it is not part of that itself."""
        ...

    def identity(self, source: bytes) -> tuple[str, int] | None:
        """Return the name and incarnation that were proven over an accepted connection; None: only the cookie was."""
        ...

    def reply(self, source: bytes, frame: bytes) -> bool:
        """Send one frame back over an accepted connection; return whether it was still there. Best effort."""
        ...

    def subscribe(self, endpoint: str, node: str = "") -> None:
        """Receive what ``node`` publishes at one of its ``Endpoints.gossip``. Idempotent."""

    def unsubscribe(self, endpoint: str) -> None:
        """Stop receiving from there. Idempotent."""

    def publish(self, frame: bytes) -> None:
        """Send to all subscribers, after what was published before; may be lost.

        Raises:
            FrameTooLarge: it is longer than ``GOSSIP_BYTES_MAX``; a subscriber would hang up on us.
        """

    def knock(self, endpoint: str, datagram: bytes) -> None:
        """Send one datagram to one of a peer's ``Endpoints.links``, beside any connection; may be lost."""

    def start_beats(self, prefix: bytes, interval_ms: int) -> None:
        """Publish ``prefix``, a u64 number from 1 and the u32 ``lag_ms``, big endian, now and every interval.

        Beats go out whatever the loop does; ``lag_ms`` is the time since the last call of ``turned``. Call it once.
        """

    def turned(self) -> None:
        """The loop is alive. Cheap; called at each tick of the node."""

    async def close(self) -> None:
        """Close every dial and socket. Idempotent, also after an ``open`` that failed."""
