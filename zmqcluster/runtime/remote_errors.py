"""How an exception of a function travels to the node that called it: as words, and never as code.

    raise E ── remote_error ──> RemoteError(node, function, kind, text, trace, detail) ── restored ──> its ``error``

An error of this package is named in ``detail`` with its fields, and made anew by the caller; of any other exception
arrive the name of its type, its message, and the text of its traceback.
"""

from __future__ import annotations

import traceback
from typing import Any

from zmqcluster import errors
from zmqcluster.core import encode
from zmqcluster.errors import ClusterError, RemoteError

__all__ = ["portable_reason", "remote_error", "restored"]

TRACE_CHARS_MAX = 10_000  # of a traceback; its end says most
TEXT_CHARS_MAX = 10_000
DETAIL_BYTES_MAX = 64 * 1024


def remote_error(node: str, function: str, error: BaseException) -> RemoteError:
    """What the caller of ``function`` is told of its exception."""
    frames = error.__traceback__.tb_next if error.__traceback__ else None  # the first is ours
    trace = "".join(traceback.format_exception(type(error), error, frames))
    text = _text(error)[:TEXT_CHARS_MAX]
    return RemoteError(node, function, type(error).__name__, text, _sendable(trace[-TRACE_CHARS_MAX:]), _detail(error))


def restored(error: RemoteError) -> RemoteError:
    """The error with the exception of this package that it names, if it names one, as its ``error`` and its cause."""
    match error.error:
        case (str() as name, tuple() as fields):
            cause = _made(name, fields)
        case _:
            cause = None
    result = RemoteError(*error.args[:-1], cause)
    result.__cause__ = cause
    if error.trace:
        result.add_note(f"on {error.node}:\n{error.trace.rstrip()}")
    return result


def portable_reason(reason: Any) -> Any:
    """The exit reason, or its repr where it cannot be sent."""
    try:
        encode(reason)
    except Exception:
        return _sendable(repr(reason)[:TEXT_CHARS_MAX])
    return reason


def _detail(error: BaseException) -> tuple[str, tuple[Any, ...]] | None:
    name = type(error).__name__
    if not isinstance(error, ClusterError) or getattr(errors, name, None) is not type(error):
        return None
    try:
        return (name, error.args) if len(encode(error.args)) <= DETAIL_BYTES_MAX else None
    except Exception:
        return None


def _made(name: str, fields: tuple[Any, ...]) -> ClusterError | None:
    cls = getattr(errors, name, None)
    if not (isinstance(cls, type) and issubclass(cls, ClusterError)):
        return None
    try:
        return cls(*fields)
    except TypeError:
        return None


def _text(error: BaseException) -> str:
    try:
        return _sendable(str(error))
    except Exception as problem:
        return f"<its str raised {type(problem).__name__}>"


def _sendable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
