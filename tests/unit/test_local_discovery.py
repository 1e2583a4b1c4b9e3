"""The run directory: who is entered, who is alive, and whose name is taken."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from zmqcluster.discovery.local import Entry, Local, RunDirectory, listing
from zmqcluster.discovery.strategy import Address
from zmqcluster.errors import ConfigError, NameInUse
from zmqcluster.ids import NodeName
from zmqcluster.transport.rundir import NameLock

A, B = "a@127.0.0.1", "b@127.0.0.1:7102"


@dataclass
class Host:
    name: str | None
    incarnation: int = 5
    link_endpoints: tuple[str, ...] = ("ipc:///x", "tcp://127.0.0.1:7101")


def announced(run_dir: Path, name: str = A) -> RunDirectory:
    strategy = RunDirectory(run_dir)
    asyncio.run(strategy.announce(Host(name)))
    return strategy


def find(strategy: RunDirectory) -> list[Address]:
    return list(asyncio.run(strategy.find()))


def kill(run_dir: Path, strategy: RunDirectory) -> None:
    """What kill -9 leaves: the entry and the lock file, and nobody who holds it."""
    lock = strategy._lock
    assert lock is not None
    os.close(lock._fd)


def test_announced_then_found_with_all_that_is_needed_to_dial_it(tmp_path: Path) -> None:
    one, other = announced(tmp_path, A), announced(tmp_path, B)
    endpoints = Host(A).link_endpoints
    assert find(one) == find(other) == [Address(NodeName(A), endpoints, 5), Address(NodeName(B), endpoints, 5)]


def test_withdrawn_then_not_found_and_nothing_left(tmp_path: Path) -> None:
    strategy = announced(tmp_path)
    asyncio.run(strategy.withdraw())
    asyncio.run(strategy.withdraw())
    assert find(strategy) == [] and list((tmp_path / "nodes").iterdir()) == []


def test_same_name_twice_then_the_second_is_refused_and_the_first_stays(tmp_path: Path) -> None:
    """Case NODE-16."""
    first = announced(tmp_path)
    with pytest.raises(NameInUse, match=A):
        announced(tmp_path)
    assert len(find(first)) == 1


def test_killed_then_not_found_and_cleared_and_its_name_is_free(tmp_path: Path) -> None:
    """Case NODE-16."""
    observer, dead = announced(tmp_path, B), announced(tmp_path, A)
    kill(tmp_path, dead)
    assert [(entry.name, entry.is_alive) for entry in listing(tmp_path)] == [(A, False), (B, True)]
    assert [address.node for address in find(observer)] == [B]
    assert [entry.name for entry in listing(tmp_path)] == [B]
    assert len(find(announced(tmp_path, A))) == 2


def test_lock_held_for_a_moment_then_announced_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "nodes").mkdir(mode=0o700)
    probe = NameLock(tmp_path / "nodes", A)
    probe.acquire()
    strategy = RunDirectory(tmp_path)

    async def announce() -> None:
        asyncio.get_running_loop().call_later(0.03, probe.release)
        await strategy.announce(Host(A))

    asyncio.run(announce())
    assert len(find(strategy)) == 1


def test_listing_then_what_ls_shows(tmp_path: Path) -> None:
    announced(tmp_path)
    assert listing(tmp_path) == [Entry(A, 5, os.getpid(), Host(A).link_endpoints, is_alive=True)]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", json.dumps({"name": B, "incarnation": 1, "pid": 1, "endpoints": []}), '{"name": 5}'],
)
def test_file_that_is_no_entry_then_ignored(text: str, tmp_path: Path) -> None:
    strategy = announced(tmp_path)
    (tmp_path / "nodes" / "x@127.0.0.1.json").write_text(text)
    assert [address.node for address in find(strategy)] == [A]


def test_directory_that_others_may_write_then_refused(tmp_path: Path) -> None:
    (tmp_path / "nodes").mkdir()
    (tmp_path / "nodes").chmod(0o777)
    with pytest.raises(ConfigError, match="chmod 700"):
        listing(tmp_path)


def test_node_without_a_name_then_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name"):
        asyncio.run(RunDirectory(tmp_path).announce(Host(None)))


def test_entry_then_only_its_owner_can_read_it(tmp_path: Path) -> None:
    announced(tmp_path)
    assert (tmp_path / "nodes").stat().st_mode & 0o077 == 0


def test_local_then_any_free_port_will_do(tmp_path: Path) -> None:
    assert Local(tmp_path).any_port


def test_lock_then_it_is_the_kernels(tmp_path: Path) -> None:
    strategy = announced(tmp_path)
    path = next((tmp_path / "nodes").glob("*.lock"))
    with path.open() as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    asyncio.run(strategy.withdraw())
