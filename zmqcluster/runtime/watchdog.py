"""Where does the loop hang? A thread looks when the loop has not turned for long, and logs the stack it finds.

    loop ──turned() at each tick──> │ lag > limit: the loop's stack, as a warning, while it hangs
                                    │ lag > 4, 16, 64 × limit: once more: is it still there?
    loop ──turned(), late─────────> telemetry zmqcluster.loop.stalled(node, lag_ms, stack), after the fact

Python code that computes is caught in the act. A C function that keeps the GIL is caught when it gives it back: the
thread waits for the GIL by then and gets it before the next line runs, so the stack still shows the call.
Source: asyncio's slow_callback_duration, which tells the callback but not the line; faulthandler.dump_traceback_later.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from types import FrameType

from zmqcluster import telemetry
from zmqcluster.runtime.records import record

__all__ = ["Watchdog"]

AGAIN = 4  # times the lag at which the stack was logged last
WAITS = ("select", "poll")  # where a loop waits that has nothing to do

log = logging.getLogger("zmqcluster.node")


class Watchdog:
    """Watches the loop of the thread that starts it.

    Args:
        name: of the node.
        limit_ms: a loop that did not turn for longer hangs.
    """

    def __init__(self, name: str, limit_ms: int) -> None:
        self._name = name
        self._limit_s = limit_ms / 1000
        self._watched = threading.get_ident()
        self._turned_s = time.monotonic()
        self._stack = ""  # that was logged since the last turn
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="zmqcluster-watchdog", daemon=True)
        self._thread.start()

    def turned(self) -> None:
        """The loop is alive. Cheap; called at each tick of the node."""
        now_s = time.monotonic()
        lag_s, self._turned_s = now_s - self._turned_s, now_s
        if lag_s > self._limit_s:
            self._tell_afterwards(round(lag_s * 1000))

    def stop(self) -> None:
        """End the thread. Idempotent."""
        self._stopping.set()
        self._thread.join()

    def _tell_afterwards(self, lag_ms: int) -> None:
        stack, self._stack = self._stack, ""
        if stack:
            log.warning("%s: the loop turns again, after %d ms", self._name, lag_ms)
        telemetry.emit("zmqcluster.loop.stalled", node=self._name, lag_ms=lag_ms, stack=stack)

    # --- in the thread

    def _run(self) -> None:
        told_s, at_s = 0.0, self._turned_s
        while not self._stopping.wait(self._limit_s):
            turned_s = self._turned_s
            lag_s = time.monotonic() - turned_s
            if turned_s != at_s:
                told_s, at_s = 0.0, turned_s
            if lag_s > max(self._limit_s, AGAIN * told_s):
                told_s = lag_s
                self._tell(lag_s)

    def _tell(self, lag_s: float) -> None:
        frame = sys._current_frames().get(self._watched)
        if frame is None:
            return
        lag_ms, stack = round(lag_s * 1000), _stack_of(frame)
        fields = record("loop.stalled", node=self._name, lag_ms=lag_ms, stack=stack)
        if frame.f_code.co_name in WAITS:
            log.info("%s: paused for %d ms, all of the process; the loop waits", self._name, lag_ms, extra=fields)
            return
        self._stack = stack
        log.warning("%s: the loop has not turned for %d ms; it is at\n%s", self._name, lag_ms, stack, extra=fields)


def _stack_of(frame: FrameType) -> str:
    """The stack down to ``frame``, from the callback on that the loop runs."""
    frames = traceback.extract_stack(frame)
    below = [index for index, each in enumerate(frames) if each.filename == asyncio.events.__file__]
    return "".join(traceback.format_list(frames[below[-1] + 1 :] if below else frames)).rstrip()
