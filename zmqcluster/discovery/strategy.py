"""A strategy finds nodes; it never connects and never disconnects: that is the topology's business.

    find() ──> {Address("a@10.0.0.5:7101"), Address("b@10.0.0.6:7101")}

Rules: ``find`` may raise, answer late, or answer less than there is; the topology copes. ``announce`` makes this node
findable for others, before it looks for them; ``withdraw`` takes that back.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from zmqcluster.ids import NodeName

__all__ = ["Address", "Host", "Strategy"]


@dataclass(frozen=True, slots=True)
class Address:
    """A node that was found.

    Attributes:
        node: its full name.
        endpoints: where it may be dialled, best first; without them the name says where.
        incarnation: of its life that was found, where the strategy knows it.
    """

    node: NodeName
    endpoints: tuple[str, ...] = ()
    incarnation: int | None = None


class Host(Protocol):
    """What a strategy learns about the node it works for."""

    @property
    def name(self) -> str | None: ...

    @property
    def incarnation(self) -> int: ...

    @property
    def link_endpoints(self) -> tuple[str, ...]:
        """Where others dial this node, the preferred one first."""
        ...


class Strategy(Protocol):
    """How nodes are found."""

    interval_s: float
    """Seconds between two calls of ``find``."""

    async def find(self) -> Collection[Address]:
        """Return the nodes there are, this node itself or not."""
        ...

    async def announce(self, host: Host) -> None:
        """Let others find ``host``.

        Raises:
            NameInUse: another node has its name. The start of the node fails then.
        """

    async def withdraw(self) -> None:
        """Let nobody find it any more. Idempotent, also without ``announce``."""
