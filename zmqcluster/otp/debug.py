"""Debug functions of a running server: each is told of every message that comes in and of what came out of it.

    core ──("in", message, None)──────> Debug ──> function(state, event, server) -> its next state, or DONE
         ──("out", message, returned)─>

Invariant: an id is installed once; a function that returns DONE or raises is removed, and the server never notices.
A server without any pays nothing. Source: sys:install, sys:trace, sys:log, sys:statistics.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from zmqcluster import _core
from zmqcluster.core import Call, Cast, Continue, Control, Reply, Stop, message

__all__ = ["DONE", "Debug", "DebugFunction", "Event", "Statistics", "as_value", "count", "keep", "print_event"]

_log = logging.getLogger("zmqcluster.sys")
_trace = logging.getLogger("zmqcluster.trace")


@message
@dataclass(frozen=True, slots=True)
class Event:
    """``in``: a message is about to be handled. ``out``: its handler has returned ``value``."""

    direction: str
    message: Any
    value: Any


class _Done:
    """Returned by a debug function that wants to be removed."""


DONE: Final = _Done()

DebugFunction = Callable[[Any, Event, Any], Any]


class Debug:
    """The debug functions of one server, by id, in the order of installing."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._functions: dict[str, tuple[DebugFunction, Any]] = {}

    def install(self, id: str, function: DebugFunction, state: Any) -> None:
        """Add a function; an id that is installed already stays as it is."""
        self._functions.setdefault(id, (function, state))

    def remove(self, id: str) -> None:
        self._functions.pop(id, None)

    def ids(self) -> tuple[str, ...]:
        return tuple(self._functions)

    def state(self, id: str) -> Any:
        """The state that the function returned last, or None when it is not installed."""
        return self._functions.get(id, (None, None))[1]

    def __call__(self, direction: str, message: Any, value: Any) -> None:
        """Called by the core for each message."""
        event = Event(direction, message, value)
        for id, (function, state) in list(self._functions.items()):
            following = self._run(id, function, state, event)
            if following is DONE:
                self._functions.pop(id, None)
            elif id in self._functions:
                self._functions[id] = (function, following)
        if not self._functions:
            _core.observe(None)

    def _run(self, id: str, function: DebugFunction, state: Any, event: Event) -> Any:
        try:
            return function(state, event, self._server)
        except Exception as error:
            _log.warning("the debug function %r raised and is removed", id, exc_info=error)
            return DONE


# --- the functions that come with the package


@message
@dataclass(frozen=True, slots=True)
class Statistics:
    """What a server did since statistics were turned on."""

    started_s: float
    now_s: float
    messages_in: int
    messages_out: int


def count(statistics: Statistics, event: Event, server: Any) -> Statistics:
    """Count messages handled, and replies."""
    replied = event.direction == "out" and isinstance(event.message, Call) and _is_reply(event.value)
    return Statistics(
        statistics.started_s,
        statistics.now_s,
        statistics.messages_in + (event.direction == "in"),
        statistics.messages_out + replied,
    )


def _is_reply(value: Any) -> bool:
    return isinstance(value, Reply) or not isinstance(value, Control)


def keep(events: deque[Event], event: Event, server: Any) -> deque[Event]:
    """Keep the latest events, as many as the deque takes."""
    events.append(as_value(event))
    return events


def as_value(event: Event) -> Event:
    """The event without objects of the core, to be kept and sent; a request is its kind, method and parts."""
    request, value = event.message, event.value
    if isinstance(request, Call | Cast):
        kind = "call" if isinstance(request, Call) else "cast"
        request = (kind, request.method, request.request, request.keywords)
    match value:
        case Reply():
            value = value.value
        case Stop():
            value = ("stop", value.reason)
        case Continue():
            value = ("continue", value.value)
        case Control():
            value = None
    return Event(event.direction, request, value)


def print_event(state: None, event: Event, server: Any) -> None:
    """Log the event to the logger ``zmqcluster.trace``."""
    if event.direction == "in":
        _trace.info("%s %r got %r", type(server).__name__, _core.self(), event.message)
    else:
        _trace.info("%s %r answered %r with %r", type(server).__name__, _core.self(), event.message, event.value)
