"""How soon a node notices that another one is gone: killed, stopped, or out of work."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import zmqcluster as zc
from benchmarks.contender import Figures, serve_async
from benchmarks.peer import free_ports

COOKIE = "of the benchmark alone"
KILLS_COUNT, STOPS_COUNT = 5, 2
QUICK = os.environ.get("BENCH_QUICK") == "1"


@contextlib.asynccontextmanager
async def connected_peer() -> AsyncIterator[tuple[str, int]]:
    """A node in a process of its own that is connected to this one: its name and its process id."""
    name = f"peer@127.0.0.1:{free_ports(1)[0]}"
    peer = subprocess.Popen([sys.executable, "-m", "benchmarks.detect_ours", name], stdout=subprocess.PIPE, text=True)
    try:
        assert peer.stdout is not None and await asyncio.to_thread(peer.stdout.readline) == "started\n"
        assert await zc.connect(name)
        yield name, peer.pid
    finally:
        peer.kill()
        peer.wait()
        assert peer.stdout is not None
        peer.stdout.close()


async def noticed_s(number: signal.Signals) -> float:
    """Send the signal to a fresh peer; return how long it took until it was down."""
    async with connected_peer() as (name, pid):
        await asyncio.sleep(random.random() * zc.Timing.lan().beat_ms / 1000)  # at no special moment between two beats
        zc.monitor_nodes()
        began_s = time.monotonic()
        os.kill(pid, number)
        await zc.receive(match=lambda message: isinstance(message, zc.NodeDown) and message.node == name)
        took_s = time.monotonic() - began_s
        zc.monitor_nodes(False)
        os.kill(pid, signal.SIGCONT)
        return took_s


async def kill9() -> Figures:
    took_s = [await noticed_s(signal.SIGKILL) for _ in range(1 if QUICK else KILLS_COUNT)]
    return {"detect.kill9_ms": statistics.median(took_s) * 1000}


async def sigstop() -> Figures:
    silence_s = zc.Timing.lan().silence_ms / 1000
    took_s = [await noticed_s(signal.SIGSTOP) for _ in range(1 if QUICK else STOPS_COUNT)]
    return {"detect.sigstop_over_timeout": max(took_s) / silence_s}


async def measure() -> None:
    await serve_async({"detect.kill9_ms": kill9, "detect.sigstop_over_timeout": sigstop})


async def wait() -> None:
    print("started", flush=True)
    await asyncio.sleep(3600)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        zc.run(wait, name=sys.argv[1], cookie=COOKIE)
    else:
        zc.run(measure, name=f"measuring@127.0.0.1:{free_ports(1)[0]}", cookie=COOKIE)
