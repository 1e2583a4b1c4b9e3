"""Named events: attach a handler to a name, and be called synchronously where the event happens.

A handler that raises is detached, and the event ``zmqcluster.telemetry.failed`` says so; the emitter never notices.
A ``span`` is two events around a piece of work: ``<prefix>.start``, then ``<prefix>.stop`` or ``<prefix>.exception``.
Source: the telemetry library of Erlang and Elixir.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = ["attach", "detach", "emit", "span"]

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


@contextlib.contextmanager
def span(prefix: str, **fields: Any) -> Iterator[None]:
    """Emit the events of a piece of work, each with ``fields`` and the same ``span_context``; what it raises passes.

    ``start`` has ``monotonic_time_ns``; ``stop`` and ``exception`` have ``duration_ns`` too, ``exception`` also
    ``error``, with its traceback.
    """
    began_ns = time.monotonic_ns()
    fields = {**fields, "span_context": object()}
    emit(f"{prefix}.start", monotonic_time_ns=began_ns, **fields)
    try:
        yield
    except BaseException as error:
        _emit_end(f"{prefix}.exception", began_ns, error=error, **fields)
        raise
    _emit_end(f"{prefix}.stop", began_ns, **fields)


def _emit_end(event: str, began_ns: int, **fields: Any) -> None:
    now_ns = time.monotonic_ns()
    emit(event, monotonic_time_ns=now_ns, duration_ns=now_ns - began_ns, **fields)
