"""Processes beyond the conformance cases: how they start, what they inherit, and what is refused where."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from typing import Any

import pytest

import zmqcluster as zc
from tests.support.running import arriving, end_of, forever, run
from zmqcluster.runtime import process

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


async def tell(owner: zc.Pid, *values: Any) -> None:
    zc.send(owner, values)


# --- starting


def test_spawn_when_given_any_callable_then_it_runs_with_its_arguments() -> None:
    async def main() -> None:
        owner = zc.self()
        zc.spawn(tell, owner, "async", 1)
        zc.spawn(zc.send, owner, "plain")
        zc.spawn(functools.partial(tell, owner), "partial")
        zc.spawn(lambda: tell(owner, "lambda"))
        assert await arriving(0) == []
        assert await arriving() == [("async", 1), "plain", ("partial",), ("lambda",)]

    run(main)


@pytest.mark.parametrize("bad", [None, 7, "name"])
def test_spawn_when_given_no_function_then_it_is_refused(bad: Any) -> None:
    async def main() -> None:
        with pytest.raises(zc.ConfigError, match="spawn takes a function"):
            zc.spawn(bad)

    run(main)


def test_spawn_then_the_context_variables_of_the_starter_are_copied() -> None:
    async def changes(owner: zc.Pid) -> None:
        zc.send(owner, VARIABLE.get())
        VARIABLE.set("the child's")

    async def main() -> None:
        VARIABLE.set("the starter's")
        await end_of(zc.spawn(changes, zc.self()))
        assert await arriving(0) == ["the starter's"]
        assert VARIABLE.get() == "the starter's"

    run(main)


def test_process_is_the_current_task_of_asyncio_and_its_name_says_so() -> None:
    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        assert not task.done()
        assert task.get_name().startswith("Process-")

    run(main)


def test_pid_of_an_ended_process_is_not_used_for_its_successor_in_the_table() -> None:
    async def main() -> None:
        pids = []
        for _ in range(50):
            pids.append(zc.spawn(tell, zc.self()))
            await zc.receive()
            await end_of(pids[-1])
        assert len(set(pids)) == 50
        zc.spawn(forever)
        for pid in pids:
            zc.send(pid, "late")
            assert not zc.is_alive(pid)

    run(main)


# --- where it works


OUTSIDE: list[tuple[str, Any]] = [
    ("self", zc.self),
    ("send", lambda: zc.send("x", 1)),
    ("receive", lambda: zc.receive()),
    ("spawn", lambda: zc.spawn(zc.self)),
    ("link", lambda: zc.link(zc.Pid("a@h", 1, 1))),
    ("monitor", lambda: zc.monitor("x")),
    ("trap_exits", lambda: zc.trap_exits()),
    ("whereis", lambda: zc.whereis("x")),
    ("exit", lambda: zc.exit("x")),
    ("call", lambda: zc.call("x", 1)),
    ("cast", lambda: zc.cast("x", 1)),
    ("node", zc.node),
]


@pytest.mark.parametrize(("name", "function"), OUTSIDE, ids=[name for name, _ in OUTSIDE])
def test_api_when_used_outside_of_a_node_then_not_in_process(name: str, function: Any) -> None:
    with pytest.raises(zc.NotInProcess):
        function()


def test_api_in_a_plain_task_of_a_process_then_all_works_that_needs_no_mailbox() -> None:
    async def main() -> None:
        owner = zc.self()

        async def task() -> zc.Pid:
            zc.send(owner, "from the task")
            zc.register("owner", owner)
            assert zc.whereis("owner") == owner
            for needs_process in (zc.self, zc.receive, zc.trap_exits):
                with pytest.raises(zc.NotInProcess):
                    needs_process()
            with pytest.raises(zc.NotInProcess):
                zc.spawn_link(forever)
            return zc.spawn(forever)

        pid = await asyncio.create_task(task())
        assert zc.is_alive(pid)
        assert await arriving(0) == ["from the task"]

    run(main)


def test_receive_of_one_process_when_awaited_by_another_then_it_is_refused() -> None:
    async def steals(pending: Any, owner: zc.Pid) -> None:
        with pytest.raises(zc.NotInProcess):
            await pending
        zc.send(owner, "refused")

    async def main() -> None:
        zc.spawn(steals, zc.receive(lambda _: True), zc.self())
        zc.spawn(steals, zc.receive(), zc.self())
        assert await arriving() == ["refused", "refused"]

    run(main)


# --- arguments


@pytest.mark.parametrize("dest", [None, 7, object(), ("a", "b", "c"), b"name"])
def test_send_when_the_destination_is_none_then_it_says_what_one_is(dest: Any) -> None:
    async def main() -> None:
        with pytest.raises(zc.ConfigError, match="is not a destination"):
            zc.send(dest, "x")

    run(main)


@pytest.mark.parametrize("timeout_s", [-1, float("nan")])
def test_receive_when_the_timeout_is_no_duration_then_it_is_refused(timeout_s: float) -> None:
    async def main() -> None:
        with pytest.raises(zc.ConfigError, match="timeout"):
            await zc.receive(timeout_s=timeout_s)

    run(main)


@pytest.mark.parametrize("arguments", [(), (1, 2), ("pid", "reason"), (1, 2, 3)])
def test_exit_when_the_arguments_fit_neither_form_then_it_is_refused(arguments: tuple[Any, ...]) -> None:
    async def main() -> None:
        with pytest.raises(zc.ConfigError, match="exit takes"):
            zc.exit(*arguments)

    run(main)


def test_receive_by_type_and_by_predicate_then_the_first_that_fits() -> None:
    async def main() -> None:
        for message in ("text", 1, 2, None):
            zc.send(zc.self(), message)
        assert await zc.receive(int) == 1
        assert await zc.receive(lambda message: message is None) is None
        assert await arriving(0) == ["text", 2]

    run(main)


def test_predicate_that_raises_then_the_receiver_gets_it_and_the_mailbox_is_as_before() -> None:
    async def main() -> None:
        zc.send(zc.self(), "text")
        with pytest.raises(ZeroDivisionError):
            await zc.receive(lambda message: 1 / 0)
        assert await arriving(0) == ["text"]

    run(main)


def test_trap_exits_then_the_old_setting_is_returned() -> None:
    async def main() -> None:
        assert zc.trap_exits(True) is False
        assert zc.trap_exits() is True
        assert zc.trap_exits(False) is True

    run(main)


def test_unlink_and_demonitor_of_what_is_not_there_then_nothing_happens() -> None:
    async def main() -> None:
        pid = zc.spawn(forever)
        zc.unlink(pid)
        ref = zc.monitor(pid)
        assert zc.demonitor(ref, info=True) is True
        assert zc.demonitor(ref, info=True) is False
        assert zc.demonitor(ref) is True
        assert await arriving() == []

    run(main)


def test_is_alive_of_a_process_elsewhere_then_it_is_refused() -> None:
    async def main() -> None:
        with pytest.raises(zc.ConfigError, match="another node"):
            zc.is_alive(zc.Pid("b@10.0.0.7:7101", 1, 1))

    run(main)


def test_set_label_then_process_info_shows_it() -> None:
    async def main() -> None:
        zc.set_label(("importer", 7))
        info = zc.process_info(zc.self())
        assert info is not None
        assert (info["label"], info["status"]) == (("importer", 7), "running")

    run(main)


# --- the end


def test_ended_process_runs_its_finally_blocks_before_its_links_are_told() -> None:
    order: list[str] = []

    async def tidies() -> None:
        try:
            await forever()
        finally:
            order.append("tidied")

    async def main() -> None:
        pid, _ = zc.spawn_monitor(tidies)
        await arriving()
        zc.exit(pid, "bang")
        await zc.receive(zc.Down)
        order.append("told")
        assert order == ["tidied", "told"]

    run(main)


def test_finally_block_that_raises_then_it_is_logged_and_the_reason_stays(caplog: pytest.LogCaptureFixture) -> None:
    async def stumbles() -> None:
        try:
            await forever()
        finally:
            raise ValueError("stumbled")

    async def main() -> None:
        pid, ref = zc.spawn_monitor(stumbles)
        await arriving()
        zc.exit(pid, "bang")
        assert await zc.receive() == zc.Down(ref, pid, "bang")

    run(main)
    (record,) = caplog.records
    assert "stumbled" in record.getMessage()


def test_cancelled_process_then_its_links_see_shutdown() -> None:
    async def cancels() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await forever()

    async def main() -> None:
        assert await end_of(zc.spawn(cancels)) == zc.Shutdown("cancelled")

    run(main)


def test_process_that_waits_in_asyncio_then_messages_queue_and_an_exit_signal_ends_it() -> None:
    cancelled: list[str] = []

    async def waits(owner: zc.Pid) -> None:
        try:
            await asyncio.sleep(3600)
        except BaseException as error:
            cancelled.append(type(error).__name__)
            raise

    async def main() -> None:
        pid, ref = zc.spawn_monitor(waits, zc.self())
        await arriving()
        zc.send(pid, "unread")
        await arriving()
        info = zc.process_info(pid)
        assert info is not None
        assert info["queued"] == 1
        zc.exit(pid, "bang")
        assert await zc.receive() == zc.Down(ref, pid, "bang")

    run(main)
    assert cancelled == ["ProcessExit"]


def test_main_when_it_raises_then_run_raises_that_and_when_it_returns_then_run_returns_it() -> None:
    async def fails() -> None:
        raise ZeroDivisionError

    async def answers(value: int) -> int:
        return value + 1

    with pytest.raises(ZeroDivisionError):
        run(fails)
    assert run(answers, 41) == 42


def test_end_of_main_then_every_process_is_ended_in_its_turn() -> None:
    ended: list[int] = []

    async def lives(number: int) -> None:
        try:
            await forever()
        finally:
            ended.append(number)

    async def main() -> None:
        for number in range(3):
            zc.spawn(lives, number)
        await arriving()

    run(main)
    assert ended == [0, 1, 2]


def test_module_exports_what_it_names() -> None:
    assert [name for name in process.__all__ if not hasattr(process, name)] == []
