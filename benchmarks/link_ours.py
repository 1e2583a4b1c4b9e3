"""zmqcluster between two OS processes on loopback, through its public API, with a cookie: encrypted links."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import zmqcluster as zc
from benchmarks.contender import CALLERS_COUNT, SMALL, Figures, call_figures, scaled, serve_async
from benchmarks.fleet import idle_cpu_share
from benchmarks.peer import free_ports, running_peer

HALF_WINDOW_BYTES = 4 << 20
TURN_COUNT = 1000  # casts before the loop has its turn
COOKIE = "of the benchmark alone"
clock = time.perf_counter


class Sink(zc.GenServer):
    """Counts casts and answers calls on the other node."""

    def init(self) -> None:
        self.taken_count = 0

    def handle_cast(self, message: Any) -> None:
        self.taken_count += 1

    @zc.call
    def count(self) -> int:
        """Return how many casts came since the last call."""
        taken_count, self.taken_count = self.taken_count, 0
        return taken_count

    @zc.call
    def same(self, message: Any) -> Any:
        return message

    @zc.call
    def own_pid(self) -> zc.Pid:
        return zc.self()


class Client:
    """The measuring end."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink

    async def one_way(self) -> Figures:
        count = scaled(200_000)
        start = clock()
        await self._take(SMALL, count)
        return {"link.one_way": count / (clock() - start)}

    async def call(self) -> Figures:
        latencies = []
        for _ in range(scaled(3_000)):
            start = clock()
            await self.sink.same(SMALL)
            latencies.append(clock() - start)
        return call_figures(latencies)

    async def call_100(self) -> Figures:
        count, done = scaled(50_000), zc.self()

        async def caller() -> None:
            for _ in range(count // CALLERS_COUNT):
                await self.sink.same(SMALL)
            zc.send(done, "done")

        start = clock()
        for _ in range(CALLERS_COUNT):
            zc.spawn(caller)
        for _ in range(CALLERS_COUNT):
            await zc.receive()
        return {"link.call_100": count / (clock() - start)}

    async def payload(self, name: str, size_bytes: int, total_bytes: int) -> Figures:
        """As many bytes are on the way as a link may buffer without growing."""
        count, payload = scaled(total_bytes // size_bytes), bytes(size_bytes)
        start = clock()
        await self._take(payload, count, half_window_count=HALF_WINDOW_BYTES // size_bytes)
        return {name: count * size_bytes / (clock() - start) / 1e6}

    async def _take(self, message: object, count: int, half_window_count: int = 20_000) -> None:
        """Send ``count`` casts, and a call after each half window: the reply to the last but one is waited for."""
        taken_count, outstanding = 0, self.sink.count()
        for first in range(0, count, half_window_count):
            await self._send(message, min(half_window_count, count - first))
            taken_count += await outstanding
            outstanding = self.sink.count()
        taken_count += await outstanding
        assert taken_count == count, (taken_count, count)

    async def _send(self, message: object, count: int) -> None:
        cast, sink = zc.cast, self.sink.pid
        for first in range(0, count, TURN_COUNT):
            for _ in range(min(TURN_COUNT, count - first)):
                cast(sink, message)
            await asyncio.sleep(0)


async def answer() -> None:
    """The other end, until its input ends."""
    await Sink.start(name="sink")
    await asyncio.to_thread(sys.stdin.read)


async def measure(peer: str) -> None:
    await zc.joined(1, 20.0)
    client = Client(Sink.at(await Sink.at(("sink", peer)).own_pid()))
    await serve_async(
        {
            "link.one_way": client.one_way,
            "link.call": client.call,
            "link.call_100": client.call_100,
            "link.idle_cpu_share": lambda: asyncio.to_thread(idle_cpu_share),
            "link.payload_64k": lambda: client.payload("link.payload_64k", 64 * 1024, 256 << 20),
            "link.payload_1m": lambda: client.payload("link.payload_1m", 1 << 20, 512 << 20),
        }
    )


def main(module: str = "benchmarks.link_ours", cookie: str | None = COOKIE) -> None:
    """Measure, or answer where a name is given; ``module`` is what both ends are started as."""
    if len(sys.argv) > 1:
        zc.run(answer, name=sys.argv[1], cookie=cookie)
        return
    ports = free_ports(2)
    own, peer = f"measuring@127.0.0.1:{ports[0]}", f"answering@127.0.0.1:{ports[1]}"
    with running_peer(module, peer):
        zc.run(measure, peer, name=own, cookie=cookie, topologies=[zc.Static([peer])])


if __name__ == "__main__":
    main()
