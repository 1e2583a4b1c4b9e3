"""The table of one local registry: who holds which key, and the processes that clean up after the dead.

    RegistryTree (one_for_all) ── Partition 0, 1, ..       on the node's shelf:  Table ── Part 0, 1, ..
                                     │  ^                                                  entries: key -> Entry(s)
                 Exit: forget its keys  └── linked to each process that holds a key        owned:   pid -> keys

The registering process writes the table itself: one thread runs all processes of a node, so a write is atomic, and no
message is needed. What needs a process is the cleaning: a partition is linked to every process that holds a key in it.
Invariant: ``key in owned[pid]`` exactly while an entry of that key has that pid, or the pid is dead and not cleaned.
A unique key whose owner is dead can be taken at once; the late cleaning leaves the new owner's entry alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple

from zmqcluster import _core
from zmqcluster._ids import Pid
from zmqcluster.core import Exit, Stop, hash64, message
from zmqcluster.errors import NotRegistered
from zmqcluster.otp.child_spec import ChildSpec
from zmqcluster.otp.gen_server import GenServer
from zmqcluster.otp.key_lock import KeyLock
from zmqcluster.otp.supervisor import Supervisor
from zmqcluster.protocol.entries import Key, plain
from zmqcluster.runtime.process import send, trap_exits

__all__ = [
    "Entry",
    "Keys",
    "Part",
    "PartitionBy",
    "Registered",
    "RegistryTree",
    "Row",
    "Setup",
    "Table",
    "Unregistered",
    "entries_key",
    "new_entry",
    "shelf_key",
]

Keys = Literal["unique", "duplicate"]
PartitionBy = Literal["key", "process"]


class Entry(NamedTuple):
    """A process that holds a key, and the value it gave."""

    pid: Pid
    value: Any


class Row(NamedTuple):
    """What ``select`` finds."""

    key: Any
    pid: Pid
    value: Any


new_entry: Callable[[tuple[Pid, Any]], Entry] = partial(tuple.__new__, Entry)  # in half the time


@message(tag="registry.Registered")
@dataclass(frozen=True, slots=True)
class Registered:
    """To the listeners of a registry: ``pid`` holds ``key``."""

    registry: str
    key: Any
    pid: Pid
    value: Any


@message(tag="registry.Unregistered")
@dataclass(frozen=True, slots=True)
class Unregistered:
    """To the listeners of a registry: ``pid`` holds ``key`` no more."""

    registry: str
    key: Any
    pid: Pid


@dataclass(frozen=True, slots=True)
class Setup:
    """How a registry is started; see ``Registry``."""

    name: str
    keys: Keys
    partitions: int
    partition_by: PartitionBy
    listeners: tuple[str, ...]
    meta: Mapping[Any, Any]


@dataclass(slots=True)
class Part:
    """The keys of one partition: ``entries`` of a unique registry, ``bags`` of one with duplicate keys."""

    pid: Pid
    entries: dict[Key, Entry] = field(default_factory=dict)
    bags: dict[Key, list[Entry]] = field(default_factory=dict)
    owned: dict[Pid, dict[Key, None]] = field(default_factory=dict)

    def found(self, key: Key) -> list[Entry]:
        entry = self.entries.get(key)
        return [entry] if entry is not None else list(self.bags.get(key, ()))

    def rows(self) -> Iterator[tuple[Key, Entry]]:
        """All entries; they may change meanwhile."""
        yield from list(self.entries.items())
        for key, bag in list(self.bags.items()):
            for entry in list(bag):
                yield key, entry

    def remove(self, key: Key, pid: Pid, accepts: Callable[[Any], object] | None = None) -> None:
        """Remove the entries of ``pid`` for ``key``, or those of them whose value is accepted."""
        entry = self.entries.get(key)
        if entry is not None and entry.pid == pid and (accepts is None or accepts(entry.value)):
            del self.entries[key]
        bag = self.bags.get(key)
        if bag is not None:
            bag[:] = [entry for entry in bag if entry.pid != pid or (accepts is not None and not accepts(entry.value))]
            if not bag:
                del self.bags[key]


class Table:
    """All that a registry knows on one node."""

    __slots__ = ("by_key", "listeners", "locks", "meta", "name", "only", "parts", "unique")

    def __init__(self, setup: Setup) -> None:
        self.name = setup.name
        self.unique = setup.keys == "unique"
        self.by_key = setup.partition_by == "key"
        self.parts: list[Part] = []
        self.only: Part | None = None  # the part, when there is one
        self.listeners = setup.listeners
        self.meta = dict(setup.meta)
        self.locks: dict[Key, KeyLock] = {}

    def set_part(self, position: int, part: Part, partitions: int) -> None:
        """A partition has started, for the first time or again: whoever was in it has ended with it."""
        self.parts[position : position + 1] = [part]
        if partitions == 1:
            self.only = part
            if self.unique:
                _core.current_scheduler().shelf[entries_key(self.name)] = part.entries

    def part(self, key: Key, pid: Pid) -> Part:
        """Where ``pid`` holds ``key``."""
        if self.only is not None:
            return self.only
        return self.parts[(hash64(key) if self.by_key else pid.id) % len(self.parts)]

    def found(self, key: Key) -> list[Entry]:
        if self.only is not None:
            return self.only.found(key)
        if self.by_key:
            return self.parts[hash64(key) % len(self.parts)].found(key)
        return [entry for part in self.parts for entry in part.found(key)]

    def tell(self, event: Registered | Unregistered) -> None:
        for listener in self.listeners:
            with suppress(NotRegistered):
                send(listener, event)


class Partition(GenServer):
    """Cleans one part of the table; a process that holds a key there is linked to it, and shares its fate."""

    def init(self, name: str, position: int, partitions: int) -> None:
        trap_exits(True)
        self._whole: Table = _core.current_scheduler().shelf[shelf_key(name)]
        self._part = Part(_core.self())
        self._whole.set_part(position, self._part, partitions)

    def handle_info(self, message: Any) -> None:
        """A process ended: forget its keys."""
        if not isinstance(message, Exit):
            super().handle_info(message)
            return
        for key in self._part.owned.pop(message.pid, ()):
            self._part.remove(key, message.pid)
            if self._whole.listeners:
                self._whole.tell(Unregistered(self._whole.name, plain(key), message.pid))

    def format_status(self) -> Any:
        return {"registry": self._whole.name, "processes": len(self._part.owned)}


class RegistryTree(Supervisor):
    """The partitions of a registry; its table is on the shelf of the node while it runs."""

    async def init(self, setup: Setup) -> Stop | None:  # type: ignore[override]
        self._name = setup.name
        _core.current_scheduler().shelf[shelf_key(setup.name)] = Table(setup)
        partitions = [
            ChildSpec(f"partition {position}", Partition, (setup.name, position, setup.partitions))
            for position in range(setup.partitions)
        ]
        return await super().init(partitions, strategy="one_for_all")

    async def terminate(self, reason: Any) -> None:
        await super().terminate(reason)
        shelf = _core.current_scheduler().shelf
        for key in (shelf_key(self._name), entries_key(self._name)):
            shelf.pop(key, None)


def shelf_key(name: str) -> str:
    """Where the table of a registry is on the shelf of its node."""
    return f"otp.registry:{name}"


def entries_key(name: str) -> str:
    """Where the entries of a unique registry with one partition are beside it: what most lookups need."""
    return f"otp.registry.entries:{name}"
