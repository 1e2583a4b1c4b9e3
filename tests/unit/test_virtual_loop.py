"""Virtual time: it passes only when nobody is ready, and nothing waits for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import pytest

import zmqcluster as zc
from zmqcluster.errors import UsageError
from zmqcluster.runtime.node import Node
from zmqcluster.runtime.run import run_node
from zmqcluster.testing.clock import Deadlock, Livelock, VirtualLoop


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    yield loop
    loop.close()


def test_sleep_of_an_hour_moves_the_clock_by_an_hour(loop: VirtualLoop) -> None:
    loop.run(asyncio.sleep(3600))
    assert loop.time() == pytest.approx(3600)


@pytest.mark.parametrize("start_s", [8_388_607.9, 8_388_608.0, 1e8, 1e9])
def test_timers_when_floats_are_further_apart_than_a_nanosecond_then_each_falls_due(start_s: float) -> None:
    """97 days: 2**23 s, where the next float is 1.9 ns away."""
    loop = VirtualLoop(start_s)

    async def main() -> list[float]:
        waited = []
        for delay_s in (0.001, 1 / 3, 1.0, 86_400.0):
            began_s = loop.time()
            await asyncio.sleep(delay_s)
            zc.send_after(delay_s, zc.self(), "tick")
            await zc.receive()
            with contextlib.suppress(TimeoutError):
                await zc.receive(timeout_s=delay_s)
            waited.append((loop.time() - began_s) / delay_s)
        return waited

    assert loop.run(run_node(Node(), main)) == pytest.approx([3.0] * 4, rel=1.0)
    loop.close()


def test_a_year_passes(loop: VirtualLoop) -> None:
    async def main() -> None:
        for _ in range(365):
            await asyncio.sleep(86_400)

    loop.run(main())
    loop.run_ms(5)
    assert loop.run_until(lambda: True, 5)
    assert loop.time() == pytest.approx(365 * 86_400, abs=0.01)


def test_run_ms_runs_what_falls_due_and_stops_there(loop: VirtualLoop) -> None:
    seen: list[float] = []
    for ms in (30, 10, 20, 40):
        loop.call_later(ms / 1000, seen.append, ms)
    loop.run_ms(30)
    assert (seen, loop.now_ms) == ([10, 20, 30], 30)
    loop.run_ms(10)
    assert seen == [10, 20, 30, 40]


def test_run_ms_when_work_leads_to_work_then_all_of_that_instant_is_done(loop: VirtualLoop) -> None:
    seen: list[int] = []

    def chain(left: int) -> None:
        seen.append(left)
        if left:
            loop.call_soon(chain, left - 1)

    loop.call_later(0.01, chain, 5)
    loop.run_ms(10)
    assert (seen, loop.now_ms) == ([5, 4, 3, 2, 1, 0], 10)


def test_tasks_groups_and_timeouts_when_plain_asyncio_then_they_work(loop: VirtualLoop) -> None:
    async def main() -> list[object]:
        seen: list[object] = []
        async with asyncio.TaskGroup() as group:
            for ms in (20, 10):
                group.create_task(asyncio.sleep(ms / 1000)).add_done_callback(lambda _, ms=ms: seen.append(ms))
        try:
            async with asyncio.timeout(5):
                await asyncio.Event().wait()
        except TimeoutError:
            seen.append(loop.now_ms)
        queue: asyncio.Queue[str] = asyncio.Queue()
        loop.call_later(1, queue.put_nowait, "late")
        seen.append(await asyncio.wait_for(queue.get(), 2))
        return seen

    assert loop.run(main()) == [10, 20, 5020, "late"]


def test_to_thread_when_called_then_it_runs_at_once_in_the_loop(loop: VirtualLoop) -> None:
    async def main() -> tuple[int, float]:
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        return await asyncio.to_thread(sum, (1, 2)), loop.time()

    assert loop.run(main()) == (3, 0)


def test_run_until_when_it_comes_true_then_time_stops_near(loop: VirtualLoop) -> None:
    loop.call_later(0.1, lambda: None)
    assert loop.run_until(lambda: loop.now_ms >= 42, within_ms=1000, step_ms=1)
    assert loop.now_ms == 42


def test_run_until_when_it_stays_false_then_it_says_so_at_the_deadline(loop: VirtualLoop) -> None:
    assert not loop.run_until(lambda: False, within_ms=12)
    assert loop.now_ms == 12


def test_deadlock_when_nothing_is_scheduled_then_it_names_who_waits(loop: VirtualLoop) -> None:
    async def waits_for_nobody() -> None:
        await asyncio.Event().wait()

    waiting = loop.create_task(waits_for_nobody(), name="lonely")
    with pytest.raises(Deadlock, match=r"lonely in .*waits_for_nobody"):
        loop.run_until_complete(waiting)
    waiting.cancel()
    loop.run_ms(0)


def test_livelock_when_time_cannot_move_then_it_raises() -> None:
    loop = VirtualLoop(turns_max=100)

    def again() -> None:
        loop.call_soon(again)

    again()
    with pytest.raises(Livelock, match="time does not move"):
        loop.run_ms(1)
    loop.close()


def test_callback_that_raises_when_run_then_the_harness_sees_it(loop: VirtualLoop) -> None:
    loop.call_later(0.001, lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        loop.run_ms(5)
    loop.run_ms(5)


@pytest.mark.parametrize("name", ["create_connection", "add_reader", "subprocess_exec", "getaddrinfo"])
def test_real_io_when_asked_for_then_the_error_names_it(loop: VirtualLoop, name: str) -> None:
    with pytest.raises(UsageError, match=name):
        getattr(loop, name)("anything")


async def ticking(loop: VirtualLoop, seen: list[str], name: str) -> None:
    while True:
        await asyncio.sleep(0.01)
        seen.append(f"{name} {loop.now_ms:.0f}")


def test_cell_when_suspended_then_only_it_stands_still_and_resumes(loop: VirtualLoop) -> None:
    seen: list[str] = []
    for name in ("a", "b"):
        loop.cell(name).run(loop.create_task, ticking(loop, seen, name))
    loop.run_ms(15)
    loop.suspend("a")
    loop.run_ms(20)
    assert seen == ["a 10", "b 10", "b 20", "b 30"]
    loop.resume("a")
    loop.run_ms(7)
    assert seen[4:] == ["a 35", "b 40"]


def test_cell_when_suspended_within_a_turn_then_its_ready_callbacks_are_kept(loop: VirtualLoop) -> None:
    seen: list[str] = []
    a = loop.cell("a")
    loop.call_soon(loop.suspend, "a")
    loop.call_soon(seen.append, "a1", context=a)
    loop.call_soon(seen.append, "other")
    loop.call_soon(seen.append, "a2", context=a)
    loop.run_ms(1)
    assert seen == ["other"]
    loop.call_soon(seen.append, "a3", context=a)
    cancelled = loop.call_later(0, seen.append, "never", context=a)
    cancelled.cancel()
    loop.run_ms(1)
    loop.resume("a")
    loop.run_ms(1)
    assert seen == ["other", "a1", "a2", "a3"]


def test_cell_when_dead_and_collected_then_its_finally_blocks_schedule_nothing() -> None:
    loop = VirtualLoop()
    seen: list[str] = []

    async def wounded() -> None:
        try:
            await loop.create_future()
        finally:
            loop.call_soon(seen.append, "the dead act")

    task = loop.cell("a").run(loop.create_task, wounded())
    loop.run_ms(1)
    loop.suspend("a")
    loop.close()
    task.get_coro().close()
    assert seen == [] and loop.is_closed()
    task.cancel()
