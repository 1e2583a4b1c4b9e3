"""Start a server without waiting for it: how it went comes as a message.

    launch ──> a linked process, at once ──> started                  its init is a plain function, and has returned
                                         ├─> Started(pid)             its init has returned
                                         └─> NotStarted(pid, reason)  it raised, refused, took too long, or its name
                                                                      is taken
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from zmqcluster import _core
from zmqcluster._ids import Pid
from zmqcluster.core import Call, Scheduler, message
from zmqcluster.errors import AlreadyStarted, CallTimeout, ProcessError, ServerExited
from zmqcluster.exits import Kill, Normal, TimedOut
from zmqcluster.otp.child_spec import ChildSpec
from zmqcluster.otp.starting import IGNORED, _Start
from zmqcluster.runtime.reports import reason_of

__all__ = ["NotStarted", "Started", "launch"]


@message(tag="launch.started")
@dataclass(frozen=True, slots=True)
class Started:
    """The init of ``pid`` has returned."""

    pid: Pid


@message(tag="launch.not_started")
@dataclass(frozen=True, slots=True)
class NotStarted:
    """``pid`` did not start; ``reason`` is ``IGNORED`` when its init returned Ignore."""

    pid: Pid
    reason: Any


def launch(spec: ChildSpec, *extra: Any) -> tuple[Pid, bool]:
    """Start the server of ``spec`` as a child of the running process, which is in a plain handler.

    ``extra`` goes before its arguments. A plain init of a server without a name, nor ``hibernate_after_s``, runs here
    and now.

    Returns:
        its pid, and whether it has started already; then no message comes.
    """
    is_plain = spec.name is None and spec.server.hibernate_after_s is None
    return _launch(spec, extra) if is_plain else _launch_in_turn(spec, extra)


def _launch(spec: ChildSpec, extra: tuple[Any, ...]) -> tuple[Pid, bool]:
    scheduler, cls = _core.current_scheduler(), spec.server
    server = object.__new__(cls)
    start: _Start | None = None

    def go_on(result: Any, error: BaseException | None) -> tuple[Coroutine[Any, Any, None], Call]:
        nonlocal start
        start = _Start(server, (), {}, None, scheduler.promise(cls.__name__, spec.start_timeout_s), parent)
        return start.conclude(result, error), start.promise

    parent = _core.self()
    pid = scheduler.start_child(
        cls._table(),
        server,
        server.init,
        extra + spec.args,
        dict(spec.kwargs) if spec.kwargs else None,
        go_on,
        isolated=cls._isolated,
        bound=cls.mailbox_bound,
        policy=cls.mailbox_policy,
    )
    if start is not None:
        _tell(scheduler, parent, start, pid)
    return pid, start is None


def _launch_in_turn(spec: ChildSpec, extra: tuple[Any, ...]) -> tuple[Pid, bool]:
    scheduler, parent, cls = _core.current_scheduler(), _core.self(), spec.server
    promise = scheduler.promise(cls.__name__, spec.start_timeout_s)
    start = _Start(object.__new__(cls), extra + spec.args, dict(spec.kwargs), spec.name, promise, parent)
    pid: Pid = scheduler.start_server(
        cls._table(),
        start.server,
        start.run(),
        promise=promise,
        link=True,
        isolated=cls._isolated,
        parent=parent,
        bound=cls.mailbox_bound,
        policy=cls.mailbox_policy,
    )
    _tell(scheduler, parent, start, pid)
    return pid, False


def _tell(scheduler: Scheduler, parent: Pid, start: _Start, pid: Pid) -> None:
    """Let the parent know how the start went, when that is known."""

    def known(_: Call) -> None:
        if isinstance(start.promise.exception(), CallTimeout):
            _abandon(scheduler, parent, pid)
        else:
            scheduler.deliver(parent, _outcome(start, pid))

    start.promise.add_done_callback(known)


def _abandon(scheduler: Scheduler, parent: Pid, pid: Pid) -> None:
    """Kill a server that is still in init, and tell its parent when it has ended: then its name is free."""
    too_late = NotStarted(pid, TimedOut("init"))
    try:
        ended: Any = scheduler.call(pid, (Normal(),), None, "$stop")
    except ProcessError:
        scheduler.deliver(parent, too_late)
        return
    ended.add_done_callback(lambda _: scheduler.deliver(parent, too_late))
    scheduler.exit(parent, pid, Kill())


def _outcome(start: _Start, pid: Pid) -> Started | NotStarted:
    error = start.promise.exception()
    if error is None:
        return Started(pid)
    if start.is_ignored:
        return NotStarted(pid, IGNORED)
    if isinstance(error, AlreadyStarted):
        return NotStarted(pid, ("already_started", error.pid))
    return NotStarted(pid, error.reason if isinstance(error, ServerExited) else reason_of(error))
