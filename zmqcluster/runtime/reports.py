"""What the core reports: crashes and mistakes, as structured log records and as exit reasons."""

from __future__ import annotations

import logging
import traceback
from typing import Any

from zmqcluster import telemetry
from zmqcluster.core import Call
from zmqcluster.errors import NoConnectionError, NoProcessError, ProcessExit, ServerExited
from zmqcluster.exits import Crashed, NoConnection, NoProcess, is_expected

_log = logging.getLogger("zmqcluster.process")


def reason_of(error: BaseException) -> Any:
    """The exit reason of a process that ends with ``error``."""
    if isinstance(error, ProcessExit):
        return error.reason
    trace = "".join(traceback.format_exception(error))
    return Crashed(type(error).__name__, str(error), trace, error)


def reason_of_failed_call(error: BaseException) -> Any:
    """The reason inside the exception of a call that failed."""
    if isinstance(error, ServerExited):
        return error.reason
    if isinstance(error, NoProcessError):
        return NoProcess()
    if isinstance(error, NoConnectionError):
        return NoConnection(error.node)
    return reason_of(error)


class Reports:
    """The hooks of a Scheduler that only report; a node adds those that act."""

    def on_crash(self, process: Any, error: BaseException) -> Any:
        """A coroutine process raised ``error``: report it, and return the exit reason."""
        reason = reason_of(error)
        if not is_expected(reason):
            _log.error(
                "process %r (%s) crashed: %r",
                process,
                getattr(process.get_coro(), "__qualname__", "?"),
                error,
                exc_info=error,
                extra={"zmqcluster": {"process": repr(process), "reason": reason}},
            )
            telemetry.emit("zmqcluster.process.crashed", process=process, reason=reason)
        return reason

    def on_unwind_error(self, process: Any, error: BaseException) -> None:
        """A process raised something else while it was being ended."""
        _log.warning("%r raised while it was being ended: %r", process, error, exc_info=error)

    def on_interrupt(self, error: BaseException) -> None:
        """A server raised KeyboardInterrupt or SystemExit."""
        _log.error("a server raised %r and ended", error)

    def on_long_mailbox(self, pid: Any, queued: int) -> None:
        """The unbounded mailbox of ``pid`` grew to ``queued`` messages; told again when that has doubled."""
        _log.warning("%r has %d messages in its mailbox", pid, queued)
        telemetry.emit("zmqcluster.mailbox.long", pid=pid, queued=queued)

    def on_full_mailbox(self, pid: Any, bound: int) -> None:
        """The bounded mailbox of ``pid`` was full."""
        telemetry.emit("zmqcluster.mailbox.full", pid=pid, bound=bound)

    def on_no_such_cast(self, server: str, method: str) -> None:
        """A cast named a method that the server lacks; the cast is dropped."""
        _log.warning("%s has no cast %r; dropped", server, method)

    def on_second_reply(self, call: Any, value: Any) -> None:
        """A call that had its reply was replied to again; the caller has the first, the second is dropped."""
        _log.warning("dropped a second reply to %r: %r", call, value)
        telemetry.emit("zmqcluster.call.replied_twice", call=call, value=value)

    def on_bad_reply(self, server: Any, error: BaseException) -> None:
        """A reply cannot cross the link; the caller gets the error."""
        _log.error("%s replied with what cannot be sent: %s", server, error)

    def on_undecodable(self, node: str, error: BaseException) -> None:
        """An envelope from ``node`` was malformed; it is dropped, the link goes on."""
        _log.error("dropped an undecodable message from %s: %s", node, error)

    def on_node_call(self, call: Call) -> None:
        """A call of another node to this node itself, which offers nothing."""
        call.fail(NoProcessError(None))

    def on_control(self, source: bytes, frame: bytes) -> None:
        """A frame that is not data; a node without links gets none."""

    def on_link_broken(self, link: Any, problem: str) -> None:
        """The peer of a link broke the framing."""

    def connect(self, node: str) -> Any:
        """A node without links knows no other node."""
        return None
