"""The intervals, their relations, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zmqcluster.constants import SETUP_MS_MAX
from zmqcluster.errors import ConfigError
from zmqcluster.runtime.timing import Timing

PRESETS = {"local": Timing.local(), "lan": Timing.lan(), "wan": Timing.wan()}


def test_presets_then_each_is_slower_than_the_one_before() -> None:
    assert [timing.silence_ms for timing in PRESETS.values()] == [600, 2_000, 10_000]
    assert [timing.beat_ms for timing in PRESETS.values()] == [100, 250, 1_000]


@pytest.mark.parametrize("name", PRESETS)
def test_preset_then_a_stall_shows_before_a_silence_would(name: str) -> None:
    timing = PRESETS[name]
    assert timing.stalled_ms + timing.beat_ms <= timing.silence_ms // 2
    assert timing.goodbye_ms < timing.setup_ms == SETUP_MS_MAX


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"tick_ms": 0}, "tick_ms is at least 1"),
        ({"tick_ms": 101}, "not longer than a beat"),
        ({"silence_ms": 300}, "more than 3 beats"),
        ({"stalled_ms": 49}, "at least 2 ticks"),
        ({"verify_ms": 24}, "verify_ms"),
        ({"goodbye_ms": 7_000}, "goodbye_ms"),
        ({"retry_ms": 0}, "retry_ms"),
        ({"retry_ms": 5_001}, "retry_ms"),
        ({"rejoin_ms": -1}, "rejoin_ms"),
    ],
)
def test_timing_that_cannot_work_then_refused_with_its_rule(change: dict[str, int], rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        replace(Timing.local(), **change)


def test_timing_then_unknown_intervals_are_refused() -> None:
    with pytest.raises(TypeError):
        replace(Timing.local(), heartbeat_ms=5)
