"""Who was turned away at the door, told to the node at a bounded rate.

    libzmq's monitor: accepted(fd) … failed(problem), disconnected(fd)   --at most 10 a 10 s--> report(address, problem)

libzmq says why a handshake failed, not who failed: the peer's address is asked of the kernel when its connection is
accepted, and found again by the descriptor when that is closed. It is for a human who reads a log; when the loop was
slow and the descriptor is in other use by then, it may be another peer's.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

__all__ = ["Refusals", "peer_address"]

REPORTS_MAX = 10
WINDOW_S = 10.0
UNKNOWN = "an unknown address"


class Refusals:
    """Turns three kinds of monitor events into reports.

    Args:
        report: told the address and the problem.
        clock_s: now.
        address_of: the address of the peer behind an open descriptor.
    """

    def __init__(
        self,
        report: Callable[[str, str], None],
        clock_s: Callable[[], float],
        address_of: Callable[[int], str] | None = None,
    ) -> None:
        self._report = report
        self._clock_s = clock_s
        self._address_of = address_of or peer_address
        self._addresses: dict[int, str] = {}
        self._problem: str | None = None
        self._window_began_s = float("-inf")
        self._reports_count = 0
        self._silenced_count = 0

    def accepted(self, fd: int) -> None:
        """A connection was accepted; its handshake begins."""
        self._addresses[fd] = self._address_of(fd)

    def failed(self, problem: str) -> None:
        """The handshake of the connection that is closed next has failed."""
        self._problem = problem

    def disconnected(self, fd: int) -> None:
        """A connection was closed, after a failed handshake or in order."""
        address = self._addresses.pop(fd, UNKNOWN)
        problem, self._problem = self._problem, None
        if problem is None:
            return
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


def peer_address(fd: int) -> str:
    """Return ``10.0.0.7:40312`` or ``this host``; a descriptor that is closed by now has an unknown address."""
    copy = -1
    try:
        copy = os.dup(fd)
        with socket.socket(fileno=copy) as connection:
            copy = -1  # the connection's to close
            if connection.family == socket.AF_UNIX:
                return "this host"
            host, port = connection.getpeername()[:2]
            return f"{host}:{port}"
    except OSError:
        return UNKNOWN
    finally:
        if copy >= 0:  # by now the descriptor is not a socket's
            os.close(copy)
