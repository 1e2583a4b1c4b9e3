"""Baseline asyncio_queue: what people write today, one Task with one asyncio.Queue per actor."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

from benchmarks.contender import CALLERS_COUNT, Figures, percentile, resident_bytes, scaled, serve_async

Request = tuple["asyncio.Future[Any]", Any]
clock = time.perf_counter


async def burst() -> Figures:
    count, queue = scaled(50_000), asyncio.Queue[int]()

    async def receive() -> None:
        for _ in range(count):
            await queue.get()

    start = clock()
    receiver = asyncio.create_task(receive())
    for number in range(count):
        queue.put_nowait(number)
        if number % 1000 == 999:
            await asyncio.sleep(0)
    await receiver
    return {"local.burst": count / (clock() - start)}


async def ping_pong() -> Figures:
    count, there, back = scaled(15_000), asyncio.Queue[int](), asyncio.Queue[int]()

    async def echo() -> None:
        while True:
            back.put_nowait(await there.get())

    async def ping() -> None:
        for number in range(count):
            there.put_nowait(number)
            await back.get()

    echoing = asyncio.create_task(echo())
    start = clock()
    await asyncio.create_task(ping())
    took = clock() - start
    await end(echoing)
    return {"local.ping_pong": count / took}


async def answer_requests(queue: asyncio.Queue[Request]) -> None:
    while True:
        future, request = await queue.get()
        if not future.done():
            future.set_result(request)


async def calls_per_s(count: int, callers_count: int) -> float:
    queue = asyncio.Queue[Request]()
    loop = asyncio.get_running_loop()

    async def caller() -> None:
        for number in range(count // callers_count):
            future = loop.create_future()
            queue.put_nowait((future, number))
            await future

    server = asyncio.create_task(answer_requests(queue))
    start = clock()
    await asyncio.gather(*(asyncio.create_task(caller()) for _ in range(callers_count)))
    took = clock() - start
    await end(server)
    return count / took


async def call() -> Figures:
    return {"local.call": await calls_per_s(scaled(15_000), 1)}


async def call_100() -> Figures:
    return {"local.call_100": await calls_per_s(scaled(40_000), CALLERS_COUNT)}


async def cast() -> Figures:
    """Requests without an answer; the last one has one, so that all were handled."""
    count, queue = scaled(50_000), asyncio.Queue[Request | None]()
    handled = 0

    async def serve() -> None:
        nonlocal handled
        while True:
            request = await queue.get()
            if request is not None:
                request[0].set_result(handled)
            handled += 1

    server = asyncio.create_task(serve())
    start = clock()
    for number in range(count):
        queue.put_nowait(None)
        if number % 1000 == 999:
            await asyncio.sleep(0)
    future = asyncio.get_running_loop().create_future()
    queue.put_nowait((future, None))
    assert await future == count
    took = clock() - start
    await end(server)
    return {"local.cast": count / took}


async def receive_one(queue: asyncio.Queue[int]) -> None:
    await queue.get()


async def spawn() -> Figures:
    """From start over one message to the end of each."""
    count = scaled(10_000)
    start = clock()
    queues = [asyncio.Queue[int]() for _ in range(count)]
    tasks = [asyncio.create_task(receive_one(queue)) for queue in queues]
    for queue in queues:
        queue.put_nowait(1)
    await asyncio.gather(*tasks)
    return {"local.spawn": count / (clock() - start)}


async def idle_bytes() -> float:
    count = scaled(50_000)
    gc.collect()
    before = resident_bytes()
    queues = [asyncio.Queue[int]() for _ in range(count)]
    tasks = [asyncio.create_task(receive_one(queue)) for queue in queues]
    await asyncio.sleep(0.1)
    gc.collect()
    size = (resident_bytes() - before) / count
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return size


async def memory_coroutine() -> Figures:
    return {"local.memory_coroutine": await idle_bytes()}


async def memory_server() -> Figures:
    return {"local.memory_server": await idle_bytes()}


async def timer_lateness() -> Figures:
    """How late 10 ms timers are while two tasks send each other messages without a pause."""
    there, back = asyncio.Queue[int](), asyncio.Queue[int]()

    async def flood(source: asyncio.Queue[int], target: asyncio.Queue[int]) -> None:
        while True:
            target.put_nowait(await source.get())

    tasks = [asyncio.create_task(flood(there, back)), asyncio.create_task(flood(back, there))]
    there.put_nowait(1)
    late_ms = []
    for _ in range(scaled(100_000) // 1000):
        start = clock()
        await asyncio.sleep(0.01)
        late_ms.append((clock() - start - 0.01) * 1000)
    await end(*tasks)
    return {"local.timer_lateness_flood_ms": percentile(late_ms, 99)}


async def end(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


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

if __name__ == "__main__":
    asyncio.run(serve_async(MEASURES))
