"""What happened in a run, in order: the thing that two runs of one seed must have in common.

    (1204.5, "a", "node_down c")  (1204.5, "a", "started w17")  (1900.0, "*", "heal") ...    milliseconds, node, event

Invariant: entries are in virtual time, and hold no id, address or hash that differs between equal runs. So one seed
has one ``digest``, whatever PYTHONHASHSEED, machine or load; with two, somebody iterated a set or read a real clock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["EVERYBODY", "Entry", "Trace"]

EVERYBODY = "*"  # the node of an event of the whole network


class Entry(NamedTuple):
    """One event; the time is in virtual milliseconds."""

    at_ms: float
    node: str
    event: str

    def __str__(self) -> str:
        return f"{self.at_ms:>10.3f} ms  {self.node:<12} {self.event}"


class Trace:
    """The events of one run."""

    def __init__(self, now_ms: Callable[[], float]) -> None:
        self._now_ms = now_ms
        self.entries: list[Entry] = []

    def add(self, node: str, event: str) -> None:
        """Note that ``event`` happened now at ``node``."""
        self.entries.append(Entry(self._now_ms(), node, event))

    def of(self, node: str) -> list[Entry]:
        """The events at one node."""
        return [entry for entry in self.entries if entry.node == node]

    def digest(self) -> str:
        """The same for equal traces, different for others."""
        return hashlib.sha256("\n".join(map(str, self.entries)).encode()).hexdigest()[:16]

    def tail(self, count: int = 40) -> str:
        """The last events, a line each: what a failing test shows."""
        return "\n".join(map(str, self.entries[-count:]))
