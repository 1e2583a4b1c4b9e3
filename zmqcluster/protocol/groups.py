"""Groups of processes: each node writes the memberships of its own processes, and everybody copies them.

    node a   stream a  {(g, P1): 2}     view  g: {a: {P1: 2}, b: {P2: 1}}       what every node answers
    node b   stream b  {(g, P2): 1}           P1 joined twice: it is a member twice, and leaves twice

How streams come to the other nodes is told in ``replication``. A key of a stream is the wire form of the group and the
number of the process: both sides find the two in it.

Invariant: the view is the sum of the streams known here; a group without members is not in it. What a monitor was told,
added to the snapshot it began with, is the view.
Rules: only processes of this node join here. A member's end takes all its memberships.
Source: OTP pg. There a scope process that is started again has lost its node's members; here it takes them up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from zmqcluster.core import decode, encode
from zmqcluster.ids import Pid, Ref
from zmqcluster.protocol.effects import Effect
from zmqcluster.protocol.entries import Change, Entry, Key, exact, plain
from zmqcluster.protocol.group_monitors import GroupMonitors, Step
from zmqcluster.protocol.replication import DIGEST_MS, Replication
from zmqcluster.protocol.streams import Copy

__all__ = ["Members", "Memberships"]


class Members(dict[Pid, int]):
    """The members of one group on one node, and how often each has joined; ``total`` counts the latter."""

    __slots__ = ("total",)

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def listed(self) -> list[Pid]:
        """Return each as often as it has joined."""
        if self.total == len(self):
            return list(self)
        return [pid for pid, count in self.items() for _ in range(count)]


class Memberships(Replication):
    """One replica of a scope of groups."""

    def __init__(self, me: Pid, *, digest_ms: int = DIGEST_MS) -> None:
        super().__init__(me, digest_ms=digest_ms)
        self.view: dict[Key, dict[str, Members]] = {}  # of each group, its members by node
        self._monitors = GroupMonitors()
        self._time = 0  # of the last write

    # --- what processes ask

    def join(self, group: Any, pids: list[Pid]) -> list[Effect]:
        """Let each of ``pids``, processes of this node, be a member once more; ``flush`` tells the others."""
        name = exact(group)
        for pid in pids:
            self._write(name, pid, self._count(name, pid) + 1)
        return self._monitors.told((name, pid, 1) for pid in pids)

    def leave(self, group: Any, pids: list[Pid]) -> tuple[bool, list[Effect]]:
        """Let each of ``pids`` be a member once less; return whether any of them was one."""
        name = exact(group)
        steps: list[Step] = []
        for pid in pids:
            if (count := self._count(name, pid)) > 0:
                self._write(name, pid, count - 1)
                steps.append((name, pid, -1))
        return bool(steps), self._monitors.told(steps)

    def remove_pid(self, pid: Pid) -> list[Effect]:
        """A process of this node has ended: all its memberships and monitors go."""
        self._monitors.remove_pid(pid)
        steps: list[Step] = []
        for key in list(self._held.get(pid, ())):
            name, _ = _parts(key)
            steps.append((name, pid, -self._count(name, pid)))
            self._write(name, pid, 0)
        return self._monitors.told(steps)

    def members(self, group: Any) -> list[Pid]:
        """Return the members, each as often as it has joined."""
        nodes = self.view.get(group if type(group) is str else exact(group), {})
        return [pid for members in nodes.values() for pid in members.listed()]

    def local_members(self, group: Any) -> list[Pid]:
        """Return the members that are processes of this node."""
        members = self.view.get(exact(group), {}).get(self.me.node)
        return [] if members is None else members.listed()

    def groups(self) -> list[Any]:
        """Return the groups that have members."""
        return [plain(name) for name in self.view]

    def local_groups(self) -> list[Any]:
        """Return the groups that have members on this node."""
        return [plain(name) for name, nodes in self.view.items() if self.me.node in nodes]

    def is_holder(self, pid: Pid) -> bool:
        """Whether ``pid``, a process of this node, is a member or a monitor of any group."""
        return super().is_holder(pid) or self._monitors.has(pid)

    # --- monitors

    def monitor(self, ref: Ref, group: Any, pid: Pid) -> list[Pid]:
        """Tell ``ref``, for ``pid``, what changes in ``group`` from now on; return its members."""
        self._monitors.add(ref, exact(group), pid)
        self.touched[pid] = None
        return self.members(group)

    def monitor_scope(self, ref: Ref, pid: Pid) -> dict[Any, list[Pid]]:
        """Tell ``ref``, for ``pid``, what changes in any group from now on; return the members of each."""
        self._monitors.add(ref, None, pid)
        self.touched[pid] = None
        return {group: self.members(group) for group in self.groups()}

    def demonitor(self, ref: Ref, pid: Pid) -> bool:
        """End the monitor ``ref`` of ``pid``; return whether it is one."""
        if not self._monitors.is_owner(pid, ref):
            return False
        self._monitors.remove(ref)
        self.touched[pid] = None
        return True

    # --- replicas

    def adopt(self, before: Replication, is_alive: Callable[[Pid], bool], now_ms: int) -> list[Effect]:
        """See ``Replication.adopt``. To the monitors, the members on other nodes have left until they come anew."""
        assert isinstance(before, Memberships)
        self._time, self._monitors = before._time, before._monitors
        self.touched |= dict.fromkeys(self._monitors.pids())
        gone: list[Step] = []
        for name, nodes in before.view.items():
            for node, members in nodes.items():
                for pid, count in members.items():
                    if node == self.me.node and is_alive(pid):
                        self._write(name, pid, count)
                    else:
                        gone.append((name, pid, -count))
        return self._monitors.told(gone, is_whole=True)

    def merge(self, copy: Copy, changes: list[Change], now_ms: int) -> list[Effect]:
        return self._monitors.told(self._take(copy, changes))

    def merge_all(self, copy: Copy, changes: list[Change], now_ms: int) -> list[Effect]:
        by_group = sorted(changes, key=_key_bytes)
        return self._monitors.told(self._take(copy, by_group), is_whole=True)

    def _take(self, copy: Copy, changes: list[Change]) -> list[Step]:
        """Show what changed in ``copy``."""
        node, incarnation = copy.pid.node, copy.pid.incarnation
        steps: list[Step] = []
        for change in changes:
            name, number = _parts(change[0])
            pid, count = (change[1], change[2]) if len(change) > 1 else (Pid(node, incarnation, number), 0)
            steps.append((name, pid, self._show(name, pid, count)))
        return steps

    # --- inside

    def _count(self, name: Key, pid: Pid) -> int:
        members = self.view.get(name, {}).get(pid.node)
        return 0 if members is None else members.get(pid, 0)

    def _write(self, name: Key, pid: Pid, count: int) -> None:
        """Let a process of this node be a member so often."""
        key = encode((name, pid.id))
        if count:
            self._time += 1
            self._put(key, Entry(pid, count, self._time, 0))
        else:
            self._drop(key)
        self._show(name, pid, count)

    def _show(self, name: Key, pid: Pid, count: int) -> int:
        """Let the view say so; return the difference."""
        nodes = self.view.setdefault(name, {})
        members = nodes.get(pid.node)
        if members is None:
            members = nodes[pid.node] = Members()
        difference = count - members.get(pid, 0)
        members.total += difference
        if count:
            members[pid] = count
        else:
            members.pop(pid, None)
        if not members:
            del nodes[pid.node]
        if not nodes:
            del self.view[name]
        return difference


def _parts(key: Key) -> tuple[Key, int]:
    """Return the group and the number of the process."""
    return cast(tuple[Key, int], decode(cast(bytes, key)))


def _key_bytes(change: Change) -> bytes:
    return cast(bytes, change[0])
