"""What a DEALER's events mean to a session, on a channel and a monitor that are told what to say."""

from __future__ import annotations

import asyncio
import os
from collections import deque

import pytest

from zmqcluster.transport.channel import MonitorEvent
from zmqcluster.transport.dial import SocketDial, outcome
from zmqcluster.transport.interface import DialEvent


class Pipe:
    """A descriptor that tells of something for ever."""

    def __init__(self) -> None:
        self.fd, self._other = os.pipe()
        os.write(self._other, b"!")

    def close(self) -> None:
        os.close(self.fd)
        os.close(self._other)


class FakeChannel(Pipe):
    handle = 0

    def __init__(self) -> None:
        super().__init__()
        self.incoming: deque[bytes] = deque()
        self.sent: list[bytes] = []
        self.room = 10
        self.is_open = True

    def connect(self, endpoint: str) -> None: ...

    def disconnect(self, endpoint: str) -> None: ...

    def receive(self) -> bytes | None:
        assert self.is_open
        return self.incoming.popleft() if self.incoming else None

    def receive_from(self) -> tuple[bytes, bytes] | None:
        raise NotImplementedError

    def send_to(self, source: bytes, frame: bytes) -> bool:
        raise NotImplementedError

    def send(self, frame: bytes) -> bool:
        if self.has_room():
            self.sent.append(frame)
            self.room -= 1
            return True
        return False

    def has_room(self) -> bool:
        assert self.is_open
        return self.room > 0

    def close(self) -> None:
        assert self.is_open
        self.is_open = False
        super().close()


class FakeMonitor(Pipe):
    def __init__(self, channel: FakeChannel) -> None:
        super().__init__()
        self.coming: deque[tuple[MonitorEvent, int]] = deque()
        self._channel = channel

    def next(self) -> tuple[MonitorEvent, int] | None:
        return self.coming.popleft() if self.coming else None

    def close(self) -> None:
        assert self._channel.is_open, "the monitor outlives what it watches"
        super().close()


class Table:
    """A dial on fakes, and all it was told, in order."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.channel = FakeChannel()
        self.monitor = FakeMonitor(self.channel)
        self.dial = SocketDial(
            asyncio.get_running_loop(),
            "ipc:///nowhere.ipc",
            self.channel,
            self.monitor,
            is_raw=False,
            on_event=self.told.append,
            on_reply=self.told.append,
            on_closed=lambda dial: self.told.append("closed"),
        )

    async def turn(self) -> None:
        """Let the loop hear what the fakes have to say."""
        for _ in range(3):
            await asyncio.sleep(0)


CONNECTED = (MonitorEvent.HANDSHAKE_SUCCEEDED, 0)
ENDED = (MonitorEvent.DISCONNECTED, 9)


def told(*steps: object) -> list[object]:
    """Run a dial through the steps: an event of the monitor, a reply, "close" or "established"."""

    async def scenario() -> list[object]:
        table = Table()
        for step in steps:
            if isinstance(step, tuple):
                table.monitor.coming.append(step)
            elif isinstance(step, bytes):
                table.channel.incoming.append(step)
            else:
                getattr(table.dial, str(step))()
            await table.turn()
        heard = list(table.told)
        table.dial.close()
        return heard

    return asyncio.run(scenario())


def test_handshake_then_end() -> None:
    assert told(CONNECTED, ENDED) == [DialEvent.CONNECTED, "closed", DialEvent.DISCONNECTED]


def test_nothing_follows_the_end() -> None:
    assert told(CONNECTED, ENDED, "close", "established") == [DialEvent.CONNECTED, "closed", DialEvent.DISCONNECTED]


def test_nothing_follows_close() -> None:
    assert told("close", "close") == ["closed"]


def test_replies_are_heard_before_and_after_the_handshake() -> None:
    assert told(CONNECTED, b"refused") == [DialEvent.CONNECTED, b"refused"]


def test_retried_connect_to_nobody_is_refused_each_time() -> None:
    retried = (MonitorEvent.CONNECT_RETRIED, 100)
    assert told(retried, retried) == [DialEvent.REFUSED, DialEvent.REFUSED]


@pytest.mark.parametrize(
    ("event", "was_connected", "expected"),
    [
        (MonitorEvent.DISCONNECTED, True, DialEvent.DISCONNECTED),
        (MonitorEvent.DISCONNECTED, False, DialEvent.HANDSHAKE_FAILED),
        (MonitorEvent.HANDSHAKE_FAILED_AUTH, False, DialEvent.AUTH_FAILED),
        (MonitorEvent.HANDSHAKE_FAILED_NO_DETAIL, False, DialEvent.HANDSHAKE_FAILED),
    ],
)
def test_outcome_of_an_end(event: MonitorEvent, was_connected: bool, expected: DialEvent) -> None:
    assert outcome(event, was_connected) is expected


def test_last_replies_come_before_the_end() -> None:
    async def scenario() -> list[object]:
        table = Table()
        table.monitor.coming.append(CONNECTED)
        await table.turn()
        table.channel.incoming.append(b"refused")
        table.monitor.coming.append(ENDED)
        await table.turn()
        return table.told

    assert asyncio.run(scenario()) == [DialEvent.CONNECTED, b"refused", "closed", DialEvent.DISCONNECTED]


def test_full_channel_is_asked_for_room_and_says_writable_once() -> None:
    async def scenario() -> tuple[list[object], list[bytes]]:
        table = Table()
        table.dial.established()
        table.channel.room = 1
        push = table.dial.outlet.push_bytes
        assert [push(b"1"), push(b"2"), push(b"2")] == [True, False, False]
        await table.turn()
        assert table.told == []
        table.channel.room = 5
        assert not push(b"2")  # not before it is told
        await table.turn()
        await table.turn()
        assert push(b"2")
        table.dial.close()
        return table.told, table.channel.sent

    assert asyncio.run(scenario()) == ([DialEvent.WRITABLE, "closed"], [b"1", b"2"])


def test_established_dial_leaves_its_descriptor_alone() -> None:
    async def scenario() -> list[object]:
        table = Table()
        table.dial.established()
        table.channel.incoming.append(b"a reply that nobody waits for")
        await table.turn()
        heard = list(table.told)
        table.dial.close()
        return heard

    assert asyncio.run(scenario()) == []
