"""The datagrams with which a node asks a suspected peer whether it lives.

    u8 kind: PING 9, ACK 10 | u64 incarnation | u8 n | name | u64 number | 16 bytes of proof

The proof is BLAKE2b of all before it, its key the epoch of the session as u64. The epoch is known to the two ends only,
so nobody else can answer; and an ACK repeats the number of a PING, which is never used again, so an answer that was
recorded earlier is none. Source: RFC 7693, keyed hashing.
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from hmac import compare_digest
from typing import NamedTuple

from zmqcluster.errors import DecodeError
from zmqcluster.wire.frames import Kind

__all__ = ["Knock", "decode_knock", "encode_knock", "is_proven"]

HEAD = struct.Struct(">BQB")  # kind, incarnation, length of the name
NUMBER = struct.Struct(">Q")
KEY = struct.Struct(">Q")
PROOF_BYTES = 16


class Knock(NamedTuple):
    """A PING or ACK of a node, not yet proven to be its own."""

    kind: Kind
    incarnation: int
    name: str
    number: int


def encode_knock(knock: Knock, epoch: int) -> bytes:
    """Return the datagram."""
    name = knock.name.encode()
    said = HEAD.pack(knock.kind, knock.incarnation, len(name)) + name + NUMBER.pack(knock.number)
    return said + _proof(said, epoch)


def decode_knock(datagram: bytes) -> Knock:
    """Return what the datagram says.

    Raises:
        DecodeError: it is none.
    """
    if len(datagram) < HEAD.size:
        raise DecodeError(len(datagram), "truncated before the name")
    kind, incarnation, name_bytes = HEAD.unpack_from(datagram)
    end = HEAD.size + name_bytes
    if kind not in (Kind.PING, Kind.ACK) or len(datagram) != end + NUMBER.size + PROOF_BYTES:
        raise DecodeError(0, "neither PING nor ACK, or of another length")
    try:
        name = datagram[HEAD.size : end].decode()
    except UnicodeDecodeError:
        raise DecodeError(HEAD.size, "a name that is not UTF-8") from None
    (number,) = NUMBER.unpack_from(datagram, end)
    return Knock(Kind(kind), incarnation, name, number)


def is_proven(datagram: bytes, epoch: int) -> bool:
    """Whether whoever made the datagram knows the epoch."""
    return compare_digest(datagram[-PROOF_BYTES:], _proof(datagram[:-PROOF_BYTES], epoch))


def _proof(said: bytes, epoch: int) -> bytes:
    return blake2b(said, digest_size=PROOF_BYTES, key=KEY.pack(epoch)).digest()
