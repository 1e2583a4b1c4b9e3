"""The timer wheel of the core against a sorted list: nothing early, nothing late by more than a tick, nothing lost."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable

import pytest

import zmqcluster as zc
from tests.support.running import arriving, forever, now_ms, run

HOUR_MS = 3_600_000
TICK_MS = 1.0

SPREADS: dict[str, Callable[[random.Random], float]] = {
    "within the first level": lambda chance: chance.randint(1, 63),
    "over all levels": lambda chance: 2 ** chance.uniform(0, 26),
    "around the borders of levels": lambda chance: 64 ** chance.randint(1, 4) + chance.randint(-2, 2),
    "fractions of a tick": lambda chance: chance.uniform(0, 5),
    "at one moment": lambda chance: 1000,
}


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("seed", range(3))
def test_timers_when_many_are_set_then_each_fires_at_its_time(spread: str, seed: int) -> None:
    chance = random.Random(f"{spread} {seed}")

    async def main() -> None:
        delays_ms = [SPREADS[spread](chance) for _ in range(300)]
        for number, delay_ms in enumerate(delays_ms):
            zc.send_after(delay_ms / 1000, zc.self(), number)
        fired: list[int] = []
        for _ in delays_ms:
            number = await zc.receive()
            fired.append(number)
            late_ms = now_ms() - delays_ms[number]
            assert -0.001 <= late_ms <= TICK_MS + 0.001
        assert sorted(fired) == list(range(300))
        whole_ms = [int(delays_ms[number]) for number in fired]
        assert all(earlier <= later + TICK_MS for earlier, later in itertools.pairwise(whole_ms))

    run(main)


@pytest.mark.parametrize("seed", range(3))
def test_timers_when_set_and_cancelled_at_random_then_only_the_others_fire(seed: int) -> None:
    chance = random.Random(seed)

    async def main() -> None:
        due_ms: dict[zc.Ref, float] = {}
        numbers: dict[zc.Ref, int] = {}
        for number in range(500):
            delay_ms = SPREADS["over all levels"](chance) / 100
            ref = zc.send_after(delay_ms / 1000, zc.self(), number)
            due_ms[ref], numbers[ref] = now_ms() + delay_ms, number
            if chance.random() < 0.5:
                cancelled = chance.choice(list(due_ms))
                left_s = zc.cancel_timer(cancelled)
                left_ms = due_ms.pop(cancelled) - now_ms()
                if left_s is None:
                    assert left_ms <= TICK_MS
                else:
                    assert left_s * 1000 == pytest.approx(left_ms, abs=TICK_MS + 0.001)
                    del numbers[cancelled]
            await asyncio.sleep(chance.expovariate(0.1) / 1000)
        told = await arriving(24 * HOUR_MS / 1000)
        assert sorted(told) == sorted(numbers.values())

    run(main)


def test_receive_timeout_when_a_message_comes_first_then_no_timeout_is_left_behind() -> None:
    async def main() -> None:
        for number in range(100):
            zc.send_after(0.001, zc.self(), number)
            assert await zc.receive(timeout_s=0.5) == number
        began_ms = now_ms()
        with pytest.raises(TimeoutError):
            await zc.receive(timeout_s=0.5)
        assert now_ms() - began_ms == pytest.approx(500, abs=1)

    run(main)


def test_selective_receive_when_others_come_then_its_timeout_does_not_start_again() -> None:
    async def main() -> None:
        for number in range(1, 10):
            zc.send_after(number / 10, zc.self(), number)
        with pytest.raises(TimeoutError):
            await zc.receive(lambda message: message == "never", timeout_s=0.55)
        assert now_ms() == pytest.approx(550, abs=1)
        assert await arriving(1) == list(range(1, 10))

    run(main)


def test_timer_set_in_the_turn_of_another_then_it_fires_in_its_own_time() -> None:
    async def main() -> None:
        for _ in range(200):
            began_ms = now_ms()
            zc.send_after(0.001, zc.self(), "tick")
            await zc.receive()
            assert 1 <= now_ms() - began_ms + 0.001 <= 2.002

    run(main)


def test_timer_of_a_process_that_ended_then_it_fires_into_nothing() -> None:
    async def main() -> None:
        pid = zc.spawn(forever)
        zc.send_after(0.05, pid, "late")
        zc.exit(pid, zc.Kill())
        assert await arriving(1) == []

    run(main)


def test_read_timer_then_the_seconds_left_shrink_and_end_in_none() -> None:
    async def main() -> None:
        scheduler = zc.node().scheduler
        ref = zc.send_after(1, zc.self(), "tick")
        assert scheduler.read_timer(ref) == pytest.approx(1, abs=0.001)
        await arriving(0.4)
        assert scheduler.read_timer(ref) == pytest.approx(0.6, abs=0.002)
        await arriving(1)
        assert scheduler.read_timer(ref) is None

    run(main)
