"""The processes a cluster supervisor runs on its node: started without waiting for their init, ended within a time.

    start(run) ──> a linked process, at once ──> Started(run, pid)             its init has returned
                                             └─> Ended(run, reason)            it raised, or its name is taken
    stop(run)  ──> exit signal ── shutdown_ms ──> Kill
    Exit(pid, reason) ──> ended(pid) tells the run

A thousand children start side by side: none waits for another's init, and the supervisor goes on answering.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zmqcluster import _core
from zmqcluster.cluster.registry import RegistryVia
from zmqcluster.core import message
from zmqcluster.errors import AlreadyStarted, ConfigError
from zmqcluster.exits import Kill, NameConflict
from zmqcluster.ids import Pid
from zmqcluster.otp.servers import resolve_server
from zmqcluster.otp.starting import IGNORED, _Start
from zmqcluster.protocol.catalogue_messages import StartChild, StopChild
from zmqcluster.runtime.process import exit, send_after
from zmqcluster.runtime.reports import reason_of, reason_of_failed_call

__all__ = ["Ended", "Overdue", "Processes", "Started"]


@message(tag="children.process.started")
@dataclass(frozen=True, slots=True)
class Started:
    """The init of the process of ``run`` has returned."""

    run: int
    pid: Pid


@message(tag="children.process.ended")
@dataclass(frozen=True, slots=True)
class Ended:
    """The process of ``run`` did not start."""

    run: int
    reason: Any


@message(tag="children.process.overdue")
@dataclass(frozen=True, slots=True)
class Overdue:
    """The time of ``run`` to stop in order is over."""

    run: int


class Processes:
    """The children of one supervisor process, which calls this."""

    def __init__(self, supervisor: Pid) -> None:
        self._supervisor = supervisor
        self._scheduler = _core.current_scheduler()
        self._pids: dict[int, Pid] = {}
        self._runs: dict[Pid, int] = {}
        self._shutdown_ms: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._pids)

    def start(self, child: StartChild) -> None:
        """Start a child; Started or Ended follows in the supervisor's mailbox."""
        try:
            self._begin(child)
        except ConfigError as problem:  # its class is not known here
            self._tell(Ended(child.run, reason_of(problem)))

    def _begin(self, child: StartChild) -> None:
        plan = child.plan
        cls = resolve_server(plan.server)
        name = plan.name.ranked(child.rank) if isinstance(plan.name, RegistryVia) else plan.name
        promise = self._scheduler.promise(cls.__name__)
        start = _Start(object.__new__(cls), plan.args, plan.kwargs or {}, name, promise, self._supervisor)
        pid: Pid = self._scheduler.start_server(
            cls._table(),
            start.server,
            start.run(),
            promise=promise,
            link=True,
            isolated=cls._isolated,
            parent=self._supervisor,
            label=child.id,
            bound=cls.mailbox_bound,
            policy=cls.mailbox_policy,
        )
        self._pids[child.run], self._runs[pid] = pid, child.run
        self._shutdown_ms[child.run] = plan.shutdown_ms
        promise.add_done_callback(lambda promise: self._tell(_outcome(child, pid, start)))

    def _tell(self, news: Started | Ended) -> None:
        if self._scheduler.is_alive(self._supervisor):
            self._scheduler.deliver(self._supervisor, news)

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

    def forget(self, run: int) -> None:
        """The process of ``run`` has ended."""
        pid = self._pids.pop(run, None)
        if pid is not None:
            del self._runs[pid], self._shutdown_ms[run]

    def ended(self, pid: Pid) -> int | None:
        """Return the run whose process was ``pid`` and forget it; None when it is no child's."""
        run = self._runs.get(pid)
        if run is not None:
            self.forget(run)
        return run


def _outcome(child: StartChild, pid: Pid, start: _Start) -> Started | Ended:
    error = start.promise.exception()
    if error is None:
        return Started(child.run, pid)
    if isinstance(error, AlreadyStarted):
        return Ended(child.run, NameConflict(child.id, None, "", error.pid))
    return Ended(child.run, IGNORED if start.is_ignored else reason_of_failed_call(error))
