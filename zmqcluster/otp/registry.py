"""Registry: processes of this node under keys, with values.

    donations = Registry("donations")                    # in the children of a supervisor, and as a handle
    donations.register("DON-7", 1000)                    # the running process holds the key from now on
    worker = await Worker.start(name=donations.via("DON-7"))
    donations.lookup("DON-7")                            # [Entry(pid, value)]

``unique`` keys have one holder, ``duplicate`` keys any number. A process registers only itself, and its keys go when it
ends. Keys are any values that can be sent, compared exactly: 1, 1.0 and True are three. Reading and writing go straight
to a table in memory, with no message. Between the end of a process and the cleaning of its keys, some microseconds,
``lookup`` may show it; ``whereis`` and ``via`` do not, and a unique key of a dead holder can be taken.
Source: Elixir Registry. For names that other nodes can resolve: ``ClusterRegistry``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar, cast, get_args

from zmqcluster import _core
from zmqcluster._ids import Pid
from zmqcluster.core import encode
from zmqcluster.errors import AlreadyRegistered, ConfigError, NotRegistered, UsageError
from zmqcluster.otp.child_spec import ChildSpec
from zmqcluster.otp.gen_server import start_process
from zmqcluster.otp.key_lock import LockScope
from zmqcluster.otp.registry_table import (
    Entry,
    Keys,
    Part,
    PartitionBy,
    Registered,
    RegistryTree,
    Row,
    Setup,
    Table,
    Unregistered,
    entries_key,
    new_entry,
    shelf_key,
)
from zmqcluster.otp.task import Task
from zmqcluster.protocol.entries import Key, exact, plain
from zmqcluster.runtime.process import link, unlink

__all__ = ["Entry", "Registered", "Registry", "RegistryVia", "Row", "Unregistered"]

R = TypeVar("R")
_MISSING: Final = object()
_scheduler = _core.current_scheduler
_self = _core.self


@dataclass(frozen=True, slots=True)
class RegistryVia:
    """A key of a unique registry as a destination, and as the ``name=`` of a server; see ``Via``."""

    registry: Registry
    key: Any
    value: Any = None

    def whereis(self) -> Pid | None:
        return self.registry.whereis(self.key)

    def register(self, pid: Pid) -> None:
        if pid != _self():
            raise UsageError(f"{pid!r} must register itself: a registry is linked to the processes in it")
        self.registry.register(self.key, self.value)

    def unregister(self, pid: Pid) -> None:
        if pid != _self():
            raise UsageError(f"{pid!r} must unregister itself")
        self.registry.unregister(self.key)


class Registry:
    """Handle to the registry ``name``, and, in a supervisor's children, what starts it. Two of one name are equal.

    Args of the one that starts it:
        keys: ``unique`` or ``duplicate``.
        partitions: processes that clean up after the dead; one is enough but for very many processes that come and go.
        partition_by: how duplicate keys are spread over them. By ``process``, the default: a process is linked to one,
            a key is looked up in all. By ``key``, as unique ones always are: a key is looked up in one.
        listeners: local names of processes that get ``Registered`` and ``Unregistered`` messages.
        meta: values to begin with, see ``meta``.

    All methods raise UsageError on a node where it does not run, and EncodeError for a key that cannot be sent.
    """

    __slots__ = ("_entries_key", "_setup", "_shelf_key", "name")

    def __init__(
        self,
        name: str,
        keys: Keys = "unique",
        *,
        partitions: int = 1,
        partition_by: PartitionBy | None = None,
        listeners: Iterable[str] = (),
        meta: Mapping[Any, Any] | None = None,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise ConfigError(f"a registry is named by a non-empty string, not {name!r}")
        if keys not in get_args(Keys):
            raise ConfigError(f"registry {name!r}: keys is one of {get_args(Keys)}, not {keys!r}")
        if type(partitions) is not int or partitions < 1:
            raise ConfigError(f"registry {name!r}: partitions is an int of at least 1, not {partitions!r}")
        spread = partition_by or ("key" if keys == "unique" else "process")
        if spread not in get_args(PartitionBy) or (keys == "unique" and spread != "key"):
            raise ConfigError(
                f"registry {name!r}: partition_by is one of {get_args(PartitionBy)} for duplicate keys, and 'key' for "
                f"unique ones, not {partition_by!r}"
            )
        self.name = name
        self._shelf_key, self._entries_key = shelf_key(name), entries_key(name)
        exact_meta = {exact(key): value for key, value in (meta or {}).items()}
        self._setup = Setup(name, keys, partitions, spread, tuple(listeners), exact_meta)

    def child_spec(self) -> ChildSpec:
        return ChildSpec(self.name, RegistryTree, (self._setup,), name=self.name)

    async def start_link(self) -> Registry:
        """Start it linked to the running process, where there is no supervisor. Raises AlreadyStarted."""
        await start_process(RegistryTree, (self._setup,), {}, name=self.name, link=True)
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Registry) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"Registry({self.name!r})"

    # --- write: the keys of the running process
    def register(self, key: Any, value: Any = None) -> None:
        """Let the running process hold ``key``.

        Raises:
            AlreadyRegistered: the keys are unique and a live process holds it, maybe this one.
        """
        table, owner, name = self._table(), _self(), key if type(key) is str else encode(key)
        part = table.only or table.part(name, owner)
        owned = part.owned.get(owner)
        if table.unique:
            held = part.entries.get(name)
            if held is not None and _scheduler().is_alive(held.pid):
                raise AlreadyRegistered(key, held.pid)
        if owned is None:
            owned = self._join(part, owner)
        if table.unique:
            part.entries[name] = new_entry((owner, value))
        else:
            part.bags.setdefault(name, []).append(new_entry((owner, value)))
        owned[name] = None
        if table.listeners:
            table.tell(Registered(self.name, key, owner, value))

    def unregister(self, key: Any) -> None:
        """Let the running process hold ``key`` no more; that it did not is no error."""
        self._remove(key, None)

    def unregister_match(self, key: Any, pattern: Any, where: Callable[[Any], object] | None = None) -> None:
        """``unregister`` those entries of this process whose value matches, as for ``match``."""
        _core.check_pattern(pattern)
        self._remove(key, partial(_accepts, pattern, where))

    def update_value(self, key: Any, function: Callable[[Any], Any]) -> tuple[Any, Any]:
        """Let the value of the running process for a unique ``key`` be ``function(value)``; return it and the old one.

        Raises:
            NotRegistered: this process does not hold the key; only its holder may change the value.
        """
        table, owner, name = self._unique_table("update_value"), _self(), exact(key)
        entries = table.part(name, owner).entries
        held = entries.get(name)
        if held is None or held.pid != owner:
            raise NotRegistered(key)
        changed = Entry(owner, function(held.value))
        entries[name] = changed
        return changed.value, held.value

    # --- read
    def lookup(self, key: Any) -> list[Entry]:
        """Who holds ``key``, each with its value; empty when nobody does."""
        entries = _scheduler().shelf.get(self._entries_key)
        if entries is None:
            return self._table().found(exact(key))
        entry = entries.get(key if type(key) is str else encode(key))
        return [] if entry is None else [entry]

    def whereis(self, key: Any) -> Pid | None:
        """The live process that holds the unique ``key``, or None."""
        for entry in self._unique_table("whereis").found(exact(key)):
            return entry.pid if _scheduler().is_alive(entry.pid) else None
        return None

    def values(self, key: Any, pid: Pid | None = None) -> list[Any]:
        """The values that ``pid``, by default the running process, gave for ``key``."""
        owner = _self() if pid is None else pid
        return [entry.value for entry in self.lookup(key) if entry.pid == owner]

    def keys(self, pid: Pid | None = None) -> list[Any]:
        """The keys that ``pid``, by default the running process, holds; a duplicate one as often as it holds it."""
        owner = _self() if pid is None else pid
        held = [(part, key) for part in self._table().parts for key in part.owned.get(owner, ())]
        return [plain(key) for part, key in held for entry in part.found(key) if entry.pid == owner]

    def count(self) -> int:
        """How many entries there are."""
        return sum(len(part.entries) + sum(map(len, part.bags.values())) for part in self._table().parts)

    def match(self, key: Any, pattern: Any, where: Callable[[Any], object] | None = None) -> list[Entry]:
        """The entries of ``key`` whose value matches.

        Args:
            key: taken literally.
            pattern: as for ``receive``: a type, a tuple of patterns, ``...`` for anything, a function, or a value.
            where: asked too, with the value.
        Raises:
            ConfigError: it is no pattern, such as ``list[int]``.
        """
        _core.check_pattern(pattern)
        return [entry for entry in self.lookup(key) if _accepts(pattern, where, entry.value)]

    def count_match(self, key: Any, pattern: Any, where: Callable[[Any], object] | None = None) -> int:
        """How many entries ``match`` finds."""
        return len(self.match(key, pattern, where))

    def select(
        self, *, key: Any = ..., pid: Any = ..., value: Any = ..., where: Callable[[Row], object] | None = None
    ) -> list[Row]:
        """All rows whose parts match the patterns and which ``where`` accepts. Cost: O(entries)."""
        rows = [Row(plain(name), *entry) for part in self._table().parts for name, entry in part.rows()]
        pattern = (key, pid, value)
        _core.check_pattern(pattern)
        return [row for row in rows if _core.matches(pattern, tuple(row)) and (where is None or where(row))]

    def count_select(
        self, *, key: Any = ..., pid: Any = ..., value: Any = ..., where: Callable[[Row], object] | None = None
    ) -> int:
        """How many rows ``select`` finds."""
        return len(self.select(key=key, pid=pid, value=value, where=where))

    def via(self, key: Any, value: Any = None) -> RegistryVia:
        """A unique ``key`` as a destination, and as the ``name=`` of a server, which registers it with ``value``."""
        return RegistryVia(self, key, value)

    # --- dispatch
    def dispatch(self, key: Any, function: Callable[[list[Entry]], object]) -> None:
        """Call ``function`` here with the entries of ``key``; not at all when there are none."""
        entries = self.lookup(key)
        if entries:
            function(entries)

    async def dispatch_parallel(self, key: Any, function: Callable[[list[Entry]], object]) -> None:
        """``dispatch`` with a task for each partition that has entries, awaited together."""
        found = [part.found(exact(key)) for part in self._table().parts]
        await Task.await_many([Task.spawn(function, entries) for entries in found if entries], None)

    # --- locks and metadata
    def lock(self, key: Any) -> LockScope:
        """``async with registry.lock(key):`` keeps other processes of this node out of their scopes of the same key.

        It has nothing to do with who holds the key. It is left when the holder leaves, raises or is killed.
        """
        return LockScope(self._table().locks, exact(key))

    def meta(self, key: Any, default: Any = _MISSING) -> Any:
        """What ``put_meta`` stored. Raises NotRegistered when there is neither a value nor a default."""
        value = self._table().meta.get(exact(key), default)
        if value is _MISSING:
            raise NotRegistered(key)
        return value

    def put_meta(self, key: Any, value: Any) -> None:
        """Keep a value with the registry itself, while it runs."""
        self._table().meta[exact(key)] = value

    def delete_meta(self, key: Any) -> None:
        self._table().meta.pop(exact(key), None)

    # --- the table
    def _table(self) -> Table:
        scheduler = _scheduler()
        try:
            return cast(Table, scheduler.shelf[self._shelf_key])
        except KeyError:
            raise UsageError(
                f"no registry {self.name!r} runs on {scheduler.node}: list it in the children of a supervisor"
            ) from None

    def _unique_table(self, what: str) -> Table:
        table = self._table()
        if not table.unique:
            raise UsageError(f"{what} needs unique keys; those of {self.name!r} are duplicate")
        return table

    def _join(self, part: Part, owner: Pid) -> dict[Key, None]:
        """The first key of a process in a part: from now on they are linked."""
        if not _scheduler().is_alive(part.pid):
            raise UsageError(f"the registry {self.name!r} is being started again")
        link(part.pid)
        owned: dict[Key, None] = {}
        part.owned[owner] = owned
        return owned

    def _remove(self, key: Any, accepts: Callable[[Any], object] | None) -> None:
        table, owner, name = self._table(), _self(), exact(key)
        part = table.part(name, owner)
        owned = part.owned.get(owner)
        if owned is None or name not in owned:
            return
        part.remove(name, owner, accepts)
        if any(entry.pid == owner for entry in part.found(name)):
            return
        del owned[name]
        if not owned:
            del part.owned[owner]
            unlink(part.pid)
        if table.listeners:
            table.tell(Unregistered(self.name, key, owner))


def _accepts(pattern: Any, where: Callable[[Any], object] | None, value: Any) -> bool:
    return _core.matches(pattern, value) and (where is None or bool(where(value)))
