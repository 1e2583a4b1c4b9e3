"""Who is let in: the answer to libzmq's question in the middle of a handshake.

    request  version | id | domain | address | identity | "CURVE" | the key shown                    (RFC 27, ZAP)
                                                        | "PLAIN" | user | the ticket shown
    answer   version | id | "200" or "400" | text | user id | metadata

The native beat thread answers for CURVE by itself (``_beat.pyx``, ``admit``); ``key_refusal`` is the same in Python,
for its stand-in. Tickets are judged on the loop.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from zmqcluster.transport.ticket import TICKET_USER, Tickets

__all__ = ["answer", "key_refusal", "ticket_refusal"]

VERSION = b"1.0"
DOMAIN = 2
NOT_ADMITTED = "key not admitted"


def answer(request: Sequence[bytes], problem: str | None) -> list[bytes]:
    """Return the frames of the answer: 200 without a problem, 400 with one; the peer learns only which."""
    status, text = (b"200", b"OK") if problem is None else (b"400", problem.encode())
    return [VERSION, request[1], status, text, b"", b""]


def key_refusal(request: Sequence[bytes], keys: Collection[bytes]) -> str | None:
    """Return None for exactly these CURVE keys."""
    is_admitted = len(request) == 7 and request[5] == b"CURVE" and request[6] in keys
    return None if is_admitted else NOT_ADMITTED


def ticket_refusal(request: Sequence[bytes], tickets: Tickets) -> str | None:
    """Return None for a good ticket, which is used up by this."""
    if len(request) != 8 or request[5] != b"PLAIN" or request[6] != TICKET_USER:
        return "no ticket"
    return tickets.refusal(request[DOMAIN], request[7])
