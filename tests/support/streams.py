"""A numbered stream of messages to another node, and a listener that trusts nobody.

    sender   ── ("stream", 1), ("stream", 2) ... as fast as asked, whatever happens to the link ──> listener
       says: sent 60000 unacked 731 dropped 12          says: heard 59257 gaps 3, or: stray 17, repeated 18, torn 19

Of what the sender sent, all that was not heard is among the unacknowledged and the dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from zmqcluster import telemetry
from zmqcluster.errors import LinkBusy
from zmqcluster.runtime.events import NodeDown, NodeUp
from zmqcluster.runtime.node import Node
from zmqcluster.runtime.process import receive, send
from zmqcluster.runtime.process import self as this_process

__all__ = ["Listener", "stream"]

Say = Callable[..., None]

NAME = "listener"
BURST_S = 0.001


async def stream(node: Node, peer: str, per_s: int, seconds: float, say: Say) -> None:
    """Send at that rate for so long, then say what became of it; messages to a node that is down are sent too."""
    unacked: list[int] = []
    telemetry.attach("stream", "zmqcluster.node.down", lambda _, fields: unacked.append(fields["unacked_count"]))
    loop, number, refused = asyncio.get_running_loop(), 0, 0
    began_s = loop.time()
    while (passed_s := loop.time() - began_s) < seconds:
        while number < int(per_s * passed_s):
            number += 1
            try:
                send((NAME, peer), ("stream", number))
            except LinkBusy:
                refused += 1
        await asyncio.sleep(BURST_S)
    telemetry.detach("stream", "zmqcluster.node.down")
    await flushed(node, peer)
    say("sent", number, "unacked", sum(unacked), "dropped", node.scheduler.dropped_messages + refused)


async def flushed(node: Node, peer: str) -> None:
    """Wait until all that waits is confirmed."""
    while (link := node.scheduler.link_of(peer)) is not None and (link.buffered_bytes or link.unacked_count):
        await asyncio.sleep(0.02)


class Listener:
    """Hears a stream and complains."""

    def __init__(self, node: Node, say: Say) -> None:
        self._node = node
        self._say = say
        self._is_up = False
        self._last = 0
        self._heard_count = 0
        self._gaps_count = 0
        self._is_fresh = True  # nothing was heard in this session

    def start(self) -> None:
        self._is_up = bool(self._node.nodes())
        self._node.scheduler.spawn(self._listen(), name=NAME)

    async def _listen(self) -> None:
        self._node.monitor_nodes(this_process())
        while True:
            match await receive():
                case NodeUp():
                    self._is_up = self._is_fresh = True
                case NodeDown():
                    self._is_up = False
                case ("stream", number):
                    self._hear(number)
                case "tell":
                    self._say("heard", self._heard_count, "gaps", self._gaps_count, "last", self._last)

    def _hear(self, number: int) -> None:
        if not self._is_up:
            self._say("stray", number)
        if number <= self._last:
            self._say("repeated", number, "after", self._last)
        if number > self._last + 1:
            self._gaps_count += 1
            if not self._is_fresh:
                self._say("torn", number, "after", self._last)
        self._last, self._is_fresh = number, False
        self._heard_count += 1
