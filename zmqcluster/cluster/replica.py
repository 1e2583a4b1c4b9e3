"""A replica: one protocol core, run by a process of this node.

    calls, Down, Exit ─┐                                  ┌─> (name, peer)      Send: in order, over the link
    NodeUp, NodeDown ──┼──> Replica ──> core ──effects────┼─> gossip topic      Broadcast: may be lost
    Parcel, Gossip ────┤       └── one flush per batch    ├─> the caller        Reply
    timer ─────────────┘                                  └─> ``on_event``      Emit

Every node that takes part runs a replica under the same local name, so a peer's replica is reached without knowing its
pid. The core lies on the node's shelf: processes of the node read it where it is, with no message. Some cores they also
write to there, and ``nudge`` the replica.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from zmqcluster import _core
from zmqcluster.core import message
from zmqcluster.errors import ConfigError, FrameTooLarge, LinkBusy, UsageError
from zmqcluster.ids import Ref
from zmqcluster.otp.gen_server import GenServer
from zmqcluster.protocol.effects import Broadcast, Core, Effect, Emit, Reply, Send
from zmqcluster.runtime.current import node
from zmqcluster.runtime.events import Gossip, NodeDown, NodeUp
from zmqcluster.runtime.process import cancel_timer, send, send_after
from zmqcluster.wire.frames import TOPIC_BYTES_MAX

__all__ = ["Batched", "Replica", "nudge", "replica_name", "shelved"]

log = logging.getLogger("zmqcluster.cluster")


@message(tag="replica.parcel")
@dataclass(frozen=True, slots=True)
class Parcel:
    """``message`` of the core on ``node``."""

    node: str
    message: Any


@message(tag="replica.flush")
@dataclass(frozen=True, slots=True)
class Flush:
    """All requests that had arrived before this one are done."""


@message(tag="replica.written")
@dataclass(frozen=True, slots=True)
class Written:
    """Somebody has written to the core where it lies."""


@message(tag="replica.tick")
@dataclass(frozen=True, slots=True)
class Tick:
    """The core's deadline has come."""


class Batched(Core, Protocol):
    """A core that keeps what it has to tell until the batch of requests is done."""

    def flush(self) -> list[Effect]: ...


def shelved(name: str) -> Any:
    """Return the core of the replica ``name`` of this node.

    Raises:
        UsageError: none runs here.
    """
    try:
        return _core.current_scheduler().shelf[name]
    except KeyError:
        raise UsageError(
            f"no {name} runs on {_core.current_scheduler().node}: list it in the children of a supervisor there"
        ) from None


def nudge(name: str) -> None:
    """Let the replica ``name`` of this node see to what was written to its core."""
    scheduler = _core.current_scheduler()
    pid = scheduler.whereis(name)
    server = None if pid is None else scheduler.server_of(pid)
    if isinstance(server, Replica):  # else it crashed: the next one begins with the core as it is
        server.on_nudge()


def replica_name(prefix: str, scope: str, what: str) -> str:
    """Return the local name of the replicas of ``scope``.

    Raises:
        ConfigError: ``scope`` is no string, is empty, or too long for a topic of gossip.
    """
    if not isinstance(scope, str) or not scope:
        raise ConfigError(f"{what} is named by a non-empty string, not {scope!r}")
    name = prefix + scope
    if len(name.encode()) > TOPIC_BYTES_MAX:
        raise ConfigError(f"the name of {what} has at most {TOPIC_BYTES_MAX - len(prefix)} bytes: {scope[:40]!r}...")
    return name


class Replica(GenServer):
    """Base of the hosts; a host's ``init`` makes its core and calls ``run_core``."""

    BATCH_S: ClassVar[float] = 0.0  # two flushes are so far apart at least, where nobody waits for them

    def run_core(self, name: str, core: Batched) -> None:
        """Host ``core`` under ``name``, which is also its gossip topic, and let it meet the nodes that are up."""
        _core.never_hold()
        scheduler = _core.current_scheduler()
        self._name = name
        self._core = core
        self._node = node()
        self._me = _core.self()
        self._loop = scheduler.loop
        # A clock that says about the same on all machines, and never goes back.
        self._epoch_s = 0.0 if scheduler.virtual else time.time() - self._loop.time()
        self._is_flush_due = False
        self._is_nudged = False
        self._flushed_s = 0.0
        self._timer: Ref | None = None
        self._timer_ms = 0
        self._node.subscribe(name, self._me)
        self._node.monitor_nodes(self._me)
        scheduler.shelf[name] = core
        for peer in self._node.nodes():
            self.perform(core.on_node_up(peer, self.now_ms()))
        self._wind_up()

    def now_ms(self) -> int:
        """Milliseconds of the wall clock as it was at the start, and the time since."""
        return int((self._epoch_s + self._loop.time()) * 1000)

    def perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(peer, inner):
                    self._send(peer, inner)
                case Broadcast(inner):
                    self._publish(inner)
                case Reply(ref, value):
                    ref.reply(value)
                case Emit(event):
                    self.on_event(event)

    def flush_soon(self) -> None:
        """Flush the core once what is in the mailbox now is done."""
        if self._is_flush_due:
            return
        self._is_flush_due = True
        if self.BATCH_S and self._loop.time() - self._flushed_s < self.BATCH_S:
            send_after(self.BATCH_S, self._me, Flush())
        else:
            send(self._me, Flush())

    def on_nudge(self) -> None:
        """Called by any process of the node, when it has written to the core."""
        if not self._is_nudged:
            self._is_nudged = True
            send(self._me, Written())

    def on_written(self) -> None:
        """Others have written to the core."""

    def on_event(self, event: Any) -> None:
        """The core emitted ``event``."""
        raise NotImplementedError

    def on_info(self, message: Any) -> None:
        """A message that is none of the network's."""
        super().handle_info(message)

    def handle_info(self, message: Any) -> None:
        now_ms = self.now_ms()
        match message:
            case Parcel(peer, inner) | Gossip(peer, _, inner):
                self.perform(self._core.on_message(peer, inner, now_ms))
            case Written():
                self._is_nudged = False
                self.on_written()
                self.flush_soon()
            case Flush():
                self._is_flush_due = False
                self._flushed_s = self._loop.time()
                self.perform(self._core.flush())
            case Tick():
                self._timer = None
                self.perform(self._core.on_tick(now_ms))
            case NodeUp(peer):
                self.perform(self._core.on_node_up(peer, now_ms))
            case NodeDown(peer):
                self.perform(self._core.on_node_down(peer, now_ms))
            case _:
                self.on_info(message)
                return
        self._wind_up()

    def take_down(self) -> None:
        """Take the core off the shelf: this replica ends for good."""
        _core.current_scheduler().shelf.pop(self._name, None)

    def _wind_up(self) -> None:
        """Set the timer for the core's deadline."""
        deadline_ms = self._core.deadline_ms()
        if deadline_ms is None or (self._timer is not None and self._timer_ms <= deadline_ms):
            return
        if self._timer is not None:
            cancel_timer(self._timer)
        self._timer_ms = deadline_ms
        self._timer = send_after(max(deadline_ms - self.now_ms(), 1) / 1000, self._me, Tick())

    def _send(self, peer: str, inner: Any) -> None:
        try:
            send((self._name, peer), Parcel(self._me.node, inner))
        except LinkBusy:
            # The peer would miss a message of a session that goes on; a new session begins with all there is.
            log.warning("%s: %s does not take what it is sent; ending the session", self._name, peer)
            self._node.disconnect(peer)

    def _publish(self, inner: Any) -> None:
        try:
            self._node.publish(self._name, inner)
        except FrameTooLarge as problem:
            log.debug("%s: not published, the peers will fetch it: %s", self._name, problem)
