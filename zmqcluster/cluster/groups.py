"""Groups of processes on many nodes, by name: ``Groups``.

    processors = Groups("donation_processors")           # in the children of a supervisor on each node, and as a handle
    processors.join("US-East")                           # the running process is a member now, on all nodes in a moment
    processors.broadcast("US-East", ("process", 1000))   # to every member, one message per node on the way

Joining, leaving and looking need no message and no ``await``: they read and write this node's memory. What is written
goes to the other nodes at once; a process leaves its groups when it ends, and the view of other nodes when its node is
lost. A process that joins a group twice is a member twice, gets broadcasts twice, and must leave twice.

    sender ── broadcast ──> members here
                    └─────> a Distributor on each other node that has members ──> members there
Order: what one process broadcasts comes to each member in that order. Not promised is the order between a broadcast and
a message sent directly to a member on another node.
Source: OTP pg; its scope is the ``scope`` here. Broadcast: Syn publish, and what is sent once per node Phoenix.PubSub.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Any, cast

from zmqcluster import _core
from zmqcluster.cluster.distributor import Distributor, Fanout, deliver_to_all, distribute
from zmqcluster.cluster.replica import nudge, replica_name, shelved
from zmqcluster.cluster.writer import Writer
from zmqcluster.errors import ConfigError, MailboxFull
from zmqcluster.ids import Pid, Ref
from zmqcluster.otp.child_spec import ChildSpec
from zmqcluster.otp.starting import start_process
from zmqcluster.otp.supervisor import Supervisor
from zmqcluster.protocol.effects import Effect, Emit
from zmqcluster.protocol.entries import Key, exact
from zmqcluster.protocol.group_monitors import Joined, Left
from zmqcluster.protocol.groups import Memberships
from zmqcluster.runtime.process import alias, is_alive, receive, unalias

__all__ = ["Groups", "GroupsServer"]

PREFIX = "zmqcluster.groups:"  # of the local name of every replica
DISTRIBUTOR_PREFIX = "zmqcluster.groups.distributor:"

Pids = Pid | Iterable[Pid]


class GroupsServer(Writer):
    """The replica of one scope on one node."""

    BATCH_S = 0.001  # a join is seen elsewhere a millisecond later, and many go out together

    def init(self, name: str) -> None:
        self.run_writer(name, Memberships(_core.self()))

    def on_event(self, event: Any) -> None:
        if isinstance(event, Joined | Left):
            tell_monitor(event)
        else:
            super().on_event(event)


def tell_monitor(event: Joined | Left) -> None:
    with suppress(MailboxFull):
        _core.current_scheduler().deliver(event.ref, event)


def local_members(name: str, group: Key) -> list[Pid]:
    """Return the members of ``group`` on this node, in the replica ``name``; none where it does not run."""
    core: Memberships | None = _core.current_scheduler().shelf.get(name)
    members = None if core is None else core.view.get(group, {}).get(core.me.node)
    return [] if members is None else members.listed()


class Groups:
    """Handle to the groups of ``scope``, and, in a supervisor's children, what starts its replica on a node.

    A group is any hashable value that can be sent, compared exactly: 1, 1.0 and True are three. It is there while it
    has members. Methods raise UsageError on a node where the scope does not run.
    """

    __slots__ = ("_distributor", "_name", "scope")

    def __init__(self, scope: str) -> None:
        self._name = replica_name(PREFIX, scope, "a scope of groups")
        self._distributor = DISTRIBUTOR_PREFIX + scope
        self.scope = scope

    def child_spec(self) -> ChildSpec:
        return ChildSpec(self._name, Supervisor, (self._parts(),))

    async def start_link(self) -> Groups:
        """Start it linked to the running process, where there is no supervisor. Raises StartFailed."""
        await start_process(Supervisor, (self._parts(),), {}, link=True)
        return self

    def _parts(self) -> list[ChildSpec]:
        receivers = partial(local_members, self._name)
        return [
            ChildSpec("replica", GroupsServer, (self._name,), name=self._name),
            ChildSpec("distributor", Distributor, (receivers,), name=self._distributor),
        ]

    # --- members

    def join(self, group: Any, pids: Pids | None = None) -> None:
        """Let processes of this node, by default the running one, be members of ``group``; once more, if they are.

        This node sees it when this returns, others a moment later. A process that has ended does not join.

        Raises:
            ConfigError: one of ``pids`` is no process of this node, or ``group`` is not hashable; nobody has joined.
            EncodeError: ``group`` cannot be sent.
        """
        core, own = self._core(), self._own(pids)
        _check_hashable(group)
        alive = [pid for pid in own if is_alive(pid)]
        self._written(core.join(group, alive))

    def leave(self, group: Any, pids: Pids | None = None) -> bool:
        """Undo one ``join`` of each of these processes; return whether any of them was a member.

        Raises:
            ConfigError: one of ``pids`` is no process of this node; nobody has left.
        """
        core, own = self._core(), self._own(pids)
        has_left, effects = core.leave(group, own)
        if has_left:
            self._written(effects)
        return has_left

    def get_members(self, group: Any) -> list[Pid]:
        """Return the members on all nodes, as far as this one knows; who joined n times is listed n times."""
        return self._core().members(group)

    def get_local_members(self, group: Any) -> list[Pid]:
        """Return the members that are processes of this node."""
        return self._core().local_members(group)

    def which_groups(self) -> list[Any]:
        """Return the groups that have members, as far as this node knows."""
        return self._core().groups()

    def which_local_groups(self) -> list[Any]:
        """Return the groups that have members on this node."""
        return self._core().local_groups()

    # --- broadcast

    def broadcast(self, group: Any, message: Any) -> int:
        """Send ``message`` to the members, as often as each has joined; return to how many, as far as this node knows.

        A node that has members gets it once, and gives it to those it has then.

        Raises:
            EncodeError, FrameTooLarge: it cannot be sent; nobody gets it.
            LinkBusy: the members on that node do not get it; all others do.
        """
        core, name = self._core(), group if type(group) is str else exact(group)
        nodes = core.view.get(name)
        if nodes is None:
            return 0
        count = sum([members.total for members in nodes.values()])
        here = nodes.get(core.me.node)
        others = [node for node in nodes if node != core.me.node]
        distribute(self._distributor, others, here.listed() if here else (), Fanout(name, message))
        return count

    def local_broadcast(self, group: Any, message: Any) -> int:
        """Send ``message`` to the members on this node; return to how many."""
        members = self.get_local_members(group)
        deliver_to_all(members, message)
        return len(members)

    # --- monitors

    def monitor(self, group: Any) -> tuple[Ref, list[Pid]]:
        """Return a ref and the members; each change after that comes as ``Joined(ref, ...)`` or ``Left(ref, ...)``.

        Nothing is missed and nothing comes twice: the members with what is told since are the members at any time. A
        process may call this more than once, and gets a ref and all events for each.

        Raises:
            NotInProcess: there is nobody to tell.
        """
        core = self._core()
        exact(group)  # raises before there is a ref
        ref = alias()
        members = core.monitor(ref, group, _core.self())
        nudge(self._name)
        return ref, members

    def monitor_scope(self) -> tuple[Ref, dict[Any, list[Pid]]]:
        """As ``monitor``, for all groups of the scope; what is returned is {group: members}."""
        core, ref = self._core(), alias()
        members = core.monitor_scope(ref, _core.self())
        nudge(self._name)
        return ref, members

    def demonitor(self, ref: Ref) -> bool:
        """End a monitor of the running process; no event of it comes after this. Return whether there was one."""
        if not self._core().demonitor(ref, _core.self()):
            return False
        unalias(ref)
        _drop_events(ref)
        nudge(self._name)
        return True

    def __repr__(self) -> str:
        return f"Groups({self.scope!r})"

    # --- inside

    def _core(self) -> Memberships:
        core = _core.current_scheduler().shelf.get(self._name)
        return cast(Memberships, shelved(self._name) if core is None else core)

    def _own(self, pids: Pids | None) -> list[Pid]:
        if pids is None:
            return [_core.self()]
        here = _core.current_scheduler().node
        listed = list(pids) if isinstance(pids, Iterable) else [pids]
        for pid in listed:
            if not isinstance(pid, Pid) or pid.node != here:
                raise ConfigError(f"{pid!r} is no process of {here}: it joins and leaves on its own node")
        return listed

    def _written(self, effects: list[Effect]) -> None:
        for effect in effects:
            assert isinstance(effect, Emit)
            tell_monitor(effect.event)
        nudge(self._name)


def _check_hashable(group: Any) -> None:
    try:
        hash(group)
    except TypeError:
        raise ConfigError(f"a group is named by a hashable value, not {group!r}") from None


def _drop_events(ref: Ref) -> None:
    """Take the events of ``ref`` out of the mailbox of the running process."""

    def is_event(message: Any) -> bool:
        return isinstance(message, Joined | Left) and message.ref == ref

    with suppress(TimeoutError):
        while True:
            # A receive that only looks never waits, so it needs no await.
            with suppress(StopIteration):
                next(receive(is_event, timeout_s=0).__await__())
