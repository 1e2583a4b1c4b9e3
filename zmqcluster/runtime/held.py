"""A process that was started for a process of another node, and waits until that one watches it.

    owner ── spawn ──> held process, which waits
      └── link, monitor, Go ───────────────────> function(*arguments)

So a link or a monitor is there before the function runs, and however soon it ends, its real reason arrives. When the
owner ends first, or its node goes, the function never runs; nor when no Go comes in ``GO_S_MAX``, for then the owner
was told to wait for its pid no longer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from zmqcluster import _core
from zmqcluster._ids import Pid
from zmqcluster.core import Down, message

__all__ = ["Go", "held"]

GO_S_MAX = 60.0  # many times what a link may take, and less than anybody would look for what is left


@message(tag="remote.Go")
@dataclass(frozen=True, slots=True)
class Go:
    """The owner watches: the function may run."""

    owner: Pid


async def held(owner: Pid, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Run ``function(*arguments)`` when ``owner`` says Go."""
    watching = _core.monitor(owner)

    def is_answer(message: Any) -> bool:
        return message == Go(owner) or (type(message) is Down and message.ref == watching)

    try:
        answer = await _core.receive(is_answer, timeout_s=GO_S_MAX)
    except TimeoutError:
        return
    _core.demonitor(watching, flush=True)
    if type(answer) is Go:
        await _core.coroutine_of(function, arguments)
