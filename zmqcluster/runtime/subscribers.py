"""Who is told when nodes come and go: processes by message, other code by callback.

    Subscribers    every NodeUp and NodeDown, of visible nodes, hidden ones or all; until told otherwise
    Lookouts       the next NodeDown of one node, once

Rule: a process that has ended is forgotten, at the next event or when the list has doubled since it was last swept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Literal, get_args

from zmqcluster.core import Scheduler
from zmqcluster.errors import ConfigError
from zmqcluster.ids import Pid
from zmqcluster.runtime.events import NodeDown, NodeType, NodeUp

__all__ = ["Lookouts", "NodeEvent", "NodeSelection", "Subscribers", "deliver"]

NodeEvent = NodeUp | NodeDown
NodeSelection = Literal["visible", "hidden", "all"]

SWEPT_MIN = 64  # so many may be kept without a look at whether they live


def deliver(scheduler: Scheduler, pid: Pid, message: Any) -> bool:
    """Put ``message`` into the mailbox of a process of this node; return whether the process lives."""
    is_alive = scheduler.is_alive(pid)
    if is_alive:
        scheduler.deliver(pid, message)
    return is_alive


def _check_own(scheduler: Scheduler, pid: Pid) -> None:
    if pid.node != scheduler.node:
        raise ConfigError(f"{pid!r} is no process of {scheduler.node}")


class Subscribers:
    """Told in the order of subscribing, processes first."""

    def __init__(self) -> None:
        self.subscriptions: list[tuple[Pid, NodeSelection]] = []
        self.watchers: list[Callable[[NodeEvent], None]] = []
        self._swept_count = SWEPT_MIN

    def subscribe(self, scheduler: Scheduler, pid: Pid, selection: NodeSelection) -> None:
        """Send events to ``pid``, once more for each time it asked.

        Raises:
            ConfigError: it is a process of another node, or there is no such selection.
        """
        _check_own(scheduler, pid)
        _check_selection(selection)
        if len(self.subscriptions) >= 2 * self._swept_count:
            self.subscriptions = [each for each in self.subscriptions if scheduler.is_alive(each[0])]
            self._swept_count = max(SWEPT_MIN, len(self.subscriptions))
        self.subscriptions.append((pid, selection))

    def unsubscribe(self, pid: Pid, selection: NodeSelection) -> None:
        """Undo all subscriptions of ``pid`` with this selection; others of it go on.

        Raises:
            ConfigError: there is no such selection.
        """
        _check_selection(selection)
        self.subscriptions = [each for each in self.subscriptions if each != (pid, selection)]

    def watch(self, callback: Callable[[NodeEvent], None]) -> Callable[[], None]:
        """Call ``callback`` at each event of a visible node, until the result is called."""
        self.watchers.append(callback)

        def unwatch() -> None:
            with contextlib.suppress(ValueError):
                self.watchers.remove(callback)

        return unwatch

    def announce(self, scheduler: Scheduler, event: NodeEvent) -> None:
        self.subscriptions = [
            (pid, selection)
            for pid, selection in self.subscriptions
            if selection not in ("all", event.node_type) or deliver(scheduler, pid, event)
        ]
        for callback in list(self.watchers) if event.node_type == "visible" else ():
            callback(event)


def _check_selection(selection: str) -> None:
    if selection not in get_args(NodeSelection):
        raise ConfigError(f"node_type is one of {', '.join(get_args(NodeSelection))}, not {selection!r}")


class Lookouts:
    """Told once when one node goes. Source: erlang:monitor_node/2."""

    def __init__(self) -> None:
        self._pids: dict[str, list[Pid]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._pids.values()))

    def add(self, scheduler: Scheduler, node: str, pid: Pid) -> None:
        """Tell ``pid`` of the end of ``node``, once more for each time it asked.

        Raises:
            ConfigError: it is a process of another node.
        """
        _check_own(scheduler, pid)
        pids = self._pids.setdefault(node, [])
        if len(pids) >= SWEPT_MIN and len(pids) & (len(pids) - 1) == 0:  # at every power of two
            pids[:] = [each for each in pids if scheduler.is_alive(each)]
        pids.append(pid)

    def remove(self, node: str, pid: Pid) -> None:
        """Undo one ``add``, if there is one left."""
        pids = self._pids.get(node, [])
        with contextlib.suppress(ValueError):
            pids.remove(pid)
        if not pids:
            self._pids.pop(node, None)

    def fire(self, scheduler: Scheduler, node: str, reason: str, node_type: NodeType = "visible") -> None:
        """``node`` is down, or cannot be reached."""
        for pid in self._pids.pop(node, ()):
            deliver(scheduler, pid, NodeDown(node, reason, node_type))
