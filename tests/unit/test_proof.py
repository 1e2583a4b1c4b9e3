"""The proofs of a connection that is not encrypted: mutual, fresh on both sides, and good for nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from zmqcluster.transport import proof
from zmqcluster.transport.curve import derive
from zmqcluster.transport.keyring import Keyring
from zmqcluster.transport.proof import ADMITTED_MAX, Identity, Prover, Verifier

A, B, C = Identity("a@10.0.0.5", 17), Identity("b@10.0.0.6", 18), Identity("c@10.0.0.7", 19)
SOURCE, OTHER_SOURCE = b"\x00\x00\x00\x00\x01", b"\x00\x00\x00\x00\x02"
COOKIE = "monster"


@dataclass
class Exchange:
    """What crossed the wire of one successful handshake."""

    asked: bytes
    challenge: bytes
    proved: bytes
    confirmed: bytes


def verifier(own: Identity = B, *cookies: str) -> Verifier:
    return Verifier(Keyring(*(cookies or (COOKIE,))), own)


def prover(own: Identity = A, cookie: str = COOKIE) -> Prover:
    return Prover(derive(cookie), own)


def exchange(dialler: Prover, acceptor: Verifier, source: bytes = SOURCE) -> Exchange:
    asked = dialler.ask()
    challenge = acceptor.on_frame(source, asked)
    assert challenge is not None
    proved = dialler.on_reply(challenge)
    assert proved is not None
    confirmed = acceptor.on_frame(source, proved)
    assert confirmed is not None
    assert dialler.on_reply(confirmed) is None
    return Exchange(asked, challenge, proved, confirmed)


def test_both_sides_prove_and_know_each_other() -> None:
    dialler, acceptor = prover(), verifier()
    assert acceptor.identity(SOURCE) is None
    exchange(dialler, acceptor)
    assert dialler.is_done
    assert acceptor.identity(SOURCE) == A
    assert acceptor.identity(OTHER_SOURCE) is None


def test_any_listed_cookie_is_good() -> None:
    dialler, acceptor = prover(cookie="old"), verifier(B, "new", "old")
    exchange(dialler, acceptor)
    assert dialler.is_done


def test_dialler_without_the_cookie_is_told_nothing() -> None:
    assert verifier().on_frame(SOURCE, prover(cookie="another").ask()) is None


def test_dialler_that_guesses_the_id_of_the_key_gets_a_challenge_and_no_proof() -> None:
    acceptor, thief = verifier(), prover(cookie="another")
    asked = thief.ask()[:2] + derive(COOKIE).mark + thief.ask()[6:]
    challenge = acceptor.on_frame(SOURCE, asked)
    assert challenge is not None
    forged = thief.on_reply(challenge)
    assert forged is not None
    assert acceptor.on_frame(SOURCE, forged[:49] + asked) is None
    assert acceptor.identity(SOURCE) is None


def test_acceptor_without_the_cookie_is_not_believed() -> None:
    dialler = prover()
    asked = dialler.ask()
    thief = verifier(B, "another")
    challenge = bytes((proof.CHALLENGE,)) + bytes(16) + B.pack()
    assert dialler.on_reply(challenge) is not None
    for forged in (b"", bytes((proof.PROVED,)), bytes((proof.PROVED,)) + bytes(32), asked):
        dialler.on_reply(forged)
    assert thief.on_frame(SOURCE, asked) is None
    assert not dialler.is_done


def test_recorded_proof_is_worth_nothing_on_another_connection() -> None:
    acceptor = verifier()
    recorded = exchange(prover(), acceptor)
    assert acceptor.on_frame(OTHER_SOURCE, recorded.asked) != recorded.challenge
    assert acceptor.on_frame(OTHER_SOURCE, recorded.proved) is None
    assert acceptor.identity(OTHER_SOURCE) is None


def test_recorded_proof_is_worth_nothing_to_the_next_life_of_the_acceptor() -> None:
    recorded = exchange(prover(), verifier())
    assert verifier().on_frame(SOURCE, recorded.proved) is None
    assert verifier(Identity(B.name, 99)).on_frame(SOURCE, recorded.proved) is None


def test_recorded_answers_are_worth_nothing_to_another_dialler() -> None:
    recorded = exchange(prover(), verifier())
    dialler = prover()
    dialler.ask()
    dialler.on_reply(recorded.challenge)
    dialler.on_reply(recorded.confirmed)
    assert not dialler.is_done


def test_reflected_frames_prove_nothing() -> None:
    """A stranger sends back to a node what that node has sent it, in both roles."""
    node_dials, node_accepts = prover(A), verifier(A)
    challenge = node_accepts.on_frame(SOURCE, node_dials.ask())  # the stranger dials it, with its own ASK
    assert challenge is not None
    proved = node_dials.on_reply(challenge)
    assert proved is not None
    node_dials.on_reply(bytes((proof.PROVED,)) + proved[17:49])  # its own proof, as that of the acceptor
    assert not node_dials.is_done
    mac = proved[17:49]
    assert node_accepts.on_frame(OTHER_SOURCE, proved) is None
    assert mac != node_accepts.on_frame(SOURCE, proved)[1:]  # type: ignore[index]


@pytest.mark.parametrize("who", [Identity("x@10.0.0.5", A.incarnation), Identity(A.name, A.incarnation + 1)])
def test_proof_is_bound_to_name_and_incarnation_of_the_dialler(who: Identity) -> None:
    acceptor, dialler = verifier(), prover()
    challenge = acceptor.on_frame(SOURCE, dialler.ask())
    assert challenge is not None
    proved = dialler.on_reply(challenge)
    assert proved is not None
    assert acceptor.on_frame(SOURCE, proved[: -len(A.pack())] + who.pack()) is None
    assert acceptor.identity(SOURCE) is None


@pytest.mark.parametrize("who", [C, Identity(B.name, B.incarnation + 1)])
def test_proof_is_bound_to_name_and_incarnation_of_the_acceptor(who: Identity) -> None:
    acceptor, dialler = verifier(), prover()
    challenge = acceptor.on_frame(SOURCE, dialler.ask())
    assert challenge is not None
    proved = dialler.on_reply(challenge[:17] + who.pack())
    assert proved is not None
    assert acceptor.on_frame(SOURCE, proved) is None


def test_every_changed_bit_of_a_proof_is_found() -> None:
    acceptor, dialler = verifier(), prover()
    challenge = acceptor.on_frame(SOURCE, dialler.ask())
    assert challenge is not None
    proved = dialler.on_reply(challenge)
    assert proved is not None
    for place in range(1, len(proved)):
        changed = bytearray(proved)
        changed[place] ^= 1
        assert acceptor.on_frame(SOURCE, bytes(changed)) is None
    assert acceptor.on_frame(SOURCE, proved) is not None


def test_every_prefix_of_a_frame_is_dropped() -> None:
    recorded = exchange(prover(), verifier())
    for frame in (recorded.asked, recorded.proved):
        assert [verifier().on_frame(SOURCE, frame[:end]) for end in range(len(frame))] == [None] * len(frame)
    for end in range(len(recorded.challenge)):
        dialler = prover()
        dialler.ask()
        assert dialler.on_reply(recorded.challenge[:end]) is None


def test_half_handshakes_are_not_remembered() -> None:
    acceptor = verifier()
    for number in range(1_000):
        assert acceptor.on_frame(number.to_bytes(5, "big"), prover().ask()) is not None
    assert len(acceptor._admitted) == 0


def test_connections_that_are_remembered_are_bounded_and_those_in_use_stay() -> None:
    acceptor = verifier()
    dialler = prover()
    exchange(dialler, acceptor)
    for number in range(ADMITTED_MAX + 10):
        assert acceptor.identity(SOURCE) == A
        acceptor._admit(number.to_bytes(6, "big"), dialler.ask())
    assert acceptor.identity(SOURCE) == A
    assert len(acceptor._admitted) == ADMITTED_MAX


def test_challenge_after_the_first_is_ignored() -> None:
    acceptor, dialler = verifier(), prover()
    challenge = acceptor.on_frame(SOURCE, dialler.ask())
    assert challenge is not None
    assert dialler.on_reply(challenge) is not None
    assert dialler.on_reply(challenge) is None
