"""The screen of ``top``, from plain data; the whole command is in tests/cluster."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zmqcluster.errors import ConfigError
from zmqcluster.ids import Pid
from zmqcluster.monitoring.inspect import Branch, NodeInfo, Peer, ProcessInfo, RegistryInfo
from zmqcluster.monitoring.top import screen
from zmqcluster.monitoring.visit import find

NODE = NodeInfo("a@h:1", 1, 4711, 2, (), (), (), 0, {})
WORKER = ProcessInfo(
    Pid("a@h:1", 1, 5), ("accounts",), "Ledger", "waiting", 12, None, 3_000, (), (), (), False, None, "main:3"
)


def test_screen_of_a_quiet_node_then_its_processes_in_columns() -> None:
    lines = list(screen(NODE, [], [WORKER, replace(WORKER, names=(), current=None)]))
    assert lines == [
        "a@h:1  os pid 4711  2 processes  0 dropped messages",
        "",
        "",
        "PROCESS  NAME      STATUS   QUEUED  MEMORY  LINKS  CURRENT",
        "5.0      accounts  waiting  12      3.0 kB  0      main:3",
        "5.0      Ledger    waiting  12      3.0 kB  0",
    ]


def test_screen_then_trees_are_indented_and_what_is_left_out_is_counted() -> None:
    child = Branch("accounts", WORKER.pid, "Ledger", ("accounts",), "worker", "running")
    gone = Branch("archive", None, "", (), "worker", "stopped")
    root = Branch(None, WORKER.pid, "Books", (), "supervisor", "running", (child, gone), 7)
    assert list(screen(NODE, [root], []))[2:7] == [
        "Books",
        "  Ledger (accounts)",
        "  - (archive)  stopped",
        "  ... and 7 more",
        "",
    ]


def test_screen_then_peers_registries_and_what_went_wrong() -> None:
    node = replace(
        NODE,
        peers=(Peer("b@h:2", 1_500, 20, 0, 3),),
        registries=(RegistryInfo("names", "cluster", 9),),
        counters={"refused": 2, "auth_failed": 0},
    )
    assert list(screen(node, [], [WORKER]))[1:4] == [
        "on the wire: 2 refused",
        "  connected to b@h:2: sent 1.5 kB, received 20 B, waiting 0 B",
        "  registry names (cluster): 9",
    ]
    assert list(screen(node, [], [WORKER]))[-1] == "... and 1 with no longer queue"


def test_screen_when_a_label_is_long_then_it_is_cut() -> None:
    row = list(screen(NODE, [], [replace(WORKER, names=(), label="x" * 200)]))[4]
    assert "x" * 60 + "…" in row and "x" * 61 not in row


def test_find_when_given_a_full_name_then_it_need_not_be_announced() -> None:
    assert find("a@10.0.0.7:7101") == "a@10.0.0.7:7101"
    with pytest.raises(ConfigError):
        find("a@:x")
