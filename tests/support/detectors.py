"""Many failure detectors without their nodes: beats and probes arrive after a tick, or are cut.

    Detectors("abc").cut("a", "b") ; run_ms(...) ; given_up("a") == {"b": for how long it was silent}

Each detector is that of production; time moves in ticks. ``forgives=False`` is the plain one to compare with: it
takes no notice of its own pauses, and asks nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from zmqcluster.protocol.effects import Effect, Emit, Send
from zmqcluster.protocol.membership import Membership
from zmqcluster.protocol.signs import Beat, PeerSilent
from zmqcluster.runtime.timing import Timing

__all__ = ["Detectors"]


class PlainDetector:
    """Gives up whoever was silent for longer than T, when it looks."""

    def __init__(self, silence_ms: int) -> None:
        self._silence_ms = silence_ms
        self._heard_ms: dict[str, int] = {}

    def on_node_up(self, peer: str, now_ms: int) -> None:
        self._heard_ms[peer] = now_ms

    def on_message(self, peer: str, message: object, now_ms: int) -> list[Effect]:
        if peer in self._heard_ms:
            self._heard_ms[peer] = now_ms
        return []

    def on_tick(self, now_ms: int) -> list[Effect]:
        silent = {peer: now_ms - at_ms for peer, at_ms in self._heard_ms.items() if now_ms - at_ms > self._silence_ms}
        for peer in silent:
            del self._heard_ms[peer]
        return [Emit(PeerSilent(peer, silent_ms)) for peer, silent_ms in silent.items()]


class Detectors:
    """A detector for each of ``names``, all with sessions with all."""

    def __init__(self, names: Iterable[str], *, timing: Timing | None = None, forgives: bool = True) -> None:
        self.names = list(names)
        self.timing = timing or Timing.local()
        self.now_ms = 0
        self.published_count = 0
        self.sent_count = 0
        self._cores: dict[str, Membership | PlainDetector] = {}
        self._cut: set[tuple[str, str]] = set()
        self._paused: set[str] = set()
        self._held: dict[str, list[tuple[str, object]]] = {}
        self._given_up: dict[str, dict[str, int]] = {name: {} for name in self.names}
        for name in self.names:
            self._cores[name] = core = self._make(name, forgives)
            for peer in self.names:
                if peer != name:
                    core.on_node_up(peer, 0)

    def _make(self, name: str, forgives: bool) -> Membership | PlainDetector:
        if forgives:
            return Membership(self.timing.limits, Random(name).sample)
        return PlainDetector(self.timing.silence_ms)

    @classmethod
    def of_count(cls, count: int, *, timing: Timing | None = None, forgives: bool = True) -> Detectors:
        return cls([f"n{number:04}" for number in range(count)], timing=timing, forgives=forgives)

    def core(self, name: str) -> Membership | PlainDetector:
        return self._cores[name]

    # --- faults

    def cut(self, one: str, other: str) -> None:
        """Let nothing pass between two, either way."""
        self._cut |= {(one, other), (other, one)}

    def pause(self, name: str) -> None:
        """Stop the process: it neither beats nor ticks, and what comes waits."""
        self._paused.add(name)

    def resume(self, name: str) -> None:
        """Its clockwork turns first, what waited is read after it."""
        self._paused.discard(name)
        self._perform(name, self._cores[name].on_tick(self.now_ms))
        for source, message in self._held.pop(name, ()):
            self._perform(name, self._cores[name].on_message(source, message, self.now_ms))

    # --- time

    def run_ms(self, ms: int) -> None:
        end_ms = self.now_ms + ms
        while self.now_ms + self.timing.tick_ms <= end_ms:
            self.now_ms += self.timing.tick_ms
            running = [name for name in self.names if name not in self._paused]
            if self.now_ms % self.timing.beat_ms < self.timing.tick_ms:
                self._beat(running)
            for name in running:
                self._perform(name, self._cores[name].on_tick(self.now_ms))

    def _beat(self, running: list[str]) -> None:
        beat = Beat(self.now_ms // self.timing.beat_ms, 0)
        for name in running:
            self.published_count += 1
            for peer in self.names:
                if peer != name:
                    self._deliver(name, peer, beat)

    def _deliver(self, source: str, target: str, message: object) -> None:
        if (source, target) in self._cut:
            return
        if target in self._paused:
            self._held.setdefault(target, []).append((source, message))
        else:
            self._perform(target, self._cores[target].on_message(source, message, self.now_ms))

    def _perform(self, name: str, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self.sent_count += 1
                self._deliver(name, effect.peer, effect.message)
            elif isinstance(effect, Emit) and isinstance(effect.event, PeerSilent):
                self._given_up[name][effect.event.peer] = effect.event.silent_ms

    # --- what is seen

    def given_up(self, name: str) -> dict[str, int]:
        """Whom it has given up, after how much silence."""
        return self._given_up[name]

    def scores(self) -> dict[str, int]:
        """The local health of each: 0 is well."""
        return {name: core.health.score for name, core in self._cores.items() if isinstance(core, Membership)}
