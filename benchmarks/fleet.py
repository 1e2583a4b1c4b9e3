"""Many nodes on this host, an OS process each: how soon they are a mesh, and what it costs when nothing happens.

    fleet ── all names, on stdin ──> node 1 ... node 20, which are started and know nobody
          <── "mesh" when it sees all ──

The nodes are those of any contender that plays by these lines. Run as a program it is one of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import zmqcluster as zc
from benchmarks.contender import Figures, scaled
from benchmarks.peer import free_ports

NODES_COUNT = 20
COOKIE = "of the benchmark alone"
SETTLE_S, IDLE_S = 1.0, 5.0


async def node() -> None:
    """Wait for the word, connect to everybody, and say when all are there."""
    print("started", flush=True)
    names = (await asyncio.to_thread(sys.stdin.readline)).split()
    own = zc.node().name
    await asyncio.gather(*(zc.connect(name) for name in names if name != own))
    await zc.joined(len(names) - 1, 30.0)
    print("mesh", flush=True)
    await asyncio.to_thread(sys.stdin.read)


class Fleet:
    """Nodes that are started, and know nobody.

    Args:
        names: of the nodes.
        command_of: what runs the node of a name.
    """

    def __init__(self, names: Sequence[str], command_of: Callable[[str], list[str]]) -> None:
        self.names = names
        self.processes = [
            subprocess.Popen(command_of(name), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for name in names
        ]
        self._await("started")

    def _await(self, word: str) -> None:
        for process in self.processes:
            assert process.stdout is not None
            line = process.stdout.readline().strip()
            assert line == word, line

    def mesh_s(self) -> float:
        """Let them connect; return how long it took until the last one saw all the others."""
        began_s = time.monotonic()
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(" ".join(self.names) + "\n")
            process.stdin.flush()
        self._await("mesh")
        return time.monotonic() - began_s

    def cpu_s(self) -> float:
        """The time on a core that all of them have had."""
        return sum(cpu_s(process.pid) for process in self.processes)

    def close(self) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
            for pipe in filter(None, (process.stdin, process.stdout)):
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def cpu_s(pid: int) -> float:
    """The time on a core of a process and its threads, to the nanosecond; ``stat`` only counts those seen at a tick.

    Source: Documentation/scheduler/sched-stats.rst.
    """
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


@contextlib.contextmanager
def fleet(names: Sequence[str], command_of: Callable[[str], list[str]]) -> Iterator[Fleet]:
    started = Fleet(names, command_of)
    try:
        yield started
    finally:
        started.close()


def ours() -> contextlib.AbstractContextManager[Fleet]:
    names = [f"n{number}@127.0.0.1:{port}" for number, port in enumerate(free_ports(NODES_COUNT))]
    return fleet(names, lambda name: [sys.executable, "-m", "benchmarks.fleet", name])


def idle_cpu_share() -> Figures:
    """What a node of an idle mesh takes of a core, for all of its 19 links together."""
    idle_s = scaled(int(IDLE_S * 1000)) / 1000
    with ours() as nodes:
        nodes.mesh_s()
        time.sleep(SETTLE_S)
        before_s = nodes.cpu_s()
        time.sleep(idle_s)
        return {"link.idle_cpu_share": (nodes.cpu_s() - before_s) / idle_s / NODES_COUNT}


if __name__ == "__main__":
    zc.run(node, name=sys.argv[1], cookie=COOKIE)
