"""What is signed counts once, and only for a while; what is remembered is bounded."""

from __future__ import annotations

from zmqcluster.transport.freshness import Freshness

WINDOW_MS = 1_000


def number(value: int) -> bytes:
    return value.to_bytes(16, "big")


def test_first_time_is_fresh_and_second_is_a_replay() -> None:
    freshness = Freshness(WINDOW_MS, 10)
    assert freshness.refusal(number(1), 5_000, 5_000) is None
    assert freshness.refusal(number(1), 5_000, 5_000) == "a replay"
    assert freshness.refusal(number(2), 5_000, 5_000) is None


def test_replay_is_refused_at_any_later_time() -> None:
    freshness = Freshness(WINDOW_MS, 10)
    assert freshness.refusal(number(1), 5_900, 5_000) is None  # its clock is ahead
    assert all(freshness.refusal(number(1), 5_900, now_ms) for now_ms in range(5_000, 20_000, 100))


def test_clocks_may_differ_by_the_window() -> None:
    freshness = Freshness(WINDOW_MS, 10)
    assert freshness.refusal(number(1), 4_000, 5_000) is None
    assert freshness.refusal(number(2), 6_000, 5_000) is None
    assert freshness.refusal(number(3), 3_999, 5_000) == "its clock and ours differ by -1 s, or it is a replay"
    assert freshness.refusal(number(4), 6_001, 5_000) == "its clock and ours differ by +1 s, or it is a replay"


def test_what_is_remembered_is_bounded_and_forgotten_in_time() -> None:
    freshness = Freshness(WINDOW_MS, 10)
    assert [freshness.refusal(number(value), 5_000, 5_000) for value in range(10)] == [None] * 10
    assert freshness.refusal(number(10), 5_000, 5_000) == "too many at once"
    assert len(freshness) == 10
    later_ms = 5_000 + 2 * WINDOW_MS
    assert freshness.refusal(number(11), later_ms, later_ms) is None
    assert len(freshness) == 1
