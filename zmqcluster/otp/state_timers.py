"""The time-outs of one state machine, by name.

    set ──> running: (serial, timer) ──> Due(name, serial) in the mailbox ──> take: its content, if it still counts

Invariant: a Due whose serial is not the running one was cancelled or replaced on its way, and says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from zmqcluster import _core
from zmqcluster._ids import Ref
from zmqcluster.core import message
from zmqcluster.otp.transitions import Elapsed, Timeout
from zmqcluster.runtime.process import cancel_timer, send_after

__all__ = ["Due", "StateTimers"]


@message(tag="state_machine.Due")
@dataclass(frozen=True, slots=True)
class Due:
    """The time of a time-out is over."""

    name: str
    serial: int


class Running(NamedTuple):
    serial: int
    timer: Ref | None  # None: due at once
    content: Any


class StateTimers:
    """Runs in the process of the machine."""

    def __init__(self) -> None:
        self._running: dict[str, Running] = {}
        self._serial = 0

    def set(self, timeout: Timeout) -> Due | None:
        """Start, replace or cancel; return what is due at once."""
        self.cancel(timeout.name)
        if timeout.delay_s is None:
            return None
        self._serial += 1
        due = Due(timeout.name, self._serial)
        timer = send_after(timeout.delay_s, _core.self(), due) if timeout.delay_s > 0 else None
        self._running[timeout.name] = Running(due.serial, timer, timeout.content)
        return None if timer else due

    def cancel(self, name: str) -> None:
        """Whether it runs or not."""
        running = self._running.pop(name, None)
        if running is not None and running.timer is not None:
            cancel_timer(running.timer)

    def take(self, due: Due) -> Elapsed | None:
        """The event of a time-out that is over; None when it does not count any more."""
        running = self._running.get(due.name)
        if running is None or running.serial != due.serial:
            return None
        del self._running[due.name]
        return Elapsed(due.name, running.content)
