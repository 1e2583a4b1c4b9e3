"""Control messages to bytes and back: HELLO and its answers, a few per session. The only module that imports msgpack.

A control message is a dict with str keys of None, bool, int, float, str, bytes, lists and dicts; a tuple is written as
a list. It is the first thing a stranger sends, so whatever is larger, deeper or of another kind than a control message
needs is refused, and lengths are checked before anything is allocated. Messages of processes go through the core.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgpack  # type: ignore[import-untyped]  # it ships no types

from zmqcluster.constants import CONTROL_BYTES_MAX
from zmqcluster.errors import DecodeError, EncodeError, FrameTooLarge

__all__ = ["pack", "unpack"]

DEPTH_MAX = 8
SCALARS = (type(None), bool, int, float, str, bytes)


def pack(fields: Mapping[str, Any], limit_bytes: int = CONTROL_BYTES_MAX) -> bytes:
    """Return the bytes of a control message.

    Raises:
        EncodeError: a key is no str, or a value is none that a control message may hold.
        FrameTooLarge: it takes more than ``limit_bytes``.
    """
    try:
        _check(dict(fields), 0)
        packed = cast(bytes, msgpack.packb(dict(fields), use_bin_type=True))
    except (TypeError, ValueError, OverflowError) as error:  # ValueError includes lone surrogates
        raise EncodeError("control message", str(error)) from None
    if len(packed) > limit_bytes:
        raise FrameTooLarge(len(packed), limit_bytes)
    return packed


def unpack(frame: bytes, limit_bytes: int = CONTROL_BYTES_MAX) -> dict[str, Any]:
    """Return the control message whose bytes ``frame`` is.

    Raises:
        DecodeError: it is longer than ``limit_bytes``, or not exactly one control message. ``offset`` is where reading
            stopped, 0 where the message as a whole is not what it should be.
    """
    if len(frame) > limit_bytes:
        raise DecodeError(limit_bytes, f"{len(frame)} bytes where {limit_bytes} are allowed")
    unpacker = _unpacker(max(1, len(frame)))
    unpacker.feed(frame)
    try:
        fields = unpacker.unpack()
    except (ValueError, msgpack.UnpackException, TypeError, RecursionError) as error:
        raise DecodeError(unpacker.tell(), f"no control message: {type(error).__name__}") from None
    if unpacker.tell() != len(frame):
        raise DecodeError(unpacker.tell(), f"{len(frame) - unpacker.tell()} bytes after the control message")
    if type(fields) is not dict:
        raise DecodeError(0, f"a control message is a dict, not {type(fields).__name__}")
    try:
        _check(fields, 0)
    except TypeError as error:
        raise DecodeError(0, str(error)) from None
    return fields


def _unpacker(size_bytes: int) -> msgpack.Unpacker:
    return msgpack.Unpacker(
        raw=False,
        strict_map_key=True,
        max_buffer_size=size_bytes,
        max_str_len=size_bytes,
        max_bin_len=size_bytes,
        max_array_len=size_bytes,
        max_map_len=size_bytes,
        max_ext_len=0,
    )


def _check(value: object, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise TypeError(f"nested deeper than {DEPTH_MAX}")
    if isinstance(value, dict):
        for key, part in value.items():
            if not isinstance(key, str):
                raise TypeError(f"a key is a str, not {type(key).__name__}")
            if type(part) not in SCALARS:  # nearly all are: a call for each would be half of the work
                _check(part, depth + 1)
    elif isinstance(value, list | tuple) and type(value) in (list, tuple):  # not ExtType, a named tuple
        for part in value:
            if type(part) not in SCALARS:
                _check(part, depth + 1)
    elif not isinstance(value, SCALARS):
        raise TypeError(f"no value of a control message: {type(value).__name__}")
