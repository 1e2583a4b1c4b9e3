"""Baseline zmq_asyncio: what people write today between two processes, zmq.asyncio sockets with msgpack."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any

import msgpack
import zmq
import zmq.asyncio

from benchmarks.contender import CALLERS_COUNT, SMALL, Figures, call_figures, scaled, serve_async
from benchmarks.peer import free_ports, running_peer

Socket = zmq.asyncio.Socket
clock = time.perf_counter


class Client:
    """The measuring end: a DEALER, and one task that hands each reply to the future that waits for it."""

    def __init__(self, socket: Socket) -> None:
        self.socket = socket
        self._number = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._receiving = asyncio.create_task(self._receive())

    async def call(self, request: object) -> Any:
        """Send a request under a number of its own; return its reply."""
        self._number += 1
        future = self._waiting[self._number] = asyncio.get_running_loop().create_future()
        await self.socket.send(msgpack.packb(["call", self._number, request]))
        return await future

    async def one_way(self) -> Figures:
        count, send, pack = scaled(15_000), self.socket.send, msgpack.packb
        start = clock()
        for _ in range(count):
            await send(pack(["cast", 0, SMALL]))
        handled = await self.call("count")
        assert handled == count, (handled, count)
        return {"link.one_way": count / (clock() - start)}

    async def call_one(self) -> Figures:
        latencies = []
        for _ in range(scaled(1_500)):
            start = clock()
            await self.call(SMALL)
            latencies.append(clock() - start)
        return call_figures(latencies)

    async def call_100(self) -> Figures:
        count = scaled(6_000)

        async def caller() -> None:
            for _ in range(count // CALLERS_COUNT):
                await self.call(SMALL)

        start = clock()
        await asyncio.gather(*(caller() for _ in range(CALLERS_COUNT)))
        return {"link.call_100": count / (clock() - start)}

    async def _receive(self) -> None:
        while True:
            number, reply = msgpack.unpackb(await self.socket.recv())
            self._waiting.pop(number).set_result(reply)

    async def close(self) -> None:
        self._receiving.cancel()
        await asyncio.gather(self._receiving, return_exceptions=True)


async def answer_frames(router: Socket, handle: Callable[[object], None]) -> None:
    """The other end: decodes, counts and answers."""
    handled = 0
    while True:
        source, frame = await router.recv_multipart()
        kind, number, message = msgpack.unpackb(frame)
        if kind == "cast":
            handle(message)
            handled += 1
            continue
        if message == "count":
            message, handled = handled, 0
        await router.send_multipart([source, msgpack.packb([number, message])])


async def run_peer(endpoint: str) -> None:
    with zmq.asyncio.Context() as context, context.socket(zmq.ROUTER) as router:
        router.linger = 0
        router.bind(endpoint)
        answering = asyncio.create_task(answer_frames(router, lambda message: None))
        await asyncio.to_thread(sys.stdin.read)
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)


async def main() -> None:
    endpoint = f"tcp://127.0.0.1:{free_ports(1)[0]}"
    with (
        running_peer("benchmarks.link_zmq_asyncio", endpoint),
        zmq.asyncio.Context() as context,
        context.socket(zmq.DEALER) as dealer,
    ):
        dealer.linger = 0
        dealer.connect(endpoint)
        client = Client(dealer)
        await serve_async(
            {"link.one_way": client.one_way, "link.call": client.call_one, "link.call_100": client.call_100}
        )
        await client.close()


if __name__ == "__main__":
    asyncio.run(run_peer(sys.argv[1]) if len(sys.argv) > 1 else main())
