"""Nothing leaks: each test in an interpreter of its own, where only its program takes memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

PRELUDE = """
import asyncio, gc, resource, sys, weakref
import zmqcluster as zc
from tests.support.running import arriving, forever, run, run_real

def peak_kib():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak
"""

SPAWNS = """
async def ends(reason):
    if reason is not None:
        zc.exit(reason)

async def wave(count):
    for _ in range(count // 1000):
        for number in range(250):
            zc.spawn(ends, None)
            zc.spawn(ends, "bang")
            zc.spawn_link(ends, None)
            pid, ref = zc.spawn_monitor(ends, number)
            zc.send(pid, "unread")
        await arriving(0.001)

async def main():
    await wave(30_000)
    before_kib = peak_kib()
    await wave(300_000)
    grown_kib = peak_kib() - before_kib
    assert zc.node().scheduler.process_count < 10
    assert grown_kib < 1024, f"{grown_kib} KiB more"

run(main)
"""

SERVERS = """
class Server(zc.GenServer):
    def init(self, payload):
        self.payload = payload

    @zc.call
    def echo(self, value):
        return value

    @zc.call
    async def echo_later(self, value):
        await asyncio.sleep(0)
        return value

async def wave(count):
    for number in range(count):
        server = await Server.start(number, name="server")
        await server.echo("x" * 1000)
        await server.echo_later("y" * 1000)
        try:
            await server.echo_later.within(0)("z" * 1000)
        except TimeoutError:
            pass
        await zc.stop(server)

async def main():
    await wave(1_000)
    before_kib = peak_kib()
    await wave(5_000)
    grown_kib = peak_kib() - before_kib
    assert grown_kib < 1024, f"{grown_kib} KiB more"

run(main)
"""

CYCLES = """
class Anything:
    pass

class Server(zc.GenServer):
    def init(self, thing):
        self.thing = thing

    def handle_info(self, message):
        self.message = message

async def waits(thing, coroutines):
    thing.process = asyncio.current_task()
    thing.coroutine = thing.process.get_coro()
    thing.frame = sys._getframe()
    await forever()

def drop_one(watched):
    '''A loop with processes in cycles through mailboxes, tables, links and timers, closed and dropped as it is.'''
    loop = asyncio.new_event_loop()
    scheduler = zc.core.Scheduler(loop, "cycle@nowhere", 1, Reports())
    things = [Anything() for _ in range(3)]
    pids = [scheduler.spawn(waits(thing, things)) for thing in things]
    for _ in range(3):
        loop.call_soon(loop.stop)
        loop.run_forever()
    for thing, pid in zip(things, pids):
        thing.scheduler = scheduler
        thing.loop = loop
        scheduler.deliver(pid, thing)
        scheduler.deliver(pid, [thing.process, thing.coroutine])
        scheduler.send_after(1000, pid, thing)
    loop.call_soon(loop.stop)
    loop.run_forever()
    watched += [weakref.ref(each) for thing in things for each in (thing, thing.process, thing.coroutine)]
    watched += [weakref.ref(loop)]
    loop.close()

from zmqcluster.runtime.reports import Reports
watched = []
gc.disable()
for _ in range(200):
    drop_one(watched)
assert all(each() is not None for each in watched), "no cycles: this proves nothing"
gc.collect()
alive = [each() for each in watched if each() is not None]
assert len(watched) == 200 * 10
assert not alive, f"{len(alive)} of {len(watched)} live, such as {alive[0]!r}"
"""


def run_fresh(program: str) -> None:
    """Run the program in a fresh interpreter; its failure is ours."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PRELUDE + program], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr == ""


def test_300_000_spawns_and_exits_then_memory_is_flat() -> None:
    run_fresh(SPAWNS)


def test_servers_started_called_timed_out_and_stopped_then_memory_is_flat() -> None:
    run_fresh(SERVERS)


def test_200_cyclic_graphs_of_processes_when_dropped_then_they_are_freed() -> None:
    run_fresh(CYCLES)
