"""The codec: its bytes, its limits, and its errors, compiled and plain."""

from __future__ import annotations

import tracemalloc
from collections import OrderedDict, namedtuple
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Context, Decimal, localcontext
from enum import Enum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgpack
import pytest

from tests.support.values import (
    BIG_NUMBERS,
    EXAMPLES,
    NATIVE_NUMBERS,
    Colour,
    Deposit,
    Label,
    Limit,
    Named,
    Region,
    Right,
    same,
)
from zmqcluster import _codec, _reference, exits
from zmqcluster._ids import Pid, Ref
from zmqcluster.constants import DEPTH_MAX, MESSAGE_BYTES_MAX
from zmqcluster.errors import ConfigError, DecodeError, EncodeError, FrameTooLarge


@pytest.fixture(params=[_codec, _reference], ids=["core", "reference"])
def codec(request: pytest.FixtureRequest) -> Any:
    return request.param


# --- what the bytes are: they never change, for nodes of two versions meet

FROZEN = [
    (None, "c0"),
    (True, "c3"),
    (-1, "ff"),
    (1.5, "cb3ff8000000000000"),
    ("é", "a2c3a9"),
    (b"\x07", "c40107"),
    ([1, 2], "920102"),
    ({"n": 7}, "81a16e07"),
    (("a", []), "c7040192a16190"),
    ((), "c7010190"),
    ({2, 1}, "c70302920102"),
    (frozenset({"b", "a"}), "c7050392a161a162"),
    (2**64, "c70904010000000000000000"),
    (-(2**63) - 1, "c70904ff7fffffffffffffff"),
    (Pid("a@h", 300, 5), "c70805a3614068cd012c05"),
    (Ref("a@h", 1, 2), "c70606a36140680102"),
    (datetime(1970, 1, 1, 0, 0, 1), "c7080700000000000f4240"),
    (datetime(1970, 1, 1, fold=1), "c70907000000000000000001"),
    (datetime(1970, 1, 1, tzinfo=timezone(timedelta(seconds=1))), "c7100700000000000000000000" + "0000000f4240"),
    (Decimal("1.50"), "c70408312e3530"),
    (UUID(int=1), "c71009" + "00" * 15 + "01"),
    (Colour.VERT, "c7130a92ab" + b"test.Colour".hex() + "a5" + b"GREEN".hex()),
    (Deposit("x", 1), "c7110b93ac" + b"test.Deposit".hex() + "a17801"),
    (date(1, 1, 2), "c7040c00000002"),
    (time(0, 0, 1), "c7080d00000000000f4240"),
    (timedelta(days=-1, seconds=2, microseconds=3), "c70c0effffffff0000000200000003"),
    (exits.Normal(), "c70d0b91ab" + b"exit.Normal".hex()),
]


@pytest.mark.parametrize(("value", "encoded"), FROZEN, ids=[repr(value) for value, _ in FROZEN])
def test_encode_of_a_value_gives_the_frozen_bytes(codec: Any, value: object, encoded: str) -> None:
    assert codec.encode(value).hex() == encoded
    assert same(codec.decode(bytes.fromhex(encoded)), value if value is not Colour.VERT else Colour.GREEN)


@pytest.mark.parametrize("value", EXAMPLES, ids=repr)
def test_decode_of_an_example_gives_it_back(codec: Any, value: object) -> None:
    assert same(codec.decode(codec.encode(value)), value)


@pytest.mark.parametrize("number", NATIVE_NUMBERS)
def test_encode_of_a_number_of_64_bits_is_what_msgpack_writes(codec: Any, number: int) -> None:
    assert codec.encode(number) == msgpack.packb(number)
    assert codec.decode(msgpack.packb(number)) == number


@pytest.mark.parametrize("number", BIG_NUMBERS, ids=lambda number: f"{number.bit_length()}bits")
def test_decode_of_a_big_number_gives_it_back(codec: Any, number: int) -> None:
    assert codec.decode(codec.encode(number)) == number


@pytest.mark.parametrize("length", [0, 15, 16, 31, 32, 255, 256, 65535, 65536])
@pytest.mark.parametrize("one", ["x", b"x", [None]], ids=["str", "bytes", "list"])
def test_encode_at_each_length_is_what_msgpack_writes(codec: Any, one: Any, length: int) -> None:
    value = one * length
    assert codec.encode(value) == msgpack.packb(value)
    assert codec.decode(codec.encode(value)) == value


@pytest.mark.parametrize("length", [0, 15, 16, 65536])
def test_encode_of_a_dict_at_each_length_is_what_msgpack_writes(codec: Any, length: int) -> None:
    value = dict.fromkeys(range(length))
    assert codec.encode(value) == msgpack.packb(value)
    assert codec.decode(codec.encode(value)) == value


@pytest.mark.parametrize("length", [252, 253, 254, 300, 70000, 1])
def test_an_extension_has_the_short_head_up_to_255_bytes(codec: Any, length: int) -> None:
    value = (b"x" * length,)  # in this order: a wrong guess of the head is put right in both directions
    encoded = codec.encode(value)
    assert encoded[0] == (0xC7 if length <= 252 else 0xC9)
    assert codec.decode(encoded) == value


@pytest.mark.parametrize("form", ["d60c00000002", "c8000" + "40c00000002", "c9000000040c00000002"])
def test_decode_takes_every_form_of_an_extension(codec: Any, form: str) -> None:
    assert codec.decode(bytes.fromhex(form)) == date(1, 1, 2)


def test_decode_takes_every_buffer_of_bytes(codec: Any) -> None:
    assert codec.decode(bytearray(b"\x93\x01\x02\x03")) == [1, 2, 3]
    assert codec.decode(memoryview(b"--\x93\x01\x02\x03")[2:]) == [1, 2, 3]
    with pytest.raises(TypeError):
        codec.decode("text")


def test_decode_of_a_short_float_widens_it(codec: Any) -> None:
    assert codec.decode(b"\xca\x3f\xc0\x00\x00") == 1.5


def test_decode_of_a_key_that_comes_twice_keeps_the_last(codec: Any) -> None:
    assert codec.decode(b"\x82\xa1a\x01\xa1a\x02") == {"a": 2}


def test_decode_of_keys_that_share_a_place_in_the_cache_keeps_them_apart(codec: Any) -> None:
    alike = [f"customer{middle:04}_address" for middle in range(20)]  # same length, beginning and end
    many = [f"k{number}" for number in range(5000)]  # more than there are places, some the beginning of others
    for key in ["", *alike, *many, *reversed(many), *alike]:
        assert codec.decode(codec.encode({key: 0})) == {key: 0}


def test_encode_of_a_zone_keeps_the_moment_and_the_offset(codec: Any) -> None:
    summer = datetime(2024, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    arrived = codec.decode(codec.encode(summer))
    assert arrived == summer
    assert arrived.tzinfo == timezone(timedelta(hours=2))


def test_encode_of_a_decimal_ignores_the_context_of_the_caller(codec: Any) -> None:
    with localcontext(Context(prec=2, capitals=0, traps=[])):
        assert same(codec.decode(codec.encode(Decimal("123.45E+9"))), Decimal("123.45E+9"))
        with pytest.raises(DecodeError):
            codec.decode(b"\xc7\x03\x08abc")


def test_encode_of_a_registered_str_sends_a_plain_one(codec: Any) -> None:
    assert type(codec.decode(codec.encode(Label("x")))) is str


# --- messages


def test_fields_without_compare_stay_here(codec: Any) -> None:
    assert codec.decode(codec.encode(Deposit("a", 1, note="mine"))).note == "local"
    crashed = codec.decode(codec.encode(exits.Crashed("E", "text", exception=ValueError("here"))))
    assert (crashed.kind, crashed.exception) == ("E", None)


def test_keyword_fields_find_their_names(codec: Any) -> None:
    assert codec.decode(codec.encode(Named(last=2, first="b"))) == Named(first="b", last=2)


def test_enums_come_back_as_the_very_member(codec: Any) -> None:
    assert codec.decode(codec.encode([Colour.VERT, Region.NORTH, Right.READ])) == [
        Colour.GREEN,
        Region.NORTH,
        Right.READ,
    ]
    assert codec.decode(codec.encode(Colour.RED)) is Colour.RED


def message_bytes(codec: Any, code: int, *parts: object) -> bytes:
    payload = codec.encode(list(parts))
    return bytes([0xC7, len(payload), code]) + payload


@pytest.mark.parametrize(
    ("code", "parts", "offset", "problem"),
    [
        (11, ["test.Nobody", 1], 4, "unknown tag 'test.Nobody'"),
        (10, ["test.Nobody", 1], 4, "unknown tag 'test.Nobody'"),
        (11, ["test.Deposit", "a"], 0, "wrong number of fields for 'test.Deposit': 1"),
        (11, ["test.Deposit", "a", 1, 2], 0, "wrong number of fields for 'test.Deposit': 3"),
        (11, ["test.Limit", -1], 0, "test.Limit refuses its fields: ValueError"),
        (11, ["test.Limit", "x"], 0, "test.Limit refuses its fields: TypeError"),
        (11, ["test.Colour", "RED"], 4, "'test.Colour' is another kind of tag"),
        (10, ["test.Limit", 1], 4, "'test.Limit' is another kind of tag"),
        (10, ["test.Colour"], 0, "wrong number of fields for 'test.Colour': 0"),
        (10, ["test.Colour", "BLUE"], 16, "'test.Colour' has no member 'BLUE'"),
        (10, ["test.Colour", 1], 16, "not a str"),
        (11, [7], 4, "not a str"),
        (11, [], 4, "a value is missing"),
    ],
)
def test_decode_of_a_message_that_is_none_says_where(
    codec: Any, code: int, parts: list[object], offset: int, problem: str
) -> None:
    with pytest.raises(DecodeError) as caught:
        codec.decode(message_bytes(codec, code, *parts))
    assert caught.value.args == (offset, problem)


def test_register_twice_changes_nothing() -> None:
    assert _codec.register_message(Deposit, "test.Deposit") is Deposit
    assert _codec.message(tag="test.Colour")(Colour) is Colour


def test_register_without_a_tag_takes_module_and_name() -> None:
    @_codec.message
    @dataclass(frozen=True)
    class Local:
        part: int

    for codec in (_codec, _reference):
        assert f"{__name__}:{Local.__qualname__}".encode() in codec.encode(Local(1))
        assert codec.decode(codec.encode(Local(1))) == Local(1)


def test_register_of_what_cannot_be_rebuilt_is_refused() -> None:
    @dataclass
    class Mutable:
        part: int

    @dataclass(frozen=True)
    class Hidden:
        part: int = field(compare=False)

    @dataclass(frozen=True)
    class Computed:
        part: int = field(init=False, default=1)

    @dataclass(frozen=True)
    class Other:
        part: int

    for cls in (Mutable, Hidden, Computed, int, dict, Mutable(1)):
        with pytest.raises(ConfigError):
            _codec.register_message(cls)  # type: ignore[arg-type]
    for tag in ("test.Deposit", "", "x" * 256, 7):
        with pytest.raises(ConfigError):
            _codec.register_message(Other, tag)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="registered already"):
        _codec.register_message(Deposit, "test.Deposit2")
    with pytest.raises(ConfigError):
        _codec.register_str(int)  # type: ignore[arg-type]


# --- what cannot be sent


class Unregistered(Enum):
    ONE = 1


@dataclass(frozen=True)
class Larger(Deposit):
    pass


class Broken(tzinfo):
    def utcoffset(self, _: object) -> timedelta:
        raise RuntimeError("no idea")


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


Pair = namedtuple("Pair", "left right")
CULPRIT = Unprintable()
CANNOT_CROSS = f"a value of type {__name__}.Unprintable cannot cross a link"


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (CULPRIT, "message"),
        ({"items": [0, 1, 2, Deposit("a", CULPRIT)]}, "message['items'][3].amount"),
        ([[], ({"a": {1: CULPRIT}},)], "message[1][0]['a'][1]"),
        ({"a": {CULPRIT: 1}}, "the key <Unprintable> of message['a']"),
        ({"a": {(1, CULPRIT): 1}}, "the key <tuple> of message['a']"),
        ({"tags": {CULPRIT}}, "message['tags']{<Unprintable>}"),
        ([frozenset({(CULPRIT,)})], "message[0]{<tuple>}[0]"),
        ({"k" * 100: CULPRIT}, "message['" + "k" * 58 + "…]"),
        (exits.Shutdown([CULPRIT]), "message.detail[0]"),
    ],
    ids=[str(index) for index in range(9)],
)
def test_encode_of_what_cannot_be_sent_names_the_path(codec: Any, value: object, path: str) -> None:
    with pytest.raises(EncodeError) as caught:
        codec.encode(value)
    assert caught.value.args == (path, CANNOT_CROSS)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (lambda: 0, "a value of type function cannot cross a link"),
        (bytearray(b"x"), "a value of type bytearray cannot cross a link"),
        (OrderedDict(a=1), "a value of type collections.OrderedDict cannot cross a link"),
        (Pair(1, 2), f"a value of type {__name__}.Pair cannot cross a link"),
        (Larger("a"), f"{__name__}.Larger is not registered: decorate the class with @message"),
        (Unregistered.ONE, f"{__name__}.Unregistered is not registered: decorate the class with @message"),
        (Right.READ | Right.WRITE, f"{Right.READ | Right.WRITE!r} is no single member of its enum"),
        (object.__new__(Limit), "its field 'amount' is not set"),
        ("a\ud800", "a str with a lone surrogate has no UTF-8 form"),
        (datetime(2024, 1, 1, tzinfo=Broken()), "its tzinfo raised RuntimeError('no idea')"),
    ],
    ids=[str(index) for index in range(10)],
)
def test_encode_of_what_cannot_be_sent_names_the_problem(codec: Any, value: object, problem: str) -> None:
    with pytest.raises(EncodeError) as caught:
        codec.encode([value])
    assert caught.value.args == ("message[0]", problem)


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_encode_goes_as_deep_as_decode_and_no_deeper(codec: Any) -> None:
    assert codec.decode(codec.encode(nested(DEPTH_MAX))) == nested(DEPTH_MAX)
    with pytest.raises(EncodeError, match="nested deeper than 128") as caught:
        codec.encode(nested(DEPTH_MAX + 1))
    assert caught.value.path == "message" + "[0]" * 16 + "…"


def test_encode_of_what_contains_itself_is_refused(codec: Any) -> None:
    values: list[Any] = []
    values.append({"again": (values,)})
    with pytest.raises(EncodeError, match=r"message\[0\]\['again'\]\[0\]\[0\].*…: nested deeper than 128"):
        codec.encode(values)


def test_encode_of_a_message_beyond_the_limit_is_refused(codec: Any) -> None:
    with pytest.raises(FrameTooLarge):
        codec.encode(bytes(MESSAGE_BYTES_MAX - 4))
    assert codec.decode(codec.encode([1])) == [1]


class Intruder(tzinfo):
    """Runs while a message is encoded, and changes it."""

    def __init__(self, change: Any) -> None:
        self.change = change

    def utcoffset(self, _: object) -> timedelta:
        self.change()
        return timedelta(0)


@pytest.mark.parametrize("kind", [list, dict])
def test_encode_of_what_changes_meanwhile_is_refused(kind: type) -> None:
    value: Any = kind()
    late = datetime(2024, 1, 1, tzinfo=Intruder(value.clear))
    value.update(a=late, b=1) if kind is dict else value.extend([late, 1])
    with pytest.raises(EncodeError, match="it changed while it was being encoded"):
        _codec.encode(value)


def test_encode_within_encode_keeps_them_apart() -> None:
    inner: list[bytes] = []
    late = datetime(1970, 1, 1, tzinfo=Intruder(lambda: inner.append(_codec.encode("inner" * 100))))
    outer = _codec.encode(["a" * 100, late, "b" * 100])
    assert _codec.decode(outer) == ["a" * 100, late, "b" * 100]
    assert _codec.decode(inner[0]) == "inner" * 100


# --- what is malformed

MALFORMED = [
    ("", 0, "a value is missing"),
    ("0101", 1, "1 bytes after the value"),
    ("c1", 0, "0xc1 is the tag of nothing"),
    ("92a161", 3, "a value is missing"),
    ("9301", 0, "cut off: 3 bytes needed, 1 left"),
    ("92a261", 1, "cut off: 2 bytes needed, 1 left"),
    ("8101", 0, "cut off: 2 bytes needed, 1 left"),
    ("82a16101a1", 4, "cut off: 1 bytes needed, 0 left"),
    ("cd01", 0, "cut off: 2 bytes needed, 1 left"),
    ("ddffffffff", 0, "cut off: 4294967295 bytes needed, 0 left"),
    ("dfffffffffc0", 0, "cut off: 8589934590 bytes needed, 1 left"),
    ("dbffffffff", 0, "cut off: 4294967295 bytes needed, 0 left"),
    ("c6ffffffff", 0, "cut off: 4294967295 bytes needed, 0 left"),
    ("c9ffffffff01", 0, "cut off: 4294967296 bytes needed, 1 left"),
    ("c70001", 3, "a value is missing"),
    ("c7010101", 3, "not an array"),
    ("c702019101c0", 5, "1 bytes after the value"),
    ("c703019001c0", 0, "2 bytes too many in extension 1"),
    ("c702019301c0", 3, "cut off: 3 bytes needed, 1 left"),
    ("c7040193a16101", 7, "a value is missing"),
    ("91a1ff", 1, "not UTF-8"),
    ("91a3eda080", 1, "not UTF-8"),
    ("819001", 1, "list cannot be a key"),
    ("8190c1", 1, "list cannot be a key"),
    ("81c7020191" + "9001", 1, "tuple cannot be a key"),
    ("c703029190", 0, "cut off: 4 bytes needed, 3 left"),
    ("c702029190", 4, "list cannot be in a set"),
    ("d46301", 0, "unknown extension 99"),
    ("d6ff00000000", 0, "unknown extension -1"),
    ("c70004", 0, "a number without digits"),
    ("c70205c001", 3, "not a str"),
    ("c70405a161ff01", 5, "not an unsigned number"),
    ("c70405a161cd01", 5, "cut off: 2 bytes needed, 1 left"),
    ("c7070700000000000000", 0, "malformed datetime"),
    ("c709070000000000000000" + "02", 0, "malformed datetime"),
    ("c70807" + "7f" * 8, 0, "malformed datetime"),
    ("c71007" + "00" * 8 + "7f" * 8, 0, "malformed datetime"),
    ("c7010831", None, ""),
    ("c7020820" + "31", 0, "malformed Decimal"),
    ("c70108ff", 0, "malformed Decimal"),
    ("c70f09" + "00" * 15, 0, "malformed UUID"),
    ("c7040cffffffff", 0, "malformed date"),
    ("c7080d" + "ff" * 8, 0, "malformed time"),
    ("c70c0e" + "00" * 8 + "7fffffff", 0, "malformed timedelta"),
    ("91" * DEPTH_MAX + "c0", None, ""),
    ("91" * (DEPTH_MAX + 1) + "c0", DEPTH_MAX, "nested deeper than 128"),
]


@pytest.mark.parametrize(("encoded", "offset", "problem"), MALFORMED, ids=[hexed[:24] for hexed, _, _ in MALFORMED])
def test_decode_of_malformed_bytes_says_where_and_why(
    codec: Any, encoded: str, offset: int | None, problem: str
) -> None:
    if offset is None:  # the well-formed neighbour of a malformed one
        assert codec.encode(codec.decode(bytes.fromhex(encoded))).hex() == encoded
        return
    with pytest.raises(DecodeError) as caught:
        codec.decode(bytes.fromhex(encoded))
    assert caught.value.args == (offset, problem)


@_codec.message(tag="test.Unhashable")
@dataclass(frozen=True)
class Unhashable:
    part: Any = None

    def __hash__(self) -> int:
        raise RuntimeError("no hash")


def test_decode_of_a_key_whose_hash_raises_says_where(codec: Any) -> None:
    encoded = codec.encode(Unhashable())
    with pytest.raises(DecodeError, match="at byte 2: Unhashable cannot be a key"):
        codec.decode(b"\x91\x81" + encoded + b"\x01")
    with pytest.raises(DecodeError, match="at byte 4: Unhashable cannot be in a set"):
        codec.decode(bytes([0xC7, len(encoded) + 1, 2, 0x91]) + encoded)


@pytest.mark.parametrize("example", EXAMPLES, ids=repr)
def test_decode_of_every_beginning_of_a_value_is_an_error(codec: Any, example: object) -> None:
    encoded = codec.encode(example)
    for length in range(len(encoded)):
        with pytest.raises(DecodeError) as caught:
            codec.decode(encoded[:length])
        assert 0 <= caught.value.offset <= length


@pytest.mark.parametrize(
    "encoded",
    [
        b"\xdd\x7f\xff\xff\xff" + b"\xc0" * 1000,
        b"\x91" * 120 + b"\xdd\x00\x00\x20\x00" * 1700,
        b"\xdc\x20\x00" + b"\x90" * 0x2000,
        b"\xdc\x20\x00" + b"\x80" * 0x2000,
        b"\xdc\x20\x00" + b"\xc0" * 0x2000,
    ],
    ids=["announced", "announced-within", "lists", "dicts", "nothings"],
)
def test_decode_takes_memory_within_a_constant_times_the_input(codec: Any, encoded: bytes) -> None:
    tracemalloc.start()
    try:
        codec.decode(encoded)
    except DecodeError:
        pass
    finally:
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak_bytes <= 100 * len(encoded) + 65536


def test_varint_of_the_largest_number_has_ten_bytes(codec: Any) -> None:
    assert codec.encode_varint(2**64 - 1).hex() == "ff" * 9 + "01"
    with pytest.raises(OverflowError):
        codec.encode_varint(2**64)


@pytest.mark.parametrize(
    ("encoded", "offset", "problem"),
    [
        ("", 0, "a number is cut off"),
        ("80", 0, "a number is cut off"),
        ("ff" * 9 + "02", 0, "a number exceeds 64 bits"),
        ("ff" * 10 + "01", 0, "a number exceeds 64 bits"),
        ("0501", 1, "1 bytes after the value"),
    ],
)
def test_varint_of_malformed_bytes_says_where(codec: Any, encoded: str, offset: int, problem: str) -> None:
    with pytest.raises(DecodeError) as caught:
        codec.decode_varint(bytes.fromhex(encoded))
    assert caught.value.args == (offset, problem)
