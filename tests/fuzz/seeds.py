"""Writes the corpus anew: what honest nodes say, whole, for the fuzzers to change. ``python -m tests.fuzz.seeds``

What once was a finding stays in the corpus under ``found-...`` and is not touched.
"""

from __future__ import annotations

import datetime
import decimal
import struct
import uuid
from pathlib import Path
from typing import Any

from tests.fuzz.targets import COOKIE, NOW_MS, OWN, PEER, with_parts
from tests.support import sessions
from zmqcluster.core import encode
from zmqcluster.ids import Pid, Ref
from zmqcluster.protocol.handshake import Goodbye, GoodbyeAck, Ready, Refused
from zmqcluster.transport.curve import derive
from zmqcluster.transport.keyring import Keyring
from zmqcluster.transport.proof import Prover, Verifier
from zmqcluster.transport.sealed import Sealer
from zmqcluster.transport.ticket import TICKET_USER, ticket
from zmqcluster.wire.datagrams import Knock, encode_knock
from zmqcluster.wire.frames import Kind, beat_prefix, delta_frame
from zmqcluster.wire.schema import encode_control

CORPUS = Path(__file__).parent / "corpus"
PID, REF = Pid("a@10.0.0.1:7100", 17, 5), Ref("a@10.0.0.1:7100", 17, 9)

VALUES: dict[str, Any] = {
    "scalars": [None, True, False, 1.5, float("inf"), "", "zakāt", b"\0"],
    "numbers": [0, -1, 127, 128, -129, 2**16, -(2**31), 2**63],
    "big": [2**64, -(2**80), "x" * 300, b"y" * 300],
    "nested": {"a": [{"b": (1, 2, {3}, frozenset({4}))}], 5: {"c": {}}},
    "library": [datetime.datetime(2026, 1, 2, 3, 4, 5), decimal.Decimal("1.50"), uuid.UUID(int=7)],
    "addresses": [PID, REF, ("name", "b@10.0.0.2:7100")],
}


def control_frames() -> dict[str, bytes]:
    greeted = [sessions.hello(), sessions.welcome()]
    others = [Ready(sessions.B, 7), Refused(7, "cluster", "no"), Goodbye(7), GoodbyeAck(7)]
    seeds = {type(message).__name__.lower(): with_parts(encode_control(message)) for message in greeted + others}
    seeds["session"] = with_parts(*(encode_control(message) for message in greeted + others))
    return seeds


def proofs() -> dict[str, bytes]:
    """Genuine ones, of other connections than the fuzzer's."""
    prover, verifier = Prover(derive(COOKIE), OWN), Verifier(Keyring(COOKIE), PEER)
    asked = prover.ask()
    challenge = verifier.on_frame(b"another source", asked)
    assert challenge
    proved = prover.on_reply(challenge)
    assert proved
    confirmed = verifier.on_frame(b"another source", proved)
    assert confirmed
    return {"dialler": with_parts(asked, proved), "acceptor": with_parts(challenge, confirmed)}


def datagrams() -> dict[str, bytes]:
    sealer = Sealer(Keyring(COOKIE), lambda: NOW_MS)
    knock = Knock(Kind.PING, OWN.incarnation, OWN.name, 12)
    return {
        "sealed": sealer.seal(b"genuine"),
        "old": Sealer(Keyring(COOKIE), lambda: NOW_MS - 10**9).seal(b"genuine"),
        "foreign": Sealer(Keyring("another"), lambda: NOW_MS).seal(b"forged"),
        "knock": encode_knock(knock, 77),
        "beat": beat_prefix(OWN.name, OWN.incarnation) + bytes(12),
        "delta": delta_frame(OWN.name, OWN.incarnation, "topic", encode([1, 2])),
    }


def questions() -> dict[str, bytes]:
    head = (b"1.0", b"1", b"zmqcluster links", b"127.0.0.1", b"")
    old = ticket(derive(COOKIE), b"zmqcluster links", NOW_MS - 10**9, bytes(16))
    foreign = ticket(derive("another"), b"zmqcluster links", NOW_MS, bytes(16))
    return {
        "old": with_parts(*head, b"PLAIN", TICKET_USER, old),
        "foreign": with_parts(*head, b"PLAIN", TICKET_USER, foreign),
        "curve": with_parts(*head, b"CURVE", bytes(32)),
        "null": with_parts(*head, b"NULL"),
    }


def link_frames() -> dict[str, bytes]:
    """Data frames from the sequence on; one envelope each."""

    def one(sequence: int, *envelopes: bytes) -> bytes:
        head = struct.pack(">QQQ", sequence, 0, 0)
        return head + b"".join(struct.pack(">I", len(each)) + each for each in envelopes)

    by_name = encode("listener")
    kinds = {kind: bytes((kind, 1)) + encode([1, "x"]) for kind in range(1, 16)}
    named = {kind + 64: bytes((kind | 64,)) + by_name + b"\x05" + encode([1]) for kind in range(1, 16)}
    seeds = {f"kind-{kind}": with_parts(one(1, envelope)) for kind, envelope in (kinds | named).items()}
    seeds["several"] = with_parts(*(one(number, kinds[1], named[65]) for number in range(1, 5)))
    seeds["acknowledgement"] = with_parts(one(0))
    return seeds


def main() -> None:
    corpus = {
        "decoder": {name: encode(value) for name, value in VALUES.items()},
        "control": control_frames(),
        "handshake": proofs(),
        "datagram": datagrams(),
        "ticket": questions(),
        "link": link_frames(),
    }
    for target, seeds in corpus.items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in seeds.items():
            (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
