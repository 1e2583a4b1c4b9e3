"""Baselines on blocking pyzmq: zmq_blocking, zmq_blocking_batched and raw_echo. No event loop on either side.

zmq_blocking           one message per frame, msgpack both ways; payloads as they are, in the faster of the copy modes
zmq_blocking_batched   256 messages per frame, packed and unpacked as one list, by hand
raw_echo               a frame there and back, nothing encoded: the least a request can take on this machine
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

import msgpack
import zmq

from benchmarks.contender import SMALL, Figures, call_figures, scaled, serve
from benchmarks.peer import free_ports, running_peer

BATCH_COUNT = 256
COPY_BYTES_MAX = 128 * 1024  # above this a frame without a copy is faster
PAYLOAD, ONE, BATCH, ECHO, COUNT_COPY, COUNT_NO_COPY = (bytes([kind]) for kind in range(6))
clock = time.perf_counter


class Client:
    """The measuring end: a DEALER."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.rcvtimeo = self.socket.sndtimeo = 30_000
        self.socket.connect(endpoint)

    def one_way(self) -> Figures:
        count, send, pack = scaled(60_000), self.socket.send, msgpack.Packer().pack
        start = clock()
        for _ in range(count):
            send(ONE + pack(SMALL))
        self._check(count)
        return {"link.one_way": count / (clock() - start)}

    def one_way_batched(self) -> Figures:
        frames, send, pack = scaled(150_000) // BATCH_COUNT + 1, self.socket.send, msgpack.Packer().pack
        start = clock()
        for _ in range(frames):
            send(BATCH + pack([SMALL for _ in range(BATCH_COUNT)]))
        self._check(frames * BATCH_COUNT)
        return {"link.one_way": frames * BATCH_COUNT / (clock() - start)}

    def call(self) -> Figures:
        latencies, frame = [], ECHO + msgpack.packb(SMALL)
        send, receive = self.socket.send, self.socket.recv
        for _ in range(scaled(3_000)):
            start = clock()
            send(frame)
            receive()
            latencies.append(clock() - start)
        return call_figures(latencies)

    def payload(self, name: str, size_bytes: int, total_bytes: int) -> Figures:
        count, payload, copy = scaled(total_bytes // size_bytes), bytes(size_bytes), size_bytes <= COPY_BYTES_MAX
        self._check(0, COUNT_COPY if copy else COUNT_NO_COPY)
        start = clock()
        for _ in range(count):
            self.socket.send(payload, 0, copy)
        self._check(count)
        return {name: count * size_bytes / (clock() - start) / 1e6}

    def _check(self, count: int, request: bytes = COUNT_COPY) -> None:
        """Wait until the other end handled everything; it receives what follows with a copy or without."""
        self.socket.send(request)
        handled = int(self.socket.recv())
        assert handled == count, (handled, count)


def run_peer(endpoint: str) -> None:
    """The other end: a ROUTER that decodes, counts and answers until the input ends."""
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.linger = 0
    router.bind(endpoint)
    threading.Thread(target=end_with_input, args=[context], daemon=True).start()
    try:
        answer_frames(router, lambda message: None)
    except zmq.ContextTerminated:
        router.close()


def end_with_input(context: zmq.Context[zmq.Socket[bytes]]) -> None:
    sys.stdin.read()
    context.term()


def answer_frames(router: zmq.Socket[bytes], handle: Callable[[object], None]) -> None:
    unpack, receive, handled = msgpack.unpackb, router.recv, 0
    while True:
        source = receive()
        frame = receive()
        kind = frame[:1]
        if kind == ONE:
            handle(unpack(frame[1:]))
            handled += 1
        elif kind == ECHO:
            router.send(source, zmq.SNDMORE)
            router.send(frame)
        elif kind == BATCH:
            for message in unpack(frame[1:]):
                handle(message)
                handled += 1
        elif kind == PAYLOAD:
            handle(frame)
            handled += 1
        else:
            router.send_multipart([source, b"%d" % handled])
            handled = count_frames(router, handle) if kind == COUNT_NO_COPY else 0


def count_frames(router: zmq.Socket[bytes], handle: Callable[[object], None]) -> int:
    """Receive payloads without a copy, up to the request for their number, which is answered."""
    handled = 0
    while True:
        source = router.recv()
        frame = router.recv(copy=False)
        if frame.buffer[:1] != PAYLOAD:
            router.send_multipart([source, b"%d" % handled])
            return 0
        handle(frame)
        handled += 1


def main() -> None:
    endpoint = f"tcp://127.0.0.1:{free_ports(1)[0]}"
    with running_peer("benchmarks.link_blocking", endpoint), zmq.Context() as context:
        client = Client(context, endpoint)
        serve(
            {
                "link.one_way": client.one_way,
                "link.one_way batched": client.one_way_batched,
                "link.call": client.call,
                "link.payload_64k": lambda: client.payload("link.payload_64k", 64 * 1024, 256 << 20),
                "link.payload_1m": lambda: client.payload("link.payload_1m", 1 << 20, 512 << 20),
            }
        )
        client.socket.close()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run_peer(sys.argv[1])
    else:
        main()
