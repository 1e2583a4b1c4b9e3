"""``python -m zmqcluster top`` looks into a node that runs, and the node's cluster does not notice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.node_process import ROOT

pytestmark = pytest.mark.cluster

PROGRAM = """
import zmqcluster as zc

class Ledger(zc.GenServer):
    pass

class Books(zc.Supervisor):
    children = [zc.ChildSpec("accounts", Ledger, name="accounts")]

async def main():
    await Books.start_link()
    zc.monitor_nodes()
    print("ready", flush=True)
    print(await zc.receive(), flush=True)

zc.run(main, name="orders@127.0.0.1", cookie="secret", topologies=[zc.Local()])
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "ZMQCLUSTER_RUN_DIR": str(tmp_path), "ZMQCLUSTER_COOKIE": "secret"}


@pytest.fixture
def node(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        yield child
        child.terminate()
        assert child.stdout.read() == "", "the node was told of top, or of another"


def top(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "zmqcluster", "top", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.usefixtures("node")
def test_top_once_then_the_node_its_tree_and_its_processes(environment: dict[str, str]) -> None:
    seen = top(environment, "orders", "--once")
    assert (seen.returncode, seen.stderr) == (0, "")
    assert seen.stdout.startswith("orders@127.0.0.1  os pid ")
    assert "\nBooks\n  Ledger (accounts)\n" in seen.stdout
    assert "zmqcluster.inspector" in seen.stdout


@pytest.mark.usefixtures("node")
def test_top_with_another_cookie_then_exit_1_and_why(environment: dict[str, str]) -> None:
    refused = top(environment, "orders@127.0.0.1", "--once", "--cookie", "another")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "cookie" in refused.stderr
