"""Programs that fill links, for the tests of flow control; each prints one line of JSON at its end.

    serve NAME                     answers, until its input ends
    bulk NAME PEER BYTES           one long message; meanwhile another process calls, and takes the time
    flood NAME PEER OTHER SECONDS  messages to PEER, whose loop is blocked meanwhile; calls to OTHER
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import zmqcluster as zc

COOKIE = "of the tests of flow"
PAUSE_S = 0.02


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


class Sink(zc.GenServer):
    """Counts what it is told, and answers."""

    def init(self) -> None:
        self.count = 0
        self.peak_bytes = 0

    def handle_cast(self, message: Any) -> None:
        self.count += 1

    @zc.cast
    def block(self, seconds: float) -> None:
        """Let nothing of this node run, but its native threads."""
        time.sleep(seconds)
        self.peak_bytes = resident_bytes()

    @zc.call
    def told(self) -> int:
        return self.count

    @zc.call
    def peak(self) -> int:
        return self.peak_bytes

    @zc.call
    def resident(self) -> int:
        return resident_bytes()


class Caller:
    """A process that calls ``peer`` again and again."""

    def __init__(self, peer: str) -> None:
        self.sink = Sink.at(("sink", peer))
        self.latencies_s: list[float] = []
        self.pid = zc.spawn(self._call)

    async def _call(self) -> None:
        while True:
            start_s = time.perf_counter()
            await self.sink.told()
            self.latencies_s.append(time.perf_counter() - start_s)
            await asyncio.sleep(PAUSE_S)


async def serve() -> None:
    await Sink.start(name="sink")
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)


async def ready(*peers: str) -> list[str]:
    """Wait for the sinks of ``peers``; return the list that names of lost nodes are added to."""
    downs: list[str] = []
    for peer in peers:
        assert await zc.connect(peer)
        await Sink.at(("sink", peer)).told()
    zc.node().watch(lambda event: downs.append(event.node) if isinstance(event, zc.NodeDown) else None)
    return downs


async def bulk(peer: str, size_bytes: str) -> None:
    downs = await ready(peer)
    sink = Sink.at(("sink", peer))
    caller = Caller(peer)
    await asyncio.sleep(0.5)
    quiet_s = max(caller.latencies_s)
    caller.latencies_s.clear()
    start_s = time.perf_counter()

    async def send_long() -> None:
        zc.cast(sink.dest, bytes(int(size_bytes)))

    zc.spawn(send_long)
    while await sink.told() < 1:
        await asyncio.sleep(PAUSE_S)
    tell(took_s=time.perf_counter() - start_s, quiet_s=quiet_s, slowest_s=max(caller.latencies_s), downs=downs)


async def flood(peer: str, other: str, seconds: str) -> None:
    downs = await ready(peer, other)
    sink, before_bytes = Sink.at(("sink", peer)), resident_bytes()
    sink_before_bytes = await sink.resident()
    over = asyncio.Event()
    sent: list[int] = []

    async def fill() -> None:
        count = 0
        while not over.is_set():
            for _ in range(50):
                zc.cast(sink.dest, {"number": count, "text": "of some length, as messages are"})
                count += 1
            await asyncio.sleep(0)
        sent.append(count)

    sink.block(float(seconds))
    for _ in range(4):
        zc.spawn(fill)
    caller = Caller(other)
    await asyncio.sleep(float(seconds))
    grown_bytes = resident_bytes() - before_bytes
    over.set()
    while len(sent) < 4:
        await asyncio.sleep(PAUSE_S)
    tell(
        sent=sum(sent),
        told=await sink.told(),
        grown_bytes=grown_bytes,
        sink_grown_bytes=await sink.peak() - sink_before_bytes,
        calls=len(caller.latencies_s),
        slowest_s=max(caller.latencies_s),
        downs=downs,
    )


def tell(**found: Any) -> None:
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    zc.run({"serve": serve, "bulk": bulk, "flood": flood}[sys.argv[1]], *sys.argv[3:], name=sys.argv[2], cookie=COOKIE)
