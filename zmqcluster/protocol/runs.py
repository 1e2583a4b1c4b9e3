"""The processes one replica runs for its children: at most one per child, each start with a number of its own.

    on_started                 on_ended
    STARTING ───> RUNNING ───────────────> (restart: STARTING again, another number)
        └────────────┴──> STOPPING ──────> gone            told to end: a duplicate, or terminated
                     WAITING               its name is held elsewhere; tried again in a while

The number tells a late report of an earlier start from one of the present. Invariant: a child's next process is started
only when the host has said that the one before has ended.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from zmqcluster.protocol.children import Child

__all__ = ["Phase", "Run", "Runs"]


class Phase(Enum):
    """Where a run stands."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    WAITING = "waiting"


@dataclass(slots=True)
class Run:
    """One child that this replica runs; ``child`` is the last row it wrote of it."""

    child: Child
    number: int = 0
    phase: Phase = Phase.STARTING
    has_run: bool = False
    restarted_ms: list[int] = field(default_factory=list)
    retry_at_ms: int = 0
    conflict_since_ms: int | None = None
    refs: list[Any] = field(default_factory=list)  # who waits for it to run, or, when it stops, for its end


class Runs:
    """Runs by child and by number."""

    __slots__ = ("_by_number", "_number", "by_id", "waiting")

    def __init__(self) -> None:
        self.by_id: dict[str, Run] = {}
        self.waiting: dict[str, Run] = {}
        self._by_number: dict[int, Run] = {}
        self._number = 0

    def start(self, run: Run) -> int:
        """Return the number of the start of ``run`` that follows."""
        self._forget(run)
        self._number += 1
        run.number, run.phase = self._number, Phase.STARTING
        self.by_id[run.child.id] = self._by_number[run.number] = run
        return run.number

    def wait(self, run: Run, until_ms: int) -> None:
        """Keep ``run`` without a process."""
        self._forget(run)
        run.phase, run.retry_at_ms = Phase.WAITING, until_ms
        self.waiting[run.child.id] = run

    def drop(self, run: Run) -> None:
        self._forget(run)
        del self.by_id[run.child.id]

    def numbered(self, number: int) -> Run | None:
        """Return the run whose present start has this number."""
        return self._by_number.get(number)

    def _forget(self, run: Run) -> None:
        self._by_number.pop(run.number, None)
        self.waiting.pop(run.child.id, None)
