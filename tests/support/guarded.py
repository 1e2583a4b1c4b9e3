"""Several nodes on sockets in one loop: each with a run directory of its own, so that they meet over tcp, or not."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.node_process import free_port
from zmqcluster.runtime.events import NodeDown, NodeUp
from zmqcluster.runtime.node import Node
from zmqcluster.runtime.process import receive, send
from zmqcluster.runtime.timing import Timing

__all__ = ["Guarded", "Traffic", "asynchronous", "guarded", "settled"]

TEST_S_MAX = 40.0


class Guarded:
    """Starts nodes, and stops those that are left; remembers what each was told of the others."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.nodes: dict[str, Node] = {}
        self.events: dict[str, list[str]] = {}
        self._folder = folder
        self._patch = patch

    async def start(self, letter: str, *, over_ipc: bool = False, **options: Any) -> Node:
        """Start ``letter@127.0.0.1``; a second one of a letter is a restart."""
        node = self._make(letter, over_ipc, options)
        await node.start()
        self.nodes[letter] = node
        return node

    def _make(self, letter: str, over_ipc: bool, options: dict[str, Any]) -> Node:
        known = self.nodes.get(letter)
        name = known.name if known else f"{letter}@127.0.0.1:{free_port()}"
        run_dir = self._folder / ("all" if over_ipc else letter)
        run_dir.mkdir(mode=0o700, exist_ok=True)
        self._patch.setenv("ZMQCLUSTER_RUN_DIR", str(run_dir))
        node = Node(name, timing=Timing.local(), **options)
        told = self.events.setdefault(letter, [])
        node.watch(lambda event: told.append(_text(event)))
        return node

    async def stop(self, letter: str) -> None:
        node = self.nodes[letter]
        node.scheduler.close()
        await node.stop()

    async def close(self) -> None:
        for node in self.nodes.values():
            with contextlib.suppress(Exception):
                node.scheduler.close()
                await node.stop()


def _text(event: Any) -> str:
    match event:
        case NodeUp(node):
            return f"up {node[0]}"
        case NodeDown(node, reason):
            return f"down {node[0]} {reason}"
    return repr(event)


def asynchronous(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test that takes ``guarded`` on a loop of its own, within a time limit."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        async def bounded() -> None:
            try:
                async with asyncio.timeout(TEST_S_MAX):
                    await test(**fixtures)
            finally:
                for each in fixtures.values():
                    if isinstance(each, Guarded):
                        await each.close()

        asyncio.run(bounded())

    return run


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Guarded]:
    with tempfile.TemporaryDirectory(prefix="zmqcluster-") as folder:  # a short path: it is one of sockets
        yield Guarded(Path(folder), monkeypatch)


async def settled(predicate: Callable[[], object], within_s: float = 10.0) -> None:
    """Wait until ``predicate`` holds."""
    async with asyncio.timeout(within_s):
        while not predicate():
            await asyncio.sleep(0.01)


class Traffic:
    """Numbers sent from one node to a process of another, every turn of the loop, until it is ended."""

    def __init__(self, sender: Node, receiver: Node) -> None:
        self.received: list[int] = []
        self.sent_count = 0
        self._is_over = False
        receiver.scheduler.spawn(self._take(), name="traffic")
        sender.scheduler.spawn(self._send(("traffic", str(receiver.name))))

    async def _take(self) -> None:
        while True:
            self.received.append(await receive())

    async def _send(self, dest: tuple[str, str]) -> None:
        while not self._is_over:
            for _ in range(20):
                self.sent_count += 1
                send(dest, self.sent_count)
            await asyncio.sleep(0.001)

    async def end(self) -> None:
        """Stop sending; everything sent has arrived, once and in order."""
        self._is_over = True
        await settled(lambda: len(self.received) >= self.sent_count)
        assert self.received == list(range(1, self.sent_count + 1))
