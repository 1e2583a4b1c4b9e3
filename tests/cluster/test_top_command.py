"""``python -m zmqcluster top`` looks into a node that runs, and the node's cluster does not notice."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
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


@pytest.mark.skipif(find_spec("textual") is None, reason="textual is not installed: pip install 'zmqcluster[tui]'")
@pytest.mark.usefixtures("node")
def test_top_on_a_terminal_then_a_screen_until_q_and_the_terminal_is_as_before(environment: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "zmqcluster", "top", "orders"]
    environment = {**environment, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "30"}
    with subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as child:
        os.close(theirs)
        shown = read_until(ours, b"accounts")
        os.write(ours, b"q")
        shown += read_until(ours, None)
        assert child.wait(30) == 0
    os.close(ours)
    assert b"Ledger" in shown
    assert shown.rfind(b"\x1b[?1049l") > shown.rfind(b"\x1b[?1049h") >= 0  # back from the other screen


def read_until(terminal: int, text: bytes | None) -> bytes:
    """What appears on a terminal until it has shown ``text``, or until its program closes it."""
    shown = b""
    while text is None or text not in shown:
        ready, _, _ = select.select([terminal], [], [], 30)
        assert ready, f"{text!r} was never shown: {shown[-2000:]!r}"
        try:
            part = os.read(terminal, 65_536)
        except OSError:  # how Linux says that the other end is closed
            part = b""
        if not part:
            assert text is None, shown
            return shown
        shown += part
    return shown
