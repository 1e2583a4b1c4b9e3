"""The kinds of frames and the layout of gossip. All numbers are big endian.

    DATA      1   u8 kind | u64 epoch | ... envelopes                              see _link.pxi: only the core reads it
    control 2-14  u8 kind | msgpack map                                            see wire/schema
    BEAT     16   u8 kind | u64 incarnation | u8 n | name | u64 number | u32 lag_ms
    DELTA    17   u8 kind | u64 incarnation | u8 n | name | u8 n | topic | message
    LOST     18   u8 kind | u64 incarnation | u8 n | name | u64 epoch | target

DATA and control travel on links, the others as gossip: lossy, and for everybody who subscribed.
Rule: a frame is parsed here once and fully; what is malformed is a ``DecodeError`` with its offset.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

from zmqcluster.constants import NODE_NAME_BYTES_MAX
from zmqcluster.errors import ConfigError, DecodeError

__all__ = [
    "BEAT_TAIL_BYTES",
    "BeatFrame",
    "DeltaFrame",
    "Kind",
    "LostFrame",
    "beat_prefix",
    "decode_beat_tail",
    "decode_gossip",
    "delta_frame",
    "lost_frame",
]


class Kind(IntEnum):
    """The first byte of a frame."""

    DATA = 1
    HELLO = 2
    WELCOME = 3
    REFUSED = 4
    READY = 5
    GOODBYE = 6
    GOODBYE_ACK = 7
    NEIGHBOURS = 8
    PING = 9
    ACK = 10
    PING_REQUEST = 11
    ALIVE = 12
    SUSPECT = 13
    LOST = 14
    BEAT = 16
    DELTA = 17
    LOST_GOSSIP = 18


HEAD = struct.Struct(">BQB")  # kind, incarnation, length of the name
BEAT_TAIL = struct.Struct(">QI")  # number, lag_ms
BEAT_TAIL_BYTES = BEAT_TAIL.size
LOST_TAIL = struct.Struct(">Q")  # epoch
TOPIC_BYTES_MAX = 255

assert NODE_NAME_BYTES_MAX < 2**8  # one byte of length in HEAD


class BeatFrame(NamedTuple):
    """A sign of life of one life of a node."""

    name: str
    incarnation: int
    number: int
    lag_ms: int


class DeltaFrame(NamedTuple):
    """A published message, still encoded."""

    name: str
    incarnation: int
    topic: str
    message: bytes


class LostFrame(NamedTuple):
    """``name`` has given up its session ``epoch`` with ``target``."""

    name: str
    incarnation: int
    epoch: int
    target: str


def beat_prefix(name: str, incarnation: int) -> bytes:
    """Return a BEAT up to its number, which the beat thread counts."""
    return _head(Kind.BEAT, name, incarnation)


def delta_frame(name: str, incarnation: int, topic: str, message: bytes) -> bytes:
    """Return a DELTA.

    Raises:
        ConfigError: ``topic`` is longer than 255 bytes.
    """
    encoded = topic.encode()
    if len(encoded) > TOPIC_BYTES_MAX:
        raise ConfigError(f"a topic has at most {TOPIC_BYTES_MAX} bytes, not {len(encoded)}: {topic[:40]!r}...")
    return b"".join((_head(Kind.DELTA, name, incarnation), bytes((len(encoded),)), encoded, message))


def lost_frame(name: str, incarnation: int, target: str, epoch: int) -> bytes:
    """Return a LOST."""
    return b"".join((_head(Kind.LOST_GOSSIP, name, incarnation), LOST_TAIL.pack(epoch), target.encode()))


def _head(kind: Kind, name: str, incarnation: int) -> bytes:
    encoded = name.encode()
    return HEAD.pack(kind, incarnation, len(encoded)) + encoded


def decode_beat_tail(frame: bytes) -> tuple[int, int]:
    """Return the number and the lag of a BEAT whose beginning is known to be one."""
    number, lag_ms = BEAT_TAIL.unpack_from(frame, len(frame) - BEAT_TAIL.size)
    return number, lag_ms


def decode_gossip(frame: bytes) -> BeatFrame | DeltaFrame | LostFrame:
    """Parse a frame of the gossip channel.

    Raises:
        DecodeError: it is truncated, too long, or of another kind.
    """
    if len(frame) < HEAD.size:
        raise DecodeError(len(frame), "truncated before the name")
    kind, incarnation, name_bytes = HEAD.unpack_from(frame)
    name, end = _text(frame, HEAD.size, name_bytes)
    if kind == Kind.BEAT:
        if len(frame) != end + BEAT_TAIL.size:
            raise DecodeError(end, f"a beat ends with {BEAT_TAIL.size} bytes, not {len(frame) - end}")
        return BeatFrame(name, incarnation, *BEAT_TAIL.unpack_from(frame, end))
    if kind == Kind.DELTA:
        if len(frame) <= end:
            raise DecodeError(end, "truncated before the topic")
        topic, start = _text(frame, end + 1, frame[end])
        return DeltaFrame(name, incarnation, topic, frame[start:])
    if kind == Kind.LOST_GOSSIP:
        start = end + LOST_TAIL.size
        if not 0 < len(frame) - start <= NODE_NAME_BYTES_MAX:
            raise DecodeError(end, "an epoch and the name of a node are to follow")
        (epoch,) = LOST_TAIL.unpack_from(frame, end)
        return LostFrame(name, incarnation, epoch, _text(frame, start, len(frame) - start)[0])
    raise DecodeError(0, f"kind {kind} is none of gossip")


def _text(frame: bytes, start: int, size: int) -> tuple[str, int]:
    end = start + size
    if end > len(frame):
        raise DecodeError(len(frame), "truncated inside a name")
    try:
        return frame[start:end].decode(), end
    except UnicodeDecodeError as error:
        raise DecodeError(start + error.start, "a name that is not UTF-8") from None
