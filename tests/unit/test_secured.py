"""A dial that tries one way after the other, and proves the cookie where the connection does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from zmqcluster._ports import CallableOutlet
from zmqcluster.transport.curve import derive
from zmqcluster.transport.interface import DialEvent
from zmqcluster.transport.keyring import Keyring
from zmqcluster.transport.proof import Identity, Verifier
from zmqcluster.transport.secured import SecuredDial
from zmqcluster.transport.ways import Mechanism, Way

A, B = Identity("a@10.0.0.5", 17), Identity("b@10.0.0.6", 18)
SOURCE = b"\x00\x00\x00\x00\x01"
OLD, NEW = Way(Mechanism.CURVE, derive("old")), Way(Mechanism.CURVE, derive("new"))
CHALLENGE = Way(Mechanism.CHALLENGE, derive("new"))


class FakeDial:
    """One connection of the wire."""

    endpoint = "tcp://10.0.0.6:7101"

    def __init__(self, way: Way, on_event: Callable[[DialEvent], None], on_reply: Callable[[bytes], None]) -> None:
        self.way = way
        self.on_event = on_event
        self.on_reply = on_reply
        self.sent: list[bytes] = []
        self.outlet = CallableOutlet(self._send)
        self.calls: list[str] = []

    def _send(self, frame: bytes) -> bool:
        self.sent.append(frame)
        return True

    def established(self) -> None:
        self.calls.append("established")

    def close(self) -> None:
        self.calls.append("close")


class Table:
    def __init__(self, *ways: Way) -> None:
        self.dials: list[FakeDial] = []
        self.told: list[Any] = []
        self.good: list[Way] = []
        connect: Any = self._connect
        self.dial = SecuredDial(connect, ways, A, self.told.append, self.told.append, self.good.append)

    def _connect(self, way: Way, on_event: Callable[[DialEvent], None], on_reply: Callable[[bytes], None]) -> FakeDial:
        self.dials.append(FakeDial(way, on_event, on_reply))
        return self.dials[-1]

    def prove(self, acceptor: Verifier) -> None:
        """Carry the handshake of the last connection to its end."""
        for number in range(2):
            answer = acceptor.on_frame(SOURCE, self.dials[-1].sent[number])
            assert answer is not None
            self.dials[-1].on_reply(answer)


def test_first_way_that_is_good_is_the_connection() -> None:
    table = Table(NEW, OLD)
    table.dials[0].on_event(DialEvent.CONNECTED)
    assert table.told == [DialEvent.CONNECTED]
    assert (table.good, len(table.dials)) == ([NEW], 1)


@pytest.mark.parametrize("failure", [DialEvent.AUTH_FAILED, DialEvent.HANDSHAKE_FAILED])
def test_next_way_is_tried_and_nobody_hears_of_the_first(failure: DialEvent) -> None:
    table = Table(NEW, OLD)
    table.dials[0].on_event(failure)
    table.dials[1].on_event(DialEvent.CONNECTED)
    assert table.told == [DialEvent.CONNECTED]
    assert table.good == [OLD]
    table.dial.outlet.push_bytes(b"hello")
    assert (table.dials[0].sent, table.dials[1].sent) == ([], [b"hello"])


def test_failure_of_the_last_way_is_told() -> None:
    table = Table(NEW, OLD)
    for dial_number in range(2):
        table.dials[dial_number].on_event(DialEvent.AUTH_FAILED)
    assert table.told == [DialEvent.AUTH_FAILED]
    assert table.good == []


def test_refusal_of_the_port_is_told_at_once_and_no_reason_to_try_another_way() -> None:
    table = Table(NEW, OLD)
    table.dials[0].on_event(DialEvent.REFUSED)
    assert (table.told, len(table.dials)) == ([DialEvent.REFUSED], 1)


def test_connection_without_encryption_is_up_when_both_have_proven_themselves() -> None:
    table = Table(CHALLENGE)
    acceptor = Verifier(Keyring("new"), B)
    table.dials[0].on_event(DialEvent.CONNECTED)
    assert table.told == []
    table.prove(acceptor)
    assert table.told == [DialEvent.CONNECTED]
    assert acceptor.identity(SOURCE) == A
    table.dials[0].on_reply(b"refused")
    table.dials[0].on_event(DialEvent.WRITABLE)
    table.dials[0].on_event(DialEvent.DISCONNECTED)
    assert table.told[1:] == [b"refused", DialEvent.WRITABLE, DialEvent.DISCONNECTED]


def test_frames_before_the_proof_do_not_reach_the_node() -> None:
    table = Table(CHALLENGE)
    table.dials[0].on_event(DialEvent.CONNECTED)
    for frame in (b"", b"\x04anything", b"\xa4" + bytes(32)):
        table.dials[0].on_reply(frame)
    assert table.told == []


def test_connection_that_breaks_in_the_midst_of_the_proofs_has_failed_to_authenticate() -> None:
    table = Table(CHALLENGE)
    table.dials[0].on_event(DialEvent.CONNECTED)
    table.dials[0].on_event(DialEvent.DISCONNECTED)
    assert table.told == [DialEvent.AUTH_FAILED]


def test_calls_go_to_the_connection_there_is() -> None:
    table = Table(NEW, OLD)
    table.dials[0].on_event(DialEvent.AUTH_FAILED)
    table.dial.established()
    table.dial.close()
    assert (table.dials[0].calls, table.dials[1].calls) == ([], ["established", "close"])
    assert table.dial.endpoint == FakeDial.endpoint
