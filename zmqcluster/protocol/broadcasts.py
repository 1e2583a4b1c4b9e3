"""What is to be told to all over a channel that may lose it: each thing a few times, then no more.

    add(key, frame) ──> [least sent first, among those the newest] ──take()──> mult × ceil(log10(n + 1)) times each

Invariant: one frame per key; a newer one about the same thing takes its place and starts anew. So the queue empties,
and n nodes hear of a thing with a probability that does not fall with n.
Source: the TransmitLimitedQueue of memberlist.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log10

__all__ = ["Broadcasts", "transmits_max"]


def transmits_max(nodes: int, mult: int) -> int:
    """How often each thing is told in a cluster of ``nodes``."""
    return mult * ceil(log10(nodes + 1))


@dataclass(slots=True)
class Queued:
    frame: bytes
    added: int
    transmits: int = 0


class Broadcasts:
    """The queue of one node.

    Args:
        mult: how often a thing is told in a cluster of up to 9 nodes.
    """

    def __init__(self, mult: int) -> None:
        self._mult = mult
        self._queue: dict[str, Queued] = {}
        self._added = 0

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, key: str, frame: bytes) -> None:
        """Tell ``frame``, in place of what was to be told about ``key``."""
        self._added += 1
        self._queue[key] = Queued(frame, self._added)

    def drop(self, key: str) -> None:
        """What was to be told about ``key`` is no longer true."""
        self._queue.pop(key, None)

    def take(self, nodes: int, count: int) -> list[bytes]:
        """Return at most ``count`` frames to publish now, in a cluster of ``nodes``."""
        queue = sorted(self._queue.items(), key=lambda item: (item[1].transmits, -item[1].added))
        limit = transmits_max(nodes, self._mult)
        for key, queued in queue[:count]:
            queued.transmits += 1
            if queued.transmits >= limit:
                del self._queue[key]
        return [queued.frame for _, queued in queue[:count]]
