"""The stream of tasks: its source, its limits, and the ways to leave it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.support.running import arriving, now_ms, run
from zmqcluster.errors import ConfigError, MaxChildren, NoProcessError, UsageError
from zmqcluster.otp.task import Finished, Task
from zmqcluster.otp.task_stream import stream_tasks
from zmqcluster.otp.task_supervisor import TaskSupervisor
from zmqcluster.runtime.node import Node
from zmqcluster.runtime.process import process_info, scheduler, self, trap_exits
from zmqcluster.runtime.run import run_node
from zmqcluster.testing.clock import VirtualLoop


async def echo(item: int) -> int:
    await asyncio.sleep(0.01)
    return item


@pytest.mark.parametrize(
    "options",
    [
        {"max_concurrency": -1},
        {"max_concurrency": True},
        {"max_concurrency": 1.5},
        {"timeout_s": -1},
        {"timeout_s": float("nan")},
        {"on_timeout": "kill"},
    ],
)
def test_bad_limits_are_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        stream_tasks(echo, [1], **options)


def test_what_cannot_be_called_or_iterated_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="a task is a function"):
        stream_tasks(7, [1])  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="from an iterable, not from 7"):
        stream_tasks(echo, 7)  # type: ignore[call-overload]


def test_items_are_taken_only_as_fast_as_outcomes() -> None:
    taken: list[int] = []

    def source() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    async def main() -> None:
        received = 0
        async for outcome in stream_tasks(echo, source(), max_concurrency=4):
            assert outcome == Finished(received)
            received += 1
            assert len(taken) <= received + 4
            await asyncio.sleep(0.05)  # a slow consumer
            if received == 10:
                break
        assert len(taken) == 13

    run(main)


def test_source_may_be_async() -> None:
    async def source() -> AsyncIterator[int]:
        for item in range(5):
            await asyncio.sleep(0.1)
            yield item

    async def main() -> None:
        stream = stream_tasks(echo, source(), max_concurrency=2)
        assert [outcome async for outcome in stream] == [Finished(item) for item in range(5)]

    run(main)


def test_source_that_raises_ends_the_stream_and_its_tasks() -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("the file is gone")

    async def main() -> None:
        before = scheduler().process_count
        stream = stream_tasks(echo, source(), max_concurrency=3)
        with pytest.raises(OSError, match="the file is gone"):
            await anext(stream)
        assert scheduler().process_count == before
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    run(main)


def test_empty_source_starts_no_task() -> None:
    async def main() -> None:
        assert [outcome async for outcome in stream_tasks(echo, [])] == []
        assert await arriving() == []

    run(main)


def test_block_left_early_has_ended_the_tasks() -> None:
    async def main() -> None:
        before = scheduler().process_count
        async with stream_tasks(echo, [1, 2, 3], max_concurrency=2) as stream:
            assert await anext(stream) == Finished(1)
        assert scheduler().process_count == before
        await stream.aclose()

    run(main)


def test_stream_leaves_nothing_in_the_mailbox_of_a_consumer_that_traps_exits() -> None:
    async def main() -> None:
        trap_exits()
        assert [outcome async for outcome in stream_tasks(echo, [1, 2])] == [Finished(1), Finished(2)]
        async with stream_tasks(echo, [1, 2, 3], max_concurrency=2) as stream:
            await anext(stream)
        async for _ in stream_tasks(echo, [1, 2, 3], max_concurrency=2):
            break
        assert await arriving() == []

    run(main)


def test_wait_that_was_cancelled_loses_no_outcome() -> None:
    async def main() -> None:
        stream = stream_tasks(echo, [1, 2], max_concurrency=1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.005):
                await anext(stream)
        assert [outcome async for outcome in stream] == [Finished(1), Finished(2)]

    run(main)


def test_stream_belongs_to_the_process_that_began_it() -> None:
    async def main() -> None:
        stream = stream_tasks(echo, [1, 2])
        await anext(stream)

        async def other() -> None:
            with pytest.raises(UsageError, match="is consumed by"):
                await anext(stream)

        await Task.spawn(other).result()
        assert await anext(stream) == Finished(2)

    run(main)


def test_supervisor_that_is_full_or_gone_fails_the_consumer() -> None:
    async def main() -> None:
        full = await TaskSupervisor.start_link(max_children=2)
        with pytest.raises(MaxChildren):
            async for _ in full.stream(echo, range(5), max_concurrency=4):
                pass
        assert (await full.count_children())["specs"] == 0
        with pytest.raises(NoProcessError):
            await anext(TaskSupervisor.at("nobody").stream_nolink(echo, [1]))
        info = process_info(self())
        assert info is not None and len(info["links"]) == 1

    run(main)


def test_linked_stream_of_a_supervisor() -> None:
    async def main() -> None:
        supervisor = await TaskSupervisor.start_link()
        stream = supervisor.stream(echo, range(4), max_concurrency=2)
        assert [outcome async for outcome in stream] == [Finished(item) for item in range(4)]
        assert now_ms() == pytest.approx(20, abs=2)
        assert (await supervisor.count_children())["specs"] == 0

    run(main)


def test_stream_where_messages_are_copied() -> None:
    async def main() -> None:
        supervisor = await TaskSupervisor.start_link()
        for stream in (stream_tasks(echo, range(3)), supervisor.stream_nolink(echo, range(3))):
            assert [outcome async for outcome in stream] == [Finished(item) for item in range(3)]

    loop = VirtualLoop()
    loop.run(run_node(Node(copy_messages=True), main))
    loop.close()
