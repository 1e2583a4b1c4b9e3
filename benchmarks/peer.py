"""Two OS processes of one contender: the measuring one starts its peer, and the peer ends when its input does."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

PORTS = range(20_000, 32_000)  # below the ephemeral range, where a retrying DEALER could connect to itself


def free_ports(count: int) -> list[int]:
    """Return ``count`` loopback ports that nobody listens on; drawn, since other contenders draw at the same time."""
    found: list[int] = []
    for port in random.SystemRandom().sample(PORTS, 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"no {count} free ports in {PORTS}")


@contextmanager
def running_peer(module: str, *arguments: str) -> Iterator[None]:
    """Run ``python -m module arguments`` for the time of the block."""
    command = [sys.executable, "-m", module, *arguments]
    peer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=sys.stderr)
    try:
        yield
    finally:
        assert peer.stdin is not None
        peer.stdin.close()
        try:
            peer.wait(5)
        except subprocess.TimeoutExpired:
            peer.kill()
            peer.wait()
