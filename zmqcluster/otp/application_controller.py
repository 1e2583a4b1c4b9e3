"""The process that starts and stops the applications of a node: one for each node.

    Applications ── links ──> Ledger's Supervisor, Finance's Supervisor, ..     in the order of their start

It stops them in the reverse order: when its parent, the program, ends; when a permanent one ends; or, started by a
program that is a plain function, when that has returned. Source: application_controller.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from zmqcluster import _core, telemetry
from zmqcluster._core import Resident
from zmqcluster._ids import Pid
from zmqcluster.core import Call, Exit, Stop
from zmqcluster.errors import AlreadyStarted, ClusterError, NotRegistered, Refusal, StartFailed
from zmqcluster.exits import Normal, Shutdown, is_expected
from zmqcluster.otp.backoff import Backoff
from zmqcluster.otp.child_spec import Child, Restart
from zmqcluster.otp.children import Strategy
from zmqcluster.otp.gen_server import GenServer, start_process
from zmqcluster.otp.methods import call
from zmqcluster.otp.serving import settle
from zmqcluster.otp.stopping import stop_process
from zmqcluster.otp.supervisor import Supervisor
from zmqcluster.runtime.process import exit, trap_exits
from zmqcluster.runtime.run import end_last, first_pid

__all__ = ["Applications", "StartOrder", "running_applications"]

_log = logging.getLogger("zmqcluster.application")

SHELF_KEY = "otp.applications"  # name -> Pid of its supervisor, readable without asking


class Startable(Protocol):
    """What the controller needs of an Application."""

    depends_on: ClassVar[Any]
    strategy: ClassVar[Strategy]
    max_restarts: ClassVar[int]
    max_seconds: ClassVar[float]
    backoff: ClassVar[Backoff | None]

    def tree(self) -> Iterable[Child]: ...
    def stopping(self) -> Any: ...
    def stopped(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class StartOrder(Resident):
    """Start these, in this order.

    Args:
        ensures: those that run already are passed over, and those started are stopped again when a later one fails.
    """

    starts: tuple[tuple[str, Startable], ...]
    restart: Restart
    ensures: bool


@dataclass(slots=True)
class Running:
    application: Startable
    pid: Pid
    restart: Restart


class Applications(GenServer):
    """The running applications of a node, in the order of their start."""

    def init(self) -> None:
        trap_exits(True)
        self._running: dict[str, Running] = {}
        self._why_node_ends: Any = None
        _core.current_scheduler().shelf[SHELF_KEY] = {}
        if _core.parent() is None:
            end_last(_core.self())

    # --- start
    async def handle_call(self, request: StartOrder, caller: Call) -> list[str]:
        """Do a StartOrder; the names of what was started."""
        started: list[str] = []
        for name, application in request.starts:
            if name in self._running and request.ensures:
                continue
            try:
                await self._start(name, application, request.restart)
            except ClusterError as failed:
                for each in reversed(started):
                    await self._stop(each)
                raise Refusal(failed) from failed
            started.append(name)
        return started

    async def _start(self, name: str, application: Startable, restart: Restart) -> None:
        if name in self._running:
            raise AlreadyStarted(self._running[name].pid)
        shelf = running_applications()
        for needed in application.depends_on:
            if needed.name_of() not in shelf:
                raise StartFailed(name, ("not_started", needed.name_of()))
        limits = {
            "strategy": application.strategy,
            "max_restarts": application.max_restarts,
            "max_seconds": application.max_seconds,
            "backoff": application.backoff,
        }
        try:
            pid = await start_process(Supervisor, (list(application.tree()),), limits, link=True)
        except StartFailed as failed:
            raise StartFailed(name, failed.reason) from failed
        shelf[name] = pid
        self._running[name] = Running(application, pid, restart)

    # --- stop
    @call
    async def stop_one(self, name: str) -> None:
        """Stop one application. Raises NotRegistered when it does not run."""
        if name not in self._running:
            raise Refusal(NotRegistered(name))
        await self._stop(name)

    async def _stop(self, name: str) -> None:
        running = self._running[name]
        await self._tell(name, running.application.stopping)
        await stop_process(running.pid, None)
        await self._forget(name)

    async def _forget(self, name: str) -> None:
        running = self._running.pop(name)
        running_applications().pop(name, None)
        await self._tell(name, running.application.stopped)

    async def _tell(self, name: str, callback: Any) -> None:
        """Callbacks do not keep an application from stopping."""
        try:
            await settle(callback())
        except Exception:
            _log.exception("application %s: %s raised", name, callback.__name__)

    async def handle_info(self, message: Any) -> Stop | None:
        """A tree ended by itself, or the node is about to end."""
        if not isinstance(message, Exit):
            return super().handle_info(message)  # type: ignore[no-any-return]
        for name, running in self._running.items():
            if running.pid == message.pid:
                return await self._ended(name, running.restart, message.reason)
        return Stop(Shutdown("node stopped")) if isinstance(message.reason, Shutdown) else None

    async def _ended(self, name: str, restart: Restart, reason: Any) -> Stop | None:
        ends_node = restart == "permanent" or (restart == "transient" and reason != Normal())
        fields = {"application": name, "restart": restart, "reason": reason, "ends_node": ends_node}
        level = logging.INFO if is_expected(reason) and not ends_node else logging.ERROR
        text = "application %(application)s (%(restart)s) ended: %(reason)r"
        _log.log(level, text, fields, extra={"zmqcluster": fields})
        telemetry.emit("zmqcluster.application.ended", **fields)
        await self._forget(name)
        if not ends_node:
            return None
        self._why_node_ends = ("application_ended", name, reason)
        return Stop(self._why_node_ends)

    async def terminate(self, reason: Any) -> None:
        """Stop all in the reverse order of their start; then, if that is why, end the program."""
        for name in reversed(list(self._running)):
            await self._stop(name)
        first = first_pid()
        if self._why_node_ends is not None and _core.parent() is None and first is not None:
            exit(first, self._why_node_ends)

    def format_status(self) -> Any:
        return {name: running.pid for name, running in self._running.items()}


def running_applications() -> dict[str, Pid]:
    """The applications that run on this node, in the order of their start, with their supervisors."""
    found: dict[str, Pid] = _core.current_scheduler().shelf.setdefault(SHELF_KEY, {})
    return found
