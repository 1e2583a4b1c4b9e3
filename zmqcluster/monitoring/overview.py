"""A node in one line, and its peers as it sees them: what ``python -m zmqcluster ls`` asks every node for."""

from __future__ import annotations

import time
from dataclasses import dataclass

from zmqcluster import _core
from zmqcluster.cluster.supervisor import PREFIX, ClusterSupervisor
from zmqcluster.core import message
from zmqcluster.runtime.current import node as own_node

__all__ = ["Overview", "PeerOverview", "overview"]


@message(tag="inspect.peer_overview")
@dataclass(frozen=True, slots=True)
class PeerOverview:
    """A connected node: ``state`` is up, stalled or suspect, ``version`` that of the protocol they speak."""

    node: str
    node_type: str
    state: str
    version: int


@message(tag="inspect.overview")
@dataclass(frozen=True, slots=True)
class Overview:
    """A node. ``workers`` are the children of cluster supervisors that run on it; ``clock_ms`` is its Unix time."""

    node: str
    incarnation: int
    clock_ms: int
    processes: int
    workers: int
    peers: tuple[PeerOverview, ...]


def overview() -> Overview:
    """The node that runs this code."""
    scheduler = _core.current_scheduler()
    return Overview(
        scheduler.node,
        scheduler.incarnation,
        time.time_ns() // 1_000_000,
        scheduler.process_count,
        _workers_count(),
        tuple(map(_peer, own_node().nodes("connected"))),
    )


def _peer(name: str) -> PeerOverview:
    node = own_node()
    terms = node.terms(name)
    node_type = "hidden" if name in node.nodes("hidden") else "visible"
    return PeerOverview(name, node_type, node.state(name), terms.version if terms else 0)


def _workers_count() -> int:
    scheduler = _core.current_scheduler()
    scopes = [str(key).removeprefix(PREFIX) for key in scheduler.shelf if str(key).startswith(PREFIX)]
    return sum(
        node == scheduler.node and state == "running"
        for scope in scopes
        for _, node, state in ClusterSupervisor(scope).which_children()
    )
