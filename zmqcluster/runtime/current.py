"""The node of the running process, and the cluster as it sees it.

These work in a process, and in plain asyncio tasks that a process started.
"""

from __future__ import annotations

from typing import cast

from zmqcluster import _core
from zmqcluster._ids import Pid
from zmqcluster.protocol.signs import NodeState
from zmqcluster.runtime.node import Node, NodeKind
from zmqcluster.runtime.subscribers import NodeSelection

__all__ = [
    "connect",
    "disconnect",
    "joined",
    "monitor_node",
    "monitor_nodes",
    "node",
    "node_state",
    "nodes",
    "set_cookie",
]


def node() -> Node:
    """The node that runs this code. Raises NotInProcess elsewhere."""
    return cast(Node, _core.current_scheduler().owner)


def nodes(*kinds: NodeKind) -> list[str]:
    """The names of the connected nodes, sorted; our own and hidden ones are not among them.

    Args:
        kinds: of these kinds instead: ``visible hidden connected known this``; see ``Node.nodes``.
    """
    return node().nodes(*kinds)


def node_state(name: str) -> NodeState:
    """What is thought of a node: up; stalled, it lives but its loop does not turn; suspect, unheard; or down.

    The first three are connected. See docs/failure-detection.md.
    """
    return node().state(name)


async def connect(name: str, *, timeout_s: float = 7.0) -> bool:
    """Connect to a node; return whether it is connected. Sending to it connects too."""
    return await node().connect(name, timeout_s=timeout_s)


def disconnect(name: str) -> bool:
    """End the session with a node; return whether there was one."""
    return node().disconnect(name)


def set_cookie(name: str, cookie: str | bytes) -> None:
    """Dial the node ``name`` with its ``cookie`` instead of ours; see Node.set_cookie."""
    node().set_cookie(name, cookie)


async def joined(min_nodes: int, timeout_s: float) -> None:
    """Wait until at least ``min_nodes`` other nodes are connected. Raises TimeoutError."""
    await node().joined(min_nodes, timeout_s)


def monitor_nodes(flag: bool = True, pid: Pid | None = None, *, node_type: NodeSelection = "visible") -> None:
    """Get (or stop getting) NodeUp and NodeDown messages; each call with True adds a copy of every message.

    Args:
        flag: False ends all that was asked for with the same ``node_type``.
        node_type: of ``visible`` nodes, ``hidden`` ones or ``all``.
    """
    node().monitor_nodes(_core.self() if pid is None else pid, flag, node_type=node_type)


def monitor_node(name: str, flag: bool = True) -> None:
    """Get one NodeDown when the node ``name`` goes, or at once if it cannot be connected to; see Node.monitor_node."""
    node().monitor_node(name, _core.self(), flag)
