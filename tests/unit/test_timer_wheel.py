"""Timers against a sorted list, in virtual time: what fires, when, and in which order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.joined import Mail, World

DELAYS_MS = st.one_of(
    st.integers(0, 200),
    st.integers(0, 10**6),
    st.sampled_from([2**k + d for k in (6, 12, 18, 24, 30, 31, 32) for d in (-1, 0, 1)]),
)
LATE_MS_MAX = 2  # a delay is rounded up to a tick, and a tick is told of at its end
STEPS = st.lists(
    st.tuples(st.just("arm"), DELAYS_MS)
    | st.tuples(st.just("cancel"), st.integers(0, 30))
    | st.tuples(st.just("sleep"), st.one_of(st.integers(0, 300), st.integers(0, 10**7))),
    min_size=1,
    max_size=40,
)


@pytest.fixture
def world() -> Iterator[World]:
    world = World("a")
    yield world
    world.close()
    assert world.problems == []


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_timers_fire_as_a_sorted_list_would(steps: list[tuple[str, int]]) -> None:
    world = World("a")
    node, mail = world["a"], Mail(world["a"])
    armed: dict[int, tuple[int, object]] = {}
    now_ms = 0
    fired_count = 0
    for number, (step, value) in enumerate(steps):
        if step == "arm":
            armed[number] = (now_ms + value, node.send_after(value / 1000, mail.pid, number))
        elif step == "cancel":
            if value in armed:
                left_s = node.cancel_timer(armed.pop(value)[1])
                assert left_s is not None
        else:
            world.sleep(value / 1000)
            now_ms += value
            fired = set(mail.messages[fired_count:])
            fired_count += len(fired)
            due = {key for key, (due_ms, _) in armed.items() if due_ms <= now_ms}
            assert {key for key in due if armed[key][0] <= now_ms - LATE_MS_MAX} <= fired <= due
            for key in fired:
                del armed[key]
            assert fired_count == len(mail.messages)
            assert all(node.read_timer(ref) is not None for _, ref in armed.values())
    world.close()


def test_timers_of_one_tick_fire_in_the_order_of_arming_and_others_by_time(world: World) -> None:
    mail = Mail(world["a"])
    for number, delay_s in enumerate([0.5, 0.1, 0.5, 0.1, 0.064, 0.065, 4.096, 0.0]):
        world["a"].send_after(delay_s, mail.pid, number)
    world.sleep(10.0)
    assert mail.messages == [7, 4, 5, 1, 3, 0, 2, 6]


@pytest.mark.parametrize("days", [30, 365, 796, 800, 1600, 3000])
def test_timers_of_years_neither_spin_nor_fire_early(world: World, days: int) -> None:
    mail, delay_s = Mail(world["a"]), days * 86_400.0
    world["a"].send_after(delay_s, mail.pid, "far")
    world["a"].send_after(0.005, mail.pid, "near")
    world.sleep(1.0)
    assert mail.messages == ["near"]
    world.sleep(delay_s - 2.0)
    assert mail.messages == ["near"]
    world.sleep(2.0)
    assert mail.messages == ["near", "far"]


@pytest.mark.parametrize("delay_s", [float("inf"), 1e300, 2.0**31])
def test_endless_delays_are_only_long(world: World, delay_s: float) -> None:
    mail = Mail(world["a"])
    ref = world["a"].send_after(delay_s, mail.pid, "never")
    world.sleep(1e6)
    assert mail.messages == []
    left_s = world["a"].cancel_timer(ref)
    assert left_s is not None and left_s > 1e8


def test_timer_cancelled_by_one_of_its_own_tick_does_not_fire(world: World) -> None:
    node, mail = world["a"], Mail(world["a"])
    calls = [node.promise(None, 0.005) for _ in range(3)]
    ref = node.send_after(0.005, mail.pid, "late")
    calls[0].add_done_callback(lambda call: calls[2].reply("in time"))
    assert node.cancel_timer(ref) is not None
    assert node.cancel_timer(ref) is None
    world.sleep(0.1)
    assert mail.messages == []
    assert all(call.done() for call in calls)
