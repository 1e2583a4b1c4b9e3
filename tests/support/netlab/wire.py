"""What becomes of a frame on its way from one host to another: no I/O and no clock, so a seed is the whole weather."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

__all__ = ["Port", "Weather", "Wire"]

TWICE_S = 0.0005  # the copy of a frame comes so much later
HELD_S = 0.002  # a frame is overtaken by being held back so long
QUEUE_S = 0.2  # what a port of limited rate keeps; the rest is dropped at the tail, as a router does


@dataclass(slots=True)
class Weather:
    """The faults of one direction; shares from 0 to 1."""

    cut: bool = False
    loss: float = 0.0
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    twice: float = 0.0
    overtaken: float = 0.0


class Wire:
    """One direction between two hosts."""

    def __init__(self, seed: str) -> None:
        self.weather = Weather()
        self.seen_count = 0
        self.lost_count = 0
        self._chance = Random(seed)

    def fates_s(self) -> list[float]:
        """After how many seconds the next frame arrives: not at all, once, or twice."""
        weather, draw = self.weather, self._chance.random
        self.seen_count += 1
        if weather.cut or (weather.loss and draw() < weather.loss):
            self.lost_count += 1
            return []
        delay_s = weather.delay_ms / 1000
        if weather.jitter_ms:
            delay_s = max(0.0, delay_s + (2 * draw() - 1) * weather.jitter_ms / 1000)
        if weather.overtaken and draw() < weather.overtaken:
            delay_s += HELD_S
        if weather.twice and draw() < weather.twice:
            return [delay_s, delay_s + TWICE_S]
        return [delay_s]


class Port:
    """A host's end of its cable: whether it is plugged in, and how fast it takes frames."""

    def __init__(self) -> None:
        self.is_up = True
        self.mbit_s: float | None = None  # None: as fast as they come
        self._free_s = 0.0

    def done_s(self, size_bytes: int, now_s: float) -> float | None:
        """When a frame that arrives at ``now_s`` has been taken; None: the queue is full, it is lost."""
        if not self.is_up:
            return None
        if self.mbit_s is None:
            return now_s
        if self._free_s - now_s > QUEUE_S:
            return None
        self._free_s = max(self._free_s, now_s) + size_bytes * 8 / (self.mbit_s * 1e6)
        return self._free_s
