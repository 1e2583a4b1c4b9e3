"""From a cookie to a CURVE key: every node of a cluster derives the same one, and it serves as server and client key.

    cookie --scrypt, salt of this version--> 32 bytes --clamp--> secret key --libzmq--> public key

Whoever cannot derive it gets no further than the first handshake message: even the public key never crosses the wire
in the clear. So nothing is parsed for a stranger. scrypt makes guessing dear; a good cookie is still 20 random letters.
Source: zguide ch. 5 "Ironhouse"; RFC 26, CurveZMQ; RFC 7748 §5 for the clamp.
"""

from __future__ import annotations

import functools
import hashlib

from zmqcluster.errors import ConfigError

__all__ = ["secret_key"]

SALT = b"zmqcluster/curve/1"
COST, BLOCK, LANES = 2**14, 8, 1  # 16 MiB and about 50 ms, once per process and cookie
KEY_BYTES = 32


def secret_key(cookie: str | bytes) -> bytes:
    """Return the secret key of a cookie; text and its UTF-8 bytes are the same cookie.

    Raises:
        ConfigError: the cookie is empty.
    """
    secret = cookie.encode() if isinstance(cookie, str) else cookie
    if not secret:
        raise ConfigError("the cookie is empty; give none for a node that only this host can reach")
    return _derived(secret)


@functools.lru_cache(maxsize=64)
def _derived(cookie: bytes) -> bytes:
    key = bytearray(hashlib.scrypt(cookie, salt=SALT, n=COST, r=BLOCK, p=LANES, dklen=KEY_BYTES))
    key[0] &= 248
    key[31] = key[31] & 127 | 64
    return bytes(key)
