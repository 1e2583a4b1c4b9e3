"""Named events: attach a handler to a name, and be called synchronously where the event happens.

A handler that raises is detached, and the event ``zmqcluster.telemetry.failed`` says so; the emitter never notices.
Source: the telemetry library of Erlang and Elixir.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["attach", "detach", "emit"]

Handler = Callable[[str, Mapping[str, Any]], None]

_log = logging.getLogger("zmqcluster.telemetry")
_handlers: dict[str, dict[str, Handler]] = {}

FAILED = "zmqcluster.telemetry.failed"


def attach(handler_id: str, event: str, handler: Handler) -> None:
    """Call ``handler(event, fields)`` at each ``event``.

    Raises:
        ValueError: ``handler_id`` is attached to this event already.
    """
    handlers = _handlers.setdefault(event, {})
    if handler_id in handlers:
        raise ValueError(f"a handler {handler_id!r} is attached to {event!r} already")
    handlers[handler_id] = handler


def detach(handler_id: str, event: str) -> bool:
    """Stop calling the handler; return whether it was attached."""
    return _handlers.get(event, {}).pop(handler_id, None) is not None


def emit(event: str, **fields: Any) -> None:
    """Call every handler of ``event``, in the order of attaching."""
    for handler_id, handler in list(_handlers.get(event, {}).items()):
        try:
            handler(event, fields)
        except Exception as error:
            detach(handler_id, event)
            _log.warning("telemetry handler %r of %r raised and is detached", handler_id, event, exc_info=True)
            if event != FAILED:
                emit(FAILED, handler_id=handler_id, failed_event=event, error=error)
