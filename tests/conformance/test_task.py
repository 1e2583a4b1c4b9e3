"""Task, TaskSupervisor and Agent against Elixir's: one test per case, named after it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.running import arriving, end_of, forever, now_ms, run
from zmqcluster.core import Down, Exit
from zmqcluster.errors import CallTimeout, MaxChildren, ServerExited, UsageError
from zmqcluster.exits import Crashed, Kill, Normal, TimedOut
from zmqcluster.otp.agent import Agent
from zmqcluster.otp.child_spec import ChildSpec
from zmqcluster.otp.gen_server import GenServer
from zmqcluster.otp.task import Exited, Finished, Task, TaskResult
from zmqcluster.otp.task_stream import stream_tasks
from zmqcluster.otp.task_supervisor import TaskServer, TaskSupervisor
from zmqcluster.runtime.process import (
    exit,
    is_alive,
    monitor,
    process_info,
    receive,
    scheduler,
    self,
    send,
    spawn,
    trap_exits,
)


async def after_ms(ms: int) -> int:
    await asyncio.sleep(ms / 1000)
    return ms


def fail() -> int:
    raise ValueError("no")


def bonds() -> tuple[list[Any], list[Any]]:
    """The links and monitors of the running process."""
    info = process_info(self())
    assert info
    return info["links"], info["monitors"]


def test_TASK_01_await_returns_the_value_and_leaves_nothing() -> None:
    async def main() -> None:
        task = Task.spawn(after_ms, 20)
        assert bonds() == ([task.pid], [task.pid])
        assert await task.result() == 20
        assert await arriving() == []
        assert bonds() == ([], [])

    run(main)


def test_TASK_02_await_timeout_fails_and_nothing_comes_later() -> None:
    async def main() -> None:
        task = Task.spawn(after_ms, 50)
        with pytest.raises(CallTimeout):
            await task.result(timeout_s=0.02)
        assert now_ms() == pytest.approx(20)
        assert is_alive(task.pid)
        assert await arriving(1.0) == []
        with pytest.raises(UsageError, match="was taken already, or its await timed out"):
            await task.result()

    run(main)


def test_TASK_04_await_by_another_process_is_an_argument_error() -> None:
    async def main() -> None:
        async def stranger() -> str:
            with pytest.raises(UsageError, match="only the process that started a task"):
                await task.result()
            return "refused"

        task = Task.spawn(after_ms, 10)
        assert await Task.spawn(stranger).result() == "refused"
        assert await task.result() == 10

    run(main)


def test_TASK_05_yield_gives_outcome_or_none_and_the_task_goes_on() -> None:
    async def main() -> None:
        supervisor = await TaskSupervisor.start_link()
        task = Task.spawn(after_ms, 30)
        assert await task.poll(0.01) is None
        assert await task.poll(0.05) == Finished(30)
        crashed = await supervisor.spawn_nolink(fail)
        outcome = await crashed.poll(1.0)
        assert isinstance(outcome, Exited)
        assert isinstance(outcome.reason, Crashed)
        assert (outcome.reason.kind, outcome.reason.text) == ("ValueError", "no")
        assert await arriving() == []

    run(main)


def test_TASK_05_shutdown_and_ignore_return_what_had_arrived() -> None:
    async def main() -> None:
        early = Task.spawn(after_ms, 10), Task.spawn(after_ms, 10)
        late = Task.spawn(after_ms, 1000), Task.spawn(after_ms, 1000)
        await asyncio.sleep(0.02)
        assert await early[0].shutdown() == Finished(10)
        assert await early[1].ignore() == Finished(10)
        assert await late[0].shutdown() is None
        assert await late[1].ignore() is None
        assert (is_alive(late[0].pid), is_alive(late[1].pid)) == (False, True)
        assert await arriving(2.0) == []
        assert bonds() == ([], [])

    run(main)


def test_TASK_05_shutdown_kills_a_task_that_does_not_end() -> None:
    async def main() -> None:
        async def stubborn() -> None:
            trap_exits()
            await forever()

        asked, killed = Task.spawn(stubborn), Task.spawn(stubborn)
        await asyncio.sleep(0)
        assert await asked.shutdown(timeout_s=0.05) is None
        assert now_ms() == pytest.approx(50)
        assert await killed.shutdown(timeout_s=0) is None
        assert not is_alive(asked.pid) and not is_alive(killed.pid)

    run(main)


def test_TASK_07_await_many_keeps_the_order_of_its_input() -> None:
    async def main() -> None:
        assert await Task.await_many([Task.spawn(after_ms, ms) for ms in (30, 10, 20)]) == [30, 10, 20]
        assert now_ms() == pytest.approx(30)
        assert await Task.await_many([]) == []
        assert await arriving() == []

    run(main)


def test_TASK_07_one_death_fails_await_many_at_once() -> None:
    async def main() -> None:
        supervisor = await TaskSupervisor.start_link()
        slow = await supervisor.spawn_nolink(after_ms, 1000)
        crashing = await supervisor.spawn_nolink(fail)
        with pytest.raises(ServerExited) as failure:
            await Task.await_many([slow, crashing])
        assert isinstance(failure.value.__cause__, ValueError)
        assert now_ms() < 10
        with pytest.raises(CallTimeout):
            await Task.await_many([await supervisor.spawn_nolink(after_ms, 1000)], timeout_s=0.01)
        assert await arriving(2.0) == []

    run(main)


def test_TASK_08_async_stream_is_ordered_by_input_or_by_completion() -> None:
    async def main() -> None:
        ordered = [outcome async for outcome in stream_tasks(after_ms, [30, 10, 20], max_concurrency=3)]
        assert ordered == [Finished(30), Finished(10), Finished(20)]
        assert now_ms() == pytest.approx(30, abs=2)
        by_end = [outcome async for outcome in stream_tasks(after_ms, [30, 10, 20], max_concurrency=3, ordered=False)]
        assert by_end == [Finished(10), Finished(20), Finished(30)]
        assert await arriving() == []

    run(main)


def test_TASK_08_async_stream_never_runs_more_than_max_concurrency() -> None:
    running: list[int] = []
    most: list[int] = []

    async def work(item: int) -> int:
        running.append(item)
        most.append(len(running))
        await asyncio.sleep(0.01)
        running.remove(item)
        return item

    async def main() -> None:
        outcomes = [outcome async for outcome in stream_tasks(work, range(20), max_concurrency=3)]
        assert outcomes == [Finished(item) for item in range(20)]
        assert max(most) == 3

    run(main)


def test_TASK_08_async_stream_timeout_exits_the_caller_or_kills_the_task() -> None:
    async def main() -> None:
        with pytest.raises(CallTimeout):
            async for _ in stream_tasks(after_ms, [6000]):
                raise AssertionError("nothing comes in time")
        assert now_ms() == pytest.approx(5000, abs=2)
        stream = stream_tasks(after_ms, [10, 100, 20], timeout_s=0.05, on_timeout="kill_task")
        assert [outcome async for outcome in stream] == [Finished(10), Exited(TimedOut()), Finished(20)]
        assert await arriving() == []

    run(main)


def test_TASK_08_async_stream_crash_ends_the_caller_unless_it_traps_exits() -> None:
    async def consume(traps: bool, seen: list[Any]) -> None:
        trap_exits(traps)
        async for outcome in stream_tasks(lambda item: 1 // item, [1, 0], max_concurrency=1):
            seen.append(outcome)

    async def main() -> None:
        trapping: list[Any] = []
        assert await end_of(spawn(consume, True, trapping)) == Normal()
        assert [type(outcome) for outcome in trapping] == [Finished, Exited]
        assert isinstance(await end_of(spawn(consume, False, [])), Crashed)

    run(main)


def test_TASK_10_consumer_that_stops_early_leaves_no_tasks_links_or_messages() -> None:
    async def main() -> None:
        before = scheduler().process_count
        async for outcome in stream_tasks(after_ms, [10, 1000, 1000, 1000], max_concurrency=3):
            assert outcome == Finished(10)
            assert scheduler().process_count > before + 1
            break
        assert await arriving(0.01) == []
        assert scheduler().process_count == before
        assert bonds() == ([], [])

    run(main)


def test_TASK_10_tasks_of_a_killed_consumer_end() -> None:
    async def consume() -> None:
        async for _ in stream_tasks(after_ms, [10_000] * 5, max_concurrency=3, timeout_s=None):
            raise AssertionError("killed before")

    async def main() -> None:
        before = scheduler().process_count
        consumer = spawn(consume)
        await asyncio.sleep(0.01)
        assert scheduler().process_count == before + 1 + 1 + 3
        exit(consumer, "enough")
        await asyncio.sleep(0.01)
        assert scheduler().process_count == before

    run(main)


def test_TASK_11_task_supervisor_at_its_maximum_refuses() -> None:
    async def main() -> None:
        supervisor = await TaskSupervisor.start_link(max_children=1)
        await supervisor.start_child(after_ms, 20)
        with pytest.raises(MaxChildren):
            await supervisor.spawn(after_ms, 1)
        with pytest.raises(MaxChildren):
            await supervisor.start_child(after_ms, 1)
        await asyncio.sleep(0.03)
        assert await (await supervisor.spawn(after_ms, 1)).result() == 1

    run(main)


def test_TASK_11_children_of_a_task_supervisor_are_temporary_by_default() -> None:
    async def main() -> None:
        supervisor = await TaskSupervisor.start_link()
        runs: list[str] = []

        def crash_once(name: str) -> None:
            runs.append(name)
            if runs.count(name) == 1:
                raise ValueError(name)

        await supervisor.start_child(crash_once, "temporary")
        await supervisor.start_child(crash_once, "transient", restart="transient")
        assert await arriving() == []
        assert runs == ["temporary", "transient", "transient"]
        assert (await supervisor.count_children())["specs"] == 0

    run(main)


def test_TASK_13_agent_serves_functions_one_after_the_other() -> None:
    async def main() -> None:
        agent = await Agent[int].start_link(lambda: 5)
        assert await agent.get(lambda value: value + 1) == 6
        await agent.update(lambda value: value * 2)
        assert await agent.get_and_update(lambda value: (value, value + 1)) == 10
        agent.cast(lambda value: -value)
        assert await agent.get(lambda value: value) == -11
        assert await agent.get(lambda _: self()) == agent.pid

    run(main)


def test_TASK_13_function_that_raises_ends_the_agent_and_fails_the_caller() -> None:
    async def main() -> None:
        agent = await Agent[int].start(lambda: 5)
        with pytest.raises(ServerExited):
            await agent.update(lambda value: value // 0)
        assert not is_alive(agent.pid)

    run(main)


def test_TASK_async_nolink_crash_is_a_down_message_only() -> None:
    async def main() -> None:
        trap_exits()
        supervisor = await TaskSupervisor.start_link()
        task = await supervisor.spawn_nolink(fail)
        (message,) = await arriving()
        assert isinstance(message, Down)
        assert (message.ref, message.object) == (task.ref, task.pid)

    run(main)


def test_TASK_async_crash_takes_the_owner_down() -> None:
    async def main() -> None:
        async def owner() -> None:
            Task.spawn(fail)
            await forever()

        assert isinstance(await end_of(spawn(owner)), Crashed)

    run(main)


def test_TASK_end_of_the_owner_ends_the_task() -> None:
    async def main() -> None:
        tasks: list[Task[None]] = []

        async def owner() -> None:
            tasks.append(Task.spawn(forever))
            await forever()

        pid = spawn(owner)
        await asyncio.sleep(0)
        watching = monitor(tasks[0].pid)
        exit(pid, "enough")
        assert await receive() == Down(watching, tasks[0].pid, "enough")

    run(main)


def test_TASK_server_as_owner_gets_result_and_down_as_messages() -> None:
    seen: list[Any] = []

    class Owner(GenServer):
        def init(self) -> None:
            self.task = Task.spawn(after_ms, 10)

        def handle_info(self, message: Any) -> None:
            match message:
                case TaskResult(ref, value) if ref == self.task.ref:
                    seen.append(value)
                case Down(ref, _, reason) if ref == self.task.ref:
                    seen.append(reason)

    async def main() -> None:
        await Owner.start_link()
        await asyncio.sleep(0.02)
        assert seen == [10, Normal()]

    run(main)


def test_TASK_supervised_task_ends_when_its_owner_ended_before_it_said_go() -> None:
    async def main() -> None:
        supervisor = await TaskSupervisor.start_link()
        owner = spawn(forever)
        task = await supervisor._start(ChildSpec("task", TaskServer, (fail, (), {}, owner), restart="temporary"))
        assert is_alive(task)
        exit(owner, Kill())
        assert await end_of(task) == Normal()
        assert (await supervisor.count_children())["specs"] == 0

    run(main)


def test_TASK_trapping_owner_of_a_task_that_crashes_gets_exit_and_down() -> None:
    async def main() -> None:
        trap_exits()
        task = Task.spawn(fail)
        with pytest.raises(ServerExited) as failure:
            await task.result()
        assert isinstance(failure.value.__cause__, ValueError)
        (message,) = await arriving()
        assert isinstance(message, Exit) and message.pid == task.pid
        send(self(), "still here")
        assert await receive() == "still here"

    run(main)
