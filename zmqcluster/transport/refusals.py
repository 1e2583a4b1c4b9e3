"""Who was turned away at the door, told to the node at a bounded rate.

    failed(problem), ended(address)   ──┐
    refused(address, problem)         ──┴──at most 10 a 10 s──> report(address, problem)

libzmq says why a handshake failed, not whose: it is the connection that is closed next. The address is for a human who
reads a log; when the loop was slow it may be another peer's.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["UNKNOWN", "Refusals"]

REPORTS_MAX = 10
WINDOW_S = 10.0
UNKNOWN = "an unknown address"


class Refusals:
    """Turns monitor events into reports.

    Args:
        report: told the address and the problem.
        clock_s: now.
    """

    def __init__(self, report: Callable[[str, str], None], clock_s: Callable[[], float]) -> None:
        self._report = report
        self._clock_s = clock_s
        self._problem: str | None = None
        self._window_began_s = float("-inf")
        self._reports_count = 0
        self._silenced_count = 0

    def failed(self, problem: str) -> None:
        """The handshake of the connection that is closed next has failed; the first reason counts."""
        self._problem = self._problem or problem

    def ended(self, address: str | None) -> None:
        """A connection was closed, after a failed handshake or in order."""
        problem, self._problem = self._problem, None
        if problem is not None:
            self.refused(address or UNKNOWN, problem)

    def refused(self, address: str, problem: str) -> None:
        """Somebody was turned away."""
        if self._may_report():
            silenced, self._silenced_count = self._silenced_count, 0
            self._report(address, f"{problem} ({silenced} others were not reported)" if silenced else problem)
        else:
            self._silenced_count += 1

    def _may_report(self) -> bool:
        now_s = self._clock_s()
        if now_s - self._window_began_s >= WINDOW_S:
            self._window_began_s, self._reports_count = now_s, 0
        self._reports_count += 1
        return self._reports_count <= REPORTS_MAX
