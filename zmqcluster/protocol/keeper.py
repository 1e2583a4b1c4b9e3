"""Keeps the processes of one node in line with the table: who is to run here runs, who is not ends.

    table says                      here                  so
    mine                            no process            start it
    mine                            it ended              again, as its restart says; finished; or failed
    its replica is gone, and        no process            take it over: write the next generation, start it
      placement chooses me
    another's, or ended             a process             end it; settle again when it has ended
    failed with another             a process, well       take it back

``settle`` does this for one child and is the only way to a start but the first. Invariants: at most one process per
child here, whatever arrives; the next starts only when the host has said that the one before has ended.
"""

from __future__ import annotations

from typing import Any

from zmqcluster.exits import NameConflict, Shutdown
from zmqcluster.ids import Pid
from zmqcluster.protocol.announcements import Announcements
from zmqcluster.protocol.catalogue_messages import (
    ChildFailed,
    Failed,
    Found,
    Later,
    Refused,
    StartChild,
    StopChild,
    Terminated,
)
from zmqcluster.protocol.children import FAILED, FINISHED, RUNNING, STARTING, Child, Plan, ended, outdoes, rank
from zmqcluster.protocol.effects import Effect, Emit, Reply
from zmqcluster.protocol.placement import Placement
from zmqcluster.protocol.replicas import Replicas
from zmqcluster.protocol.restarts import TEMPORARY, exceeds, restarts
from zmqcluster.protocol.runs import Phase, Run, Runs
from zmqcluster.protocol.table import Table

__all__ = ["CONFLICT_MS_MAX", "CONFLICT_RETRY_MS", "FIRST_CONFLICT_MS_MAX", "Keeper", "plan_of"]

CONFLICT_RETRY_MS = 200  # the name of a child is held elsewhere: after a heal the other process ends within this
CONFLICT_MS_MAX = 5_000  # held for so long, it belongs to somebody else: the child has failed
FIRST_CONFLICT_MS_MAX = 1_000  # the same for a first start, which somebody waits for


class Keeper:
    """What runs on the node of ``replicas.me``."""

    def __init__(
        self, table: Table, replicas: Replicas, placement: Placement, announcements: Announcements
    ) -> None:
        self.runs = Runs()
        self.is_leaving = False
        self._me = replicas.me
        self._table = table
        self._replicas = replicas
        self._placement = placement
        self._announcements = announcements

    def chosen(self, child_id: str) -> str:
        """Return the node that placement chooses among the members reached from here."""
        return self._placement.choose(child_id, self._replicas.nodes)

    def publish(self, child: Child, now_ms: int) -> Child:
        """Write a row for everybody; return it with what is known of its id besides."""
        self._table.merge(child, now_ms)
        row = self._table.children[child.id]
        self._announcements.add(row)
        return row

    # --- what the host reports

    def on_started(self, number: int, pid: Pid, now_ms: int) -> list[Effect]:
        """The process of this run is ``pid``; whoever waits for it is answered when another member knows."""
        run = self.runs.numbered(number)
        if run is None or run.phase is not Phase.STARTING:
            return []  # it is to stop, and the host has been told
        run.phase, run.has_run, run.conflict_since_ms = Phase.RUNNING, True, None
        self._write(run, RUNNING, pid, now_ms)
        return self._promised(run, Found(pid))

    def on_ended(self, number: int, reason: Any, now_ms: int) -> list[Effect]:
        """The process of this run has ended with ``reason``, or did not start because of it."""
        run = self.runs.numbered(number)
        if run is None:
            return []
        if run.phase is Phase.STOPPING:
            self.runs.drop(run)
            return [*self._promised(run, Terminated()), *self.settle(run.child.id, now_ms)]
        if not run.has_run and run.child.generation == 1:
            return self._not_begun(run, reason, now_ms)
        return self._again(run, reason, now_ms)

    def _not_begun(self, run: Run, reason: Any, now_ms: int) -> list[Effect]:
        """The first start failed. Maybe the same child holds its name elsewhere, and its row is on the way: a heal."""
        if isinstance(reason, NameConflict) and _conflict_ms(run, now_ms) < FIRST_CONFLICT_MS_MAX:
            self.runs.wait(run, now_ms + CONFLICT_RETRY_MS)
            return []
        self.runs.drop(run)
        return [*_replies(run, Refused(reason)), *self.settle(run.child.id, now_ms)]

    def _again(self, run: Run, reason: Any, now_ms: int) -> list[Effect]:
        plan = plan_of(run.child)
        if isinstance(reason, NameConflict):
            return self._wait(run, reason, now_ms)
        if run.phase is Phase.RUNNING and not restarts(plan, reason):
            self.publish(ended(run.child, FINISHED, self._me, now_ms), now_ms)
            self.runs.drop(run)
            return []
        if exceeds(plan, run.restarted_ms, now_ms):
            return self._fail(run, reason, now_ms)
        self._write(run, STARTING, None, now_ms)
        return [self._start(run)]

    def _wait(self, run: Run, reason: NameConflict, now_ms: int) -> list[Effect]:
        """After a heal two processes may meet under one name, and the registry be quicker than we are."""
        if _conflict_ms(run, now_ms) > CONFLICT_MS_MAX:
            return self._fail(run, reason, now_ms)
        self._write(run, STARTING, None, now_ms)
        self.runs.wait(run, now_ms + CONFLICT_RETRY_MS)
        return []

    def _fail(self, run: Run, reason: Any, now_ms: int) -> list[Effect]:
        self._write(run, FAILED, None, now_ms)
        self.runs.drop(run)
        plan = plan_of(run.child)
        answer = Failed(plan.max_restarts, plan.max_restarts_ms)
        return [Emit(ChildFailed(run.child.id, reason)), *_replies(run, answer)]

    def _write(self, run: Run, state: str, pid: Pid | None, now_ms: int) -> None:
        run.child = self.publish(run.child.now(state, pid), now_ms)

    def _promised(self, run: Run, value: Any) -> list[Effect]:
        refs, run.refs = run.refs, []
        return [effect for ref in refs for effect in self._announcements.answer(run.child, ref, value)]

    # --- time

    def on_tick(self, now_ms: int) -> list[Effect]:
        """Start again what has waited long enough."""
        return [self._start(run) for run in list(self.runs.waiting.values()) if run.retry_at_ms <= now_ms]

    def deadline_ms(self) -> int | None:
        return min((run.retry_at_ms for run in self.runs.waiting.values()), default=None)

    # --- from the table to the processes

    def begin(self, child: Child, ref: Any) -> list[Effect]:
        """Start a child of which nobody knows yet: its row is written when it runs, so a failed start has no trace."""
        return [self._start(Run(child, refs=[ref]))]

    def settle(self, child_id: str, now_ms: int) -> list[Effect]:
        """Start or end here what the table says of this child."""
        child = self._table.children.get(child_id)
        run = self.runs.by_id.get(child_id)
        if run is not None:
            return self._settle_run(run, child, now_ms)
        if child is None or not child.is_active or self.is_leaving:
            return []
        if child.owner == self._me:
            return [self._start(Run(child, has_run=True))]
        if not self._replicas.is_alive(child.owner) and self.chosen(child_id) == self._me.node:
            return self._take_over(child, now_ms)
        return []

    def settle_orphans(self, now_ms: int) -> list[Effect]:
        """Settle the children of all replicas that are gone."""
        rows = self._table.children.values()
        gone = {owner for owner in dict.fromkeys(row.owner for row in rows) if not self._replicas.is_alive(owner)}
        orphans = [row.id for row in rows if row.owner in gone and row.is_active] if gone else []
        return [effect for child_id in orphans for effect in self.settle(child_id, now_ms)]

    def stop_all(self) -> list[Effect]:
        """End everything here, and start nothing more."""
        self.is_leaving = True
        return [effect for run in list(self.runs.by_id.values()) for effect in self._stop(run, Shutdown("leaving"))]

    def _settle_run(self, run: Run, child: Child | None, now_ms: int) -> list[Effect]:
        if child is None or not outdoes(child, run.child):
            return []
        if child.state == FAILED and run.phase in (Phase.STARTING, Phase.RUNNING):
            run.child = self.publish(child.taken(self._me, run.child.state, run.child.pid), now_ms)
            return []
        effects = self._stop(run, Shutdown("terminated" if child.has_ended else "duplicate"))
        return effects if child.id in self.runs.by_id else [*effects, *self.settle(child.id, now_ms)]

    def _take_over(self, child: Child, now_ms: int) -> list[Effect]:
        if plan_of(child).restart == TEMPORARY:
            self.publish(ended(child, FINISHED, self._me, now_ms), now_ms)
            return []
        return [self._start(Run(self.publish(child.taken(self._me), now_ms)))]

    def _start(self, run: Run) -> Emit:
        number = self.runs.start(run)
        return Emit(StartChild(number, run.child.id, plan_of(run.child), rank(run.child)))

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


def plan_of(child: Child) -> Plan:
    """Return the plan of a child that has not ended."""
    assert child.plan is not None
    return child.plan


def _conflict_ms(run: Run, now_ms: int) -> int:
    """For how long the name of this child has been held elsewhere."""
    if run.conflict_since_ms is None:
        run.conflict_since_ms = now_ms
    return now_ms - run.conflict_since_ms


def _replies(run: Run, value: Any) -> list[Effect]:
    return [Reply(ref, value) for ref in run.refs]
