"""How a supervisor ends one process: it asks, waits, and kills.

    Shutdown ──within shutdown_s──> ended          shutdown_s = 0: Kill at once          None: wait for ever
             └──not in time──> Kill ──> ended

Source: supervisor:shutdown/1.
"""

from __future__ import annotations

from typing import Any

from zmqcluster._ids import Pid
from zmqcluster.core import Down, Exit
from zmqcluster.exits import Kill, Shutdown
from zmqcluster.runtime.process import exit, monitor, receive, unlink

__all__ = ["stop_process"]


async def stop_process(pid: Pid, shutdown_s: Any) -> Any:
    """Ask a linked process to shut down, kill it after ``shutdown_s``, and return its exit reason.

    Watches with a monitor, so a child that has unlinked itself, or ends by itself meanwhile, hangs no supervisor.
    """
    ref = monitor(pid)

    def is_down(message: Any) -> bool:
        return isinstance(message, Down) and message.ref == ref

    exit(pid, Kill() if shutdown_s == 0 else Shutdown())
    try:
        down: Down = await receive(is_down, timeout_s=shutdown_s or None)
    except TimeoutError:
        exit(pid, Kill())
        down = await receive(is_down)
    unlink(pid)
    return await _real_reason(pid, down.reason)


async def _real_reason(pid: Pid, reason: Any) -> Any:
    """Take the EXIT message that came beside the Down out of the mailbox."""
    try:
        message: Exit = await receive(lambda message: isinstance(message, Exit) and message.pid == pid, timeout_s=0)
    except TimeoutError:
        return reason
    return message.reason
