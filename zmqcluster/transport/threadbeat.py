"""The beat thread in Python: what stands in for ``_beat.Beat`` where libzmq cannot be called directly.

The same three duties, order and frames (see ``_beat.pyx``), with pyzmq's sockets. The difference: it needs the GIL, so
a callback that computes without giving it up delays the beats by its switch interval, and one that keeps it stops them.
"""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from zmqcluster.errors import AlreadyRunning
from zmqcluster.transport import zap

if TYPE_CHECKING:
    import zmq

__all__ = ["ThreadBeat"]

TRAILER = struct.Struct(">QI")  # number, lag_ms
KEY_BYTES = 32
LAG_MS_MAX = 2**32 - 1
FORWARD_MAX = 256  # frames between two looks at the clock
IDLE_MS = 1_000  # without beats; a nudge ends it


class ThreadBeat:
    """The interface of ``_beat.Beat``; ``wait(ms)`` returns when there is something to read at frames or door."""

    def __init__(
        self,
        gossip: zmq.Socket[bytes],
        frames: zmq.Socket[bytes],
        door: zmq.Socket[bytes] | None,
        keys: bytes,
        nudge: Callable[[], object],
        wait: Callable[[int], object],
    ) -> None:
        self._gossip = gossip
        self._frames = frames
        self._door = door
        self._keys: frozenset[bytes] = frozenset()
        self.admit(keys)
        self._nudge = nudge
        self._wait = wait
        self._turned_ns = time.monotonic_ns()
        self._is_stopping = False
        self._pulse: tuple[bytes, int] | None = None
        self._next_ns = 0
        self._number = 0
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        return self._thread is not None

    def start(self) -> None:
        if self._thread is not None:
            raise AlreadyRunning("the beat thread")
        self.turned()
        self._thread = threading.Thread(target=self._run, name="zmqcluster-beat", daemon=True)
        self._thread.start()

    def pulse(self, prefix: bytes, interval_ms: int) -> None:
        if self._pulse is not None:
            raise AlreadyRunning("the beats")
        if interval_ms < 1:
            raise ValueError("the interval of the beats is at least 1 ms")
        self._pulse = (prefix, interval_ms * 1_000_000)
        self._nudge()

    def admit(self, keys: bytes) -> None:
        self._keys = frozenset(keys[start : start + KEY_BYTES] for start in range(0, len(keys), KEY_BYTES))

    def turned(self) -> None:
        self._turned_ns = time.monotonic_ns()

    def stop(self) -> None:
        if self._thread is not None:
            self._is_stopping = True
            self._nudge()
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while not self._is_stopping:
            self._wait(self._wait_ms())
            self._forward()
            if self._door is not None and self._door.poll(0):
                request = self._door.recv_multipart()
                self._door.send_multipart(zap.answer(request, zap.key_refusal(request, self._keys)))
            self._beat()

    def _wait_ms(self) -> int:
        """Until the next beat, rounded up."""
        if self._pulse is None:
            return IDLE_MS
        return max(0, (self._next_ns - time.monotonic_ns() + 999_999) // 1_000_000)

    def _forward(self) -> None:
        for _ in range(FORWARD_MAX):
            if not self._frames.poll(0):
                return
            frame = self._frames.recv()
            if frame:
                self._gossip.send(frame)

    def _beat(self) -> None:
        now_ns = time.monotonic_ns()
        if self._pulse is None or now_ns < self._next_ns:
            return
        prefix, interval_ns = self._pulse
        self._next_ns = now_ns + until_beat_ns(interval_ns, time.time_ns())
        self._number += 1
        lag_ms = min(max(0, now_ns - self._turned_ns) // 1_000_000, LAG_MS_MAX)
        self._gossip.send(prefix + TRAILER.pack(self._number, lag_ms))


def until_beat_ns(interval_ns: int, now_ns: int) -> int:
    """To the next multiple of the interval by the wall clock, not sooner than a quarter of it; see ``_beat.pyx``."""
    left_ns = interval_ns - now_ns % interval_ns
    return left_ns if left_ns > interval_ns // 4 else left_ns + interval_ns
