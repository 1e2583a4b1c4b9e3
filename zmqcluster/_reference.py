"""The core once more, plainly: Mailbox, HashRing and codec in Python that is meant to be read.

It is the oracle: every test of the core runs on both, and what differs is a bug of one of them. It also serves where
the compiled core cannot be built (``ZMQCLUSTER_PURE=1``). Nothing here is fast, and nothing is clever. The formats, the
limits and the errors are those of _codec.pyx and _ring.pyx, which draw them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from zmqcluster._messages import message, register_message, register_str
from zmqcluster._reference_decode import decode, decode_varint
from zmqcluster._reference_encode import encode, encode_varint
from zmqcluster._reference_ring import HashRing, hash64
from zmqcluster.errors import ConfigError, MailboxFull

__all__ = [
    "HashRing",
    "Mailbox",
    "decode",
    "decode_varint",
    "encode",
    "encode_varint",
    "hash64",
    "message",
    "register_message",
    "register_str",
]


class Mailbox:
    """Messages in the order of their arrival.

    Args:
        bound: messages it holds at most; None for no bound.
        policy: what a full mailbox does: ``drop_new``, ``drop_old`` (the first message), or ``refuse``.
    Raises:
        ConfigError: the bound is no number from 1, or there is no such policy.
    """

    POLICIES = ("drop_new", "drop_old", "refuse")

    def __init__(self, bound: int | None = None, policy: str = "drop_new") -> None:
        if bound is not None and (type(bound) is not int or bound < 1):
            raise ConfigError(f"the bound of a mailbox is a whole number from 1, or None, not {bound!r}")
        if policy not in self.POLICIES:
            raise ConfigError(f"the policy of a mailbox is one of {self.POLICIES}, not {policy!r}")
        self.bound, self.policy = bound, policy
        self._messages: deque[object] = deque()

    def put(self, message: object) -> bool:
        """Append ``message``; return False when a message, this one or the oldest, was dropped.

        Raises:
            MailboxFull: it is full, and the policy is ``refuse``.
        """
        is_full = self.bound is not None and len(self._messages) >= self.bound
        if is_full and self.policy == "refuse":
            raise MailboxFull(None, self.bound)
        if is_full and self.policy == "drop_old":
            self._messages.popleft()
        if not is_full or self.policy == "drop_old":
            self._messages.append(message)
        return not is_full

    def take(self) -> object:
        """Remove and return the first message.

        Raises:
            LookupError: there is none.
        """
        if not self._messages:
            raise LookupError("the mailbox is empty")
        return self._messages.popleft()

    def take_match(self, match: type | Callable[[Any], object]) -> object:
        """Remove and return the first message that is of type ``match``, or for which ``match`` is true.

        The others keep their places, as they all do when ``match`` raises.

        Raises:
            LookupError: no message matches.
        """
        for index, candidate in enumerate(list(self._messages)):
            if isinstance(candidate, match) if isinstance(match, type) else match(candidate):
                del self._messages[index]
                return candidate
        raise LookupError("no message matches")

    def clear(self) -> None:
        """Remove all messages."""
        self._messages.clear()

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[object]:
        return iter(list(self._messages))
