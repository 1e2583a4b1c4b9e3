"""Tickets: good once, for a while, at one door, and for nobody without the cookie."""

from __future__ import annotations

import pytest

from zmqcluster.transport.curve import derive
from zmqcluster.transport.keyring import Keyring
from zmqcluster.transport.ticket import WINDOW_MS, Tickets, ticket

NOW_MS = 1_700_000_000_000
DOMAIN = b"links"
NUMBER = bytes(range(16))


class Clock:
    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


def door(*cookies: str) -> tuple[Tickets, Clock]:
    clock = Clock()
    return Tickets(Keyring(*(cookies or ("monster",))), clock), clock


def made(cookie: str = "monster", stamp_ms: int = NOW_MS, domain: bytes = DOMAIN, number: bytes = NUMBER) -> bytes:
    return ticket(derive(cookie), domain, stamp_ms, number)


def test_ticket_is_good_once() -> None:
    tickets, _ = door()
    assert tickets.refusal(DOMAIN, made()) is None
    assert tickets.refusal(DOMAIN, made()) == "a replay"
    assert tickets.refusal(DOMAIN, made(number=bytes(16))) is None


def test_ticket_of_any_listed_cookie_is_good() -> None:
    tickets, _ = door("new", "old")
    assert tickets.refusal(DOMAIN, made("old")) is None
    assert tickets.refusal(DOMAIN, made("new", number=bytes(16))) is None
    assert tickets.refusal(DOMAIN, made("older")) == "another cookie than ours"


def test_recorded_ticket_is_refused_after_the_window_by_its_time() -> None:
    tickets, clock = door()
    clock.now_ms += WINDOW_MS + 1
    assert "clock" in str(tickets.refusal(DOMAIN, made()))


def test_ticket_of_one_door_is_not_good_at_another() -> None:
    tickets, _ = door()
    assert tickets.refusal(b"gossip", made()) == "another cookie than ours"


def test_every_changed_bit_is_found() -> None:
    tickets, _ = door()
    content = bytes.fromhex(made().decode())
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        assert tickets.refusal(DOMAIN, bytes(changed).hex().encode()) is not None
    assert tickets.refusal(DOMAIN, made()) is None  # none of them used it up


@pytest.mark.parametrize("shown", [b"", b"zz", b"\xff", made()[:-2], made() + b"00", b"0" * 120])
def test_what_is_no_ticket_is_refused(shown: bytes) -> None:
    tickets, _ = door()
    assert tickets.refusal(DOMAIN, shown) is not None


def test_ticket_is_not_longer_than_a_password_of_zmtp() -> None:
    assert len(made()) <= 255
