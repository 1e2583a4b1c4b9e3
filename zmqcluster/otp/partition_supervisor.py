"""PartitionSupervisor: N copies of one child, and a name for the copy that a key belongs to.

    workers = PartitionSupervisor("workers", (DynamicSupervisor,), partitions=8)     # a child, and a handle
    part = DynamicSupervisor.at(workers.via("DON-7"))                               # always the same copy for one key

    key ── int: key mod N, else: stable hash mod N ──> partition ──> the process that runs there now

For a single process that became a bottleneck, when its work divides by a key. Source: Elixir PartitionSupervisor.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

from zmqcluster import _core
from zmqcluster._ids import Pid
from zmqcluster.core import Stop, hash64
from zmqcluster.errors import AlreadyRegistered, ConfigError, Refusal, UsageError
from zmqcluster.otp.backoff import Backoff
from zmqcluster.otp.child_spec import Child, ChildSpec, child_spec
from zmqcluster.otp.children import ChildInfo, Strategy
from zmqcluster.otp.gen_server import start_process
from zmqcluster.otp.methods import call
from zmqcluster.otp.supervisor import Supervisor
from zmqcluster.protocol.entries import exact

__all__ = ["PartitionSupervisor", "PartitionTree", "PartitionVia"]

WithArguments = Callable[[tuple[Any, ...], int], tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Setup:
    """How a partition supervisor is started; see ``PartitionSupervisor``."""

    name: str
    spec: ChildSpec
    partitions: int
    with_arguments: WithArguments | None
    strategy: Strategy
    max_restarts: int
    max_seconds: float
    backoff: Backoff | None

    def children(self) -> list[ChildSpec]:
        return [
            replace(self.spec, id=str(position), args=self._arguments(position), name=Place(self.name, position))
            for position in range(self.partitions)
        ]

    def _arguments(self, position: int) -> tuple[Any, ...]:
        return self.spec.args if self.with_arguments is None else tuple(self.with_arguments(self.spec.args, position))


@dataclass(slots=True)
class Routes:
    """On the shelf of the node: which process runs in which partition; keys go to the first ``active``."""

    active: int
    pids: dict[int, Pid] = field(default_factory=dict)

    def whereis(self, position: int) -> Pid | None:
        pid = self.pids.get(position)
        return pid if pid is not None and _core.current_scheduler().is_alive(pid) else None


@dataclass(frozen=True, slots=True)
class Place:
    """The name of the process of one partition; see ``Via``."""

    supervisor: str
    position: int

    def whereis(self) -> Pid | None:
        return _routes(self.supervisor).whereis(self.position)

    def register(self, pid: Pid) -> None:
        routes = _routes(self.supervisor)
        present = routes.whereis(self.position)
        if present is not None:
            raise AlreadyRegistered(self, present)
        routes.pids[self.position] = pid

    def unregister(self, pid: Pid) -> None:
        _routes(self.supervisor).pids.pop(self.position, None)


@dataclass(frozen=True, slots=True)
class PartitionVia:
    """The process of the partition that ``key`` belongs to, as a destination; see ``Via``."""

    supervisor: str
    key: Any

    def whereis(self) -> Pid | None:
        routes = _routes(self.supervisor)
        number = self.key if type(self.key) is int else hash64(exact(self.key))
        return routes.whereis(number % routes.active)

    def register(self, pid: Pid) -> None:
        raise UsageError(f"{self!r} is a place of its supervisor's children: nobody else registers there")

    unregister = register


class PartitionTree(Supervisor):
    """The process behind a PartitionSupervisor."""

    async def init(self, setup: Setup) -> Stop | None:  # type: ignore[override]
        self._setup = setup
        _core.current_scheduler().shelf[shelf_key(setup.name)] = Routes(setup.partitions)
        return await super().init(
            setup.children(),
            strategy=setup.strategy,
            max_restarts=setup.max_restarts,
            max_seconds=setup.max_seconds,
            backoff=setup.backoff,
        )

    @call
    async def resize(self, partitions: int) -> int:
        """Route to the first ``partitions`` only, and run only them; return how many there were."""
        if type(partitions) is not int or not 1 <= partitions <= self._setup.partitions:
            raise Refusal(
                ConfigError(f"partitions is an int from 1 to {self._setup.partitions}, as started, not {partitions!r}")
            )
        routes = _routes(self._setup.name)
        before = routes.active
        routes.active = min(before, partitions)
        for position in range(partitions, before):
            await Supervisor.terminate_child.function(self, str(position))
        for position in range(before, partitions):
            await Supervisor.restart_child.function(self, str(position))
        routes.active = partitions
        return before

    async def terminate(self, reason: Any) -> None:
        await super().terminate(reason)
        _core.current_scheduler().shelf.pop(shelf_key(self._setup.name), None)


class PartitionSupervisor:
    """Handle to a partition supervisor, and, in a supervisor's children, what starts it.

    Args:
        name: its local name, and how handles find it.
        child: what runs in each partition; it has no name of its own. A handle needs none.
        partitions: how many; by default the number of cores.
        with_arguments: ``with_arguments(args, position)`` gives the arguments of one partition.
    """

    __slots__ = ("_setup", "name")

    def __init__(
        self,
        name: str,
        child: Child | None = None,
        *,
        partitions: int | None = None,
        with_arguments: WithArguments | None = None,
        strategy: Strategy = "one_for_one",
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        backoff: Backoff | None = None,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise ConfigError(f"a partition supervisor is named by a non-empty string, not {name!r}")
        count = (os.cpu_count() or 1) if partitions is None else partitions
        if type(count) is not int or count < 1:
            raise ConfigError(f"{name}: partitions is an int of at least 1, not {partitions!r}")
        if with_arguments is not None and not callable(with_arguments):
            raise ConfigError(f"{name}: with_arguments is a function of (args, position), not {with_arguments!r}")
        spec = None if child is None else child_spec(child)
        if spec is not None and spec.name is not None:
            raise ConfigError(f"{name}: its children cannot all be named {spec.name!r}")
        self.name = name
        self._setup: Setup | None = None
        if spec is not None:
            self._setup = Setup(name, spec, count, with_arguments, strategy, max_restarts, max_seconds, backoff)

    def child_spec(self) -> ChildSpec:
        return ChildSpec(self.name, PartitionTree, (self._started_with(),), name=self.name)

    async def start_link(self) -> PartitionSupervisor:
        """Start it linked to the running process, where there is no supervisor. Raises AlreadyStarted, StartFailed."""
        await start_process(PartitionTree, (self._started_with(),), {}, name=self.name, link=True)
        return self

    def _started_with(self) -> Setup:
        if self._setup is None:
            raise ConfigError(f"partition supervisor {self.name!r}: say which child it starts")
        return self._setup

    def via(self, key: Any) -> PartitionVia:
        """The process of the partition of ``key``, as a destination; an int is taken modulo, anything else hashed."""
        return PartitionVia(self.name, key)

    def partitions(self) -> int:
        """How many partitions keys are routed to. Raises UsageError where it does not run."""
        return _routes(self.name).active

    async def resize(self, partitions: int) -> int:
        """Use only the first ``partitions``, at most as many as at the start; the others are stopped, or started again.

        Returns:
            How many there were. Raises ConfigError.
        """
        return await PartitionTree.at(self.name).resize.within(None)(partitions)

    async def which_children(self) -> list[ChildInfo]:
        """The children; their ids are the partitions, "0" to "N-1"."""
        return await PartitionTree.at(self.name).which_children()

    async def count_children(self) -> dict[str, int]:
        """As ``Supervisor.count_children``."""
        return await PartitionTree.at(self.name).count_children()

    def __repr__(self) -> str:
        return f"PartitionSupervisor({self.name!r})"


def shelf_key(name: str) -> str:
    """Where the routes of a partition supervisor are on the shelf of its node."""
    return f"otp.partitions:{name}"


def _routes(name: str) -> Routes:
    scheduler = _core.current_scheduler()
    try:
        return cast(Routes, scheduler.shelf[shelf_key(name)])
    except KeyError:
        raise UsageError(f"no partition supervisor {name!r} runs on {scheduler.node}") from None
