"""What a node keeps of each other node: its session, and what of the transport and the core belongs to it now.

    name ──> Peer ──> Session        decides
      source ─^  ├──> Dial           our own connection, while there is one
                 ├──> Link           the core's, pending or up
                 └──> waiters        who asked to be connected

Invariant: a peer that never got as far as a valid offer leaves nothing behind; so strangers cost no memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from zmqcluster.core import Link
from zmqcluster.protocol.session import Session, State
from zmqcluster.transport.interface import Dial

__all__ = ["Peer", "Peers"]

PEERS_MAX = 10_000  # above it, those without a session are forgotten, the oldest first


class Peer:
    """The record of one other node."""

    def __init__(self, name: str, session: Session) -> None:
        self.name = name
        self.session = session
        self.link: Link | None = None
        self.dial: Dial | None = None
        self.dial_number = 0  # of the dial whose events count
        self.source = b""  # where its frames come from
        self.unsent: list[bytes] = []  # control frames the connection had no room for
        self.waiters: list[asyncio.Future[bool]] = []
        self.resolving: asyncio.Task[None] | None = None
        self.left_ms = 0
        self.refusal: str | None = None  # by one of the endpoints of the attempt that goes on: it tells most

    @property
    def is_idle(self) -> bool:
        """Whether there is neither a session nor an attempt at one."""
        return self.session.state is State.IDLE and self.resolving is None

    def answer_waiters(self, is_up: bool) -> None:
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(is_up)


class Peers:
    """The records, by the name of the node and by the connection its frames come on.

    Args:
        make_session: makes the session with a node that was not known.
    """

    def __init__(self, make_session: Callable[[str], Session]) -> None:
        self._make_session = make_session
        self._by_name: dict[str, Peer] = {}
        self._by_source: dict[bytes, Peer] = {}

    def __len__(self) -> int:
        return len(self._by_name)

    def all(self) -> list[Peer]:
        """The records there are now, in the order of their making."""
        return list(self._by_name.values())

    def get(self, name: str) -> Peer | None:
        return self._by_name.get(name)

    def behind(self, source: bytes) -> Peer | None:
        """Whose frames come on this connection."""
        return self._by_source.get(source)

    def record(self, name: str) -> Peer:
        """Return the record of a node, made if there is none."""
        peer = self._by_name.get(name)
        if peer is None:
            self._make_room()
            peer = self._by_name[name] = Peer(name, self._make_session(name))
        return peer

    def _make_room(self) -> None:
        if len(self._by_name) >= PEERS_MAX:
            idle = next((name for name, peer in self._by_name.items() if peer.is_idle), None)
            if idle is not None:
                del self._by_name[idle]

    def bind(self, peer: Peer, source: bytes) -> None:
        """From now on the peer's frames come on ``source`` only."""
        self._by_source.pop(peer.source, None)
        self._by_source[source] = peer
        peer.source = source

    def unbind(self, peer: Peer) -> None:
        """No frame is the peer's any more."""
        self._by_source.pop(peer.source, None)

    def forget_stranger(self, peer: Peer) -> None:
        """Drop the record when nothing is known that a new one would not know."""
        if peer.is_idle and peer.session.offers.last is None and self._by_name.get(peer.name) is peer:
            del self._by_name[peer.name]
