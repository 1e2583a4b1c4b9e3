"""Who was turned away: named by address, and never too often."""

from __future__ import annotations

from zmqcluster.transport.refusals import REPORTS_MAX, WINDOW_S, Refusals


class Door:
    """Refusals with a clock set by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.reports: list[tuple[str, str]] = []
        self.refusals = Refusals(self._report, lambda: self.now_s)

    def _report(self, address: str, problem: str) -> None:
        self.reports.append((address, problem))

    def turn_away(self, address: str | None) -> None:
        self.refusals.failed("wrong cookie")
        self.refusals.ended(address)


def test_failed_handshake_is_reported_with_the_address() -> None:
    door = Door()
    door.turn_away("10.0.0.7:40312")
    assert door.reports == [("10.0.0.7:40312", "wrong cookie")]


def test_orderly_end_is_not_reported() -> None:
    door = Door()
    door.refusals.ended("10.0.0.7:40312")
    assert door.reports == []


def test_failure_is_reported_once_not_for_the_next_end() -> None:
    door = Door()
    door.turn_away("10.0.0.7:40312")
    door.refusals.ended("10.0.0.8:40312")
    assert len(door.reports) == 1


def test_connection_nobody_saw_come_has_an_unknown_address() -> None:
    door = Door()
    door.turn_away(None)
    assert door.reports == [("an unknown address", "wrong cookie")]


def test_refusal_without_a_handshake_is_reported_at_once() -> None:
    door = Door()
    door.refusals.refused("10.0.0.7:40312", "too many")
    assert door.reports == [("10.0.0.7:40312", "too many")]


def test_flood_is_cut_off_and_the_rest_counted() -> None:
    door = Door()
    for _ in range(REPORTS_MAX + 25):
        door.turn_away("peer")
    assert len(door.reports) == REPORTS_MAX
    door.now_s += WINDOW_S
    door.turn_away("peer")
    door.turn_away("peer")
    assert door.reports[REPORTS_MAX:] == [
        ("peer", "wrong cookie (25 others were not reported)"),
        ("peer", "wrong cookie"),
    ]
