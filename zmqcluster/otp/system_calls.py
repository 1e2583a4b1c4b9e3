"""What every server answers besides its own methods: the calls that ``otp.sys`` and ``stop`` make.

Their names begin with "$". The core hands them to the server past whatever a suspended one leaves waiting, so a server
that is suspended, or busy with a long mailbox, can still be looked at, changed and resumed.
State is what ``vars(server)`` holds. Invariant: a function or ``code_change`` that raises leaves the state, and the
class, as they were; only what it changed inside the values stays changed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from zmqcluster import _core
from zmqcluster._ids import Pid
from zmqcluster.core import Stop, message
from zmqcluster.errors import CallbackFailed, ConfigError, Refusal, UsageError
from zmqcluster.otp.crash_report import shown_state
from zmqcluster.otp.debug import Debug, DebugFunction, Event, Statistics, count, keep, print_event
from zmqcluster.otp.servers import resolve_server, server_name

__all__ = ["SYSTEM_CALLS", "Status"]


@message
@dataclass(frozen=True, slots=True)
class Status:
    """A server as ``get_status`` shows it; ``state`` is what its ``format_status`` says."""

    pid: Pid
    server: str
    status: Literal["running", "suspended"]
    parent: Pid | None
    names: tuple[str, ...]
    debug: tuple[str, ...]
    state: Any


def _stop(server: Any, reason: Any) -> Stop:
    return Stop(reason)


def _suspend(server: Any) -> None:
    _core.suspend(True)


def _resume(server: Any) -> None:
    _core.suspend(False)


# --- state


def _get_state(server: Any) -> dict[str, Any]:
    return dict(vars(server))


def _replace_state(server: Any, function: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    try:
        state = function(_get_state(server))
    except Exception as error:
        raise _failed("replace_state", error) from error
    if not isinstance(state, dict):
        raise _failed("replace_state", TypeError(f"the state is a dict of attributes, not {state!r}"))
    _set_state(server, state)
    return dict(state)


def _set_state(server: Any, state: dict[str, Any]) -> None:
    vars(server).clear()
    vars(server).update(state)


def _get_status(server: Any) -> Status:
    pid = _core.self()
    seen = _core.current_scheduler().describe(pid) or {}
    debug = _core.observer()
    return Status(
        pid,
        server_name(type(server)),
        "suspended" if seen["status"] == "suspended" else "running",
        seen["parent"],
        tuple(seen["names"]),
        debug.ids() if isinstance(debug, Debug) else (),
        shown_state(server),
    )


# --- code


async def _change_code(server: Any, new_class: type[Any] | str, old_version: Any, extra: Any) -> None:
    if not _is_suspended():
        raise Refusal(UsageError("suspend the server before its code is changed"))
    old_class, state = type(server), _get_state(server)
    try:
        new_class = resolve_server(new_class) if isinstance(new_class, str) else new_class
        behaviour = new_class._table()
        server.__class__ = new_class
        await server._adopt(old_version, extra)
    except Exception as error:
        server.__class__ = old_class
        _set_state(server, state)
        raise _failed("change_code", error) from error
    _core.become(behaviour)


def _is_suspended() -> bool:
    seen = _core.current_scheduler().describe(_core.self()) or {}
    return bool(seen["status"] == "suspended")


def _failed(callback: str, error: Exception) -> Refusal:
    if isinstance(error, ConfigError):
        return Refusal(error)
    return Refusal(CallbackFailed(callback, type(error).__name__, str(error)))


# --- debug functions


def _debug(server: Any) -> Debug:
    """The debug functions of the running server, which the core tells of messages from now on."""
    debug = _core.observer()
    if not isinstance(debug, Debug):
        debug = Debug(server)
    _core.observe(debug)
    return debug


def _install(server: Any, id: str, function: DebugFunction, state: Any) -> None:
    _debug(server).install(id, function, state)


def _remove(server: Any, *ids: str) -> None:
    debug = _debug(server)
    for id in ids or debug.ids():
        debug.remove(id)
    if not debug.ids():
        _core.observe(None)


def _trace(server: Any, flag: bool) -> None:
    if flag:
        _install(server, "trace", print_event, None)
    else:
        _remove(server, "trace")


def _log(server: Any, events_max: int) -> None:
    _remove(server, "log")
    if events_max:
        _install(server, "log", keep, deque(maxlen=events_max))


def _get_log(server: Any) -> list[Event]:
    debug = _core.observer()
    return list(debug.state("log") or ()) if isinstance(debug, Debug) else []


def _statistics(server: Any, flag: bool) -> None:
    _remove(server, "statistics")
    if flag:
        now_s = _core.current_scheduler().loop.time()
        _install(server, "statistics", count, Statistics(now_s, now_s, 0, 0))


def _get_statistics(server: Any) -> Statistics | None:
    debug = _core.observer()
    statistics = debug.state("statistics") if isinstance(debug, Debug) else None
    return None if statistics is None else replace(statistics, now_s=_core.current_scheduler().loop.time())


SYSTEM_CALLS: Final[dict[str, Callable[..., Any]]] = {
    "$stop": _stop,
    "$suspend": _suspend,
    "$resume": _resume,
    "$get_state": _get_state,
    "$replace_state": _replace_state,
    "$get_status": _get_status,
    "$change_code": _change_code,
    "$install": _install,
    "$remove": _remove,
    "$trace": _trace,
    "$log": _log,
    "$get_log": _get_log,
    "$statistics": _statistics,
    "$get_statistics": _get_statistics,
}
