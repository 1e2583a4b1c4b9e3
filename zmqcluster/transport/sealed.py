"""Sealed datagrams: who has no cookie of ours can neither read nor write one, and a recorded one is worth nothing.

    u8 version | u32 key id | u64 stamp_ms | 16 random | content, encrypted | 16 tag              big endian

Encrypted with HMAC-SHA256 in counter mode, then authenticated with HMAC-SHA256 over all before the tag, each over
inputs of its own; the key comes from the cookie. The time and the random number let each datagram count once, within a
window.
Sealed with the primary key of a keyring, opened with any: so a cookie changes without a datagram being lost.
Source: Bellare and Namprempre, encrypt-then-MAC; memberlist's keyring, whose packets can be replayed.

Rule: nothing of the content is looked at before the tag is right, and nothing is remembered of what is not.
"""

from __future__ import annotations

import hmac
import secrets
import struct
from collections.abc import Callable

from zmqcluster.errors import DatagramRefused
from zmqcluster.transport.curve import ID_BYTES, Key
from zmqcluster.transport.freshness import Freshness
from zmqcluster.transport.keyring import Keyring

__all__ = ["OVERHEAD_BYTES", "Sealer"]

VERSION = 1
RANDOM_BYTES, TAG_BYTES, BLOCK_BYTES = 16, 16, 32
WINDOW_MS = 120_000  # as of tickets: clocks drift apart by seconds a day
DATAGRAMS_MAX = 262_144  # remembered of one window, each one signed by a node of ours
HEAD = struct.Struct(f">B{ID_BYTES}sQ{RANDOM_BYTES}s")
OVERHEAD_BYTES = HEAD.size + TAG_BYTES


class Sealer:
    """Seals and opens the datagrams of one node.

    Args:
        clock_ms: the time of day, which all nodes share.
    """

    def __init__(self, keyring: Keyring, clock_ms: Callable[[], int]) -> None:
        self._keyring = keyring
        self._clock_ms = clock_ms
        self._freshness = Freshness(WINDOW_MS, DATAGRAMS_MAX)

    def seal(self, content: bytes) -> bytes:
        """Return the datagram for ``content``; twice the same content looks different."""
        key = self._keyring.primary
        head = HEAD.pack(VERSION, key.mark, self._clock_ms(), secrets.token_bytes(RANDOM_BYTES))
        sealed = head + _crossed(key, head, content)
        return sealed + _tag(key, sealed)

    def open(self, datagram: bytes) -> bytes:
        """Return the content.

        Raises:
            DatagramRefused: it is not of our cluster, was changed on its way, is too old, or came before.
        """
        if len(datagram) < OVERHEAD_BYTES:
            raise DatagramRefused("it is not sealed")
        version, mark, stamp_ms, number = HEAD.unpack_from(datagram)
        key = self._keyring.find(mark) if version == VERSION else None
        sealed, tag = datagram[:-TAG_BYTES], datagram[-TAG_BYTES:]
        if key is None or not hmac.compare_digest(tag, _tag(key, sealed)):
            raise DatagramRefused("another cookie than ours, or it was changed on its way")
        if problem := self._freshness.refusal(number, stamp_ms, self._clock_ms()):
            raise DatagramRefused(problem)
        return _crossed(key, sealed[: HEAD.size], sealed[HEAD.size :])


def _tag(key: Key, sealed: bytes) -> bytes:
    return hmac.digest(key.seal, b"tag" + sealed, "sha256")[:TAG_BYTES]


def _crossed(key: Key, head: bytes, content: bytes) -> bytes:
    """Encrypt, or decrypt: both cross the content with the same stream."""
    blocks = range((len(content) + BLOCK_BYTES - 1) // BLOCK_BYTES)
    stream = b"".join(hmac.digest(key.seal, b"stream" + head + struct.pack(">I", block), "sha256") for block in blocks)
    crossed = int.from_bytes(content, "big") ^ int.from_bytes(stream[: len(content)], "big")
    return crossed.to_bytes(len(content), "big")
