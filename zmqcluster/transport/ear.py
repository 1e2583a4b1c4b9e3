"""What a node hears of its peers' gossip: one SUB for all, and for each endpoint a connection in a way of its own.

    subscribe ──way 1──> connection ──it broke, or never came about──> way 2, or way 1 anew ──> connection

libzmq connects again by itself after a break, but as it did before, and not at all after some failed handshakes. A peer
may have changed its cookie since, and a ticket is good once. So a break is followed by a connection of our making.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from zmqcluster.transport.channel import Channel, Monitor, MonitorEvent
from zmqcluster.transport.ways import Way

__all__ = ["EAR_EVENTS", "Ear", "Ways"]

RETRY_S = 0.1
EAR_EVENTS = int(MonitorEvent.DISCONNECTED)  # comes after a failed handshake, too

Ways = Callable[[str], Sequence[Way]]


class Securing(Protocol):
    """Sets what the next connection of a socket shows of itself."""

    def __call__(self, way: Way) -> None: ...


class Ear:
    """The connections to the publishers.

    Args:
        channel, monitor: a SUB that subscribed to everything, and its breaks; both are closed by the caller.
        ways: to connect to a node, the best first; asked anew when all were tried.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, channel: Channel, monitor: Monitor, secure: Securing, ways: Ways
    ) -> None:
        self._loop = loop
        self._channel = channel
        self._monitor = monitor
        self._secure = secure
        self._ways = ways
        self._left: dict[str, Iterator[Way]] = {}  # endpoint -> the ways to try next
        self._waiting: dict[str, asyncio.TimerHandle] = {}
        self._is_closed = False
        loop.add_reader(monitor.fd, self._on_monitor)
        loop.call_soon(self._on_monitor)

    def connect(self, endpoint: str, node: str) -> None:
        """Listen there. Idempotent."""
        if endpoint not in self._left:
            self._left[endpoint] = self._in_turn(node)
            self._try_next(endpoint)

    def disconnect(self, endpoint: str) -> None:
        """Listen there no more. Idempotent."""
        if self._left.pop(endpoint, None) is None:
            return
        if waiting := self._waiting.pop(endpoint, None):
            waiting.cancel()
        else:
            self._channel.disconnect(endpoint)

    def close(self) -> None:
        self._is_closed = True
        self._loop.remove_reader(self._monitor.fd)
        for waiting in self._waiting.values():
            waiting.cancel()

    def _in_turn(self, node: str) -> Iterator[Way]:
        return itertools.chain.from_iterable(self._ways(node) for _ in itertools.repeat(None))

    def _try_next(self, endpoint: str) -> None:
        self._waiting.pop(endpoint, None)
        self._secure(next(self._left[endpoint]))
        self._channel.connect(endpoint)

    def _on_monitor(self) -> None:
        while not self._is_closed and self._monitor.next() is not None:
            endpoint = self._monitor.endpoint
            if endpoint in self._left and endpoint not in self._waiting:
                self._channel.disconnect(endpoint)
                self._waiting[endpoint] = self._loop.call_later(RETRY_S, self._try_next, endpoint)
