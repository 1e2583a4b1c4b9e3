"""Functions called on other nodes: the cases RPC-04 to RPC-08."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import remote_functions as remote
from tests.support.running import arriving, now_ms, run
from zmqcluster import _core
from zmqcluster.core import Call, NoReply
from zmqcluster.errors import (
    CallTimeout,
    ClusterError,
    ConfigError,
    EncodeError,
    NoConnectionError,
    NoProcessError,
    NotExported,
    RemoteBusy,
    RemoteError,
    RemoteExit,
    RequestFailed,
)
from zmqcluster.exits import Kill, Killed, Normal
from zmqcluster.ids import Pid
from zmqcluster.otp import erpc
from zmqcluster.otp.erpc import Failed, Returned
from zmqcluster.otp.gen_server import GenServer
from zmqcluster.otp.requests import Requests, send_request
from zmqcluster.runtime import remote as service
from zmqcluster.runtime.node import Node
from zmqcluster.runtime.process import exit, process_info, receive, send
from zmqcluster.runtime.process import self as this_process
from zmqcluster.runtime.run import run_node
from zmqcluster.runtime.spawning import spawn_on
from zmqcluster.testing.clock import VirtualLoop
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


async def outcome(node: str, function: Any, *arguments: Any, **keywords: Any) -> Any:
    """The value of a call, or its exception."""
    try:
        return await erpc.call(node, function, *arguments, **keywords)
    except ClusterError as error:
        return error


# --- RPC-04: the five outcomes


def test_rpc_04_five_results_are_told_apart(cluster: Simulation) -> None:
    b = cluster.full_name("b")

    async def main() -> Any:
        value = await outcome(b, remote.add, 2, other=3)
        raised = await outcome(b, remote.fail, "no")
        own = await outcome(b, remote.fail_as_the_package_does)
        left = await outcome(b, remote.leave, ("for", "good"))
        signalled = [await outcome(b, remote.signal_itself, "die"), await outcome(b, remote.killed)]
        return value, raised, own, left, signalled

    value, raised, own, left, signalled = cluster.run_on("a", main)
    assert value == 5
    assert isinstance(raised, RemoteError)
    assert (raised.node, raised.kind, raised.text, raised.error) == (b, "ValueError", "no", None)
    assert raised.function == f"{remote.__name__}:fail"
    assert raised.trace.startswith("Traceback") and "raise ValueError(text)" in raised.trace
    assert "remote.py" not in raised.trace.replace("remote_functions.py", "")
    assert isinstance(own, RemoteError) and isinstance(own.error, NoProcessError) and own.error.dest == "the ledger"
    assert own.__cause__ is own.error
    assert isinstance(left, RemoteExit) and (left.reason, left.by_signal) == (("for", "good"), False)
    assert [(each.reason, each.by_signal) for each in signalled] == [("die", True), (Killed(), True)]


def test_rpc_04_exit_normal_before_a_value_is_an_exit(cluster: Simulation) -> None:
    async def main() -> Any:
        return await outcome(cluster.full_name("b"), remote.leave, Normal())

    left = cluster.run_on("a", main)
    assert isinstance(left, RemoteExit) and left.reason == Normal()


def test_rpc_04_killed_by_another_process_then_its_reason(cluster: Simulation) -> None:
    b = cluster.full_name("b")

    async def killer() -> None:
        await asyncio.sleep(0.2)
        (pid,) = [pid for pid in cluster.node("b").scheduler.pids() if "wait_for_ever" in label_of(pid)]
        exit(pid, "from elsewhere")

    async def main() -> Any:
        cluster.spawn("b", killer)
        return await outcome(b, remote.wait_for_ever)

    ended = cluster.run_on("a", main)
    assert isinstance(ended, RemoteExit) and (ended.reason, ended.by_signal) == ("from elsewhere", True)


def label_of(pid: Pid) -> str:
    return str((process_info(pid) or {}).get("label"))


def test_rpc_04_killed_before_its_first_step_then_the_caller_is_told_all_the_same(cluster: Simulation) -> None:
    """Whoever kills all processes it sees must not leave a caller waiting."""
    b = cluster.full_name("b")

    class Service(service.RemoteService):
        def perform(self, *arguments: Any) -> None:
            before = set(_core.current_scheduler().pids())
            super().perform(*arguments)
            for pid in set(_core.current_scheduler().pids()) - before:
                _core.current_scheduler().exit(pid, pid, Kill())

    killing = Service()
    cluster.node("b").remote.perform = killing.perform  # type: ignore[method-assign]

    async def main() -> Any:
        return await outcome(b, remote.add, 1, timeout_s=None)

    ended = cluster.run_on("a", main)
    assert isinstance(ended, RemoteExit) and ended.reason == Killed()


def test_rpc_04_result_that_cannot_be_sent_then_the_caller_is_told_so(cluster: Simulation) -> None:
    async def main() -> Any:
        return await outcome(cluster.full_name("b"), remote.unsendable)

    failed = cluster.run_on("a", main)
    assert isinstance(failed, RemoteError) and isinstance(failed.error, EncodeError)


def test_rpc_04_system_exit_then_the_node_goes_on(cluster: Simulation) -> None:
    b = cluster.full_name("b")

    async def main() -> Any:
        return await outcome(b, remote.stop_the_program), await outcome(b, remote.add, 1)

    failed, value = cluster.run_on("a", main)
    assert isinstance(failed, RemoteError) and failed.kind == "SystemExit" and value == 2


def test_rpc_04_wrong_arguments_then_a_type_error_of_there(cluster: Simulation) -> None:
    b = cluster.full_name("b")

    async def main() -> Any:
        return await outcome(b, remote.add), await outcome(b, remote.where, 1, 2)

    for failed in cluster.run_on("a", main):
        assert isinstance(failed, RemoteError) and failed.kind == "TypeError"


def test_rpc_04_error_tells_the_far_traceback_when_it_is_printed(cluster: Simulation) -> None:
    async def main() -> Any:
        return await outcome(cluster.full_name("b"), remote.fail, "no")

    failed = cluster.run_on("a", main)
    assert "raise ValueError(text)" in "".join(failed.__notes__)
    assert str(failed) == f"{remote.__name__}:fail on {cluster.full_name('b')} raised ValueError: no"


def test_rpc_04_on_our_own_node_the_outcomes_are_the_same(cluster: Simulation) -> None:
    a = cluster.full_name("a")

    async def main() -> Any:
        return (
            await outcome(a, remote.add, 1),
            await outcome(a, remote.fail, "no"),
            await outcome(a, remote.leave, "r"),
            await outcome(a, remote.killed),
            await outcome(a, remote.not_exported),
            await outcome(a, remote.sleep_then, 5.0, 1, timeout_s=0.1),
            await outcome(a, remote.me) != this_process(),
        )

    value, raised, left, killed, unknown, late, elsewhere = cluster.run_on("a", main)
    assert (value, raised.kind, left.by_signal, killed.by_signal) == (2, "ValueError", False, True)
    assert isinstance(unknown, NotExported) and isinstance(late, CallTimeout) and elsewhere


def test_rpc_04_on_a_node_without_a_name() -> None:
    async def main() -> None:
        own = this_process().node
        assert await erpc.call(own, remote.add, 1) == 2
        assert isinstance(await outcome(own, remote.fail, "x"), RemoteError)
        pid = await spawn_on(own, remote.echo, this_process())
        send(pid, 1)
        assert await receive(timeout_s=1.0) == ("echo", 1)

    run(main)


def test_rpc_04_arguments_are_copied_where_messages_are() -> None:
    async def main() -> None:
        shared = [1]
        result = await erpc.call(this_process().node, "tests.identity", shared)
        assert result == shared and result is not shared
        with pytest.raises(EncodeError):
            await erpc.call(this_process().node, "tests.identity", object())

    loop = VirtualLoop()
    loop.run(run_node(Node(copy_messages=True), main))
    loop.close()


# --- RPC-05: lost and late


def test_rpc_05_unreachable_then_no_connection(cluster: Simulation) -> None:
    async def main() -> Any:
        return [await outcome(UNREACHABLE, remote.add, 1) for _ in range(2)]

    for failed in cluster.run_on("a", main, WITHIN_MS):
        assert isinstance(failed, NoConnectionError) and failed.node == UNREACHABLE


@pytest.mark.parametrize("how", ["crash", "cut", "disconnect"])
def test_rpc_05_node_lost_during_the_call_then_no_connection(cluster: Simulation, how: str) -> None:
    b = cluster.full_name("b")

    async def lose() -> None:
        await asyncio.sleep(0.2)
        if how == "crash":
            cluster.crash("b")
        elif how == "cut":
            cluster.cut("a", "b")
        else:
            cluster.node("a").disconnect(b)

    async def main() -> Any:
        cluster.spawn("a", lose)
        return await outcome(b, remote.wait_for_ever, timeout_s=None)

    failed = cluster.run_on("a", main)
    assert isinstance(failed, NoConnectionError) and failed.node == b


def test_rpc_05_lost_while_it_runs_then_it_runs_on_there(cluster: Simulation) -> None:
    b = cluster.full_name("b")

    async def main() -> Any:
        async def cut() -> None:
            await asyncio.sleep(0.2)
            cluster.cut("a", "b")

        cluster.spawn("a", cut)
        return await outcome(b, remote.sleep_then, 3.0, "ran on", timeout_s=None)

    assert isinstance(cluster.run_on("a", main), NoConnectionError)
    cluster.run_ms(5_000)
    assert remote.done == ["ran on"]


def test_rpc_05_time_out_then_no_late_result_and_it_runs_on_there(cluster: Simulation) -> None:
    b = cluster.full_name("b")

    async def main() -> Any:
        before_ms = now_ms()
        late = await outcome(b, remote.sleep_then, 1.0, "late", timeout_s=0.3)
        took_ms = now_ms() - before_ms
        return late, took_ms, list(remote.done), await arriving(2.0)

    late, took_ms, done_then, mailbox = cluster.run_on("a", main)
    assert isinstance(late, CallTimeout) and took_ms == pytest.approx(300, abs=5)
    assert late.timeout_s == 0.3 and b in late.server
    assert done_then == [] and mailbox == [] and remote.done == ["late"]


def test_rpc_05_blocked_node_then_time_out_and_not_no_connection(cluster: Simulation) -> None:
    cluster.block("b")

    async def main() -> Any:
        return await outcome(cluster.full_name("b"), remote.add, 1, timeout_s=2.0)

    assert isinstance(cluster.run_on("a", main), CallTimeout)


def test_rpc_05_by_default_a_call_waits_5_s(cluster: Simulation) -> None:
    async def main() -> Any:
        before_ms = now_ms()
        late = await outcome(cluster.full_name("b"), remote.wait_for_ever)
        return late, now_ms() - before_ms

    late, took_ms = cluster.run_on("a", main)
    assert isinstance(late, CallTimeout) and took_ms == pytest.approx(5_000, abs=5)


@pytest.mark.parametrize("timeout_s", [-1, float("nan"), "soon"])
def test_rpc_05_invalid_time_out_then_an_error_here_and_nothing_runs(cluster: Simulation, timeout_s: Any) -> None:
    async def main() -> None:
        for node in (cluster.full_name("a"), cluster.full_name("b")):
            with pytest.raises((ConfigError, TypeError)):
                await erpc.call(node, remote.sleep_then, 0, "must not run", timeout_s=timeout_s)
        await asyncio.sleep(0.1)

    cluster.run_on("a", main)
    assert remote.done == []


# --- RPC-07: many nodes


def test_rpc_07_multicall_then_an_outcome_each_in_the_order_of_the_nodes(cluster: Simulation) -> None:
    a, b = cluster.full_name("a"), cluster.full_name("b")

    async def main() -> Any:
        return await erpc.multicall([a, b, UNREACHABLE, a], remote.where)

    one, two, bad, three = cluster.run_on("a", main, WITHIN_MS)
    assert (one, two, three) == (Returned(a), Returned(b), Returned(a))
    assert isinstance(bad, Failed) and isinstance(bad.error, NoConnectionError)


def test_rpc_07_multicall_then_each_class_of_outcome(cluster: Simulation) -> None:
    nodes = [cluster.full_name(name) for name in "abc"]

    async def main() -> Any:
        raised = await erpc.multicall(nodes, remote.fail, "no")
        exited = await erpc.multicall(nodes, remote.leave, "gone")
        unknown = await erpc.multicall(nodes, "no.such:function")
        return raised, exited, unknown, await erpc.multicall([], remote.add, 1)

    raised, exited, unknown, none = cluster.run_on("a", main)
    assert [type(each.error) for each in raised] == [RemoteError] * 3 and none == []
    assert [(each.error.node, each.error.reason) for each in exited] == [(node, "gone") for node in nodes]
    assert [type(each.error) for each in unknown] == [NotExported] * 3


def test_rpc_07_total_time_is_the_time_out_and_not_the_sum(cluster: Simulation) -> None:
    b, c = cluster.full_name("b"), cluster.full_name("c")

    async def main() -> Any:
        before_ms = now_ms()
        outcomes = await erpc.multicall([b, c] * 5, remote.sleep_then, 1.0, "late", timeout_s=0.5)
        took_ms = now_ms() - before_ms
        in_time = await erpc.multicall([b, c] * 5, remote.sleep_then, 0.4, "x", timeout_s=0.5)
        return outcomes, took_ms, in_time, await arriving(2.0)

    outcomes, took_ms, in_time, mailbox = cluster.run_on("a", main)
    assert [type(each.error) for each in outcomes] == [CallTimeout] * 10
    assert took_ms == pytest.approx(500, abs=5)
    assert in_time == [Returned("x")] * 10 and mailbox == []


def test_rpc_07_argument_that_cannot_be_sent_then_the_mistake_is_the_callers(cluster: Simulation) -> None:
    async def main() -> None:
        await erpc.multicall([cluster.full_name("b")], remote.add, object())

    with pytest.raises(EncodeError):
        cluster.run_on("a", main)


# --- RPC-08: cast


def test_rpc_08_cast_then_at_once_and_it_runs(cluster: Simulation) -> None:
    nodes = [cluster.full_name(name) for name in "abc"]

    async def main() -> Any:
        before_ms = now_ms()
        erpc.cast(nodes[1], remote.sleep_then, 0.1, "cast")
        erpc.multicast([*nodes, UNREACHABLE], remote.sleep_then, 0.2, what="multicast")
        took_ms = now_ms() - before_ms
        return took_ms, await arriving(1.0)

    assert cluster.run_on("a", main) == (0, [])
    assert remote.done == ["cast", *["multicast"] * 3]


def test_rpc_08_errors_of_a_cast_are_silent(cluster: Simulation) -> None:
    b = cluster.full_name("b")

    async def main() -> Any:
        for function, arguments in [
            (remote.fail, ("no",)),
            (remote.leave, ("gone",)),
            (remote.killed, ()),
            (remote.unsendable, ()),
            (remote.add, (1, 2, 3)),
            (remote.not_exported, ()),
        ]:
            erpc.cast(b, function, *arguments)
        erpc.cast(UNREACHABLE, remote.add, 1)
        mailbox = await arriving(1.0)
        return mailbox, await erpc.call(b, remote.add, 1)

    assert cluster.run_on("a", main) == ([], 2)


def test_rpc_08_what_cannot_be_sent_is_no_outcome_but_the_callers_mistake(cluster: Simulation) -> None:
    async def main() -> None:
        with pytest.raises(EncodeError):
            erpc.cast(cluster.full_name("b"), remote.add, object())
        with pytest.raises(ConfigError):
            erpc.cast(cluster.full_name("b"), lambda: None)
        with pytest.raises(ConfigError):
            erpc.cast("no node", remote.add, 1)

    cluster.run_on("a", main)


# --- requests


class Slow(GenServer):
    """Never replies."""

    def handle_call(self, request: Any, caller: Call) -> Any:
        return NoReply() if request == "never" else request


def test_request_awaited_later_then_its_outcome(cluster: Simulation) -> None:
    b = cluster.full_name("b")

    async def main() -> Any:
        request, failing = erpc.send_request(b, remote.sleep_then, 0.2, 7), erpc.send_request(b, remote.fail, "x")
        assert not request.done()
        assert await request == 7 and request.done()
        with pytest.raises(RemoteError) as failed:
            await failing
        return failed.value.text

    assert cluster.run_on("a", main) == "x"


def test_requests_of_functions_and_servers_in_one_collection(cluster: Simulation) -> None:
    b = cluster.full_name("b")

    async def main() -> Any:
        server = await Slow.start()
        requests = Requests(
            [
                erpc.send_request(b, remote.sleep_then, 0.3, "function", label="third"),
                erpc.send_request(b, remote.leave, "gone", label="exit"),
                send_request(server.pid, "server", label="first"),
                erpc.send_request(UNREACHABLE, remote.add, 1, label="lost"),
            ]
        )
        results: dict[str, Any] = {}
        while requests:
            try:
                label, value = await requests.receive(10.0)
                results[label] = value
            except RequestFailed as failed:
                results[failed.label] = failed.error
        return results

    results = cluster.run_on("a", main, WITHIN_MS)
    assert (results["first"], results["third"]) == ("server", "function")
    assert isinstance(results["exit"], RemoteExit) and isinstance(results["lost"], NoConnectionError)


def test_request_abandoned_then_nothing_arrives(cluster: Simulation) -> None:
    async def main() -> Any:
        erpc.send_request(cluster.full_name("b"), remote.sleep_then, 0.1, 1).abandon()
        return await arriving(1.0)

    assert cluster.run_on("a", main) == [] and remote.done == [1]


def test_call_from_a_plain_task_of_a_process(cluster: Simulation) -> None:
    async def main() -> Any:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(erpc.call(cluster.full_name("b"), remote.add, n)) for n in range(5)]
        return [task.result() for task in tasks]

    assert cluster.run_on("a", main) == [1, 2, 3, 4, 5]


# --- exported functions only


def test_call_of_what_is_not_exported_then_refused_and_nothing_ran(cluster: Simulation) -> None:
    b = cluster.full_name("b")

    async def main() -> Any:
        names = [remote.not_exported, "os:system", "builtins:eval", "zmqcluster.otp.erpc:call", "", ":", "a:b:c"]
        return [await outcome(b, name) for name in names]

    refused = cluster.run_on("a", main)
    assert [type(each) for each in refused] == [NotExported] * 7
    assert refused[1].function == "os:system" and remote.done == []


@pytest.mark.parametrize(
    "request_",
    [None, 7, (), ("name",), ("name", (), None, None), (["unhashable"], ()), (7, ()), ("tests.identity", 7)],
)
@pytest.mark.parametrize("method", [service.CALL, service.SPAWN, "$other", "call", None])
def test_call_to_the_node_itself_that_makes_no_sense_then_an_error_and_the_node_goes_on(
    cluster: Simulation, request_: Any, method: str | None
) -> None:
    """What a peer of another make may send."""
    b = cluster.full_name("b")
    sendable = request_ if isinstance(request_, tuple) else (request_,)

    async def main() -> Any:
        with pytest.raises(ClusterError):
            await _core.current_scheduler().call(Pid(b, 0, 0), sendable, 1.0, method)
        return await erpc.call(b, remote.add, 1)

    assert cluster.run_on("a", main) == 2


def test_unknown_options_of_a_process_then_refused(cluster: Simulation) -> None:
    b = cluster.full_name("b")

    async def main() -> Any:
        name = f"{remote.__name__}:add"
        for options in ({"link": True}, {"name": 7}, {"bound": -1}, {"policy": "other", "bound": 1}):
            with pytest.raises(ClusterError):
                await _core.current_scheduler().call(Pid(b, 0, 0), (name, (1,), None), 1.0, service.SPAWN, options)

    cluster.run_on("a", main)


# --- bounds


def test_too_many_at_a_time_then_remote_busy_and_room_again_later(
    cluster: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "REMOTE_CALLS_MAX", 3)
    b = cluster.full_name("b")

    async def main() -> Any:
        running = [erpc.send_request(b, remote.sleep_then, 0.5, number) for number in range(3)]
        await asyncio.sleep(0.1)
        busy = await outcome(b, remote.add, 1)
        for request in running:
            await request
        return busy, await outcome(b, remote.add, 1)

    busy, value = cluster.run_on("a", main)
    assert isinstance(busy, RemoteBusy) and (busy.node, busy.limit) == (b, 3) and value == 2


def test_many_calls_then_no_process_is_left_on_either_side(cluster: Simulation) -> None:
    b = cluster.full_name("b")
    before = [cluster.node(name).scheduler.process_count for name in "ab"]

    async def main() -> None:
        for function, arguments in [(remote.add, (1,)), (remote.fail, ("x",)), (remote.killed, ())] * 20:
            await outcome(b, function, *arguments)

    cluster.run_on("a", main)
    cluster.run_ms(100)
    assert [cluster.node(name).scheduler.process_count for name in "ab"] == before


def test_spawned_process_calls_back_over_the_same_link(cluster: Simulation) -> None:
    """Neither side waits for the other's way to be free."""
    a, b = cluster.full_name("a"), cluster.full_name("b")

    async def main() -> Any:
        return await erpc.call(b, remote.ask_back, a, 20)

    assert cluster.run_on("a", main) == 20


def test_spawn_and_call_after_a_heal_work_again(cluster: Simulation) -> None:
    b = cluster.full_name("b")

    async def main() -> Any:
        return await outcome(b, remote.add, 1, timeout_s=2.0)

    cluster.cut("a", "bc")
    cluster.run_ms(3_000)
    assert isinstance(cluster.run_on("a", main, WITHIN_MS), NoConnectionError | CallTimeout)
    cluster.heal()
    cluster.eventually(lambda: len(cluster.node("a").nodes()) == 2, within_ms=30_000)
    assert cluster.run_on("a", main) == 2

    async def spawned() -> Any:
        pid = await spawn_on(b, remote.echo, this_process())
        send(pid, "again")
        return await receive(timeout_s=1.0)

    assert cluster.run_on("a", spawned) == ("echo", "again")


def test_allowed_module_then_its_functions_need_no_decorator() -> None:
    async def main() -> Any:
        own = this_process().node
        value = await outcome(own, "tests.support.running:now_ms")
        private = await outcome(own, "tests.support.remote_functions:not_exported")
        return value, private, (await spawn_on(own, "tests.support.running:forever")).node == own

    loop = VirtualLoop()
    value, private, is_there = loop.run(run_node(Node(spawn_allow=["tests.support.running"]), main))
    loop.close()
    assert isinstance(value, float) and isinstance(private, NotExported) and is_there
