"""zmqcluster within one node, through its public API: what the baselines beside it do with other means."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

import zmqcluster as zc
from benchmarks.contender import CALLERS_COUNT, Figures, percentile, resident_bytes, scaled, serve_async

clock = time.perf_counter


async def burst() -> Figures:
    count = scaled(400_000)
    done = zc.self()

    async def receive() -> None:
        for _ in range(count):
            await zc.receive()
        zc.send(done, "done")

    start = clock()
    receiver = zc.spawn(receive)
    for number in range(count):
        zc.send(receiver, number)
        if number % 1000 == 999:
            await asyncio.sleep(0)
    await zc.receive()
    return {"local.burst": count / (clock() - start)}


async def echo(partner: zc.Pid) -> None:
    while True:
        zc.send(partner, await zc.receive())


async def ping_pong() -> Figures:
    count = scaled(200_000)
    target = zc.spawn(echo, zc.self())
    start = clock()
    for number in range(count):
        zc.send(target, number)
        await zc.receive()
    took = clock() - start
    zc.exit(target, zc.Kill())
    return {"local.ping_pong": count / took}


class Server(zc.GenServer):
    """Answers a call with its argument, and counts casts."""

    def init(self) -> None:
        self.casts_count = 0

    def handle_call(self, number: int, caller: zc.Call) -> int:
        return number

    @zc.call
    def count(self) -> int:
        return self.casts_count

    def handle_cast(self, number: int) -> None:
        self.casts_count += 1


async def calls_per_s(count: int, callers_count: int) -> float:
    server, done = (await Server.start()).pid, zc.self()

    async def caller() -> None:
        for number in range(count // callers_count):
            await zc.call(server, number)
        zc.send(done, "done")

    start = clock()
    for _ in range(callers_count):
        zc.spawn(caller)
    for _ in range(callers_count):
        await zc.receive()
    took = clock() - start
    zc.exit(server, zc.Kill())
    return count / took


async def call() -> Figures:
    return {"local.call": await calls_per_s(scaled(150_000), 1)}


async def call_100() -> Figures:
    return {"local.call_100": await calls_per_s(scaled(200_000), CALLERS_COUNT)}


async def cast() -> Figures:
    """Casts, then a call, so that all were handled."""
    count, server = scaled(200_000), await Server.start()
    pid = server.pid
    start = clock()
    for number in range(count):
        zc.cast(pid, number)
        if number % 1000 == 999:
            await asyncio.sleep(0)
    assert await server.count() == count
    took = clock() - start
    zc.exit(server.pid, zc.Kill())
    return {"local.cast": count / took}


async def spawn() -> Figures:
    """From start over one message to the end of each."""
    batch_count = scaled(10_000)
    done = zc.self()
    left = batch_count

    async def receive_one() -> None:
        nonlocal left
        await zc.receive()
        left -= 1
        if left == 0:
            zc.send(done, "done")

    start, batches = clock(), 5
    for _ in range(batches):
        left = batch_count
        for pid in [zc.spawn(receive_one) for _ in range(batch_count)]:
            zc.send(pid, 1)
        await zc.receive()
    return {"local.spawn": batches * batch_count / (clock() - start)}


async def receive_for_ever() -> None:
    await zc.receive()


class Idle(zc.GenServer):
    def init(self) -> None:
        pass


async def memory_coroutine() -> Figures:
    return {"local.memory_coroutine": await idle_bytes(lambda: zc.spawn(receive_for_ever))}


async def memory_server() -> Figures:
    async def start() -> Any:
        return (await Idle.start()).pid

    return {"local.memory_server": await idle_bytes(start)}


async def idle_bytes(start: Any) -> float:
    count = scaled(50_000)
    gc.collect()
    before = resident_bytes()
    pids = []
    for _ in range(count):
        pid = start()
        pids.append(await pid if asyncio.iscoroutine(pid) else pid)
    await asyncio.sleep(0.1)
    gc.collect()
    size = (resident_bytes() - before) / count
    for pid in pids:
        zc.exit(pid, zc.Kill())
    return size


async def timer_lateness() -> Figures:
    """How late 10 ms timers are while two processes send each other messages without a pause."""

    async def flood() -> None:
        target = zc.spawn_link(echo, zc.self())
        while True:
            zc.send(target, 1)
            await zc.receive()

    flooding = zc.spawn(flood)
    late_ms = []
    for _ in range(scaled(100_000) // 1000):
        start = clock()
        await asyncio.sleep(0.01)
        late_ms.append((clock() - start - 0.01) * 1000)
    zc.exit(flooding, zc.Kill())
    return {"local.timer_lateness_flood_ms": percentile(late_ms, 99)}


MEASURES = {
    "local.burst": burst,
    "local.ping_pong": ping_pong,
    "local.call": call,
    "local.call_100": call_100,
    "local.cast": cast,
    "local.spawn": spawn,
    "local.memory_coroutine": memory_coroutine,
    "local.memory_server": memory_server,
    "local.timer_lateness_flood_ms": timer_lateness,
}


async def main() -> None:
    await serve_async(MEASURES)


if __name__ == "__main__":
    zc.run(main)
