"""A lab: hosts on a switch, processes on the hosts, and the faults between them; see the package."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.netlab import namespaces
from tests.support.netlab.namespaces import sh
from tests.support.node_process import ROOT, NodeProcess

__all__ = ["Host", "Lab"]

LETTERS = "abcdefghijklmnopqrstuvwxyz"
PORT = 7100  # below the ephemeral range, where a dialler could meet itself
TAGS = r"zc(\d+)x\d+[a-z]"
PRIVATE_RUN_DIR = 'mount -t tmpfs -o mode=700 tmpfs "$ZMQCLUSTER_RUN_DIR" && exec "$@"'

_numbers = count(1)


class Host:
    """One host: a namespace with the device eth0, and what runs there."""

    def __init__(self, lab: Lab, name: str, number: int) -> None:
        self.name = name
        self.namespace = f"{lab.tag}{name}"
        self.address = f"10.77.0.{number}"
        self.number = number
        self.node_name = f"{name}@{self.address}:{PORT}"  # also after the host has moved: a name is a name
        self.nodes: list[NodeProcess] = []
        self._lab = lab

    def ip(self, *lines: str) -> None:
        """Run lines of ``ip`` on this host."""
        sh("ip", "-n", self.namespace, "-batch", "-", text="\n".join(lines) + "\n")

    @property
    def prefix(self) -> list[str]:
        """Words that make a command run on this host, with a run directory that other hosts can't see."""
        return ["ip", "netns", "exec", self.namespace, "sh", "-c", PRIVATE_RUN_DIR, "sh"]

    def start_node(self, *, topology: str | None = None, timing: str = "local") -> NodeProcess:
        """Start a node that looks for those of all hosts, or for those of ``topology``."""
        everybody = ",".join(host.node_name for host in self._lab.hosts.values())
        node = NodeProcess(
            self.node_name,
            self._lab.run_dir,
            topology=everybody if topology is None else topology,
            timing=timing,
            prefix=self.prefix,
        )
        self.nodes.append(node)
        return node

    # --- faults of the host

    def freeze(self) -> None:
        """SIGSTOP: a stopped machine, a very long pause."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        self._lab.note(f"{number.name} {self.name}")
        for node in self.nodes:
            node.signal(number)

    def kill(self) -> None:
        """kill -9: the kernel ends the connections."""
        self._lab.note(f"kill {self.name}")
        for node in self.nodes:
            node.__exit__(None, None, None)
        self.nodes.clear()

    def power_off(self) -> None:
        """Nobody is told anything: the cable is dead before the kernel can end a connection."""
        self.unplug()
        self.kill()

    def unplug(self) -> None:
        self._lab.order("port", host=self.number - 1, is_up=False)

    def plug(self) -> None:
        self._lab.order("port", host=self.number - 1, is_up=True)

    def move(self, address: str) -> None:
        """Give the host another address; its connections are of the old one."""
        self._lab.note(f"move {self.name} to {address}")
        self.ip(f"addr del {self.address}/24 dev eth0", f"addr add {address}/24 dev eth0")
        self.address = address


class Lab:
    """``hosts`` hosts called a, b, c ... on one switch.

    Args:
        seed: of all chance on the wires.
    """

    def __init__(self, hosts: int = 3, *, seed: int = 0) -> None:
        self.tag = f"zc{os.getpid()}x{next(_numbers)}"
        self.seed = seed
        self.hosts = {name: Host(self, name, number) for number, name in enumerate(LETTERS[:hosts], 1)}
        self.log: list[tuple[float, str]] = []  # seconds since the start, and the fault
        self._folder = tempfile.TemporaryDirectory(prefix="zc-")  # pytest's own folders are too deep for sockets
        self.run_dir = Path(self._folder.name)
        self._began_s = time.monotonic()
        self._switch: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def __iter__(self) -> Iterator[Host]:
        return iter(self.hosts.values())

    # --- life

    def __enter__(self) -> Lab:
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            faults = (f"{at_s:8.3f} s  {what}" for at_s, what in self.log)
            error.add_note("\n".join([f"lab of seed {self.seed}", *faults]))
        self.close()

    def _open(self) -> None:
        namespaces.sweep(TAGS)
        for host in self:
            namespaces.add(host.namespace)
        near, far = socket.socketpair()
        with far:
            words = [str(far.fileno()), str(self.seed), *(host.namespace for host in self)]
            self._switch = subprocess.Popen(
                [sys.executable, "-m", "tests.support.netlab.switch", *words], pass_fds=[far.fileno()], cwd=ROOT
            )
        self._control = near
        self.order("counts")  # its taps are there when it answers
        for host in self:
            host.ip("link set lo up", f"addr add {host.address}/24 dev eth0", "link set eth0 up")

    def close(self) -> None:
        """End the processes and remove the namespaces. Idempotent."""
        for host in self:
            host.thaw()
            host.kill()
        if self._control is not None:
            self._control.close()
        if self._switch is not None:
            self._switch.wait(5)
        for host in self:
            namespaces.remove(host.namespace)
        self._folder.cleanup()

    def note(self, what: str) -> None:
        """Put ``what`` into the log."""
        self.log.append((time.monotonic() - self._began_s, what))

    def order(self, order: str, **fields: Any) -> Any:
        """Let the switch do something; return its answer."""
        assert self._control is not None
        self.note(" ".join([order, *(f"{name}={value}" for name, value in fields.items())]))
        self._control.sendall(json.dumps({"order": order, **fields}).encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            answer += self._control.recv(65_536)
        return json.loads(answer)

    # --- faults between hosts, which are called by their names: "ab" is a and b

    def _pairs(self, one: Iterable[str], other: Iterable[str], one_way: bool) -> list[tuple[int, int]]:
        there = [(self[a].number - 1, self[b].number - 1) for a in one for b in other if a != b]
        return there if one_way else [*there, *((b, a) for a, b in there)]

    def weather(self, one: Iterable[str], other: Iterable[str], *, one_way: bool = False, **faults: Any) -> None:
        """Set ``wire.Weather`` on the way from ``one`` to ``other``, and back unless ``one_way``."""
        self.order("weather", pairs=self._pairs(list(one), list(other), one_way), **faults)

    def cut(self, one: Iterable[str], other: Iterable[str], *, one_way: bool = False) -> None:
        """Let nothing pass, in silence, as a pulled cable."""
        self.weather(one, other, one_way=one_way, cut=True)

    def mend(self, one: Iterable[str], other: Iterable[str]) -> None:
        """Undo the cuts between these."""
        self.weather(one, other, cut=False)

    def lose(self, share: float) -> None:
        """Lose that share of all frames, on all wires."""
        self.weather(self.hosts, self.hosts, one_way=True, loss=share)

    def split(self, *groups: Iterable[str]) -> None:
        """Cut the groups off from each other."""
        for index, group in enumerate(groups):
            for other in groups[index + 1 :]:
                self.cut(group, other)

    def rate(self, host: str, mbit_s: float | None) -> None:
        """Limit how fast a host receives."""
        self.order("rate", host=self[host].number - 1, mbit_s=mbit_s)

    def reset(self, one: Iterable[str], other: Iterable[str]) -> int:
        """End the TCP connections between these with a RST to both ends; return how many there were."""
        others = list(other)
        pairs = [(self[a].address, self[b].address) for a in one for b in others if a != b]
        return int(self.order("reset", pairs=pairs))

    def heal(self) -> None:
        """Undo every fault on the wires; not those of hosts and ports."""
        self.order("heal")
