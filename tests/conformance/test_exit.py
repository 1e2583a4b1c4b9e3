"""EXIT: exit signals, links and trapping. One test per case of the behaviour list, named after it."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import zmqcluster as zc
from tests.support.running import arriving, forever, run


async def exits_with(reason: Any) -> None:
    zc.exit(reason)


async def linked_to(function: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
    """A process that does not trap exits, linked to one that runs ``function``."""
    zc.spawn_link(function, *arguments)
    await forever()


async def reason_of(function: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
    """The exit reason of a process that runs ``function``."""
    pid, ref = zc.spawn_monitor(function, *arguments)
    down = await zc.receive(lambda message: isinstance(message, zc.Down) and message.ref == ref)
    assert down.object == pid
    return down.reason


def test_EXIT_01_linked_process_dies_with_the_same_abnormal_reason() -> None:
    """Source: erl_link_SUITE:links."""

    async def main() -> None:
        assert await reason_of(linked_to, exits_with, ("bad", 1)) == ("bad", 1)

    run(main)


def test_EXIT_02_normal_end_of_a_link_is_ignored() -> None:
    """Source: Erlang reference manual, Processes: Error handling."""

    async def main() -> None:
        pid, ref = zc.spawn_monitor(linked_to, exits_with, zc.Normal())
        assert await arriving() == []
        assert zc.is_alive(pid)
        assert zc.process_info(pid) is not None
        info = zc.process_info(pid)
        assert info is not None
        assert (info["queued"], info["links"]) == (0, [])
        assert zc.demonitor(ref, info=True)

    run(main)


def test_EXIT_04_kill_cannot_be_trapped_and_links_see_killed() -> None:
    """Source: signal_SUITE:kill2killed; the table of semantics §1."""

    async def stubborn() -> None:
        zc.trap_exits(True)
        await forever()

    async def main() -> None:
        zc.trap_exits(True)
        pid = zc.spawn_link(stubborn)
        assert await arriving() == []
        zc.exit(pid, zc.Kill())
        assert await zc.receive() == zc.Exit(pid, zc.Killed())

    run(main)


def test_EXIT_05_own_exit_with_kill_reaches_links_as_kill_and_is_trappable() -> None:
    """Source: signal_SUITE:kill2killed exit1."""

    async def main() -> None:
        zc.trap_exits(True)
        pid = zc.spawn_link(exits_with, zc.Kill())
        assert await zc.receive() == zc.Exit(pid, zc.Kill())
        assert await reason_of(linked_to, exits_with, zc.Kill()) == zc.Kill()

    run(main)


def test_EXIT_07_exit_of_self_with_normal_ends_it_unless_it_traps() -> None:
    """Source: seen on OTP 25."""

    async def plain() -> None:
        zc.exit(zc.self(), zc.Normal())
        await forever()

    async def traps(owner: zc.Pid) -> None:
        zc.trap_exits(True)
        zc.exit(zc.self(), zc.Normal())
        zc.send(owner, await zc.receive())

    async def main() -> None:
        assert await reason_of(plain) == zc.Normal()
        pid = zc.spawn(traps, zc.self())
        assert await zc.receive() == zc.Exit(pid, zc.Normal())

    run(main)


@pytest.mark.parametrize("then", ["returns", "waits"])
def test_EXIT_08_exit_of_self_survives_no_try_except(then: str, caplog: pytest.LogCaptureFixture) -> None:
    """Source: process_SUITE:t_exit_2_catch."""

    async def swallows() -> None:
        with contextlib.suppress(BaseException):  # what the case is about
            zc.exit(zc.self(), "die")
        if then == "waits":
            await forever()

    async def main() -> None:
        assert await reason_of(swallows) == "die"

    run(main)
    assert caplog.records == []


def test_EXIT_08_exit_signal_survives_a_loop_that_catches_everything() -> None:
    """Source: process_SUITE:t_exit_2_catch; an exit signal is no exception of the program."""

    async def clings() -> None:
        while True:
            with contextlib.suppress(BaseException):  # what the case is about
                await zc.receive()

    async def main() -> None:
        pid, ref = zc.spawn_monitor(clings)
        assert await arriving() == []
        zc.exit(pid, "die")
        assert await zc.receive() == zc.Down(ref, pid, "die")
        assert not zc.is_alive(pid)

    run(main)


def test_EXIT_10_links_are_a_set_so_one_unlink_removes_two_links() -> None:
    """Source: seen on OTP 25."""

    async def main() -> None:
        pid = zc.spawn(forever)
        zc.link(pid)
        zc.link(pid)
        zc.unlink(pid)
        ref = zc.monitor(pid)
        zc.exit(pid, "bang")
        assert await zc.receive() == zc.Down(ref, pid, "bang")

    run(main)


def test_EXIT_11_no_exit_message_arrives_after_unlink_returned() -> None:
    """Source: erl_link_SUITE:otp_5772_link."""

    async def main() -> None:
        zc.trap_exits(True)
        pid = zc.spawn_link(forever)
        zc.exit(pid, "bang")
        zc.unlink(pid)
        flushed = [message for message in await arriving(0) if isinstance(message, zc.Exit)]
        assert len(flushed) <= 1
        assert await arriving() == []
        assert not zc.is_alive(pid)

    run(main)


def test_EXIT_13_exception_carries_itself_and_a_traceback_and_exit_carries_exactly_its_reason() -> None:
    """Source: seen on OTP 25: error -> (E, stack), exit(R) -> R. Python has no throw; a raised BaseException counts."""

    async def raises() -> None:
        raise ValueError("boom")

    async def main() -> None:
        reason = await reason_of(raises)
        assert isinstance(reason, zc.Crashed)
        assert (reason.kind, reason.text) == ("ValueError", "boom")
        assert "in raises" in reason.trace
        assert isinstance(reason.exception, ValueError)
        bare = {"any": ["value"]}
        assert await reason_of(exits_with, bare) is bare

    run(main)


def test_EXIT_14_parent_of_a_child_that_crashes_at_once_gets_its_real_reason() -> None:
    """Source: process_SUITE:spawn_request_link_child_exit."""

    async def main() -> None:
        zc.trap_exits(True)
        pids = [zc.spawn_link(exits_with, number) for number in range(100)]
        assert [await zc.receive() for _ in pids] == [zc.Exit(pid, number) for number, pid in enumerate(pids)]

    run(main)


def test_EXIT_16_chain_of_10_links_dies_with_the_reason_of_the_last() -> None:
    """Source: signal_SUITE:kill2killed spawn_link_line."""

    async def chain(length: int) -> None:
        if length == 1:
            zc.exit("last")
        zc.spawn_link(chain, length - 1)
        await forever()

    async def main() -> None:
        assert await reason_of(chain, 10) == "last"

    run(main)


TABLE: list[tuple[str, bool, Any, str]] = [
    # signal, the receiver traps, reason, what becomes of the receiver
    ("link", False, zc.Normal(), "lives"),
    ("link", True, zc.Normal(), "message"),
    ("link", False, "r", "dies r"),
    ("link", True, "r", "message"),
    ("link", False, zc.Kill(), "dies kill"),
    ("link", True, zc.Kill(), "message"),
    ("exit", False, zc.Normal(), "lives"),
    ("exit", True, zc.Normal(), "message"),
    ("exit", False, zc.Kill(), "dies killed"),
    ("exit", True, zc.Kill(), "dies killed"),
    ("exit", False, "r", "dies r"),
    ("exit", True, "r", "message"),
    ("link to dead", False, zc.NoProcess(), "dies noproc"),
    ("link to dead", True, zc.NoProcess(), "message"),
]


@pytest.mark.parametrize(("signal", "traps", "reason", "outcome"), TABLE)
def test_EXIT_table_row(signal: str, traps: bool, reason: Any, outcome: str) -> None:
    """The exit-signal table of semantics §1, row by row; lost connections are in the cluster tests."""

    async def receiver(owner: zc.Pid, peer: zc.Pid) -> None:
        zc.trap_exits(traps)
        if signal != "exit":
            zc.link(peer)
        zc.send(owner, "ready")
        zc.send(owner, ("got", await zc.receive()))

    async def ends_as_told() -> None:
        zc.exit(await zc.receive())

    async def main() -> None:
        peer = zc.spawn(ends_as_told)
        if signal == "link to dead":
            zc.send(peer, "over")
            assert await arriving() == []
        pid, ref = zc.spawn_monitor(receiver, zc.self(), peer)
        assert await zc.receive() == "ready"
        if signal == "link":
            zc.send(peer, reason)
        elif signal == "exit":
            zc.exit(pid, reason)
        sender = zc.self() if signal == "exit" else peer
        expected = {
            "lives": [],
            "message": [("got", zc.Exit(sender, reason)), zc.Down(ref, pid, zc.Normal())],
            "dies r": [zc.Down(ref, pid, "r")],
            "dies killed": [zc.Down(ref, pid, zc.Killed())],
            "dies kill": [zc.Down(ref, pid, zc.Kill())],
            "dies noproc": [zc.Down(ref, pid, zc.NoProcess())],
        }
        assert await arriving() == expected[outcome]

    run(main)
