"""How a process serves with the callbacks of its class: the table for the core, and the paths it leaves to Python.

    handler ──a value──> the core replies                       no Python of this file runs
            ──Control──> controlled ──> Reply, NoReply, Continue: serve on
            │                      └──> Stop ─┐
            ──raises───> crashed ─────────────┼──> terminate, report, reply, end
    parent's end ──────> stopping ────────────┘

A path is a coroutine that the core steps as the server itself; meanwhile the server takes no other message.
Source: gen_server:loop/7.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from zmqcluster import _core
from zmqcluster.core import Behaviour, Call, Continue, Control, NoReply, Reply, Stop
from zmqcluster.errors import ProcessExit
from zmqcluster.otp.crash_report import report_end
from zmqcluster.otp.methods import CallMethod, CastMethod
from zmqcluster.otp.system_calls import SYSTEM_CALLS
from zmqcluster.runtime.reports import reason_of

__all__ = ["behaviour_of", "controlled", "is_isolated", "settle"]

CALLBACKS = ("init", "handle_call", "handle_cast", "handle_info", "handle_continue", "terminate", "code_change")


def behaviour_of(cls: type[Any]) -> Behaviour:
    """The table of handlers of a server class."""
    calls, casts = _methods(cls)
    return Behaviour(
        cls.__qualname__,
        {**calls, **SYSTEM_CALLS},
        casts,
        handle_call=cls.handle_call,
        handle_cast=cls.handle_cast,
        handle_info=cls.handle_info,
        controlled=controlled,
        stopping=stopping,
        crashed=crashed,
    )


def is_isolated(cls: type[Any]) -> bool:
    """Whether a server of the class needs context variables of its own: one of its functions is async."""
    calls, casts = _methods(cls)
    functions = [*calls.values(), *casts.values(), *(getattr(cls, name) for name in CALLBACKS)]
    return any(inspect.iscoroutinefunction(function) for function in functions)


def _methods(cls: type[Any]) -> tuple[dict[str, Callable[..., Any]], dict[str, Callable[..., Any]]]:
    """The functions of the typed calls and casts; a subclass overrides its bases, also with another kind."""
    found = {name: value for base in reversed(cls.__mro__) for name, value in vars(base).items()}
    calls = {name: value.function for name, value in found.items() if isinstance(value, CallMethod)}
    casts = {name: value.function for name, value in found.items() if isinstance(value, CastMethod)}
    return calls, casts


async def settle(value: Any) -> Any:
    """What a callback that may be async returned, in the end."""
    return await value if inspect.isawaitable(value) else value


async def controlled(server: Any, message: Any, control: Control) -> None:
    """A handler returned a Control: do what it says, and what the handlers it leads to say."""
    call = message if isinstance(message, Call) else None
    while True:
        match control:
            case Stop():
                await _end(server, message, control.reason, control)
            case Continue():
                if control.has_reply and call is not None:
                    call.reply(control.reply)
                following = await _continue(server, control)
                if isinstance(following, Control):
                    control = following
                    continue
                return
            case Reply() if call is not None:
                call.reply(control.value)
            case Reply() | NoReply():
                pass
            case _:
                await crashed(server, message, TypeError(f"a handler returned {control!r}"))
        if control.timeout_s is not None:
            _core.expect_message(control.timeout_s)
        return


async def _continue(server: Any, control: Continue) -> Any:
    try:
        return await settle(server.handle_continue(control.value))
    except BaseException as error:
        return await crashed(server, control, error)


async def stopping(server: Any, reason: Any) -> None:
    """The parent of a server that traps exits has ended."""
    await _end(server, None, reason, None)


async def crashed(server: Any, message: Any, error: BaseException) -> None:
    """A handler raised: ``exit(reason)`` inside it, or a failure."""
    _unless_ending(error)
    await _end(server, message, reason_of(error), None)


async def _end(server: Any, message: Any, reason: Any, stop: Stop | None) -> None:
    """Run terminate, report, reply, end: in this order."""
    try:
        await settle(server.terminate(reason))
    except BaseException as error:
        _unless_ending(error)
        reason = reason_of(error)
    report_end(server, message, reason)
    if stop is not None and stop.has_reply and isinstance(message, Call):
        message.reply(stop.reply)
    raise ProcessExit(reason)


def _unless_ending(error: BaseException) -> None:
    """Go on with the failure, unless it is the core that unwinds a server which got an exit signal."""
    if _core.is_ending():
        raise error
