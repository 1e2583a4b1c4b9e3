"""How a supervisor ends many processes at once: it asks all, waits for all, and kills each when its own time is over.

    Shutdown to each ──> ended, ended, ...    overdue ones: Kill ──> ended, ...

The whole takes as long as the slowest child may, not the sum. Source: Elixir DynamicSupervisor, terminate_children.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zmqcluster import _core
from zmqcluster._ids import Pid
from zmqcluster.core import Down, Exit
from zmqcluster.exits import Kill, Shutdown
from zmqcluster.runtime.process import exit, monitor, receive, unlink

__all__ = ["stop_together"]


async def stop_together(shutdown_s: Mapping[Pid, float | None]) -> dict[Pid, Any]:
    """End linked processes, and return their exit reasons.

    Args:
        shutdown_s: the time of each; 0 kills at once, None waits for ever.
    """
    loop = _core.current_scheduler().loop
    began_s = loop.time()
    watched = {monitor(pid): pid for pid in shutdown_s}
    reasons: dict[Pid, Any] = {}
    for pid, time_s in shutdown_s.items():
        exit(pid, Kill() if time_s == 0 else Shutdown())
    overdue = sorted(((began_s + time_s, pid) for pid, time_s in shutdown_s.items() if time_s), reverse=True)

    def is_end(message: Any) -> bool:
        return message.ref in watched if type(message) is Down else type(message) is Exit and message.pid in shutdown_s

    while watched:
        try:
            ended = await receive(is_end, timeout_s=max(0.0, overdue[-1][0] - loop.time()) if overdue else None)
        except TimeoutError:
            while overdue and overdue[-1][0] <= loop.time():
                exit(overdue.pop()[1], Kill())
            continue
        if isinstance(ended, Exit):  # comes before the Down, and is all there is of one that had ended before
            reasons[ended.pid] = ended.reason
        else:
            pid = watched.pop(ended.ref)
            unlink(pid)
            reasons.setdefault(pid, ended.reason)
    return reasons
