"""Who is present at which topic, under which key and with what about it: each node writes that of its own processes.

    node a   stream a  {("room", "ada", P1): {"device": "phone"}}
    node b   stream b  {("room", "ada", P2): {"device": "desk"}}
    view     "room": {"ada": {P1: Tracked(P1, {"device": "phone"}, 1), P2: Tracked(P2, {"device": "desk"}, 4)}}

One key stands for a person or a thing, and has an entry for each process tracked under it: two devices of one user are
one key. How streams come to the other nodes is told in ``replication``.

Invariant: the view is the sum of the streams known here; what the diffs of a topic said, one after the other, is the
view. An update is a leave and a join of one process in one diff, with another ref.
Source: Phoenix.Tracker, whose replicas all write one map, and clean up after those that are gone for long. Here a lost
node's presences leave with it and come back with it, and those of an earlier life never do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from zmqcluster.core import decode, encode, message
from zmqcluster.errors import AlreadyTracked, NotTracked
from zmqcluster.ids import Pid
from zmqcluster.protocol.effects import Effect, Emit
from zmqcluster.protocol.entries import Change, Entry, Key
from zmqcluster.protocol.replication import DIGEST_MS, Replication
from zmqcluster.protocol.streams import Copy

__all__ = ["PresenceDiff", "Presences", "Tracked"]


@message(tag="presence.tracked")
@dataclass(frozen=True, slots=True)
class Tracked:
    """A process that is present, and what it says about itself. ``ref`` is another one after each update."""

    pid: Pid
    meta: Any
    ref: int


@message(tag="presence.diff")
@dataclass(frozen=True, slots=True)
class PresenceDiff:
    """What changed at ``topic``: by key, who came and who went. Take the joins first: an update is in both."""

    topic: str
    joins: dict[str, list[Tracked]] = field(default_factory=dict)
    leaves: dict[str, list[Tracked]] = field(default_factory=dict)


Topic = dict[str, dict[Pid, Tracked]]  # by key


class Diffs:
    """Collects what changed, by topic."""

    def __init__(self) -> None:
        self._by_topic: dict[str, PresenceDiff] = {}

    def add(self, topic: str, key: str, before: Tracked | None, after: Tracked | None) -> None:
        if before == after:
            return
        diff = self._by_topic.setdefault(topic, PresenceDiff(topic))
        if before is not None:
            diff.leaves.setdefault(key, []).append(before)
        if after is not None:
            diff.joins.setdefault(key, []).append(after)

    def effects(self) -> list[Effect]:
        return [Emit(diff) for diff in self._by_topic.values()]


class Presences(Replication):
    """One replica of a scope of presences."""

    def __init__(self, me: Pid, *, digest_ms: int = DIGEST_MS) -> None:
        super().__init__(me, digest_ms=digest_ms)
        self.view: dict[str, Topic] = {}
        self._time = 0  # of the last write

    # --- what processes ask

    def track(self, topic: str, key: str, pid: Pid, meta: Any) -> tuple[int, list[Effect]]:
        """Let ``pid``, a process of this node, be present; return its ref. ``flush`` tells the others.

        Raises:
            AlreadyTracked: it is, at this topic under this key.
        """
        if self._find(topic, key, pid) is not None:
            raise AlreadyTracked(topic, key, pid)
        return self._write(topic, key, pid, meta)

    def update(self, topic: str, key: str, pid: Pid, change: Callable[[Any], Any]) -> tuple[int, list[Effect]]:
        """Let what ``pid`` says about itself be ``change`` of what it said; return its new ref.

        Raises:
            NotTracked: it is not present at this topic under this key.
        """
        tracked = self._find(topic, key, pid)
        if tracked is None:
            raise NotTracked(topic, key, pid)
        return self._write(topic, key, pid, change(tracked.meta))

    def untrack(self, topic: str, key: str, pid: Pid) -> tuple[bool, list[Effect]]:
        """Let ``pid`` not be present any more; return whether it was."""
        diffs, was_there = Diffs(), self._find(topic, key, pid) is not None
        if was_there:
            self._erase(topic, key, pid, diffs)
        return was_there, diffs.effects()

    def remove_pid(self, pid: Pid) -> list[Effect]:
        """A process of this node has ended, or wants to be nowhere present."""
        diffs = Diffs()
        for name in list(self._held.get(pid, ())):
            topic, key, _ = _parts(name)
            self._erase(topic, key, pid, diffs)
        return diffs.effects()

    def present(self, topic: str) -> dict[str, list[Tracked]]:
        """Return who is present at ``topic``, by key."""
        return {key: [*tracked.values()] for key, tracked in self.view.get(topic, {}).items()}

    def get_by_key(self, topic: str, key: str) -> list[Tracked]:
        """Return who is present at ``topic`` under ``key``."""
        return [*self.view.get(topic, {}).get(key, {}).values()]

    # --- replicas

    def adopt(self, before: Replication, is_alive: Callable[[Pid], bool], now_ms: int) -> list[Effect]:
        """See ``Replication.adopt``. The presences on other nodes have left until they come anew."""
        assert isinstance(before, Presences)
        self._time, diffs = before._time, Diffs()
        for topic, keys in before.view.items():
            for key, entries in keys.items():
                for pid, tracked in entries.items():
                    if pid.node == self.me.node and is_alive(pid):
                        self._put(_name(topic, key, pid), Entry(pid, tracked.meta, tracked.ref, 0))
                        self._show(topic, key, pid, tracked, Diffs())
                    else:
                        diffs.add(topic, key, tracked, None)
        return diffs.effects()

    def merge(self, copy: Copy, changes: list[Change], now_ms: int) -> list[Effect]:
        """Show what changed in ``copy``."""
        node, incarnation, diffs = copy.pid.node, copy.pid.incarnation, Diffs()
        for change in changes:
            topic, key, number = _parts(change[0])
            if len(change) == 1:
                self._show(topic, key, Pid(node, incarnation, number), None, diffs)
            else:
                self._show(topic, key, change[1], Tracked(change[1], change[2], change[3]), diffs)
        return diffs.effects()

    # --- inside

    def _find(self, topic: str, key: str, pid: Pid) -> Tracked | None:
        return self.view.get(topic, {}).get(key, {}).get(pid)

    def _write(self, topic: str, key: str, pid: Pid, meta: Any) -> tuple[int, list[Effect]]:
        encode(meta)  # the mistake is the caller's, not the replica's
        self._time += 1
        self._put(_name(topic, key, pid), Entry(pid, meta, self._time, 0))
        diffs = Diffs()
        self._show(topic, key, pid, Tracked(pid, meta, self._time), diffs)
        return self._time, diffs.effects()

    def _erase(self, topic: str, key: str, pid: Pid, diffs: Diffs) -> None:
        self._drop(_name(topic, key, pid))
        self._show(topic, key, pid, None, diffs)

    def _show(self, topic: str, key: str, pid: Pid, tracked: Tracked | None, diffs: Diffs) -> None:
        """Let the view say so."""
        keys = self.view.setdefault(topic, {})
        entries = keys.setdefault(key, {})
        diffs.add(topic, key, entries.pop(pid, None), tracked)
        if tracked is not None:
            entries[pid] = tracked
        if not entries:
            del keys[key]
        if not keys:
            del self.view[topic]


def _name(topic: str, key: str, pid: Pid) -> bytes:
    return encode((topic, key, pid.id))


def _parts(name: Key) -> tuple[str, str, int]:
    """Return topic, key and the number of the process."""
    return cast(tuple[str, str, int], decode(cast(bytes, name)))
