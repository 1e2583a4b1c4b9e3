"""What a node asks of those who come, and what it shows where it goes.

    keyring, encryption ──> listening(): one way       dialling(node): ways, the one that was good there last first
    connections without encryption ──> tickets at the door, then proofs; until then no control frame counts

Data frames need no look of their own: the core drops those of a connection on which no session was agreed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from zmqcluster.transport.allow import parse_networks
from zmqcluster.transport.keyring import Keyring
from zmqcluster.transport.proof import PROOF_KINDS, Identity, Verifier
from zmqcluster.transport.sealed import Sealer
from zmqcluster.transport.ticket import Tickets
from zmqcluster.transport.ways import Encryption, Mechanism, Way, check_encryption, dialling, listening

__all__ = ["Security"]

WAYS_KNOWN_MAX = 10_000


class Security:
    """The rules of one node.

    Args:
        own: which life of which node it is.
        keyring: None: there is no cookie, and only this host can reach us.
        encryption: a step of the ladder in ``ways``.
        allow: the networks that may connect; empty: all.
    Raises:
        ConfigError: ``encryption`` or ``allow`` is malformed.
    """

    def __init__(self, own: Identity, keyring: Keyring | None, encryption: Encryption, allow: Sequence[str]) -> None:
        check_encryption(encryption)
        self.own = own
        self.keyring = keyring
        self.networks = parse_networks(allow)
        self._encryption: Encryption = encryption
        self._known: dict[str, Way] = {}  # node -> the way that was good there last
        self._verifier: Verifier | None = None
        self.tickets: Tickets | None = None
        self.sealer = Sealer(keyring, _time_of_day_ms) if keyring else None
        if keyring and self.mechanism is Mechanism.CHALLENGE:
            self._verifier = Verifier(keyring, own)
            self.tickets = Tickets(keyring, _time_of_day_ms)

    @property
    def mechanism(self) -> Mechanism:
        """What is asked of those who come."""
        return self.listening().mechanism

    def listening(self) -> Way:
        return listening(self._encryption, self.keyring.primary if self.keyring else None)

    def dialling(self, node: str) -> tuple[Way, ...]:
        """Return how to connect to ``node``, the best way first."""
        ways = dialling(self._encryption, self.keyring.keys_for(node) if self.keyring else ())
        known = self._known.get(node)
        return (known, *(way for way in ways if way != known)) if known in ways else ways

    def was_good(self, node: str, way: Way) -> None:
        """Remember which way led there."""
        if len(self._known) >= WAYS_KNOWN_MAX:
            self._known.clear()
        self._known[node] = way

    def admits(self, source: bytes, frame: bytes, reply: Callable[[bytes, bytes], object]) -> bool:
        """See ``Transport.admits``."""
        if self._verifier is None:
            return True
        if frame[:1] and frame[0] in PROOF_KINDS:
            answer = self._verifier.on_frame(source, frame)
            if answer is not None:
                reply(source, answer)
            return False
        return self._verifier.identity(source) is not None

    def identity(self, source: bytes) -> Identity | None:
        """See ``Transport.identity``."""
        return self._verifier.identity(source) if self._verifier else None


def _time_of_day_ms() -> int:
    return time.time_ns() // 1_000_000
