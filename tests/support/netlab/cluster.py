"""A node on each host of a lab, and what they see of each other."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType

from tests.support.netlab.lab import Lab
from tests.support.node_process import NodeProcess
from zmqcluster.runtime.timing import Timing

__all__ = ["LabCluster"]

FORMED_S_MAX = 20.0
LOOK_S = 0.01


class LabCluster:
    """``hosts`` nodes that all look for each other; called by the names of their hosts."""

    def __init__(self, hosts: int, *, timing: str = "local", seed: int = 0) -> None:
        self.lab = Lab(hosts, seed=seed)
        self.timing: Timing = getattr(Timing, timing)()
        self.silence_s = self.timing.silence_ms / 1000
        self.nodes: dict[str, NodeProcess] = {}
        self._preset = timing
        self._marked_s = 0.0
        self._marks: dict[str, int] = {}

    def __enter__(self) -> LabCluster:
        self.lab.__enter__()
        for host in self.lab:
            self.nodes[host.name] = host.start_node(timing=self._preset)
        self.await_mesh()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.lab.__exit__(kind, error, trace)

    def __getitem__(self, name: str) -> NodeProcess:
        return self.nodes[name]

    @property
    def mesh(self) -> dict[str, str]:
        """What everybody sees when all is well."""
        return {name: "".join(sorted(self.nodes.keys() - {name})) for name in self.nodes}

    def views(self) -> dict[str, str]:
        """Who sees whom."""
        return {name: "".join(sorted(node.seen())) for name, node in self.nodes.items()}

    def mark(self) -> None:
        """What is asked from now on counts from now."""
        self._marked_s = time.monotonic()
        for name, node in self.nodes.items():
            node.seen()
            self._marks[name] = len(node.lines)

    def settled_s(self, views: Mapping[str, str], within_s: float) -> float:
        """Wait until the nodes named see exactly that; return how long after the mark the last of them saw so.

        Raises:
            AssertionError: they don't within ``within_s``; the message has what they see, and the faults.
        """
        deadline_s = time.monotonic() + within_s
        while {name: seen for name, seen in self.views().items() if name in views} != dict(views):
            if time.monotonic() > deadline_s:
                faults = "\n".join(f"{at_s:8.3f} s  {what}" for at_s, what in self.lab.log[-10:])
                raise AssertionError(f"within {within_s} s not {views}, but {self.views()}\n{faults}")
            time.sleep(LOOK_S)
        return max(self.nodes[name].changed_s() for name in views) - self._marked_s

    def await_mesh(self) -> float:
        return self.settled_s(self.mesh, FORMED_S_MAX)

    def events(self, name: str) -> list[str]:
        """What a node has told since the mark, of nodes that came and went."""
        node = self.nodes[name]
        node.seen()
        told = [line.split(" ") for line in node.lines[self._marks.get(name, 0) :]]
        return [" ".join([words[0], words[1][0], *words[2:]]) for words in told if words[0] in ("up", "down")]

    def recover(self) -> None:
        """Undo all faults, and wait until everybody sees everybody."""
        self.lab.heal()
        for host in self.lab:
            host.thaw()
            host.plug()
        self.await_mesh()
