"""A loop that can suspend one simulated machine among several: SIGSTOP and kill -9 for code in one interpreter.

A *cell* is all callbacks that descend from one context, however they were scheduled: a task, a timer, a frame that the
network delivers in the context of its receiver.

    call_soon/call_at ── cell running ──> ready, timers ──> run
                     └── cell suspended ─> held ──resume──> ready, timers      (kill -9: held for ever)

Invariant: nothing of a suspended cell runs, and what it would have run is kept in order. The objects of a dead cell are
kept too, until the loop closes: collecting a coroutine runs its ``finally`` blocks, and the dead do not act.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio.events import Handle, TimerHandle
from collections import deque
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import TypeVarTuple

__all__ = ["CELL", "CellLoop"]

Ts = TypeVarTuple("Ts")

CELL: ContextVar[str | None] = ContextVar("zmqcluster.testing.cell", default=None)


class CellLoop(asyncio.BaseEventLoop):
    """An event loop with cells; how it waits is its subclass's business."""

    _ready: deque[Handle]
    _scheduled: list[TimerHandle]

    def __init__(self) -> None:
        super().__init__()
        self._held: dict[str, list[Handle]] = {}  # suspended cell -> its callbacks, in order
        self._over = False

    def cell(self, name: str) -> Context:
        """A context in which everything that is scheduled belongs to the cell ``name``."""
        context = copy_context()
        context.run(CELL.set, name)
        return context

    def suspend(self, name: str) -> None:
        """Run nothing of the cell from now on; what falls due is kept for ``resume``."""
        if name in self._held:
            return
        held: list[Handle] = []
        for index, handle in enumerate(self._ready):
            if _cell_of(handle) == name:
                held.append(handle)
                # The turn that is running has counted its callbacks: the place must stay.
                self._ready[index] = Handle(_nothing, (), self, Context())
        self._held[name] = [*held, *self._take_timers(name)]

    def _take_timers(self, name: str) -> list[TimerHandle]:
        taken: list[TimerHandle] = []
        kept: list[TimerHandle] = []
        for timer in self._scheduled:
            (taken if _cell_of(timer) == name and not timer.cancelled() else kept).append(timer)
        for timer in taken:
            timer._scheduled = False  # type: ignore[attr-defined]  # a later cancel must not be counted
        heapq.heapify(kept)
        self._scheduled = kept
        return sorted(taken, key=TimerHandle.when)

    def resume(self, name: str) -> None:
        """Run the cell again: first what fell due meanwhile, in its order."""
        for handle in self._held.pop(name, ()):
            if not handle.cancelled():
                self._admit(handle)

    def _admit(self, handle: Handle) -> None:
        held = self._held.get(_cell_of(handle) or "")
        if held is not None:
            held.append(handle)
        elif self._over:
            pass
        elif isinstance(handle, TimerHandle):
            heapq.heappush(self._scheduled, handle)
            handle._scheduled = True  # type: ignore[attr-defined]
        else:
            self._ready.append(handle)

    def call_soon(self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) -> Handle:
        if not self._held and not self._over:
            return super().call_soon(callback, *args, context=context)
        handle = Handle(callback, args, self, context)
        self._admit(handle)
        return handle

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> TimerHandle:
        if not self._held and not self._over:
            return super().call_at(when, callback, *args, context=context)
        timer = TimerHandle(when, callback, args, self, context)
        self._admit(timer)
        return timer

    def close(self) -> None:
        """End this world: what its abandoned coroutines still schedule while they are collected is dropped."""
        self._over = True
        self._held.clear()
        super().close()


def _nothing() -> None:
    """Holds the place of a callback that was suspended."""


def _cell_of(handle: Handle) -> str | None:
    context: Context = handle._context  # type: ignore[attr-defined]
    return context.get(CELL)
