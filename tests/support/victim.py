"""A node in a process of its own that is to be attacked: it serves one counter, and its memory can be asked for.

    with Victim(cookie="...", encryption="none", descriptors_max=128) as victim:  victim.links, victim.memory_bytes()

The node sees the world as any other; nothing in it knows of the attack.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.node_process import ROOT, free_port
from zmqcluster.otp.gen_server import GenServer
from zmqcluster.otp.methods import call
from zmqcluster.runtime.node import Node
from zmqcluster.runtime.timing import Timing
from zmqcluster.transport.addresses import tcp_address

__all__ = ["Counter", "Victim"]

START_S_MAX = 30.0


class Counter(GenServer):
    """Keeps the numbers it is sent, and answers."""

    def init(self) -> None:
        self.seen: list[int] = []

    def handle_info(self, message: int) -> None:
        self.seen.append(message)

    @call
    def told(self) -> list[int]:
        """Return the numbers since the last time."""
        seen, self.seen = self.seen, []
        return seen

    @call
    def same(self, value: object) -> object:
        return value


class Victim:
    """The parent's view.

    Args:
        descriptors_max: RLIMIT_NOFILE of the process.
        port: of its name, where that is not the one it listens at.
        options: of ``Node``.
    """

    def __init__(self, *, descriptors_max: int | None = None, port: int | None = None, **options: Any) -> None:
        listens_at = free_port()
        self.name = f"victim@127.0.0.1:{port or listens_at}"
        if port:
            options["listen"] = f"127.0.0.1:{listens_at}"
        self.port = port or listens_at
        self.encryption = options.get("encryption", "curve")
        self._folder = tempfile.TemporaryDirectory(prefix="zmqcluster-")
        self._log = Path(self._folder.name) / "log"
        given = {"name": self.name, "descriptors_max": descriptors_max, "options": options}
        environment = os.environ | {"ZMQCLUSTER_RUN_DIR": self._folder.name, "PYTHONPATH": str(ROOT)}
        with self._log.open("wb") as log:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "tests.support.victim", json.dumps(given)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                cwd=ROOT,
                text=True,
            )
        assert self._child.stdout
        timer = threading.Timer(START_S_MAX, self._child.kill)
        timer.start()
        line = self._child.stdout.readline()
        timer.cancel()
        assert line, f"the victim did not start: {self.log()}"
        self.links, self.gossip = (tuple(address) for address in json.loads(line))

    @property
    def pid(self) -> int:
        return self._child.pid

    def memory_bytes(self) -> int:
        """What it holds of the machine's memory."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def is_alive(self) -> bool:
        return self._child.poll() is None

    def log(self) -> str:
        return self._log.read_text()

    def __enter__(self) -> Victim:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            assert pipe
            pipe.close()
        self._folder.cleanup()


# --- the child


async def main(name: str, descriptors_max: int | None, options: dict[str, Any]) -> None:
    if descriptors_max is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors_max, descriptors_max))
    node = Node(name, timing=Timing.local(), **options)
    await node.start()

    async def serve() -> None:
        await Counter.start(name="counter")

    node.scheduler.spawn(serve())
    assert node.links
    own = node.links.own
    print(json.dumps([tcp_address(endpoints[1]) for endpoints in (own.links, own.gossip)]), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    asyncio.run(main(given["name"], given["descriptors_max"], given["options"]))
