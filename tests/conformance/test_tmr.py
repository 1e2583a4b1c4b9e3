"""TMR: timers. One test per case of the behaviour list, named after it; in virtual time."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import zmqcluster as zc
from tests.support.running import arriving, now_ms, run


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
