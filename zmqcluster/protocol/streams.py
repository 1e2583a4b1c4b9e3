"""A map with one writer, and its copies: each change has a number, and a copy takes the next one only.

    Stream   entries  {key: entry}     log   ... [41: drop k] [42: put j] [43: put k]     sequence 43
    Copy     entries  {key: entry}     sequence 41, ahead {43: [put k]}    -> its reader asks the writer for 42

The pid of its writing replica names a stream: whoever restarts, node or replica, begins another one, and what is still
on its way of the earlier one is recognised. No order of incarnations is needed.
Invariant: a copy at sequence n equals the writer's map at n; the checksums say whether it does.
Source: Syn's one authority for each process. Horde's shared map needs a version vector of all who ever wrote to it.
"""

from __future__ import annotations

from zmqcluster.ids import Pid
from zmqcluster.protocol.entries import Change, Delta, Digest, Entries, Entry, Key, Snapshot

__all__ = ["Copy", "Stream"]

LOG_CHANGES_MAX = 4_096  # what a copy may surely miss and be repaired change by change; beyond it gets a snapshot
AHEAD_DELTAS_MAX = 64  # deltas a copy keeps while it waits for the ones before; beyond it the repair brings them again
PART_ENTRIES_MAX = 1_000  # changes in one delta, entries in one part of a snapshot: other messages pass in between


class Stream:
    """The writer's side: its entries, and its last changes by number."""

    __slots__ = ("_unsent_count", "entries", "log", "pid", "sequence")

    def __init__(self, pid: Pid) -> None:
        self.pid = pid
        self.sequence = 0
        self.entries = Entries()
        self.log: list[Change] = []
        self._unsent_count = 0

    def put(self, key: Key, entry: Entry) -> None:
        self.entries.put(key, entry)
        self._note((key, *entry))

    def drop(self, key: Key) -> None:
        self.entries.drop(key)
        self._note((key,))

    def _note(self, change: Change) -> None:
        self.log.append(change)
        if len(self.log) >= 2 * LOG_CHANGES_MAX:
            del self.log[:-LOG_CHANGES_MAX]
        self.sequence += 1
        self._unsent_count += 1

    def unsent(self) -> list[Delta]:
        """Return the changes since the last call; those that have left the log are missed and asked for."""
        count, self._unsent_count = min(self._unsent_count, len(self.log)), 0
        first, fresh = self.sequence - count + 1, self.log[len(self.log) - count :]
        cuts = range(0, count, PART_ENTRIES_MAX)
        return [Delta(self.pid, first + cut, fresh[cut : cut + PART_ENTRIES_MAX]) for cut in cuts]

    def since(self, after: int) -> Delta | None:
        """Return what follows ``after``, or None when the log does not reach back so far."""
        missed = self.sequence - after
        if not 0 <= missed <= len(self.log):
            return None
        return Delta(self.pid, after + 1, self.log[len(self.log) - missed :])

    def snapshot(self) -> list[Snapshot]:
        """Return all entries, in parts."""
        rows = self.entries.rows()
        cuts = range(0, max(len(rows), 1), PART_ENTRIES_MAX)
        return [
            Snapshot(self.pid, self.sequence, part, len(cuts), rows[cut : cut + PART_ENTRIES_MAX])
            for part, cut in enumerate(cuts)
        ]

    def digest(self) -> Digest:
        return Digest(self.pid, self.sequence, self.entries.checksum)


class Copy:
    """A reader's side. ``sequence`` is -1 until the first snapshot is complete.

    Args:
        pid: of the writing replica.
        before: the copy of its predecessor on the same node, whose entries are shown until then.
    """

    __slots__ = ("_ahead", "_arrived", "entries", "pid", "sequence")

    def __init__(self, pid: Pid, before: Copy | None = None) -> None:
        self.pid = pid
        self.sequence = -1
        self.entries: Entries = Entries() if before is None else before.entries
        self._ahead: dict[int, list[Change]] = {}
        self._arrived: list[Change] = []

    def take(self, delta: Delta) -> list[Change] | None:
        """Apply what is new in ``delta`` and what waited for it; return those changes, None when some are missing."""
        if self.sequence < 0 or delta.first > self.sequence + 1:
            if len(self._ahead) < AHEAD_DELTAS_MAX:
                self._ahead[delta.first] = delta.changes
            return None
        return self._apply(delta.first, delta.changes) + self._take_ahead()

    def install(self, snapshot: Snapshot) -> list[Change]:
        """Collect a part; the last one replaces the entries, unless newer ones are here.

        Returns:
            The changes that this made; none while the snapshot is incomplete, or when it is old.
        """
        if snapshot.part == 0:
            self._arrived = []
        self._arrived += snapshot.entries
        if snapshot.part + 1 < snapshot.parts:
            return []
        rows, self._arrived = self._arrived, []
        if snapshot.sequence < self.sequence:
            return []
        before, self.entries, self.sequence = self.entries, Entries(), snapshot.sequence
        for row in rows:
            self.entries.perform(row)
        return _differences(before, self.entries) + self._take_ahead()

    def clear(self) -> list[Change]:
        """Drop all entries; return the changes that this made."""
        gone, self.entries = self.entries, Entries()
        return [(key,) for key in gone]

    def _take_ahead(self) -> list[Change]:
        taken: list[Change] = []
        for first in sorted(self._ahead):
            if first > self.sequence + 1:
                break
            taken += self._apply(first, self._ahead.pop(first))
        return taken

    def _apply(self, first: int, changes: list[Change]) -> list[Change]:
        fresh = changes[self.sequence + 1 - first :]
        for change in fresh:
            self.entries.perform(change)
        self.sequence += len(fresh)
        return fresh


def _differences(before: Entries, after: Entries) -> list[Change]:
    gone: list[Change] = [(key,) for key in before if key not in after]
    return gone + [(key, *entry) for key, entry in after.items() if before.get(key) != entry]
