"""Names that all nodes know: each node writes those of its own processes, and everybody copies them.

    node a   stream a  {x: P1}            view  {x: P1, y: P2, z: P2}      what lookups read
             copy of b {y: P2, z: P2}
    node b   stream b  {y: P2, z: P2}     view  {x: P1, y: P2, z: P2}
             copy of a {x: P1}

How streams come to the other nodes is told in ``replication``.

Invariant: the view holds of each key the claim that comes first, by ``precedence``, among all streams known here. So
nodes that know the same streams have the same view, whatever the order in which they learnt of them. Whose claim comes
second gives it up when he learns of the first: a hidden claim never resurfaces.
Source: Syn. Horde (issue PR #291) deletes the names of a lost node for everybody, itself included, and for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from zmqcluster.errors import AlreadyRegistered, NotRegistered
from zmqcluster.ids import Pid
from zmqcluster.protocol.clock import HybridClock
from zmqcluster.protocol.effects import Effect, Emit
from zmqcluster.protocol.entries import Change, Entry, Key, exact, plain
from zmqcluster.protocol.replication import DIGEST_MS, Replication
from zmqcluster.protocol.streams import Copy

__all__ = ["DIGEST_MS", "Conflict", "Ownership", "precedence"]


@dataclass(frozen=True, slots=True)
class Conflict:
    """``loser``, a process of this node, held ``key`` until its earlier holder became known."""

    key: Any
    value: Any
    loser: Pid
    winner: Pid


def precedence(entry: Entry) -> tuple[int, int, Pid]:
    """Return what orders claims to one key: the least holds it.

    Who registered first. A child of a cluster supervisor has a rank: of two runs of one child the supervisor keeps the
    higher rank, then the smaller node, and the name must stay with the same run.
    """
    return (-entry.rank, 0 if entry.rank else entry.time, entry.pid)


class Ownership(Replication):
    """One replica of a registry of unique names."""

    def __init__(self, me: Pid, *, digest_ms: int = DIGEST_MS) -> None:
        super().__init__(me, digest_ms=digest_ms)
        self.view: dict[Key, Entry] = {}
        self._clock = HybridClock()

    # --- what processes ask

    def register(self, key: Any, pid: Pid, value: Any, now_ms: int, rank: int = 0) -> None:
        """Let ``pid``, a process of this node, hold ``key``; ``flush`` tells the others.

        Raises:
            AlreadyRegistered: a live process holds it, as far as this node knows.
        """
        name = exact(key)
        held = self.view.get(name)
        if held is not None and not (held.pid.node != self.me.node and 0 < held.rank < rank):
            raise AlreadyRegistered(key, held.pid)
        entry = Entry(pid, value, self._clock.next(now_ms), rank)
        self._put(name, entry)
        if held is None:
            self.view[name] = entry
        else:
            self._show(name)

    def unregister(self, key: Any, pid: Pid) -> None:
        """Free ``key``.

        Raises:
            NotRegistered: ``pid`` does not hold it.
        """
        name = exact(key)
        if name not in self._held.get(pid, ()):
            raise NotRegistered(key)
        self._release(name)

    def remove_pid(self, pid: Pid) -> list[Effect]:
        """Free all keys of a process that has ended."""
        for name in list(self._held.get(pid, ())):
            self._release(name)
        return []

    def lookup(self, key: Any) -> tuple[Pid, Any] | None:
        entry = self.view.get(key if type(key) is str else exact(key))
        return None if entry is None else (entry.pid, entry.value)

    def keys_of(self, pid: Pid) -> list[Any]:
        """Return the keys ``pid`` holds. Cost: O(its keys) on its own node, O(all names) elsewhere."""
        if pid.node == self.me.node:
            return [plain(name) for name in self._held.get(pid, ())]
        return [plain(name) for name, entry in self.view.items() if entry.pid == pid]

    def count(self) -> int:
        return len(self.view)

    # --- replicas

    def adopt(self, before: Replication, is_alive: Callable[[Pid], bool], now_ms: int) -> list[Effect]:
        """See ``Replication.adopt``."""
        assert isinstance(before, Ownership)
        for name, entry in before._own.entries.items():
            if is_alive(entry.pid):
                self.register(plain(name), entry.pid, entry.value, now_ms, entry.rank)
        return []

    # --- the view

    def merge(self, copy: Copy, changes: list[Change], now_ms: int) -> list[Effect]:
        """Show what changed in ``copy``, and give up what of ours comes second to it."""
        conflicts: list[Effect] = []
        view, claims, latest = self.view, copy.entries, 0
        for change in changes:
            name = change[0]
            theirs = claims.get(name)
            if theirs is not None and theirs.time > latest:
                latest = theirs.time
            if theirs is not None and name not in view:
                view[name] = theirs  # the usual case: nobody else claims it
                continue
            self._show(name)
            ours = self._own.entries.get(name)
            if ours is not None and view[name] is not ours:
                conflicts.append(self._yield(name, ours))
        self._clock.observe(latest, now_ms)
        return [*self.flush(), *conflicts] if conflicts else []

    def _yield(self, name: Key, ours: Entry) -> Emit:
        winner = self.view[name].pid
        self._release(name)
        return Emit(Conflict(plain(name), ours.value, ours.pid, winner))

    def _release(self, name: Key) -> None:
        self._drop(name)
        self._show(name)

    def _show(self, name: Key) -> None:
        """Put the first of all claims to ``name`` into the view. Cost: O(nodes)."""
        claims = [copy.entries[name] for copy in self._copies.values() if copy and name in copy.entries]
        if (ours := self._own.entries.get(name)) is not None:
            claims.append(ours)
        if not claims:
            self.view.pop(name, None)
        else:
            self.view[name] = claims[0] if len(claims) == 1 else min(claims, key=precedence)
