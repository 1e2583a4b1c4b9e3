"""The start of a server: its starter waits until its ``init`` has returned, and knows how it went.

    starter   start_server ─────────────────────────────────> await promise ──> pid, or StartFailed
    server                  take the name ──> init ──> serve ──┘
                                    └────────────┴──> give up: unlink, end, and only then the promise fails

Invariant: when a start has failed nothing is left of it: no process, no name, no exit signal, no late message.
Source: proc_lib:start_link, gen:init_it.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, NoReturn, cast

from zmqcluster import _core
from zmqcluster._ids import Pid
from zmqcluster.core import Call, Continue, Ignore, NoReply, Scheduler, Stop
from zmqcluster.errors import (
    AlreadyRegistered,
    AlreadyStarted,
    CallTimeout,
    ConfigError,
    ProcessError,
    ProcessExit,
    ServerExited,
    StartFailed,
)
from zmqcluster.exits import BadReturn, Kill, Normal, TimedOut
from zmqcluster.otp.crash_report import report_end
from zmqcluster.otp.serving import controlled, settle
from zmqcluster.runtime.process import Via, unlink
from zmqcluster.runtime.reports import reason_of

__all__ = ["IGNORED", "start_process"]

IGNORED = "ignore"  # the reason of a StartFailed when init returned Ignore()


async def start_process(
    cls: type[Any],
    arguments: tuple[Any, ...],
    keywords: dict[str, Any],
    *,
    name: str | Via | None = None,
    timeout_s: float | None = None,
    link: bool = False,
) -> Pid:
    """Start a server process of ``cls``, wait for its init, return its pid. Raises as ``GenServer.start`` does."""
    _check_name(name)
    scheduler = _core.current_scheduler()
    parent = _core.self() if link else None
    start = _Start(object.__new__(cls), arguments, keywords, name, scheduler.promise(cls.__name__, timeout_s), parent)
    pid: Pid = scheduler.start_server(
        cls._table(),
        start.server,
        start.run(),
        promise=start.promise,
        link=link,
        isolated=cls._isolated,
        parent=parent,
        bound=cls.mailbox_bound,
        policy=cls.mailbox_policy,
    )
    try:
        return cast(Pid, await start.promise)
    except ServerExited as ended:
        reason = IGNORED if start.is_ignored else ended.reason
        raise StartFailed(cls.__name__, reason) from getattr(reason, "exception", None)
    except CallTimeout:
        await _abandon(scheduler, pid, parent)
        raise StartFailed(cls.__name__, TimedOut("init")) from None


def _check_name(name: object) -> None:
    if name is not None and not (isinstance(name, str) and name) and not isinstance(name, Via):
        raise ConfigError(f"name= takes a non-empty string or a Via (whereis, register, unregister), not {name!r}")


async def _abandon(scheduler: Scheduler, pid: Pid, parent: Pid | None) -> None:
    """Kill a server that is still in init, and wait until it has ended: a call that it takes along says so."""
    if parent is not None:
        unlink(pid)
    with contextlib.suppress(ProcessError):
        ended = scheduler.call(pid, (Normal(),), None, "$stop")
        scheduler.exit(parent or pid, pid, Kill())
        await ended


@dataclass(slots=True)
class _Start:
    """One start: what the starter gives to the new process."""

    server: Any
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    name: str | Via | None
    promise: Call
    parent: Pid | None
    is_ignored: bool = False

    async def run(self) -> None:
        """Initialise the server; runs in the new process."""
        if self.server.hibernate_after_s is not None:
            _core.hibernate_after(self.server.hibernate_after_s)
        if self.name is not None:
            await self._take_name(self.name)
        try:
            result = self.server.init(*self.arguments, **self.keywords)
        except BaseException as error:
            self._fail(error)
        await self.conclude(result)

    async def conclude(self, result: Any, error: BaseException | None = None) -> None:
        """See to what ``init`` returned, or raised."""
        if error is not None:
            self._fail(error)
        try:
            if result is not None:
                result = await settle(result)
        except BaseException as raised:
            self._fail(raised)
        match result:
            case None:
                self.promise.reply(_core.self())
            case Continue() | NoReply():
                self.promise.reply(_core.self())
                await controlled(self.server, None, result)
            case Stop():
                self._give_up(result.reason)
            case Ignore():
                self.is_ignored = True
                self._give_up(Normal())
            case _:
                self._give_up(BadReturn("init", repr(result)))

    def _fail(self, error: BaseException) -> NoReturn:
        if _core.is_ending():
            raise error
        reason = reason_of(error)
        report_end(self.server, "init", reason)
        self._give_up(reason, error)

    async def _take_name(self, name: str | Via) -> None:
        try:
            if isinstance(name, str):
                _core.current_scheduler().register(name, _core.self())
            else:
                await settle(name.register(_core.self()))
        except AlreadyRegistered as taken:
            self.promise.fail(AlreadyStarted(taken.pid))
            self._give_up(Normal())
        except BaseException as error:
            self._give_up(reason_of(error), error)

    def _give_up(self, reason: Any, cause: BaseException | None = None) -> NoReturn:
        """End; the starter is told by the promise, and not by an exit signal too."""
        if self.parent is not None:
            unlink(self.parent)
        raise ProcessExit(reason) from cause
