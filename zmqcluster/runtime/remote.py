"""What a node does for others: it runs exported functions, as processes that go on, or once for their result.

    caller ── call to the node itself ──> RemoteService ──SPAWN──> a process; the reply is its pid
      ^                                                 └─CALL───> a process that runs the function once
      └── value, RemoteError, RemoteExit; ServerExited of a process that a signal ended ──┘

A function runs in a process of its own, so that it may take long, crash or be killed, and hurts nobody. Its caller is
told exactly once, unless the link goes down or it has ceased to wait; the function runs on then.
Source: erpc, spawn_request/5.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Final

from zmqcluster import _core
from zmqcluster._ids import Pid
from zmqcluster.constants import REMOTE_CALLS_MAX
from zmqcluster.core import Behaviour, Call
from zmqcluster.errors import ClusterError, NoProcessError, NotExported, ProcessExit, RemoteBusy, RemoteExit
from zmqcluster.exits import Normal
from zmqcluster.runtime.exported import exported_function
from zmqcluster.runtime.held import held
from zmqcluster.runtime.remote_errors import portable_reason, remote_error

__all__ = ["CALL", "SPAWN", "RemoteService"]

CALL: Final = "$call"  # request: name, arguments; keywords are the function's
SPAWN: Final = "$spawn"  # request: name, arguments, owner or None; keywords are the process's

Arguments = tuple[Any, ...]
Keywords = dict[str, Any]


class RemoteService:
    """Answers what is asked of one node, inside of which it is called.

    Args:
        allowed: modules whose public functions may all be run, besides those decorated with ``remote``.
    """

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        self._allowed = tuple(allowed)
        self._running_count = 0  # functions that are run for their result

    def on_call(self, call: Call) -> None:
        """The hook of the core for a call to the node itself."""
        self.perform(call, call.method, call.request, call.keywords)

    def perform(self, call: Call, method: str | None, request: Any, keywords: Keywords | None) -> None:
        """Do what is asked, and settle ``call`` now or later. Never raises."""
        name = None
        try:
            if method == SPAWN:
                name, arguments, owner = request
                call.reply(self._spawn(name, arguments, owner, **(keywords or {})))
            elif method == CALL:
                name, arguments = request
                self._call(call, name, arguments, keywords or {})
            else:
                call.fail(NoProcessError(None))
        except ClusterError as error:
            call.fail(error)
        except Exception as error:
            call.fail(remote_error(_core.current_scheduler().node, str(name), error))

    def _function(self, name: str) -> Callable[..., Any]:
        function = exported_function(name, self._allowed)
        if function is None:
            raise NotExported(_core.current_scheduler().node, name)
        return function

    # --- processes
    def _spawn(
        self,
        function_name: str,
        arguments: Arguments,
        owner: Pid | None,
        *,
        name: str | None = None,
        bound: int | None = None,
        policy: str = "drop_new",
    ) -> Pid:
        function = self._function(function_name)
        coroutine = _core.coroutine_of(function, arguments) if owner is None else held(owner, function, arguments)
        try:
            pid: Pid = _core.current_scheduler().spawn(coroutine, name=name, bound=bound, policy=policy)
        except BaseException:
            coroutine.close()
            raise
        return pid

    # --- results
    def _call(self, call: Call, name: str, arguments: Arguments, keywords: Keywords) -> None:
        function, scheduler = self._function(name), _core.current_scheduler()
        if self._running_count >= REMOTE_CALLS_MAX:
            raise RemoteBusy(scheduler.node, REMOTE_CALLS_MAX)
        running = self._run(call, name, function, arguments, keywords)
        scheduler.start_server(RUNNER, None, running, promise=call, isolated=True, label=name)

    async def _run(
        self, call: Call, name: str, function: Callable[..., Any], arguments: Arguments, keywords: Keywords
    ) -> None:
        """The process of one call. The core fails the call when a signal ends it."""
        self._running_count += 1
        try:
            result = function(*arguments, **keywords)
            if inspect.isawaitable(result):
                result = await result
            if not _core.is_ending():
                call.reply(result)
        except ProcessExit as end:
            if not _core.is_ending():
                call.fail(RemoteExit(_core.current_scheduler().node, portable_reason(end.reason), False))
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            if not _core.is_ending():
                call.fail(remote_error(_core.current_scheduler().node, name, error))
        finally:
            self._running_count -= 1
        raise ProcessExit(Normal())


async def _never(*_: Any) -> None:
    """No server: its process ends with its one call."""


RUNNER: Final = Behaviour(
    "RemoteCall",
    {},
    {},
    handle_call=_never,
    handle_cast=_never,
    handle_info=_never,
    controlled=_never,
    stopping=_never,
    crashed=_never,
)
