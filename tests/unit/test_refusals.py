"""Who was turned away: named by address, and never too often."""

from __future__ import annotations

import os
import socket

import pytest

from zmqcluster.transport.refusals import REPORTS_MAX, WINDOW_S, Refusals, peer_address


class Door:
    """Refusals with a clock set by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.reports: list[tuple[str, str]] = []
        self.refusals = Refusals(self._report, lambda: self.now_s, lambda fd: f"peer {fd}")

    def _report(self, address: str, problem: str) -> None:
        self.reports.append((address, problem))

    def turn_away(self, fd: int) -> None:
        self.refusals.accepted(fd)
        self.refusals.failed("wrong cookie")
        self.refusals.disconnected(fd)


def test_failed_handshake_is_reported_with_the_address() -> None:
    door = Door()
    door.refusals.accepted(7)
    door.refusals.accepted(8)
    door.refusals.failed("wrong cookie")
    door.refusals.disconnected(8)
    assert door.reports == [("peer 8", "wrong cookie")]


def test_orderly_end_is_not_reported() -> None:
    door = Door()
    door.refusals.accepted(7)
    door.refusals.disconnected(7)
    assert door.reports == []


def test_failure_is_reported_once_not_for_the_next_end() -> None:
    door = Door()
    door.turn_away(7)
    door.refusals.accepted(7)
    door.refusals.disconnected(7)
    assert len(door.reports) == 1


def test_connection_nobody_saw_come_has_an_unknown_address() -> None:
    door = Door()
    door.refusals.failed("wrong cookie")
    door.refusals.disconnected(7)
    assert door.reports == [("an unknown address", "wrong cookie")]


def test_flood_is_cut_off_and_the_rest_counted() -> None:
    door = Door()
    for _ in range(REPORTS_MAX + 25):
        door.turn_away(7)
    assert len(door.reports) == REPORTS_MAX
    door.now_s += WINDOW_S
    door.turn_away(7)
    door.turn_away(7)
    assert door.reports[REPORTS_MAX:] == [
        ("peer 7", "wrong cookie (25 others were not reported)"),
        ("peer 7", "wrong cookie"),
    ]


def test_peer_of_a_tcp_connection_is_its_address_and_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        with accepted:
            assert peer_address(accepted.fileno()) == f"127.0.0.1:{client.getsockname()[1]}"


def test_peer_of_an_ipc_connection_is_this_host() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert peer_address(one.fileno()) == "this host"


def test_descriptor_that_is_something_else_by_now_is_unknown_and_stays_as_it_was() -> None:
    reading, writing = os.pipe()
    descriptors = os.listdir("/dev/fd")
    assert peer_address(reading) == "an unknown address"
    assert os.listdir("/dev/fd") == descriptors
    os.close(reading)
    assert peer_address(reading) == "an unknown address"
    os.close(writing)


@pytest.mark.parametrize("fd", [-1, 10**6])
def test_descriptor_that_is_none_is_unknown(fd: int) -> None:
    assert peer_address(fd) == "an unknown address"
