"""A broadcast to 1,000 members on three nodes, each its own OS process on loopback, with a cookie: encrypted links."""

from __future__ import annotations

import asyncio
import logging
import sys
import time

import zmqcluster as zc
from benchmarks.contender import SMALL, Figures, scaled, serve_async
from benchmarks.peer import free_ports, running_peer

MEMBERS_COUNT = 1_000
COOKIE = "of the benchmark alone"
BURST_COUNT = 10  # broadcasts before the loop has its turn
clock = time.perf_counter

groups = zc.Groups("benchmark")


async def member(count: int) -> None:
    """Count what comes, and tell the collector of each full round."""
    groups.join("all")
    left_count = count
    while True:
        _, collector = await zc.receive()
        left_count -= 1
        if left_count == 0:
            zc.send(collector, "round")
            left_count = count


async def populate(count: int) -> None:
    await zc.Supervisor.start_link([groups])
    for _ in range(count):
        zc.spawn(member, broadcasts_count())


def broadcasts_count() -> int:
    return scaled(500)


async def broadcast_1000() -> Figures:
    message, count = (SMALL, zc.self()), broadcasts_count()
    start = clock()
    for number in range(count):
        sent_count = groups.broadcast("all", message)
        assert sent_count == MEMBERS_COUNT, sent_count
        if number % BURST_COUNT == 0:
            await asyncio.sleep(0)
    for _ in range(MEMBERS_COUNT):
        await zc.receive()
    return {"groups.broadcast_1000": count * MEMBERS_COUNT / (clock() - start)}


async def measure() -> None:
    await populate(MEMBERS_COUNT - 2 * (MEMBERS_COUNT // 3))
    async with asyncio.timeout(20.0):
        while len(groups.get_members("all")) < MEMBERS_COUNT:
            await asyncio.sleep(0.01)
    await serve_async({"groups.broadcast_1000": broadcast_1000})


async def answer() -> None:
    """Another node, until its input ends."""
    await populate(MEMBERS_COUNT // 3)
    await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    names = [f"node{number}@127.0.0.1:{port}" for number, port in enumerate(free_ports(3))]
    with running_peer("benchmarks.groups_ours", *names[1:]), running_peer("benchmarks.groups_ours", names[2], names[1]):
        zc.run(measure, name=names[0], cookie=COOKIE, topologies=[zc.Static(names)])


if __name__ == "__main__":
    logging.getLogger("zmqcluster").setLevel(logging.CRITICAL)  # what is measured is not the terminal
    if len(sys.argv) > 1:
        zc.run(answer, name=sys.argv[1], cookie=COOKIE, topologies=[zc.Static(sys.argv[2:])])
    else:
        main()
