"""Maps with one writer each, copied by everybody: how a node's writes come to all others, and are repaired.

    node a   stream a  {x: 1}            Delta ──gossip──> copies of a on b, c       may be lost
             copy of b {y: 2, z: 3}      Digest ─gossip──> "I am at 43": who is not asks with Fetch over the link
    node b   stream b  {y: 2, z: 3}      Hello, Snapshot ──link──> at node up, and whenever a replica begins
             copy of a {x: 1}

A write goes to everybody at once by a broadcast, which may be lost; a digest every ``digest_ms`` lets that be noticed,
and the writer repairs it over the link. At node up both sides greet and send a snapshot; at node down the copy is
dropped, and the snapshot after the heal brings it back.

Invariant: what ``merge`` was told of a copy, change by change, is what the copy holds.
Rules: nothing but a link tells which stream is a node's present one; what names another stream is dropped. A replica
that ended in order takes its stream along; one that crashed leaves it to its successor, which begins another stream
with what is left of it, for ``ORPHAN_MS``.
Source: Syn, one authority per node; the scopes of pg.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from zmqcluster.ids import Pid
from zmqcluster.protocol.effects import Broadcast, Effect, Emit, Send
from zmqcluster.protocol.entries import Change, Delta, Digest, Entry, Fetch, Hello, Key, Snapshot
from zmqcluster.protocol.streams import Copy, Stream

__all__ = ["DIGEST_MS", "ORPHAN_MS", "ReplicaJoined", "Replication"]

DIGEST_MS = 500  # a lost broadcast is repaired within this and one round trip
ORPHAN_MS = 2_000  # a supervisor starts the next replica within milliseconds, unless it has given up


@dataclass(frozen=True, slots=True)
class ReplicaJoined:
    """To the host: say ``on_replica_down`` when this one has ended."""

    replica: Pid


class Replication:
    """One replica's stream, and its copies of the others. ``me`` is its pid: each start of a replica has another one.

    A subclass writes with ``_put`` and ``_drop``, and says in ``merge`` what follows from the changes of others. The
    host watches the processes of its node that hold something: ``touched`` are those of whom that may have changed.
    """

    def __init__(self, me: Pid, *, digest_ms: int = DIGEST_MS) -> None:
        self.me = me
        self.touched: dict[Pid, None] = {}
        self._own = Stream(me)
        self._held: dict[Pid, dict[Key, None]] = {}  # keys of each process of this node
        self._copies: dict[str, Copy | None] = {}  # of the nodes that are up; None: its replica is not known yet
        self._greeted: dict[str, Pid] = {}  # the replica that got our snapshot in this session
        self._fetches: dict[str, tuple[int, int]] = {}  # what was asked for last, and until when it is not asked again
        self._snapshots: dict[str, tuple[int, int]] = {}  # the last one sent, and until when it is not repeated
        self._orphans: dict[str, int] = {}  # nodes whose replica crashed, and until when its successor is waited for
        self._digest_ms = digest_ms
        self._digest_at_ms = 0

    def merge(self, copy: Copy, changes: list[Change], now_ms: int) -> list[Effect]:
        """``changes`` were made to ``copy``, in their order; what follows?"""
        raise NotImplementedError

    def merge_all(self, copy: Copy, changes: list[Change], now_ms: int) -> list[Effect]:
        """As ``merge``, where ``copy`` was compared as a whole, in no order: its node came, or went."""
        return self.merge(copy, changes, now_ms)

    def adopt(self, before: Replication, is_alive: Callable[[Pid], bool], now_ms: int) -> list[Effect]:
        """Take up what the processes of this node hold in ``before``, the core of a replica here that crashed.

        Call it first of all. What other nodes hold comes anew.
        """
        raise NotImplementedError

    # --- the processes of this node

    def remove_pid(self, pid: Pid) -> list[Effect]:
        """A process of this node has ended: it holds nothing any more."""
        raise NotImplementedError

    def is_holder(self, pid: Pid) -> bool:
        """Whether ``pid``, a process of this node, holds any key."""
        return pid in self._held

    def _put(self, key: Key, entry: Entry) -> None:
        self._own.put(key, entry)
        self._held.setdefault(entry.pid, {})[key] = None
        self.touched[entry.pid] = None

    def _drop(self, key: Key) -> None:
        pid = self._own.entries[key].pid
        self._own.drop(key)
        keys = self._held[pid]
        del keys[key]
        if not keys:
            del self._held[pid]
        self.touched[pid] = None

    def flush(self) -> list[Effect]:
        """Tell the others what was written since the last flush; call it once per batch of requests."""
        deltas = self._own.unsent()
        return [Broadcast(delta) for delta in deltas] if self._copies else []

    # --- what the network brings

    def on_node_up(self, peer: str, now_ms: int) -> list[Effect]:
        if peer in self._copies:
            return []
        self._copies[peer] = None
        return [Send(peer, Hello(self.me))]

    def on_node_down(self, peer: str, now_ms: int) -> list[Effect]:
        copy = self._copies.pop(peer, None)
        for known in (self._greeted, self._fetches, self._snapshots, self._orphans):
            known.pop(peer, None)
        return self.merge_all(copy, copy.clear(), now_ms) if copy else []

    def on_replica_down(self, replica: Pid, is_final: bool, now_ms: int) -> list[Effect]:
        """``replica``, of another node, has ended; ``is_final``: in order, so that none follows."""
        copy = self._copies.get(replica.node)
        if copy is None or copy.pid != replica:
            return []
        if not is_final:
            self._orphans[replica.node] = now_ms + ORPHAN_MS
            return []
        return self._lose(replica.node, now_ms)

    def on_message(self, peer: str, message: Any, now_ms: int) -> list[Effect]:
        if peer not in self._copies:
            return []  # gossip of a node that is not up yet, or no more
        match message:
            case Delta():
                return self._on_delta(peer, message, now_ms)
            case Digest():
                return self._on_digest(peer, message, now_ms)
            case Hello():
                return self._on_hello(peer, message, now_ms)
            case Snapshot():
                return self._on_snapshot(peer, message, now_ms)
            case Fetch():
                return self._on_fetch(peer, message, now_ms)
        return []

    def on_tick(self, now_ms: int) -> list[Effect]:
        if now_ms < self._digest_at_ms:
            return []
        self._digest_at_ms = now_ms + self._digest_ms
        overdue = [peer for peer, until_ms in self._orphans.items() if until_ms <= now_ms]
        lost = [effect for peer in overdue for effect in self._lose(peer, now_ms)]
        return [*lost, *self.flush(), Broadcast(self._own.digest())] if self._copies else lost

    def deadline_ms(self) -> int | None:
        return self._digest_at_ms

    # --- messages

    def _on_hello(self, peer: str, hello: Hello, now_ms: int) -> list[Effect]:
        if self._greeted.get(peer) == hello.stream:
            return []
        self._greeted[peer] = hello.stream
        return [Send(peer, Hello(self.me)), *self._snapshot_to(peer, now_ms), Emit(ReplicaJoined(hello.stream))]

    def _snapshot_to(self, peer: str, now_ms: int) -> list[Effect]:
        self._snapshots[peer] = (self._own.sequence, now_ms + self._digest_ms)
        return [Send(peer, part) for part in self._own.snapshot()]

    def _on_snapshot(self, peer: str, snapshot: Snapshot, now_ms: int) -> list[Effect]:
        copy = self._copies[peer]
        if copy is None or copy.pid != snapshot.stream:
            copy = self._copies[peer] = Copy(snapshot.stream, copy)
        changes = copy.install(snapshot)
        if copy.sequence >= 0:
            self._orphans.pop(peer, None)
        return self.merge_all(copy, changes, now_ms) if changes else []

    def _on_delta(self, peer: str, delta: Delta, now_ms: int) -> list[Effect]:
        copy = self._copies[peer]
        if copy is None or copy.pid != delta.stream:
            return []
        changes = copy.take(delta)
        if changes is None:
            return self._ask(peer, copy, now_ms)
        return self.merge(copy, changes, now_ms)

    def _on_digest(self, peer: str, digest: Digest, now_ms: int) -> list[Effect]:
        copy = self._copies[peer]
        if copy is None or copy.pid != digest.stream:
            return [Send(peer, Fetch(digest.stream, -1))] if self._may_ask(peer, -1, now_ms) else []
        if copy.sequence < digest.sequence:
            return self._ask(peer, copy, now_ms)
        if copy.sequence == digest.sequence and copy.entries.checksum != digest.checksum:
            return [Send(peer, Fetch(copy.pid, -1))]
        return []

    def _ask(self, peer: str, copy: Copy, now_ms: int) -> list[Effect]:
        if not self._may_ask(peer, copy.sequence, now_ms):
            return []
        return [Send(peer, Fetch(copy.pid, copy.sequence))]

    def _may_ask(self, peer: str, after: int, now_ms: int) -> bool:
        asked_after, again_at_ms = self._fetches.get(peer, (-2, 0))
        if asked_after == after and now_ms < again_at_ms:
            return False
        self._fetches[peer] = (after, now_ms + self._digest_ms)
        return True

    def _on_fetch(self, peer: str, fetch: Fetch, now_ms: int) -> list[Effect]:
        delta = self._own.since(fetch.after) if fetch.stream == self.me and fetch.after >= 0 else None
        if delta is not None:
            return [Send(peer, delta)]
        sequence, again_at_ms = self._snapshots.get(peer, (-1, 0))
        if sequence == self._own.sequence and now_ms < again_at_ms:
            return []  # it is on its way
        return self._snapshot_to(peer, now_ms)

    def _lose(self, peer: str, now_ms: int) -> list[Effect]:
        """Its replica is gone, the node is not."""
        copy, self._copies[peer] = self._copies[peer], None
        self._orphans.pop(peer, None)
        return self.merge_all(copy, copy.clear(), now_ms) if copy else []
