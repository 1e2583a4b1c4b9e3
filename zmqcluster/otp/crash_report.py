"""What is told when a server crashes: who, at which message, in which state, why, and who waited for the reply.

Rules: an orderly end is not told; a report never hurts the server, even if its state cannot be shown.
Source: gen_server terminate report, proc_lib crash report.
"""

from __future__ import annotations

import logging
from typing import Any

from zmqcluster import _core, telemetry
from zmqcluster._ids import Pid
from zmqcluster.core import Call
from zmqcluster.exits import is_expected
from zmqcluster.otp.servers import server_name

__all__ = ["report_end", "shown_state"]

_log = logging.getLogger("zmqcluster.gen_server")

SHOWN_CHARS_MAX = 4_000  # of a state or a message in the text of a report; its fields have all
ANCESTORS_MAX = 32

REPORT = """%(server)s %(pid)r terminates
  initial call: %(initial_call)s, names: %(names)s, ancestors: %(ancestors)s
  last message: %(shown_message)s
  client: %(client)r
  state: %(shown_state)s
  reason: %(reason)r
%(trace)s"""


def report_end(server: Any, message: Any, reason: Any) -> None:
    """Log the crash of the running server, and emit ``zmqcluster.gen_server.terminated``."""
    if is_expected(reason):
        return
    pid = _core.self()
    state = shown_state(server)
    fields = {
        "server": type(server).__name__,
        "pid": pid,
        "names": (_core.current_scheduler().describe(pid) or {}).get("names", []),
        "initial_call": f"{server_name(type(server))}.init",
        "ancestors": _ancestors(),
        "last_message": message,
        "client": message.client if isinstance(message, Call) else None,
        "state": state,
        "reason": reason,
    }
    text = {"shown_message": _shown(message), "shown_state": _shown(state), "trace": getattr(reason, "trace", "")}
    _log.error(REPORT, {**fields, **text}, extra={"zmqcluster": fields})
    telemetry.emit("zmqcluster.gen_server.terminated", **fields)


def shown_state(server: Any) -> Any:
    """The state as ``format_status`` shows it; when that raises, a word about it."""
    try:
        return server.format_status()
    except Exception as error:
        return f"format_status raised {error!r}"


def _ancestors() -> list[Pid]:
    """The parent of the running server, its parent, and so on; as far as they live on this node."""
    scheduler = _core.current_scheduler()
    ancestors: list[Pid] = []
    parent = _core.parent()
    while parent is not None and len(ancestors) < ANCESTORS_MAX:
        ancestors.append(parent)
        parent = (scheduler.describe(parent) or {}).get("parent")
    return ancestors


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception as error:
        text = f"<{type(value).__qualname__}, whose repr raised {error!r}>"
    return text if len(text) <= SHOWN_CHARS_MAX else f"{text[:SHOWN_CHARS_MAX]}… ({len(text)} characters)"
