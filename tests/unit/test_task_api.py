"""The task: what it refuses, and its many-task functions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.running import arriving, end_of, forever, run
from zmqcluster.core import Down
from zmqcluster.errors import ConfigError, NotInProcess, UsageError
from zmqcluster.exits import Normal, Shutdown
from zmqcluster.otp.task import Exited, Finished, Task, TaskResult
from zmqcluster.otp.task_supervisor import TaskServer, TaskSupervisor
from zmqcluster.runtime.process import demonitor, exit, is_alive, process_info, receive, trap_exits


async def after_ms(ms: int) -> int:
    await asyncio.sleep(ms / 1000)
    return ms


@pytest.mark.parametrize("wrong", [7, None, "len", [len]])
def test_what_is_no_function_is_refused_before_anything_starts(wrong: Any) -> None:
    async def main() -> None:
        supervisor = await TaskSupervisor.start_link()
        with pytest.raises(ConfigError, match="a task is a function"):
            Task.spawn(wrong)
        for start in (supervisor.spawn, supervisor.spawn_nolink, supervisor.start_child):
            with pytest.raises(ConfigError, match="a task is a function"):
                await start(wrong)
        assert (await supervisor.count_children())["specs"] == 0

    run(main)


def test_spawn_needs_a_process() -> None:
    async def main() -> None:
        async def plain_task() -> None:
            with pytest.raises(NotInProcess):
                Task.spawn(after_ms, 1)

        await asyncio.get_running_loop().create_task(plain_task())

    run(main)


def test_functions_get_arguments_and_keywords() -> None:
    async def main() -> None:
        def join(*parts: str, by: str) -> str:
            return by.join(parts)

        supervisor = await TaskSupervisor.start_link()
        assert await Task.spawn(join, "a", "b", by="-").result() == "a-b"
        assert await (await supervisor.spawn(join, "a", "b", by="-")).result() == "a-b"

    run(main)


def test_task_is_labelled_with_its_function() -> None:
    async def main() -> None:
        supervisor = await TaskSupervisor.start_link()
        for task in (Task.spawn(after_ms, 10), await supervisor.spawn(after_ms, 10)):
            await asyncio.sleep(0)
            info = process_info(task.pid)
            assert info is not None
            assert info["label"] == task.label == "after_ms"
            assert info["monitors"] == []
            assert repr(task) == f"<Task after_ms {task.pid!r}>"

    run(main)


def test_start_and_start_link_tell_nobody() -> None:
    async def main() -> None:
        trap_exits()
        pid = Task.start(after_ms, 1)
        assert await end_of(pid) == Normal()
        linked = Task.start_link(after_ms, 1)
        assert await end_of(linked) == Normal()
        assert [type(message).__name__ for message in await arriving()] == ["Exit"]

    run(main)


def test_poll_many_gives_each_its_outcome_or_none() -> None:
    async def main() -> None:
        supervisor = await TaskSupervisor.start_link()
        quick, slow = Task.spawn(after_ms, 10), Task.spawn(after_ms, 100)
        killed = await supervisor.spawn_nolink(forever)
        exit(killed.pid, "enough")
        assert await Task.poll_many([slow, quick, killed], timeout_s=0.05) == [
            (slow, None),
            (quick, Finished(10)),
            (killed, Exited("enough")),
        ]
        assert await Task.poll_many([slow]) == [(slow, Finished(100))]
        with pytest.raises(UsageError):
            await Task.poll_many([quick])
        assert await arriving() == []

    run(main)


def test_await_many_checks_every_owner_first() -> None:
    async def main() -> None:
        mine, theirs = Task.spawn(after_ms, 10), Task.spawn(after_ms, 10)
        theirs.owner = mine.pid
        with pytest.raises(UsageError):
            await Task.await_many([mine, theirs])
        assert await mine.result() == 10  # it was not touched

    run(main)


def test_shutdown_tells_an_end_that_it_did_not_ask_for() -> None:
    async def main() -> None:
        supervisor = await TaskSupervisor.start_link()
        left, killed = [await supervisor.spawn_nolink(forever) for _ in range(2)]
        exit(left.pid, Shutdown("early"))
        await asyncio.sleep(0.01)
        assert await left.shutdown() == Exited(Shutdown("early"))

        async def traps() -> None:
            trap_exits()
            await receive()
            exit("on my own")

        own = await supervisor.spawn_nolink(traps)
        await asyncio.sleep(0.01)
        assert await own.shutdown() == Exited("on my own")
        assert await killed.shutdown(timeout_s=0) is None
        assert not is_alive(killed.pid)

    run(main)


def test_result_may_be_taken_from_the_mailbox_by_hand() -> None:
    async def main() -> None:
        task = Task.spawn(after_ms, 10)
        assert await receive() == TaskResult(task.ref, 10)
        assert await receive() == Down(task.ref, task.pid, Normal())
        again = Task.spawn(after_ms, 10)
        assert await receive(TaskResult) == TaskResult(again.ref, 10)
        demonitor(again.ref, flush=True)
        assert await arriving() == []

    run(main)


def test_task_server_is_a_child_of_any_supervisor() -> None:
    async def main() -> None:
        runs: list[int] = []
        server = await TaskServer.start(runs.append, (1,))
        await end_of(server.pid)
        assert runs == [1]

    run(main)
