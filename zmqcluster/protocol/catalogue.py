"""Children that run once in the cluster: every replica knows all of them, one runs each, another takes over.

    ensure ──> placement ──> this node?  start it, write its row, tell the others, answer when one of them has it
                             another?    answer Elsewhere(node); who asks goes there
    a replica is gone ──> for each of its children: does placement choose me among those who are left?
                          then I write the next generation and start it; nobody is asked
    a row arrives ──> it outdoes the one I run?  I end my process; the other one stays

Rows go to every member over its link; a digest at intervals finds what was missed all the same. The parts: ``table``
what is known, ``replicas`` who is there, ``announcements`` what is to be told, ``keeper`` what runs here.

Invariant: tables that hold the same rows agree on one owner of each child, and on nothing else than rows it depends.
Rules: a child is taken over only from a replica that nobody reaches; a child whose answer was given is known to one
other member at least, so that it survives the loss of any one node.
Source: Horde.DynamicSupervisor, whose children have random ids, so that both sides of a split keep theirs (#207).
"""

from __future__ import annotations

from typing import Any

from zmqcluster.ids import Pid
from zmqcluster.protocol.announcements import Announcements, updates_to
from zmqcluster.protocol.catalogue_messages import (
    Acknowledged,
    Compare,
    Digest,
    Elsewhere,
    Failed,
    Found,
    Hello,
    Later,
    Leaving,
    Members,
    NotFound,
    Terminated,
    Update,
)
from zmqcluster.protocol.children import FAILED, RUNNING, STARTING, TERMINATED, Child, Plan, ended
from zmqcluster.protocol.effects import Broadcast, Effect, Emit, Reply, Send
from zmqcluster.protocol.keeper import Keeper, plan_of
from zmqcluster.protocol.placement import Placement, Uniform
from zmqcluster.protocol.replicas import Replicas
from zmqcluster.protocol.replication import ReplicaJoined
from zmqcluster.protocol.runs import Phase
from zmqcluster.protocol.table import Table

__all__ = ["DIGEST_MS", "HOPS_MAX", "Catalogue"]

DIGEST_MS = 500  # tables that differ at rest are made equal within two of these
HOPS_MAX = 3  # nodes that see other members send a caller around; after so many the one who is asked takes the child


class Catalogue:
    """One replica of a cluster supervisor. ``me`` is its pid: each start of a replica has another one."""

    def __init__(self, me: Pid, placement: Placement | None = None, *, digest_ms: int = DIGEST_MS) -> None:
        self.me = me
        self.table = Table()
        self.replicas = Replicas(me)
        self._announcements = Announcements()
        self.keeper = Keeper(self.table, self.replicas, placement or Uniform(), self._announcements)
        self.on_started = self.keeper.on_started
        self.on_ended = self.keeper.on_ended
        self._up: dict[str, None] = {}
        self._suspicions: dict[str, tuple[int, int]] = {}  # of each peer the last digest that was not ours, and ours
        self._digest_ms = digest_ms
        self._digest_at_ms = 0

    # --- what callers ask

    def ensure(self, child_id: str, plan: Plan, ref: Any, hops: int, now_ms: int) -> list[Effect]:
        """Let the child run somewhere, once; answers Found, Elsewhere, Later, Refused or Failed."""
        run = self.keeper.runs.by_id.get(child_id)
        if run is not None and run.phase in (Phase.STARTING, Phase.WAITING):
            run.refs.append(ref)
            return []
        child = self.table.children.get(child_id)
        if self.keeper.is_leaving or (run is not None and run.phase is Phase.STOPPING):
            return [Reply(ref, Later())]
        if child is None or child.has_ended:
            return self._place(child_id, plan, ref, hops, now_ms)
        if child.owner == self.me and child.pid is not None:
            return self._announcements.answer(child, ref, Found(child.pid))
        return [Reply(ref, self._whereabouts(child, hops))]

    def terminate(self, child_id: str, ref: Any, now_ms: int) -> list[Effect]:
        """End the child for good; answers Terminated when its process has ended, Elsewhere or NotFound."""
        child = self.table.children.get(child_id)
        run = self.keeper.runs.by_id.get(child_id)
        if (child is None or child.has_ended) and run is not None and run.phase is not Phase.STOPPING:
            child = run.child  # its first start, of which nobody knows yet
        if child is None or child.has_ended:
            return [Reply(ref, NotFound())]
        if child.owner != self.me and self.replicas.is_alive(child.owner):
            return [Reply(ref, Elsewhere(child.owner.node))]
        row = self.keeper.publish(ended(child, TERMINATED, self.me, now_ms), now_ms)
        effects = self.keeper.settle(child_id, now_ms)
        if child_id not in self.keeper.runs.by_id:
            return [*effects, *self._announcements.answer(row, ref, Terminated())]
        self.keeper.runs.by_id[child_id].refs.append(ref)
        return effects

    def found(self, child_id: str) -> Pid | None:
        """Return the pid that ``ensure`` would answer at once, if it would."""
        child = self.table.children.get(child_id)
        if child is None or child.state != RUNNING or not self.replicas.is_alive(child.owner):
            return None
        return child.pid if self._announcements.is_known(child_id) else None

    def where(self, child_id: str) -> Pid | None:
        child = self.table.children.get(child_id)
        return None if child is None or child.state != RUNNING else child.pid

    def which(self) -> list[tuple[str, str, str]]:
        """Return (id, node, state) of all children that have not ended."""
        return [(c.id, c.owner.node, c.state) for c in self.table.children.values() if not c.has_ended]

    def _whereabouts(self, child: Child, hops: int) -> Any:
        if child.state == FAILED:
            return Failed(plan_of(child).max_restarts, plan_of(child).max_restarts_ms)
        if not self.replicas.is_alive(child.owner):
            chosen = self.keeper.chosen(child.id)
            return Elsewhere(chosen) if chosen != self.me.node and hops < HOPS_MAX else Later()
        if child.pid is not None:
            return Found(child.pid)
        return Elsewhere(child.owner.node) if child.owner != self.me and hops < HOPS_MAX else Later()

    def _place(self, child_id: str, plan: Plan, ref: Any, hops: int, now_ms: int) -> list[Effect]:
        chosen = self.keeper.chosen(child_id)
        if chosen != self.me.node and hops < HOPS_MAX:
            return [Reply(ref, Elsewhere(chosen))]
        before = self.table.children.get(child_id)
        until = 0 if before is None else before.ended
        row = Child(child_id, max(now_ms, until + 1), until, 1, self.me, 0, STARTING, None, plan)
        return self.keeper.begin(row, ref)

    # --- what the host reports

    def on_replica_down(self, replica: Pid, now_ms: int) -> list[Effect]:
        """This replica has ended, or cannot be reached."""
        if self.replicas.by_node.get(replica.node) != replica or not self.replicas.leave(replica.node):
            return []
        return self._members_changed(now_ms)

    def leave(self) -> list[Effect]:
        """End all children here for others to take over; when all have ended, send ``farewell``."""
        return self.keeper.stop_all()

    def farewell(self) -> list[Effect]:
        return [Send(peer, Leaving(self.me)) for peer in self.replicas.peers]

    def learn(self, children: list[Child], now_ms: int) -> list[Effect]:
        """Take these rows, and do what follows from them."""
        merged = [child.id for child in children if self.table.merge(child, now_ms)]
        effects = [effect for child_id in merged for effect in self.keeper.settle(child_id, now_ms)]
        return [*effects, *self.flush()]

    def flush(self) -> list[Effect]:
        """Tell the others what was written since the last flush; call it once per batch of requests and reports."""
        return self._announcements.flush(self.replicas.peers)

    # --- what the network brings

    def on_node_up(self, peer: str, now_ms: int) -> list[Effect]:
        if peer in self._up:
            return []
        self._up[peer] = None
        return [Send(peer, self._hello())]

    def on_node_down(self, peer: str, now_ms: int) -> list[Effect]:
        self._up.pop(peer, None)
        self._suspicions.pop(peer, None)
        return self._members_changed(now_ms) if self.replicas.leave(peer) else []

    def on_message(self, peer: str, message: Any, now_ms: int) -> list[Effect]:
        if peer not in self._up:
            return []
        match message:
            case Update(number, children):
                answer: list[Effect] = [Send(peer, Acknowledged(number))] if number else []
                return [*answer, *self.learn(children, now_ms)]
            case Acknowledged(number):
                return self._announcements.on_acknowledged(number)
            case Digest(digest):
                return self._on_digest(peer, digest)
            case Hello():
                return self._on_hello(peer, message, now_ms)
            case Members(members):
                self.replicas.claim(peer, members)
                return [*self.keeper.settle_orphans(now_ms), *self.flush()]
            case Compare(buckets):
                return updates_to(peer, self.table.rows_in_other(buckets))
            case Leaving(replica):
                return self.on_replica_down(replica, now_ms)
        return []

    def on_tick(self, now_ms: int) -> list[Effect]:
        effects = self.keeper.on_tick(now_ms)
        if self._digest_at_ms <= now_ms:
            self._digest_at_ms = now_ms + self._digest_ms
            self.table.forget_ended(now_ms)
            if self.replicas.peers:
                effects.append(Broadcast(Digest(self.table.digest())))
        return [*effects, *self.flush()]

    def deadline_ms(self) -> int | None:
        retry_ms = self.keeper.deadline_ms()
        return self._digest_at_ms if retry_ms is None else min(self._digest_at_ms, retry_ms)

    def _hello(self) -> Hello:
        return Hello(self.me, self.replicas.pids(), list(self.table.buckets))

    def _on_hello(self, peer: str, hello: Hello, now_ms: int) -> list[Effect]:
        self.replicas.claim(peer, hello.members)
        if not self.replicas.join(hello.replica):
            return []
        return [
            Emit(ReplicaJoined(hello.replica)),
            Send(peer, self._hello()),
            *updates_to(peer, self.table.rows_in_other(hello.buckets)),
            *self._members_changed(now_ms),
        ]

    def _on_digest(self, peer: str, digest: int) -> list[Effect]:
        """Compare only tables that have been different and at rest for a whole interval: rows may be on their way."""
        pair = (digest, self.table.digest())
        if pair[0] == pair[1] or self._suspicions.get(peer) != pair:
            self._suspicions[peer] = pair
            return []
        return [Send(peer, Compare(list(self.table.buckets)))]

    def _members_changed(self, now_ms: int) -> list[Effect]:
        self._announcements.repeat()
        news: list[Effect] = [Send(peer, Members(self.replicas.pids())) for peer in self.replicas.peers]
        return [*news, *self.keeper.settle_orphans(now_ms), *self.flush()]
