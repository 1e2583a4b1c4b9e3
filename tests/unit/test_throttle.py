"""Each key once per interval, and a bounded memory."""

from __future__ import annotations

from zmqcluster.runtime.throttle import Throttle


def test_key_then_it_passes_once_per_interval() -> None:
    throttle = Throttle(interval_ms=100)
    assert [throttle.passes("a", now_ms) for now_ms in (0, 50, 99, 100, 150, 200)] == [1, 0, 0, 1, 0, 1]


def test_keys_then_each_has_its_own_interval() -> None:
    throttle = Throttle(interval_ms=100)
    assert throttle.passes("a", 0) and throttle.passes("b", 50)
    assert throttle.passes("a", 100) and not throttle.passes("b", 100)


def test_many_keys_then_the_latest_are_remembered() -> None:
    throttle = Throttle(interval_ms=100, keys_max=3)
    for key in "abc":
        throttle.passes(key, 0)
    throttle.passes("d", 1)
    assert not throttle.passes("d", 2) and not throttle.passes("b", 2)
    assert throttle.passes("a", 2)
