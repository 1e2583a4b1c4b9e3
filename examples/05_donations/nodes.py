"""The OS processes of the demo, seen from the parent: started, fed, killed, ended."""

import asyncio
import json
import os
import secrets
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from donations import Donation

HERE = Path(__file__).parent
Event = dict[str, Any]
OnEvent = Callable[["NodeProcess", Event], None]
OnEnd = Callable[["NodeProcess"], None]


class NodeProcess:
    """One node. ``on_event`` is called with each of its events, ``on_end`` once when it is gone and all were read."""

    def __init__(self, name: str, log: Path) -> None:
        self.name, self.log = name, log
        self.pending: dict[str, Donation] = {}  # given to this door and not yet acknowledged
        self.alive = False
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    async def start(self, settings: dict[str, Any], on_event: OnEvent, on_end: OnEnd) -> None:
        with self.log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(HERE / "node.py"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=1 << 20,
            )
        self.alive = True
        self._write({**settings, "name": self.name})
        self._reading = asyncio.create_task(self._read(on_event, on_end))

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def give(self, donations: list[Donation]) -> None:
        """Hand donations in at this node's door."""
        self.pending.update((each.id, each) for each in donations)
        self._write([(each.id, each.donor, str(each.amount)) for each in donations])

    def kill(self) -> None:
        """kill -9."""
        os.kill(self.pid, signal.SIGKILL)

    async def end(self) -> None:
        """Close its stdin, upon which it leaves in order; kill it if it does not within 5 s."""
        if self._process is None or self._reading is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 5.0)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reading

    def _write(self, value: object) -> None:
        assert self._process is not None and self._process.stdin is not None
        if self.alive:
            self._process.stdin.write(json.dumps(value).encode() + b"\n")

    async def _read(self, on_event: OnEvent, on_end: OnEnd) -> None:
        assert self._process is not None and self._process.stdout is not None
        async for line in self._process.stdout:
            if line.endswith(b"\n"):  # a kill may cut the last one
                on_event(self, json.loads(line))
        self.alive = False
        on_end(self)


def make_nodes(letters: str, log_folder: Path) -> list[NodeProcess]:
    """Return a node per letter; a tag in its name keeps two demos apart, and without a port it takes any free one."""
    tag = secrets.token_hex(2)
    return [NodeProcess(f"{letter}-{tag}@127.0.0.1", log_folder / f"{letter}.log") for letter in letters]


def new_settings(nodes_count: int) -> dict[str, Any]:
    """Return what the nodes of one run share: a cluster of its own, and a cookie that only they know."""
    return {"cluster": f"demo-{secrets.token_hex(4)}", "cookie": secrets.token_hex(16), "nodes_count": nodes_count}
