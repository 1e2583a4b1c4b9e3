"""Where a child runs: a strategy is one method, ``choose(child_id, members)``.

Every node chooses for itself from the members it sees, so a strategy is a pure function of its arguments. It is also
steady: a member that is chosen among many is chosen among any fewer of them too. Then nodes that see different members
still agree on somebody, and a lost member moves no child but its own. Source: Horde's ``choose_node/2``, which builds
the ring anew for every child; here once for each set of members.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

from zmqcluster.core import HashRing

__all__ = ["Placement", "Uniform"]

RINGS_KEPT_MAX = 16  # one per set of members in use; a simulation has a few at a time


class Placement(Protocol):
    """Chooses the member that runs a child."""

    def choose(self, child_id: str, members: tuple[str, ...]) -> str:
        """Return one of ``members``, which are sorted.

        Raises:
            NoMember: there is none.
        """
        ...


class Uniform:
    """Spreads children evenly by their id on the hash ring; about one of n moves when an n-th member is lost."""

    def choose(self, child_id: str, members: tuple[str, ...]) -> str:
        return _ring(members).owner(child_id)

    def __repr__(self) -> str:
        return "Uniform()"


@lru_cache(maxsize=RINGS_KEPT_MAX)
def _ring(members: tuple[str, ...]) -> HashRing:
    return HashRing(members)
