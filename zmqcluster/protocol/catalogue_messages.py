"""What the replicas of a cluster supervisor say to each other, to who asked, and to their host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zmqcluster.core import message
from zmqcluster.ids import Pid
from zmqcluster.protocol.children import Child, Plan

__all__ = [
    "Acknowledged",
    "ChildFailed",
    "Compare",
    "Digest",
    "Elsewhere",
    "Failed",
    "Found",
    "Hello",
    "Later",
    "Leaving",
    "Members",
    "NotFound",
    "Refused",
    "StartChild",
    "StopChild",
    "Terminated",
    "Update",
]

# --- between replicas


@message(tag="children.hello")
@dataclass(frozen=True, slots=True)
class Hello:
    """The first word in a session: who I am, whom I reach, and the sums of what I know."""

    replica: Pid
    members: tuple[Pid, ...]
    buckets: list[int]


@message(tag="children.members")
@dataclass(frozen=True, slots=True)
class Members:
    """Whom the sender reaches now."""

    members: tuple[Pid, ...]


@message(tag="children.leaving")
@dataclass(frozen=True, slots=True)
class Leaving:
    """The sender ends, and its children have ended."""

    replica: Pid


@message(tag="children.update")
@dataclass(frozen=True, slots=True)
class Update:
    """Rows to merge; ``Acknowledged`` is the answer where ``number`` is not 0."""

    number: int
    children: list[Child]


@message(tag="children.acknowledged")
@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Every update up to ``number`` is merged here."""

    number: int


@message(tag="children.digest")
@dataclass(frozen=True, slots=True)
class Digest:
    """The sum of all sums of the sender."""

    digest: int


@message(tag="children.compare")
@dataclass(frozen=True, slots=True)
class Compare:
    """Asks for the rows in which the receiver differs from these sums."""

    buckets: list[int]


# --- answers


@message(tag="children.found")
@dataclass(frozen=True, slots=True)
class Found:
    """The child runs."""

    pid: Pid


@message(tag="children.elsewhere")
@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Ask the replica on ``node``."""

    node: str


@message(tag="children.later")
@dataclass(frozen=True, slots=True)
class Later:
    """The child is on its way from one node to another; ask again."""


@message(tag="children.refused")
@dataclass(frozen=True, slots=True)
class Refused:
    """The first start failed; there is no such child."""

    reason: Any


@message(tag="children.failed")
@dataclass(frozen=True, slots=True)
class Failed:
    """The child ended too often and stays down until it is terminated."""

    max_restarts: int
    max_restarts_ms: int


@message(tag="children.terminated")
@dataclass(frozen=True, slots=True)
class Terminated:
    """The child is gone for good."""


@message(tag="children.not_found")
@dataclass(frozen=True, slots=True)
class NotFound:
    """There is no such child."""


# --- to the host; these do not travel


@dataclass(frozen=True, slots=True)
class StartChild:
    """Start ``id``, then say ``on_started(run, pid)``; say ``on_ended(run, reason)`` when it ended or did not start."""

    run: int
    id: str
    plan: Plan
    rank: int


@dataclass(frozen=True, slots=True)
class StopChild:
    """End the process of ``run``, even if it is only starting; ``on_ended`` follows as ever."""

    run: int
    reason: Any


@dataclass(frozen=True, slots=True)
class ChildFailed:
    """``id`` ended too often, the last time with ``reason``, and stays down."""

    id: str
    reason: Any
