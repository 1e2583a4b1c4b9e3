"""TMR: aliases and timers. One test per case of the behaviour list, named after it; in virtual time."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import zmqcluster as zc
from tests.support.running import arriving, now_ms, run


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


def test_TMR_01_alias_of_a_monitor_ends_with_the_monitor() -> None:
    """Source: erlang:monitor/3 with alias, as gen_server:call uses it."""

    async def main() -> None:
        server = zc.spawn(answers, 1, 0.01)
        ref = zc.monitor(server, alias="explicit")
        zc.send(server, ref)
        assert await arriving(0.1) == [("reply", 0)]
        zc.send(server, ref)
        zc.demonitor(ref, flush=True)
        assert await arriving(1) == []

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


def test_timer_to_a_name_that_is_free_when_it_fires_is_dropped() -> None:
    """Source: erlang:send_after/3: an unregistered name is no error."""

    async def main() -> None:
        zc.send_after(0.01, "nobody", "x")
        assert await arriving() == []

    run(main)
