"""Servers, supervisors, monitors and the local registry of one node, through the public API."""

from __future__ import annotations

import asyncio
import gc
import logging
import time

import zmqcluster as zc
from benchmarks.contender import Figures, resident_bytes, scaled, serve_async

clock = time.perf_counter


class Idle(zc.GenServer):
    """Does nothing, and answers calls with their argument."""

    def init(self) -> None:
        pass

    @zc.call
    def same(self, number: int) -> int:
        return number


async def start_stop() -> Figures:
    count = scaled(20_000)
    start = clock()
    for _ in range(count):
        await zc.stop(await Idle.start())
    return {"otp.start_stop": count / (clock() - start)}


def children(count: int) -> list[zc.ChildSpec]:
    return [zc.ChildSpec(f"child {number}", Idle) for number in range(count)]


async def supervisor_start() -> Figures:
    count, specs = scaled(50_000), children(scaled(50_000))
    supervisor = await zc.DynamicSupervisor.start()
    start = clock()
    pids = await supervisor.start_children(specs)
    took = clock() - start
    assert len(pids) == count and all(isinstance(pid, zc.Pid) for pid in pids)
    zc.exit(supervisor.pid, zc.Kill())
    return {"otp.supervisor_start": count / took}


async def supervisor_restart() -> Figures:
    """From the kill of 2,000 children at once until as many new ones run."""
    count = 2000
    supervisor = await zc.DynamicSupervisor.start(max_restarts=10 * count, max_seconds=60.0)
    pids = await supervisor.start_children(children(count))
    start = clock()
    for pid in pids:
        zc.exit(pid, zc.Kill())
    while True:
        await asyncio.sleep(0)
        infos = await supervisor.which_children()
        if sum(info.state == "running" and info.pid not in pids for info in infos[:1] + infos[-1:]) == 2:
            now = {info.pid for info in infos if info.state == "running"}
            if len(now) == count and now.isdisjoint(pids):
                break
    took = clock() - start
    zc.exit(supervisor.pid, zc.Kill())
    return {"otp.supervisor_restart_2000_ms": took * 1000}


async def monitor_demonitor() -> Figures:
    count, pid = scaled(200_000), (await Idle.start()).pid
    start = clock()
    for _ in range(count):
        zc.demonitor(zc.monitor(pid))
    took = clock() - start
    zc.exit(pid, zc.Kill())
    return {"otp.monitor_demonitor": count / took}


async def registry_register() -> Figures:
    count, registry = scaled(100_000), await zc.Registry("benchmark").start_link()
    start = clock()
    for number in range(count):
        registry.register(number)
    took = clock() - start
    for number in range(count):
        registry.unregister(number)
    await stop_registry(registry)
    return {"otp.registry_register": count / took}


async def registry_lookup() -> Figures:
    count, registry = scaled(500_000), await zc.Registry("benchmark").start_link()
    registry.register("key", 1)
    lookup = registry.lookup
    start = clock()
    for _ in range(count):
        lookup("key")
    took = clock() - start
    registry.unregister("key")
    await stop_registry(registry)
    return {"otp.registry_lookup": count / took}


async def stop_registry(registry: zc.Registry) -> None:
    """Stop the registry that ``start_link`` linked to us."""
    traps = zc.trap_exits(True)
    await zc.stop(registry.child_spec().name)
    await zc.receive(zc.Exit)
    zc.trap_exits(traps)


async def reply_among_200k() -> Figures:
    """How many times longer a call takes its caller with 200,000 messages in its mailbox."""
    server, count = await Idle.start(), scaled(20_000)

    async def calls_s() -> float:
        start = clock()
        for number in range(count):
            await server.same(number)
        return clock() - start

    empty_s, me = await calls_s(), zc.self()
    for number in range(200_000):
        zc.send(me, number)
    full_s = await calls_s()
    for _ in range(200_000):
        await zc.receive()
    zc.exit(server.pid, zc.Kill())
    return {"otp.reply_among_200k": full_s / empty_s}


async def memory_100k_servers() -> Figures:
    count = scaled(100_000)
    gc.collect()
    before = resident_bytes()
    pids = [(await Idle.start()).pid for _ in range(count)]
    gc.collect()
    grown_mb = (resident_bytes() - before) / 1e6
    for pid in pids:
        zc.exit(pid, zc.Kill())
    return {"otp.memory_100k_servers_mb": grown_mb * 100_000 / count}


MEASURES = {
    "otp.start_stop": start_stop,
    "otp.supervisor_start": supervisor_start,
    "otp.supervisor_restart_2000_ms": supervisor_restart,
    "otp.monitor_demonitor": monitor_demonitor,
    "otp.registry_register": registry_register,
    "otp.registry_lookup": registry_lookup,
    "otp.reply_among_200k": reply_among_200k,
    "otp.memory_100k_servers_mb": memory_100k_servers,
}


async def main() -> None:
    await serve_async(MEASURES)


if __name__ == "__main__":
    logging.getLogger("zmqcluster").setLevel(logging.CRITICAL)  # what is measured is not the terminal
    zc.run(main)
