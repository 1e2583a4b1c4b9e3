"""Who is let in: the answer to libzmq's question in the middle of a CURVE handshake.

    request  version | id | domain | address | identity | "CURVE" | the key shown       (RFC 27, ZAP)
    answer   version | id | "200" or "400" | text | user id | metadata

The native beat thread answers by itself (``_beat.pyx``, ``admit``); this is the same in Python, for its stand-in.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence

__all__ = ["answer"]

VERSION = b"1.0"


def answer(request: Sequence[bytes], key: bytes) -> list[bytes]:
    """Return the frames of the answer: 200 for exactly this key, 400 for all else."""
    is_admitted = len(request) == 7 and request[5] == b"CURVE" and hmac.compare_digest(request[6], key)
    status, text = (b"200", b"OK") if is_admitted else (b"400", b"key not admitted")
    return [VERSION, request[1], status, text, b"", b""]
