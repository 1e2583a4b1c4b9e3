from zmqcluster.protocol.clock import COUNT_BITS, DRIFT_MS_MAX, HybridClock


def test_next_when_the_wall_clock_advances_then_time_carries_it() -> None:
    clock = HybridClock()

    assert clock.next(5) >> COUNT_BITS == 5
    assert clock.next(7) >> COUNT_BITS == 7


def test_next_when_the_wall_clock_stands_or_goes_back_then_times_still_grow() -> None:
    clock = HybridClock()

    times = [clock.next(now_ms) for now_ms in (9, 9, 3, 0, 9)]

    assert times == sorted(set(times))
    assert times[-1] >> COUNT_BITS == 9


def test_next_when_more_events_than_counts_fall_in_one_ms_then_times_still_grow() -> None:
    clock = HybridClock()
    clock.last = (4 << COUNT_BITS) + (1 << COUNT_BITS) - 1

    assert clock.next(4) == 5 << COUNT_BITS


def test_observe_when_a_peer_is_ahead_then_our_next_time_is_later() -> None:
    ahead, behind = HybridClock(), HybridClock()
    theirs = ahead.next(10_000)

    behind.observe(theirs, now_ms=0)

    assert behind.next(0) > theirs


def test_observe_when_a_peer_is_behind_then_nothing_changes() -> None:
    clock = HybridClock()
    ours = clock.next(10_000)

    clock.observe(3 << COUNT_BITS, now_ms=10_000)

    assert clock.last == ours


def test_observe_when_a_time_lies_beyond_the_drift_then_it_is_not_followed() -> None:
    clock = HybridClock()

    clock.observe((DRIFT_MS_MAX + 1) << COUNT_BITS, now_ms=0)
    assert clock.last == 0

    clock.observe(DRIFT_MS_MAX << COUNT_BITS, now_ms=0)
    assert clock.last == DRIFT_MS_MAX << COUNT_BITS
