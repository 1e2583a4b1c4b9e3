"""Names that any node can resolve: ``ClusterRegistry``.

    names = ClusterRegistry("finance.names")             # in the children of a supervisor on each node, and as a handle
    await names.register("DON-7")                        # the running process, now findable on every node
    worker = DonationWorker.at(names.via("DON-7"))       # resolved anew at each call

A lookup reads this node's memory, whoever owns the name. A process is registered by the registry of its own node, which
alone writes and removes its names: after ``register`` a lookup on the same node finds it, other nodes some milliseconds
later. A name goes when its process ends, and from a node's view when its node is lost.

In a partition both sides may register one name. When it heals, the process that registered first keeps it; the other
gets the exit ``NameConflict(key, value, registry, winner)``: it ends in order, or traps exits and hands its state over.
Not for what must never run twice: that needs a majority to agree.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, cast

from zmqcluster import _core
from zmqcluster.cluster.replica import replica_name, shelved
from zmqcluster.cluster.writer import Writer
from zmqcluster.core import encode, message
from zmqcluster.errors import AlreadyRegistered, EncodeError, NoProcessError, NotRegistered, Refusal
from zmqcluster.exits import NameConflict
from zmqcluster.ids import Pid
from zmqcluster.otp.child_spec import ChildSpec
from zmqcluster.otp.methods import DEFAULT_TIMEOUT_S, call
from zmqcluster.protocol.entries import exact
from zmqcluster.protocol.ownership import Conflict, Ownership
from zmqcluster.runtime.process import Destination, exit, is_alive

__all__ = ["ClusterRegistry", "RegistryServer", "RegistryVia"]

log = logging.getLogger("zmqcluster.cluster")

PREFIX = "zmqcluster.registry:"  # of the local name of every replica


class RegistryServer(Writer):
    """The replica of one registry on one node."""

    BATCH_S = 0.001  # a name is seen elsewhere a millisecond later, and many go out together

    def init(self, scope: str) -> None:
        self._scope = scope
        self._names = Ownership(_core.self())
        self.run_writer(PREFIX + scope, self._names)

    @call
    def register(self, key: Any, pid: Pid, value: Any, rank: int) -> None:
        """Let ``pid``, a process of this node, hold ``key``."""
        try:
            if value is not None:
                encode(value)
            if not is_alive(pid):
                raise NoProcessError(pid)
            self._names.register(key, pid, value, self.now_ms(), rank)
        except (AlreadyRegistered, EncodeError, NoProcessError) as problem:
            raise Refusal(problem) from None
        self.on_written()
        self.flush_soon()

    @call
    def unregister(self, key: Any, pid: Pid) -> None:
        """Free ``key``, held by ``pid``."""
        try:
            self._names.unregister(key, pid)
        except (NotRegistered, EncodeError) as problem:
            raise Refusal(problem) from None
        self.on_written()
        self.flush_soon()

    def on_event(self, event: Any) -> None:
        if not isinstance(event, Conflict):
            super().on_event(event)
            return
        log.info("%s: %r has %r, which %r must give up", self._name, event.winner, event.key, event.loser)
        exit(event.loser, NameConflict(event.key, event.value, self._scope, event.winner))


@message(tag="names.via")
@dataclass(frozen=True, slots=True)
class RegistryVia:
    """The process that holds ``key`` in the registry ``scope``, whoever that is when it is used; see ``Via``."""

    scope: str
    key: Any
    rank: int = 0

    def whereis(self) -> Pid | None:
        try:
            names = _core.current_scheduler().shelf[PREFIX + self.scope]
        except KeyError:
            names = shelved(PREFIX + self.scope)
        key = self.key
        entry = names.view.get(key if type(key) is str else exact(key))
        return None if entry is None else entry.pid

    def register(self, pid: Pid) -> Awaitable[None]:
        return ClusterRegistry(self.scope).register(self.key, pid, rank=self.rank)

    def unregister(self, pid: Pid) -> Awaitable[None]:
        return ClusterRegistry(self.scope).unregister(self.key, pid)

    def ranked(self, rank: int) -> RegistryVia:
        """Return the same name for a process that takes it from those of a lower rank."""
        return RegistryVia(self.scope, self.key, rank)


class ClusterRegistry:
    """Handle to the registry ``scope``, and, in a supervisor's children, what starts its replica on a node.

    Keys are any values that can be sent, compared exactly: 1, 1.0 and True are three. Methods raise UsageError on a
    node where no replica runs.
    """

    __slots__ = ("_name", "scope")

    def __init__(self, scope: str) -> None:
        self._name = replica_name(PREFIX, scope, "a registry")
        self.scope = scope

    def child_spec(self) -> ChildSpec:
        return ChildSpec(self._name, RegistryServer, (self.scope,), name=self._name)

    def register(self, key: Any, pid: Pid | None = None, value: Any = None, *, rank: int = 0) -> Awaitable[None]:
        """``await`` it: let ``pid``, by default the running process, hold ``key``.

        Raises:
            AlreadyRegistered: a process holds it, maybe this one.
            EncodeError: the key or the value cannot be sent.
            NoProcessError: ``pid`` has ended.
            NoConnectionError: the node of ``pid`` cannot be reached. It may be registered.
            CallTimeout: no answer; it may still be registered.
        """
        holder = _core.self() if pid is None else pid
        return self._ask_writer(holder, (key, holder, value, rank), "register")

    def unregister(self, key: Any, pid: Pid | None = None) -> Awaitable[None]:
        """``await`` it: free ``key``, held by ``pid``, by default the running process; else raises NotRegistered."""
        holder = _core.self() if pid is None else pid
        return self._ask_writer(holder, (key, holder), "unregister")

    def lookup(self, key: Any) -> tuple[Pid, Any] | None:
        """Return who holds ``key``, and the value it registered, as far as this node knows; no message is sent."""
        try:
            names = _core.current_scheduler().shelf[self._name]
        except KeyError:
            names = shelved(self._name)
        entry = names.view.get(key if type(key) is str else exact(key))
        return None if entry is None else (entry.pid, entry.value)

    def whereis(self, key: Any) -> Pid | None:
        """Return who holds ``key``, as far as this node knows."""
        found = self.lookup(key)
        return None if found is None else found[0]

    def via(self, key: Any) -> RegistryVia:
        """Return ``key`` as a destination, and as the ``name=`` of a server."""
        return RegistryVia(self.scope, key)

    def keys(self, pid: Pid | None = None) -> list[Any]:
        """Return the keys ``pid``, by default the running process, holds as far as this node knows."""
        return self._names().keys_of(_core.self() if pid is None else pid)

    def count(self) -> int:
        """Return how many names there are, as far as this node knows."""
        return self._names().count()

    def __repr__(self) -> str:
        return f"ClusterRegistry({self.scope!r})"

    def _names(self) -> Ownership:
        return cast(Ownership, shelved(self._name))

    def _ask_writer(self, pid: Pid, arguments: tuple[Any, ...], method: str) -> Awaitable[None]:
        """Call the registry of the process's own node, which alone writes its names."""
        scheduler = _core.current_scheduler()
        dest: Destination = (self._name, pid.node)
        if pid.node == scheduler.node:
            dest = self._name
            if dest not in scheduler.shelf:
                shelved(self._name)
        return scheduler.call(dest, arguments, DEFAULT_TIMEOUT_S, method)
