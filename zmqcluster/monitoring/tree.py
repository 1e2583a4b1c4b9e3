"""The supervision trees of a node, read off the supervisors themselves: nobody is called, so nobody has to answer.

    Branch(supervisor) ── children in start order, with ids ── Branch(worker), Branch(supervisor), ...
                       └─ whatever else was started as its child, as its parent tells

Invariant: a process is in one branch at most; a child that does not run has a branch without a pid.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from zmqcluster import _core
from zmqcluster._ids import Pid
from zmqcluster.core import Scheduler, message
from zmqcluster.otp.children import ChildInfo

__all__ = ["Branch", "tree"]


@message(tag="inspect.branch")
@dataclass(frozen=True, slots=True)
class Branch:
    """A supervised process and what is below it. ``left_out`` children are not among the ``children``.

    ``id`` is the one in its supervisor, None at a root and for a child that no supervisor lists; ``state`` is running,
    restarting or stopped.
    """

    id: str | None
    pid: Pid | None
    label: str
    names: tuple[str, ...]
    kind: str
    state: str
    children: tuple[Branch, ...] = ()
    left_out: int = 0


def tree(children_max: int | None = None) -> list[Branch]:
    """The supervision trees of this node, the oldest root first.

    Args:
        children_max: show so many children of each supervisor at most.
    """
    scheduler = _core.current_scheduler()
    parents = {pid: (scheduler.describe(pid) or {}).get("parent") for pid in scheduler.pids()}
    grower = _Grower(scheduler, parents, children_max)
    return [grower.branch(None, pid) for pid, parent in parents.items() if grower.is_root(pid, parent)]


class _Grower:
    """Builds branches from one reading of who is whose parent."""

    def __init__(self, scheduler: Scheduler, parents: dict[Pid, Pid | None], children_max: int | None) -> None:
        self._scheduler = scheduler
        self._children_max = children_max
        self._started: dict[Pid, list[Pid]] = {}
        for pid, parent in parents.items():
            if parent is not None:
                self._started.setdefault(parent, []).append(pid)

    def is_root(self, pid: Pid, parent: Pid | None) -> bool:
        """Whether a tree begins here: it has children, and its own parent serves nobody."""
        has_children = self._is_supervisor(pid) or pid in self._started
        return has_children and self._server(pid) is not None and (parent is None or self._server(parent) is None)

    def branch(self, id: str | None, pid: Pid) -> Branch:
        children = self._listed(pid)
        known = {child.pid for child in children}
        children += [ChildInfo("", each, "running", "") for each in self._started.get(pid, ()) if each not in known]
        shown = children[: self._children_max]
        seen = self._scheduler.describe(pid) or {}
        return Branch(
            id,
            pid,
            str(seen.get("label")),
            tuple(seen.get("names", ())),
            "supervisor" if children or self._is_supervisor(pid) else "worker",
            "running",
            tuple(self._child(child) for child in shown),
            len(children) - len(shown),
        )

    def _child(self, child: ChildInfo) -> Branch:
        if child.pid is not None and self._scheduler.describe(child.pid) is not None:
            return self.branch(child.id or None, child.pid)
        return Branch(child.id, child.pid, "", (), child.kind, "stopped" if child.pid else child.state)

    def _listed(self, pid: Pid) -> list[ChildInfo]:
        """What the supervisor itself would answer; the plain function behind its call only reads."""
        server = self._server(pid)
        which_children = getattr(type(server), "which_children", None)
        if not self._is_supervisor(pid) or which_children is None:
            return []
        try:
            listed: Iterable[ChildInfo] = which_children.function(server)
        except AttributeError:  # its init has not got so far
            return []
        return list(listed)

    def _is_supervisor(self, pid: Pid) -> bool:
        return bool(getattr(self._server(pid), "is_supervisor", False))

    def _server(self, pid: Pid) -> Any:
        return self._scheduler.server_of(pid)
