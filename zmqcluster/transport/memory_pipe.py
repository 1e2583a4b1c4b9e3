"""Frames on their way between two simulated machines, and what may happen to them there.

    push ──> [(due, frame) (due, frame) ...] ──deliver──> receiver        due never decreases: order is kept
                        │ route cut when the first is due
                        └─> held ──release──> deliver                     as TCP: silence, then all of it, or its end

Invariant: a pipe delivers a prefix of what was pushed, in order, each frame once.
Rule: every choice that could be random is asked of ``Faults``; the mechanism here has none of its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Protocol

__all__ = ["Calm", "Faults", "Pipe"]

SAME_INSTANT_S = 1e-7  # sums of floating point delays that mean the same moment


class Faults(Protocol):
    """What the memory network asks before it moves anything. Machines are called by the names of their nodes."""

    def passes(self, source: str, target: str) -> bool:
        """Whether packets get from ``source`` to ``target``; a connection needs both ways."""
        ...

    def latency_ms(self, source: str, target: str) -> float:
        """How long this frame takes."""
        ...

    def gossip_ms(self, source: str, target: str) -> float | None:
        """How long this gossip frame takes; None: it is lost."""
        ...

    def gossip_twice(self) -> bool:
        """Whether a gossip frame arrives a second time."""
        ...

    def gossip_overtakes(self) -> bool:
        """Whether a gossip frame may arrive before those sent earlier."""
        ...

    def retry_ms(self) -> float:
        """How long a dial waits before it tries again. Source: libzmq RECONNECT_IVL."""
        ...

    def notice_ms(self) -> float:
        """How long after a heal the ends of an old connection speak again, or learn that it is dead."""
        ...

    def outlives_cut(self) -> bool:
        """Whether an established connection goes on after a heal, as TCP does when nobody gave it up."""
        ...

    def gives_up_ms(self) -> float | None:
        """How long into a cut the kernel gives the connection up; None: longer than the cut."""
        ...

    def kept(self, frames: int) -> int:
        """How many of the frames in flight still arrive when their sender is killed."""
        ...


class Calm:
    """A network where nothing goes wrong: 0.1 ms a frame."""

    def passes(self, source: str, target: str) -> bool:
        return True

    def latency_ms(self, source: str, target: str) -> float:
        return 0.1

    def gossip_ms(self, source: str, target: str) -> float | None:
        return 0.1

    def gossip_twice(self) -> bool:
        return False

    def gossip_overtakes(self) -> bool:
        return False

    def retry_ms(self) -> float:
        return 100.0

    def notice_ms(self) -> float:
        return 0.0

    def outlives_cut(self) -> bool:
        return True

    def gives_up_ms(self) -> float | None:
        return None

    def kept(self, frames: int) -> int:
        return frames


def drop_all(frames: int) -> int:
    """A sudden end: what is in flight is lost."""
    return 0


class Pipe:
    """One direction of a connection."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        faults: Faults,
        route: tuple[str, str],
        deliver: Callable[[list[bytes]], None],
        context: Context,
    ) -> None:
        self._loop = loop
        self._faults = faults
        self._route = route
        self._deliver = deliver
        self._context = context  # of the receiver: what it runs there is the receiver's
        self._frames: deque[tuple[float, bytes]] = deque()
        self._last_due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._held = False
        self._dead = False
        self._swallowed = 0  # pushed after the end, or delivered while the way back is cut: never acknowledged

    @property
    def unacked_count(self) -> int:
        """Frames that fill the sender's window."""
        return len(self._frames) + self._swallowed

    @property
    def is_busy(self) -> bool:
        """Whether something is still to arrive."""
        return bool(self._frames)

    def push(self, frame: bytes) -> None:
        """Send ``frame`` after all before it."""
        if self._dead:
            self._swallowed += 1
            return
        due = self._loop.time() + self._faults.latency_ms(*self._route) / 1000
        self._last_due = due = max(due, self._last_due)
        self._frames.append((due, frame))
        if self._timer is None and not self._held:
            self._wake_at(due)

    def release(self, after_ms: float) -> None:
        """The route is whole again: what was held moves on."""
        self._swallowed = 0
        if self._held and self._frames:
            self._held = False
            self._wake_at(self._loop.time() + after_ms / 1000)

    def end(self, kept: Callable[[int], int] = drop_all) -> None:
        """The sender is gone: of its frames in flight the first ``kept(count)`` still arrive, nothing after them."""
        keep = kept(len(self._frames))
        while len(self._frames) > keep:
            self._frames.pop()
            self._swallowed += 1
        self._dead = True
        if not self._frames and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def push_last(self, frame: bytes) -> None:
        """Send the frame that tells of the end, after those that still arrive."""
        self._dead = False
        self.push(frame)
        self._dead = True

    def _wake_at(self, when: float) -> None:
        self._timer = self._loop.call_at(when, self._arrive, context=self._context)

    def _arrive(self) -> None:
        self._timer = None
        source, target = self._route
        if not self._faults.passes(source, target):
            self._held = True
            return
        now = self._loop.time() + SAME_INSTANT_S
        arrived = []
        while self._frames and self._frames[0][0] <= now:
            arrived.append(self._frames.popleft()[1])
        if self._frames:
            self._wake_at(self._frames[0][0])
        if not self._faults.passes(target, source):
            self._swallowed += len(arrived)
        self._deliver(arrived)
