"""Tickets: what a connection without encryption shows at the door, before a frame of its is read.

    u32 key id | u64 stamp_ms | 16 random | HMAC of these and the domain          in hex, as the password of PLAIN

A ticket proves that its bearer knew a cookie of ours moments ago, and is good once: who only listens on the wire gets
nothing by showing it again. It keeps strangers from sending and subscribing; it is not the authentication. That is the
challenge of ``proof``, which is answered over the connection so opened, and by both sides.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Callable

from zmqcluster.transport.curve import ID_BYTES, Key
from zmqcluster.transport.freshness import Freshness
from zmqcluster.transport.keyring import Keyring

__all__ = ["TICKET_USER", "Tickets", "ticket"]

TICKET_USER = b"zmqcluster/1"
WINDOW_MS = 120_000  # clocks of machines without NTP drift apart by seconds a day
TICKETS_MAX = 65_536  # of one window; a node that restarts its links 100 times a second uses fewer
HEAD = struct.Struct(f">{ID_BYTES}sQ16s")
MAC_BYTES = 32


def ticket(key: Key, domain: bytes, stamp_ms: int, number: bytes) -> bytes:
    """Return a ticket for the door of ``domain``; ``number`` is 16 random bytes."""
    head = HEAD.pack(key.mark, stamp_ms, number)
    return (head + _mac(key, domain, head)).hex().encode()


def _mac(key: Key, domain: bytes, head: bytes) -> bytes:
    return hmac.digest(key.token, b"ticket " + domain + b"\0" + head, "sha256")


class Tickets:
    """Who may come in.

    Args:
        keyring: a ticket made with any of its keys is good.
        clock_ms: the time of day, which all nodes share.
    """

    def __init__(self, keyring: Keyring, clock_ms: Callable[[], int]) -> None:
        self._keyring = keyring
        self._clock_ms = clock_ms
        self._freshness = Freshness(WINDOW_MS, TICKETS_MAX)

    def refusal(self, domain: bytes, shown: bytes) -> str | None:
        """Return why the ticket ``shown`` is not good, or None, and it is used up."""
        try:
            content = bytes.fromhex(shown.decode("ascii"))
        except ValueError:
            return "no ticket"
        if len(content) != HEAD.size + MAC_BYTES:
            return "no ticket"
        mark, stamp_ms, number = HEAD.unpack_from(content)
        key = self._keyring.find(mark)
        if key is None or not hmac.compare_digest(_mac(key, domain, content[: HEAD.size]), content[HEAD.size :]):
            return "another cookie than ours"
        return self._freshness.refusal(number, stamp_ms, self._clock_ms())
