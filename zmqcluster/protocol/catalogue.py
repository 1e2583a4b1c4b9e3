"""Children that run once in the cluster: every replica knows all of them, one runs each, another takes over.

    ensure ──> placement ──> this node?  start it, write its row, tell the others, answer when one of them has it
                             another?    answer Elsewhere(node); who asks goes there
    a replica is gone ──> for each of its children: does placement choose me among those who are left?
                          then I write the next generation and start it; nobody is asked
    a row arrives ──> it supersedes the one I run?  I stop my process; the other one stays

Rows go to every member over its link; a digest at intervals finds what was missed all the same. The table says who
should run a child, the runs say what runs here, and ``_settle`` is the one place that brings the second to the first.

Invariants: at most one process per child here, whatever arrives; tables that hold the same rows agree on one owner.
Rules: a child is taken over only from a replica that nobody reaches (see ``replicas``); its next process starts only
after the one before has ended, on one node; a child whose answer was given is known to one other member at least.
Source: Horde.DynamicSupervisor, whose children have random ids, so that both sides of a split keep theirs (#207).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from zmqcluster.exits import NameConflict, Shutdown
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
    Refused,
    ReplicaJoined,
    StartChild,
    StopChild,
    Terminated,
    Update,
)
from zmqcluster.protocol.children import (
    FAILED,
    FINISHED,
    RUNNING,
    STARTING,
    TERMINATED,
    Child,
    Plan,
    ended,
    outdoes,
    rank,
)
from zmqcluster.protocol.effects import Broadcast, Effect, Emit, Reply, Send
from zmqcluster.protocol.placement import Placement, Uniform
from zmqcluster.protocol.replicas import Replicas
from zmqcluster.protocol.restarts import TEMPORARY, exceeds, restarts
from zmqcluster.protocol.runs import Phase, Run, Runs
from zmqcluster.protocol.table import Table

__all__ = ["Catalogue"]

DIGEST_MS = 500
CONFLICT_RETRY_MS = 200  # the name of a child is held elsewhere: after a heal the other process ends within this
CONFLICT_MS_MAX = 5_000  # held for so long, it belongs to somebody else: the child has failed
HOPS_MAX = 3  # nodes that see other members send a caller around; after so many the one who is asked takes the child


class Catalogue:
    """One replica of a cluster supervisor. ``me`` is its pid: each start of a replica has another one."""

    def __init__(self, me: Pid, placement: Placement | None = None, *, digest_ms: int = DIGEST_MS) -> None:
        self.me = me
        self.table = Table()
        self.runs = Runs()
        self.replicas = Replicas(me)
        self._placement = placement or Uniform()
        self._up: dict[str, None] = {}
        self._announcements = Announcements()
        self._suspicions: dict[str, tuple[int, int]] = {}  # of each peer the last digest that was not ours, and ours
        self._is_leaving = False
        self._digest_ms = digest_ms
        self._digest_at_ms = 0

    # --- what callers ask

    def ensure(self, child_id: str, plan: Plan, ref: Any, hops: int, now_ms: int) -> list[Effect]:
        """Let the child run somewhere, once; answers Found, Elsewhere, Later, Refused or Failed."""
        run = self.runs.by_id.get(child_id)
        if run is not None and run.phase in (Phase.STARTING, Phase.WAITING):
            run.refs.append(ref)
            return []
        child = self.table.children.get(child_id)
        if self._is_leaving or (run is not None and run.phase is Phase.STOPPING):
            return [Reply(ref, Later())]
        if child is None or child.has_ended:
            return self._place(child_id, plan, ref, hops, now_ms)
        if child.state == FAILED:
            return [Reply(ref, _failed(child))]
        if child.owner == self.me and child.pid is not None:
            return self._announcements.answer(child, ref, Found(child.pid))
        return [Reply(ref, self._whereabouts(child, hops))]

    def terminate(self, child_id: str, ref: Any, now_ms: int) -> list[Effect]:
        """End the child for good; answers Terminated when its process has ended, Elsewhere or NotFound."""
        child = self.table.children.get(child_id)
        run = self.runs.by_id.get(child_id)
        if (child is None or child.has_ended) and run is not None and run.phase is not Phase.STOPPING:
            child = run.child  # its first start, of which nobody knows yet
        if child is None or child.has_ended:
            return [Reply(ref, NotFound())]
        if child.owner != self.me and self.replicas.is_alive(child.owner):
            return [Reply(ref, Elsewhere(child.owner.node))]
        row = self._publish(ended(child, TERMINATED, self.me, now_ms), now_ms)
        effects = self._settle(child_id, now_ms)
        if child_id not in self.runs.by_id:
            return [*effects, *self._announcements.answer(row, ref, Terminated())]
        self.runs.by_id[child_id].refs.append(ref)
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
        if not self.replicas.is_alive(child.owner):
            chosen = self._chosen(child.id)
            return Elsewhere(chosen) if chosen != self.me.node and hops < HOPS_MAX else Later()
        if child.state == RUNNING and child.pid is not None:
            return Found(child.pid)
        return Elsewhere(child.owner.node) if child.owner != self.me and hops < HOPS_MAX else Later()

    def _place(self, child_id: str, plan: Plan, ref: Any, hops: int, now_ms: int) -> list[Effect]:
        chosen = self._chosen(child_id)
        if chosen != self.me.node and hops < HOPS_MAX:
            return [Reply(ref, Elsewhere(chosen))]
        before = self.table.children.get(child_id)
        until = 0 if before is None else before.ended
        # The row is written when the process runs: a first start that fails leaves no trace.
        row = Child(child_id, max(now_ms, until + 1), until, 1, self.me, 0, STARTING, None, plan)
        return [self._start(Run(row, refs=[ref]))]

    def _chosen(self, child_id: str) -> str:
        return self._placement.choose(child_id, self.replicas.nodes)

    # --- what the host reports

    def on_started(self, number: int, pid: Pid, now_ms: int) -> list[Effect]:
        """The process of this run is ``pid``; whoever waits for it is answered when another member knows."""
        run = self.runs.numbered(number)
        if run is None or run.phase is not Phase.STARTING:
            return []  # it is to stop, and the host has been told
        run.phase, run.has_run, run.conflict_since_ms = Phase.RUNNING, True, None
        self._write(run, RUNNING, pid, now_ms)
        refs, run.refs = run.refs, []
        return [effect for ref in refs for effect in self._announcements.answer(run.child, ref, Found(pid))]

    def on_ended(self, number: int, reason: Any, now_ms: int) -> list[Effect]:
        """The process of this run has ended with ``reason``, or did not start because of it."""
        run = self.runs.numbered(number)
        if run is None:
            return []
        if run.phase is Phase.STOPPING:
            self.runs.drop(run)
            answers = [e for ref in run.refs for e in self._announcements.answer(run.child, ref, Terminated())]
            return [*answers, *self._settle(run.child.id, now_ms)]
        if not run.has_run and run.child.generation == 1:
            self.runs.drop(run)
            return [*_replies(run, Refused(reason)), *self._settle(run.child.id, now_ms)]
        return self._again(run, reason, now_ms)

    def _again(self, run: Run, reason: Any, now_ms: int) -> list[Effect]:
        plan = _plan(run.child)
        if isinstance(reason, NameConflict):
            return self._wait(run, now_ms)
        if run.phase is Phase.RUNNING and not restarts(plan, reason):
            self._publish(ended(run.child, FINISHED, self.me, now_ms), now_ms)
            self.runs.drop(run)
            return []
        if exceeds(plan, run.restarted_ms, now_ms):
            return self._fail(run, now_ms)
        self._write(run, STARTING, None, now_ms)
        return [self._start(run)]

    def _wait(self, run: Run, now_ms: int) -> list[Effect]:
        """After a heal two processes may meet under one name, and the registry be quicker than we are."""
        if run.conflict_since_ms is None:
            run.conflict_since_ms = now_ms
        elif now_ms - run.conflict_since_ms > CONFLICT_MS_MAX:
            return self._fail(run, now_ms)
        self._write(run, STARTING, None, now_ms)
        self.runs.wait(run, now_ms + CONFLICT_RETRY_MS)
        return []

    def _fail(self, run: Run, now_ms: int) -> list[Effect]:
        self._write(run, FAILED, None, now_ms)
        self.runs.drop(run)
        return _replies(run, _failed(run.child))

    def on_replica_down(self, replica: Pid, now_ms: int) -> list[Effect]:
        """This replica has ended, or cannot be reached."""
        if self.replicas.by_node.get(replica.node) != replica or not self.replicas.leave(replica.node):
            return []
        return self._members_changed(now_ms)

    def leave(self) -> list[Effect]:
        """End all children here for others to take over; when all have ended, send ``farewell``."""
        self._is_leaving = True
        return [effect for run in list(self.runs.by_id.values()) for effect in self._stop(run, Shutdown("leaving"))]

    def farewell(self) -> list[Effect]:
        return [Send(peer, Leaving(self.me)) for peer in self.replicas.peers]

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
            case Update():
                return self._on_update(peer, message, now_ms)
            case Acknowledged(number):
                return self._announcements.on_acknowledged(number)
            case Digest(digest):
                return self._on_digest(peer, digest)
            case Hello():
                return self._on_hello(peer, message, now_ms)
            case Members(members):
                self.replicas.claim(peer, members)
                return [*self._settle_orphans(now_ms), *self.flush()]
            case Compare(buckets):
                return updates_to(peer, self.table.rows_in_other(buckets))
            case Leaving(replica):
                return self.on_replica_down(replica, now_ms)
        return []

    def on_tick(self, now_ms: int) -> list[Effect]:
        effects: list[Effect] = []
        for run in [run for run in self.runs.waiting.values() if run.retry_at_ms <= now_ms]:
            effects.append(self._start(run))
        if self._digest_at_ms <= now_ms:
            self._digest_at_ms = now_ms + self._digest_ms
            self.table.forget_ended(now_ms)
            if self.replicas.peers:
                effects.append(Broadcast(Digest(self.table.digest())))
        return [*effects, *self.flush()]

    def deadline_ms(self) -> int | None:
        if not self.runs.waiting:
            return self._digest_at_ms
        return min(self._digest_at_ms, *(run.retry_at_ms for run in self.runs.waiting.values()))

    # --- messages

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

    def _on_update(self, peer: str, update: Update, now_ms: int) -> list[Effect]:
        answer: list[Effect] = [Send(peer, Acknowledged(update.number))] if update.number else []
        return [*answer, *self.learn(update.children, now_ms)]

    def learn(self, children: list[Child], now_ms: int) -> list[Effect]:
        """Take these rows, and do what follows from them."""
        merged = [child.id for child in children if self.table.merge(child, now_ms)]
        return [*(effect for child_id in merged for effect in self._settle(child_id, now_ms)), *self.flush()]

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
        return [*news, *self._settle_orphans(now_ms), *self.flush()]

    # --- rows

    def flush(self) -> list[Effect]:
        """Tell the others what was written since the last flush; call it once per batch of requests and reports."""
        return self._announcements.flush(self.replicas.peers)

    def _write(self, run: Run, state: str, pid: Pid | None, now_ms: int) -> None:
        child = run.child
        run.child = self._publish(replace(child, version=child.version + 1, state=state, pid=pid), now_ms)

    def _publish(self, child: Child, now_ms: int) -> Child:
        """Tell everybody of ``child``; return it with what is known of its id besides."""
        self.table.merge(child, now_ms)
        row = self.table.children[child.id]
        self._announcements.add(row)
        return row

    # --- from the table to the runs

    def _settle_orphans(self, now_ms: int) -> list[Effect]:
        member, is_alive = self.replicas.by_node.get, self.replicas.is_alive
        foreign = [child for child in self.table.children.values() if member(child.owner.node) != child.owner]
        orphans = [child.id for child in foreign if child.is_active and not is_alive(child.owner)]
        return [effect for child_id in orphans for effect in self._settle(child_id, now_ms)]

    def _settle(self, child_id: str, now_ms: int) -> list[Effect]:
        """Start or stop here what the table says; a child that stops settles again when it has ended."""
        child = self.table.children.get(child_id)
        run = self.runs.by_id.get(child_id)
        if run is not None:
            if child is None or not outdoes(child, run.child):
                return []
            if child.state == FAILED and run.phase in (Phase.STARTING, Phase.RUNNING):
                return self._take_back(run, child, now_ms)
            effects = self._stop(run, Shutdown("terminated" if child.has_ended else "duplicate"))
            return effects if child_id in self.runs.by_id else [*effects, *self._settle(child_id, now_ms)]
        if child is None or not child.is_active or self._is_leaving:
            return []
        if child.owner == self.me:
            return [self._start(Run(child, has_run=True))]
        if not self.replicas.is_alive(child.owner) and self._chosen(child_id) == self.me.node:
            return self._take_over(child, now_ms)
        return []

    def _take_over(self, child: Child, now_ms: int) -> list[Effect]:
        if _plan(child).restart == TEMPORARY:
            self._publish(ended(child, FINISHED, self.me, now_ms), now_ms)
            return []
        heir = replace(child, generation=child.generation + 1, owner=self.me, version=0, state=STARTING, pid=None)
        self._publish(heir, now_ms)
        return [self._start(Run(heir))]

    def _take_back(self, run: Run, child: Child, now_ms: int) -> list[Effect]:
        """Who took the child over during a split failed with it; the process here is well."""
        mine = replace(child, generation=child.generation + 1, owner=self.me, version=0, state=run.child.state)
        run.child = self._publish(replace(mine, pid=run.child.pid), now_ms)
        return []

    def _start(self, run: Run) -> Emit:
        number = self.runs.start(run)
        return Emit(StartChild(number, run.child.id, _plan(run.child), rank(run.child)))

    def _stop(self, run: Run, reason: Shutdown) -> list[Effect]:
        if run.phase is Phase.STOPPING:
            return []
        effects = _replies(run, Later())
        run.refs = []
        if run.phase is Phase.WAITING:
            self.runs.drop(run)
            return effects
        run.phase = Phase.STOPPING
        return [*effects, Emit(StopChild(run.number, reason))]


def _plan(child: Child) -> Plan:
    assert child.plan is not None, "only a child that has ended has no plan"
    return child.plan


def _failed(child: Child) -> Failed:
    return Failed(_plan(child).max_restarts, _plan(child).max_restarts_ms)


def _replies(run: Run, value: Any) -> list[Effect]:
    return [Reply(ref, value) for ref in run.refs]
