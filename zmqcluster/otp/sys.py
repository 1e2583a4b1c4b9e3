"""Look into a running server, and change it: its state, its code, what it is told.

    await zc.sys.suspend(orders)                            # messages wait, in their order
    await zc.sys.change_code(orders, OrdersV2, 1, None)     # Orders -> OrdersV2, on the same state
    await zc.sys.resume(orders)

Every GenServer answers these, suspended or not. ``dest`` is any destination. What carries a function or a class works
on servers of this node only: code does not travel.
Raises, each of them: as ``call`` does. Source: sys.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from zmqcluster import _core
from zmqcluster.errors import ConfigError
from zmqcluster.otp.debug import DONE, DebugFunction, Event, Statistics
from zmqcluster.otp.gen_server import NORMAL, stop
from zmqcluster.otp.methods import DEFAULT_TIMEOUT_S
from zmqcluster.otp.system_calls import Status
from zmqcluster.runtime.process import Destination

__all__ = [
    "DONE",
    "Event",
    "Statistics",
    "Status",
    "change_code",
    "get_log",
    "get_state",
    "get_statistics",
    "get_status",
    "install",
    "log",
    "no_debug",
    "remove",
    "replace_state",
    "resume",
    "statistics",
    "suspend",
    "terminate",
    "trace",
]

State = dict[str, Any]


def _ask(dest: Destination, method: str, *arguments: Any, timeout_s: float | None) -> Awaitable[Any]:
    return _core.current_scheduler().call(dest, arguments, timeout_s, method)


# --- state


async def get_state(dest: Destination, *, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> State:
    """The attributes of the server object, as they are: for the eyes of a developer, see ``get_status``."""
    state: State = await _ask(dest, "$get_state", timeout_s=timeout_s)
    return state


async def replace_state(
    dest: Destination, function: Callable[[State], State], *, timeout_s: float | None = DEFAULT_TIMEOUT_S
) -> State:
    """Let the server's attributes be what ``function`` makes of them; return them.

    Raises:
        CallbackFailed: it raised, or returned no dict; the attributes are as before.
    """
    state: State = await _ask(dest, "$replace_state", function, timeout_s=timeout_s)
    return state


async def get_status(dest: Destination, *, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> Status:
    """What the server is and does, with its state as its ``format_status`` shows it."""
    status: Status = await _ask(dest, "$get_status", timeout_s=timeout_s)
    return status


# --- suspended, and new code


async def suspend(dest: Destination, *, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> None:
    """Let the server answer only the calls of this module and ``stop``; all else waits. Twice is as once."""
    await _ask(dest, "$suspend", timeout_s=timeout_s)


async def resume(dest: Destination, *, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> None:
    """Let a suspended server go on, with what waited first; a timeout_s of its last handler starts again."""
    await _ask(dest, "$resume", timeout_s=timeout_s)


async def terminate(
    dest: Destination, reason: Any = NORMAL, *, timeout_s: float | None = DEFAULT_TIMEOUT_S
) -> None:
    """Stop a server, suspended or not, and return when it has ended: ``zc.stop``. Source: sys:terminate/3."""
    await stop(dest, reason, timeout_s)


async def change_code(
    dest: Destination,
    new_class: type[Any] | str,
    old_version: Any = None,
    extra: Any = None,
    *,
    timeout_s: float | None = DEFAULT_TIMEOUT_S,
) -> None:
    """Make a suspended server one of ``new_class``; its ``code_change(old_version, extra)`` adapts the attributes.

    Args:
        new_class: or its name ``module:qualname``, of a class that the server's node has imported.
    Raises:
        UsageError: the server is not suspended.
        CallbackFailed: ``code_change`` raised; class and attributes are as before.
    """
    await _ask(dest, "$change_code", new_class, old_version, extra, timeout_s=timeout_s)


# --- debug functions


async def install(
    dest: Destination,
    function: DebugFunction,
    state: Any = None,
    *,
    id: str | None = None,
    timeout_s: float | None = DEFAULT_TIMEOUT_S,
) -> None:
    """Call ``function(state, event, server)`` at each message, in the server; it returns its next state, or DONE.

    Args:
        id: a second function of the same id is not installed; by default the function's qualified name.
    """
    id = id or getattr(function, "__qualname__", repr(function))
    await _ask(dest, "$install", id, function, state, timeout_s=timeout_s)


async def remove(dest: Destination, id: str, *, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> None:
    """Remove the debug function of that id."""
    await _ask(dest, "$remove", id, timeout_s=timeout_s)


async def no_debug(dest: Destination, *, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> None:
    """Remove all debug functions, trace, log and statistics among them."""
    await _ask(dest, "$remove", timeout_s=timeout_s)


async def trace(dest: Destination, flag: bool = True, *, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> None:
    """Write each message and each answer to the logger ``zmqcluster.trace``, at info level."""
    await _ask(dest, "$trace", flag, timeout_s=timeout_s)


async def log(dest: Destination, events_max: int = 10, *, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> None:
    """Keep the latest ``events_max`` events for ``get_log``; 0 ends it."""
    if isinstance(events_max, bool) or not isinstance(events_max, int) or events_max < 0:
        raise ConfigError(f"events_max is an int of at least 0, not {events_max!r}")
    await _ask(dest, "$log", events_max, timeout_s=timeout_s)


async def get_log(dest: Destination, *, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> list[Event]:
    """The events kept since ``log``, oldest first; requests as (``call`` or ``cast``, method, request, keywords)."""
    events: list[Event] = await _ask(dest, "$get_log", timeout_s=timeout_s)
    return events


async def statistics(dest: Destination, flag: bool = True, *, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> None:
    """Begin to count messages, from 0, or end it."""
    await _ask(dest, "$statistics", flag, timeout_s=timeout_s)


async def get_statistics(dest: Destination, *, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> Statistics | None:
    """What was counted, or None when nobody counts."""
    found: Statistics | None = await _ask(dest, "$get_statistics", timeout_s=timeout_s)
    return found
