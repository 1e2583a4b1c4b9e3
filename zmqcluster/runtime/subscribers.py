"""Who is told when nodes come and go: processes by message, other code by callback."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from zmqcluster.core import Scheduler
from zmqcluster.errors import ConfigError
from zmqcluster.ids import Pid
from zmqcluster.runtime.events import NodeDown, NodeUp

__all__ = ["NodeEvent", "Subscribers", "deliver"]

NodeEvent = NodeUp | NodeDown


def deliver(scheduler: Scheduler, pid: Pid, message: Any) -> bool:
    """Put ``message`` into the mailbox of a process of this node; return whether the process lives."""
    is_alive = scheduler.is_alive(pid)
    if is_alive:
        scheduler.deliver(pid, message)
    return is_alive


class Subscribers:
    """Told in the order of subscribing, processes first. A process that has ended is forgotten at the next event."""

    def __init__(self) -> None:
        self.pids: list[Pid] = []
        self.watchers: list[Callable[[NodeEvent], None]] = []

    def subscribe(self, scheduler: Scheduler, pid: Pid) -> None:
        """Send events to ``pid``, once more for each time it asked.

        Raises:
            ConfigError: it is a process of another node.
        """
        if pid.node != scheduler.node:
            raise ConfigError(f"{pid!r} is no process of {scheduler.node}")
        self.pids.append(pid)

    def unsubscribe(self, pid: Pid) -> None:
        """Send it none any more."""
        self.pids = [each for each in self.pids if each != pid]

    def watch(self, callback: Callable[[NodeEvent], None]) -> Callable[[], None]:
        """Call ``callback`` at each event, until the result is called."""
        self.watchers.append(callback)

        def unwatch() -> None:
            with contextlib.suppress(ValueError):
                self.watchers.remove(callback)

        return unwatch

    def announce(self, scheduler: Scheduler, event: NodeEvent) -> None:
        self.pids = [pid for pid in self.pids if deliver(scheduler, pid, event)]
        for callback in list(self.watchers):
            callback(event)
