"""What is made of a monitor's events: who is reported and why, who is hung up on, and when to look away."""

from __future__ import annotations

import asyncio
import errno
import functools
from collections import deque
from collections.abc import Awaitable, Callable

import pytest

from tests.unit.test_dial import Pipe
from zmqcluster.transport import doorkeeper as doorkeeper_module
from zmqcluster.transport.channel import MonitorEvent
from zmqcluster.transport.doorkeeper import FAILED, OUTSIDER, Doorkeeper, handshakes_max
from zmqcluster.transport.sight import Sight
from zmqcluster.transport.ways import Mechanism

ACCEPTED, DISCONNECTED = MonitorEvent.ACCEPTED, MonitorEvent.DISCONNECTED
SUCCEEDED, HUNG_UP = MonitorEvent.HANDSHAKE_SUCCEEDED, MonitorEvent.HANDSHAKE_FAILED_NO_DETAIL
NOT_ADMITTED, NOT_ACCEPTED = MonitorEvent.HANDSHAKE_FAILED_AUTH, MonitorEvent.ACCEPT_FAILED
PEER = "10.0.0.7:40005"


class FakeMonitor(Pipe):
    endpoint = ""

    def __init__(self, coming: deque[tuple[MonitorEvent, int]]) -> None:
        super().__init__()
        self._coming = coming

    def next(self) -> tuple[MonitorEvent, int] | None:
        return self._coming.popleft() if self._coming else None


class Table:
    """A doorkeeper on fakes; descriptor 5 is a connection of ``PEER``."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.coming: deque[tuple[MonitorEvent, int]] = deque()
        self.reports: list[tuple[str, str]] = []
        self.hung_up: list[tuple[int, str]] = []
        self.received_bytes = 0
        self.watched: list[int] = []
        self.problem: OSError | None = None
        patch.setattr(doorkeeper_module, "look", self._look)
        patch.setattr(doorkeeper_module, "hang_up", lambda *cut: self.hung_up.append(cut) or True)
        patch.setattr(doorkeeper_module, "PAUSE_S", 0.01)
        self.keeper: Doorkeeper | None = None

    def open(self, networks: str = "", why: Callable[[], str] | None = None) -> None:
        self.keeper = Doorkeeper(
            asyncio.get_running_loop(),
            self._watch,
            lambda *report: self.reports.append(report),
            mechanism=Mechanism.CURVE,
            networks=networks,
            why=why,
        )

    def _watch(self, events: int) -> FakeMonitor:
        self.watched.append(events)
        if self.problem:
            raise self.problem
        return FakeMonitor(self.coming)

    def _look(self, fd: int) -> Sight | None:
        return Sight("10.0.0.7", 40_000 + fd, self.received_bytes, 64) if fd < 1_000 else None

    async def tell(self, *events: tuple[MonitorEvent, int]) -> None:
        self.coming.extend(events)
        await self.until(lambda: not self.coming)

    async def until(self, predicate: Callable[[], object]) -> None:
        async with asyncio.timeout(5):
            while not predicate():
                await asyncio.sleep(0.001)


def on_loop(test: Callable[[Table], Awaitable[None]]) -> Callable[[pytest.MonkeyPatch], None]:
    @functools.wraps(test)
    def run(monkeypatch: pytest.MonkeyPatch) -> None:
        async def on_table() -> None:
            table = Table(monkeypatch)
            try:
                await test(table)
            finally:
                if table.keeper:
                    table.keeper.close()

        asyncio.run(on_table())

    del run.__wrapped__  # type: ignore[attr-defined]  # pytest would ask for a table
    return run


@on_loop
async def test_connection_that_ended_before_it_was_admitted_has_failed(table: Table) -> None:
    table.open()
    await table.tell((ACCEPTED, 5), (DISCONNECTED, 5))
    assert table.reports == [(PEER, FAILED)]


@on_loop
async def test_who_hung_up_in_mid_handshake_is_not_reported(table: Table) -> None:
    table.open()
    await table.tell((ACCEPTED, 5), (HUNG_UP, 0), (DISCONNECTED, 5))
    await table.tell((ACCEPTED, 5), (SUCCEEDED, 0), (DISCONNECTED, 5))
    assert table.reports == []
    await table.tell((ACCEPTED, 5), (DISCONNECTED, 5))
    assert len(table.reports) == 1


@on_loop
async def test_reason_of_the_door_is_reported_before_our_own(table: Table) -> None:
    table.open(why=lambda: "a replay")
    await table.tell((ACCEPTED, 5), (NOT_ADMITTED, 400), (DISCONNECTED, 5))
    assert table.reports == [(PEER, "a replay")]


@on_loop
async def test_key_that_is_not_admitted_is_the_reason_where_there_is_no_other(table: Table) -> None:
    table.open()
    await table.tell((ACCEPTED, 5), (NOT_ADMITTED, 400), (DISCONNECTED, 5))
    assert table.reports == [(PEER, "its key is not admitted")]


@on_loop
async def test_who_sends_too_much_too_early_is_hung_up_on(table: Table) -> None:
    table.open()
    await table.tell((ACCEPTED, 5))
    table.received_bytes = 1_000_000
    await table.until(lambda: table.hung_up)
    assert table.hung_up == [(5, PEER)]
    assert "before its handshake was over" in table.reports[0][1]


@on_loop
async def test_oldest_of_too_many_handshakes_are_hung_up_on(table: Table) -> None:
    table.open()
    await table.tell(*((ACCEPTED, fd) for fd in range(handshakes_max() + 1)))
    assert (0, "10.0.0.7:40000") in table.hung_up
    assert len(table.hung_up) < handshakes_max()


@on_loop
async def test_outsiders_are_reported_with_the_networks_that_are_allowed(table: Table) -> None:
    table.open(networks="10.0.0.0/8")
    assert table.watched[0] & NOT_ACCEPTED
    await table.tell((NOT_ACCEPTED, errno.EAGAIN))
    assert table.reports == [(OUTSIDER, "only 10.0.0.0/8 may connect")]


@on_loop
async def test_without_networks_nobody_is_told_of_what_was_not_accepted(table: Table) -> None:
    table.open()
    assert not table.watched[0] & NOT_ACCEPTED


@on_loop
async def test_without_descriptors_it_looks_away_for_a_while(table: Table) -> None:
    table.open(networks="10.0.0.0/8")
    table.problem = OSError(errno.EMFILE, "Too many open files")
    await table.tell((NOT_ACCEPTED, errno.EMFILE))
    await table.until(lambda: len(table.watched) > 2)
    assert table.reports == [("everybody", "there are no file descriptors left")]
    table.problem = None
    seen = len(table.watched)
    await table.until(lambda: len(table.watched) > seen)
    await table.tell((ACCEPTED, 5), (DISCONNECTED, 5))
    assert len(table.reports) == 2


@on_loop
async def test_closed_keeper_reports_nothing_more(table: Table) -> None:
    table.open()
    await table.tell((ACCEPTED, 5))
    assert table.keeper
    reviewing = table.keeper._reviewing
    table.keeper.close()
    assert reviewing and reviewing.cancelled()
    table.coming.append((DISCONNECTED, 5))
    await asyncio.sleep(0)
    assert table.reports == []
