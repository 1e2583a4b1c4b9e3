"""The accepting side of the zmq transport: one ROUTER for the frames of all peers.

    ROUTER --up to 64 frames a turn--> inlet (one batch)            the rest in the next turn of the loop
"""

from __future__ import annotations

import asyncio

from zmqcluster._ports import Inlet, drain_raw
from zmqcluster.transport.channel import Channel

__all__ = ["Acceptor", "drain_plain"]

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
