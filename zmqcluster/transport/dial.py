"""One dial of the zmq transport: a DEALER, its monitor, and what their events mean to a session.

    connecting ──HANDSHAKE_SUCCEEDED──> CONNECTED ──full──> blocked ──room──> WRITABLE
        │ CONNECT_RETRIED: ask the kernel why; REFUSED, or no news; libzmq tries on
        └──────── DISCONNECTED, or a failed handshake: the event, and the dial is over

Invariant: one connection per dial. When it ends the sockets are closed before libzmq could connect them to whoever
listens there next. No event and no reply after ``close``.

The DEALER's descriptor is watched while a refusal may come, that is until ``established``, and while it is blocked.
Not otherwise: it tells of every few frames that left, and if nobody listens to what it tells, the selector spins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from zmqcluster._ports import CallableOutlet, RawOutlet
from zmqcluster.transport.channel import Channel, Monitor, MonitorEvent
from zmqcluster.transport.interface import DialEvent
from zmqcluster.transport.patience import retry_evenly
from zmqcluster.transport.probe import Probe

__all__ = ["PlainOutlet", "SocketDial"]


class PlainOutlet(CallableOutlet):
    """What ``RawOutlet`` is, through pyzmq's methods."""

    def __init__(self, channel: Channel, look_again: Callable[[], object]) -> None:
        super().__init__(self._push)
        self.blocked = False
        self._is_settled = False
        self._channel: Channel | None = channel
        self._look_again = look_again

    def _push(self, frame: bytes) -> bool:
        if self.blocked or self._channel is None:
            return False
        self.blocked = not self._channel.send(frame)
        if self.blocked or not self._is_settled:
            self._look_again()
        return not self.blocked

    def unblock(self) -> None:
        self.blocked = False

    def settle(self) -> None:
        self._is_settled = True

    def detach(self) -> None:
        self._channel = None


class SocketDial:
    """See ``transport.interface.Dial``.

    Args:
        channel, monitor: a fresh DEALER, not yet connected; the dial closes both.
        is_raw: whether frames are pushed by libzmq's own functions.
        on_closed: told once, when the sockets are closed.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        endpoint: str,
        channel: Channel,
        monitor: Monitor,
        *,
        is_raw: bool,
        on_event: Callable[[DialEvent], None],
        on_reply: Callable[[bytes], None],
        on_closed: Callable[[SocketDial], None],
    ) -> None:
        self.endpoint = endpoint
        self.outlet: RawOutlet | PlainOutlet
        self.outlet = RawOutlet(channel.handle, self._look_again) if is_raw else PlainOutlet(channel, self._look_again)
        self._loop = loop
        self._channel = channel
        self._monitor = monitor
        self._on_event = on_event
        self._on_reply = on_reply
        self._on_closed = on_closed
        self._probe = Probe(loop, endpoint, self._on_refused)
        self._expects_refusal = True
        self._was_connected = False
        self._is_closed = False
        loop.add_reader(monitor.fd, self._on_monitor)
        channel.connect(endpoint)
        self._watch()
        loop.call_soon(self._on_monitor)  # what happened before the descriptor was watched is not told again

    def established(self) -> None:
        self._expects_refusal = False
        self.outlet.settle()
        if not self._is_closed:
            self._watch()

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self.outlet.detach()
        self._probe.close()
        self._loop.remove_reader(self._monitor.fd)
        self._loop.remove_reader(self._channel.fd)
        self._monitor.close()
        self._channel.close()
        self._on_closed(self)

    def _watch(self) -> None:
        if self._expects_refusal or self.outlet.blocked:
            self._loop.add_reader(self._channel.fd, self._on_ready)
        else:
            self._loop.remove_reader(self._channel.fd)

    def _look_again(self) -> None:
        """A push was not taken, or took notice of what the descriptor was about to tell."""
        self._watch()
        self._loop.call_soon(self._on_ready)

    def _on_ready(self) -> None:
        """The DEALER has a frame, or room, or lost or found its connection."""
        while not self._is_closed and (frame := self._channel.receive()) is not None:
            self._on_reply(frame)
        if not self._is_closed and self.outlet.blocked and self._channel.has_room():
            self.outlet.unblock()
            self._watch()
            self._on_event(DialEvent.WRITABLE)

    def _on_monitor(self) -> None:
        while not self._is_closed and (news := self._monitor.next()) is not None:
            self._on_news(*news)

    def _on_news(self, event: MonitorEvent, value: int) -> None:
        if event is MonitorEvent.CONNECT_RETRIED:
            self._probe.ask()
        elif event is MonitorEvent.CONNECTED:
            retry_evenly(value)
        elif event is MonitorEvent.HANDSHAKE_SUCCEEDED:
            self._probe.close()
            self._was_connected = True
            self._channel.has_room()  # takes notice of the connection, so that the first push finds it
            self._loop.call_soon(self._on_ready)  # the descriptor may not tell of it any more
            self._on_event(DialEvent.CONNECTED)
        else:
            self._on_ready()  # the reason for the end may be among the last replies
            self._end(outcome(event, self._was_connected))

    def _on_refused(self) -> None:
        self._on_event(DialEvent.REFUSED)

    def _end(self, event: DialEvent) -> None:
        if not self._is_closed:
            self.close()
            self._on_event(event)


def outcome(event: MonitorEvent, was_connected: bool) -> DialEvent:
    """Return what the end of a connection means."""
    if was_connected:
        return DialEvent.DISCONNECTED
    return DialEvent.AUTH_FAILED if event is MonitorEvent.HANDSHAKE_FAILED_AUTH else DialEvent.HANDSHAKE_FAILED
