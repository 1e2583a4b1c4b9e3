"""Backoff: the waits it gives, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from zmqcluster.errors import ConfigError
from zmqcluster.otp.backoff import Backoff


def waits(backoff: Backoff, count: int) -> list[float]:
    found: list[float] = []
    for _ in range(count):
        found.append(backoff.after_s(found[-1] if found else None))
    return found


def test_waits_grow_by_the_factor_up_to_the_longest() -> None:
    assert waits(Backoff(first_s=0.5, factor=2, max_s=3), 5) == [0.5, 1.0, 2.0, 3, 3]
    assert waits(Backoff(first_s=1, factor=1), 3) == [1, 1, 1]


def test_waits_when_there_were_very_many_then_the_longest() -> None:
    assert waits(Backoff(first_s=0.1, factor=10, max_s=60), 10_000)[-1] == 60


def test_reset_is_after_the_longest_wait_unless_told() -> None:
    assert [Backoff(max_s=30).is_over(lived_s) for lived_s in (0, 29.9, 30)] == [False, False, True]
    assert [Backoff(max_s=30, reset_after_s=5).is_over(lived_s) for lived_s in (4.9, 5)] == [False, True]


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"first_s": 0}, "first_s is more than 0"),
        ({"first_s": "1"}, "first_s is more than 0"),
        ({"first_s": float("nan")}, "first_s is more than 0"),
        ({"factor": 0.5}, "factor is at least 1"),
        ({"factor": True}, "factor is at least 1"),
        ({"first_s": 2.0, "max_s": 1.0}, "max_s is at least first_s"),
        ({"reset_after_s": 0}, "reset_after_s is None or more than 0"),
    ],
)
def test_values_that_make_no_sense_are_refused_with_their_rule(wrong: dict[str, Any], rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        Backoff(**wrong)
