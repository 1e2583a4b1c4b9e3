"""The list of this host's nodes."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from zmqcluster.errors import ConfigError
from zmqcluster.monitoring.listing import NodeLine, as_table, list_nodes
from zmqcluster.monitoring.overview import Overview, PeerOverview
from zmqcluster.transport.rundir import NameLock

NAME = "orders@127.0.0.1:7101"


def announce(run_dir: Path, name: str) -> None:
    nodes = run_dir / "nodes"
    nodes.mkdir(mode=0o700, exist_ok=True)
    entry = {"name": name, "incarnation": 7, "pid": os.getpid(), "endpoints": ["ipc:///run/x.ipc"]}
    (nodes / f"{name}.json").write_text(json.dumps(entry))


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path


def test_list_nodes_without_entries_is_empty(run_dir: Path) -> None:
    assert list_nodes(run_dir) == []


def test_list_nodes_shows_held_name_as_up_with_figures_of_the_system(run_dir: Path) -> None:
    announce(run_dir, NAME)
    lock = NameLock(run_dir / "nodes", NAME)
    lock.acquire()
    (line,) = list_nodes(run_dir)
    lock.release()
    assert (line.node, line.pid, line.state, line.endpoints) == (NAME, os.getpid(), "up", ("ipc:///run/x.ipc",))
    if Path("/proc/self/stat").exists():
        assert line.memory_bytes is not None and line.memory_bytes > 1_000_000
        assert line.age_s is not None and line.age_s >= 0


def test_line_of_a_node_that_was_asked_then_its_peers_and_workers_and_silent_without_an_answer() -> None:
    line = NodeLine("a@127.0.0.1", 12, "up", 1.0, 1, ())
    peers = (PeerOverview("b@127.0.0.1", "visible", "up", 1), PeerOverview("ls-7@127.0.0.1", "hidden", "up", 1))
    assert line.seen_as(Overview("a@127.0.0.1", 1, 5, 9, 42, peers)) == replace(line, peers=1, workers=42)
    assert line.seen_as(None).state == "silent"
    assert replace(line, state="stopped").seen_as(None).state == "stopped"


def test_list_nodes_shows_name_nobody_holds_as_dead_without_figures(run_dir: Path) -> None:
    announce(run_dir, NAME)
    assert list_nodes(run_dir) == [NodeLine(NAME, os.getpid(), "dead", None, None, ("ipc:///run/x.ipc",))]


def test_list_nodes_sorts_by_name(run_dir: Path) -> None:
    for name in ("c@127.0.0.1", "a@127.0.0.1", "b@127.0.0.1"):
        announce(run_dir, name)
    assert [line.node for line in list_nodes(run_dir)] == ["a@127.0.0.1", "b@127.0.0.1", "c@127.0.0.1"]


def test_list_nodes_skips_what_is_no_entry(run_dir: Path) -> None:
    announce(run_dir, NAME)
    (run_dir / "nodes" / "half@127.0.0.1.json").write_text('{"name": "half@12')
    assert [line.node for line in list_nodes(run_dir)] == [NAME]


def test_list_nodes_of_directory_others_may_write_raises(run_dir: Path) -> None:
    run_dir.chmod(0o777)
    with pytest.raises(ConfigError, match="can be written by others"):
        list_nodes(run_dir)


def test_as_table_aligns_columns_and_leaves_unknown_blank() -> None:
    lines = [
        NodeLine("a@127.0.0.1:7101", 12, "up", 61.5, 12_340_000, ("ipc:///a.ipc", "tcp://127.0.0.1:7101"), 2, 1_500),
        NodeLine("long-name@127.0.0.1:7102", 1234, "dead", None, None, ()),
        NodeLine("old@127.0.0.1", 5, "up", 7_384.0, None, ()),
    ]
    assert as_table(lines) == [
        "NODE                      PID   STATE  PEERS  WORKERS  AGE     MEMORY   ENDPOINTS",
        "a@127.0.0.1:7101          12    up     2      1,500    1m 01s  12.3 MB  ipc:///a.ipc tcp://127.0.0.1:7101",
        "long-name@127.0.0.1:7102  1234  dead",
        "old@127.0.0.1             5     up                     2h 03m",
    ]
