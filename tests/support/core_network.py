"""A network for bare protocol cores: n of them, seeded faults, no process, no socket, no event loop.

    link    one session at a time per pair of nodes: up first, then messages in order, then down; a cut drops the rest
    gossip  to whoever can be reached: lost, late and in any order, also before the link is up and after it is down

A crash ends a core and its sessions; a restart builds a new one, with a new pid, that knows nothing. Messages pass
through the codec, so cores share nothing. Every fault is drawn from one ``random.Random``.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable
from functools import partial
from itertools import combinations
from typing import Generic, TypeVar

from zmqcluster.core import decode, encode
from zmqcluster.ids import Pid
from zmqcluster.protocol.effects import Broadcast, Core, Effect, Send

C = TypeVar("C", bound=Core)

TICK_MS = 10
DELAYS_MS = (1, 20)
DETECTION_MS = (1, 60)  # a session's end is noticed by its two sides at different times


class Session:
    """What two nodes have of each other between an up and a down; each side learns of both in its own time."""

    def __init__(self, ends: tuple[str, str]) -> None:
        self.ends = ends
        self.is_open = True
        self.upped: list[str] = []


class CoreNetwork(Generic[C]):
    """Runs one core per node. ``told`` gets each effect that is not for the network: Emit and Reply."""

    def __init__(self, names: Iterable[str], build: Callable[[Pid], C], seed: int, *, loss: float = 0.2) -> None:
        self.random = random.Random(seed)
        self.names = sorted(names)
        self.build = build
        self.loss = loss
        self.now_ms = 0
        self.cores: dict[str, C] = {}
        self.told: Callable[[str, Effect], None] = lambda node, effect: None
        self.cuts: set[tuple[str, str]] = set()
        self._incarnation = 0
        self._sessions: dict[tuple[str, str], Session] = {}
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._event_count = 0
        self._free_ms: dict[tuple[str, str], int] = {}  # when the last event on a direction of a link is delivered
        self.at(TICK_MS, self._tick)

    # --- time

    def at(self, delay_ms: int, event: Callable[[], None]) -> None:
        self._event_count += 1
        heapq.heappush(self._events, (self.now_ms + delay_ms, self._event_count, event))

    def run(self, duration_ms: int) -> None:
        end_ms = self.now_ms + duration_ms
        while self._events and self._events[0][0] <= end_ms:
            self.now_ms, _, event = heapq.heappop(self._events)
            event()
        self.now_ms = end_ms

    def _tick(self) -> None:
        for name in sorted(self.cores):
            core = self.cores[name]
            deadline_ms = core.deadline_ms()
            if deadline_ms is not None and deadline_ms <= self.now_ms:
                self.perform(name, core.on_tick(self.now_ms))
        self.at(TICK_MS, self._tick)

    # --- faults

    def start(self, name: str) -> C:
        self._incarnation += 1
        core = self.cores[name] = self.build(Pid(name, self.random.getrandbits(32), self._incarnation))
        self._connect_all()
        return core

    def crash(self, name: str) -> None:
        del self.cores[name]
        for pair in sorted(self._sessions):
            if name in pair:
                self._close(pair)

    def cut(self, left: Iterable[str], right: Iterable[str]) -> None:
        for a in sorted(left):
            for b in sorted(right):
                pair = (min(a, b), max(a, b))
                self.cuts.add(pair)
                if pair in self._sessions:
                    self._close(pair)

    def heal(self) -> None:
        self.cuts.clear()
        self._connect_all()

    # --- links

    def _connect_all(self) -> None:
        for pair in combinations(self.names, 2):
            if pair not in self.cuts and pair not in self._sessions and all(name in self.cores for name in pair):
                session = self._sessions[pair] = Session(pair)
                for name, peer in (pair, pair[::-1]):
                    self._on_link(name, peer, DETECTION_MS, partial(self._up, name, peer, session))

    def _up(self, name: str, peer: str, session: Session) -> None:
        if session.is_open:
            session.upped.append(name)
            self.perform(name, self.cores[name].on_node_up(peer, self.now_ms))

    def _close(self, pair: tuple[str, str]) -> None:
        session = self._sessions.pop(pair)
        session.is_open = False
        for name, peer in (pair, pair[::-1]):
            if name in session.upped and (core := self.cores.get(name)) is not None:
                self._on_link(name, peer, DETECTION_MS, partial(self._down, name, peer, core))

    def _down(self, name: str, peer: str, core: C) -> None:
        if self.cores.get(name) is core:
            self.perform(name, core.on_node_down(peer, self.now_ms))

    def _on_link(self, name: str, peer: str, delays_ms: tuple[int, int], event: Callable[[], None]) -> None:
        """Let ``event`` happen at ``name`` after everything that comes to it from ``peer`` before."""
        way = (name, peer)
        due_ms = max(self.now_ms + self.random.randint(*delays_ms), self._free_ms.get(way, 0))
        self._free_ms[way] = due_ms
        self.at(due_ms - self.now_ms, event)

    # --- messages

    def perform(self, name: str, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(peer, message):
                    self._send(name, peer, encode(message))
                case Broadcast(message):
                    self._broadcast(name, encode(message))
                case _:
                    self.told(name, effect)

    def _send(self, name: str, peer: str, frame: bytes) -> None:
        session = self._sessions.get((min(name, peer), max(name, peer)))
        if session is not None and name in session.upped:
            self._on_link(peer, name, DELAYS_MS, partial(self._arrive, peer, name, session, frame))

    def _arrive(self, name: str, source: str, session: Session, frame: bytes) -> None:
        if session.is_open and name in session.upped:
            self._give(name, source, frame)

    def _broadcast(self, name: str, frame: bytes) -> None:
        for peer in self.names:
            reached = peer != name and (min(name, peer), max(name, peer)) not in self.cuts
            if reached and self.random.random() >= self.loss:
                self.at(self.random.randint(*DELAYS_MS), partial(self._give, peer, name, frame))

    def _give(self, name: str, source: str, frame: bytes) -> None:
        if (core := self.cores.get(name)) is not None:
            self.perform(name, core.on_message(source, decode(frame), self.now_ms))
