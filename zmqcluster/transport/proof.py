"""Both ends of a connection that is not encrypted prove that they know the cookie, before a frame of it counts.

    dialler                                                        acceptor
    ASK(version, key, nonce a, who it is)       ------------->
                            <------- CHALLENGE(nonce b, who it is)
    PROOF(ASK, nonce b, mac "dialler")          ------------->     admitted: its frames count
    CONNECTED               <--------------- PROVED(mac "acceptor")

Both macs are HMAC-SHA256 over the role, both nonces, both names and both incarnations: none of them is good for another
connection, another life of a node, or the other direction. The dialler proves first, so a stranger who connects is told
nothing to guess by. Nonce b is a MAC of the connection and of what was asked, under a secret of this process: until a
proof arrives the acceptor remembers nothing, so half handshakes cost no memory, and a PROOF that was recorded elsewhere
meets another nonce b. Source: erl_dist_protocol, which orders the proofs the same way, with MD5 over one nonce each.

Frames: u8 kind | ..., big endian. Rule: what is malformed or does not fit is dropped; the dialler's set-up time is up.
"""

from __future__ import annotations

import hmac
import secrets
import struct
from collections import OrderedDict
from typing import NamedTuple

from zmqcluster.transport.curve import ID_BYTES, Key
from zmqcluster.transport.keyring import Keyring

__all__ = ["PROOF_KINDS", "Identity", "Prover", "Verifier"]

ASK, CHALLENGE, PROOF, PROVED = 0xA1, 0xA2, 0xA3, 0xA4
PROOF_KINDS = frozenset((ASK, CHALLENGE, PROOF, PROVED))
VERSION = 1
NONCE_BYTES, MAC_BYTES = 16, 32
NAME_BYTES_MAX = 255
ADMITTED_MAX = 16_384  # connections remembered as proven; the one unused for longest is forgotten first

ASK_HEAD = struct.Struct(f">BB{ID_BYTES}s{NONCE_BYTES}s")  # kind, version, key, nonce a
IDENTITY = struct.Struct(">QB")  # incarnation, length of the name


class Identity(NamedTuple):
    """Who is at one end: one life of a node."""

    name: str
    incarnation: int

    def pack(self) -> bytes:
        name = self.name.encode()
        return IDENTITY.pack(self.incarnation, len(name)) + name


def unpack_identity(content: bytes) -> Identity | None:
    """Return the identity that ``content`` is, exactly; else None."""
    if len(content) < IDENTITY.size:
        return None
    incarnation, size = IDENTITY.unpack_from(content)
    name = content[IDENTITY.size :]
    if len(name) != size:
        return None
    try:
        return Identity(name.decode(), incarnation)
    except UnicodeDecodeError:
        return None


def mac(key: Key, role: bytes, asked: bytes, nonce_b: bytes, acceptor: bytes) -> bytes:
    """Return the proof of one side; ``asked`` holds version, key, nonce a and the dialler's identity."""
    parts = (b"zmqcluster/proof/1", role, asked, nonce_b, acceptor)
    return hmac.digest(key.proof, b"".join(struct.pack(">I", len(part)) + part for part in parts), "sha256")


class Prover:
    """The dialler's side of one connection.

    Args:
        key: of the cookie to prove.
        own: who dials.
    """

    def __init__(self, key: Key, own: Identity) -> None:
        self._key = key
        self._asked = ASK_HEAD.pack(ASK, VERSION, key.mark, secrets.token_bytes(NONCE_BYTES)) + own.pack()
        self._expected: bytes | None = None
        self.is_done = False

    def ask(self) -> bytes:
        """The first frame."""
        return self._asked

    def on_reply(self, frame: bytes) -> bytes | None:
        """Take a frame of the acceptor; return the one to send next. ``is_done``: it has proven itself."""
        if frame[:1] == bytes((CHALLENGE,)) and self._expected is None:
            return self._prove(frame[1 : 1 + NONCE_BYTES], frame[1 + NONCE_BYTES :])
        if frame[:1] == bytes((PROVED,)) and self._expected is not None:
            self.is_done = hmac.compare_digest(frame[1:], self._expected)
        return None

    def _prove(self, nonce_b: bytes, acceptor: bytes) -> bytes | None:
        if len(nonce_b) != NONCE_BYTES or unpack_identity(acceptor) is None:
            return None
        self._expected = mac(self._key, b"acceptor", self._asked, nonce_b, acceptor)
        return bytes((PROOF,)) + nonce_b + mac(self._key, b"dialler", self._asked, nonce_b, acceptor) + self._asked


class Verifier:
    """The acceptor's side of all connections: who has proven what.

    Args:
        keyring: any of its keys is accepted.
        own: who accepts.
    """

    def __init__(self, keyring: Keyring, own: Identity) -> None:
        self._keyring = keyring
        self._own = own.pack()
        self._secret = secrets.token_bytes(32)
        self._admitted: OrderedDict[bytes, Identity] = OrderedDict()

    def identity(self, source: bytes) -> Identity | None:
        """Return who has proven to be behind the connection ``source``."""
        found = self._admitted.get(source)
        if found is not None:
            self._admitted.move_to_end(source)
        return found

    def on_frame(self, source: bytes, frame: bytes) -> bytes | None:
        """Take a frame of the handshake; return the answer, if there is one."""
        if frame[:1] == bytes((ASK,)) and self._key(frame) is not None:
            return bytes((CHALLENGE,)) + self._nonce(source, frame) + self._own
        if frame[:1] == bytes((PROOF,)):
            return self._verify(source, frame[1 : 1 + NONCE_BYTES], frame[1 + NONCE_BYTES :])
        return None

    def _key(self, asked: bytes) -> Key | None:
        if len(asked) < ASK_HEAD.size or unpack_identity(asked[ASK_HEAD.size :]) is None:
            return None
        _, version, mark, _ = ASK_HEAD.unpack_from(asked)
        return self._keyring.find(mark) if version == VERSION else None

    def _nonce(self, source: bytes, asked: bytes) -> bytes:
        return hmac.digest(self._secret, struct.pack(">I", len(source)) + source + asked, "sha256")[:NONCE_BYTES]

    def _verify(self, source: bytes, nonce_b: bytes, content: bytes) -> bytes | None:
        shown, asked = content[:MAC_BYTES], content[MAC_BYTES:]
        key = self._key(asked)
        if key is None or not hmac.compare_digest(nonce_b, self._nonce(source, asked)):
            return None
        if not hmac.compare_digest(shown, mac(key, b"dialler", asked, nonce_b, self._own)):
            return None
        self._admit(source, asked)
        return bytes((PROVED,)) + mac(key, b"acceptor", asked, nonce_b, self._own)

    def _admit(self, source: bytes, asked: bytes) -> None:
        dialler = unpack_identity(asked[ASK_HEAD.size :])
        assert dialler is not None
        self._admitted[source] = dialler
        self._admitted.move_to_end(source)
        if len(self._admitted) > ADMITTED_MAX:
            self._admitted.popitem(last=False)
