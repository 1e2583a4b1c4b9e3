"""The gossip side of the zmq transport, as the loop sees it: what goes to the beat thread, and what peers publish.

    publish --PAIR--> beat thread --PUB--> subscribers         peers' PUB --one SUB for all--> handler.on_gossip
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from zmqcluster.errors import FrameTooLarge
from zmqcluster.transport.addresses import check_endpoint
from zmqcluster.transport.channel import Channel
from zmqcluster.transport.interface import GOSSIP_BYTES_MAX

__all__ = ["BeatThread", "Gossip"]

HEAR_FRAMES_MAX = 64  # then the loop's other callbacks have their turn


class BeatThread(Protocol):
    """``_beat.Beat``, or its stand-in ``ThreadBeat``."""

    def start(self) -> None: ...
    def pulse(self, prefix: bytes, interval_ms: int) -> None: ...
    def turned(self) -> None: ...
    def stop(self) -> None: ...


class Gossip:
    """Publishes through the beat thread, which it starts and stops; hears all peers over one SUB."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        queue: Channel,
        ear: Channel,
        beat: BeatThread,
        on_gossip: Callable[[bytes], None],
    ) -> None:
        self.turned = beat.turned
        self.start_beats = beat.pulse
        self._loop = loop
        self._queue = queue
        self._ear = ear
        self._beat = beat
        self._on_gossip = on_gossip
        self._subscribed: set[str] = set()
        self._is_closed = False
        beat.start()
        loop.add_reader(ear.fd, self._on_ready)

    def publish(self, frame: bytes) -> None:
        if len(frame) > GOSSIP_BYTES_MAX:
            raise FrameTooLarge(len(frame), GOSSIP_BYTES_MAX)
        self._queue.send(frame)  # lost when the beat thread is that far behind

    def subscribe(self, endpoint: str) -> None:
        check_endpoint(endpoint)
        if endpoint not in self._subscribed:
            self._subscribed.add(endpoint)
            self._ear.connect(endpoint)
            self._loop.call_soon(self._on_ready)

    def unsubscribe(self, endpoint: str) -> None:
        if endpoint in self._subscribed:
            self._subscribed.remove(endpoint)
            self._ear.disconnect(endpoint)
            self._loop.call_soon(self._on_ready)

    def close(self) -> None:
        """End the thread and stop reading; then the sockets belong to whoever opened them, and may be closed."""
        self._is_closed = True
        self._beat.stop()
        self._loop.remove_reader(self._ear.fd)

    def _on_ready(self) -> None:
        is_empty = False
        try:
            for _ in range(HEAR_FRAMES_MAX):
                frame = None if self._is_closed else self._ear.receive()
                if frame is None:
                    is_empty = True
                    return
                self._on_gossip(frame)
        finally:
            if not is_empty:
                self._loop.call_soon(self._on_ready)
