"""Many nodes at once, asked by one of our own: who they see, and what runs on them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from zmqcluster.errors import ClusterError, NoProcessError
from zmqcluster.monitoring import inspect
from zmqcluster.monitoring.columns import columns, count
from zmqcluster.monitoring.overview import Overview
from zmqcluster.monitoring.visit import reach
from zmqcluster.runtime.current import node as own_node

__all__ = ["MemberLine", "members_table", "survey", "survey_from"]


@dataclass(frozen=True, slots=True)
class MemberLine:
    """A member of a cluster, as one of its nodes sees it; ``peers`` and ``workers`` None where it did not answer."""

    node: str
    state: str
    node_type: str
    version: int | None
    peers: int | None
    workers: int | None


async def survey(nodes: Iterable[str]) -> dict[str, Overview]:
    """Return the overview of each of ``nodes`` that answers."""
    asked = list(nodes)
    seen = await asyncio.gather(*map(_overview_or_none, asked))
    return {node: overview for node, overview in zip(asked, seen, strict=True) if overview is not None}


async def survey_from(target: str) -> list[MemberLine]:
    """Return ``target`` and all it is connected to, ours excepted, sorted by name.

    Raises:
        ConnectionFailed: ``target`` cannot be reached.
        NoProcessError: it runs no inspector.
    """
    await reach(target)
    try:
        centre = await inspect.at(target).overview()
    except NoProcessError:
        raise NoProcessError(f"{target}: it runs no inspector, start it with zc.run") from None
    own = own_node().name
    peers = [peer for peer in centre.peers if peer.node != own]
    seen = await survey(peer.node for peer in peers)
    lines = [MemberLine(target, "up", "this", None, len(peers), centre.workers)]
    for peer in peers:
        overview = seen.get(peer.node)
        counts = (None, None) if overview is None else (_peers_count(overview, own), overview.workers)
        lines.append(MemberLine(peer.node, peer.state, peer.node_type, peer.version, *counts))
    return sorted(lines, key=lambda line: line.node)


def _peers_count(overview: Overview, own: str | None) -> int:
    return sum(peer.node != own for peer in overview.peers)


async def _overview_or_none(node: str) -> Overview | None:
    try:
        await reach(node)
        return await inspect.at(node).overview()
    except ClusterError:
        return None


def members_table(lines: Sequence[MemberLine]) -> list[str]:
    """Return a header and a line for each member."""
    rows = [
        (each.node, each.state, each.node_type, count(each.version), count(each.peers), count(each.workers))
        for each in lines
    ]
    return columns(("NODE", "STATE", "TYPE", "VERSION", "PEERS", "WORKERS"), rows)
