"""Who is there, on all nodes, and what about them: ``Presence``.

    chat, online = PubSub("chat"), Presence("online", pubsub=PubSub("chat"))      # both in the children, on each node
    chat.subscribe("room:7")
    online.track("room:7", "ada", {"device": "phone"})   # the running process; present until it ends
    online.list("room:7")                                # {"ada": [Tracked(pid, {"device": "phone"}, ref)]}

Tracking and looking read and write this node's memory, with no message and no ``await``. What changed comes to the
subscribers of the topic as ``PresenceDiff(topic, joins, leaves)``, on every node from the replica there: also when a
node is lost (its presences leave) and when it comes back (they join again). A process that subscribes and lists with no
``await`` in between misses nothing and sees nothing twice.

A presence is written on the node of its process. To change one from elsewhere, ask the process.
Source: Phoenix.Presence and Phoenix.Tracker. There is no down period of its own: a node is down when its session is.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, cast

from zmqcluster import _core
from zmqcluster.cluster.pubsub import PubSub
from zmqcluster.cluster.replica import nudge, replica_name, shelved
from zmqcluster.cluster.writer import Writer
from zmqcluster.errors import ConfigError, NoProcessError, UsageError
from zmqcluster.ids import Pid
from zmqcluster.otp.child_spec import ChildSpec
from zmqcluster.otp.starting import start_process
from zmqcluster.protocol.effects import Effect, Emit
from zmqcluster.protocol.presence import PresenceDiff, Presences, Tracked
from zmqcluster.runtime.process import is_alive

__all__ = ["Presence", "PresenceServer"]

PREFIX = "zmqcluster.presence:"  # of the local name of every replica

Present = list[Tracked]
Effects = list[Effect]


class PresenceServer(Writer):
    """The replica of one scope on one node."""

    BATCH_S = 0.001  # a presence is seen elsewhere a millisecond later, and many go out together

    def init(self, name: str, pubsub: PubSub | None) -> None:
        self._pubsub = pubsub
        if pubsub is not None:
            pubsub.subscribers("")  # raises where it does not run
        self.run_writer(name, Presences(_core.self()))

    def on_event(self, event: Any) -> None:
        if isinstance(event, PresenceDiff):
            tell_subscribers(self._pubsub, event)
        else:
            super().on_event(event)


def tell_subscribers(pubsub: PubSub | None, diff: PresenceDiff) -> None:
    if pubsub is not None:
        with suppress(UsageError):  # it is being started again, and who had subscribed has ended with it
            pubsub.local_broadcast(diff.topic, diff)


class Presence:
    """Handle to the presences of ``scope``, and, in a supervisor's children, what starts its replica on a node.

    Args:
        scope: the same on all nodes that take part.
        pubsub: subscribers of a topic there get the diffs of the topic here; it stands before this in the children.

    Topics and keys are strings. Methods raise UsageError on a node where it does not run.
    """

    __slots__ = ("_name", "pubsub", "scope")

    def __init__(self, scope: str, *, pubsub: PubSub | None = None) -> None:
        if pubsub is not None and not isinstance(pubsub, PubSub):
            raise ConfigError(f"pubsub is a PubSub, not {pubsub!r}")
        self._name = replica_name(PREFIX, scope, "a Presence")
        self.pubsub = pubsub
        self.scope = scope

    def child_spec(self) -> ChildSpec:
        return ChildSpec(self._name, PresenceServer, (self._name, self.pubsub), name=self._name)

    async def start_link(self) -> Presence:
        """Start it linked to the running process, where there is no supervisor. Raises AlreadyStarted."""
        await start_process(PresenceServer, (self._name, self.pubsub), {}, name=self._name, link=True)
        return self

    # --- write: processes of this node

    def track(self, topic: str, key: str, meta: Any = None, pid: Pid | None = None) -> int:
        """Let a process, by default the running one, be present at ``topic`` under ``key``; return its ref.

        This node sees it when this returns, others a moment later.

        Args:
            meta: what others see of it; a few words, for every node keeps them.
        Raises:
            AlreadyTracked: it is present there.
            NoProcessError: it has ended.
            ConfigError: it is a process of another node, or topic or key is no string.
            EncodeError: ``meta`` cannot be sent.
        """
        core, own = self._core(), _own(pid)
        _check_names(topic, key)
        if not is_alive(own):
            raise NoProcessError(own)
        ref, effects = core.track(topic, key, own, meta)
        self._written(effects)
        return ref

    def update(self, topic: str, key: str, meta: Any, pid: Pid | None = None) -> int:
        """Change what a process says about itself; return its new ref. Others see a leave and a join in one diff.

        Args:
            meta: the new one, or a function that is given the old one and returns it; it runs here and now.
        Raises:
            NotTracked: the process is not present there.
            ConfigError, EncodeError: as for ``track``; nothing was changed.
        """
        change = meta if callable(meta) else lambda _: meta
        ref, effects = self._core().update(topic, key, _own(pid), change)
        self._written(effects)
        return ref

    def untrack(self, topic: str, key: str, pid: Pid | None = None) -> bool:
        """Let a process not be present there any more; return whether it was."""
        was_there, effects = self._core().untrack(topic, key, _own(pid))
        if was_there:
            self._written(effects)
        return was_there

    def untrack_all(self, pid: Pid | None = None) -> None:
        """Let a process be nowhere present, as if it had ended."""
        self._written(self._core().remove_pid(_own(pid)))

    # --- read

    def list(self, topic: str) -> dict[str, Present]:
        """Return who is present at ``topic`` on all nodes, by key, as far as this node knows."""
        return self._core().present(topic)

    def get_by_key(self, topic: str, key: str) -> Present:
        """Return who is present at ``topic`` under ``key``; empty when nobody is."""
        return self._core().get_by_key(topic, key)

    def __repr__(self) -> str:
        return f"Presence({self.scope!r})"

    # --- inside

    def _core(self) -> Presences:
        core = _core.current_scheduler().shelf.get(self._name)
        return cast(Presences, shelved(self._name) if core is None else core)

    def _written(self, effects: Effects) -> None:
        for effect in effects:
            assert isinstance(effect, Emit)
            tell_subscribers(self.pubsub, effect.event)
        nudge(self._name)


def _own(pid: Pid | None) -> Pid:
    here = _core.current_scheduler().node
    own = _core.self() if pid is None else pid
    if not isinstance(own, Pid) or own.node != here:
        raise ConfigError(f"{own!r} is no process of {here}: a presence is written on the node of its process")
    return own


def _check_names(topic: Any, key: Any) -> None:
    if not isinstance(topic, str) or not isinstance(key, str):
        raise ConfigError(f"a topic and a key are strings, not {topic!r} and {key!r}")
