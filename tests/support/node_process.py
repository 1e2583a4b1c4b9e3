"""A node in an OS process of its own, told what to do by lines, telling what happens by lines.

    test ── stdin:  connect b@…   disconnect b@…   flood b@… 1000   nodes   state b@…   block 2.0 ──>  child
    test <─ stdout: ready   up b@…   down b@… left   message 17   true   error …                 ──  child

The child's ``inbox`` process subscribes to node events and prints what it receives, in its order.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import SystemRandom
from types import TracebackType

from tests.support.streams import Listener, stream
from zmqcluster.discovery.local import Local
from zmqcluster.discovery.static import Static
from zmqcluster.errors import ClusterError
from zmqcluster.runtime.events import NodeDown, NodeUp
from zmqcluster.runtime.node import Node
from zmqcluster.runtime.process import receive, send
from zmqcluster.runtime.timing import Timing

ROOT = Path(__file__).parents[2]
WITHIN_S = 30.0  # a machine may be busy; what is to be fast says so


def free_port() -> int:
    """A port nobody has now, below the ephemeral range."""
    while True:
        port = SystemRandom().randrange(12_000, 19_900)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def free_name(name: str) -> str:
    return f"{name}@127.0.0.1:{free_port()}"


class NodeProcess:
    """The parent's view of a child.

    Args:
        name: of the node.
        run_dir: where the nodes of one test have their sockets.
        topology: "local", or the names of a static list separated by commas.
        timing: a preset.
        expects: the first line it will say.
        prefix: words before the command, such as those that enter a network namespace.
    """

    def __init__(
        self,
        name: str,
        run_dir: Path,
        *,
        cookie: str = "secret",
        topology: str = "",
        timing: str = "local",
        expects: str = "ready",
        prefix: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.lines: list[str] = []
        self.arrived_s: list[float] = []  # when each line came, by the monotonic clock
        self._read_count = {True: 0, False: 0}  # of the lines: up to where answers were read, and up to where the rest
        self._arrived: queue.Queue[tuple[str, float]] = queue.Queue()
        self._log = run_dir / f"{name}.log"
        environment = os.environ | {"ZMQCLUSTER_RUN_DIR": str(run_dir), "PYTHONPATH": str(ROOT)}
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(
                [*prefix, sys.executable, "-m", "tests.support.node_process", name, cookie, topology, timing],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                cwd=ROOT,
                text=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.expect(expects)

    def _read(self) -> None:
        assert self._child.stdout
        for line in self._child.stdout:
            self._arrived.put((line.rstrip("\n"), time.monotonic()))
        self._arrived.put(("end of output", time.monotonic()))

    def tell(self, command: str) -> None:
        assert self._child.stdin
        self._child.stdin.write(command + "\n")
        self._child.stdin.flush()

    def ask(self, command: str) -> str:
        """The answer to a command that has one."""
        self.tell(command)
        return self.expect("=").removeprefix("=").strip()

    def expect(self, start: str, within_s: float = WITHIN_S) -> str:
        """Return the next line that begins with ``start``. Answers and events are read apart from each other."""
        deadline_s = time.monotonic() + within_s
        is_answer = start.startswith("=")
        while True:
            while self._read_count[is_answer] < len(self.lines):
                self._read_count[is_answer] += 1
                line = self.lines[self._read_count[is_answer] - 1]
                if line.startswith(start):
                    return line
            try:
                self._take(max(0.0, deadline_s - time.monotonic()))
            except queue.Empty:
                raise AssertionError(
                    f"{self.name} did not say {start!r} within {within_s} s, but {self.lines[-20:]}\n{self.log()}"
                ) from None

    def _take(self, within_s: float) -> None:
        line, at_s = self._arrived.get(timeout=within_s)
        self.lines.append(line)
        self.arrived_s.append(at_s)

    def seen(self) -> dict[str, float]:
        """Who is up by its own telling, by the first letter of their names, and since when."""
        self._take_all()
        up: dict[str, float] = {}
        for line, at_s in zip(self.lines, self.arrived_s, strict=True):
            match line.split(" "):
                case ["up", peer]:
                    up[peer[0]] = at_s
                case ["down", peer, _]:
                    up.pop(peer[0], None)
        return up

    def changed_s(self) -> float:
        """When it last told of a node that came or went."""
        self._take_all()
        told = zip(self.lines, self.arrived_s, strict=True)
        return max((at_s for line, at_s in told if line.startswith(("up ", "down "))), default=0.0)

    def _take_all(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._take(0.0)

    def events(self) -> list[str]:
        """What it has told so far of other nodes, by the first letter of their names."""
        told = [line.split(" ") for line in self.lines if line.startswith(("up ", "down "))]
        return [" ".join([what, name[0], *reason]) for what, name, *reason in told]

    def log(self) -> str:
        return self._log.read_text()

    def signal(self, number: signal.Signals) -> None:
        self._child.send_signal(number)

    def kill(self) -> None:
        """kill -9."""
        self._child.kill()
        self._child.wait()

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._reader.join()
        for pipe in (self._child.stdin, self._child.stdout):
            assert pipe
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


# --- the child


def say(*words: object) -> None:
    print(*words, flush=True)


async def inbox(node: Node) -> None:
    """Print what arrives; a flood is told by its first and last number, and by its gaps."""
    node.monitor_nodes(node.scheduler.pids()[0])
    last = 0
    while True:
        match await receive():
            case NodeUp(peer):
                say("up", peer)
            case NodeDown(peer, reason):
                say("down", peer, reason)
            case ("flood", number, count):
                if number == 1 or number == count or number != last + 1:
                    say("message", number)
                last = number


async def flood(peer: str, count: int) -> None:
    for number in range(1, count + 1):
        send(("inbox", peer), ("flood", number, count))
        if number % 100 == 0:
            await asyncio.sleep(0)


async def tell_listener() -> None:
    send("listener", "tell")


def compute(seconds: float) -> None:
    """A loop of Python code: it gives the GIL away now and then, and the event loop never its turn."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        pass


def hold_the_gil(seconds: float) -> None:
    """A C function that gives nobody the GIL."""
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))


async def obey(node: Node, command: str) -> None:
    match command.split():
        case ["connect", peer]:
            say("=", await node.connect(peer))
        case ["disconnect", peer]:
            say("=", node.disconnect(peer))
        case ["nodes"]:
            say("=", *node.nodes())
        case ["flood", peer, count]:
            node.scheduler.spawn(flood(peer, int(count)))
        case ["state", peer]:
            say("=", node.state(peer))
        case ["block", seconds]:
            say("= blocked")
            time.sleep(float(seconds))  # what must not be done, and is
        case ["compute", seconds]:
            say("= computing")
            compute(float(seconds))
        case ["hold", seconds]:
            say("= holding")
            hold_the_gil(float(seconds))
        case ["stream", peer, per_s, seconds]:
            node.scheduler.spawn(stream(node, peer, int(per_s), float(seconds), say))
        case ["listen"]:
            Listener(node, say).start()
            say("= listening")
        case ["heard"]:
            node.scheduler.spawn(tell_listener())
        case ["stop"]:
            await node.stop()
            say("= stopped")


def topologies(text: str) -> list[Local | Static]:
    return [Local()] if text == "local" else [Static(text.split(","))] if text else []


async def commands() -> Iterator[str]:  # type: ignore[misc]
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line.decode()


async def main(name: str, cookie: str, topology: str, timing: str) -> None:
    node = Node(name, cookie=cookie or None, topologies=topologies(topology), timing=getattr(Timing, timing)())
    try:
        await node.start()
    except ClusterError as error:
        say("failed", type(error).__name__)
        return
    node.scheduler.spawn(inbox(node), name="inbox")
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: tasks.append(leave(node)))
    tasks: list[asyncio.Task[None]] = []
    say("ready")
    async for command in commands():  # type: ignore[attr-defined]
        await obey(node, command)


def leave(node: Node) -> asyncio.Task[None]:
    async def leaving() -> None:
        node.scheduler.close()
        await node.stop()
        os._exit(0)

    return asyncio.get_running_loop().create_task(leaving())


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main(*sys.argv[1:]))
