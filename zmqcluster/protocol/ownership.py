"""Names that all nodes know: each node writes those of its own processes, and everybody copies them.

    node a   stream a  {x: P1}            view  {x: P1, y: P2, z: P2}      what lookups read
             copy of b {y: P2, z: P2}
    node b   stream b  {y: P2, z: P2}     view  {x: P1, y: P2, z: P2}
             copy of a {x: P1}

A write goes to everybody at once by a broadcast, which may be lost; a digest every ``digest_ms`` lets that be noticed,
and the writer repairs it over the link. At node up both sides greet and send a snapshot; at node down the copy is
dropped, and the snapshot after the heal brings it back.

Invariant: the view holds of each key the claim that comes first, by ``precedence``, among all streams known here. So
nodes that know the same streams have the same view, whatever the order in which they learnt of them. Whose claim comes
second gives it up when he learns of the first: a hidden claim never resurfaces.
Rules: nothing but a link tells which stream is a node's present one; what names another stream is dropped.
Source: Syn. Horde (issue PR #291) deletes the names of a lost node for everybody, itself included, and for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zmqcluster.errors import AlreadyRegistered, NotRegistered
from zmqcluster.ids import Pid
from zmqcluster.protocol.clock import HybridClock
from zmqcluster.protocol.effects import Broadcast, Effect, Emit, Send
from zmqcluster.protocol.entries import Delta, Digest, Entry, Fetch, Hello, Key, Snapshot, exact, plain
from zmqcluster.protocol.streams import Copy, Stream

__all__ = ["DIGEST_MS", "Conflict", "Ownership", "precedence"]

DIGEST_MS = 500  # a lost broadcast is repaired within this and one round trip


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


class Ownership:
    """One replica of a registry of unique names. ``me`` is its pid: each start of a replica has another one."""

    def __init__(self, me: Pid, *, digest_ms: int = DIGEST_MS) -> None:
        self.me = me
        self.view: dict[Key, Entry] = {}
        self._own = Stream(me)
        self._copies: dict[str, Copy | None] = {}  # of the nodes that are up; None: its replica is not known yet
        self._greeted: dict[str, Pid] = {}  # the replica that got our snapshot in this session
        self._fetches: dict[str, tuple[int, int]] = {}  # what was asked for last, and until when it is not asked again
        self._held: dict[Pid, dict[Key, None]] = {}  # keys of each process of this node
        self._clock = HybridClock()
        self._digest_ms = digest_ms
        self._digest_at_ms = 0

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
        self._own.put(name, entry)
        self._held.setdefault(pid, {})[name] = None
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

    def remove_pid(self, pid: Pid) -> None:
        """Free all keys of a process that has ended."""
        for name in list(self._held.get(pid, ())):
            self._release(name)

    def lookup(self, key: Any) -> tuple[Pid, Any] | None:
        entry = self.view.get(key if type(key) is str else exact(key))
        return None if entry is None else (entry.pid, entry.value)

    def keys_of(self, pid: Pid) -> list[Any]:
        """Return the keys ``pid`` holds. Cost: O(its keys) on its own node, O(all names) elsewhere."""
        if pid.node == self.me.node:
            return [plain(name) for name in self._held.get(pid, ())]
        return [plain(name) for name, entry in self.view.items() if entry.pid == pid]

    def is_holder(self, pid: Pid) -> bool:
        """Whether ``pid``, a process of this node, holds any key."""
        return pid in self._held

    def own_entries(self) -> list[tuple[Any, Entry]]:
        """Return the keys the processes of this node hold, and how."""
        return [(plain(name), entry) for name, entry in self._own.entries.items()]

    def count(self) -> int:
        return len(self.view)

    def flush(self) -> list[Effect]:
        """Tell the others what was written since the last flush; call it once per batch of requests."""
        delta = self._own.unsent()
        return [Broadcast(delta)] if delta is not None and self._copies else []

    # --- what the network brings

    def on_node_up(self, peer: str, now_ms: int) -> list[Effect]:
        if peer in self._copies:
            return []
        self._copies[peer] = None
        return [Send(peer, Hello(self.me))]

    def on_node_down(self, peer: str, now_ms: int) -> list[Effect]:
        copy = self._copies.pop(peer, None)
        self._greeted.pop(peer, None)
        self._fetches.pop(peer, None)
        for name in copy.entries if copy else ():
            self._show(name)
        return []

    def on_message(self, peer: str, message: Any, now_ms: int) -> list[Effect]:
        if peer not in self._copies:
            return []  # gossip of a node that is not up yet, or no more
        match message:
            case Delta():
                return self._on_delta(peer, message, now_ms)
            case Digest():
                return self._on_digest(peer, message, now_ms)
            case Hello():
                return self._on_hello(peer, message)
            case Snapshot():
                return self._on_snapshot(peer, message, now_ms)
            case Fetch():
                return self._on_fetch(peer, message)
        return []

    def on_tick(self, now_ms: int) -> list[Effect]:
        if now_ms < self._digest_at_ms:
            return []
        self._digest_at_ms = now_ms + self._digest_ms
        return [*self.flush(), Broadcast(self._own.digest())] if self._copies else []

    def deadline_ms(self) -> int | None:
        return self._digest_at_ms

    # --- messages

    def _on_hello(self, peer: str, hello: Hello) -> list[Effect]:
        if self._greeted.get(peer) == hello.stream:
            return []
        self._greeted[peer] = hello.stream
        return [Send(peer, Hello(self.me)), *self._snapshot_to(peer)]

    def _snapshot_to(self, peer: str) -> list[Effect]:
        return [Send(peer, part) for part in self._own.snapshot()]

    def _on_snapshot(self, peer: str, snapshot: Snapshot, now_ms: int) -> list[Effect]:
        copy = self._copies[peer]
        before: list[Key] = []
        if copy is None or copy.pid != snapshot.stream:
            before = list(copy.entries) if copy else []
            copy = self._copies[peer] = Copy(snapshot.stream)
        touched = copy.install(snapshot)
        return self._merge(copy, before + (touched or []), now_ms)

    def _on_delta(self, peer: str, delta: Delta, now_ms: int) -> list[Effect]:
        copy = self._copies[peer]
        if copy is None or copy.pid != delta.stream:
            return []
        touched = copy.take(delta)
        if touched is None:
            return self._ask(peer, copy, now_ms)
        return self._merge(copy, touched, now_ms)

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

    def _on_fetch(self, peer: str, fetch: Fetch) -> list[Effect]:
        delta = self._own.since(fetch.after) if fetch.stream == self.me and fetch.after >= 0 else None
        return [Send(peer, delta)] if delta is not None else self._snapshot_to(peer)

    # --- the view

    def _merge(self, copy: Copy, touched: list[Key], now_ms: int) -> list[Effect]:
        """Show what changed in ``copy``, and give up what of ours comes second to it."""
        conflicts: list[Effect] = []
        view, claims, latest = self.view, copy.entries, 0
        for name in touched:
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
        pid = self._own.entries[name].pid
        self._own.drop(name)
        keys = self._held[pid]
        del keys[name]
        if not keys:
            del self._held[pid]
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
