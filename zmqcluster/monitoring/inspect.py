"""Look at a node: its processes, supervision trees, registries and connections, as plain data.

    zc.inspect.processes(order="queued", count=10)           # this node, at once, no message is sent
    await zc.inspect.at("orders@10.0.0.7").tree()            # another one: asks the inspector there

Every node with a name that ``zc.run`` starts runs an inspector, the server ``zmqcluster.inspector``. What is shown was
true at one moment of that node; nobody is suspended or called for it, so a server that hangs can be looked at too. It
all can be sent, and printed as JSON after ``dataclasses.asdict``. Source: observer_backend, LiveDashboard.
"""

from __future__ import annotations

import asyncio
import heapq
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal, get_args

from zmqcluster import _core
from zmqcluster._ids import Pid
from zmqcluster.cluster.registry import ClusterRegistry
from zmqcluster.core import Call, NoReply, Scheduler, message
from zmqcluster.errors import ConfigError, Refusal, UsageError
from zmqcluster.monitoring.diagnosis import Diagnosis, diagnose
from zmqcluster.monitoring.overview import Overview, PeerOverview, overview
from zmqcluster.monitoring.tree import Branch, tree
from zmqcluster.otp.gen_server import GenServer, reply
from zmqcluster.otp.methods import call
from zmqcluster.otp.registry import Registry
from zmqcluster.otp.registry_table import Table
from zmqcluster.protocol.groups import Memberships
from zmqcluster.protocol.ownership import Ownership
from zmqcluster.protocol.presence import Presences
from zmqcluster.runtime.current import node as own_node
from zmqcluster.runtime.process import spawn

__all__ = [
    "Branch",
    "Diagnosis",
    "Inspector",
    "NodeInfo",
    "Order",
    "Overview",
    "Peer",
    "PeerOverview",
    "ProcessInfo",
    "RegistryInfo",
    "at",
    "diagnose_at",
    "diagnose_here",
    "node",
    "overview",
    "process",
    "processes",
    "registries",
    "serve",
    "tree",
]

NAME = "zmqcluster.inspector"
CHUNK = 500  # processes that the inspector looks at in one turn; a turn is a millisecond or two

Order = Literal["pid", "queued", "memory_bytes"]


@message(tag="inspect.process")
@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """A process. ``label`` is what it was given, else the name of its server class or function.

    ``status`` is running, ready, waiting, suspended or hibernated; ``current`` the function and line where a coroutine
    waits, None for a server between two messages; ``memory_bytes`` without the values it refers to.
    """

    pid: Pid
    names: tuple[str, ...]
    label: str
    status: str
    queued: int
    bound: int | None
    memory_bytes: int
    links: tuple[Pid, ...]
    monitors: tuple[Any, ...]
    watchers: tuple[Pid, ...]
    trap_exits: bool
    parent: Pid | None
    current: str | None


@message(tag="inspect.peer")
@dataclass(frozen=True, slots=True)
class Peer:
    """A connected node. ``buffered_bytes`` wait here to be sent, ``unacked_count`` envelopes are on their way."""

    node: str
    sent_bytes: int
    received_bytes: int
    buffered_bytes: int
    unacked_count: int


@message(tag="inspect.registry")
@dataclass(frozen=True, slots=True)
class RegistryInfo:
    """A registry: ``kind`` is unique or duplicate; or cluster, groups or presence, which count those of all nodes."""

    name: str
    kind: str
    count: int


@message(tag="inspect.node")
@dataclass(frozen=True, slots=True)
class NodeInfo:
    """A node as a whole. ``counters`` are of what went wrong on the wire; see ``Node.counters``."""

    name: str
    incarnation: int
    os_pid: int
    processes: int
    names: tuple[str, ...]
    peers: tuple[Peer, ...]
    registries: tuple[RegistryInfo, ...]
    dropped_messages: int
    counters: dict[str, int]


def node() -> NodeInfo:
    """The node that runs this code."""
    scheduler = _core.current_scheduler()
    return NodeInfo(
        scheduler.node,
        scheduler.incarnation,
        os.getpid(),
        scheduler.process_count,
        tuple(scheduler.registered()),
        tuple(_peers(scheduler)),
        tuple(registries()),
        scheduler.dropped_messages,
        dict(own_node().counters),
    )


def _peers(scheduler: Scheduler) -> Iterator[Peer]:
    for name in own_node().nodes():
        link = scheduler.link_of(name)
        if link is not None:
            yield Peer(name, link.sent_bytes, link.received_bytes, link.buffered_bytes, link.unacked_count)


def registries() -> list[RegistryInfo]:
    """The registries that run on this node, in the order of their names."""
    kept = _core.current_scheduler().shelf.items()
    return sorted((_registry(key, value) for key, value in kept if type(value) in REGISTRIES), key=attrgetter("name"))


def _registry(key: str, value: Any) -> RegistryInfo:
    return REGISTRIES[type(value)](key, value)


def _local_registry(_: str, table: Table) -> RegistryInfo:
    return RegistryInfo(table.name, "unique" if table.unique else "duplicate", Registry(table.name).count())


def _cluster_registry(key: str, names: Ownership) -> RegistryInfo:
    scope = key.partition(":")[2]
    return RegistryInfo(scope, "cluster", ClusterRegistry(scope).count())


def _groups(key: str, groups: Memberships) -> RegistryInfo:
    return RegistryInfo(key.partition(":")[2], "groups", len(groups.view))


def _presence(key: str, presences: Presences) -> RegistryInfo:
    return RegistryInfo(key.partition(":")[2], "presence", len(presences.view))


REGISTRIES: dict[type, Callable[[str, Any], RegistryInfo]] = {
    Table: _local_registry,
    Ownership: _cluster_registry,
    Memberships: _groups,
    Presences: _presence,
}


# --- processes


def process(pid: Pid) -> ProcessInfo | None:
    """A process of this node, or None when it has ended."""
    seen = _core.current_scheduler().describe(pid)
    if seen is None:
        return None
    return ProcessInfo(
        pid,
        tuple(seen["names"]),
        str(seen["label"]),
        seen["status"],
        seen["queued"],
        seen["bound"],
        seen["memory"],
        tuple(seen["links"]),
        tuple(seen["monitors"]),
        tuple(seen["watchers"]),
        seen["trap_exits"],
        seen["parent"],
        seen["current"],
    )


def processes(order: Order = "pid", count: int | None = None) -> list[ProcessInfo]:
    """The processes of this node.

    Args:
        order: ``pid``, oldest slot first; ``queued`` or ``memory_bytes``, the largest first.
        count: return so many at most.
    Raises:
        ConfigError: there is no such order.
    Cost: some microseconds for each process of the node.
    """
    found = (process(pid) for pid in _core.current_scheduler().pids())
    return _first(list(filter(None, found)), order, count)


def _first(found: list[ProcessInfo], order: Order, count: int | None) -> list[ProcessInfo]:
    if order not in get_args(Order):
        raise ConfigError(f"processes are ordered by one of {get_args(Order)}, not {order!r}")
    if order == "pid":
        return found[:count]
    return heapq.nlargest(len(found) if count is None else count, found, key=attrgetter(order))


# --- other nodes


class Inspector(GenServer):
    """Answers what this module answers, for other nodes."""

    @call
    def node(self) -> NodeInfo:
        """See ``node``."""
        return node()

    @call
    async def processes(self, order: Order = "pid", count: int | None = None) -> list[ProcessInfo]:
        """See ``processes``. It takes as many turns as there are processes by 500, so the node goes on meanwhile."""
        found: list[ProcessInfo] = []
        for position, pid in enumerate(_core.current_scheduler().pids(), 1):
            if seen := process(pid):
                found.append(seen)
            if position % CHUNK == 0:
                await asyncio.sleep(0)
        try:
            return _first(found, order, count)
        except ConfigError as error:
            raise Refusal(error) from None

    @call
    def process(self, pid: Pid) -> ProcessInfo | None:
        """See ``process``."""
        return process(pid)

    @call
    def tree(self, children_max: int | None = None) -> list[Branch]:
        """See ``tree``."""
        return tree(children_max)

    @call
    def registries(self) -> list[RegistryInfo]:
        """See ``registries``."""
        return registries()

    @call
    def overview(self) -> Overview:
        """See ``overview``."""
        return overview()

    def handle_call(self, request: Any, caller: Call) -> NoReply:
        """See ``diagnose_at``. It takes seconds; others are answered meanwhile."""
        match request:
            case ("diagnose", str(target)):
                spawn(_reply_with_diagnosis, target, caller)
            case _:
                raise Refusal(UsageError(f"the inspector does not answer {request!r}"))
        return NoReply()


async def _reply_with_diagnosis(target: str, caller: Call) -> None:
    reply(caller, await diagnose_here(target))


async def serve() -> None:
    """Start the inspector: a service for ``Node(services=[...])``."""
    await Inspector.start(name=NAME)


async def diagnose_here(target: str) -> Diagnosis:
    """Return why this node does not connect to ``target``; it tries to, and looks at what goes wrong."""
    return await diagnose(target, _clock_ms)


async def diagnose_at(name: str, target: str, timeout_s: float) -> Diagnosis:
    """Return why the node ``name`` does not connect to ``target``."""
    found: Diagnosis = await call((NAME, name), ("diagnose", target), timeout_s=timeout_s)
    return found


async def _clock_ms(name: str) -> int:
    return (await at(name).overview()).clock_ms


def at(name: str) -> Inspector:
    """The inspector of the node called ``name``, which may be our own."""
    return Inspector.at((NAME, name))
