"""The decoder once more, plainly: what _codec.pyx reads, and the errors it raises. See _reference.py."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
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
    FROM_PAYLOAD,
)
from zmqcluster._ids import Pid, Ref
from zmqcluster._messages import SHAPES_BY_TAG, Shape
from zmqcluster.constants import DEPTH_MAX
from zmqcluster.errors import DecodeError

__all__ = ["decode", "decode_varint"]

# What follows the tags from 0xc0 on before their content: a number, or a length.
_FIXED = [None, None, None, None, ">B", ">H", ">I", ">B", ">H", ">I", ">f", ">d", ">B", ">H", ">I", ">Q"]
_FIXED += [">b", ">h", ">i", ">q", None, None, None, None, None, ">B", ">H", ">I", ">H", ">I", ">H", ">I"]


def decode(data: bytes | bytearray | memoryview) -> object:
    """Return the value whose bytes ``data`` is.

    Raises:
        DecodeError: it is not exactly one well-formed value; ``offset`` is where the innermost malformed one begins.
    """
    reader = _Reader(bytes(memoryview(data)))
    value = reader.value(0)
    if reader.left:
        raise DecodeError(reader.at, f"{reader.left} bytes after the value")
    return value


def decode_varint(data: bytes) -> int:
    """Return the number whose bytes ``data`` is.

    Raises:
        DecodeError: it is not exactly one number of at most 64 bits.
    """
    value = 0
    for at, byte in enumerate(data[:10]):
        value |= (byte & 0x7F) << 7 * at
        if byte >= 0x80:
            continue
        if value >= 1 << 64:
            break
        if data[at + 1 :]:
            raise DecodeError(at + 1, f"{len(data) - at - 1} bytes after the value")
        return value
    raise DecodeError(0, "a number is cut off" if len(data) < 10 else "a number exceeds 64 bits")


class _Reader:
    """Reads values one after the other from ``data[at:end]``."""

    def __init__(self, data: bytes, at: int = 0, end: int | None = None) -> None:
        self.data = data
        self.at = at
        self.end = len(data) if end is None else end

    @property
    def left(self) -> int:
        return self.end - self.at

    def value(self, depth: int) -> object:
        head, tag = self.tag()
        if tag < 0x80:
            return tag
        if tag >= 0xE0:
            return tag - 0x100
        if tag < 0xC0:
            return self.short(head, tag, depth)
        if tag in _CONSTANTS:
            return _CONSTANTS[tag]
        if tag == 0xC1:
            raise DecodeError(head, "0xc1 is the tag of nothing")
        number = self.fixed(head, tag)
        if tag in _LENGTHS:
            return _LENGTHS[tag](self, head, number, depth)
        if 0xD4 <= tag <= 0xD8:
            return self.get_extension(head, 1 << (tag - 0xD4), depth)
        return number

    def short(self, head: int, tag: int, depth: int) -> object:
        if tag < 0x90:
            return self.get_dict(head, tag & 15, depth)
        return self.get_list(head, tag & 15, depth) if tag < 0xA0 else self.get_str(head, tag & 31, depth)

    def tag(self) -> tuple[int, int]:
        if not self.left:
            raise DecodeError(self.at, "a value is missing")
        self.at += 1
        return self.at - 1, self.data[self.at - 1]

    def need(self, head: int, size_bytes: int) -> None:
        if self.left < size_bytes:
            raise DecodeError(head, f"cut off: {size_bytes} bytes needed, {self.left} left")

    def nesting(self, head: int, depth: int) -> None:
        if depth >= DEPTH_MAX:
            raise DecodeError(head, f"nested deeper than {DEPTH_MAX}")

    def take(self, head: int, size_bytes: int) -> bytes:
        self.need(head, size_bytes)
        self.at += size_bytes
        return self.data[self.at - size_bytes : self.at]

    def fixed(self, head: int, tag: int) -> Any:
        layout = _FIXED[tag - 0xC0]
        return 0 if layout is None else struct.unpack(layout, self.take(head, struct.calcsize(layout)))[0]

    def get_str(self, head: int, size_bytes: int, depth: int = 0) -> str:
        content = self.take(head, size_bytes)
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise DecodeError(head, "not UTF-8") from None

    def get_bytes(self, head: int, size_bytes: int, depth: int) -> bytes:
        return self.take(head, size_bytes)

    def get_list(self, head: int, count: int, depth: int) -> list[object]:
        self.nesting(head, depth)
        self.need(head, count)
        return [self.value(depth + 1) for _ in range(count)]

    def get_dict(self, head: int, count: int, depth: int) -> dict[object, object]:
        self.nesting(head, depth)
        self.need(head, 2 * count)
        value: dict[object, object] = {}
        for _ in range(count):
            key_head = self.at
            key = self.value(depth + 1)
            _check(hash, key, key_head, "be a key")
            part = self.value(depth + 1)
            _check(partial(_set_item, value, part), key, key_head, "be a key")
        return value

    def get_extension(self, head: int, size_bytes: int, depth: int) -> object:
        self.need(head, size_bytes + 1)
        (code,) = struct.unpack(">b", self.take(head, 1))
        payload = _Reader(self.data, self.at, self.at + size_bytes)
        self.at += size_bytes
        value = _Payload(payload, head, code).value(depth)
        if payload.left:
            raise DecodeError(head, f"{payload.left} bytes too many in extension {code}")
        return value


_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
_LENGTHS: dict[int, Callable[[_Reader, int, int, int], object]] = {
    **dict.fromkeys((0xC4, 0xC5, 0xC6), _Reader.get_bytes),
    **dict.fromkeys((0xC7, 0xC8, 0xC9), _Reader.get_extension),
    **dict.fromkeys((0xD9, 0xDA, 0xDB), _Reader.get_str),
    **dict.fromkeys((0xDC, 0xDD), _Reader.get_list),
    **dict.fromkeys((0xDE, 0xDF), _Reader.get_dict),
}


def _set_item(value: dict[object, object], part: object, key: object) -> None:
    value[key] = part


def _check(accept: Callable[[Any], object], value: object, head: int, role: str) -> None:
    """Hashing and comparing are the code of the value's class."""
    try:
        accept(value)
    except Exception:
        raise DecodeError(head, f"{type(value).__name__} cannot {role}") from None


class _Payload:
    """Reads the content of one extension, whose tag is at ``head``."""

    def __init__(self, reader: _Reader, head: int, code: int) -> None:
        self.reader, self.head, self.code = reader, head, code

    def value(self, depth: int) -> object:
        if self.code in (EXT_PID, EXT_REF):
            kind = Pid if self.code == EXT_PID else Ref
            return kind(self.text(), self.unsigned(), self.unsigned())
        if self.code == EXT_INT or self.code in FROM_PAYLOAD:
            return self.scalar(self.reader.take(self.head, self.reader.left))
        if self.code not in (EXT_TUPLE, EXT_SET, EXT_FROZENSET, EXT_ENUM, EXT_MESSAGE):
            raise DecodeError(self.head, f"unknown extension {self.code}")
        self.reader.nesting(self.head, depth)
        count = self.count()
        if self.code in (EXT_ENUM, EXT_MESSAGE):
            return self.message(count, depth + 1)
        if self.code == EXT_TUPLE:
            return tuple([self.reader.value(depth + 1) for _ in range(count)])
        elements = self.elements(count, depth + 1)
        return elements if self.code == EXT_SET else frozenset(elements)

    def text(self) -> str:
        head, tag = self.reader.tag()
        if not 0xA0 <= tag < 0xC0 and tag not in (0xD9, 0xDA, 0xDB):
            raise DecodeError(head, "not a str")
        return self.reader.get_str(head, tag & 31 if tag < 0xC0 else self.reader.fixed(head, tag))

    def unsigned(self) -> int:
        head, tag = self.reader.tag()
        if tag >= 0x80 and tag not in (0xCC, 0xCD, 0xCE, 0xCF):
            raise DecodeError(head, "not an unsigned number")
        return tag if tag < 0x80 else int(self.reader.fixed(head, tag))

    def count(self) -> int:
        head, tag = self.reader.tag()
        if not 0x90 <= tag < 0xA0 and tag not in (0xDC, 0xDD):
            raise DecodeError(head, "not an array")
        count = tag & 15 if tag < 0xA0 else int(self.reader.fixed(head, tag))
        self.reader.need(head, count)
        return count

    def scalar(self, content: bytes) -> object:
        if self.code == EXT_INT:
            if not content:
                raise DecodeError(self.head, "a number without digits")
            return int.from_bytes(content, "big", signed=True)
        try:
            return FROM_PAYLOAD[self.code](content)
        except ValueError as error:
            raise DecodeError(self.head, str(error)) from None

    def elements(self, count: int, depth: int) -> set[object]:
        elements: set[object] = set()
        for _ in range(count):
            head = self.reader.at
            _check(elements.add, self.reader.value(depth), head, "be in a set")
        return elements

    def message(self, count: int, depth: int) -> object:
        tag_head = self.reader.at
        tag = self.text()
        shape = SHAPES_BY_TAG.get(tag)
        if shape is None:
            raise DecodeError(tag_head, f"unknown tag {tag!r}")
        if (shape.names is None) != (self.code == EXT_ENUM):
            raise DecodeError(tag_head, f"{tag!r} is another kind of tag")
        if count != 1 + (1 if shape.names is None else len(shape.names)):
            raise DecodeError(self.head, f"wrong number of fields for {tag!r}: {count - 1}")
        if shape.names is None:
            return self.member(shape)
        values = [self.reader.value(depth) for _ in shape.names]
        try:
            return shape.build(values)
        except Exception as error:
            raise DecodeError(self.head, shape.refusal(error)) from None

    def member(self, shape: Shape) -> object:
        head = self.reader.at
        name = self.text()
        members: dict[str, object] = shape.cls._member_map_  # type: ignore[attr-defined]
        if name not in members:
            raise DecodeError(head, f"{shape.tag!r} has no member {name!r}")
        return members[name]
