"""SIGTERM and SIGINT: the first asks the program to stop in order, a second SIGINT ends it at once.

    SIGTERM, SIGINT ──> Shutdown to the first process ──not ended within STOP_S_MAX──> Kill
    SIGINT again ─────> Kill, and nobody is waited for any more

A loop that is held up by code that does not return hears of no signal; so the second SIGINT also raises
KeyboardInterrupt in that code, as it would in any Python program.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from types import FrameType

from zmqcluster._ids import Pid
from zmqcluster.core import Scheduler
from zmqcluster.exits import Kill, Shutdown

__all__ = ["STOP_S_MAX", "Signals"]

log = logging.getLogger("zmqcluster.node")

SIGNALS = (signal.SIGTERM, signal.SIGINT)
STOP_S_MAX = 60.0  # a tree that takes longer to stop is killed


class Signals:
    """``with Signals(scheduler, first):`` in the main thread; elsewhere it does nothing."""

    def __init__(self, scheduler: Scheduler, first: Pid) -> None:
        self._scheduler = scheduler
        self._first = first
        self._installed: list[signal.Signals] = []
        self._interrupts_arrived = 0
        self._interrupts_handled = 0
        self.hurry: asyncio.Future[None] = scheduler.loop.create_future()  # done: end at once

    def __enter__(self) -> Signals:
        for number in SIGNALS:
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # not in the main thread
                self._scheduler.loop.add_signal_handler(number, self._on_signal, number)
                self._installed.append(number)
        if signal.SIGINT in self._installed:
            signal.signal(signal.SIGINT, self._interrupt)  # beside the loop's, which gets to know by its descriptor
        return self

    def __exit__(self, *_: object) -> None:
        for number in self._installed:
            self._scheduler.loop.remove_signal_handler(number)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._interrupts_arrived += 1
        if self._interrupts_arrived >= 2 and not _is_idle(frame):
            raise KeyboardInterrupt

    def _on_signal(self, number: signal.Signals) -> None:
        if number == signal.SIGINT:
            self._interrupts_handled += 1
        if self._interrupts_handled >= 2:
            self._end_at_once()
            return
        log.info("%s: stopping in order", number.name)
        nobody = Pid(self._scheduler.node, self._scheduler.incarnation, 0)
        self._scheduler.exit(nobody, self._first, Shutdown(number.name))
        self._scheduler.loop.call_later(STOP_S_MAX, self._scheduler.exit, self._first, self._first, Kill())

    def _end_at_once(self) -> None:
        if not self.hurry.done():
            log.warning("SIGINT again: ending at once")
            self.hurry.set_result(None)
            self._scheduler.exit(self._first, self._first, Kill())


def _is_idle(frame: FrameType | None) -> bool:
    """Whether the loop waits, and will hear of the signal by itself."""
    return frame is not None and frame.f_globals.get("__name__") == "selectors"
