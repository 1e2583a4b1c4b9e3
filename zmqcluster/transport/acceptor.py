"""The accepting side of the zmq transport: one ROUTER for the frames of all peers, and who was turned away.

    ROUTER --up to 64 frames a turn--> inlet (one batch)            the rest in the next turn of the loop
    monitors of ROUTER and PUB ------> Refusals ------> handler.on_refused
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from zmqcluster._ports import Inlet, drain_raw
from zmqcluster.transport.channel import Channel, Monitor, MonitorEvent
from zmqcluster.transport.dial import MECHANISM_PROBLEMS
from zmqcluster.transport.refusals import Refusals

__all__ = ["Acceptor", "Doorkeeper", "drain_plain"]

DRAIN_FRAMES_MAX = 64  # then the loop's other callbacks have their turn


class Acceptor:
    """Feeds what arrives at the ROUTER to the inlet, and sends the few frames that go back."""

    def __init__(self, loop: asyncio.AbstractEventLoop, channel: Channel, inlet: Inlet, *, is_raw: bool) -> None:
        self.is_draining = False
        self._loop = loop
        self._channel = channel
        self._inlet = inlet
        self._is_raw = is_raw
        self._is_closed = False
        loop.add_reader(channel.fd, self._on_ready)
        loop.call_soon(self._on_ready)

    def reply(self, source: bytes, frame: bytes) -> bool:
        # Sending may have taken notice of what the descriptor was about to tell: look again.
        self._loop.call_soon(self._on_ready)
        return self._channel.send_to(source, frame)

    def close(self) -> None:
        """Stop reading; whoever opened the socket closes it."""
        self._is_closed = True
        self._loop.remove_reader(self._channel.fd)

    def _on_ready(self) -> None:
        if self._is_closed or self.is_draining:
            return
        is_empty = False
        self.is_draining = True
        try:
            if self._is_raw:
                is_empty = drain_raw(self._channel.handle, self._inlet, DRAIN_FRAMES_MAX)
            else:
                is_empty = drain_plain(self._channel, self._inlet, DRAIN_FRAMES_MAX)
        finally:  # also when the inlet raised: the descriptor does not tell again of what is left
            self.is_draining = False
            if not is_empty:
                self._loop.call_soon(self._on_ready)


def drain_plain(channel: Channel, inlet: Inlet, frames_max: int) -> bool:
    """What ``drain_raw`` does, through pyzmq's methods."""
    is_open = False
    try:
        for _ in range(frames_max):
            received = channel.receive_from()
            if received is None:
                return True
            if not is_open:
                inlet.begin_batch()
                is_open = True
            inlet.feed_bytes(*received)
        return False
    finally:
        if is_open:
            inlet.end_batch()


class Doorkeeper:
    """Reads the monitor of one accepting socket: it must be read, and tells who failed to get in."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, monitor: Monitor, on_refused: Callable[[str, str], None]
    ) -> None:
        self._loop = loop
        self._monitor = monitor
        self._refusals = Refusals(on_refused, loop.time)
        self._is_closed = False
        loop.add_reader(monitor.fd, self._on_monitor)
        loop.call_soon(self._on_monitor)

    def close(self) -> None:
        self._is_closed = True
        self._loop.remove_reader(self._monitor.fd)
        self._monitor.close()

    def _on_monitor(self) -> None:
        while not self._is_closed and (news := self._monitor.next()) is not None:
            self._on_news(*news)

    def _on_news(self, event: MonitorEvent, value: int) -> None:
        match event:
            case MonitorEvent.ACCEPTED:
                self._refusals.accepted(value)
            case MonitorEvent.DISCONNECTED:
                self._refusals.disconnected(value)
            case MonitorEvent.HANDSHAKE_FAILED_AUTH:
                self._refusals.failed("its key is not admitted")
            case MonitorEvent.HANDSHAKE_FAILED_PROTOCOL:
                self._refusals.failed(MECHANISM_PROBLEMS.get(value, "it does not speak our protocol"))
            case _:  # NO_DETAIL: it hung up in mid-handshake, as every killed or impatient dialler does
                pass
