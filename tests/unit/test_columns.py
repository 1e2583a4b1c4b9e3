"""Text in columns."""

from __future__ import annotations

import pytest

from zmqcluster.monitoring.columns import columns, count, duration, size


def test_columns_fit_the_longest_value_and_end_without_blanks() -> None:
    assert columns(("A", "LONG"), [("abc", "x"), ("", "")]) == ["A    LONG", "abc  x", ""]


@pytest.mark.parametrize(("seconds", "text"), [(None, ""), (0.0, "0m 00s"), (61.9, "1m 01s"), (3_720, "1h 02m")])
def test_duration(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_count() -> None:
    assert [count(number) for number in (None, 0, 12_345)] == ["", "0", "12,345"]


@pytest.mark.parametrize(
    ("count_bytes", "text"), [(None, ""), (0, "0 B"), (999, "999 B"), (3_210, "3.2 kB"), (41_000_000, "41.0 MB")]
)
def test_size(count_bytes: int | None, text: str) -> None:
    assert size(count_bytes) == text
