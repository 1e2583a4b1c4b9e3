"""TMR: aliases and timers. One test per case of the behaviour list, named after it; in virtual time."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

import zmqcluster as zc
from tests.support.running import arriving, forever, now_ms, run, run_real


async def answers(times: int, delay_s: float) -> None:
    """Answer each request at its reply address, late and more than once."""
    while True:
        reply_to = await zc.receive(zc.Ref)
        for number in range(times):
            zc.send_after(delay_s, reply_to, ("reply", number))


def test_TMR_01_reply_to_an_alias_that_ended_never_enters_the_mailbox() -> None:
    """Source: process_SUITE:alias_bif; process_test alias."""

    async def main() -> None:
        server = zc.spawn(answers, 1, 0.01)
        active, ended = zc.alias(), zc.alias()
        zc.send(server, active)
        zc.send(server, ended)
        assert zc.unalias(ended) is True
        assert zc.unalias(ended) is False
        assert await arriving(1) == [("reply", 0)]
        info = zc.process_info(zc.self())
        assert info is not None
        assert info["aliases"] == [active]

    run(main)


@pytest.mark.parametrize("mode", ["demonitor", "explicit"])
def test_TMR_01_alias_of_a_monitor_ends_with_the_monitor_unless_explicit(mode: Any) -> None:
    """Source: erlang:monitor/3 with alias."""

    async def main() -> None:
        server = zc.spawn(answers, 1, 0.01)
        ref = zc.monitor(server, alias=mode)
        zc.send(server, ref)
        assert await arriving(0.1) == [("reply", 0)]
        zc.send(server, ref)
        zc.demonitor(ref, flush=True)
        assert await arriving(1) == ([] if mode == "demonitor" else [("reply", 0)])
        assert zc.unalias(ref) is (mode == "explicit")

    run(main)


@pytest.mark.parametrize("mode", ["demonitor", "reply_demonitor", "explicit"])
def test_TMR_01_alias_of_a_monitor_ends_with_its_down_unless_explicit(mode: Any) -> None:
    """Source: erlang:monitor/3: a Down removes the monitor, be the process dead before or not."""

    async def main() -> None:
        dead, ref = zc.spawn_monitor(asyncio.sleep, 0)
        await zc.receive(zc.Down)
        for pid in (dead, zc.spawn(forever)):
            ref = zc.monitor(pid, alias=mode)
            zc.exit(pid, "bang")
            assert (await zc.receive(zc.Down)).ref == ref
            zc.send(ref, "late")
            assert await arriving() == ([] if mode != "explicit" else ["late"])

    run(main)


def test_TMR_02_alias_in_reply_demonitor_mode_ends_with_its_monitor_at_the_first_message() -> None:
    """Source: erlang:monitor/3, as gen_server:call uses it."""

    async def main() -> None:
        server = zc.spawn(answers, 2, 0.01)
        ref = zc.monitor(server, alias="reply_demonitor")
        zc.send(server, ref)
        assert await arriving(0.1) == [("reply", 0)]
        info = zc.process_info(zc.self())
        assert info is not None
        assert (info["monitors"], info["aliases"]) == ([], [])
        zc.exit(server, zc.Kill())
        assert await arriving() == []

    run(main)


def test_alias_mode_there_is_not_is_an_argument_error_and_nothing_is_watched() -> None:
    async def main() -> None:
        with pytest.raises(zc.ConfigError, match="an alias is one of"):
            zc.alias("demonitor")  # type: ignore[arg-type]
        with pytest.raises(zc.ConfigError, match="an alias is one of"):
            zc.monitor(zc.spawn(forever), alias="reply")  # type: ignore[arg-type]
        info = zc.process_info(zc.self())
        assert info is not None and info["monitors"] == []

    run(main)


def test_TMR_01_alias_is_its_owners_and_ends_with_it() -> None:
    """Source: process_SUITE:alias_bif."""

    async def owns(owner: zc.Pid) -> None:
        zc.send(owner, zc.alias())
        await zc.receive("end")

    async def main() -> None:
        pid, _ = zc.spawn_monitor(owns, zc.self())
        alias = await zc.receive(zc.Ref)
        assert zc.unalias(alias) is False
        zc.send(alias, "end")
        assert (await zc.receive(zc.Down)).object == pid
        zc.send(alias, "nobody gets this")
        assert await arriving() == []

    run(main)


def test_TMR_02_alias_in_reply_mode_takes_one_message() -> None:
    """Source: seen on OTP 25."""

    async def main() -> None:
        zc.send(zc.spawn(answers, 2, 0.01), zc.alias("reply"))
        assert await arriving(1) == [("reply", 0)]

    run(main)


def test_TMR_04_message_comes_once_and_not_before_its_time() -> None:
    """Source: timer_bif_SUITE."""

    async def main() -> None:
        zc.send_after(0.05, zc.self(), "tick")
        began_ms = now_ms()
        assert await zc.receive() == "tick"
        assert 50 <= now_ms() - began_ms <= 51
        assert await arriving(1) == []

    run(main)


def test_TMR_04_cancel_before_tells_what_was_left_and_after_tells_it_was_too_late() -> None:
    """Source: erlang:cancel_timer/1. Seconds, as everywhere in this API; None is OTP's false."""

    async def main() -> None:
        ref = zc.send_after(0.05, zc.self(), "never")
        assert await arriving(0.02) == []
        left_s = zc.cancel_timer(ref)
        assert left_s == pytest.approx(0.03, abs=0.001)
        assert zc.cancel_timer(ref) is None
        assert await arriving(1) == []
        fired = zc.send_after(0.01, zc.self(), "tick")
        assert await arriving(0.02) == ["tick"]
        assert zc.cancel_timer(fired) is None

    run(main)


def test_TMR_05_timers_a_millisecond_apart_fire_in_order() -> None:
    """Source: timer_bif_SUITE:send_after_3."""

    async def main() -> None:
        for delays_ms in itertools.permutations((100, 101, 102, 103)):
            for delay_ms in delays_ms:
                zc.send_after(delay_ms / 1000, zc.self(), delay_ms)
            assert await arriving(0.2) == [100, 101, 102, 103]

    run(main)


@pytest.mark.parametrize("delay", [-1, -0.001, "1", None, True, float("nan")])
def test_TMR_07_delay_that_is_none_is_an_argument_error(delay: Any) -> None:
    """Source: timer_bif_SUITE:send_after_e. A float is fine here: delays are seconds."""

    async def main() -> None:
        with pytest.raises(zc.ConfigError, match="delay"):
            zc.send_after(delay, zc.self(), "never")
        assert await arriving() == []

    run(main)


@pytest.mark.parametrize("delay_s", [2**31 / 1000, 2**32, 1e9])
def test_TMR_07_huge_delay_is_accepted_and_cancellable(delay_s: float) -> None:
    """Source: timer_bif_SUITE:send_after_big."""

    async def main() -> None:
        ref = zc.send_after(delay_s, zc.self(), "never")
        assert await arriving(3600) == []
        left_s = zc.cancel_timer(ref)
        assert left_s is not None
        assert left_s > 2**31 / 1000 - 3601

    run(main)


def test_TMR_06_read_timer_tells_what_is_left_and_nothing_when_it_is_over() -> None:
    """Source: erlang:read_timer/1."""

    async def main() -> None:
        ref = zc.send_after(0.05, zc.self(), "tick")
        assert await arriving(0.02) == []
        assert zc.read_timer(ref) == pytest.approx(0.03, abs=0.001)
        assert await arriving(0.1) == ["tick"]
        assert zc.read_timer(ref) is None
        cancelled = zc.send_after(0.05, zc.self(), "never")
        zc.cancel_timer(cancelled)
        assert zc.read_timer(cancelled) is None

    run(main)


@pytest.mark.parametrize("copies", [True, False])
def test_TMR_06_start_timer_sends_its_ref_along(copies: bool) -> None:
    """Source: erlang:start_timer/3."""

    async def main() -> None:
        first = zc.start_timer(0.05, zc.self(), "tick")
        second = zc.start_timer(0.02, zc.self(), "tick")
        assert await arriving(0.1) == [zc.TimerFired(second, "tick"), zc.TimerFired(first, "tick")]
        third = zc.start_timer(0.05, zc.self(), "never")
        assert zc.cancel_timer(third) == pytest.approx(0.05, abs=0.001)
        assert await arriving(0.1) == []
        with pytest.raises(zc.ConfigError, match="delay"):
            zc.start_timer(-1, zc.self(), "never")

    run_real(main, copy_messages=copies)


def test_timer_to_a_name_that_is_free_when_it_fires_is_dropped() -> None:
    """Source: erlang:send_after/3: an unregistered name is no error."""

    async def main() -> None:
        zc.send_after(0.01, "nobody", "x")
        assert await arriving() == []

    run(main)
