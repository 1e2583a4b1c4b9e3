"""How a test runs processes: ``run`` in virtual time, where no test waits; ``run_real`` where I/O or threads matter.

    def test_x() -> None:
        async def main() -> None:      # the first process of a node without a name
            ...
        run(main)

Both take a fresh loop, raise what ``main`` raises, and end every process that is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from zmqcluster.core import Down
from zmqcluster.ids import Pid
from zmqcluster.otp.supervisor import Supervisor
from zmqcluster.runtime.node import Node
from zmqcluster.runtime.process import monitor, receive
from zmqcluster.runtime.run import run as run_node_for_real
from zmqcluster.runtime.run import run_node
from zmqcluster.testing.clock import VirtualLoop

T = TypeVar("T")
Main = Callable[..., Coroutine[Any, Any, T]] | type[Supervisor]


def run(main: Main[T], *arguments: Any) -> T:
    """The result of ``main``, in virtual time."""
    loop = VirtualLoop()
    try:
        result: T = loop.run(run_node(Node(), main, *arguments))
        return result
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def run_real(main: Main[T], *arguments: Any, **node: Any) -> T:
    """The result of ``main``, on a selector loop; ``node`` as for ``Node``."""
    result: T = run_node_for_real(main, *arguments, **node)
    return result


def now_ms() -> float:
    """The time of the loop, in milliseconds."""
    return asyncio.get_running_loop().time() * 1000


async def arriving(within_s: float = 0.1) -> list[Any]:
    """All messages that are in the mailbox, or come within so much time, in their order."""
    messages = []
    deadline_s = asyncio.get_running_loop().time() + within_s
    while True:
        left_s = deadline_s - asyncio.get_running_loop().time()
        try:
            messages.append(await receive(timeout_s=max(0.0, left_s)))
        except TimeoutError:
            return messages


async def forever() -> None:
    """A process that waits for nothing, and does not trap exits."""
    await receive(lambda _: False)


async def end_of(pid: Pid) -> Any:
    """The exit reason of a process that is to end."""
    ref = monitor(pid)
    down: Down = await receive(lambda message: isinstance(message, Down) and message.ref == ref)
    return down.reason


__all__ = ["arriving", "end_of", "forever", "now_ms", "run", "run_real"]
