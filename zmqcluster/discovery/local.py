"""The nodes of this host and user find each other through a directory; no daemon.

    <run directory>/nodes/orders@127.0.0.1:7101.json    name, incarnation, pid, endpoints; replaced as a whole
                          4c1f…9a.lock                  locked by the node's process for as long as it lives

Invariant: an entry counts while its lock is held, and the kernel frees a lock with its process; so a node that was
killed is gone at once, and its name may be taken at once. Entries without an owner are removed by whoever sees them.
Source: epmd, which every host runs for this; its registrations live as long as their connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from zmqcluster.discovery.strategy import Address, Host
from zmqcluster.discovery.topologies import Topology
from zmqcluster.errors import ConfigError, NameInUse
from zmqcluster.ids import NodeName
from zmqcluster.transport.rundir import NameLock, run_directory

__all__ = ["Entry", "Local", "RunDirectory", "listing"]

INTERVAL_S = 0.5
ENTRY_BYTES_MAX = 64 * 1024
SUFFIX = ".json"
LOCK_TRIES_MAX = 10
LOCK_PAUSE_S = 0.02


@dataclass(frozen=True, slots=True)
class Entry:
    """One node that announced itself on this host."""

    name: str
    incarnation: int
    pid: int
    endpoints: tuple[str, ...]
    is_alive: bool


def listing(run_dir: Path | None = None) -> list[Entry]:
    """Return the nodes of this host and user, sorted by name; ``is_alive`` is False for one that was killed.

    Raises:
        ConfigError: the run directory can't be used.
    """
    directory = _nodes_directory(run_dir)
    found = (_read(path) for path in sorted(directory.glob(f"*{SUFFIX}")))
    return [entry for entry in found if entry is not None]


def _nodes_directory(run_dir: Path | None) -> Path:
    return run_directory(run_directory(run_dir) / "nodes")


def _read(path: Path) -> Entry | None:
    """Return what the file says, or None when it is no entry: half written by another hand, or gone meanwhile."""
    name = path.name.removesuffix(SUFFIX)
    try:
        with path.open("rb") as file:
            fields: dict[str, Any] = json.loads(file.read(ENTRY_BYTES_MAX))
        entry = Entry(
            name=NodeName.parse(fields["name"]),
            incarnation=int(fields["incarnation"]),
            pid=int(fields["pid"]),
            endpoints=tuple(str(endpoint) for endpoint in fields["endpoints"]),
            is_alive=_is_held(path.parent, name),
        )
    except (OSError, ValueError, KeyError, TypeError, ConfigError):
        return None
    return entry if entry.name == name else None


def _is_held(directory: Path, name: str) -> bool:
    """Whether a process holds the name; it is tried and given back."""
    lock = NameLock(directory, name)
    try:
        lock.acquire()
    except NameInUse:
        return True
    lock.release()
    return False


async def _acquired(lock: NameLock) -> NameLock:
    """Take the lock; who looks whether it is held holds it for a moment, so one failure is none."""
    for _ in range(LOCK_TRIES_MAX - 1):
        with contextlib.suppress(NameInUse):
            lock.acquire()
            return lock
        await asyncio.sleep(LOCK_PAUSE_S)
    lock.acquire()
    return lock


class RunDirectory:
    """Finds the nodes that announced themselves in the run directory of this host and user."""

    interval_s = INTERVAL_S

    def __init__(self, run_dir: Path | None = None) -> None:
        self._run_dir = run_dir
        self._lock: NameLock | None = None
        self._path: Path | None = None

    async def find(self) -> Collection[Address]:
        """Return those that live, and clear up after those that don't."""
        found = []
        for entry in listing(self._run_dir):
            if entry.is_alive:
                found.append(Address(NodeName(entry.name), entry.endpoints, entry.incarnation))
            else:
                self._remove(entry)
        return found

    def _remove(self, entry: Entry) -> None:
        """Remove the entry, unless its name was taken again a moment ago."""
        directory = _nodes_directory(self._run_dir)
        lock = NameLock(directory, entry.name)
        with contextlib.suppress(NameInUse):
            lock.acquire()
            (directory / f"{entry.name}{SUFFIX}").unlink(missing_ok=True)
            lock.release()

    async def announce(self, host: Host) -> None:
        """Enter ``host``.

        Raises:
            NameInUse: a living process of this host has entered the name.
        """
        if host.name is None:
            raise ConfigError("Local finds nodes with a name; give this one a name like 'orders@127.0.0.1'")
        directory = _nodes_directory(self._run_dir)
        self._lock = await _acquired(NameLock(directory, host.name))
        self._path = directory / f"{host.name}{SUFFIX}"
        entry = Entry(host.name, host.incarnation, os.getpid(), host.link_endpoints, is_alive=True)
        draft = self._path.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(entry)))
        draft.replace(self._path)

    async def withdraw(self) -> None:
        if self._path:
            self._path.unlink(missing_ok=True)
        if self._lock:
            self._lock.release()
        self._path = self._lock = None


class Local(Topology):
    """Joins the nodes of this host and user. A name without a port listens on any free one.

    Args:
        run_dir: the run directory, instead of the user's.
    Raises:
        ConfigError: the directory can't be used.
    """

    any_port = True

    def __init__(self, run_dir: str | Path | None = None) -> None:
        super().__init__(RunDirectory(Path(run_dir) if run_dir is not None else None))
