"""From a cookie to keys: every node of a cluster derives the same ones, and each serves one purpose.

    cookie --scrypt, salt of this version--> root --+--clamp--> CURVE key, of server and client --libzmq--> public key
                                                    +--HMAC, a label per purpose--> proof, token, seal, id

Whoever cannot derive the CURVE key gets no further than the first handshake message: even the public key never crosses
the wire in the clear. So nothing is parsed for a stranger. scrypt makes guessing dear; a good cookie is still 20 random
letters. Source: zguide ch. 5 "Ironhouse"; RFC 26, CurveZMQ; RFC 7748 §5 for the clamp; RFC 5869 for the labels.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
from dataclasses import dataclass, field

from zmqcluster.errors import ConfigError

__all__ = ["ID_BYTES", "Key", "derive", "secret_key"]

SALT = b"zmqcluster/curve/1"
COST, BLOCK, LANES = 2**14, 8, 1  # 16 MiB and about 50 ms, once per process and cookie
KEY_BYTES = 32
ID_BYTES = 4  # names a key in logs and handshakes; says nothing that a guess at scrypt's price would not


@dataclass(frozen=True, slots=True)
class Key:
    """What one cookie gives; equal cookies give equal keys.

    Attributes:
        id: eight hex digits to speak of it.
        curve: the CURVE secret key.
        proof: for the challenges of connections that are not encrypted.
        token: for the tickets that let such a connection in.
        seal: for datagrams.
    """

    id: str
    curve: bytes = field(repr=False)
    proof: bytes = field(repr=False)
    token: bytes = field(repr=False)
    seal: bytes = field(repr=False)

    @property
    def mark(self) -> bytes:
        """The id as it travels."""
        return bytes.fromhex(self.id)


def derive(cookie: str | bytes) -> Key:
    """Return the keys of a cookie; text and its UTF-8 bytes are the same cookie.

    Raises:
        ConfigError: the cookie is empty.
    """
    return _derived(_checked(cookie))


def secret_key(cookie: str | bytes) -> bytes:
    """Return the CURVE secret key of a cookie.

    Raises:
        ConfigError: the cookie is empty.
    """
    return derive(cookie).curve


def _checked(cookie: str | bytes) -> bytes:
    secret = cookie.encode() if isinstance(cookie, str) else cookie
    if not secret:
        raise ConfigError("the cookie is empty; give none for a node that only this host can reach")
    return secret


@functools.lru_cache(maxsize=64)
def _derived(cookie: bytes) -> Key:
    root = hashlib.scrypt(cookie, salt=SALT, n=COST, r=BLOCK, p=LANES, dklen=KEY_BYTES)
    return Key(
        _labelled(root, "id")[:ID_BYTES].hex(),
        _clamped(root),
        _labelled(root, "proof"),
        _labelled(root, "token"),
        _labelled(root, "seal"),
    )


def _labelled(root: bytes, purpose: str) -> bytes:
    return hmac.digest(root, b"zmqcluster/1 " + purpose.encode(), "sha256")


def _clamped(root: bytes) -> bytes:
    key = bytearray(root)
    key[0] &= 248
    key[31] = key[31] & 127 | 64
    return bytes(key)
