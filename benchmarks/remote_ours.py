"""zmqcluster: processes started and functions called on a node in another OS process on loopback, encrypted."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

import zmqcluster as zc
from benchmarks.contender import CALLERS_COUNT, Figures, scaled, serve_async
from benchmarks.peer import free_ports, running_peer

COOKIE = "of the benchmark alone"
TURN_COUNT = 200  # processes asked for before the first pid is awaited
clock = time.perf_counter


@zc.remote(name="benchmark.nothing")
async def nothing() -> None:
    """End at once."""


async def spawn(peer: str) -> Figures:
    """One process starts many: no request waits for the pid of the one before."""
    count, start = scaled(40_000), clock()
    for _ in range(0, count, TURN_COUNT):
        for asked in [zc.spawn_on(peer, nothing) for _ in range(TURN_COUNT)]:
            await asked
    return {"remote.spawn": count / (clock() - start)}


async def start_some(count: int, start_one: Callable[[], Awaitable[object]]) -> None:
    """Start one after the other, each when the one before is there."""
    for _ in range(count):
        await start_one()


async def rate(name: str, count: int, callers_count: int, start_one: Callable[[], Awaitable[object]]) -> Figures:
    """How many a second ``callers_count`` processes start together."""
    start = clock()
    refs = {zc.spawn_monitor(start_some, count // callers_count, start_one)[1] for _ in range(callers_count)}
    while refs:
        down = await zc.receive(zc.Down)
        assert down.reason == zc.Normal(), down
        refs.remove(down.ref)
    return {name: count / (clock() - start)}


async def answer() -> None:
    """The other end, until its input ends."""
    await asyncio.to_thread(sys.stdin.read)


async def measure(peer: str) -> None:
    await zc.joined(1, 20.0)

    def start() -> Awaitable[zc.Pid]:
        return zc.spawn_on(peer, nothing)

    def call() -> Awaitable[None]:
        return zc.erpc.call(peer, nothing)

    await serve_async(
        {
            "remote.spawn": lambda: spawn(peer),
            "remote.spawn_awaited": lambda: rate("remote.spawn_awaited", scaled(3_000), 1, start),
            "remote.spawn_100": lambda: rate("remote.spawn_100", scaled(40_000), CALLERS_COUNT, start),
            "remote.erpc_call": lambda: rate("remote.erpc_call", scaled(20_000), CALLERS_COUNT, call),
        }
    )


def main() -> None:
    ports = free_ports(2)
    own, peer = f"measuring@127.0.0.1:{ports[0]}", f"answering@127.0.0.1:{ports[1]}"
    with running_peer("benchmarks.remote_ours", peer):
        zc.run(measure, peer, name=own, cookie=COOKIE, topologies=[zc.Static([peer])])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        zc.run(answer, name=sys.argv[1], cookie=COOKIE)
    else:
        main()
