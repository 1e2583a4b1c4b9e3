"""Datagrams that ask a suspected peer whether it lives: their layout, and that only the other end can answer."""

from __future__ import annotations

import pytest

from zmqcluster.errors import DecodeError
from zmqcluster.wire.datagrams import Knock, decode_knock, encode_knock, is_proven
from zmqcluster.wire.frames import Kind

EPOCH = 0x1122_3344_5566_7788
KNOCK = Knock(Kind.PING, 2**64 - 1, "orders@10.0.0.7:7101", 12_345)


def test_knock_when_encoded_then_it_comes_back_and_is_proven() -> None:
    datagram = encode_knock(KNOCK, EPOCH)
    assert decode_knock(datagram) == KNOCK and is_proven(datagram, EPOCH)


def test_knock_of_another_session_then_not_proven() -> None:
    assert not is_proven(encode_knock(KNOCK, EPOCH), EPOCH ^ 1)


def test_knock_with_any_bit_changed_then_not_proven() -> None:
    datagram = encode_knock(KNOCK, EPOCH)
    for position in range(len(datagram)):
        changed = bytearray(datagram)
        changed[position] ^= 0x40
        assert not is_proven(bytes(changed), EPOCH), position


@pytest.mark.parametrize("size", range(54))
def test_knock_that_is_truncated_then_refused(size: int) -> None:
    datagram = encode_knock(KNOCK, EPOCH)
    assert len(datagram) > size
    with pytest.raises(DecodeError):
        decode_knock(datagram[:size])


@pytest.mark.parametrize(
    "datagram",
    [
        encode_knock(KNOCK, EPOCH) + b"!",
        encode_knock(KNOCK._replace(kind=Kind.BEAT), EPOCH),
        encode_knock(KNOCK, EPOCH).replace(b"orders", b"\xff\xfe\xfd\xfc\xfb\xfa"),
    ],
)
def test_datagram_that_is_no_knock_then_refused(datagram: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_knock(datagram)
