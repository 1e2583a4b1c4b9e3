"""Control messages: what they may hold, and what a stranger's bytes may not do."""

from __future__ import annotations

import random
from typing import Any

import pytest

from zmqcluster.constants import CONTROL_BYTES_MAX
from zmqcluster.errors import DecodeError, EncodeError, FrameTooLarge
from zmqcluster.ids import NodeName
from zmqcluster.wire.codec import pack, unpack

HELLO = {"name": "a@10.0.0.7", "epoch": 2**64 - 1, "versions": [1, 2], "key": b"\x00", "more": {"lag": 0.5, "ok": None}}


def test_unpack_of_what_was_packed_is_the_same() -> None:
    assert unpack(pack(HELLO)) == HELLO


def test_pack_writes_tuples_as_lists_and_names_as_text() -> None:
    unpacked = unpack(pack({"versions": (1, 2), "name": NodeName("a@h")}))
    assert unpacked == {"versions": [1, 2], "name": "a@h"}
    assert type(unpacked["name"]) is str


def test_pack_of_an_empty_message_is_one_byte() -> None:
    assert pack({}) == b"\x80"
    assert unpack(b"\x80") == {}


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"a": object()}, "no value of a control message: object"),
        ({"a": [{1}]}, "no value of a control message: set"),
        ({1: "a"}, "a key is a str, not int"),
        ({"a": {b"b": 1}}, "a key is a str, not bytes"),
        ({"a": CYCLE}, "nested deeper than 8"),
        ({"a": 2**64}, "Integer value out of range"),
        ({"a": "\ud800"}, "surrogates not allowed"),
    ],
    ids=["object", "set", "int-key", "bytes-key", "cycle", "big", "surrogate"],
)
def test_pack_of_what_a_control_message_cannot_hold_is_refused(fields: Any, problem: str) -> None:
    with pytest.raises(EncodeError, match=problem):
        pack(fields)


def test_pack_beyond_the_limit_is_refused() -> None:
    with pytest.raises(FrameTooLarge):
        pack({"a": "x" * CONTROL_BYTES_MAX})
    with pytest.raises(FrameTooLarge):
        pack(HELLO, 10)


def test_unpack_at_the_limit_is_allowed_and_beyond_it_refused() -> None:
    packed = pack(HELLO)
    assert unpack(packed, len(packed)) == HELLO
    with pytest.raises(DecodeError) as caught:
        unpack(packed, len(packed) - 1)
    assert caught.value.offset == len(packed) - 1


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        (b"", "OutOfData"),
        (b"\x01", "a control message is a dict, not int"),
        (b"\x80\x80", "1 bytes after the control message"),
        (b"\xc1", "FormatError"),
        (b"\x81\x01\x02", "ValueError"),
        (b"\x81\xc4\x01a\x02", "a key is a str, not bytes"),
        (b"\x81\xa1\xff\x01", "UnicodeDecodeError"),
        (b"\x81\xa1a\xd4\x01\x01", "ValueError"),
        (b"\x81\xa1a\xc7\x00\x01", "no value of a control message: ExtType"),
        (b"\x81\xa1a\xd6\xff\x00\x00\x00\x00", "ValueError"),
        (b"\x81\xa1a" + b"\x91" * 20 + b"\xc0", "nested deeper than 8"),
        (b"\x81\xa1a" + b"\x91" * 2000 + b"\xc0", "StackError"),
        (b"\x81\xa1a\xdd\xff\xff\xff\xff", "ValueError"),
        (b"\xdf\xff\xff\xff\xff", "ValueError"),
        (b"\x81\xa1a\xdb\xff\xff\xff\xff", "OutOfData"),
    ],
    ids=lambda part: part[:8].hex() if isinstance(part, bytes) else part,
)
def test_unpack_of_what_is_no_control_message_is_refused(frame: bytes, problem: str) -> None:
    with pytest.raises(DecodeError, match=problem):
        unpack(frame)


def test_unpack_of_every_beginning_is_refused() -> None:
    packed = pack(HELLO)
    for length in range(len(packed)):
        with pytest.raises(DecodeError):
            unpack(packed[:length])


def test_unpack_of_changed_bytes_gives_a_dict_or_an_error() -> None:
    draw = random.Random(7)
    packed, errors = pack(HELLO), 0
    for _ in range(500):
        frame = bytearray(packed)
        frame[draw.randrange(len(frame))] = draw.randrange(256)
        try:
            assert all(isinstance(key, str) for key in unpack(bytes(frame)))
        except DecodeError:
            errors += 1
    assert 0 < errors < 500
