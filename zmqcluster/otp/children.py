"""The children of one supervisor, in start order, found by id or by pid; and what is told of them.

Invariant: ``of_pid`` finds exactly the entries that have a pid.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from zmqcluster import _core, telemetry
from zmqcluster._ids import Pid, Ref
from zmqcluster.core import message
from zmqcluster.otp.child_spec import ChildSpec
from zmqcluster.runtime.process import cancel_timer, start_timer

__all__ = ["ChildEntry", "ChildInfo", "Children", "Strategy", "report", "report_backoff", "report_progress"]

_log = logging.getLogger("zmqcluster.supervisor")

Strategy = Literal["one_for_one", "one_for_all", "rest_for_one"]
State = Literal["running", "restarting", "stopped"]


@message(tag="supervisor.ChildInfo")
@dataclass(frozen=True, slots=True)
class ChildInfo:
    """One row of ``which_children``."""

    id: str
    pid: Pid | None
    state: State
    kind: str


@dataclass(slots=True, eq=False)
class ChildEntry:
    """A child, whether it runs or not. ``timer`` runs while it waits ``delay_s`` before it is started again."""

    spec: ChildSpec
    pid: Pid | None = None
    restarting: bool = False
    started_s: float = 0.0
    delay_s: float | None = None
    timer: Ref | None = None

    def wait(self, delay_s: float, message: Any) -> None:
        """``TimerFired(self.timer, message)`` comes to the running supervisor in ``delay_s``."""
        self.restarting, self.delay_s = True, delay_s
        self.timer = start_timer(delay_s, _core.self(), message)
        report_backoff(self)

    def wait_no_more(self) -> None:
        if self.timer is not None:
            cancel_timer(self.timer)
            self.timer = None

    @property
    def state(self) -> State:
        if self.restarting:
            return "restarting"
        return "stopped" if self.pid is None else "running"

    def info(self) -> ChildInfo:
        return ChildInfo(self.spec.id, self.pid, self.state, self.spec.kind)


class Children:
    """The entries of a supervisor."""

    def __init__(self) -> None:
        self._entries: dict[str, ChildEntry] = {}
        self._running: dict[Pid, ChildEntry] = {}

    def __iter__(self) -> Iterator[ChildEntry]:
        """The entries in start order; they may change meanwhile."""
        return iter(list(self._entries.values()))

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, spec: ChildSpec) -> ChildEntry:
        entry = self._entries[spec.id] = ChildEntry(spec)
        return entry

    def remove(self, entry: ChildEntry) -> None:
        self._entries.pop(entry.spec.id, None)

    def find(self, id: str) -> ChildEntry | None:
        return self._entries.get(id)

    def of_pid(self, pid: Pid) -> ChildEntry | None:
        return self._running.get(pid)

    def started(self, entry: ChildEntry, pid: Pid) -> None:
        entry.pid, entry.restarting = pid, False
        self._running[pid] = entry

    def ended(self, entry: ChildEntry) -> Pid | None:
        """Forget that the child runs; return the pid it had."""
        pid, entry.pid = entry.pid, None
        if pid is not None:
            del self._running[pid]
        return pid

    def group(self, entry: ChildEntry, strategy: Strategy) -> list[ChildEntry]:
        """Who is stopped and started with ``entry``, in start order."""
        if strategy == "one_for_one":
            return [entry]
        entries = list(self)
        return entries if strategy == "one_for_all" else entries[entries.index(entry) :]

    def counts(self) -> dict[str, int]:
        supervisors = sum(entry.spec.kind == "supervisor" for entry in self)
        return {
            "specs": len(self),
            "active": len(self._running),
            "supervisors": supervisors,
            "workers": len(self) - supervisors,
        }


# --- what is told of them. Source: supervisor reports and progress reports of OTP's sasl


def report(context: str, entry: ChildEntry, pid: Pid | None, reason: Any) -> None:
    """Log, and emit ``zmqcluster.supervisor.report``, that something went wrong with a child of the running supervisor.

    Args:
        context: ``child_terminated``, ``start_error``, ``shutdown_error`` or ``shutdown``.
        pid: which the child has, or had.
    """
    fields = {"supervisor": _core.self(), "context": context, "offender": _offender(entry, pid), "reason": reason}
    _log.error(
        "supervisor %(supervisor)r: %(context)s of %(offender)r: %(reason)r", fields, extra={"zmqcluster": fields}
    )
    telemetry.emit("zmqcluster.supervisor.report", **fields)


def report_progress(entry: ChildEntry) -> None:
    """Log at info level, and emit ``zmqcluster.supervisor.progress``, that a child was started."""
    fields = {"supervisor": _core.self(), "started": _offender(entry, entry.pid)}
    _log.info("supervisor %(supervisor)r started %(started)r", fields, extra={"zmqcluster": fields})
    telemetry.emit("zmqcluster.supervisor.progress", **fields)


def report_backoff(entry: ChildEntry) -> None:
    """Log at info level, and emit ``zmqcluster.supervisor.backoff``, that a child is started again in ``delay_s``."""
    fields = {"supervisor": _core.self(), "waiting": _offender(entry, entry.pid), "delay_s": entry.delay_s}
    _log.info("supervisor %(supervisor)r starts %(waiting)r in %(delay_s)s s", fields, extra={"zmqcluster": fields})
    telemetry.emit("zmqcluster.supervisor.backoff", **fields)


def _offender(entry: ChildEntry, pid: Pid | None) -> dict[str, Any]:
    spec = entry.spec
    return {
        "id": spec.id,
        "pid": pid,
        "server": spec.server.__qualname__,
        "restart": spec.restart,
        "shutdown_s": spec.shutdown_s,
        "kind": spec.kind,
    }
