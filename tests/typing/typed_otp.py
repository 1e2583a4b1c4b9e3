"""What mypy knows of tasks, agents, registries and state machines. A line with ``# E: text`` is an error there.

Not run: ``test_typing.py`` gives it to mypy --strict.
"""

from __future__ import annotations

from typing import assert_type

import zmqcluster as zc
from zmqcluster.otp.registry import Entry
from zmqcluster.otp.state_machine import Event, Keep, Next, Result, State, StopAndReply, Timeout
from zmqcluster.otp.task import Outcome


async def measure(text: str, scale: float = 1.0) -> float:
    return len(text) * scale


def count(text: str) -> int:
    return len(text)


async def tasks(supervisor: zc.TaskSupervisor) -> None:
    assert_type(zc.Task.spawn(measure, "a"), zc.Task[float])
    assert_type(zc.Task.spawn(count, "a"), zc.Task[int])
    assert_type(await zc.Task.spawn(count, "a").result(), int)
    assert_type(await zc.Task.spawn(measure, "a", scale=2.0).poll(1.0), Outcome[float] | None)
    assert_type(await (await supervisor.spawn(count, "a")).result(), int)
    assert_type(await (await supervisor.spawn_nolink(measure, "a")).result(), float)
    assert_type(await zc.Task.await_many([zc.Task.spawn(count, "a")]), list[int])
    zc.Task.spawn(count, 1)  # E: No overload variant of "spawn" of "Task" matches
    await supervisor.spawn(measure)  # E: No overload variant of "spawn" of "TaskSupervisor" matches
    (await zc.Task.spawn(count, "a").result()).upper()  # E: "int" has no attribute "upper"


async def streams(supervisor: zc.TaskSupervisor) -> None:
    async for outcome in zc.stream_tasks(measure, ["a"], max_concurrency=2, on_timeout="kill_task"):
        assert_type(outcome, Outcome[float])
    async for counted in supervisor.stream_nolink(count, ["a"], ordered=False):
        if isinstance(counted, zc.Finished):
            assert_type(counted.value, int)
    zc.stream_tasks(count, [1])  # E: Argument 1 to "stream_tasks" has incompatible type
    zc.stream_tasks(count, ["a"], on_timeout="never")  # E: No overload variant of "stream_tasks" matches


async def agents() -> None:
    agent = await zc.Agent[dict[str, int]].start(dict)
    assert_type(await agent.get(lambda value: value["a"]), int)
    assert_type(await agent.get_and_update(lambda value: (len(value), value)), int)
    await agent.update(lambda value: {**value, "b": 1})
    agent.cast(lambda value: 7)  # E: Argument 1 to "cast" of "Agent" has incompatible type


async def registries(registry: zc.Registry) -> None:
    assert_type(registry.lookup("k"), list[Entry])
    assert_type(registry.whereis("k"), zc.Pid | None)
    for pid, _ in registry.lookup("k"):
        assert_type(pid, zc.Pid)
    await zc.GenServer.start(name=registry.via("k"))
    zc.Registry("names", "some")  # E: Argument 2 to "Registry" has incompatible type
    registry.locked("k")  # E: "Registry" has no attribute "locked"


class Door(zc.StateMachine):
    """A machine whose states are checked."""

    def initial(self) -> State:
        return self.closed

    def closed(self, event: Event) -> Result:
        return Next(self.opened, Timeout(1.0))

    async def opened(self, event: Event) -> Result:
        return Next(self.locked)  # E: "Door" has no attribute "locked"

    def broken(self, event: Event) -> Result:
        return Keep("reply")  # E: Argument 1 to "Keep" has incompatible type "str"


class Counting(zc.StateMachine):
    """A machine with one handler, whose states are values."""

    def initial(self) -> tuple[str, int]:
        return "counting", 0

    def handle_event(self, event: Event, state: tuple[str, int]) -> Result:
        if state[1] == 3:
            return StopAndReply("full", "bye")  # E: Argument 2 to "StopAndReply" has incompatible type "str"
        return Next(("counting", state[1] + 1), Timeout(1.0))
