"""The records of other nodes: found by name and connection, bounded, and forgotten when nothing is known."""

from __future__ import annotations

import pytest

from tests.support.sessions import FROM_B, A, greeted, hello, session
from zmqcluster.protocol.session import Session
from zmqcluster.protocol.steps import ConnectAsked
from zmqcluster.runtime import peers as module
from zmqcluster.runtime.peers import Peers


def made(name: str) -> Session:
    return session(A, name)


def test_record_then_the_same_again() -> None:
    peers = Peers(made)
    assert peers.get("b@h") is None
    assert peers.record("b@h") is peers.record("b@h") is peers.get("b@h")


def test_bind_then_found_by_its_last_connection_only() -> None:
    peers = Peers(made)
    peer = peers.record("b@h")
    peers.bind(peer, b"first")
    peers.bind(peer, b"second")
    assert (peers.behind(b"first"), peers.behind(b"second")) == (None, peer)
    peers.unbind(peer)
    assert peers.behind(b"second") is None


def test_stranger_then_forgotten_but_not_who_made_an_offer_or_is_being_dialled() -> None:
    peers = Peers(made)
    stranger, known, dialled = (peers.record(name) for name in ("s@h", "k@h", "d@h"))
    known.session = session()
    known.session.on(hello(), 0, FROM_B)
    known.session.on(hello(8, 2, to="wrong"), 0, FROM_B)
    dialled.session.on(ConnectAsked(("tcp://10.0.0.9:1",)), 0)
    for peer in (stranger, known, dialled):
        peers.forget_stranger(peer)
    assert peers.all() == [known, dialled]


def test_forgotten_and_made_anew_then_the_old_record_cannot_take_the_new_one_away() -> None:
    peers = Peers(made)
    old = peers.record("b@h")
    peers.forget_stranger(old)
    new = peers.record("b@h")
    peers.forget_stranger(old)
    assert peers.get("b@h") is new


def test_too_many_then_an_idle_one_makes_room_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PEERS_MAX", 2)
    peers = Peers(lambda name: greeted() if name == "busy@h" else made(name))
    for name in ("busy@h", "idle@h", "new@h"):
        peers.record(name)
    assert [peer.name for peer in peers.all()] == ["busy@h", "new@h"]
