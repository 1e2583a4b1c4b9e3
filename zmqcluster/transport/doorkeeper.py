"""Watches one accepting socket: who comes, who has to go, and who was turned away and why.

    monitor of ROUTER or PUB ──accepted, disconnected──> Visitors ──those over a limit──> hang up
                             └─a handshake failed──────> Refusals ──────────────────────> handler.on_refused

HANDSHAKE_FAILED_PROTOCOL is asked for of no socket: libzmq 4.3.5 forgets the error while it tells of it, and leaves a
connection on which a frame was tampered with open and unread; it would hang for ever. So a connection that ends before
it was admitted, and was not hung up on by its peer, has failed in its handshake.

libzmq's monitor must be read, whatever becomes of it: a full one stops the I/O thread, and with it all links. Only a
socket with an ``allow`` list is asked for the connections it did not accept. When descriptors run out there are a
hundred thousand of those a second, so the monitor is then closed for a second.
"""

from __future__ import annotations

import asyncio
import errno
import resource
from collections.abc import Callable

from zmqcluster.transport.channel import Monitor, MonitorEvent
from zmqcluster.transport.patience import retry_evenly
from zmqcluster.transport.refusals import Refusals
from zmqcluster.transport.sight import hang_up, look
from zmqcluster.transport.visitors import Cut, Visitor, Visitors
from zmqcluster.transport.ways import Mechanism

__all__ = ["DOOR_EVENTS", "Doorkeeper"]

HANDSHAKES_MAX = 128  # under way at once; an eighth of the descriptors, where that is less: there are two sockets
REVIEW_S = 0.01  # between two looks at the handshakes under way; one takes a few milliseconds
PAUSE_S = 1.0
NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)
OUTSIDER = "an address that is not allowed"
FAILED = "its handshake failed: it has another cookie than ours, or none, or encryption= differs"

# What libzmq sends to a connection before it is admitted. Source: RFC 23 and 26, greeting and WELCOME.
ANSWERED_BYTES = {Mechanism.NULL: None, Mechanism.CHALLENGE: 64, Mechanism.CURVE: 64 + 170}

DOOR_EVENTS = (
    MonitorEvent.ACCEPTED
    | MonitorEvent.DISCONNECTED
    | MonitorEvent.HANDSHAKE_FAILED_NO_DETAIL
    | MonitorEvent.HANDSHAKE_FAILED_AUTH
    | MonitorEvent.HANDSHAKE_SUCCEEDED
)


class Doorkeeper:
    """Reads the monitor of one accepting socket.

    Args:
        watch: opens the monitor with these events.
        on_refused: told the address of who was turned away, and why.
        mechanism: what the socket asks of who comes.
        networks: those that are allowed, in words; empty: all are.
        why: why the last one without a good ticket was not admitted.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        watch: Callable[[int], Monitor],
        on_refused: Callable[[str, str], None],
        *,
        mechanism: Mechanism,
        networks: str = "",
        why: Callable[[], str] | None = None,
    ) -> None:
        self._loop = loop
        self._watch = watch
        self._events = DOOR_EVENTS | (MonitorEvent.ACCEPT_FAILED if networks else 0)
        self._networks = networks
        self._why = why
        self._visitors = Visitors(handshakes_max(), ANSWERED_BYTES[mechanism], look)
        self._refusals = Refusals(on_refused, loop.time)
        self._has_hung_up = False  # the peer of the connection that is closed next
        self._reviewing: asyncio.TimerHandle | None = None
        self._resuming: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._monitor: Monitor | None = None
        self._open()

    def _open(self) -> None:
        self._monitor = self._watch(self._events)
        self._loop.add_reader(self._monitor.fd, self._on_monitor)
        self._loop.call_soon(self._on_monitor)

    def close(self) -> None:
        self._is_closed = True
        self._shut()
        for timer in (self._reviewing, self._resuming):
            if timer:
                timer.cancel()

    def _shut(self) -> None:
        monitor, self._monitor = self._monitor, None
        if monitor:
            self._loop.remove_reader(monitor.fd)
            monitor.close()

    def _pause(self) -> None:
        """Look away while there are no descriptors."""
        self._shut()
        self._resuming = self._loop.call_later(PAUSE_S, self._resume)

    def _resume(self) -> None:
        try:
            self._open()
        except OSError:
            self._pause()

    def _on_monitor(self) -> None:
        while self._monitor is not None and (news := self._monitor.next()) is not None:
            self._on_news(*news)

    def _on_news(self, event: MonitorEvent, value: int) -> None:
        match event:
            case MonitorEvent.ACCEPTED:
                retry_evenly(value)
                self._cut(self._visitors.accepted(value))
                self._review_later()
            case MonitorEvent.DISCONNECTED:
                self._ended(self._visitors.left(value))
            case MonitorEvent.HANDSHAKE_SUCCEEDED:
                self._visitors.succeeded()
            case MonitorEvent.HANDSHAKE_FAILED_AUTH:
                self._refusals.failed(self._why() if self._why else "its key is not admitted")
            case MonitorEvent.ACCEPT_FAILED if value in NO_DESCRIPTORS:
                self._refusals.refused("everybody", "there are no file descriptors left")
                self._cut(self._visitors.review())
                self._pause()
            case MonitorEvent.ACCEPT_FAILED:
                self._refusals.refused(OUTSIDER, f"only {self._networks} may connect")
            case MonitorEvent.HANDSHAKE_FAILED_NO_DETAIL:  # as every killed or impatient dialler does
                self._has_hung_up = True

    def _ended(self, visitor: Visitor | None) -> None:
        if visitor is not None and not visitor.is_admitted and not self._has_hung_up:
            self._refusals.failed(FAILED)
        self._has_hung_up = False
        self._refusals.ended(visitor.address if visitor else None)

    def _review_later(self) -> None:
        if self._reviewing is None and self._visitors.has_pending:
            self._reviewing = self._loop.call_later(REVIEW_S, self._review)

    def _review(self) -> None:
        self._reviewing = None
        if not self._is_closed:
            self._cut(self._visitors.review())
            self._review_later()

    def _cut(self, cuts: list[Cut]) -> None:
        for cut in cuts:
            if hang_up(cut.fd, cut.address):
                self._refusals.refused(cut.address, cut.problem)


def handshakes_max() -> int:
    """How many handshakes may be under way: descriptors are left for the links and for the program."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return HANDSHAKES_MAX if soft == resource.RLIM_INFINITY else max(4, min(HANDSHAKES_MAX, soft // 8))
