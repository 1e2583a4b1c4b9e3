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

from zmqcluster.runtime.node import Node
from zmqcluster.runtime.process import receive, self
from zmqcluster.runtime.run import run as run_node_for_real
from zmqcluster.runtime.run import run_node
from zmqcluster.testing.clock import VirtualLoop

T = TypeVar("T")
Main = Callable[..., Coroutine[Any, Any, T]]


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


async def nothing_comes(within_s: float = 0.1) -> bool:
    """Whether no message comes within ``within_s`` of virtual time."""
    try:
        await receive(timeout_s=within_s)
    except TimeoutError:
        return True
    return False


async def drained() -> list[Any]:
    """All messages that are in the mailbox, in their order."""
    messages = []
    while True:
        try:
            messages.append(await receive(timeout_s=0))
        except TimeoutError:
            return messages


async def forever() -> None:
    """A process that waits for nothing, and does not trap exits."""
    await receive(lambda _: False)


__all__ = ["drained", "forever", "nothing_comes", "now_ms", "run", "run_real", "self"]
