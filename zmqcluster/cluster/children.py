"""The processes a cluster supervisor runs on its node: started without waiting for their init, ended within a time.

    start(run) ──> a linked process, at once ──> Started(pid)              its init has returned
                                             └─> NotStarted(pid, reason)   it raised, or its name is taken
    stop(run)  ──> exit signal ── shutdown_ms ──> Kill
    Exit(pid, reason), NotStarted ──> ended(pid) tells the run

A thousand children start side by side: none waits for another's init, and the supervisor goes on answering.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zmqcluster import _core
from zmqcluster.cluster.registry import RegistryVia
from zmqcluster.core import message
from zmqcluster.errors import ConfigError
from zmqcluster.exits import Kill, NameConflict
from zmqcluster.ids import Pid
from zmqcluster.otp.child_spec import ChildSpec
from zmqcluster.otp.launching import Started, launch
from zmqcluster.otp.servers import resolve_server
from zmqcluster.protocol.catalogue_messages import StartChild, StopChild
from zmqcluster.runtime.process import exit, send, send_after
from zmqcluster.runtime.reports import reason_of

__all__ = ["NotLaunched", "Overdue", "Processes", "why"]


@message(tag="children.process.not_launched")
@dataclass(frozen=True, slots=True)
class NotLaunched:
    """There is no process for ``run``."""

    run: int
    reason: Any


@message(tag="children.process.overdue")
@dataclass(frozen=True, slots=True)
class Overdue:
    """The time of ``run`` to stop in order is over."""

    run: int


class Processes:
    """The children of one supervisor process, which calls this from its plain handlers."""

    def __init__(self) -> None:
        self._supervisor = _core.self()
        self._pids: dict[int, Pid] = {}
        self._runs: dict[Pid, int] = {}
        self._shutdown_ms: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._pids)

    def start(self, child: StartChild) -> None:
        """Start a child; Started, NotStarted or NotLaunched follows in the supervisor's mailbox."""
        plan = child.plan
        name = plan.name.ranked(child.rank) if isinstance(plan.name, RegistryVia) else plan.name
        try:
            cls = resolve_server(plan.server)
        except ConfigError as problem:
            send(self._supervisor, NotLaunched(child.run, reason_of(problem)))
            return
        pid, has_started = launch(ChildSpec(child.id, cls, plan.args, plan.kwargs or {}, name))
        self._pids[child.run], self._runs[pid] = pid, child.run
        self._shutdown_ms[child.run] = plan.shutdown_ms
        if has_started:
            send(self._supervisor, Started(pid))

    def stop(self, order: StopChild) -> None:
        """Ask the process to end, and kill it if it takes too long."""
        pid = self._pids.get(order.run)
        if pid is not None:
            exit(pid, order.reason)
            send_after(self._shutdown_ms[order.run] / 1000, self._supervisor, Overdue(order.run))

    def kill(self, run: int) -> None:
        pid = self._pids.get(run)
        if pid is not None:
            exit(pid, Kill())

    def run_of(self, pid: Pid) -> int | None:
        """Return the run whose process is ``pid``; None when it is no child's."""
        return self._runs.get(pid)

    def ended(self, pid: Pid) -> int | None:
        """Return the run whose process was ``pid``, and forget it; None when that is done, or it is no child's."""
        run = self._runs.pop(pid, None)
        if run is not None:
            del self._pids[run], self._shutdown_ms[run]
        return run


def why(reason: Any) -> Any:
    """Return the reason of a NotStarted in the words of the catalogue."""
    match reason:
        case ("already_started", Pid() as holder):
            return NameConflict(None, None, "", holder)
    return reason
