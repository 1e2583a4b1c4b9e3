"""What is fed with bytes of strangers. A target returns, or raises what is a finding.

    decoder     a value of a message          the compiled decoder and the plain reference agree, and what they read
                                              is written and read again as the same
    control     a frame of the handshake      parsed, and given to sessions in each of their states
    handshake   frames of proofs              given to both ends of a connection without encryption
    datagram    a datagram, a gossip frame    sealed and plain
    ticket      the question of a handshake   at the door
    link        a data frame                  given to the core on a link that is up
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from tests.support import sessions
from tests.support.joined import World
from zmqcluster import _reference_decode
from zmqcluster.core import decode, encode
from zmqcluster.errors import DatagramRefused, DecodeError
from zmqcluster.transport import zap
from zmqcluster.transport.curve import derive
from zmqcluster.transport.keyring import Keyring
from zmqcluster.transport.proof import Identity, Prover, Verifier
from zmqcluster.transport.sealed import Sealer
from zmqcluster.transport.ticket import Tickets
from zmqcluster.wire.datagrams import decode_knock, is_proven
from zmqcluster.wire.frames import decode_gossip
from zmqcluster.wire.schema import decode_control, encode_control

__all__ = ["COOKIE", "NOW_MS", "TARGETS", "split_parts", "with_parts"]

COOKIE = "of the fuzzer"
NOW_MS = 1_700_000_000_000
KEYRING = Keyring(COOKIE)
PART_MAX = 2**16 - 1
OWN, PEER = Identity("a@10.0.0.1:7100", 17), Identity("b@10.0.0.2:7100", 18)
STATES = (sessions.session, sessions.greeted, sessions.welcomed, sessions.up)
WORLD = World("a", "b")


def with_parts(*parts: bytes) -> bytes:
    """Several frames as one input."""
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def split_parts(content: bytes) -> list[bytes]:
    """The frames of an input; the last one may be cut short."""
    parts = []
    while len(content) >= 2:
        end = 2 + int.from_bytes(content[:2], "big")
        parts.append(content[2:end])
        content = content[end:]
    return parts


def decoder(content: bytes) -> None:
    fast, plain = _outcome(decode, content), _outcome(_reference_decode.decode, content)
    assert fast == plain, f"compiled {fast}, plain {plain}"
    if fast[0] == "value":
        value = decode(content)
        assert repr(decode(encode(value))) == repr(value)


def _outcome(read: Callable[[bytes], object], content: bytes) -> tuple[str, str]:
    try:
        return "value", repr(read(content))  # nan is not equal to itself
    except DecodeError as error:
        return "error", str(error)


def control(content: bytes) -> None:
    live = [make() for make in STATES]
    for frame in split_parts(content):
        try:
            message = decode_control(frame)
        except DecodeError:
            continue
        assert decode_control(encode_control(message)) == message
        for session in live:
            for action in session.on(message, 10, sessions.FROM_B):
                if sent := getattr(action, "message", None):
                    encode_control(sent)
    for session in live:
        session.on_tick(10**9)


def handshake(content: bytes) -> None:
    verifier, prover = Verifier(KEYRING, PEER), Prover(derive(COOKIE), OWN)
    for frame in split_parts(content):
        answer = verifier.on_frame(b"source", frame)
        assert answer is None or len(answer) < 512
        prover.on_reply(frame)
    assert verifier.identity(b"source") is None, "somebody without the cookie is believed"
    assert not prover.is_done, "somebody without the cookie is believed"


def datagram(content: bytes) -> None:
    for read in (decode_knock, decode_gossip):
        with contextlib.suppress(DecodeError):
            read(content)
    assert not is_proven(content, 123_456_789)
    try:
        opened = Sealer(KEYRING, lambda: NOW_MS).open(content)
    except DatagramRefused:
        return
    assert opened == b"genuine", "somebody without the cookie has sealed a datagram"


def ticket(content: bytes) -> None:
    request = split_parts(content)
    keys = frozenset((bytes(32),))
    refusal = zap.ticket_refusal(request, Tickets(KEYRING, lambda: NOW_MS))
    assert refusal is not None, "somebody without the cookie is let in"
    if zap.key_refusal(request, keys) is None:
        assert request[6] == bytes(32)


def link(content: bytes) -> None:
    """Frames of a peer on a link that is up; it may end, and is then made anew."""
    if WORLD["a"].link_of("b") is None:
        WORLD.join("a", "b")
        WORLD["a"].spawn(_listen(), name="listener")
    live = WORLD.link("a", "b")
    head = b"\x01" + live.epoch.to_bytes(8, "big")
    WORLD.deliver("b", "a", [head + frame for frame in split_parts(content)])
    WORLD.loop.call_later(0.001, WORLD.loop.stop)
    WORLD.loop.run_forever()
    broken = WORLD.hooks["a"].named("on_link_broken")
    WORLD.hooks["a"].calls.clear()
    WORLD.wires["a", "b"].frames.clear()
    assert WORLD.problems == []
    if broken:
        WORLD.cut("a", "b")
        WORLD.turn()


async def _listen() -> Any:
    """Nobody minds what it gets."""


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "decoder": decoder,
    "control": control,
    "handshake": handshake,
    "datagram": datagram,
    "ticket": ticket,
    "link": link,
}
