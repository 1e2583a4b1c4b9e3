"""What the tests of the codec send: classes that may cross a link, strategies of values, and a strict equality."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, StrEnum
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from zmqcluster import exits
from zmqcluster._codec import message, register_str
from zmqcluster._ids import Pid, Ref
from zmqcluster._reference import encode


@message(tag="test.Deposit")
@dataclass(frozen=True)
class Deposit:
    account: str
    amount: Any = Decimal(0)
    note: str = field(default="local", compare=False)


@message(tag="test.Limit")
@dataclass(frozen=True, slots=True)
class Limit:
    """Checks what it is made of."""

    amount: int

    def __post_init__(self) -> None:
        if self.amount < 0:
            raise ValueError("a limit is not negative")


@message(tag="test.Named")
@dataclass(frozen=True, kw_only=True)
class Named:
    first: str
    last: Any = None


@message(tag="test.Colour")
class Colour(Enum):
    RED = 1
    GREEN = 2
    VERT = 2  # noqa: PIE796  an alias of GREEN


@message(tag="test.Region")
class Region(StrEnum):
    NORTH = "north"


@message(tag="test.Right")
class Right(Flag):
    READ = 1
    WRITE = 2


class Label(str):
    """A str with more methods; sent as a plain one."""


register_str(Label)

NUMBERS = [0, 1, 31, 127, 128, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1]
NATIVE_NUMBERS = [*NUMBERS, -1, -32, -33, -128, -129, -32768, -32769, -(2**31), -(2**31) - 1, -(2**63)]
BIG_NUMBERS = [2**64, 2**71 - 1, 2**71, -(2**63) - 1, -(2**71), -(2**71) - 1, 3**999, -(3**999)]

EXAMPLES: list[object] = [
    None,
    True,
    1.5,
    "zakāt",
    b"\x00\xff",
    [1, [2, []]],
    {"id": 7, 8: {"x": None}, ("a", 1): "tuple key"},
    ("process", {"amount": 1000}),
    (),
    {3, 1, 2},
    frozenset({"a", "b", (1, 2)}),
    2**70,
    Pid("orders@10.0.0.7:7101", 2**63, 12),
    Ref("a@h", 1, 2**64 - 1),
    datetime(2024, 3, 10, 12, 30, 0, 999999),
    datetime(2024, 3, 10, 12, 30, tzinfo=timezone(timedelta(hours=-5, minutes=-30))),
    date(2024, 2, 29),
    time(23, 59, 59, 1),
    timedelta(days=-1, microseconds=1),
    Decimal("-1.50E+7"),
    UUID(int=2**127 + 5),
    Deposit("DON-1", Decimal("2.50")),
    Limit(5),
    Named(first="a", last=[1]),
    Colour.GREEN,
    Region.NORTH,
    Right.WRITE,
    exits.Crashed("ValueError", "no", "trace"),
    [exits.Normal(), exits.Shutdown(("why",)), exits.NoConnection("b@h")],
]

_words = st.integers(0, 2**64 - 1)
_zones = st.none() | st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
_scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.sampled_from(NATIVE_NUMBERS) | st.text()
_scalars = _scalars | st.floats() | st.binary() | st.text("k", min_size=28, max_size=34)

PLAIN = st.recursive(
    _scalars,
    lambda parts: st.lists(parts, max_size=6) | st.dictionaries(st.text() | st.integers(0, 99), parts, max_size=6),
    max_leaves=8,
)
"""Values that msgpack has too."""

_hashable = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.builds(Pid, st.text(), _words, _words),
    lambda parts: st.tuples(parts, parts) | st.frozensets(parts, max_size=3),
    max_leaves=4,
)
_leaves = _hashable | st.floats() | st.builds(Ref, st.text(), _words, _words) | st.decimals() | st.uuids()
# An offset from UTC says what ``fold`` would: only naive ones keep it.
_clocks = (st.datetimes(timezones=_zones) | st.times(timezones=_zones)).map(
    lambda clock: clock if clock.tzinfo is None else clock.replace(fold=0)
)
_leaves = _leaves | _clocks | st.dates() | st.timedeltas()
_leaves = _leaves | st.sampled_from([*Colour, *Region, *Right, exits.Normal(), *BIG_NUMBERS])

VALUES = st.recursive(
    _leaves,
    lambda parts: (
        st.lists(parts, max_size=5)
        | st.lists(parts, max_size=5).map(tuple)
        | st.dictionaries(_hashable, parts, max_size=5)
        | st.sets(_hashable, max_size=4)
        | st.builds(Deposit, st.text(), parts)
        | st.builds(Named, first=st.text(), last=parts)
        | st.builds(exits.Shutdown, parts)
    ),
    max_leaves=8,
)
"""Any value that can be sent."""

_tags = st.integers(0x80, 0xFF).map(lambda tag: bytes([tag]))
_extensions = st.tuples(st.integers(0, 6), st.integers(0, 15)).map(lambda parts: bytes([0xC7, *parts]))
_pieces = _tags | _extensions | st.sampled_from([b"\x90", b"\x91\x01", b"\xa1a", b"\x01", b"\xabtest.Colour"])
NOISE = st.binary(max_size=40) | st.lists(_pieces, max_size=12).map(b"".join)
"""Bytes that are a value by chance only, but often begin like one."""


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal in types, parts and order as well, NaN being itself."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return struct.pack("d", left) == struct.pack("d", right) or left != left != right != right
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return same(list(left.items()), list(right.items()))
    if isinstance(left, set | frozenset):
        return same(sorted(left, key=encode), sorted(right, key=encode))
    if is_dataclass(left):
        return all(same(getattr(left, each.name), getattr(right, each.name)) for each in fields(left))
    if isinstance(left, Decimal | datetime | time):  # == overlooks signs of zero, NaN, fold and zone
        return repr(left) == repr(right)
    return bool(left == right)
