"""Processes that run once in the cluster, whatever happens to nodes: ``ClusterSupervisor``.

    workers = ClusterSupervisor("finance.workers")       # in the children of a supervisor on each node, and as a handle
    worker = await workers.ensure("DON-7", DonationWorker, "DON-7", name=names.via("DON-7"))
    zakat = await worker.process(1000)

``ensure`` starts the child on the node that the distribution chooses for its id, or finds the one that runs. When that
node is lost another one starts the child anew, within milliseconds of the nodedown; meanwhile a call to its name fails
with NoProcessError, ServerExited or NoConnectionError, and a later one finds it. State is not carried over: ``init``
reads it from where it is kept. In a partition both sides run the child; when it heals one of the two is told to end.

A child that ends is started again as its ``restart`` says, on its node; after ``max_restarts`` within ``max_seconds``
it alone has failed, stays so for all to see, and harms no other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from zmqcluster import _core, telemetry
from zmqcluster.cluster.children import NotLaunched, Overdue, Processes, why
from zmqcluster.cluster.replica import Replica, replica_name, shelved
from zmqcluster.core import Call, Down, Exit, NoReply, encode, message
from zmqcluster.errors import (
    CallTimeout,
    ConfigError,
    NoConnectionError,
    NoProcessError,
    Refusal,
    RestartsExceeded,
    ServerExited,
    StartFailed,
    UsageError,
)
from zmqcluster.exits import is_expected
from zmqcluster.ids import Pid
from zmqcluster.otp.child_spec import ChildSpec
from zmqcluster.otp.gen_server import GenServer, server_name
from zmqcluster.otp.launching import NotStarted, Started
from zmqcluster.otp.methods import call
from zmqcluster.protocol.catalogue import Catalogue
from zmqcluster.protocol.catalogue_messages import (
    ChildFailed,
    Elsewhere,
    Failed,
    Found,
    Later,
    NotFound,
    Refused,
    StartChild,
    StopChild,
    Terminated,
)
from zmqcluster.protocol.children import Plan
from zmqcluster.protocol.placement import Placement, Uniform
from zmqcluster.protocol.replication import ReplicaJoined
from zmqcluster.protocol.restarts import RESTARTS
from zmqcluster.runtime.process import Via, monitor, receive, trap_exits

__all__ = ["ClusterSupervisor", "SupervisorServer"]

log = logging.getLogger("zmqcluster.cluster")

S = TypeVar("S", bound=GenServer)

PREFIX = "zmqcluster.supervisor:"  # of the local name of every replica
VISIBLE_S_MAX = 1.0  # for a name to come by gossip, or by the repair of a lost one (every 0.5 s)
VISIBLE_S_STEP = 0.001
RETRY_S = 0.02  # until a child that is on its way from one node to another is asked for again


@message(tag="children.ensure")
@dataclass(frozen=True, slots=True)
class Ensure:
    """Let the child run; ``hops`` replicas have sent the caller on."""

    id: str
    plan: Plan
    hops: int


@message(tag="children.terminate")
@dataclass(frozen=True, slots=True)
class Terminate:
    """End the child for good."""

    id: str


class SupervisorServer(Replica):
    """The replica of one cluster supervisor on one node, and the parent of the children that run there."""

    def init(self, scope: str, distribution: Placement) -> None:
        name = PREFIX + scope
        before: Catalogue | None = _core.current_scheduler().shelf.get(name)
        trap_exits(True)
        self._processes = Processes()
        self._catalogue = Catalogue(_core.self(), distribution)
        self.run_core(name, self._catalogue)
        if before is not None:
            # The replica before this one crashed and took its children along: they are taken over, here or elsewhere.
            self.perform(self._catalogue.learn(list(before.table.children.values()), self.now_ms()))

    def handle_call(self, request: Any, caller: Call) -> NoReply:
        match request:
            case Ensure(child_id, plan, hops):
                self.perform(self._catalogue.ensure(child_id, plan, caller, hops, self.now_ms()))
            case Terminate(child_id):
                self.perform(self._catalogue.terminate(child_id, caller, self.now_ms()))
            case _:
                raise Refusal(UsageError(f"{self._name} does not answer {request!r}"))
        self.flush_soon()
        return NoReply()

    def on_event(self, event: Any) -> None:
        match event:
            case StartChild():
                self._processes.start(event)
            case StopChild():
                self._processes.stop(event)
            case ReplicaJoined(replica):
                monitor(replica)
            case ChildFailed(child_id, reason):
                log.error("%s: child %r ended too often and stays down: %r", self._name, child_id, reason)
                telemetry.emit("zmqcluster.supervisor.child_failed", name=self._name, child=child_id, reason=reason)

    def on_info(self, message: Any) -> None:
        match message:
            case Started(pid):
                self._on_started(pid)
            case Exit(pid, reason):
                self._on_ended(self._processes.ended(pid), reason)
            case NotStarted(pid, reason):
                self._on_ended(self._processes.ended(pid), why(reason))
            case NotLaunched(run, reason):
                self._on_ended(run, reason)
            case Overdue(run):
                self._processes.kill(run)
            case Down(_, replica, _):
                self.perform(self._catalogue.on_replica_down(replica, self.now_ms()))
        self.flush_soon()

    def _on_started(self, pid: Pid) -> None:
        run = self._processes.run_of(pid)
        if run is not None:
            self.perform(self._catalogue.on_started(run, pid, self.now_ms()))

    def _on_ended(self, run: int | None, reason: Any) -> None:
        if run is not None:
            self.perform(self._catalogue.on_ended(run, reason, self.now_ms()))

    async def terminate(self, reason: Any) -> None:
        """Stop the children, then let the others take them over: no child runs twice."""
        self.perform(self._catalogue.leave())
        while len(self._processes):
            match await receive(lambda message: isinstance(message, Exit | Overdue | NotStarted)):
                case Exit(pid, _) | NotStarted(pid, _):
                    self._processes.ended(pid)
                case Overdue(run):
                    self._processes.kill(run)
        self.perform(self._catalogue.farewell())
        if is_expected(reason):
            self.take_down()


class ClusterSupervisor:
    """Handle to the supervisor ``scope``, and, in a supervisor's children, what starts its replica on a node.

    Args:
        scope: the same on all nodes that run these children.
        distribution: chooses the node of each child; the same on all nodes.
    """

    __slots__ = ("_name", "distribution", "scope")

    def __init__(self, scope: str, *, distribution: Placement | None = None) -> None:
        self._name = replica_name(PREFIX, scope, "a cluster supervisor")
        self.scope = scope
        self.distribution = distribution or Uniform()

    def child_spec(self) -> ChildSpec:
        return ChildSpec(
            self._name, SupervisorServer, (self.scope, self.distribution), name=self._name, shutdown_s=None
        )

    async def ensure(
        self,
        child_id: str,
        server: type[S],
        *args: Any,
        kwargs: Mapping[str, Any] | None = None,
        name: Via | str | None = None,
        restart: str = "permanent",
        shutdown_s: float = 5.0,
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        timeout_s: float = 5.0,
    ) -> S:
        """Let the child ``child_id`` run, and return a handle to it: to its name if that is a Via, else to its pid.

        The name resolves here when this returns, unless the child has been lost meanwhile. If it runs, whatever it was
        started with, nothing is started. Once this has returned the child survives the loss
        of any one node.

        Args:
            args, kwargs: for the server's init, wherever and however often it starts.
            restart: ``permanent``, ``transient`` or ``temporary``; a temporary child is not moved from a lost node.
        Raises:
            StartFailed: its first init failed, or its name is taken; there is no such child.
            RestartsExceeded: it has failed; ``terminate`` it to be able to start it again.
            CallTimeout: no member answered in time; it may still be started.
            ConfigError, EncodeError: it cannot be started elsewhere.
            UsageError: the supervisor does not run on this node.
        """
        pid = self._catalogue().found(child_id)
        if pid is None:
            plan = _plan(server, args, kwargs, name, restart, shutdown_s, max_restarts, max_seconds)
            answer = await self._ask(lambda hops: Ensure(child_id, plan, hops), timeout_s)
            match answer:
                case Found():
                    pid = answer.pid
                case Failed():
                    raise RestartsExceeded(child_id, answer.max_restarts, answer.max_restarts_ms / 1000)
                case Refused():
                    raise StartFailed(server.__name__, answer.reason)
        if name is None or isinstance(name, str):
            return server.at(cast(Pid, pid))
        await _visible(name)
        return server.at(name)

    async def terminate(self, child_id: str, *, timeout_s: float = 5.0) -> bool:
        """End the child for good; return whether there was one. It has ended when this returns.

        Raises:
            CallTimeout: no member answered in time; it may still end.
        """
        answer = await self._ask(lambda hops: Terminate(child_id), timeout_s)
        return isinstance(answer, Terminated)

    def which_children(self) -> list[tuple[str, str, str]]:
        """Return (id, node, state) of every child, sorted, as far as this node knows."""
        return sorted(self._catalogue().which())

    def count(self) -> int:
        """Return how many children there are, as far as this node knows."""
        return len(self._catalogue().which())

    def where(self, child_id: str) -> Pid | None:
        """Return the pid of the child's process, None while it has none, as far as this node knows."""
        return self._catalogue().where(child_id)

    def members(self) -> list[str]:
        """Return the nodes that run this supervisor and are connected, this one included, sorted."""
        return list(self._catalogue().replicas.nodes)

    def __repr__(self) -> str:
        return f"ClusterSupervisor({self.scope!r})"

    def _catalogue(self) -> Catalogue:
        return cast(Catalogue, shelved(self._name))

    async def _ask(self, request: Any, timeout_s: float) -> Found | Failed | Refused | Terminated | NotFound:
        """Ask this node's replica, then whom it names, until one answers for good."""
        scheduler = _core.current_scheduler()
        deadline_s = scheduler.loop.time() + timeout_s
        node, hops = scheduler.node, 0
        while (left_s := deadline_s - scheduler.loop.time()) > 0:
            try:
                answer = await call((self._name, node), request(hops), timeout_s=left_s)
            except (NoProcessError, ServerExited, NoConnectionError):
                answer = Later()  # that node is being lost; ours will know in a moment
            if isinstance(answer, Elsewhere):
                node, hops = answer.node, hops + 1
            elif isinstance(answer, Later):
                await asyncio.sleep(RETRY_S)
                node, hops = scheduler.node, 0
            else:
                return cast("Found | Failed | Refused | Terminated | NotFound", answer)
        raise CallTimeout(self, timeout_s)


def _plan(
    server: type[GenServer],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None,
    name: Via | str | None,
    restart: str,
    shutdown_s: float,
    max_restarts: int,
    max_seconds: float,
) -> Plan:
    if not (isinstance(server, type) and issubclass(server, GenServer)):
        raise ConfigError(f"a cluster supervisor starts GenServer classes, not {server!r}")
    if restart not in RESTARTS:
        raise ConfigError(f"restart is one of {tuple(RESTARTS)}, not {restart!r}")
    plan = Plan(
        server_name(server),
        args,
        None if kwargs is None else dict(kwargs),
        name,
        restart,
        round(shutdown_s * 1000),
        max_restarts,
        round(max_seconds * 1000),
    )
    encode(plan)  # the mistake is the caller's, wherever the child would start
    return plan


async def _visible(name: Via) -> None:
    """Wait until the name of a child that runs has come to this node: it travels as gossip, or with the next repair."""
    until_s = asyncio.get_running_loop().time() + VISIBLE_S_MAX
    while name.whereis() is None and asyncio.get_running_loop().time() < until_s:
        await asyncio.sleep(VISIBLE_S_STEP)
