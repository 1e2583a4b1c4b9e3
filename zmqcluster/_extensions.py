"""The extension numbers of the wire, and the scalars that travel as one: what each number's payload is.

    ext 1 tuple      one array            ext 8  Decimal     its text, ASCII, as ``str`` writes it
        2 set        one array, sorted        9  UUID        16 bytes
        3 frozenset  one array, sorted        10 enum        one array: tag, member name
        4 big int    signed, big endian       11 message     one array: tag, field values
        5 Pid        node, incarnation, id    12 date        i32 ordinal
        6 Ref        node, incarnation, id    13 time        like datetime
        7 datetime   wall clock (see below)   14 timedelta   i32 days, i32 seconds, i32 microseconds

A wall clock is an i64 of microseconds; a naive one with ``fold=1`` adds the byte 1, an aware one adds its offset from
UTC as an i64 of microseconds. An aware one comes back with that fixed offset: names of zones do not travel.

Rule: a number, once given, keeps its meaning for ever. The functions here raise ValueError and nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Context, Decimal
from typing import Any
from uuid import UUID

__all__ = ["FROM_PAYLOAD", "TO_PAYLOAD"]

EXT_TUPLE = 1
EXT_SET = 2
EXT_FROZENSET = 3
EXT_INT = 4
EXT_PID = 5
EXT_REF = 6
EXT_DATETIME = 7
EXT_DECIMAL = 8
EXT_UUID = 9
EXT_ENUM = 10
EXT_MESSAGE = 11
EXT_DATE = 12
EXT_TIME = 13
EXT_TIMEDELTA = 14

_EPOCH = datetime(1970, 1, 1)
_MIDNIGHT = datetime.min
_MICROSECOND = timedelta(microseconds=1)
_CLOCK = struct.Struct(">q")
_CLOCK_FOLDED = struct.Struct(">qB")
_CLOCK_OFFSET = struct.Struct(">qq")
_DATE = struct.Struct(">i")
_TIMEDELTA = struct.Struct(">iii")
_DECIMAL = Context(capitals=1)  # the caller's own context may write "e" for "E"


def _clock_to_bytes(wall: timedelta, fold: int, offset: timedelta | None) -> bytes:
    if offset is not None:
        return _CLOCK_OFFSET.pack(wall // _MICROSECOND, offset // _MICROSECOND)
    return _CLOCK_FOLDED.pack(wall // _MICROSECOND, 1) if fold else _CLOCK.pack(wall // _MICROSECOND)


def _clock_from_bytes(payload: bytes) -> tuple[timedelta, int, tzinfo | None]:
    if len(payload) == _CLOCK.size:
        return timedelta(microseconds=_CLOCK.unpack(payload)[0]), 0, None
    if len(payload) == _CLOCK_OFFSET.size:
        wall_us, offset_us = _CLOCK_OFFSET.unpack(payload)
        return timedelta(microseconds=wall_us), 0, timezone(timedelta(microseconds=offset_us))
    if len(payload) == _CLOCK_FOLDED.size and payload[-1] == 1:
        return timedelta(microseconds=_CLOCK_FOLDED.unpack(payload)[0]), 1, None
    raise ValueError


def _datetime_to_bytes(value: datetime) -> bytes:
    return _clock_to_bytes(value.replace(tzinfo=None) - _EPOCH, value.fold, value.utcoffset())


def _datetime_from_bytes(payload: bytes) -> datetime:
    wall, fold, zone = _clock_from_bytes(payload)
    return (_EPOCH + wall).replace(fold=fold, tzinfo=zone)


def _time_to_bytes(value: time) -> bytes:
    wall = datetime.combine(_MIDNIGHT, value.replace(tzinfo=None)) - _MIDNIGHT
    return _clock_to_bytes(wall, value.fold, value.utcoffset())


def _time_from_bytes(payload: bytes) -> time:
    wall, fold, zone = _clock_from_bytes(payload)
    if wall.days:
        raise ValueError
    return (_MIDNIGHT + wall).time().replace(fold=fold, tzinfo=zone)


def _date_from_bytes(payload: bytes) -> date:
    return date.fromordinal(*_DATE.unpack(payload))


def _timedelta_from_bytes(payload: bytes) -> timedelta:
    value = timedelta(*_TIMEDELTA.unpack(payload))
    if _timedelta_to_bytes(value) != payload:  # one duration, one form
        raise ValueError
    return value


def _timedelta_to_bytes(value: timedelta) -> bytes:
    return _TIMEDELTA.pack(value.days, value.seconds, value.microseconds)


def _decimal_to_bytes(value: Decimal) -> bytes:
    return _DECIMAL.to_sci_string(value).encode("ascii")


def _decimal_from_bytes(payload: bytes) -> Decimal:
    value = Decimal(payload.decode("ascii"))
    if _decimal_to_bytes(value) != payload:  # Decimal also reads spaces, underscores and, untrapped, anything as NaN
        raise ValueError
    return value


def _uuid_from_bytes(payload: bytes) -> UUID:
    return UUID(bytes=payload)


def _reader(kind: type, read: Callable[[bytes], object]) -> Callable[[bytes], object]:
    def checked(payload: bytes) -> object:
        try:
            return read(payload)
        except (ValueError, ArithmeticError, struct.error):
            raise ValueError(f"malformed {kind.__name__}") from None

    return checked


def _writer(kind: type, write: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    def checked(value: Any) -> bytes:
        try:
            return write(value)
        except Exception as error:  # a tzinfo is the user's code
            raise ValueError(f"its {kind.__name__} raised {error!r}") from error

    return checked


TO_PAYLOAD: dict[type, tuple[int, Callable[[Any], bytes]]] = {
    datetime: (EXT_DATETIME, _writer(tzinfo, _datetime_to_bytes)),
    Decimal: (EXT_DECIMAL, _decimal_to_bytes),
    UUID: (EXT_UUID, lambda value: value.bytes),
    date: (EXT_DATE, lambda value: _DATE.pack(value.toordinal())),
    time: (EXT_TIME, _writer(tzinfo, _time_to_bytes)),
    timedelta: (EXT_TIMEDELTA, _timedelta_to_bytes),
}
"""Type to (extension number, value to payload)."""

FROM_PAYLOAD: dict[int, Callable[[bytes], object]] = {
    EXT_DATETIME: _reader(datetime, _datetime_from_bytes),
    EXT_DECIMAL: _reader(Decimal, _decimal_from_bytes),
    EXT_UUID: _reader(UUID, _uuid_from_bytes),
    EXT_DATE: _reader(date, _date_from_bytes),
    EXT_TIME: _reader(time, _time_from_bytes),
    EXT_TIMEDELTA: _reader(timedelta, _timedelta_from_bytes),
}
"""Extension number to payload to value."""
