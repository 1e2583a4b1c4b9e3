"""The encoder once more, plainly: what _codec.pyx writes, as functions from a value to bytes. See _reference.py."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any

from zmqcluster._extensions import (
    EXT_ENUM,
    EXT_FROZENSET,
    EXT_INT,
    EXT_MESSAGE,
    EXT_PID,
    EXT_REF,
    EXT_SET,
    EXT_TUPLE,
    TO_PAYLOAD,
)
from zmqcluster._ids import Pid, Ref
from zmqcluster._messages import SHAPES, STR_TYPES, Shape
from zmqcluster._paths import describe, path_to_problem
from zmqcluster.constants import DEPTH_MAX, MESSAGE_BYTES_MAX
from zmqcluster.errors import EncodeError, FrameTooLarge

__all__ = ["encode", "encode_varint"]


def encode(value: object) -> bytes:
    """Return the bytes of ``value``.

    Raises:
        EncodeError: a part of it cannot be sent; the error names the path to that part.
        FrameTooLarge: it takes more than MESSAGE_BYTES_MAX bytes.
    """
    try:
        encoded = _encoded(value, 0)
    except EncodeError as error:
        raise EncodeError(path_to_problem(value, 0, _fails), error.problem) from None
    if len(encoded) > MESSAGE_BYTES_MAX:
        raise FrameTooLarge(len(encoded), MESSAGE_BYTES_MAX)
    return encoded


def encode_varint(value: int) -> bytes:
    """Return ``value``, of 64 bits, in groups of 7, lowest first; all but the last have the top bit set (LEB128)."""
    if not 0 <= value < 1 << 64:
        raise OverflowError(f"{value} has more than 64 bits")
    groups = [value >> shift & 0x7F for shift in range(0, max(1, value.bit_length()), 7)]
    return bytes([group | 0x80 for group in groups[:-1]] + groups[-1:])


def _fails(value: object, depth: int) -> bool:
    try:
        _encoded(value, depth)
    except EncodeError:
        return True
    return False


def _encoded(value: Any, depth: int) -> bytes:
    kind = type(value)
    if kind in _PLAIN:
        return _PLAIN[kind](value)
    if kind in SHAPES or kind in _NESTING:
        if depth >= DEPTH_MAX:
            raise EncodeError("message", f"nested deeper than {DEPTH_MAX}, or it contains itself")
        return _message(value, SHAPES[kind], depth + 1) if kind in SHAPES else _NESTING[kind](value, depth + 1)
    if kind in TO_PAYLOAD:
        return _scalar(value, *TO_PAYLOAD[kind])
    if kind in STR_TYPES:
        return _str(value)
    raise EncodeError("message", describe(value))


def _scalar(value: object, code: int, write: Callable[[Any], bytes]) -> bytes:
    try:
        return _extension(code, write(value))
    except ValueError as error:
        raise EncodeError("message", str(error)) from None


def _length(length: int, short_tag: int, short_max: int, tag: int | None, tag16: int) -> bytes:
    """The shortest head with this length: in the tag, or behind it in 8 (if there is such a ``tag``), 16, 32 bits."""
    if length <= short_max:
        return bytes([short_tag | length])
    if tag is not None and length <= 0xFF:
        return bytes([tag, length])
    if length <= 0xFFFF:
        return struct.pack(">BH", tag16, length)
    return struct.pack(">BI", tag16 + 1, length)


def _str(value: str) -> bytes:
    try:
        text = value.encode()
    except UnicodeEncodeError:
        raise EncodeError("message", "a str with a lone surrogate has no UTF-8 form") from None
    return _length(len(text), 0xA0, 31, 0xD9, 0xDA) + text


def _bytes(value: bytes) -> bytes:
    return _length(len(value), 0, -1, 0xC4, 0xC5) + value


def _int(value: int) -> bytes:
    if -32 <= value < 0x80:
        return bytes([value & 0xFF])
    formats = [(0xCC, "B"), (0xCD, "H"), (0xCE, "I"), (0xCF, "Q")]
    if value < 0:
        formats = [(0xD0, "b"), (0xD1, "h"), (0xD2, "i"), (0xD3, "q")]
    for tag, number in formats:
        try:
            return struct.pack(f">B{number}", tag, value)
        except struct.error:
            continue
    bits = (value if value >= 0 else ~value).bit_length()
    return _extension(EXT_INT, value.to_bytes(bits // 8 + 1, "big", signed=True))


def _extension(code: int, payload: bytes) -> bytes:
    if len(payload) <= 0xFF:
        return struct.pack(">BBb", 0xC7, len(payload), code) + payload
    return struct.pack(">BIb", 0xC9, len(payload), code) + payload


def _array(parts: Iterable[bytes]) -> bytes:
    parts = list(parts)
    return _length(len(parts), 0x90, 15, None, 0xDC) + b"".join(parts)


def _dict(value: dict[object, object], depth: int) -> bytes:
    pairs = [_encoded(key, depth) + _encoded(part, depth) for key, part in value.items()]
    return _length(len(pairs), 0x80, 15, None, 0xDE) + b"".join(pairs)


def _list(value: Iterable[object], depth: int) -> bytes:
    return _array(_encoded(part, depth) for part in value)


def _tuple(value: tuple[object, ...], depth: int) -> bytes:
    return _extension(EXT_TUPLE, _list(value, depth))


def _set(value: set[object] | frozenset[object], depth: int) -> bytes:
    code = EXT_SET if type(value) is set else EXT_FROZENSET
    return _extension(code, _array(sorted(_encoded(element, depth) for element in value)))


def _identifier(value: Pid | Ref) -> bytes:
    code = EXT_PID if type(value) is Pid else EXT_REF
    return _extension(code, _str(value.node) + _int(value.incarnation) + _int(value.id))


def _message(value: Any, shape: Shape, depth: int) -> bytes:
    parts = [_str(shape.tag)]
    if shape.names is None:
        if shape.cls._member_map_.get(value._name_) is not value:  # type: ignore[attr-defined]
            raise EncodeError("message", f"{value!r} is no single member of its enum")
        return _extension(EXT_ENUM, _array([*parts, _str(value._name_)]))
    for name in shape.names:
        if not hasattr(value, name):
            raise EncodeError("message", f"its field {name!r} is not set")
        parts.append(_encoded(getattr(value, name), depth))
    return _extension(EXT_MESSAGE, _array(parts))


_PLAIN: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda value: b"\xc0",
    bool: lambda value: b"\xc3" if value else b"\xc2",
    int: _int,
    float: lambda value: struct.pack(">Bd", 0xCB, value),
    str: _str,
    bytes: _bytes,
    Pid: _identifier,
    Ref: _identifier,
}
_NESTING: dict[type, Callable[[Any, int], bytes]] = {
    dict: _dict,
    list: _list,
    tuple: _tuple,
    set: _set,
    frozenset: _set,
}
