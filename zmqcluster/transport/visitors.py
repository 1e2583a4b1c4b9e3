"""Who is at the door: the connections of an accepting socket, and how many of what kind there may be.

    accepted ──> pending ──the kernel says we answered──> admitted ──> disconnected
                    │ too many at once, the oldest; too many bytes too early; too many from its address
                    └──> to be cut

libzmq accepts whoever comes and tells us of it; it has no limits of its own but the time of a handshake. What a
stranger can do before its handshake is over is to hold a descriptor and to send a long command, so both are counted
here. How far a handshake has come is asked of the kernel: libzmq sends its last command only to who was admitted. Where
the kernel does not say (not Linux), only connections per address are counted.

Invariant: a descriptor counts as the connection it was accepted as, by its peer's address; it may be another's by now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from zmqcluster.transport.sight import Sight

__all__ = ["Cut", "Visitor", "Visitors"]

CONNECTIONS_PER_ADDRESS_MAX = 512  # a host, or a network behind one address: so many nodes
UNKNOWN = "an unknown address"
EARLY_BYTES_MAX = 4_096  # of a handshake, which takes less than 1,000


@dataclass(frozen=True, slots=True)
class Cut:
    """A connection that must not go on, and why."""

    fd: int
    address: str
    problem: str


@dataclass(slots=True)
class Visitor:
    """One connection, by the address of its peer; ``host`` is what is counted.

    ``is_admitted`` is for the log: libzmq says that a handshake succeeded, not whose. What is pending, the kernel says.
    """

    address: str
    host: str
    is_admitted: bool


class Visitors:
    """The connections of one socket, in the order of their coming.

    Args:
        pending_max: handshakes that may be under way at once.
        answered_bytes: what libzmq has sent, at most, to a connection that is not admitted; None: nobody is asked to
            prove anything, so all are admitted.
        look: what the kernel says of a descriptor; None for one that is no connection.
    """

    def __init__(
        self, pending_max: int, answered_bytes: int | None, look: Callable[[int], Sight | None]
    ) -> None:
        self.answered_bytes = answered_bytes
        self._pending_max = pending_max
        self._look = look
        self._visitors: dict[int, Visitor] = {}
        self._pending: dict[int, Visitor] = {}
        self._hosts: Counter[str] = Counter()

    @property
    def has_pending(self) -> bool:
        return bool(self._pending)

    def __len__(self) -> int:
        return len(self._visitors)

    def accepted(self, fd: int) -> list[Cut]:
        """Take note of a connection; return those that must go."""
        self.left(fd)  # its end, if it was another's, was not told
        sight = self._look(fd)
        if sight is None:  # it is gone by now
            self._visitors[fd] = Visitor(UNKNOWN, UNKNOWN, is_admitted=False)
            return []
        visitor = self._visitors[fd] = Visitor(sight.address, sight.host, is_admitted=False)
        self._hosts[visitor.host] += 1
        if self._hosts[visitor.host] > CONNECTIONS_PER_ADDRESS_MAX and not sight.is_local:
            return [Cut(fd, visitor.address, f"it has more than {CONNECTIONS_PER_ADDRESS_MAX} connections")]
        if self.answered_bytes is not None and sight.sent_bytes is not None:
            self._pending[fd] = visitor
        return self.review() if len(self._pending) > self._pending_max else []

    def succeeded(self) -> None:
        """Some handshake is over: that of who came first, as far as we know."""
        visitor = next((each for each in self._visitors.values() if not each.is_admitted), None)
        if visitor is not None:
            visitor.is_admitted = True

    def left(self, fd: int) -> Visitor | None:
        """Take note of an end; return who it was."""
        self._pending.pop(fd, None)
        visitor = self._visitors.pop(fd, None)
        if visitor is not None and visitor.host in self._hosts:
            self._hosts[visitor.host] -= 1
            if not self._hosts[visitor.host]:
                del self._hosts[visitor.host]
        return visitor

    def review(self) -> list[Cut]:
        """Look at the handshakes under way; return the connections that must go."""
        cuts = [cut for fd, visitor in list(self._pending.items()) if (cut := self._review(fd, visitor))]
        surplus = len(self._pending) - self._pending_max
        if surplus > 0:  # some more, or the next one that comes would have us look at all of them again
            oldest = list(self._pending.items())[: surplus + self._pending_max // 4]
            cuts += [Cut(fd, visitor.address, "too many handshakes at once") for fd, visitor in oldest]
        for cut in cuts:
            self._pending.pop(cut.fd, None)
        return cuts

    def _review(self, fd: int, visitor: Visitor) -> Cut | None:
        sight = self._look(fd)
        if sight is None or sight.address != visitor.address or self.answered_bytes is None:
            del self._pending[fd]
        elif sight.sent_bytes is None or sight.sent_bytes > self.answered_bytes:
            del self._pending[fd]
            visitor.is_admitted = True
        elif sight.received_bytes > EARLY_BYTES_MAX:
            return Cut(fd, visitor.address, f"it sent {sight.received_bytes} bytes before its handshake was over")
        return None
