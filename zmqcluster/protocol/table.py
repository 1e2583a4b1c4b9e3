"""A table of children that replicas compare by 64 sums before they send each other rows.

    hash64(id) -> bucket 0 .. 63      buckets  [0x3f.., 0, 0x91.., ...]     each the sum of the marks of its rows

Invariant: tables with equal buckets hold equal rows, but for children that have ended. An ended child's row is kept for
``TOMBSTONE_MS`` to outdo rows of its life that still travel; it is in no sum, so replicas may forget it at different
times. A node cut off for longer than that brings such a child back.
"""

from __future__ import annotations

from zmqcluster.core import hash64
from zmqcluster.protocol.children import Child, mark, merged

__all__ = ["Table"]

BUCKET_BITS = 6
BUCKETS_COUNT = 1 << BUCKET_BITS
SUM_MASK = (1 << 64) - 1
TOMBSTONE_MS = 3_600_000
TOMBSTONES_MAX = 100_000  # the oldest go first


class Table:
    """Children by id; ``merge`` is the only way in."""

    __slots__ = ("_digest", "_tombstones", "buckets", "children")

    def __init__(self) -> None:
        self.children: dict[str, Child] = {}
        self.buckets = [0] * BUCKETS_COUNT
        self._digest: int | None = None
        self._tombstones: dict[str, int] = {}  # when each ended, the oldest first

    def merge(self, child: Child, now_ms: int) -> bool:
        """Take what ``child`` says that is not known here; return whether there was any."""
        known = self.children.get(child.id)
        row = child if known is None else merged(known, child)
        if row is known:
            return False
        self._count(known, -1)
        self._count(row, 1)
        self.children[row.id] = row
        self._tombstones.pop(row.id, None)
        if row.has_ended:
            self._tombstones[row.id] = now_ms
        return True

    def _count(self, child: Child | None, sign: int) -> None:
        if child is not None and not child.has_ended:
            bucket = _bucket(child.id)
            self.buckets[bucket] = (self.buckets[bucket] + sign * mark(child)) & SUM_MASK
            self._digest = None

    def digest(self) -> int:
        """Return one number for all buckets."""
        if self._digest is None:
            self._digest = hash64(b"".join(bucket.to_bytes(8, "big") for bucket in self.buckets))
        return self._digest

    def rows_in_other(self, buckets: list[int]) -> list[Child]:
        """Return the rows, ended ones too, of each bucket that differs from the given one."""
        differ = [mine != theirs for mine, theirs in zip(self.buckets, buckets, strict=True)]
        return [child for child in self.children.values() if differ[_bucket(child.id)]] if any(differ) else []

    def forget_ended(self, now_ms: int) -> None:
        """Drop the rows of children that ended long ago."""
        while self._tombstones:
            child_id, ended_ms = next(iter(self._tombstones.items()))
            if now_ms - ended_ms < TOMBSTONE_MS and len(self._tombstones) <= TOMBSTONES_MAX:
                return
            del self._tombstones[child_id], self.children[child_id]


def _bucket(child_id: str) -> int:
    return hash64(child_id) >> (64 - BUCKET_BITS)
