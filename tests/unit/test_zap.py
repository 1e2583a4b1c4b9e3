"""Who is let in: exactly those who show a key or a ticket. The native door answers the same, see test_beat."""

from __future__ import annotations

import pytest

from zmqcluster.transport.keyring import Keyring
from zmqcluster.transport.ticket import TICKET_USER, Tickets, ticket
from zmqcluster.transport.zap import answer, key_refusal, ticket_refusal

KEY, OTHER = bytes(range(32)), bytes(range(32, 64))
KEYS = frozenset((KEY, OTHER))
REQUEST = [b"1.0", b"7", b"zmqcluster", b"10.0.0.7", b"", b"CURVE", KEY]


@pytest.mark.parametrize("key", [KEY, OTHER])
def test_each_of_the_keys_is_admitted(key: bytes) -> None:
    request = [*REQUEST[:6], key]
    assert answer(request, key_refusal(request, KEYS)) == [b"1.0", b"7", b"200", b"OK", b"", b""]


@pytest.mark.parametrize(
    "request_frames",
    [
        [*REQUEST[:6], bytes(32)],
        [*REQUEST[:6], KEY[:31]],
        [*REQUEST[:6], KEY + b"\x00"],
        [*REQUEST[:6], b""],
        [*REQUEST, b""],
        REQUEST[:6],
        [*REQUEST[:5], b"NULL"],
        [*REQUEST[:5], b"PLAIN", KEY],
        [*REQUEST[:5], b"PLAIN", b"user", b"password"],
    ],
)
def test_all_else_is_not(request_frames: list[bytes]) -> None:
    refusal = key_refusal(request_frames, KEYS)
    assert answer(request_frames, refusal) == [b"1.0", b"7", b"400", b"key not admitted", b"", b""]


def test_good_ticket_is_admitted_once() -> None:
    keyring = Keyring("monster")
    tickets = Tickets(keyring, lambda: 1_000_000)
    shown = ticket(keyring.primary, b"links", 1_000_000, bytes(16))
    request = [b"1.0", b"7", b"links", b"10.0.0.7", b"", b"PLAIN", TICKET_USER, shown]
    assert ticket_refusal(request, tickets) is None
    assert ticket_refusal(request, tickets) == "a replay"


@pytest.mark.parametrize(
    "credentials", [[b"PLAIN", b"user", b"password"], [b"PLAIN", TICKET_USER], [b"NULL"], [b"CURVE", KEY]]
)
def test_what_is_no_ticket_is_not_admitted(credentials: list[bytes]) -> None:
    tickets = Tickets(Keyring("monster"), lambda: 0)
    assert ticket_refusal([*REQUEST[:5], *credentials], tickets) == "no ticket"
