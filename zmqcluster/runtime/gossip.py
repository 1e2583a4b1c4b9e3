"""The gossip channel of a node: beats go to the failure detector, deltas to the processes that subscribed.

    publish(topic, message) ──DELTA──> every peer that subscribed to us
    peers' BEAT, LOST ──> Detector
    peers' DELTA ──> Gossip messages to the subscribers of the topic

Invariant: only frames of the incarnation whose session is up count; any other is dropped and counted. So a Gossip
message comes after the NodeUp of its node and before its NodeDown. The channel may lose anything.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from zmqcluster.core import decode, encode
from zmqcluster.errors import DecodeError
from zmqcluster.ids import Pid
from zmqcluster.protocol.handshake import Introduction
from zmqcluster.runtime.detector import Detector
from zmqcluster.runtime.events import Gossip
from zmqcluster.transport.interface import Transport
from zmqcluster.transport.rundir import nearest
from zmqcluster.wire.frames import (
    BEAT_TAIL_BYTES,
    BeatFrame,
    DeltaFrame,
    LostFrame,
    beat_prefix,
    decode_beat_tail,
    decode_gossip,
    delta_frame,
)

__all__ = ["GossipChannel"]

log = logging.getLogger("zmqcluster.node")

Deliver = Callable[[Pid, Any], bool]  # False: the process has ended


class GossipChannel:
    """What a node says to all and hears from all.

    Args:
        name: the node's own, with its incarnation.
        up: the peers with a session; changed by others.
        deliver: puts a message into the mailbox of a process here.
        detector: hears the beats.
        beat_ms: between two beats of our own.
        counters: the node's, of what went wrong.
    """

    def __init__(
        self,
        name: str,
        incarnation: int,
        transport: Transport,
        *,
        beat_ms: int,
        up: Mapping[str, Introduction],
        deliver: Deliver,
        detector: Detector,
        counters: Counter[str],
    ) -> None:
        self._name = name
        self._incarnation = incarnation
        self._transport = transport
        self._up = up
        self._deliver = deliver
        self._detector = detector
        self._counters = counters
        self._endpoints: dict[str, str] = {}
        self._beats: dict[bytes, str] = {}  # how the beats of a peer begin -> its name
        self._subscribers: dict[str, list[Pid]] = {}
        transport.start_beats(beat_prefix(name, incarnation), beat_ms)

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

    def on_up(self, peer: str, node: Introduction) -> None:
        """Listen to the peer of a new session."""
        self._beats[beat_prefix(peer, node.incarnation)] = peer
        endpoint = nearest(node.gossip)
        if endpoint is not None:
            self._endpoints[peer] = endpoint
            self._transport.subscribe(endpoint, peer)

    def on_down(self, peer: str) -> None:
        """Listen to it no more."""
        self._beats = {prefix: name for prefix, name in self._beats.items() if name != peer}
        endpoint = self._endpoints.pop(peer, None)
        if endpoint is not None:
            self._transport.unsubscribe(endpoint)

    def on_frame(self, frame: bytes, now_ms: int) -> None:
        """Take a frame of the channel; nearly all of them are beats."""
        if peer := self._beats.get(frame[:-BEAT_TAIL_BYTES]):
            self._detector.on_beat(peer, *decode_beat_tail(frame), now_ms)
            return
        try:
            gossip = decode_gossip(frame)
        except DecodeError:
            self._counters["gossip_malformed"] += 1
            return
        node = self._up.get(gossip.name)
        if node is None or node.incarnation != gossip.incarnation or isinstance(gossip, BeatFrame):
            self._counters["gossip_foreign"] += 1
        elif isinstance(gossip, LostFrame):
            self._detector.on_lost(gossip)
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
