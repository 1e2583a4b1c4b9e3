"""The children of a cluster supervisor: what to start, who runs it, and which of two statements about one child counts.

    id      life  generation  owner  version  state
    "DON-7"    1           1   a#12        3  running      first placed on a
    "DON-7"    1           2   b#40        0  starting     a was lost, b took over
    "DON-7"    1           2   b#40        9  terminated   for good: no statement of this life counts any more
    "DON-7"    2           1   a#13        0  running      asked for again

Only the owner, a replica of the supervisor named by its pid, writes a version of its generation; whoever takes over
begins the next one. So ``supersedes`` is a strict order of all rows of an id that can exist, and merging, which keeps
the greatest, gives the same table in whatever order rows arrive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zmqcluster.core import encode, hash64, message
from zmqcluster.ids import Pid

__all__ = [
    "FAILED", "FINISHED", "RUNNING", "STARTING", "TERMINATED", "Child", "Plan", "mark", "rank", "supersedes",
]

STARTING = "starting"
RUNNING = "running"
FAILED = "failed"  # ended too often; stays so, where it is, until it is terminated
FINISHED = "finished"
TERMINATED = "terminated"

ACTIVE = frozenset({STARTING, RUNNING})
ENDED = frozenset({FINISHED, TERMINATED})

GENERATION_BITS = 32


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
    generation: int
    owner: Pid
    version: int
    state: str
    pid: Pid | None
    plan: Plan | None  # None once it has ended

    @property
    def is_active(self) -> bool:
        """Whether a process runs or is about to."""
        return self.state in ACTIVE

    @property
    def has_ended(self) -> bool:
        """Whether the child is gone for good; the row stays to say so."""
        return self.state in ENDED


def supersedes(new: Child, old: Child) -> bool:
    """Whether ``new`` counts and not ``old``: the later life, its end, the higher generation, the smaller owner."""
    new_age = (new.life, new.has_ended, new.generation)
    old_age = (old.life, old.has_ended, old.generation)
    if new_age != old_age:
        return new_age > old_age
    if new.owner != old.owner:
        return new.owner < old.owner
    return new.version > old.version


def rank(child: Child) -> int:
    """Return what orders the runs of one child, so that its name goes with the run that stays."""
    return child.life << GENERATION_BITS | child.generation


def mark(child: Child) -> int:
    """Return 64 bits that stand for the row."""
    return hash64(encode((child.id, child.life, child.generation, child.owner, child.version)))
