"""A node in an OS process of its own that offers ``remote_functions``, until its input ends.

    python -m tests.support.remote_node b@127.0.0.1:12345 secret
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import remote_functions
from tests.support.node_process import ROOT, free_name
from zmqcluster.runtime.run import run
from zmqcluster.runtime.timing import Timing

COOKIE = "secret"


@contextmanager
def remote_node(run_dir: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The name of a node that accepts connections, and its process, which is killed in the end."""
    name = free_name("b")
    environment = os.environ | {"ZMQCLUSTER_RUN_DIR": str(run_dir), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.support.remote_node", name]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=ROOT, text=True
    )
    assert child.stdin and child.stdout
    try:
        assert child.stdout.readline() == "ready\n"
        yield name, child
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()


async def main() -> None:
    assert remote_functions.add
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    run(main, name=sys.argv[1], cookie=COOKIE, timing=Timing.local())
