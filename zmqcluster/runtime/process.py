"""Processes: start them, send to them, receive, link, monitor, end them.

A process is a coroutine with a mailbox, isolated from every other: they share nothing but messages. Everything here
works on behalf of the process that runs; sending, spawning and calling work in plain asyncio tasks of a node too.

Destinations: a ``Pid``, the local name of a process (``str``), ``(name, node)``, or a ``Via`` (whatever has a
``whereis``), or a ``Ref`` from ``alias``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, cast, overload

from zmqcluster import _core
from zmqcluster.core import Scheduler, message
from zmqcluster.errors import ConfigError, LinkBusy, ProcessExit
from zmqcluster.ids import Destination, Pid, Ref, Via

__all__ = [
    "Destination",
    "TimerFired",
    "Via",
    "alias",
    "asend",
    "cancel_timer",
    "demonitor",
    "dictionary",
    "exit",
    "hibernate",
    "is_alive",
    "link",
    "monitor",
    "process_info",
    "read_timer",
    "receive",
    "register",
    "scheduler",
    "self",
    "send",
    "send_after",
    "set_label",
    "spawn",
    "spawn_link",
    "spawn_monitor",
    "start_timer",
    "trap_exits",
    "unalias",
    "unlink",
    "unregister",
    "whereis",
]


Policy = Literal["drop_new", "drop_old", "refuse"]
Alias = Literal["explicit", "reply"]
MonitorAlias = Literal["explicit", "demonitor", "reply_demonitor"]
Function = Callable[..., Any]

# The hot ones are the core's own functions, documented there: a Python frame around each would cost as much again.
scheduler: Callable[[], Scheduler] = _core.current_scheduler
self: Callable[[], Pid] = _core.self
send: Callable[[Destination, Any], None] = _core.send
receive = _core.receive
spawn = _core.spawn


async def asend(dest: Destination, message: Any) -> None:
    """``send``, and go on when the link to the other node has room: for who sends much in a row.

    A process that has filled a link is stopped at its next await anyway, until half of what waits has left; this makes
    it await then, and never raises LinkBusy in a process.

    Raises:
        LinkBusy: the link is full, and nobody waits: this is no process but a task of asyncio.
    Source: erlang:send/3 without nosuspend.
    """
    while True:
        try:
            send(dest, message)
        except LinkBusy as busy:
            if not _core.wait_for_link(busy.node):
                raise
            await asyncio.sleep(0)
        else:
            break
    if _core.is_held():
        await asyncio.sleep(0)


def spawn_link(function: Function, *arguments: Any, name: str | None = None) -> Pid:
    """``spawn`` and ``link`` in one step: however soon the process ends, its reason arrives."""
    return cast(Pid, _core.current_scheduler().spawn(_core.coroutine_of(function, arguments), link=True, name=name))


def spawn_monitor(function: Function, *arguments: Any, name: str | None = None) -> tuple[Pid, Ref]:
    """``spawn`` and ``monitor`` in one step."""
    coroutine = _core.coroutine_of(function, arguments)
    return cast("tuple[Pid, Ref]", _core.current_scheduler().spawn(coroutine, monitor=True, name=name))


def link(pid: Pid) -> None:
    """Share fates with ``pid``: when one ends abnormally, the other gets its exit signal. A dead pid: NoProcess."""
    _core.link(pid)


def unlink(pid: Pid) -> None:
    """Undo ``link``, however often it was called; no exit signal of ``pid`` arrives after this."""
    _core.unlink(pid)


def monitor(dest: Destination, *, alias: MonitorAlias | None = None) -> Ref:
    """Be told with ``Down(ref, object, reason)`` when the process ends, or at once if it is not there.

    Args:
        alias: let the ref be an alias too, see ``alias``. ``demonitor`` ends it with the monitor, be that by
            ``demonitor`` or by the Down; ``reply_demonitor`` ends both at the first message too; ``explicit`` lasts
            until ``unalias``.
    Source: erlang:monitor/3.
    """
    return _core.monitor(dest, alias)


def alias(mode: Alias = "explicit") -> Ref:
    """An address of this process that can be revoked: what is sent to it after that never reaches the mailbox.

    Args:
        mode: ``explicit`` lasts until ``unalias``; ``reply`` takes one message.
    Source: erlang:alias/1.
    """
    return _core.alias(mode)


def unalias(ref: Ref) -> bool:
    """End an alias; return whether it was still active."""
    return _core.unalias(ref)


def dictionary() -> dict[Any, Any]:
    """The dictionary of the running process, for what a library keeps per process; no other process sees it."""
    return _core.dictionary()


def hibernate() -> None:
    """Give back the memory of the mailbox until the next message comes; with a message in it that does nothing.

    In a server, the last thing a handler does; ``hibernate_after_s`` of the class does it after an idle time.
    Source: erlang:hibernate/3.
    """
    _core.hibernate()


@overload
def demonitor(ref: Ref, *, flush: bool = False) -> bool: ...
@overload
def demonitor(ref: Ref, *, flush: bool = False, info: bool) -> bool: ...
def demonitor(ref: Ref, *, flush: bool = False, info: bool = False) -> bool:
    """Stop watching. ``flush`` also removes a Down that has arrived; ``info`` tells whether it had not fired."""
    return _core.demonitor(ref, flush=flush, info=info)


def trap_exits(flag: bool = True) -> bool:
    """Receive exit signals as ``Exit(pid, reason)`` messages instead of ending with them; return the old setting."""
    return _core.trap_exits(flag)


def exit(*arguments: Any) -> None:
    """``exit(reason)`` ends the running process; ``exit(pid, reason)`` sends an exit signal.

    A signal to oneself (``exit(self(), reason)``) cannot be caught: code that swallows every exception does not keep
    the process alive. What a signal does to its receiver is the table in docs/processes.md. Source: erlang:exit/1,2.
    """
    match arguments:
        case (reason,):
            _end(reason)
        case (Pid() as pid, reason):
            current = _core.current_scheduler()
            if _is_self(pid):
                _core.exit_self(reason)
            else:
                current.exit(_sender(current), pid, reason)
        case _:
            raise ConfigError("exit takes a reason, or a pid and a reason")


def _end(reason: Any) -> NoReturn:
    _core.self()
    raise ProcessExit(reason)


def _is_self(pid: Pid) -> bool:
    try:
        return _core.self() == pid
    except RuntimeError:
        return False


def _sender(current: Scheduler) -> Pid:
    try:
        return _core.self()
    except RuntimeError:
        return Pid(current.node, current.incarnation, 0)


def send_after(delay_s: float, dest: Destination, message: Any) -> Ref:
    """Send ``message`` in ``delay_s`` seconds, not sooner; ``cancel_timer(ref)`` prevents it."""
    if isinstance(delay_s, bool) or not isinstance(delay_s, int | float):
        raise ConfigError(f"a delay is a number of seconds, not {delay_s!r}")
    return _core.current_scheduler().send_after(delay_s, dest, message)


@message(tag="timer.TimerFired")
@dataclass(frozen=True, slots=True)
class TimerFired:
    """What ``start_timer`` sends; ``ref`` tells which timer it was."""

    ref: Ref
    message: Any


def start_timer(delay_s: float, dest: Destination, message: Any) -> Ref:
    """``send_after``, but what comes is ``TimerFired(ref, message)``: a timer that was replaced is told apart.

    Source: erlang:start_timer/3.
    """
    fired = object.__new__(TimerFired)
    ref = send_after(delay_s, dest, fired)
    TimerFired.__init__(fired, ref, message)  # frozen for its receivers; there was no ref before the timer
    return ref


def cancel_timer(ref: Ref) -> float | None:
    """Seconds that were left, or None when it was too late; the message may be in the mailbox already."""
    return _core.current_scheduler().cancel_timer(ref)


def read_timer(ref: Ref) -> float | None:
    """Seconds left, or None when the timer has fired or was cancelled."""
    return _core.current_scheduler().read_timer(ref)


def register(name: str, pid: Pid | None = None) -> None:
    """Give a process of this node (by default the running one) a name.

    Raises:
        AlreadyRegistered: the name is taken, be it by the same process.
        NoProcessError: no such live process on this node.
    """
    _core.current_scheduler().register(name, _core.self() if pid is None else pid)


def unregister(name: str) -> None:
    """Free the name. Raises NotRegistered."""
    _core.current_scheduler().unregister(name)


def whereis(name: str) -> Pid | None:
    """The process of this node that has the name, or None."""
    return _core.current_scheduler().whereis(name)


def is_alive(pid: Pid) -> bool:
    """Whether a process of this node lives. ConfigError for a pid of another node: monitor it instead."""
    return _core.current_scheduler().is_alive(pid)


def process_info(pid: Pid) -> dict[str, Any] | None:
    """Names, links, monitors, watchers, trap_exits, queued, status, parent and label; None when it has ended."""
    if pid.node != _core.current_scheduler().node:
        raise ConfigError(f"{pid!r} is a process of another node")
    return _core.current_scheduler().describe(pid)


def set_label(label: Any) -> None:
    """Describe the running process in inspections and reports."""
    _core.set_label(label)
