"""DynamicSupervisor and PartitionSupervisor against Elixir's: one test per case, named after it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.running import arriving, end_of, now_ms, run
from zmqcluster.core import Continue, Ignore, Stop
from zmqcluster.errors import AlreadyStarted, ConfigError, MaxChildren, NoProcessError, StartFailed
from zmqcluster.exits import BadReturn, Crashed, Kill, Killed, Normal, Shutdown
from zmqcluster.ids import Pid
from zmqcluster.otp.child_spec import ChildSpec
from zmqcluster.otp.dynamic_supervisor import DynamicSupervisor
from zmqcluster.otp.gen_server import GenServer, stop
from zmqcluster.otp.methods import call
from zmqcluster.otp.partition_supervisor import PartitionSupervisor
from zmqcluster.otp.supervisor import Supervisor
from zmqcluster.runtime.process import exit, is_alive, register, self, send, trap_exits


class Worker(GenServer):
    """Runs what it is given as its init."""

    def init(self, *arguments: Any) -> Any:
        self.arguments = arguments
        for argument in arguments:
            if callable(argument):
                return argument()
        return None

    @call
    def told(self) -> tuple[Any, ...]:
        return self.arguments


class Stubborn(GenServer):
    """Takes ``last_s`` to stop."""

    def init(self, last_s: float) -> None:
        self.last_s = last_s
        trap_exits()

    async def terminate(self, reason: Any) -> None:
        await asyncio.sleep(self.last_s)


def spec(init: Callable[[], Any] | None = None, **fields: Any) -> ChildSpec:
    return ChildSpec("worker", Worker, () if init is None else (init,), **fields)


def failing(times: range) -> Callable[[], None]:
    """An init that raises at the calls numbered so."""
    count = iter(range(1_000_000))

    def init() -> None:
        if next(count) in times:
            raise ValueError("not now")

    return init


async def started(supervisor: DynamicSupervisor, child: Any) -> Pid:
    pid = await supervisor.start_child(child)
    assert pid is not None
    return pid


def test_DSUP_01_ids_are_undefined_and_terminate_child_twice_is_not_found() -> None:
    async def main() -> None:
        supervisor = await DynamicSupervisor.start_link()
        pids = [await started(supervisor, Worker) for _ in range(3)]
        rows = await supervisor.which_children()
        assert sorted(row.pid for row in rows if row.pid) == pids
        assert {(row.id, row.state, row.kind) for row in rows} == {("undefined", "running", "worker")}
        await supervisor.terminate_child(pids[1])
        assert [is_alive(pid) for pid in pids] == [True, False, True]
        with pytest.raises(NoProcessError):
            await supervisor.terminate_child(pids[1])
        assert await supervisor.count_children() == {"specs": 2, "active": 2, "supervisors": 0, "workers": 2}

    run(main)


def test_DSUP_02_restarting_child_counts_for_max_children() -> None:
    async def main() -> None:
        supervisor = await DynamicSupervisor.start_link(max_children=1, max_restarts=1000)
        first = await started(supervisor, spec(failing(range(1, 50))))
        exit(first, Kill())
        seen: set[tuple[int, int]] = set()
        while not seen or (await supervisor.count_children())["active"] == 0:
            with pytest.raises(MaxChildren) as full:
                await supervisor.start_child(Worker)
            assert full.value.limit == 1
            counts = await supervisor.count_children()
            seen.add((counts["specs"], counts["active"]))
        assert seen == {(1, 0), (1, 1)}
        with pytest.raises(MaxChildren):  # just restarted: it is the one child
            await supervisor.start_child(Worker)

    run(main)


def test_DSUP_02_restarting_child_can_be_terminated() -> None:
    async def main() -> None:
        supervisor = await DynamicSupervisor.start_link(max_restarts=10**6)
        first = await started(supervisor, spec(failing(range(1, 10**6))))
        exit(first, Kill())
        await asyncio.sleep(0)
        assert [row.state for row in await supervisor.which_children()] == ["restarting"]
        await supervisor.terminate_child(first)
        assert await supervisor.which_children() == []

    run(main)


def test_DSUP_04_each_outcome_of_a_start_reaches_the_caller_and_the_supervisor_lives() -> None:
    async def main() -> None:
        supervisor = await DynamicSupervisor.start_link()

        async def reason(init: Callable[[], Any]) -> Any:
            with pytest.raises(StartFailed) as failure:
                await supervisor.start_child(spec(init))
            return failure.value.reason

        async def later() -> None:
            await asyncio.sleep(0.01)

        def crash() -> None:
            raise ValueError("no")

        assert await supervisor.start_child(spec(lambda: None))
        assert await supervisor.start_child(spec(later))
        assert await supervisor.start_child(spec(lambda: Ignore())) is None
        assert await reason(lambda: Stop("refused")) == "refused"
        assert await reason(lambda: "garbage") == BadReturn("init", "'garbage'")
        crashed = await reason(crash)
        assert isinstance(crashed, Crashed) and (crashed.kind, crashed.text) == ("ValueError", "no")
        assert await reason(lambda: exit("left")) == "left"
        named = await started(supervisor, spec(name="taken"))
        with pytest.raises(AlreadyStarted) as taken:
            await supervisor.start_child(spec(name="taken"))
        assert taken.value.pid == named
        assert (await supervisor.count_children())["specs"] == 3
        assert await arriving() == []

    run(main)


def test_DSUP_05_restarts_of_all_children_share_one_limit() -> None:
    async def main() -> None:
        trap_exits()
        supervisor = await DynamicSupervisor.start_link()
        pids = [await started(supervisor, Worker) for _ in range(6)]
        for pid in pids[:3]:
            exit(pid, Kill())
        await asyncio.sleep(0.01)
        assert is_alive(supervisor.pid)
        assert (await supervisor.count_children())["active"] == 6
        exit(pids[3], Kill())
        assert await end_of(supervisor.pid) == Shutdown("reached_max_restart_intensity")
        assert not any(map(is_alive, pids))

    run(main)


def test_DSUP_05_restarts_longer_apart_than_max_seconds_are_no_storm() -> None:
    async def main() -> None:
        supervisor = await DynamicSupervisor.start_link(max_restarts=1, max_seconds=1.0)
        for _ in range(5):
            rows = await supervisor.which_children()
            pid = rows[0].pid if rows else await started(supervisor, Worker)
            assert pid is not None
            exit(pid, Kill())
            await asyncio.sleep(1.1)
        assert (await supervisor.count_children())["active"] == 1

    run(main)


def test_DSUP_07_invalid_child_spec_fails_in_the_caller() -> None:
    async def main() -> None:
        nobody = DynamicSupervisor.at("no such supervisor")  # it is not asked, so it need not be there
        for child in (7, "worker", int, (), (int, 1)):
            with pytest.raises(ConfigError):
                await nobody.start_child(child)  # type: ignore[arg-type]
        with pytest.raises(ConfigError):
            await nobody.start_children([Worker, 7])  # type: ignore[list-item]
        with pytest.raises(NoProcessError):
            await nobody.start_child(Worker)

    run(main)


def test_DSUP_restart_follows_the_spec() -> None:
    async def main() -> None:
        supervisor = await DynamicSupervisor.start_link(max_restarts=100)
        for restart, reason, lives in (
            ("permanent", Normal(), True),
            ("permanent", Kill(), True),
            ("transient", Shutdown(), False),
            ("transient", Kill(), True),
            ("temporary", Kill(), False),
        ):
            pid = await started(supervisor, spec(restart=restart))
            if isinstance(reason, Kill):
                exit(pid, reason)
            else:
                await stop(pid, reason)
            await asyncio.sleep(0.01)
            rows = await supervisor.which_children()
            assert [row.state for row in rows] == (["running"] if lives else [])
            for row in rows:
                assert row.pid is not None and row.pid != pid
                await supervisor.terminate_child(row.pid)

    run(main)


def test_DSUP_extra_arguments_come_first_at_the_restart_too() -> None:
    async def main() -> None:
        supervisor = await DynamicSupervisor.start_link(extra_arguments=("extra", 1))
        pid = await started(supervisor, (Worker, "own"))
        assert await Worker.at(pid).told() == ("extra", 1, "own")
        exit(pid, Kill())
        await asyncio.sleep(0.01)
        (row,) = await supervisor.which_children()
        assert row.pid is not None and row.pid != pid
        assert await Worker.at(row.pid).told() == ("extra", 1, "own")

    run(main)


def test_DSUP_stops_children_together_each_within_its_time() -> None:
    async def main() -> None:
        trap_exits()
        supervisor = await DynamicSupervisor.start_link()
        times = [(0.03, 5.0), (0.05, 5.0), (10.0, 0.04), (10.0, 0.02), (0.06, None), (9.0, 0)]
        for last_s, shutdown_s in times:
            await supervisor.start_child(ChildSpec("stubborn", Stubborn, (last_s,), shutdown_s=shutdown_s))
        pids = [row.pid for row in await supervisor.which_children() if row.pid]
        began_ms = now_ms()
        exit(supervisor.pid, Shutdown())
        assert await end_of(supervisor.pid) == Shutdown()
        assert now_ms() - began_ms == pytest.approx(60, abs=3)
        assert len(pids) == 6 and not any(map(is_alive, pids))

    run(main)


def test_DSUP_slow_init_does_not_keep_the_supervisor_from_others() -> None:
    async def main() -> None:
        supervisor = await DynamicSupervisor.start_link()
        waiting = asyncio.ensure_future(supervisor.start_child(spec(lambda: asyncio.sleep(1.0))))
        await asyncio.sleep(0.01)
        assert await supervisor.start_child(Worker)
        assert now_ms() < 20
        assert (await supervisor.count_children())["specs"] == 2
        slow = await waiting
        assert slow is not None and is_alive(slow)
        assert now_ms() == pytest.approx(1000, abs=2)

    run(main)


def test_DSUP_child_that_is_killed_in_its_init_fails_its_start() -> None:
    async def main() -> None:
        supervisor = await DynamicSupervisor.start_link()

        async def hang() -> None:
            register("hanging")
            await asyncio.sleep(1000)

        waiting = asyncio.ensure_future(supervisor.start_child(spec(hang)))
        await asyncio.sleep(0.01)
        (row,) = await supervisor.which_children()
        assert row.pid is not None
        exit(row.pid, Kill())
        with pytest.raises(StartFailed) as failure:
            await waiting
        assert failure.value.reason == Killed()
        assert await supervisor.which_children() == []

    run(main)


def test_DSUP_crash_right_after_init_restarts_the_child() -> None:
    runs: list[int] = []

    class Fragile(GenServer):
        def init(self) -> Continue:
            return Continue(None)

        def handle_continue(self, value: Any) -> None:
            runs.append(len(runs))
            if len(runs) < 3:
                raise ValueError("again")

    async def main() -> None:
        supervisor = await DynamicSupervisor.start_link()
        assert await supervisor.start_child(Fragile) is not None
        await asyncio.sleep(0.01)
        assert runs == [0, 1, 2]
        assert (await supervisor.count_children())["active"] == 1

    run(main)


def test_DSUP_starts_many_in_one_request_in_order() -> None:
    async def main() -> None:
        supervisor = await DynamicSupervisor.start_link(max_children=202)
        children = [(Worker, number) for number in range(200)]
        results = await supervisor.start_children([*children, spec(lambda: Stop("no")), spec(lambda: Ignore())])
        *pids, failed, ignored = results
        assert [(await Worker.at(pid).told())[0] for pid in pids if isinstance(pid, Pid)] == list(range(200))
        assert isinstance(failed, StartFailed) and failed.reason == "no"
        assert ignored is None
        last = await supervisor.start_children([Worker, Worker, Worker])
        assert [type(result) for result in last] == [Pid, Pid, MaxChildren]
        assert await supervisor.start_children([]) == []

    run(main)


class Part(GenServer):
    def init(self, *arguments: Any) -> None:
        self.arguments = arguments

    @call
    def told(self) -> tuple[Any, ...]:
        return self.arguments


def test_DSUP_08_partition_supervisor_routes_keys() -> None:
    async def main() -> None:
        parts = PartitionSupervisor("parts", (Part, "a"), partitions=4, with_arguments=lambda own, at: (*own, at))
        await Supervisor.start_link([parts])
        assert [row.id for row in await parts.which_children()] == ["0", "1", "2", "3"]
        assert parts.partitions() == 4
        for key in (0, 5, 7, 1022):
            assert await Part.at(parts.via(key)).told() == ("a", key % 4)
        pids = {parts.via(f"key {number}").whereis() for number in range(100)}
        assert len(pids) == 4
        assert parts.via("DON-7").whereis() == parts.via("DON-7").whereis()

    run(main)


def test_DSUP_08_partition_that_was_restarted_is_found_again() -> None:
    async def main() -> None:
        parts = await PartitionSupervisor("parts", Part, partitions=2).start_link()
        before = parts.via(1).whereis()
        assert before is not None
        exit(before, Kill())
        await asyncio.sleep(0.01)
        after = parts.via(1).whereis()
        assert after is not None and after != before

    run(main)


def test_DSUP_08_resize_stops_routing_to_higher_partitions_and_not_above_the_start() -> None:
    async def main() -> None:
        parts = PartitionSupervisor("parts", Part, partitions=4, with_arguments=lambda _, at: (at,))
        await parts.start_link()
        assert await parts.resize(3) == 4
        assert {(await Part.at(parts.via(key)).told())[0] for key in range(12)} == {0, 1, 2}
        assert (await parts.count_children())["active"] == 3
        assert await parts.resize(4) == 3
        assert await Part.at(parts.via(3)).told() == (3,)
        for wrong in (0, 5, True, "2"):
            with pytest.raises(ConfigError):
                await parts.resize(wrong)  # type: ignore[arg-type]

    run(main)


def test_DSUP_08_partitions_of_dynamic_supervisors() -> None:
    async def main() -> None:
        workers = await PartitionSupervisor("workers", DynamicSupervisor, partitions=3).start_link()
        for number in range(9):
            await DynamicSupervisor.at(workers.via(number)).start_child((Worker, number))
        rows = await workers.which_children()
        assert {row.kind for row in rows} == {"supervisor"}
        counts = [await DynamicSupervisor.at(workers.via(number)).count_children() for number in range(3)]
        assert [each["active"] for each in counts] == [3, 3, 3]
        with pytest.raises(AlreadyStarted):
            await PartitionSupervisor("workers", DynamicSupervisor).start_link()

    run(main)


def test_DSUP_unknown_messages_do_not_disturb_it() -> None:
    async def main() -> None:
        supervisor = await DynamicSupervisor.start_link()
        send(supervisor.pid, ("what", self()))
        assert await supervisor.which_children() == []

    run(main)
