"""Supervisor: starts its children in order, starts them again when they end, stops them in reverse order.

    strategy        when a child ends and is to start again
    one_for_one     only that child is started
    one_for_all     the others are stopped, in reverse order, then all are started in order
    rest_for_one    those after it are stopped, in reverse order, then it and they are started in order

A group restart also starts children that had ended normally; temporary ones are forgotten. More than ``max_restarts``
starts in ``max_seconds`` and the supervisor stops all children and ends with Shutdown. A failed restart counts, and is
tried again at once from the mailbox, so the supervisor answers between the tries. Source: OTP supervisor.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, get_args

from zmqcluster import _core, telemetry
from zmqcluster._ids import Pid
from zmqcluster.core import Down, Exit, Stop
from zmqcluster.errors import AlreadyStarted, ConfigError, NotRegistered, Refusal, StartFailed, SupervisionError
from zmqcluster.exits import Kill, Killed, Shutdown, is_expected
from zmqcluster.otp.child_spec import Child, ChildSpec, child_spec, child_specs, starts_again
from zmqcluster.otp.gen_server import GenServer, start_process
from zmqcluster.otp.methods import call, cast
from zmqcluster.runtime.process import exit, monitor, receive, trap_exits, unlink

__all__ = ["ChildInfo", "Supervisor", "stop_process"]

_log = logging.getLogger("zmqcluster.supervisor")

Strategy = Literal["one_for_one", "one_for_all", "rest_for_one"]


class ChildInfo(NamedTuple):
    """One row of ``which_children``."""

    id: str
    pid: Pid | None
    state: Literal["running", "restarting", "stopped"]
    kind: str


@dataclass(slots=True)
class _Entry:
    spec: ChildSpec
    pid: Pid | None = None
    restarting: bool = False


class Supervisor(GenServer):
    """A process whose work is to keep others running. Subclass it and list ``children``, or pass them to ``start``."""

    is_supervisor: ClassVar[bool] = True
    children: ClassVar[Sequence[Child]] = ()
    strategy: ClassVar[Strategy] = "one_for_one"
    max_restarts: ClassVar[int] = 3
    max_seconds: ClassVar[float] = 5.0

    async def init(
        self,
        children: Iterable[Child] | None = None,
        *,
        strategy: Strategy | None = None,
        max_restarts: int | None = None,
        max_seconds: float | None = None,
    ) -> Stop | None:
        """Start the children in order; when one fails, stop those before it and fail too, naming it."""
        specs = child_specs(self.children if children is None else children)
        self._strategy: Strategy = strategy or self.strategy
        self._max_restarts = self.max_restarts if max_restarts is None else max_restarts
        self._max_seconds = self.max_seconds if max_seconds is None else max_seconds
        _check_limits(self._strategy, self._max_restarts, self._max_seconds)
        self._entries: dict[str, _Entry] = {spec.id: _Entry(spec) for spec in specs}
        self._restarts: deque[float] = deque()
        trap_exits(True)
        for entry in list(self._entries.values()):
            try:
                await self._start(entry)
            except StartFailed as failed:
                await self._stop_children()
                return Stop(Shutdown(("failed_to_start_child", entry.spec.id, failed.reason)))
        return None

    # --- clients
    @call
    async def start_child(self, child: Child) -> Pid:
        """Add a child and start it.

        Raises, in the caller: SupervisionError with what the start raised, or that the id exists already.
        """
        spec = child_spec(child)
        present = self._entries.get(spec.id)
        if present is not None:
            raise _refusal(f"child {spec.id!r} exists already as {present.pid or 'a stopped child'}")
        entry = self._entries[spec.id] = _Entry(spec)
        try:
            return await self._start(entry)
        except StartFailed as failed:
            del self._entries[spec.id]
            raise Refusal(failed) from failed

    @call
    async def terminate_child(self, id: str) -> None:
        """Stop a child; its spec stays, and ``restart_child`` starts it again. A temporary child is forgotten."""
        entry = self._entry(id)
        entry.restarting = False
        await self._stop(entry)
        if entry.spec.restart == "temporary":
            del self._entries[id]

    @call
    async def restart_child(self, id: str) -> Pid:
        """Start a child that is stopped."""
        entry = self._entry(id)
        if entry.pid is not None or entry.restarting:
            raise _refusal(f"child {id!r} is {'restarting' if entry.restarting else 'running'}")
        try:
            return await self._start(entry)
        except StartFailed as failed:
            raise Refusal(failed) from failed

    @call
    def delete_child(self, id: str) -> None:
        """Forget a child that is stopped."""
        entry = self._entry(id)
        if entry.pid is not None or entry.restarting:
            raise _refusal(f"child {id!r} is {'restarting' if entry.restarting else 'running'}: stop it first")
        del self._entries[id]

    @call
    def which_children(self) -> list[ChildInfo]:
        """The children in start order."""
        return [
            ChildInfo(
                entry.spec.id,
                entry.pid,
                "restarting" if entry.restarting else "stopped" if entry.pid is None else "running",
                entry.spec.kind,
            )
            for entry in self._entries.values()
        ]

    @call
    def count_children(self) -> dict[str, int]:
        """How many ``specs``, ``active`` (alive), ``supervisors`` and ``workers`` there are."""
        entries = self._entries.values()
        supervisors = sum(entry.spec.kind == "supervisor" for entry in entries)
        return {
            "specs": len(entries),
            "active": sum(entry.pid is not None for entry in entries),
            "supervisors": supervisors,
            "workers": len(entries) - supervisors,
        }

    # --- what happens to children
    async def handle_info(self, message: Any) -> Stop | None:
        """A child ended."""
        if isinstance(message, Exit):
            for entry in list(self._entries.values()):
                if entry.pid == message.pid:
                    return await self._ended(entry, message.reason)
        return None

    @cast
    async def _retry(self, id: str) -> Stop | None:
        """The restart of a child failed: try again, unless it was stopped or deleted meanwhile."""
        entry = self._entries.get(id)
        return await self._restart(entry) if entry is not None and entry.restarting else None

    async def terminate(self, reason: Any) -> None:
        """Stop the children in reverse order."""
        await self._stop_children()

    async def _ended(self, entry: _Entry, reason: Any) -> Stop | None:
        entry.pid = None
        if not is_expected(reason):
            _report("child_terminated", entry.spec, reason)
        if starts_again(entry.spec.restart, reason):
            return await self._restart(entry)
        if entry.spec.restart == "temporary":
            self._entries.pop(entry.spec.id, None)
        return None

    async def _restart(self, entry: _Entry) -> Stop | None:
        if not self._may_restart():
            _report("shutdown", entry.spec, "reached_max_restart_intensity")
            await self._stop_children()
            return Stop(Shutdown("reached_max_restart_intensity"))
        for victim in reversed(self._group(entry)):
            await self._stop(victim)
        for started in self._group(entry):
            if started is not entry and started.spec.restart == "temporary":
                self._entries.pop(started.spec.id, None)
                continue
            started.restarting = False
            try:
                await self._start(started)
            except StartFailed as failed:
                _report("start_error", started.spec, failed.reason)
                started.restarting = True
                type(self).at(_core.self())._retry(started.spec.id)
                break
        return None

    def _group(self, entry: _Entry) -> list[_Entry]:
        """Who is stopped and started with ``entry``, in start order."""
        entries = list(self._entries.values())
        if self._strategy == "one_for_one":
            return [entry]
        return entries if self._strategy == "one_for_all" else entries[entries.index(entry) :]

    def _may_restart(self) -> bool:
        """Count one restart, and say whether it is within the intensity."""
        now_s = _core.current_scheduler().loop.time()
        self._restarts.append(now_s)
        while self._restarts[0] < now_s - self._max_seconds:
            self._restarts.popleft()
        return len(self._restarts) <= self._max_restarts

    def _entry(self, id: str) -> _Entry:
        try:
            return self._entries[id]
        except KeyError:
            raise Refusal(NotRegistered(f"child {id!r}")) from None

    async def _start(self, entry: _Entry) -> Pid:
        spec = entry.spec
        try:
            pid = await start_process(spec.server, spec.args, dict(spec.kwargs), name=spec.name, link=True)
        except AlreadyStarted as taken:
            raise StartFailed(spec.server.__name__, ("already_started", taken.pid)) from taken
        entry.pid = pid
        return pid

    async def _stop(self, entry: _Entry) -> None:
        pid, entry.pid = entry.pid, None
        if pid is None:
            return
        reason = await stop_process(pid, entry.spec.shutdown_s)
        if not is_expected(reason) and not (isinstance(reason, Killed) and entry.spec.shutdown_s == 0):
            _report("shutdown_error", entry.spec, reason)

    async def _stop_children(self) -> None:
        for entry in reversed(list(self._entries.values())):
            await self._stop(entry)


async def stop_process(pid: Pid, shutdown_s: Any) -> Any:
    """Ask a linked process to shut down, kill it after ``shutdown_s``, and return its exit reason.

    Watches with a monitor, so a child that has unlinked itself, or ends by itself meanwhile, cannot hang its supervisor.
    """
    ref = monitor(pid)

    def is_down(message: Any) -> bool:
        return isinstance(message, Down) and message.ref == ref

    exit(pid, Kill() if shutdown_s == 0 else Shutdown())
    try:
        down: Down = await receive(is_down, timeout_s=shutdown_s or None)
    except TimeoutError:
        exit(pid, Kill())
        down = await receive(is_down)
    unlink(pid)
    return await _real_reason(pid, down.reason)


async def _real_reason(pid: Pid, reason: Any) -> Any:
    """Take the EXIT message that came beside the Down out of the mailbox."""
    try:
        message: Exit = await receive(lambda message: isinstance(message, Exit) and message.pid == pid, timeout_s=0)
    except TimeoutError:
        return reason
    return message.reason


def _refusal(text: str) -> Refusal:
    return Refusal(SupervisionError(text))


def _check_limits(strategy: str, max_restarts: int, max_seconds: float) -> None:
    if strategy not in get_args(Strategy):
        raise ConfigError(f"strategy is one of {get_args(Strategy)}, not {strategy!r}")
    if isinstance(max_restarts, bool) or not isinstance(max_restarts, int) or max_restarts < 0:
        raise ConfigError(f"max_restarts is an int of at least 0, not {max_restarts!r}")
    if not max_seconds > 0:
        raise ConfigError(f"max_seconds is more than 0, not {max_seconds!r}")


def _report(context: str, spec: ChildSpec, reason: Any) -> None:
    fields = {"context": context, "child": spec.id, "server": spec.server.__qualname__, "reason": reason}
    _log.error("supervisor: %(context)s of child %(child)r (%(server)s): %(reason)r", fields, extra={"zmqcluster": fields})
    telemetry.emit("zmqcluster.supervisor.report", **fields)
