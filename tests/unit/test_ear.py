"""A connection to a publisher that fails is made anew, in the next way, until it is no longer wanted."""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.unit.test_dial import Pipe
from zmqcluster.transport import ear as ear_module
from zmqcluster.transport.channel import MonitorEvent
from zmqcluster.transport.curve import derive
from zmqcluster.transport.ear import Ear
from zmqcluster.transport.ways import Mechanism, Way

OLD, NEW = Way(Mechanism.CURVE, derive("old")), Way(Mechanism.CURVE, derive("new"))
HERE, THERE = "tcp://10.0.0.6:20001", "tcp://10.0.0.7:20001"
FAILED = MonitorEvent.HANDSHAKE_FAILED_AUTH


class FakeMonitor(Pipe):
    endpoint = ""

    def __init__(self) -> None:
        super().__init__()
        self.coming: deque[str] = deque()

    def next(self) -> tuple[MonitorEvent, int] | None:
        if not self.coming:
            return None
        self.endpoint = self.coming.popleft()
        return FAILED, 400


class Table:
    def __init__(self) -> None:
        self.done: list[tuple[str, str]] = []
        self.way = ""
        self.monitor = FakeMonitor()
        self.ways = {"b": (NEW, OLD), "c": (OLD,)}
        channel: Any = self
        self.ear = Ear(asyncio.get_running_loop(), channel, self.monitor, self._secure, lambda node: self.ways[node])

    def _secure(self, way: Way) -> None:
        self.way = "new" if way == NEW else "old"

    def connect(self, endpoint: str) -> None:
        self.done.append((self.way, endpoint))

    def disconnect(self, endpoint: str) -> None:
        self.done.append(("none", endpoint))

    async def fail(self, *endpoints: str) -> None:
        self.monitor.coming.extend(endpoints)
        count = len(self.done)
        async with asyncio.timeout(5):
            while len(self.done) < count + len(set(endpoints)) or self.monitor.coming:
                await asyncio.sleep(0)

    async def retried(self) -> None:
        for _ in range(4):
            await asyncio.sleep(0)


def on_loop(test: Callable[[Table], Awaitable[None]]) -> Callable[[pytest.MonkeyPatch], None]:
    @functools.wraps(test)
    def run(monkeypatch: pytest.MonkeyPatch) -> None:
        async def on_table() -> None:
            table = Table()
            try:
                await test(table)
            finally:
                table.ear.close()
                table.monitor.close()

        monkeypatch.setattr(ear_module, "RETRY_S", 0)
        asyncio.run(on_table())

    del run.__wrapped__  # type: ignore[attr-defined]  # pytest would ask for a table
    return run


@on_loop
async def test_each_failure_is_followed_by_the_next_way_and_then_from_the_start(table: Table) -> None:
    table.ear.connect(HERE, "b")
    for _ in range(3):
        await table.fail(HERE)
        await table.retried()
    connections = [way for way, _ in table.done if way != "none"]
    assert connections == ["new", "old", "new", "old"]


@on_loop
async def test_two_failures_of_one_connection_make_one_new_one(table: Table) -> None:
    table.ear.connect(HERE, "b")
    await table.fail(HERE, HERE)
    await table.retried()
    assert table.done == [("new", HERE), ("none", HERE), ("old", HERE)]


@on_loop
async def test_connections_to_others_are_left_alone(table: Table) -> None:
    table.ear.connect(HERE, "b")
    table.ear.connect(THERE, "c")
    table.ear.connect(THERE, "c")
    await table.fail(THERE)
    await table.retried()
    assert table.done == [("new", HERE), ("old", THERE), ("none", THERE), ("old", THERE)]


@on_loop
async def test_unwanted_connection_is_not_made_anew(table: Table) -> None:
    table.ear.connect(HERE, "b")
    await table.fail(HERE)
    table.ear.disconnect(HERE)
    table.ear.disconnect(HERE)
    await table.retried()
    table.monitor.coming.append(HERE)
    await table.retried()
    assert table.done == [("new", HERE), ("none", HERE)]


@on_loop
async def test_changed_cookies_are_tried_when_those_of_before_have_failed(table: Table) -> None:
    table.ear.connect(HERE, "c")
    table.ways["c"] = (NEW,)
    await table.fail(HERE)
    await table.retried()
    assert table.done[-1] == ("new", HERE)
