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
from zmqcluster.transport.ear import Ear
from zmqcluster.transport.interface import GOSSIP_BYTES_MAX

__all__ = ["BeatThread", "Gossip"]

HEAR_FRAMES_MAX = 64  # then the loop's other callbacks have their turn


class BeatThread(Protocol):
    """``_beat.Beat``, or its stand-in ``ThreadBeat``."""

    def start(self) -> None: ...
    def admit(self, keys: bytes) -> None: ...
    def pulse(self, prefix: bytes, interval_ms: int) -> None: ...
    def turned(self) -> None: ...
    def stop(self) -> None: ...


class Gossip:
    """Publishes through the beat thread, which it starts and stops; hears all peers over one SUB, ``heard``."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        queue: Channel,
        heard: Channel,
        ear: Ear,
        beat: BeatThread,
        on_gossip: Callable[[bytes], None],
    ) -> None:
        self.turned = beat.turned
        self.start_beats = beat.pulse
        self._loop = loop
        self._queue = queue
        self._heard = heard
        self._ear = ear
        self._beat = beat
        self._on_gossip = on_gossip
        self._is_closed = False
        beat.start()
        loop.add_reader(heard.fd, self._on_ready)

    def publish(self, frame: bytes) -> None:
        if len(frame) > GOSSIP_BYTES_MAX:
            raise FrameTooLarge(len(frame), GOSSIP_BYTES_MAX)
        self._queue.send(frame)  # lost when the beat thread is that far behind

    def subscribe(self, endpoint: str, node: str) -> None:
        check_endpoint(endpoint)
        self._ear.connect(endpoint, node)
        self._loop.call_soon(self._on_ready)

    def unsubscribe(self, endpoint: str) -> None:
        self._ear.disconnect(endpoint)
        self._loop.call_soon(self._on_ready)

    def admit(self, keys: bytes) -> None:
        """From now on subscribers and peers with these public keys get in."""
        self._beat.admit(keys)

    def close(self) -> None:
        """End the thread and stop reading; then the sockets belong to whoever opened them, and may be closed."""
        self._is_closed = True
        self._beat.stop()
        self._ear.close()
        self._loop.remove_reader(self._heard.fd)

    def _on_ready(self) -> None:
        is_empty = False
        try:
            for _ in range(HEAR_FRAMES_MAX):
                frame = None if self._is_closed else self._heard.receive()
                if frame is None:
                    is_empty = True
                    return
                self._on_gossip(frame)
        finally:
            if not is_empty:
                self._loop.call_soon(self._on_ready)
