"""The agent: what it refuses, and how its value is kept."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.running import run
from zmqcluster.errors import ConfigError, NoProcessError, ServerExited, StartFailed
from zmqcluster.otp.agent import Agent
from zmqcluster.otp.supervisor import Supervisor
from zmqcluster.runtime.node import Node
from zmqcluster.runtime.process import exit, is_alive
from zmqcluster.runtime.run import run_node
from zmqcluster.testing.clock import VirtualLoop


async def async_function(value: int) -> int:
    return value


@pytest.mark.parametrize("wrong", [7, None, async_function, "len"])
def test_agent_refuses_what_is_no_plain_function_before_it_is_asked(wrong: Any) -> None:
    async def main() -> None:
        agent = await Agent[int].start(lambda: 1)
        for ask in (agent.get, agent.update, agent.get_and_update):
            with pytest.raises(ConfigError, match="an agent runs plain functions"):
                await ask(wrong)
        with pytest.raises(ConfigError):
            agent.cast(wrong)
        assert await agent.get(lambda value: value) == 1
        with pytest.raises(StartFailed):
            await Agent.start(wrong)

    run(main)


def test_agent_start_passes_arguments_to_the_function() -> None:
    async def main() -> None:
        agent = await Agent[dict[str, int]].start(dict, [("a", 1)])
        assert await agent.get(lambda value: value["a"]) == 1

    run(main)


def test_agent_get_and_update_that_returns_no_pair_ends_the_agent() -> None:
    async def main() -> None:
        agent = await Agent[int].start(lambda: 1)
        with pytest.raises(ServerExited):
            await agent.get_and_update(lambda value: value)  # type: ignore[arg-type, return-value]
        assert not is_alive(agent.pid)

    run(main)


def test_agent_under_a_supervisor_begins_anew_after_a_crash() -> None:
    async def main() -> None:
        tree = await Supervisor.start_link([(Agent, lambda: 5)])
        for _ in range(2):
            (row,) = await tree.which_children()
            assert row.pid is not None
            agent = Agent[int].at(row.pid)
            assert await agent.get(lambda value: value) == 5
            await agent.update(lambda value: value + 1)
            exit(row.pid, "crash")
            await asyncio.sleep(0.01)

    run(main)


def test_agent_that_has_ended_is_no_process() -> None:
    async def main() -> None:
        agent = await Agent[int].start(lambda: 1)
        exit(agent.pid, "gone")
        with pytest.raises(NoProcessError):
            await agent.get(lambda value: value)
        agent.cast(lambda value: value)  # nobody is told

    run(main)


def test_agent_takes_functions_where_messages_are_copied() -> None:
    async def main() -> None:
        agent = await Agent[list[int]].start(list)
        await agent.update(lambda value: [*value, 1])
        agent.cast(lambda value: [*value, 2])
        assert await agent.get(sum) == 3

    loop = VirtualLoop()
    loop.run(run_node(Node(copy_messages=True), main))
    loop.close()
