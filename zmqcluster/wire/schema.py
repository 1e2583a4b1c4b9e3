"""One table: kind of a control frame <-> message of the handshake <-> fields and their limits.

    HELLO   {name, incarnation, cluster, versions, capabilities, links, gossip, to, epoch, attempt}
    WELCOME {... all of HELLO, echo}      REFUSED {epoch, reason, detail}
    READY   {name, epoch}      GOODBYE {epoch}      GOODBYE_ACK {epoch}
    NEIGHBOURS {epoch, nodes: [[name, incarnation, [link, ...]], ...]}
    PING    {number}      ACK {number}      LOST {by, target, epoch}
    PING_REQUEST {target, incarnation, number}      ALIVE, SUSPECT {the same}

Rules: a field that is missing, of another type or beyond its limit is a ``DecodeError`` that names it; a field that is
not in the table is ignored, so a later version may add some. What comes out needs no further check.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from zmqcluster.constants import CONTROL_BYTES_MAX, NODE_NAME_BYTES_MAX
from zmqcluster.errors import ConfigError, DecodeError
from zmqcluster.ids import NodeName
from zmqcluster.protocol.handshake import (
    Control,
    Goodbye,
    GoodbyeAck,
    Hello,
    Introduction,
    Neighbour,
    Neighbours,
    Ready,
    Refused,
    Welcome,
)
from zmqcluster.protocol.probes import Ack, Alive, Lost, Ping, PingRequest, Probe, Suspect
from zmqcluster.wire.codec import pack, unpack
from zmqcluster.wire.frames import Kind

__all__ = ["decode_control", "encode_control"]

Check = Callable[[Any], Any]  # returns the value as the message has it; ValueError with what it should be

TEXT_CHARACTERS_MAX = 1_000
TEXTS_MAX = 32
NEIGHBOURS_MAX = 1_000


def _node_name(value: Any) -> str:
    if not isinstance(value, str) or len(value.encode()) > NODE_NAME_BYTES_MAX:
        raise ValueError(f"a node name of at most {NODE_NAME_BYTES_MAX} bytes")
    try:
        return _parsed(value)
    except ConfigError:
        raise ValueError("a node name like 'orders@10.0.0.7:7101'") from None


@lru_cache(maxsize=NEIGHBOURS_MAX)
def _parsed(name: str) -> str:
    """The same names come again and again: every peer tells of every other."""
    return str(NodeName.parse(name))


def _u64(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**64:
        raise ValueError("a number of 64 bits")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > TEXT_CHARACTERS_MAX:
        raise ValueError(f"text of at most {TEXT_CHARACTERS_MAX} characters")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or len(value) > TEXTS_MAX:
        raise ValueError(f"a list of at most {TEXTS_MAX} texts")
    return tuple(_text(text) for text in value)


def _versions(value: Any) -> tuple[int, int]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError("the least and the greatest version")
    least, greatest = _u64(value[0]), _u64(value[1])
    if least > greatest:
        raise ValueError("the least and the greatest version")
    return least, greatest


def _neighbours(value: Any) -> tuple[Neighbour, ...]:
    if not isinstance(value, list | tuple) or len(value) > NEIGHBOURS_MAX:
        raise ValueError(f"a list of at most {NEIGHBOURS_MAX} nodes")
    if not all(isinstance(each, list | tuple) and len(each) == 3 for each in value):
        raise ValueError("a list of (name, incarnation, links)")
    return tuple(Neighbour(_node_name(name), _u64(number), _texts(links)) for name, number, links in value)


INTRODUCTION: Mapping[str, Check] = {
    "name": _node_name,
    "incarnation": _u64,
    "cluster": _text,
    "versions": _versions,
    "capabilities": _texts,
    "links": _texts,
    "gossip": _texts,
}
OFFER: Mapping[str, Check] = {"to": _text, "epoch": _u64, "attempt": _u64}
EPOCH: Mapping[str, Check] = {"epoch": _u64}
NUMBER: Mapping[str, Check] = {"number": _u64}
BEAT_OF: Mapping[str, Check] = {"target": _node_name, "incarnation": _u64, "number": _u64}

SCHEMA: Mapping[Kind, tuple[type[Control | Probe], Mapping[str, Check]]] = {
    Kind.HELLO: (Hello, OFFER),
    Kind.WELCOME: (Welcome, {**OFFER, "echo": _u64}),
    Kind.REFUSED: (Refused, {**EPOCH, "reason": _text, "detail": _text}),
    Kind.READY: (Ready, {"name": _node_name, **EPOCH}),
    Kind.GOODBYE: (Goodbye, EPOCH),
    Kind.GOODBYE_ACK: (GoodbyeAck, EPOCH),
    Kind.NEIGHBOURS: (Neighbours, {**EPOCH, "nodes": _neighbours}),
    Kind.PING: (Ping, NUMBER),
    Kind.ACK: (Ack, NUMBER),
    Kind.PING_REQUEST: (PingRequest, BEAT_OF),
    Kind.ALIVE: (Alive, BEAT_OF),
    Kind.SUSPECT: (Suspect, BEAT_OF),
    Kind.LOST: (Lost, {"by": _node_name, "target": _node_name, "epoch": _u64}),
}
KINDS = {message: kind for kind, (message, _) in SCHEMA.items()}


def encode_control(message: Control | Probe) -> bytes:
    """Return the frame of ``message``.

    Raises:
        FrameTooLarge: its texts are too long for a control frame.
    """
    kind = KINDS[type(message)]
    fields = {field: getattr(message, field) for field in SCHEMA[kind][1]}
    if isinstance(message, Hello | Welcome):
        fields |= {field: getattr(message.node, field) for field in INTRODUCTION}
    elif isinstance(message, Neighbours):
        fields["nodes"] = [(each.name, each.incarnation, each.links) for each in message.nodes]
    return bytes((kind,)) + pack(fields, CONTROL_BYTES_MAX - 1)


def decode_control(frame: bytes) -> Control | Probe:
    """Return the message in ``frame``.

    Raises:
        DecodeError: it is none, or one of its fields is not what the table says.
    """
    if not frame or len(frame) > CONTROL_BYTES_MAX:
        raise DecodeError(0, f"a control frame has 1 to {CONTROL_BYTES_MAX} bytes, not {len(frame)}")
    if frame[0] not in SCHEMA:
        raise DecodeError(0, f"kind {frame[0]} is none of control")
    message, checks = SCHEMA[Kind(frame[0])]
    packed = unpack(frame[1:])
    fields = _checked(packed, checks)
    if message in (Hello, Welcome):
        fields["node"] = Introduction(**_checked(packed, INTRODUCTION))
    return message(**fields)


def _checked(packed: Mapping[Any, Any], checks: Mapping[str, Check]) -> dict[str, Any]:
    fields = {}
    for field, check in checks.items():
        if field not in packed:
            raise DecodeError(1, f"field {field!r} is missing")
        try:
            fields[field] = check(packed[field])
        except ValueError as error:
            raise DecodeError(1, f"field {field!r} is {error}, not {packed[field]!r:.60}") from None
    return fields
