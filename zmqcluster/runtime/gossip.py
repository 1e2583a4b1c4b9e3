"""The gossip channel of a node: beats judge who is alive, deltas go to the processes that subscribed.

    publish(topic, message) ──DELTA──> every peer that subscribed to us
    peers' BEAT  ──> Membership ──> PeerSilent: the session ends      PeerStalled, PeerResumed: telemetry
    peers' DELTA ──> Gossip messages to the subscribers of the topic

Invariant: only frames of the incarnation whose session is up count; any other is dropped and counted. So a Gossip
message comes after the NodeUp of its node and before its NodeDown. The channel may lose anything.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from zmqcluster import telemetry
from zmqcluster.core import decode, encode
from zmqcluster.errors import DecodeError
from zmqcluster.ids import Pid
from zmqcluster.protocol.effects import Effect, Emit
from zmqcluster.protocol.handshake import Introduction
from zmqcluster.protocol.membership import Beat, Membership, PeerSilent, PeerStalled
from zmqcluster.runtime.events import Gossip
from zmqcluster.runtime.timing import Timing
from zmqcluster.transport.interface import Transport
from zmqcluster.transport.rundir import nearest
from zmqcluster.wire.frames import BeatFrame, DeltaFrame, beat_prefix, decode_gossip, delta_frame

__all__ = ["GossipChannel"]

log = logging.getLogger("zmqcluster.node")

Deliver = Callable[[Pid, Any], bool]  # False: the process has ended


class GossipChannel:
    """What a node says to all and hears from all.

    Args:
        name: the node's own, with its incarnation.
        up: the peers with a session; changed by others.
        deliver: puts a message into the mailbox of a process here.
        on_silent: told of a peer whose beats stopped.
        counters: the node's, of what went wrong.
    """

    def __init__(
        self,
        name: str,
        incarnation: int,
        transport: Transport,
        *,
        timing: Timing,
        up: Mapping[str, Introduction],
        deliver: Deliver,
        on_silent: Callable[[str], None],
        counters: Counter[str],
    ) -> None:
        self._name = name
        self._incarnation = incarnation
        self._transport = transport
        self._up = up
        self._deliver = deliver
        self._on_silent = on_silent
        self._counters = counters
        self._endpoints: dict[str, str] = {}
        self._subscribers: dict[str, list[Pid]] = {}
        self._membership = Membership(
            silence_ms=timing.silence_ms, stalled_ms=timing.stalled_ms, tick_ms=timing.tick_ms
        )
        transport.start_beats(beat_prefix(name, incarnation), timing.beat_ms)

    def subscribe(self, topic: str, pid: Pid) -> None:
        """Send ``pid`` what others publish under ``topic``; twice is as good as once."""
        subscribers = self._subscribers.setdefault(topic, [])
        if pid not in subscribers:
            subscribers.append(pid)

    def unsubscribe(self, topic: str, pid: Pid) -> None:
        """Send ``pid`` no more of ``topic``."""
        self._subscribers[topic] = [each for each in self._subscribers.get(topic, ()) if each != pid]
        if not self._subscribers[topic]:
            del self._subscribers[topic]

    def publish(self, topic: str, message: Any) -> None:
        """Send ``message`` to the subscribers of ``topic`` on all connected nodes, as far as it arrives."""
        self._transport.publish(delta_frame(self._name, self._incarnation, topic, encode(message)))

    # --- the peers

    def on_up(self, peer: str, node: Introduction, now_ms: int) -> None:
        """Listen to the peer of a new session."""
        endpoint = nearest(node.gossip)
        if endpoint is not None:
            self._endpoints[peer] = endpoint
            self._transport.subscribe(endpoint)
        self._perform(self._membership.on_node_up(peer, now_ms))

    def on_down(self, peer: str, now_ms: int) -> None:
        """Listen to it no more."""
        endpoint = self._endpoints.pop(peer, None)
        if endpoint is not None:
            self._transport.unsubscribe(endpoint)
        self._perform(self._membership.on_node_down(peer, now_ms))

    def on_tick(self, now_ms: int) -> None:
        """Look for silence."""
        self._perform(self._membership.on_tick(now_ms))

    def on_frame(self, frame: bytes, now_ms: int) -> None:
        """Take a frame of the channel."""
        try:
            gossip = decode_gossip(frame)
        except DecodeError:
            self._counters["gossip_malformed"] += 1
            return
        node = self._up.get(gossip.name)
        if node is None or node.incarnation != gossip.incarnation:
            self._counters["gossip_foreign"] += 1
        elif isinstance(gossip, BeatFrame):
            self._perform(self._membership.on_message(gossip.name, Beat(gossip.number, gossip.lag_ms), now_ms))
        else:
            self._on_delta(gossip)

    def _on_delta(self, delta: DeltaFrame) -> None:
        subscribers = self._subscribers.get(delta.topic)
        if not subscribers:
            return
        try:
            message = Gossip(delta.name, delta.topic, decode(delta.message))
        except DecodeError as error:
            self._counters["gossip_malformed"] += 1
            log.warning("%s published under %r what can't be decoded here: %s", delta.name, delta.topic, error)
            return
        for pid in list(subscribers):
            if not self._deliver(pid, message):
                self.unsubscribe(delta.topic, pid)

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            assert isinstance(effect, Emit)
            event = effect.event
            if isinstance(event, PeerSilent):
                log.warning("%s: no beat from %s for %d ms", self._name, event.peer, event.silent_ms)
                self._on_silent(event.peer)
            elif isinstance(event, PeerStalled):
                log.info("%s: the loop of %s has not turned for %d ms", self._name, event.peer, event.lag_ms)
                telemetry.emit("zmqcluster.node.stalled", node=self._name, peer=event.peer, lag_ms=event.lag_ms)
            else:
                telemetry.emit("zmqcluster.node.resumed", node=self._name, peer=event.peer)
