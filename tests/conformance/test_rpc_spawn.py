"""Processes started on other nodes: the cases RPC-01 and RPC-02."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.support import remote_functions as remote
from tests.support.running import arriving, end_of, forever, now_ms
from zmqcluster.core import Down, Exit
from zmqcluster.errors import AlreadyRegistered, ConfigError, EncodeError, NotExported, NotInProcess, RemoteError
from zmqcluster.exits import Crashed, Kill, Killed, NoConnection, Normal
from zmqcluster.ids import Pid
from zmqcluster.otp import erpc
from zmqcluster.runtime.held import GO_S_MAX
from zmqcluster.runtime.process import (
    exit,
    is_alive,
    monitor,
    process_info,
    receive,
    send,
    spawn,
    trap_exits,
    unlink,
    whereis,
)
from zmqcluster.runtime.process import self as this_process
from zmqcluster.runtime.spawning import spawn_link_on, spawn_monitor_on, spawn_on
from zmqcluster.testing.simulation import Simulation

UNREACHABLE = "nobody@10.0.0.99:7100"
WITHIN_MS = 60_000.0


@pytest.fixture
def cluster() -> Iterator[Simulation]:
    remote.done.clear()
    with Simulation(seed=1, nodes=3) as simulation:
        for name in simulation.names:
            simulation.start(name)
        simulation.eventually(lambda: len(simulation.node("a").nodes()) == 2, within_ms=5_000)
        yield simulation


def shape(reason: Any) -> Any:
    """A crash without its traceback."""
    return (reason.kind, reason.text) if isinstance(reason, Crashed) else reason


# --- RPC-01: spawn on a node


def test_rpc_01_spawn_then_it_runs_there_and_a_send_right_after_arrives(cluster: Simulation) -> None:
    b = cluster.full_name("b")

    async def main() -> Any:
        pid = await spawn_on(b, remote.echo, this_process())
        send(pid, "right after")
        assert pid.node == b
        return await receive(timeout_s=1.0)

    assert cluster.run_on("a", main) == ("echo", "right after")


def test_rpc_01_spawned_by_the_name_of_the_function_or_a_name_of_its_own(cluster: Simulation) -> None:
    b = cluster.full_name("b")

    async def main() -> Any:
        pid = await spawn_on(b, f"{remote.__name__}:echo", this_process())
        send(pid, 1)
        return await receive(timeout_s=1.0), await erpc.call(b, "tests.by_a_name_of_its_own")

    assert cluster.run_on("a", main) == (("echo", 1), "found")


def test_rpc_01_spawned_with_a_name_then_it_is_registered_there_once(cluster: Simulation) -> None:
    b = cluster.full_name("b")

    async def main() -> None:
        pid = await spawn_on(b, remote.echo, this_process(), name="echo", bound=10, policy="drop_old")
        send(("echo", b), 1)
        assert await receive(timeout_s=1.0) == ("echo", 1)
        with pytest.raises(AlreadyRegistered) as taken:
            await spawn_on(b, remote.echo, this_process(), name="echo")
        assert taken.value.pid == pid

    cluster.run_on("a", main)
    assert cluster.at("b", lambda: process_info(whereis("echo") or this_process()))["bound"] == 10  # type: ignore[index]


def test_rpc_01_requests_go_out_at_once_and_need_not_be_awaited(cluster: Simulation) -> None:
    b = cluster.full_name("b")

    async def main() -> Any:
        before_ms = now_ms()
        requests = [spawn_on(b, remote.sleep_then, 0.0, number) for number in range(100)]
        pids = [await request for request in requests]
        spawn_on(b, remote.sleep_then, 0.0, "not awaited")
        assert len(set(pids)) == 100 and [await request for request in requests] == pids
        return now_ms() - before_ms

    round_trip_ms = cluster.run_on("a", main)
    cluster.run_ms(1_000)
    assert remote.done == [*range(100), "not awaited"]
    assert round_trip_ms < 50


def test_rpc_01_link_and_monitor_across_nodes_are_as_here(cluster: Simulation) -> None:
    b = cluster.full_name("b")

    async def main() -> None:
        trap_exits()
        linked = await spawn_link_on(b, remote.wait_for_ever)
        watched, ref = await spawn_monitor_on(b, remote.wait_for_ever)
        exit(linked, "enough")
        assert await receive(timeout_s=1.0) == Exit(linked, "enough")
        exit(watched, Kill())
        assert await receive(timeout_s=1.0) == Down(ref, watched, Killed())
        unlinked = await spawn_link_on(b, remote.wait_for_ever)
        unlink(unlinked)
        exit(unlinked, "unseen")
        assert await arriving(0.5) == []

    cluster.run_on("a", main)


def test_rpc_01_our_end_reaches_the_linked_process_there(cluster: Simulation) -> None:
    b = cluster.full_name("b")

    async def main() -> Any:
        async def owner(to: Pid) -> None:
            send(to, await spawn_link_on(b, remote.wait_for_ever))
            await receive()
            raise ValueError("owner")

        pid = spawn(owner, this_process())
        linked = await receive(timeout_s=1.0)
        ref = monitor(linked)
        send(pid, "end")
        down = await receive(timeout_s=1.0)
        assert down.ref == ref
        return shape(down.reason)

    assert cluster.run_on("a", main) == ("ValueError", "owner")


@pytest.mark.parametrize("function", [remote.fail, remote.leave])
def test_rpc_01_end_before_anybody_looks_then_its_real_reason(cluster: Simulation, function: Any) -> None:
    """EXIT-14, MON-07: never noproc, however soon."""
    b, reason = cluster.full_name("b"), ("ValueError", "soon") if function is remote.fail else "soon"

    async def main() -> None:
        trap_exits()
        linked = await spawn_link_on(b, function, "soon")
        ended = await receive(Exit, timeout_s=1.0)
        assert (ended.pid, shape(ended.reason)) == (linked, reason)
        watched, ref = await spawn_monitor_on(b, function, "soon")
        down = await receive(Down, timeout_s=1.0)
        assert (down.ref, down.object, shape(down.reason)) == (ref, watched, reason)

    cluster.run_on("a", main)


def test_rpc_01_spawn_monitor_of_what_returns_at_once_then_normal(cluster: Simulation) -> None:
    async def main() -> None:
        watched, ref = await spawn_monitor_on(cluster.full_name("b"), remote.me)
        assert await receive(timeout_s=1.0) == Down(ref, watched, Normal())

    cluster.run_on("a", main)


def test_rpc_01_spawn_link_of_a_crash_without_trapping_then_the_owner_ends_too(cluster: Simulation) -> None:
    b = cluster.full_name("b")

    async def main() -> Any:
        async def owner() -> None:
            await spawn_link_on(b, remote.fail, "together")
            await forever()

        return shape(await end_of(spawn(owner)))

    assert cluster.run_on("a", main) == ("ValueError", "together")


def test_rpc_01_unreachable_then_a_pid_and_noconnection(cluster: Simulation) -> None:
    lost = NoConnection(UNREACHABLE)

    async def main() -> Any:
        nobody = await spawn_on(UNREACHABLE, remote.add, 1)
        send(nobody, "vanishes")
        watched, ref = await spawn_monitor_on(UNREACHABLE, remote.add, 1)
        assert await receive(timeout_s=0) == Down(ref, watched, lost)
        trap_exits()
        linked = await spawn_link_on(UNREACHABLE, remote.add, 1)
        assert await receive(timeout_s=0) == Exit(linked, lost)

        async def owner() -> None:
            await spawn_link_on(UNREACHABLE, remote.add, 1)
            await forever()

        assert {pid.node for pid in (nobody, watched, linked)} == {UNREACHABLE}
        return await end_of(spawn(owner))

    assert cluster.run_on("a", main, WITHIN_MS) == lost


def test_rpc_01_node_lost_before_the_pid_came_then_noconnection(cluster: Simulation) -> None:
    b = cluster.full_name("b")
    cluster.block("b")

    async def main() -> Any:
        async def cut() -> None:
            await asyncio.sleep(0.3)
            cluster.crash("b")

        spawn(cut)
        pid, ref = await spawn_monitor_on(b, remote.add, 1)
        return await receive(timeout_s=1.0) == Down(ref, pid, NoConnection(b))

    assert cluster.run_on("a", main, WITHIN_MS)


def test_rpc_01_owner_that_stops_to_wait_then_the_function_never_runs(cluster: Simulation) -> None:
    b = cluster.full_name("b")
    before = cluster.node("b").scheduler.process_count

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await spawn_link_on(b, remote.sleep_then, 0.0, "must not run")
        await asyncio.sleep(0.1)

    cluster.run_on("a", main)
    cluster.run_ms(GO_S_MAX * 1000 + 1_000)
    assert cluster.node("b").scheduler.process_count == before
    assert remote.done == []


def test_rpc_01_owner_that_ends_first_then_the_function_never_runs(cluster: Simulation) -> None:
    b = cluster.full_name("b")
    before = cluster.node("b").scheduler.process_count

    async def main() -> None:
        async def owner() -> None:
            await spawn_monitor_on(b, remote.sleep_then, 0.0, "must not run")

        pid = spawn(owner)
        await asyncio.sleep(0)
        exit(pid, Kill())
        await asyncio.sleep(1.0)

    cluster.run_on("a", main)
    assert cluster.node("b").scheduler.process_count == before
    assert remote.done == []


def test_rpc_01_on_our_own_node_it_is_the_same(cluster: Simulation) -> None:
    a = cluster.full_name("a")

    async def main() -> None:
        pid = await spawn_on(a, remote.echo, this_process())
        send(pid, 1)
        assert is_alive(pid) and await receive(timeout_s=1.0) == ("echo", 1)
        watched, ref = await spawn_monitor_on(a, remote.fail, "here")
        down = await receive(timeout_s=1.0)
        assert (down.ref, down.object, shape(down.reason)) == (ref, watched, ("ValueError", "here"))
        with pytest.raises(NotExported):
            await spawn_on(a, remote.not_exported)

    cluster.run_on("a", main)


# --- RPC-02


def test_rpc_02_node_of_one_dies_then_the_other_gets_noconnection(cluster: Simulation) -> None:
    b = cluster.full_name("b")

    async def main() -> Any:
        trap_exits()
        linked = await spawn_link_on(b, remote.wait_for_ever)
        cluster.crash("b")
        return await receive(timeout_s=5.0) == Exit(linked, NoConnection(b))

    assert cluster.run_on("a", main)


def test_rpc_02_both_sides_of_a_cut_are_told_and_a_process_that_does_not_trap_ends(cluster: Simulation) -> None:
    a, b = cluster.full_name("a"), cluster.full_name("b")
    ends: list[Any] = []

    async def witness() -> None:
        linked = await receive()
        ends.append(("b", await end_of(linked)))

    async def main() -> None:
        async def owner() -> None:
            send(watching, await spawn_link_on(b, remote.wait_for_ever))
            await forever()

        watching = cluster.spawn("b", witness)
        pid = spawn(owner)
        await asyncio.sleep(0.5)
        cluster.cut("a", "bc")
        ends.append(("a", await end_of(pid)))

    cluster.run_on("a", main)
    cluster.eventually(lambda: len(ends) == 2, within_ms=5_000)
    assert sorted(ends) == [("a", NoConnection(b)), ("b", NoConnection(a))]


# --- what is refused


def test_spawn_of_what_is_not_exported_then_refused_and_nothing_ran(cluster: Simulation) -> None:
    b = cluster.full_name("b")

    async def main() -> None:
        inner = remote.local_function()
        for function in (remote.not_exported, "os:system", "builtins:exec", "", "no such name", inner, print):
            with pytest.raises(NotExported) as refused:
                await spawn_on(b, function)
            assert refused.value.node == b
        with pytest.raises(NotExported):
            await spawn_link_on(b, remote.not_exported)

    cluster.run_on("a", main)
    assert remote.done == []


def test_spawn_of_what_has_no_name_then_a_config_error_here(cluster: Simulation) -> None:
    b = cluster.full_name("b")

    async def main() -> None:
        for function in (lambda: None, [].append, int, 7, partial(remote.add, 1), cluster.heal):
            with pytest.raises(ConfigError):
                spawn_on(b, function)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="lacks '@host'"):
            spawn_on("not a node", remote.add)
        with pytest.raises(EncodeError):
            spawn_on(b, remote.add, object())

    cluster.run_on("a", main)


def test_spawn_with_wrong_arguments_then_remote_error_where_the_call_itself_fails(cluster: Simulation) -> None:
    async def main() -> None:
        with pytest.raises(RemoteError) as failed:
            await spawn_on(cluster.full_name("b"), remote.where, 1, 2)
        assert failed.value.kind == "TypeError"

    cluster.run_on("a", main)


def test_spawn_link_on_outside_of_a_process_then_not_in_process(cluster: Simulation) -> None:
    async def main() -> Any:
        async def task() -> Any:
            with pytest.raises(NotInProcess):
                await spawn_link_on(cluster.full_name("b"), remote.add, 1)
            return await spawn_on(cluster.full_name("b"), remote.wait_for_ever)

        return await asyncio.create_task(task())

    assert cluster.run_on("a", main).node == cluster.full_name("b")
