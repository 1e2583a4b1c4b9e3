"""A replica that alone writes what the processes of its node hold: names, memberships, presences.

    a process here holds something ──> touched ──> watched ──Down──> core.remove_pid: what it held goes, everywhere
    a replica elsewhere says Hello ──────────────> watched ──Down──> core.on_replica_down: its node's leave this view

Invariant: after each batch a process is watched exactly while it holds something.
"""

from __future__ import annotations

from typing import Any

from zmqcluster import _core
from zmqcluster.cluster.replica import Replica
from zmqcluster.core import Down
from zmqcluster.exits import is_expected
from zmqcluster.ids import Pid, Ref
from zmqcluster.protocol.replication import ReplicaJoined, Replication
from zmqcluster.runtime.process import demonitor, is_alive, monitor, trap_exits

__all__ = ["Writer"]


class Writer(Replica):
    """Base of the hosts of such cores."""

    def run_writer(self, name: str, core: Replication) -> None:
        """``run_core``, and watch. What the processes here held in a replica that crashed they hold in this one."""
        trap_exits(True)
        before = _core.current_scheduler().shelf.get(name)
        self._holdings = core
        self._watches: dict[Pid, Ref] = {}
        self.run_core(name, core)
        if before is not None:
            self.perform(core.adopt(before, is_alive, self.now_ms()))
            self.on_written()
            self.flush_soon()

    def on_written(self) -> None:
        """Watch who began to hold something, and no longer who stopped."""
        touched, self._holdings.touched = self._holdings.touched, {}
        for pid in touched:
            if not self._holdings.is_holder(pid):
                ref = self._watches.pop(pid, None)
                if ref is not None:
                    demonitor(ref, flush=True)
            elif pid not in self._watches:
                self._watches[pid] = monitor(pid)

    def on_event(self, event: Any) -> None:
        if isinstance(event, ReplicaJoined):
            monitor(event.replica)

    def on_info(self, message: Any) -> None:
        match message:
            case Down(_, Pid() as pid, _) if pid.node == self._me.node:
                self._watches.pop(pid, None)
                self.perform(self._holdings.remove_pid(pid))
                self._holdings.touched.pop(pid, None)
                self.flush_soon()
            case Down(_, Pid() as replica, reason):
                self.perform(self._holdings.on_replica_down(replica, is_expected(reason), self.now_ms()))
            case _:
                super().on_info(message)

    def terminate(self, reason: Any) -> None:
        if is_expected(reason):
            self.take_down()
