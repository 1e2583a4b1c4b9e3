"""Rows on their way to the other members, and the answers that wait until one of them has arrived.

    add(row), answer(row, ref, value)      flush: Update(7, rows) to every member      Acknowledged(7) from any: Reply

An answer given is one the cluster remembers: whoever is told that a child runs may lose the node that told him, and the
child is still known and taken over. Rows of one flush go out together, the latest of each child only.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from zmqcluster.protocol.catalogue_messages import Update
from zmqcluster.protocol.children import Child
from zmqcluster.protocol.effects import Effect, Reply, Send

__all__ = ["Announcements", "updates_to"]

UPDATE_CHILDREN_MAX = 500  # rows in one message, so that other messages pass in between


@dataclass(slots=True)
class Promise:
    """An answer to ``ref`` about ``row``."""

    row: Child
    ref: Any
    value: Any
    number: int = 0  # of the update whose arrival keeps it


class Announcements:
    """What one replica has to tell. ``_told``: the children whose last update nobody has acknowledged, oldest first."""

    __slots__ = ("_new", "_number", "_promises", "_rows", "_told")

    def __init__(self) -> None:
        self._rows: dict[str, Child] = {}
        self._told: dict[str, int] = {}
        self._new: list[Promise] = []
        self._promises: deque[Promise] = deque()
        self._number = 0

    def add(self, row: Child) -> None:
        self._rows[row.id] = row

    def is_known(self, child_id: str) -> bool:
        """Whether another member has the last row of this child, or there is none."""
        return child_id not in self._rows and child_id not in self._told

    def answer(self, row: Child, ref: Any, value: Any) -> list[Effect]:
        """Reply ``value`` to ``ref``: now if another member has ``row`` or a later one, else once it has."""
        if self.is_known(row.id):
            return [Reply(ref, value)]
        self._new.append(Promise(row, ref, value))
        return []

    def repeat(self) -> None:
        """Tell again what answers wait for: whoever was told may be gone."""
        for promise in self._promises:
            self._rows.setdefault(promise.row.id, promise.row)
        self._new = [*self._promises, *self._new]
        self._promises.clear()

    def flush(self, peers: tuple[str, ...]) -> list[Effect]:
        """Tell ``peers`` what was added since the last flush. With no peer there is nothing to wait for."""
        if not self._rows and not self._new:
            return []
        rows, self._rows = list(self._rows.values()), {}
        self._number += 1
        for row in rows:
            self._told.pop(row.id, None)
            self._told[row.id] = self._number
        for promise in self._new:
            promise.number = self._number
        self._promises.extend(self._new)
        self._new = []
        if not peers:
            return self.on_acknowledged(self._number)
        return [effect for peer in peers for effect in updates_to(peer, rows, self._number)]

    def on_acknowledged(self, number: int) -> list[Effect]:
        """Every update up to ``number`` has arrived at one member."""
        for child_id in [*takewhile(lambda child_id: self._told[child_id] <= number, self._told)]:
            del self._told[child_id]
        kept: list[Effect] = []
        while self._promises and self._promises[0].number <= number:
            promise = self._promises.popleft()
            kept.append(Reply(promise.ref, promise.value))
        return kept


def updates_to(peer: str, rows: list[Child], number: int = 0) -> list[Effect]:
    """Return ``rows`` in parts for ``peer``; the last part, empty if need be, carries ``number`` to be acknowledged."""
    cuts = list(range(0, len(rows), UPDATE_CHILDREN_MAX)) or ([0] if number else [])
    return [
        Send(peer, Update(number if cut == cuts[-1] else 0, rows[cut : cut + UPDATE_CHILDREN_MAX])) for cut in cuts
    ]
