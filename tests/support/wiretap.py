"""Somebody on the wire: passes tcp on, remembers it, and changes it when told to.

    dialler ──> Wiretap ──change(frames of messages)──> acceptor            what comes back is passed as it is
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

__all__ = ["Change", "Wiretap", "split"]

GREETING_BYTES = 64
COMMAND = 4
Change = Callable[[list[bytes]], list[bytes]]


def split(stream: bytes) -> tuple[list[bytes], bytes]:
    """Return the whole ZMTP frames at the beginning of ``stream``, each with its header, and the rest."""
    frames: list[bytes] = []
    while len(stream) >= 2:
        is_long = stream[0] & 2
        if is_long and len(stream) < 9:
            break
        end = 9 + int.from_bytes(stream[1:9], "big") if is_long else 2 + stream[1]
        if len(stream) < end:
            break
        frames.append(stream[:end])
        stream = stream[end:]
    return frames, stream


class Wiretap:
    """Listens at ``port`` and connects to ``target``; ``recorded`` holds what each dialler said."""

    def __init__(self, port: int, target: tuple[str, int]) -> None:
        self.recorded: list[bytearray] = []
        self.change: Change | None = None
        self._port = port
        self._target = target
        self._tasks: list[asyncio.Task[None]] = []
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Wiretap:
        self._server = await asyncio.start_server(self._on_dialler, "127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)

    async def _on_dialler(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self._target)
        record = bytearray()
        self.recorded.append(record)
        self._writers += [writer, back]
        self._tasks += [
            asyncio.create_task(self._forward(reader, back, record)),
            asyncio.create_task(self._backward(there, writer)),
        ]

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, record: bytearray) -> None:
        with contextlib.suppress(OSError):
            while len(record) < GREETING_BYTES and (part := await reader.read(GREETING_BYTES - len(record))):
                record += part  # bit by bit: each end waits for what the other says first
                writer.write(part)
            rest = b""
            while part := await reader.read(65_536):
                record += part
                frames, rest = split(rest + part)
                writer.write(b"".join(self._changed(frames)))
                await writer.drain()
        writer.close()

    def _changed(self, frames: list[bytes]) -> list[bytes]:
        """Commands belong to handshakes, and are left alone."""
        change = self.change
        if change is None:
            return frames
        return [each for frame in frames for each in ([frame] if frame[0] & COMMAND else change([frame]))]

    async def _backward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while part := await reader.read(65_536):
                writer.write(part)
                await writer.drain()
        writer.close()
