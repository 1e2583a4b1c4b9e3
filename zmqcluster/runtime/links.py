"""The links of a node to others, as the node, the core and the clock see them.

    connect, ask, end, leave ──┐
    control frames ────────────┼──> Session.on, one per peer ──> Performer
    ticks, broken links ───────┘

A link is dialled on first use, and when somebody asks for it; names are resolved at every dial, off the way.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import count
from random import Random

from zmqcluster.constants import CONTROL_BYTES_MAX
from zmqcluster.core import Link, Scheduler
from zmqcluster.errors import ClusterError, ConfigError
from zmqcluster.ids import NodeName
from zmqcluster.protocol import handshake, steps
from zmqcluster.protocol.handshake import (
    MESH,
    Control,
    Hello,
    Introduction,
    Neighbour,
    Neighbours,
    Ready,
    Refused,
    Welcome,
)
from zmqcluster.protocol.probes import Probe
from zmqcluster.protocol.session import Session
from zmqcluster.protocol.steps import ConnectAsked, End, LeaveAsked
from zmqcluster.runtime.peers import Peer, Peers
from zmqcluster.runtime.performer import Performer, Watcher
from zmqcluster.runtime.throttle import Throttle
from zmqcluster.runtime.timing import Timing
from zmqcluster.transport.interface import Transport

__all__ = ["Links", "Resolve", "portions"]

log = logging.getLogger("zmqcluster.node")

Resolve = Callable[[NodeName], Awaitable[tuple[str, ...]]]


class Links:
    """The sessions of one node.

    Args:
        own: what the node says of itself, endpoints included.
        scheduler: the core, whose links live and die with the sessions.
        transport: opened already.
        random: draws epochs.
        resolve: finds where a node may be dialled, from its name.
        watcher: is told of sessions that begin and end.
        counters: the node's, of what went wrong.
    """

    def __init__(
        self,
        own: Introduction,
        scheduler: Scheduler,
        transport: Transport,
        *,
        timing: Timing,
        random: Random,
        resolve: Resolve,
        watcher: Watcher,
        counters: Counter[str],
    ) -> None:
        self.own = own
        self.peers = Peers(self._make_session)
        self._scheduler = scheduler
        self._timing = timing
        self._random = random
        self._resolve = resolve
        self._watcher = watcher
        self._transport = transport
        self._performer = Performer(own.name, self.peers, scheduler, transport, watcher, counters)
        self._loop = asyncio.get_running_loop()
        self._attempts = count(1)
        self._first_uses = Throttle(timing.retry_ms)
        self._is_leaving = False
        self._looks_ms = 0  # when to look again which session's time has come

    def _make_session(self, name: str) -> Session:
        return Session(
            self.own,
            name,
            draw=partial(self._random.getrandbits, 64),
            next_attempt=partial(next, self._attempts),
            setup_ms=self._timing.setup_ms,
            verify_ms=self._timing.verify_ms,
        )

    @property
    def up(self) -> dict[str, Introduction]:
        """The peers with a session; always the same dict."""
        return self._performer.up

    @property
    def problems(self) -> Mapping[str, str]:
        """Why the last attempt to connect failed, by the name of the node."""
        return self._performer.problems

    @property
    def is_leaving(self) -> bool:
        """Whether no session comes about any more."""
        return self._is_leaving

    def now_ms(self) -> int:
        return self._performer.now_ms()

    # --- asked by this node

    def connect(self, node: str) -> Link | None:
        """The core's first use of ``node``: return a link that waits for the session, or None."""
        peer = self._peer(node)
        if peer is None:
            return None
        if peer.link is None:
            if peer.is_idle and not self._first_uses.passes(node, self.now_ms()):
                self.peers.forget_stranger(peer)
                return None
            peer.link = self._scheduler.open_link(node)
            self._start(peer, ())
        return peer.link  # None when the attempt failed at once

    def ask(self, node: str, endpoints: tuple[str, ...] = ()) -> asyncio.Future[bool]:
        """Connect to ``node``; the future tells whether a session is up."""
        waiter: asyncio.Future[bool] = self._loop.create_future()
        peer = self._peer(node)
        if peer is None or node in self.up:
            waiter.set_result(peer is not None)
            return waiter
        peer.waiters.append(waiter)
        self._start(peer, endpoints)
        return waiter

    def _peer(self, node: str) -> Peer | None:
        """The record of a node that may be dialled; None for ourselves, for what is no name, and on leaving."""
        if self._is_leaving or node == self.own.name:
            return None
        try:
            return self.peers.get(node) or self.peers.record(NodeName.parse(node))
        except ConfigError:
            return None

    def _start(self, peer: Peer, endpoints: tuple[str, ...]) -> None:
        if not peer.is_idle:
            return
        if endpoints:
            self._performer.tell(peer, ConnectAsked(endpoints))
        else:
            peer.resolving = self._loop.create_task(self._resolve_and_connect(peer))

    async def _resolve_and_connect(self, peer: Peer) -> None:
        endpoints: tuple[str, ...] = ()
        try:
            endpoints = await self._resolve(NodeName.parse(peer.name))
        except (OSError, ClusterError) as error:
            self._performer.warn((peer.name, "resolve"), "%s can't dial %s: %s", self.own.name, peer.name, error)
        finally:
            peer.resolving = None
        self._performer.tell(peer, ConnectAsked(endpoints))

    def end(self, node: str, reason: str) -> bool:
        """End the session with ``node``, or the attempt at one; return whether one was up."""
        was_up = node in self.up
        if peer := self.peers.get(node):
            self._performer.tell(peer, End(reason))
        return was_up

    def is_wanted(self, node: str, incarnation: int | None) -> bool:
        """Whether to look for ``node``: not for a while after it said goodbye, unless it is known to be back."""
        peer = self.peers.get(node)
        if peer is None or not peer.session.has_left or peer.session.offers.last is None:
            return True
        if incarnation is not None and incarnation != peer.session.offers.last[0]:
            return True
        return self.now_ms() - peer.left_ms >= self._timing.rejoin_ms

    def introduce(self, node: str) -> None:
        """Tell a peer whom else we are connected to, where both like to mesh."""
        epoch = self.peers.record(node).session.epoch
        if epoch is None or not self._meshes(self.up[node]):
            return
        others = [their for name, their in self.up.items() if name != node and self._meshes(their)]
        for some in portions([Neighbour(each.name, each.incarnation, each.links) for each in others]):
            self._performer.send_control(self.peers.record(node), Neighbours(epoch, some))

    def _meshes(self, their: Introduction) -> bool:
        """Whether both ends want it; with a session they have a common version."""
        return MESH in self.own.capabilities and MESH in their.capabilities

    # --- asked by the failure detector

    def send_probe(self, peer: str, probe: Probe) -> None:
        """Send on the link of a peer with a session; may be lost."""
        if peer in self.up:
            self._performer.send_control(self.peers.record(peer), probe)

    def received_bytes(self, peer: str) -> int:
        """How much data the session of ``peer`` has brought."""
        link = self.peers.record(peer).link
        return link.received_bytes if link else 0

    def epoch_of(self, peer: str) -> int | None:
        """The epoch of the session with ``peer``, once both halves are known."""
        return self.peers.record(peer).session.epoch

    # --- leaving

    async def leave(self) -> None:
        """Send what is to be sent, say goodbye to all peers and wait for their answers, but not for long."""
        self._is_leaving = True
        try:
            async with asyncio.timeout(self._timing.goodbye_ms / 1000):
                await self._flush()
                await self._say_goodbye()
        except TimeoutError:
            log.info("%s leaves without an answer to its goodbye from %s", self.own.name, ", ".join(self.up))
        for peer in self.peers.all():
            self._performer.tell(peer, End(steps.STOPPED))
            if peer.resolving:
                peer.resolving.cancel()
                self._performer.give_up(peer, "this node stops")
        await self._performer.linger()

    async def _flush(self) -> None:
        pause_s = 0.0  # what this turn has sent leaves with its end
        while any(peer.link and peer.link.buffered_bytes for peer in self.peers.all() if peer.name in self.up):
            await asyncio.sleep(pause_s)
            pause_s = self._timing.tick_ms / 1000

    async def _say_goodbye(self) -> None:
        for peer in self.peers.all():
            self._performer.tell(peer, LeaveAsked() if peer.name in self.up else End(steps.STOPPED))
        if self.up:
            await self._performer.all_down.wait()

    # --- told by core and clock

    def on_control(self, source: bytes, frame: bytes) -> None:
        """Take a frame of a session's set-up or end, once its connection is authenticated."""
        if not self._transport.admits(source, frame):
            return
        message = self._performer.parse(frame)
        if isinstance(message, Probe):
            self._on_probe(message, source)
        elif isinstance(message, Hello | Welcome):
            self._on_offer(message, source)
        elif message and (peer := self._sender(message, source)):
            self._performer.tell(peer, message, source)

    def _on_probe(self, probe: Probe, source: bytes) -> None:
        """Of a session that is up; a leaving node's opinion about others does not count."""
        peer = self.peers.behind(source)
        if peer and peer.name in self.up and not self._is_leaving:
            self._watcher.on_probe(peer.name, probe)

    def _sender(self, message: Control, source: bytes) -> Peer | None:
        """Who sent it: known by its connection, except where it holds on to a session that ended here."""
        known = self.peers.behind(source)
        if known or self._is_leaving or not isinstance(message, Ready):
            return known
        return self.peers.get(message.name)

    def _on_offer(self, offer: Hello | Welcome, source: bytes) -> None:
        if self._is_leaving:
            self._performer.send_back(source, Refused(offer.epoch, handshake.LEAVING))
            return
        proven = self._transport.identity(source)
        if proven is not None and proven != (offer.node.name, offer.node.incarnation):
            self._performer.refuse_impostor(source, offer, f"{proven[0]} ({proven[1]})")
            return
        peer = self.peers.record(offer.node.name)
        self._performer.tell(peer, offer, source)
        if peer.session.source == source:
            self.peers.bind(peer, source)

    def on_link_broken(self, link: Link, problem: str) -> None:
        """The core met a frame that must not be there."""
        peer = self.peers.get(link.node)
        if peer and peer.link is link:
            log.warning("%s ends the session with %s: %s", self.own.name, link.node, problem)
            self._performer.tell(peer, End(steps.PROTOCOL_ERROR))

    def on_tick(self, now_ms: int) -> None:
        """Let sessions whose time has come look at it; a beat more or less is nothing to them."""
        if now_ms < self._looks_ms:
            return
        self._looks_ms = now_ms + self._timing.beat_ms
        for peer in self.peers.all():
            deadline_ms = peer.session.deadline_ms()
            if deadline_ms is not None and now_ms >= deadline_ms:
                self._performer.perform(peer, peer.session.on_tick(now_ms))


def portions(neighbours: Iterable[Neighbour]) -> Iterator[tuple[Neighbour, ...]]:
    """As many to a control frame as surely fit."""
    some: list[Neighbour] = []
    room_bytes = CONTROL_BYTES_MAX * 3 // 4
    for each in neighbours:
        need_bytes = len(each.name) + 16 + sum(len(link.encode()) + 3 for link in each.links)
        if need_bytes > CONTROL_BYTES_MAX * 3 // 4:
            continue
        if some and need_bytes > room_bytes:
            yield tuple(some)
            some, room_bytes = [], CONTROL_BYTES_MAX * 3 // 4
        some.append(each)
        room_bytes -= need_bytes
    if some:
        yield tuple(some)
