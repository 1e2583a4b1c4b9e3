"""The dynamic supervisor: its limits, and what it keeps of its children."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from tests.support.running import end_of, run
from zmqcluster.errors import ConfigError, StartFailed
from zmqcluster.exits import Kill, Shutdown
from zmqcluster.otp.child_spec import ChildSpec
from zmqcluster.otp.dynamic_supervisor import STARTS_MAX, DynamicSupervisor
from zmqcluster.otp.gen_server import GenServer, stop
from zmqcluster.otp.supervisor import Supervisor
from zmqcluster.runtime.node import Node
from zmqcluster.runtime.process import exit, is_alive, process_info, scheduler, trap_exits
from zmqcluster.runtime.run import run_node
from zmqcluster.testing.clock import VirtualLoop


class Worker(GenServer):
    def init(self, *arguments: Any) -> None:
        self.arguments = arguments


class Limited(DynamicSupervisor):
    max_children = 2
    max_restarts = 0
    extra_arguments = ("extra",)


@pytest.mark.parametrize(
    "limits",
    [
        {"max_children": -1},
        {"max_children": True},
        {"max_children": 1.5},
        {"max_restarts": -1},
        {"max_restarts": None, "max_seconds": 0},
        {"max_seconds": "5"},
        {"max_seconds": float("nan")},
    ],
)
def test_init_refuses_bad_limits(limits: dict[str, Any]) -> None:
    async def main() -> None:
        with pytest.raises(StartFailed) as failure:
            await DynamicSupervisor.start(**limits)
        assert failure.value.reason.kind == "ConfigError"
        assert isinstance(failure.value.__cause__, ConfigError)

    run(main)


def test_limits_of_a_subclass_hold() -> None:
    async def main() -> None:
        supervisor = await Limited.start()
        results = await supervisor.start_children([Worker] * 3)
        assert [type(result).__name__ for result in results] == ["Pid", "Pid", "MaxChildren"]
        pid = next(row.pid for row in await supervisor.which_children())
        assert pid is not None
        assert scheduler().server_of(pid).arguments == ("extra",)
        exit(pid, Kill())
        assert await end_of(supervisor.pid) == Shutdown("reached_max_restart_intensity")

    run(main)


def test_arguments_of_a_temporary_child_are_not_kept() -> None:
    async def main() -> None:
        supervisor = await DynamicSupervisor.start()
        big = object()
        await supervisor.start_children(
            [
                ChildSpec("once", Worker, (big,), restart="temporary"),
                ChildSpec("always", Worker, (big,)),
                ChildSpec("once more", Worker, (big,), restart="temporary"),
            ]
        )
        kept = list(scheduler().server_of(supervisor.pid)._running.values())
        assert [spec.args for spec in kept] == [(), (big,), ()]
        assert kept[0] is kept[2]  # one for all of a kind

    run(main)


def test_many_starts_leave_room_for_other_requests_between() -> None:
    async def main() -> None:
        supervisor = await DynamicSupervisor.start()
        many = asyncio.ensure_future(supervisor.start_children([Worker] * (10 * STARTS_MAX)))
        await asyncio.sleep(0)
        counts = await supervisor.count_children()
        assert counts["specs"] <= 2 * STARTS_MAX
        assert len(await many) == 10 * STARTS_MAX

    run(main)


def test_child_knows_its_supervisor_as_parent() -> None:
    async def main() -> None:
        supervisor = await DynamicSupervisor.start()
        pid = await supervisor.start_child(Worker)
        assert pid is not None
        info = process_info(pid)
        assert info is not None
        assert (info["parent"], info["links"]) == (supervisor.pid, [supervisor.pid])

    run(main)


def test_it_is_a_supervisor_in_the_eyes_of_another() -> None:
    async def main() -> None:
        tree = await Supervisor.start_link([ChildSpec("workers", DynamicSupervisor, name="workers")])
        (row,) = await tree.which_children()
        assert (row.kind, row.pid) == ("supervisor", DynamicSupervisor.at("workers").pid)
        child = await DynamicSupervisor.at("workers").start_child((Worker, 1))
        assert child is not None
        exit(DynamicSupervisor.at("workers").pid, Kill())
        await end_of(child)
        await asyncio.sleep(0.01)
        assert not is_alive(child)
        assert await DynamicSupervisor.at("workers").which_children() == []

    run(main)


def test_terminate_during_a_slow_init_fails_the_start() -> None:
    class Slow(GenServer):
        async def init(self) -> None:
            await asyncio.sleep(100)

    async def main() -> None:
        supervisor = await DynamicSupervisor.start()
        starting = asyncio.ensure_future(supervisor.start_child(Slow))
        await asyncio.sleep(0.01)
        (row,) = await supervisor.which_children()
        assert row.pid is not None
        await supervisor.terminate_child(row.pid)
        with pytest.raises(StartFailed) as failure:
            await starting
        assert failure.value.reason == Shutdown()
        assert await supervisor.count_children() == {"specs": 0, "active": 0, "supervisors": 0, "workers": 0}

    run(main)


def test_child_that_had_to_be_killed_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    class Stubborn(GenServer):
        def init(self) -> None:
            trap_exits()

        async def terminate(self, reason: Any) -> None:
            await asyncio.sleep(100)

    async def main() -> None:
        supervisor = await DynamicSupervisor.start()
        for shutdown_s in (0.01, 0):
            await supervisor.start_child(ChildSpec("stubborn", Stubborn, shutdown_s=shutdown_s))
        await stop(supervisor.pid)

    caplog.set_level(logging.ERROR, "zmqcluster.supervisor")
    run(main)
    (report,) = [record.getMessage() for record in caplog.records]  # none of the one that was to be killed at once
    assert "shutdown_error" in report and "Killed()" in report


def test_the_birth_of_a_child_is_observed() -> None:
    async def main() -> None:
        supervisor = await DynamicSupervisor.start()
        born: list[Any] = []
        scheduler().birth_observer = born.append
        pid = await supervisor.start_child(Worker)
        scheduler().birth_observer = None
        assert born == [pid]

    run(main)


def test_specs_pass_where_messages_are_copied() -> None:
    async def main() -> None:
        supervisor = await DynamicSupervisor.start()
        first = await supervisor.start_child((Worker, 1))
        second, refused = await supervisor.start_children([Worker, ChildSpec("w", Worker, name="first")])
        assert first != second and first is not None
        assert refused is not None
        assert {row.pid for row in await supervisor.which_children()} == {first, second, refused}
        tree = await Supervisor.start([Worker])
        third = await tree.start_child(ChildSpec("third", Worker))
        assert third in [row.pid for row in await tree.which_children()]

    loop = VirtualLoop()
    loop.run(run_node(Node(copy_messages=True), main))
    loop.close()
