"""The node of the running process, and the cluster as it sees it.

These work in a process, and in plain asyncio tasks that a process started.
"""

from __future__ import annotations

from typing import cast

from zmqcluster import _core
from zmqcluster._ids import Pid
from zmqcluster.runtime.node import Node

__all__ = ["connect", "disconnect", "joined", "monitor_nodes", "node", "nodes"]


def node() -> Node:
    """The node that runs this code. Raises NotInProcess elsewhere."""
    return cast(Node, _core.current_scheduler().owner)


def nodes() -> list[str]:
    """The names of the connected nodes, sorted; our own is not among them."""
    return node().nodes()


async def connect(name: str, *, timeout_s: float = 7.0) -> bool:
    """Connect to a node; return whether it is connected. Sending to it connects too."""
    return await node().connect(name, timeout_s=timeout_s)


def disconnect(name: str) -> bool:
    """End the session with a node; return whether there was one."""
    return node().disconnect(name)


async def joined(min_nodes: int, timeout_s: float) -> None:
    """Wait until at least ``min_nodes`` other nodes are connected. Raises TimeoutError."""
    await node().joined(min_nodes, timeout_s)


def monitor_nodes(flag: bool = True, pid: Pid | None = None) -> None:
    """Get (or stop getting) NodeUp and NodeDown messages; each call with True adds a copy of every message."""
    node().monitor_nodes(_core.self() if pid is None else pid, flag)
