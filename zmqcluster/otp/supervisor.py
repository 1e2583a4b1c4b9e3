"""Supervisor: starts its children in order, starts them again when they end, stops them in reverse order.

    strategy        when a child ends and is to start again
    one_for_one     only that child is started
    one_for_all     the others are stopped, in reverse order, then all are started in order
    rest_for_one    those after it are stopped, in reverse order, then it and they are started in order

A group restart also starts children that had ended normally; temporary ones are forgotten. More than ``max_restarts``
starts in ``max_seconds`` and the supervisor stops all children and ends with Shutdown. A failed restart counts, and is
tried again at once from the mailbox, so the supervisor answers between the tries; with a ``backoff``, after a wait that
grows, during which it answers too. Source: OTP supervisor; the back-off is ours.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from zmqcluster import _core
from zmqcluster._core import Resident
from zmqcluster._ids import Pid
from zmqcluster.core import Call, Exit, Stop
from zmqcluster.errors import (
    AlreadyStarted,
    ChildPresent,
    ClusterError,
    ConfigError,
    NotRegistered,
    Refusal,
    StartFailed,
)
from zmqcluster.exits import Killed, Shutdown, is_expected
from zmqcluster.otp.backoff import Backoff, check_backoff
from zmqcluster.otp.child_spec import Child, ChildSpec, child_spec, child_specs, starts_again
from zmqcluster.otp.children import ChildEntry, ChildInfo, Children, Strategy, report, report_progress
from zmqcluster.otp.gen_server import GenServer
from zmqcluster.otp.methods import call, cast
from zmqcluster.otp.starting import IGNORED, start_process
from zmqcluster.otp.stopping import stop_process
from zmqcluster.runtime.process import TimerFired, trap_exits

__all__ = ["AutoShutdown", "Backoff", "ChildInfo", "Strategy", "Supervisor", "stop_process"]

AutoShutdown = Literal["never", "any_significant", "all_significant"]


@dataclass(frozen=True, slots=True)
class StartChild(Resident):
    """A request to add a child."""

    spec: ChildSpec


class Supervisor(GenServer):
    """A process whose work is to keep others running. Subclass it and list ``children``, or pass them to ``start``."""

    is_supervisor: ClassVar[bool] = True
    children: ClassVar[Sequence[Child]] = ()
    strategy: ClassVar[Strategy] = "one_for_one"
    max_restarts: ClassVar[int] = 3
    max_seconds: ClassVar[float] = 5.0
    auto_shutdown: ClassVar[AutoShutdown] = "never"
    backoff: ClassVar[Backoff | None] = None

    async def init(
        self,
        children: Iterable[Child] | None = None,
        *,
        strategy: Strategy | None = None,
        max_restarts: int | None = None,
        max_seconds: float | None = None,
        auto_shutdown: AutoShutdown | None = None,
        backoff: Backoff | None = None,
    ) -> Stop | None:
        """Start the children in order; when one fails, stop those before it and fail too, naming it.

        Args:
            auto_shutdown: end, with all children, when any or all of the significant children have ended by themselves.
            backoff: wait before a child is started again, see ``Backoff``. What a strategy stops with it is stopped at
                once and started with it after the wait; each restart, also one that fails, counts as without.
        """
        self._strategy: Strategy = strategy or self.strategy
        self._max_restarts = self.max_restarts if max_restarts is None else max_restarts
        self._max_seconds = self.max_seconds if max_seconds is None else max_seconds
        self._auto_shutdown: AutoShutdown = auto_shutdown or self.auto_shutdown
        self._backoff = self.backoff if backoff is None else backoff
        _check_limits(self._strategy, self._max_restarts, self._max_seconds, self._auto_shutdown)
        check_backoff(self._backoff)
        self._children = Children()
        self._restarts: deque[float] = deque()
        for spec in child_specs(self.children if children is None else children):
            self._children.add(self._checked(spec))
        trap_exits(True)
        for entry in self._children:
            try:
                await self._start(entry)
            except StartFailed as failed:
                report("start_error", entry, None, failed.reason)
                await self._stop_children()
                return Stop(Shutdown(("failed_to_start_child", entry.spec.id, failed.reason)))
        return None

    # --- clients
    async def start_child(self, child: Child) -> Pid | None:
        """Add a child and start it; None when its init returned Ignore, and then it stays, stopped.

        Raises:
            ConfigError: ``child`` is no child specification, or none for this supervisor.
            AlreadyStarted: a child of this id runs. ChildPresent: it is stopped or restarting.
            StartFailed: its init failed; nothing was added.
        """
        pid: Pid | None = await _core.current_scheduler().call(self.dest, StartChild(child_spec(child)), None)
        return pid

    async def handle_call(self, request: Any, caller: Call) -> Any:
        """Do what ``start_child`` asks."""
        if isinstance(request, StartChild):
            return await self._add(request.spec)
        return super().handle_call(request, caller)

    async def _add(self, spec: ChildSpec) -> Pid | None:
        try:
            self._checked(spec)
        except ConfigError as error:
            raise Refusal(error) from error
        present = self._children.find(spec.id)
        if present is not None:
            raise Refusal(ChildPresent(spec.id, present.state) if present.pid is None else AlreadyStarted(present.pid))
        entry = self._children.add(spec)
        try:
            await self._start(entry)
        except StartFailed as failed:
            self._children.remove(entry)
            raise Refusal(failed) from failed
        return entry.pid

    @call
    async def terminate_child(self, id: str) -> None:
        """Stop a child; its spec stays, and ``restart_child`` starts it again. A temporary child is forgotten.

        Raises:
            NotRegistered: there is no such child; also below.
        """
        entry = self._entry(id)
        await self._stop(entry)
        entry.restarting, entry.delay_s = False, None
        if entry.spec.restart == "temporary":
            self._children.remove(entry)

    @call
    async def restart_child(self, id: str) -> Pid | None:
        """Start a child that is stopped; None when its init returned Ignore. Raises ChildPresent, StartFailed."""
        entry = self._stopped_entry(id)
        try:
            await self._start(entry)
        except StartFailed as failed:
            raise Refusal(failed) from failed
        return entry.pid

    @call
    def delete_child(self, id: str) -> None:
        """Forget a child that is stopped. Raises ChildPresent."""
        self._children.remove(self._stopped_entry(id))

    @call
    def which_children(self) -> list[ChildInfo]:
        """The children in start order."""
        return [entry.info() for entry in self._children]

    @call
    def count_children(self) -> dict[str, int]:
        """How many ``specs``, ``active`` (alive), ``supervisors`` and ``workers`` there are."""
        return self._children.counts()

    # --- what happens to children
    async def handle_info(self, message: Any) -> Stop | None:
        """A child ended, or its wait is over."""
        match message:
            case Exit(pid, reason):
                entry = self._children.of_pid(pid)
                return None if entry is None else await self._ended(entry, reason)
            case TimerFired(ref, str() as id):
                entry = self._children.find(id)
                if entry is not None and entry.timer == ref:
                    await self._stop_group(entry)  # somebody may have started one of them meanwhile
                    await self._start_group(entry)
            case _:
                super().handle_info(message)
        return None

    @cast
    async def _retry(self, id: str) -> Stop | None:
        """The restart of a child failed: try again, unless it was stopped or deleted meanwhile."""
        entry = self._children.find(id)
        is_due = entry is not None and entry.restarting and entry.timer is None
        return await self._restart(entry) if entry is not None and is_due else None

    async def terminate(self, reason: Any) -> None:
        """Stop the children in reverse order."""
        await self._stop_children()

    async def _ended(self, entry: ChildEntry, reason: Any) -> Stop | None:
        pid = self._children.ended(entry)
        if self._backoff is not None and self._backoff.is_over(_now_s() - entry.started_s):
            entry.delay_s = None
        if not is_expected(reason):
            report("child_terminated", entry, pid, reason)
        if starts_again(entry.spec.restart, reason):
            return await self._restart(entry)
        if entry.spec.restart == "temporary":
            self._children.remove(entry)
        if entry.spec.significant and self._is_over():
            await self._stop_children()
            return Stop(Shutdown("auto_shutdown"))
        return None

    def _is_over(self) -> bool:
        """A significant child has ended by itself: whether that ends us."""
        others = any(entry.spec.significant and entry.pid is not None for entry in self._children)
        return self._auto_shutdown == "any_significant" or (self._auto_shutdown == "all_significant" and not others)

    async def _restart(self, entry: ChildEntry) -> Stop | None:
        if not self._may_restart():
            report("shutdown", entry, None, "reached_max_restart_intensity")
            await self._stop_children()
            return Stop(Shutdown("reached_max_restart_intensity"))
        await self._stop_group(entry)
        if self._backoff is None:
            await self._start_group(entry)
        else:
            entry.wait(self._backoff.after_s(entry.delay_s), entry.spec.id)
        return None

    async def _stop_group(self, entry: ChildEntry) -> None:
        for victim in reversed(self._children.group(entry, self._strategy)):
            await self._stop(victim)
            victim.restarting = False

    async def _start_group(self, entry: ChildEntry) -> None:
        for started in self._children.group(entry, self._strategy):
            if started.spec.restart == "temporary":
                self._children.remove(started)
                continue
            started.restarting = False
            try:
                await self._start(started)
            except StartFailed as failed:
                report("start_error", started, None, failed.reason)
                started.restarting = True
                type(self).at(_core.self())._retry(started.spec.id)
                break

    def _may_restart(self) -> bool:
        """Count one restart, and say whether it is within the intensity."""
        now_s = _now_s()
        self._restarts.append(now_s)
        while self._restarts[0] < now_s - self._max_seconds:
            self._restarts.popleft()
        return len(self._restarts) <= self._max_restarts

    # --- one child
    def _checked(self, spec: ChildSpec) -> ChildSpec:
        if spec.significant and self._auto_shutdown == "never":
            raise ConfigError(f"child {spec.id!r}: significant says nothing while auto_shutdown is 'never'")
        return spec

    def _entry(self, id: str) -> ChildEntry:
        entry = self._children.find(id)
        if entry is None:
            raise Refusal(NotRegistered(f"child {id!r}"))
        return entry

    def _stopped_entry(self, id: str) -> ChildEntry:
        entry = self._entry(id)
        if entry.pid is not None or entry.restarting:
            raise Refusal(ChildPresent(id, entry.state))
        return entry

    async def _start(self, entry: ChildEntry) -> None:
        """Start the child. One whose init returns Ignore has no pid; if it is temporary, it is forgotten."""
        spec = entry.spec
        try:
            pid = await start_process(
                spec.server, spec.args, dict(spec.kwargs), name=spec.name, timeout_s=spec.start_timeout_s, link=True
            )
        except AlreadyStarted as taken:
            raise StartFailed(spec.server.__name__, ("already_started", taken.pid)) from taken
        except StartFailed as failed:
            if failed.reason != IGNORED:
                raise
            if spec.restart == "temporary":
                self._children.remove(entry)
        except ClusterError as error:
            raise StartFailed(spec.server.__name__, str(error)) from error
        else:
            self._children.started(entry, pid)
            entry.started_s = _now_s()
            report_progress(entry)

    async def _stop(self, entry: ChildEntry) -> None:
        entry.wait_no_more()
        pid = self._children.ended(entry)
        if pid is None:
            return
        reason = await stop_process(pid, entry.spec.shutdown_s)
        if not is_expected(reason) and not (isinstance(reason, Killed) and entry.spec.shutdown_s == 0):
            report("shutdown_error", entry, pid, reason)

    async def _stop_children(self) -> None:
        for entry in reversed(list(self._children)):
            await self._stop(entry)


def _now_s() -> float:
    return _core.current_scheduler().loop.time()


def _check_limits(strategy: str, max_restarts: int, max_seconds: float, auto_shutdown: str) -> None:
    if strategy not in get_args(Strategy):
        raise ConfigError(f"strategy is one of {get_args(Strategy)}, not {strategy!r}")
    if isinstance(max_restarts, bool) or not isinstance(max_restarts, int) or max_restarts < 0:
        raise ConfigError(f"max_restarts is an int of at least 0, not {max_restarts!r}")
    if isinstance(max_seconds, bool) or not isinstance(max_seconds, int | float) or not max_seconds > 0:
        raise ConfigError(f"max_seconds is more than 0, not {max_seconds!r}")
    if auto_shutdown not in get_args(AutoShutdown):
        raise ConfigError(f"auto_shutdown is one of {get_args(AutoShutdown)}, not {auto_shutdown!r}")
