"""The codec against itself written plainly, against the msgpack package, and against whatever bytes come in."""

from __future__ import annotations

from typing import Any

import msgpack
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.values import NOISE, PLAIN, VALUES, same
from zmqcluster import _codec, _reference
from zmqcluster.errors import DecodeError

SETTINGS = settings(max_examples=150, deadline=None)


def outcome(codec: Any, encoded: bytes) -> tuple[str, Any]:
    try:
        return "value", codec.decode(encoded)
    except DecodeError as error:
        return "error", error.args


@SETTINGS
@given(value=VALUES)
def test_a_value_has_the_same_bytes_in_both_codecs_and_comes_back(value: object) -> None:
    encoded = _codec.encode(value)
    assert _reference.encode(value) == encoded
    assert same(_codec.decode(encoded), value)
    assert same(_reference.decode(encoded), value)


@SETTINGS
@given(value=PLAIN)
def test_what_msgpack_has_too_is_msgpack(value: object) -> None:
    packed = msgpack.packb(value, use_bin_type=True)
    for codec in (_codec, _reference):
        assert codec.encode(value) == packed
        assert same(codec.decode(packed), msgpack.unpackb(packed, strict_map_key=False))


@SETTINGS
@given(noise=NOISE)
def test_both_codecs_read_the_same_from_noise(noise: bytes) -> None:
    core, reference = outcome(_codec, noise), outcome(_reference, noise)
    assert same(core, reference)


@SETTINGS
@given(
    value=VALUES,
    changes=st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=3),
    kept=st.floats(0, 1, exclude_max=True),
)
def test_both_codecs_read_the_same_from_changed_and_cut_bytes(
    value: object, changes: list[tuple[int, int]], kept: float
) -> None:
    encoded = _codec.encode(value)
    cut = encoded[: int(len(encoded) * kept)]
    verdict, fields = outcome(_codec, cut)
    assert verdict == "error"
    assert 0 <= fields[0] <= len(cut)
    assert outcome(_reference, cut) == (verdict, fields)
    changed = bytearray(encoded)
    for at, byte in changes:
        changed[at % len(changed)] = byte
    assert same(outcome(_codec, bytes(changed)), outcome(_reference, bytes(changed)))


@SETTINGS
@given(elements=st.sets(st.text(max_size=3) | st.integers(), max_size=8))
def test_equal_sets_have_equal_bytes_whatever_their_history(elements: set[object]) -> None:
    grown: set[object] = set(range(100))
    grown |= elements
    grown -= set(range(100)) - elements
    for codec in (_codec, _reference):
        assert codec.encode(frozenset(grown)) == codec.encode(frozenset(sorted(elements, key=repr)))


@SETTINGS
@given(number=st.integers(0, 2**64 - 1))
def test_a_varint_is_short_and_comes_back(number: int) -> None:
    for codec in (_codec, _reference):
        encoded = codec.encode_varint(number)
        assert codec.decode_varint(encoded) == number
        assert len(encoded) == max(1, -(-number.bit_length() // 7))


@SETTINGS
@given(noise=st.binary(max_size=12))
def test_both_codecs_read_the_same_varint_from_noise(noise: bytes) -> None:
    def read(codec: Any) -> object:
        try:
            return codec.decode_varint(noise)
        except DecodeError as error:
            return error.args

    assert read(_codec) == read(_reference)
