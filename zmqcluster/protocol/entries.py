"""Keys and who holds them: the rows of registries, groups and presences, and the messages that carry them.

A key is compared exactly, 1 and 1.0 and True are three keys: inside, a str stands for itself and any other key is the
bytes it has on the wire, the same on every node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from zmqcluster.core import decode, encode, hash64, message
from zmqcluster.ids import Pid

__all__ = ["Change", "Delta", "Digest", "Entries", "Entry", "Fetch", "Hello", "Key", "Snapshot", "exact", "plain"]

CHECKSUM_MASK = (1 << 64) - 1

Key = str | bytes


class Entry(NamedTuple):
    """Who holds a key, and since when; no two entries of a stream have one time.

    ``rank`` is 0 but for children of a cluster supervisor: see ``ownership``.
    """

    pid: Pid
    value: Any
    time: int
    rank: int


Change = tuple[Any, ...]  # (key, *entry): put; (key,): drop


@message(tag="stream.hello")
@dataclass(frozen=True, slots=True)
class Hello:
    """The replica ``stream`` runs here: send what you have, and tell it from an earlier one."""

    stream: Pid


@message(tag="stream.snapshot")
@dataclass(frozen=True, slots=True)
class Snapshot:
    """One of ``parts`` parts of all entries of ``stream`` at ``sequence``; only a link carries it."""

    stream: Pid
    sequence: int
    part: int
    parts: int
    entries: list[Change]


@message(tag="stream.delta")
@dataclass(frozen=True, slots=True)
class Delta:
    """The changes of ``stream`` that begin with number ``first``."""

    stream: Pid
    first: int
    changes: list[Change]


@message(tag="stream.digest")
@dataclass(frozen=True, slots=True)
class Digest:
    """Where ``stream`` stands, so that a lost delta is noticed."""

    stream: Pid
    sequence: int
    checksum: int


@message(tag="stream.fetch")
@dataclass(frozen=True, slots=True)
class Fetch:
    """Asks for what follows ``after`` in ``stream``; for everything when ``after`` is negative."""

    stream: Pid
    after: int


def exact(key: Any) -> Key:
    """Return ``key`` as the maps hold it; EncodeError when it cannot be sent."""
    return key if type(key) is str else encode(key)


def plain(key: Key) -> Any:
    """Return the user's key of an exact one."""
    return decode(key) if isinstance(key, bytes) else key


def mark(key: Key, time: int) -> int:
    """Return 64 bits for one entry. No two entries of a stream have one time, so it stands for pid and value too."""
    return hash64(key) ^ time


class Entries(dict[Key, Entry]):
    """Entries by key, with a checksum kept up: the sum of the marks, whatever the order of changes."""

    __slots__ = ("checksum",)

    def __init__(self) -> None:
        super().__init__()
        self.checksum = 0

    def put(self, key: Key, entry: Entry) -> None:
        before = self.get(key)
        if before is not None:
            self.checksum -= mark(key, before.time)
        self[key] = entry
        self.checksum = (self.checksum + (hash64(key) ^ entry.time)) & CHECKSUM_MASK

    def drop(self, key: Key) -> None:
        before = self.pop(key, None)
        if before is not None:
            self.checksum = (self.checksum - mark(key, before.time)) & CHECKSUM_MASK

    def perform(self, change: Change) -> None:
        if len(change) == 1:
            self.drop(change[0])
        else:
            self.put(change[0], Entry._make(change[1:]))

    def rows(self) -> list[Change]:
        """Return what puts these entries into an empty map."""
        return [(key, *entry) for key, entry in self.items()]
