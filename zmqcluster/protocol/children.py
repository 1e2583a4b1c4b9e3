"""The children of a cluster supervisor: what to start, who runs it, and which of two statements about one child counts.

    id      life  ended  generation  owner  version  state
    "DON-7"  100      0           1   a#12        3  running      first asked for at 100 ms, placed on a
    "DON-7"  100      0           2   b#40        0  starting     a was lost, b took over
    "DON-7"  100    900           2   b#40        9  terminated   no life that began up to 900 ms counts any more
    "DON-7"  950    900           1   a#13        0  running      asked for again

Of two lives the first counts: a node that asks for a child it has not heard of yet does not end the one that runs. Of
one life the higher generation counts, then the smaller owner. Only the owner, a replica of the supervisor named by its
pid, writes the versions of its generation; whoever takes over begins the next. So of the rows of an id that can exist
no two are equal in what ``supersedes`` compares, and ``merged`` gives every replica the same row in the end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from zmqcluster.core import encode, hash64, message
from zmqcluster.ids import Pid

__all__ = [
    "FAILED",
    "FINISHED",
    "RUNNING",
    "STARTING",
    "TERMINATED",
    "Child",
    "Plan",
    "ended",
    "mark",
    "merged",
    "outdoes",
    "rank",
    "supersedes",
]

STARTING = "starting"
RUNNING = "running"
FAILED = "failed"  # ended too often; stays so, where it is, until it is terminated
FINISHED = "finished"
TERMINATED = "terminated"

LIFE_BITS = 42  # milliseconds of the wall clock, for a century to come
GENERATION_BITS = 20


@message(tag="children.plan")
@dataclass(frozen=True, slots=True)
class Plan:
    """What to start, wherever that is: ``server`` is ``module:qualname``, looked up where it starts."""

    server: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] | None = None
    name: Any = None
    restart: str = "permanent"
    shutdown_ms: int = 5_000
    max_restarts: int = 3
    max_restarts_ms: int = 5_000


@message(tag="children.child")
@dataclass(frozen=True, slots=True)
class Child:
    """One row: where the child ``id`` stands, in the words of ``owner``."""

    id: str
    life: int
    ended: int
    generation: int
    owner: Pid
    version: int
    state: str
    pid: Pid | None
    plan: Plan | None  # None once it has ended

    @property
    def has_ended(self) -> bool:
        """Whether the child is gone for good; the row stays to say so."""
        return self.life <= self.ended

    @property
    def is_active(self) -> bool:
        """Whether a process runs or is about to."""
        return self.life > self.ended and self.state != FAILED

    # Written out: dataclasses.replace takes ten times as long, and a lost node's children are many.

    def now(self, state: str, pid: Pid | None) -> Child:
        """Return the owner's next row."""
        return Child(
            self.id, self.life, self.ended, self.generation, self.owner, self.version + 1, state, pid, self.plan
        )

    def taken(self, owner: Pid, state: str = STARTING, pid: Pid | None = None) -> Child:
        """Return the row by which ``owner`` takes the child over."""
        return Child(self.id, self.life, self.ended, self.generation + 1, owner, 0, state, pid, self.plan)


def ended(child: Child, state: str, owner: Pid, now_ms: int) -> Child:
    """Return the row by which ``owner`` ends ``child`` and all of its lives so far."""
    until = max(now_ms, child.life)
    return replace(child, ended=until, owner=owner, version=child.version + 1, state=state, pid=None, plan=None)


def supersedes(new: Child, old: Child) -> bool:
    """Whether ``new`` counts and not ``old``, neither having ended."""
    if new.life != old.life:
        return new.life < old.life
    if new.generation != old.generation:
        return new.generation > old.generation
    if new.owner != old.owner:
        return new.owner < old.owner
    return new.version > old.version


def merged(known: Child, heard: Child) -> Child:
    """Return what both rows say together; ``known`` itself when ``heard`` says nothing new."""
    until = max(known.ended, heard.ended)
    living = [child for child in (known, heard) if child.life > until]
    if not living:
        return max(known, heard, key=lambda child: (child.ended, child.life, child.generation, child.version))
    best = living[-1] if len(living) == 1 or supersedes(heard, known) else known
    return best if best.ended == until else replace(best, ended=until)


def outdoes(row: Child, mine: Child) -> bool:
    """Whether a process started for ``mine`` is not to run, now that the table says ``row``."""
    return mine.life <= row.ended or (not row.has_ended and supersedes(row, mine))


def rank(child: Child) -> int:
    """Return what orders the runs of one child, the one that counts highest, so that its name goes with it."""
    return ((1 << LIFE_BITS) - child.life) << GENERATION_BITS | child.generation


def mark(child: Child) -> int:
    """Return 64 bits that stand for the row."""
    return hash64(encode((child.id, child.life, child.ended, child.generation, child.owner, child.version)))
