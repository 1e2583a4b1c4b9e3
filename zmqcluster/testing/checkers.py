"""What must hold of a cluster, said apart from the protocols that make it hold.

    safety     at all times, faults or not:  alternating, only_connected_names, contiguous
    liveness   some time after the last heal: full_mesh, one_process_per_id, names_resolve, equal_views

A checker takes plain values, collected by whoever runs the nodes: a simulation, or real processes in network
namespaces. It returns the violations, sorted; an empty list says that all is well.
Rule: a checker knows nothing of how a thing is done, so a bug there cannot hide one here.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import pairwise

from zmqcluster.ids import Pid
from zmqcluster.testing.trace import Entry

__all__ = [
    "alternating",
    "contiguous",
    "equal_views",
    "full_mesh",
    "names_resolve",
    "one_process_per_id",
    "only_connected_names",
]

Violations = list[str]


def one_process_per_id(ids: Iterable[str], running: Mapping[str, Sequence[Pid]]) -> Violations:
    """Each of ``ids`` has exactly one live process over all nodes, and no other id has any."""
    expected = dict.fromkeys(ids)
    found = [f"{child_id}: no process runs" for child_id in expected if not running.get(child_id)]
    for child_id, pids in running.items():
        if pids and child_id not in expected:
            found.append(f"{child_id}: runs at {_places(pids)} but nobody asked for it")
        elif len(pids) > 1:
            found.append(f"{child_id}: {len(pids)} processes run, at {_places(pids)}")
    return sorted(found)


def names_resolve(
    names: Iterable[Hashable],
    running: Mapping[str, Sequence[Pid]],
    views: Mapping[str, Mapping[Hashable, Pid | None]],
) -> Violations:
    """On every node every name leads to the live process of that id.

    Args:
        names: what must resolve; a name is its child's id.
        running: the live processes of each id, over all nodes.
        views: of each node, what it answers to a lookup of each name.
    """
    found = []
    for name in names:
        alive = running.get(str(name), ())
        for node in sorted(views):
            pid = views[node].get(name)
            if pid is None:
                found.append(f"{name}: unknown at {node}")
            elif pid not in alive:
                found.append(f"{name}: at {node} it leads to {pid}, which is not its live process")
    return sorted(found)


def full_mesh(views: Mapping[str, Sequence[str]]) -> Violations:
    """Every node is connected to every other; ``views`` are the peers that each one sees."""
    found = []
    for node, seen in views.items():
        missing = [peer for peer in sorted(views) if peer != node and peer not in seen]
        strange = [peer for peer in seen if peer not in views]
        found += [f"{node}: not connected to {peer}" for peer in missing]
        found += [f"{node}: connected to {peer}, which is not there" for peer in strange]
    return sorted(found)


def equal_views(what: str, views: Mapping[str, object]) -> Violations:
    """All nodes answer alike; the first of them by name is the measure."""
    measure, *others = sorted(views)
    return [f"{what}: {node} and {measure} differ" for node in others if views[node] != views[measure]]


def only_connected_names(
    connected: Mapping[str, Sequence[str]], views: Mapping[str, Mapping[Hashable, Pid | None]]
) -> Violations:
    """No node resolves a name to a node that it is not connected to: those names left with the nodedown."""
    found = []
    for node, view in views.items():
        here = {node, *connected.get(node, ())}
        for name, pid in view.items():
            if pid is not None and pid.node not in here:
                found.append(f"{name}: at {node} it leads to {pid.node}, which is not connected")
    return sorted(found)


def alternating(entries: Iterable[Entry]) -> Violations:
    """At each start of a node, nodeup and nodedown of each peer take turns, nodeup first.

    A trace has them as ``node_up b`` and ``node_down b``, and a node's start as ``start``.
    """
    found = []
    up: dict[tuple[str, str], bool] = {}
    for entry in entries:
        kind, _, peer = entry.event.partition(" ")
        if kind == "start":
            up = {pair: is_up for pair, is_up in up.items() if pair[0] != entry.node}
        elif kind in ("node_up", "node_down"):
            pair, is_up = (entry.node, peer), kind == "node_up"
            if up.get(pair, False) == is_up:
                found.append(f"{entry.node}: {kind} of {peer} at {entry.at_ms} ms does not alternate")
            up[pair] = is_up
    return found


def contiguous(received: Mapping[str, Sequence[int]]) -> Violations:
    """Of what was numbered by its sender, each session brought a run without gap, repeat or exchange.

    Args:
        received: of each session, the numbers in the order in which they arrived.
    """
    found = []
    for session, numbers in received.items():
        for before, after in pairwise(numbers):
            if after != before + 1:
                found.append(f"{session}: {after} follows {before}")
    return sorted(found)


def _places(pids: Sequence[Pid]) -> str:
    return ", ".join(sorted(str(pid) for pid in pids))
