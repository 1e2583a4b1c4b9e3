"""SYS: looking into a running server and changing it. One test per case of the behaviour list, named after it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

import zmqcluster as zc
from tests.support.running import arriving, end_of, forever, run
from zmqcluster.otp import sys
from zmqcluster.testing.simulation import Simulation


class Counter(zc.GenServer):
    """Counts what it is asked to add, and keeps a secret."""

    def init(self, count: int = 0) -> None:
        self.count = count
        self.secret = "cookie"
        self.seen: list[Any] = []

    @zc.call
    def add(self, amount: int) -> int:
        self.count += amount
        return self.count

    @zc.call
    async def add_slowly(self, amount: int) -> int:
        await asyncio.sleep(0.1)
        self.count += amount
        return self.count

    def handle_info(self, message: Any) -> None:
        self.seen.append(message)

    def format_status(self) -> Any:
        return {"count": self.count}


class Doubler(Counter):
    """The next version of Counter, as new code would define it."""

    @zc.call
    def add(self, amount: int) -> int:
        self.count += 2 * amount
        return self.count

    async def code_change(self, old_version: Any, extra: Any) -> None:
        self.count += extra
        if old_version != 1:
            raise ValueError(f"cannot come from version {old_version}")


class Unshowable(Counter):
    """Its format_status fails."""

    def format_status(self) -> Any:
        raise RuntimeError("secret")


# --- SYS-01 state


@pytest.mark.parametrize("suspended", [False, True])
def test_SYS_01_get_state_and_replace_state_work_suspended_or_not(suspended: bool) -> None:
    """Source: gen_server_SUITE:get_state, replace_state."""

    async def main() -> None:
        counter = await Counter.start(3)
        if suspended:
            await sys.suspend(counter)
        assert await sys.get_state(counter) == {"count": 3, "secret": "cookie", "seen": []}
        replaced = await sys.replace_state(counter, lambda state: {**state, "count": state["count"] * 10})
        assert replaced["count"] == 30
        assert (await sys.get_state(counter))["count"] == 30
        if suspended:
            await sys.resume(counter)
        assert await counter.add(1) == 31

    run(main)


def test_SYS_01_function_that_fails_is_told_to_the_caller_and_changes_nothing() -> None:
    """Source: gen_server_SUITE:replace_state: {callback_failed, ...}."""

    def fails(state: dict[str, Any]) -> dict[str, Any]:
        state["count"] = 99
        raise KeyError("no")

    async def main() -> None:
        counter = await Counter.start(3)
        with pytest.raises(zc.CallbackFailed) as caught:
            await sys.replace_state(counter, fails)
        assert (caught.value.callback, caught.value.kind) == ("replace_state", "KeyError")
        with pytest.raises(zc.CallbackFailed):
            await sys.replace_state(counter, lambda state: None)  # type: ignore[arg-type, return-value]
        assert (await sys.get_state(counter))["count"] == 3
        assert await counter.add(1) == 4

    run(main)


# --- SYS-02 suspend


def test_SYS_02_suspended_server_answers_system_calls_only_and_resumes_in_order() -> None:
    """Source: sys_SUITE:suspend."""

    async def main() -> None:
        counter = await Counter.start()
        await sys.suspend(counter)
        await sys.suspend(counter)
        with pytest.raises(zc.CallTimeout):
            await counter.add.within(0.05)(1)
        for number in range(1000):
            zc.send(counter, number)
        late = asyncio.ensure_future(counter.add(10))
        assert await arriving() == []
        assert not late.done()
        assert (await sys.get_state(counter))["seen"] == []
        status = await sys.get_status(counter)
        assert (status.status, status.state) == ("suspended", {"count": 0})
        info = zc.process_info(counter.pid)
        assert info is not None
        assert (info["status"], info["queued"]) == ("suspended", 1002)
        await sys.resume(counter)
        await sys.resume(counter)
        assert await late == 11  # the call that timed out was handled too: its caller gave up, not the server
        assert (await sys.get_state(counter))["seen"] == list(range(1000))
        assert (await sys.get_status(counter)).status == "running"

    run(main)


def test_SYS_02_stop_and_the_end_of_the_parent_reach_a_suspended_server_past_what_waits() -> None:
    """Source: sys:suspend_loop takes {'EXIT', Parent, _} and terminate."""

    class Traps(Counter):
        def init(self, count: int = 0) -> None:
            zc.trap_exits(True)
            super().init(count)

    async def parent(owner: zc.Pid) -> None:
        zc.send(owner, (await Traps.start_link()).pid)
        await forever()

    async def main() -> None:
        counter = await Counter.start()
        await sys.suspend(counter)
        zc.send(counter, "waits")
        await zc.stop(counter, timeout_s=1)
        parent_pid = zc.spawn(parent, zc.self())
        child = await zc.receive()
        await sys.suspend(child)
        zc.send(child, "waits")
        zc.exit(parent_pid, zc.Shutdown())
        assert await end_of(child) == zc.Shutdown()

    run(main)


def test_SYS_02_suspend_waits_for_the_async_handler_that_runs() -> None:
    """Source: a system message is a message: it is taken between two others."""

    async def main() -> None:
        counter = await Counter.start()
        adding = asyncio.ensure_future(counter.add_slowly(5))
        await arriving(0.01)
        await sys.suspend(counter)
        assert await adding == 5
        assert (await sys.get_status(counter)).status == "suspended"

    run(main)


# --- SYS-04 debug functions


def counting(state: int, event: sys.Event, server: Any) -> int:
    server.calls.append(event.direction)
    return state + 1


def fails_at_once(state: Any, event: sys.Event, server: Any) -> Any:
    raise RuntimeError("broken debug function")


def done_at_once(state: Any, event: sys.Event, server: Any) -> Any:
    server.calls.append("done")
    return sys.DONE


class Watched(Counter):
    """Keeps what its debug functions write."""

    def init(self, count: int = 0) -> None:
        super().init(count)
        self.calls: list[str] = []


def test_SYS_04_debug_function_installed_twice_runs_once_per_event_until_it_is_removed() -> None:
    """Source: sys_SUITE:install."""

    async def main() -> None:
        server = await Watched.start()
        await sys.install(server, counting, 0, id="c")
        await sys.install(server, counting, 0, id="c")
        assert await server.add(1) == 1
        assert (await sys.get_status(server)).debug == ("c",)
        assert (await sys.get_state(server))["calls"] == ["in", "out"]
        await sys.remove(server, "c")
        await server.add(1)
        await sys.install(server, counting, 0)
        await sys.no_debug(server)
        await server.add(1)
        assert (await sys.get_state(server))["calls"] == ["in", "out"]
        assert (await sys.get_status(server)).debug == ()

    run(main)


def test_SYS_04_debug_function_that_is_done_or_fails_is_removed_and_the_server_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Source: sys_SUITE:install; sys:handle_debug."""

    async def main() -> None:
        server = await Watched.start()
        await sys.install(server, fails_at_once)
        await sys.install(server, done_at_once)
        assert await server.add(1) == 1
        assert await server.add_slowly(1) == 2
        assert (await sys.get_status(server)).debug == ()
        assert (await sys.get_state(server))["calls"] == ["done"]

    run(main)
    assert [record.name for record in caplog.records] == ["zmqcluster.sys"]


def test_SYS_04_trace_log_and_statistics_tell_what_came_in_and_what_went_out(caplog: pytest.LogCaptureFixture) -> None:
    """Source: sys:trace/2, log/2, statistics/2."""

    async def main() -> None:
        server = await Counter.start()
        await sys.trace(server)
        await sys.log(server, 3)
        await sys.statistics(server)
        assert await sys.get_log(server) == []
        await server.add(1)
        zc.send(server, "note")
        await server.add_slowly(2)
        statistics = await sys.get_statistics(server)
        assert statistics is not None
        assert (statistics.messages_in, statistics.messages_out) == (3, 2)
        assert statistics.now_s - statistics.started_s == pytest.approx(0.1)
        slowly = ("call", "add_slowly", (2,), None)
        assert await sys.get_log(server) == [
            sys.Event("out", "note", None),
            sys.Event("in", slowly, None),
            sys.Event("out", slowly, 3),
        ]
        await sys.trace(server, False)
        await sys.statistics(server, False)
        await sys.log(server, 0)
        await server.add(1)
        assert await sys.get_statistics(server) is None
        assert await sys.get_log(server) == []

    with caplog.at_level(logging.INFO, "zmqcluster.trace"):
        run(main)
    lines = [record.getMessage() for record in caplog.records if record.name == "zmqcluster.trace"]
    assert len(lines) == 6
    assert lines[0].endswith("got Call(add(1,))")
    assert lines[-1].endswith("answered Call(add_slowly(2,)) with 3")


# --- SYS-05 format_status


def test_SYS_05_format_status_is_used_by_get_status_and_by_the_crash_log(caplog: pytest.LogCaptureFixture) -> None:
    """Source: gen_server_SUITE:format_all_status."""

    async def main() -> None:
        counter = await Counter.start(7, name="counter")
        status = await sys.get_status(counter)
        assert (status.state, status.names, status.pid) == ({"count": 7}, ("counter",), counter.pid)
        zc.cast(counter, "undefined")
        await end_of(counter.pid)

    run(main)
    (record,) = caplog.records
    assert "{'count': 7}" in record.getMessage()
    assert "cookie" not in record.getMessage()


def test_SYS_05_format_status_that_fails_hurts_neither_the_server_nor_its_report(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Source: gen_server_SUITE:crash_in_format_status."""

    async def main() -> None:
        server = await Unshowable.start()
        assert "format_status raised" in (await sys.get_status(server)).state
        assert await server.add(1) == 1
        zc.cast(server, "undefined")
        assert (await end_of(server.pid)).kind == "UsageError"

    run(main)
    (record,) = caplog.records
    assert "format_status raised" in record.getMessage()


# --- code


def test_change_code_then_the_state_stays_and_the_new_class_serves() -> None:
    """Source: sys:change_code/4 and gen_server code_change/3."""

    async def main() -> None:
        counter = await Counter.start(1)
        await sys.suspend(counter)
        waiting = asyncio.ensure_future(counter.add(1))
        await sys.change_code(counter, Doubler, 1, 100)
        await sys.resume(counter)
        assert await waiting == 103
        assert (await sys.get_status(counter)).server.endswith(":Doubler")
        await sys.suspend(counter)
        await sys.change_code(counter, f"{__name__}:Counter")
        await sys.resume(counter)
        assert await counter.add(1) == 104

    run(main)


def test_change_code_of_a_server_that_is_not_suspended_or_that_fails_then_nothing_changed() -> None:
    """Source: sys_SUITE:change_code."""

    async def main() -> None:
        counter = await Counter.start(1)
        with pytest.raises(zc.UsageError, match="suspend"):
            await sys.change_code(counter, Doubler, 1, 0)
        await sys.suspend(counter)
        with pytest.raises(zc.CallbackFailed, match="cannot come from version 2"):
            await sys.change_code(counter, Doubler, 2, 100)
        for bad in ("nowhere:Nothing", int):
            with pytest.raises(zc.ClusterError):
                await sys.change_code(counter, bad)
        await sys.resume(counter)
        assert await counter.add(1) == 2

    run(main)


# --- from another node


def test_system_calls_from_another_node_then_they_work_but_for_code_which_does_not_travel() -> None:
    """Source: sys works on any process; a fun of another node needs its module there."""
    with Simulation(seed=1, nodes=2) as simulation:
        for name in simulation.names:
            simulation.start(name)

        async def serves() -> zc.Pid:
            return (await Counter.start(3, name="counter")).pid

        async def looks(counter: zc.Pid) -> None:
            await sys.suspend(counter)
            status = await sys.get_status(counter)
            assert (status.pid, status.status, status.state) == (counter, "suspended", {"count": 3})
            assert (await sys.get_state(counter))["secret"] == "cookie"
            with pytest.raises(zc.CallTimeout):
                await Counter.at(counter).add.within(0.05)(1)
            with pytest.raises(zc.EncodeError):
                await sys.replace_state(counter, lambda state: state)
            await sys.log(counter, 2)
            await sys.change_code(counter, f"{__name__}:Doubler", 1, 100)
            await sys.resume(counter)
            assert await Counter.at(counter).add(1) == 3 + 100 + 2 * (1 + 1)  # the call that timed out ran too
            assert [event.direction for event in await sys.get_log(counter)] == ["in", "out"]
            await zc.stop(counter)

        counter = simulation.run_on("b", serves)
        simulation.run_on("a", lambda: looks(counter))
