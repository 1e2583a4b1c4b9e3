"""``run`` with what belongs to a node that can be looked at: its inspector."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from zmqcluster.monitoring import inspect
from zmqcluster.runtime import run as plain
from zmqcluster.runtime.run import Main

__all__ = ["SERVICES", "run"]

SERVICES = (inspect.serve,)  # of every node with a name that ``run`` starts


def run(
    main: Main,
    *arguments: Any,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    **node: Any,
) -> Any:
    """Run ``main(*arguments)`` as the first process of a node, and return what it returns.

    Args:
        main: an async function, or a Supervisor or Application class, which then runs until a signal comes.
        loop_factory: for another event loop, such as ``uvloop.new_event_loop``.
        node: the arguments of ``Node``: name, cookie, topologies, ... Without a name the node opens no socket. With
            one it also runs an inspector, for ``zc.inspect`` and ``python -m zmqcluster top``; ``services=()``: not.
    Raises:
        what ``main`` raises; ServerExited when an exit signal ended it abnormally; ConfigError, NameInUse.
    """
    return plain.run(main, *arguments, loop_factory=loop_factory, **{"services": SERVICES, **node})
