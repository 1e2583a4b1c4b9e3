"""Topics: what is broadcast to one comes to every process that has subscribed to it, on all nodes: ``PubSub``.

    chat = PubSub("chat")                                # in the children of a supervisor on each node, and as a handle
    chat.subscribe("room:7")                             # the running process; plain messages come to its mailbox
    chat.broadcast("room:7", ("said", "hello"))          # once per node on the way, and there to each subscriber

    subscriptions  a Registry with duplicate keys, on each node its own       nobody else needs to know of them
    broadcast ──> subscribers here
          └─────> Distributor on every connected node ──> subscribers there

Who has subscribed gets all that is broadcast after that on any connected node: a broadcast goes to all nodes, not to
those that are known to have subscribers. So subscribing costs nothing elsewhere, and nothing has to come around first.
A process that subscribes twice gets everything twice; its subscriptions end with it.
Order: what one process broadcasts comes to each subscriber in that order. At most once, like every message.
Source: Phoenix.PubSub. Groups tell who the members are, and send only where there are some.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from zmqcluster import _core
from zmqcluster.cluster.distributor import Distributor, Fanout, deliver_to_all, distribute
from zmqcluster.cluster.replica import replica_name
from zmqcluster.errors import ConfigError, UsageError
from zmqcluster.ids import NodeName, Pid
from zmqcluster.otp.child_spec import ChildSpec
from zmqcluster.otp.registry import Registry
from zmqcluster.otp.starting import start_process
from zmqcluster.otp.supervisor import Supervisor
from zmqcluster.runtime.current import nodes

__all__ = ["PubSub"]

PREFIX = "zmqcluster.pubsub:"  # of the local names of its registry and of its distributor


def subscribers(registry: Registry, topic: str) -> list[Pid]:
    """Return who on this node has subscribed, as often as they have; nobody while the registry starts."""
    try:
        return [pid for pid, _ in registry.lookup(topic)]
    except UsageError:
        return []


class PubSub:
    """Handle to the topics of ``scope``, and, in a supervisor's children, what lets a node take part.

    A topic is a string. Methods raise UsageError on a node that does not take part.
    """

    __slots__ = ("_name", "_subscribers", "scope")

    def __init__(self, scope: str) -> None:
        self._name = replica_name(PREFIX, scope, "a PubSub")
        self._subscribers = Registry(self._name, "duplicate")
        self.scope = scope

    def child_spec(self) -> ChildSpec:
        return ChildSpec(self._name, Supervisor, (self._parts(),))

    async def start_link(self) -> PubSub:
        """Start it linked to the running process, where there is no supervisor. Raises StartFailed."""
        await start_process(Supervisor, (self._parts(),), {}, link=True)
        return self

    def _parts(self) -> list[ChildSpec]:
        receivers = partial(subscribers, self._subscribers)
        name = self._name + ".distributor"
        return [self._subscribers.child_spec(), ChildSpec("distributor", Distributor, (receivers,), name=name)]

    # --- subscriptions

    def subscribe(self, topic: str) -> None:
        """Let the running process get what is broadcast to ``topic``; once more, if it does already."""
        self._subscribers.register(_checked(topic))

    def unsubscribe(self, topic: str) -> None:
        """End all subscriptions of the running process to ``topic``; that it had none is no error."""
        self._subscribers.unregister(topic)

    def subscribers(self, topic: str) -> list[Pid]:
        """Return the processes of this node that have subscribed, each as often as it has."""
        return [pid for pid, _ in self._subscribers.lookup(topic)]

    # --- broadcasts

    def broadcast(self, topic: str, message: Any) -> None:
        """Send ``message`` to all subscribers of ``topic`` on all connected nodes.

        Raises:
            EncodeError, FrameTooLarge: it cannot be sent; nobody gets it.
            LinkBusy: the subscribers on that node do not get it; all others do.
        """
        self._broadcast(topic, message, None)

    def broadcast_from(self, topic: str, message: Any, sender: Pid | None = None) -> None:
        """As ``broadcast``, but not to ``sender``, by default the running process."""
        self._broadcast(topic, message, _core.self() if sender is None else sender)

    def local_broadcast(self, topic: str, message: Any) -> None:
        """Send ``message`` to the subscribers on this node."""
        deliver_to_all(self.subscribers(_checked(topic)), message)

    def local_broadcast_from(self, topic: str, message: Any, sender: Pid | None = None) -> None:
        """As ``local_broadcast``, but not to ``sender``, by default the running process."""
        deliver_to_all(self.subscribers(_checked(topic)), message, _core.self() if sender is None else sender)

    def direct_broadcast(self, node: str, topic: str, message: Any) -> None:
        """Send ``message`` to the subscribers on ``node``; a node that is not connected takes it silently.

        Raises:
            ConfigError: ``node`` is no node name.
        """
        if NodeName.parse(node) == _core.current_scheduler().node:
            self.local_broadcast(topic, message)
        elif node in nodes():
            distribute(self._name + ".distributor", [node], (), Fanout(_checked(topic), message))

    def _broadcast(self, topic: str, message: Any, sender: Pid | None) -> None:
        here = self.subscribers(_checked(topic))
        distribute(self._name + ".distributor", nodes(), here, Fanout(topic, message, sender))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PubSub) and self.scope == other.scope

    def __hash__(self) -> int:
        return hash(self.scope)

    def __repr__(self) -> str:
        return f"PubSub({self.scope!r})"


def _checked(topic: Any) -> str:
    if not isinstance(topic, str):
        raise ConfigError(f"a topic is a string, not {topic!r}")
    return topic
