"""Who wants to know of which groups, and what they are told.

    by ref     r1 (g, P)   r2 (None, P)   r3 (g, Q)          None: all groups of the scope
    by group   g {r1, r3}   None {r2}                        a change of g is told to r1, r3 and r2
    by pid     P {r1, r2}   Q {r3}                           what goes when P ends

Invariant: the three say the same. Rule: a process may have any number of monitors, on one group too, and each of them
is told on its own. Source: pg:monitor/2 and pg:monitor_scope/1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from zmqcluster.core import message
from zmqcluster.ids import Pid, Ref
from zmqcluster.protocol.effects import Effect, Emit
from zmqcluster.protocol.entries import Key, plain

__all__ = ["GroupMonitors", "Joined", "Left", "Step"]

K = TypeVar("K")

Step = tuple[Key, Pid, int]  # a group, a process, and how many times more, or less, it is a member


@message(tag="groups.joined")
@dataclass(frozen=True, slots=True)
class Joined:
    """To the monitor ``ref``: each of ``pids`` has become a member of ``group`` once more.

    ``reason`` is ``join``, or ``scope_up``: their node has become known, or all its groups were compared.
    """

    ref: Ref
    group: Any
    pids: list[Pid]
    reason: Literal["join", "scope_up"] = "join"


@message(tag="groups.left")
@dataclass(frozen=True, slots=True)
class Left:
    """To the monitor ``ref``: each of ``pids`` is a member of ``group`` once less.

    ``reason`` is ``leave``, also when they have ended, or ``scope_down``: their node is lost, or all its groups were
    compared.
    """

    ref: Ref
    group: Any
    pids: list[Pid]
    reason: Literal["leave", "scope_down"] = "leave"


class GroupMonitors:
    """The monitors of one scope on one node."""

    __slots__ = ("_by_group", "_by_pid", "_by_ref")

    def __init__(self) -> None:
        self._by_ref: dict[Ref, tuple[Key | None, Pid]] = {}
        self._by_group: dict[Key | None, dict[Ref, None]] = {}
        self._by_pid: dict[Pid, dict[Ref, None]] = {}

    def add(self, ref: Ref, group: Key | None, pid: Pid) -> None:
        """Let ``ref`` stand for the wish of ``pid`` to know of ``group``, or of all."""
        self._by_ref[ref] = (group, pid)
        self._by_group.setdefault(group, {})[ref] = None
        self._by_pid.setdefault(pid, {})[ref] = None

    def remove(self, ref: Ref) -> None:
        """End a monitor."""
        group, pid = self._by_ref.pop(ref)
        _discard(self._by_group, group, ref)
        _discard(self._by_pid, pid, ref)

    def remove_pid(self, pid: Pid) -> None:
        """End all monitors of a process."""
        for ref in list(self._by_pid.get(pid, ())):
            self.remove(ref)

    def is_owner(self, pid: Pid, ref: Ref) -> bool:
        """Whether ``ref`` is a monitor of ``pid``."""
        return ref in self._by_pid.get(pid, ())

    def pids(self) -> list[Pid]:
        """Return the processes that have a monitor."""
        return list(self._by_pid)

    def has(self, pid: Pid) -> bool:
        """Whether ``pid`` has a monitor."""
        return pid in self._by_pid

    def told(self, steps: Iterable[Step], *, is_whole: bool = False) -> list[Effect]:
        """Return what the monitors are told of ``steps``, those of one group that follow each other in one event.

        Args:
            is_whole: a node came or went, or all its groups were compared.
        """
        if not self._by_ref:
            return []
        effects: list[Effect] = []
        for name, is_more, pids in _runs(steps):
            for ref in (*self._by_group.get(name, ()), *self._by_group.get(None, ())):
                if is_more:
                    effects.append(Emit(Joined(ref, plain(name), pids, "scope_up" if is_whole else "join")))
                else:
                    effects.append(Emit(Left(ref, plain(name), pids, "scope_down" if is_whole else "leave")))
        return effects


def _runs(steps: Iterable[Step]) -> list[tuple[Key, bool, list[Pid]]]:
    runs: list[tuple[Key, bool, list[Pid]]] = []
    for name, pid, difference in steps:
        if difference:
            is_more = difference > 0
            if not runs or runs[-1][0] != name or runs[-1][1] is not is_more:
                runs.append((name, is_more, []))
            runs[-1][2].extend([pid] * abs(difference))
    return runs


def _discard(table: dict[K, dict[Ref, None]], key: K, ref: Ref) -> None:
    refs = table[key]
    del refs[ref]
    if not refs:
        del table[key]
