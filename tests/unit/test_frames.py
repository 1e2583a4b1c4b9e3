"""Frames of gossip and of sessions: their bytes, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from zmqcluster.constants import CONTROL_BYTES_MAX
from zmqcluster.errors import ConfigError, DecodeError, FrameTooLarge
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
from zmqcluster.wire.codec import pack, unpack
from zmqcluster.wire.frames import BeatFrame, DeltaFrame, Kind, beat_prefix, decode_gossip, delta_frame
from zmqcluster.wire.schema import decode_control, encode_control

NAME = "b@10.0.0.2:7100"
TAIL = (7).to_bytes(8, "big") + (30).to_bytes(4, "big")
NODE = Introduction(NAME, 2**64 - 1, "c", (1, 3), ("x",), ("ipc:///run/b.ipc", "tcp://10.0.0.2:7100"), ("tcp://x:1",))

# --- gossip


def test_beat_then_its_bytes_are_these() -> None:
    assert beat_prefix("b@h", 258) + TAIL == bytes.fromhex("10 0000000000000102 03 624068 0000000000000007 0000001e")


def test_delta_then_its_bytes_are_these() -> None:
    assert delta_frame("b@h", 1, "é", b"\xc0") == bytes.fromhex("11 0000000000000001 03 624068 02 c3a9 c0")


def test_gossip_then_decoded_as_it_was_said() -> None:
    assert decode_gossip(beat_prefix(NAME, 2**64 - 1) + TAIL) == BeatFrame(NAME, 2**64 - 1, 7, 30)
    assert decode_gossip(delta_frame(NAME, 1, "topic", b"xyz")) == DeltaFrame(NAME, 1, "topic", b"xyz")
    assert decode_gossip(delta_frame(NAME, 1, "", b"")) == DeltaFrame(NAME, 1, "", b"")


def test_topic_too_long_then_error_of_the_caller() -> None:
    assert decode_gossip(delta_frame(NAME, 1, "x" * 255, b"")).name == NAME
    with pytest.raises(ConfigError, match="at most 255 bytes, not 256"):
        delta_frame(NAME, 1, "x" * 256, b"")


@pytest.mark.parametrize("frame", [beat_prefix(NAME, 1) + TAIL, delta_frame(NAME, 1, "topic", b"")])
def test_gossip_cut_anywhere_then_decode_error_within_it(frame: bytes) -> None:
    for length in range(len(frame)):
        with pytest.raises(DecodeError) as raised:
            decode_gossip(frame[:length])
        assert raised.value.offset <= length


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        (beat_prefix(NAME, 1) + TAIL + b"!", "a beat ends with 12 bytes"),
        (b"\x63" + beat_prefix(NAME, 1)[1:] + TAIL, "kind 99"),
        (b"\x10" + bytes(8) + b"\x01\xff" + TAIL, "not UTF-8"),
        (b"", "truncated"),
    ],
)
def test_gossip_malformed_then_decode_error_names_the_problem(frame: bytes, problem: str) -> None:
    with pytest.raises(DecodeError, match=problem):
        decode_gossip(frame)


# --- control

MESSAGES: list[Control] = [
    Hello(NODE, "a@10.0.0.1", 2**64 - 1, 1),
    Welcome(NODE, "a@10.0.0.1", 0, 2**63, 5),
    Refused(5, "cluster", "this is cluster 'x'"),
    Ready(NAME, 9),
    Goodbye(9),
    GoodbyeAck(9),
    Neighbours(9, (Neighbour(NAME, 2**64 - 1, NODE.links), Neighbour("c@10.0.0.3", 1, ()))),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_control_then_decoded_as_it_was_sent(message: Control) -> None:
    frame = encode_control(message)
    assert decode_control(frame) == message
    assert Kind(frame[0]).name.replace("_", "").lower() == type(message).__name__.lower()


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_control_without_one_of_its_fields_then_decode_error_names_it(message: Control) -> None:
    frame = encode_control(message)
    fields = unpack(frame[1:])
    for field in fields:
        rest = {key: value for key, value in fields.items() if key != field}
        with pytest.raises(DecodeError, match=f"field '{field}' is missing"):
            decode_control(frame[:1] + pack(rest))


def test_control_with_a_field_of_a_later_version_then_it_is_ignored() -> None:
    frame = encode_control(MESSAGES[0])
    assert decode_control(frame[:1] + pack(unpack(frame[1:]) | {"zeal": 11})) == MESSAGES[0]


WRONG: list[tuple[str, Any]] = [
    ("name", "no name"),
    ("name", "x@" + "h" * 254),
    ("name", 5),
    ("incarnation", -1),
    ("incarnation", 2**64 - 1.0),
    ("epoch", True),
    ("cluster", "x" * 1_001),
    ("cluster", None),
    ("versions", [1]),
    ("versions", [3, 1]),
    ("versions", ["1", "2"]),
    ("links", "tcp://x"),
    ("links", [1]),
    ("links", ["x"] * 33),
    ("to", b"bytes"),
]


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_control_with_a_wrong_field_then_decode_error_names_it(field: str, value: object) -> None:
    frame = encode_control(MESSAGES[0])
    with pytest.raises(DecodeError, match=f"field '{field}' is "):
        decode_control(frame[:1] + pack(unpack(frame[1:]) | {field: value}))


@pytest.mark.parametrize(
    "nodes",
    ["x", [["c@10.0.0.3", 1]], [["c@10.0.0.3", -1, []]], [["no name", 1, []]], [["c@10.0.0.3", 1, [5]]], [[]] * 1_001],
)
def test_neighbours_that_are_none_then_decode_error(nodes: object) -> None:
    with pytest.raises(DecodeError, match="field 'nodes' is"):
        decode_control(bytes([Kind.NEIGHBOURS]) + pack({"epoch": 1, "nodes": nodes}))


@pytest.mark.parametrize(
    "frame",
    [b"", b"\x01", b"\x63\x80", b"\x02", b"\x02\x90", b"\x02\x80\x80", b"\x02" + b"\x80" * CONTROL_BYTES_MAX],
)
def test_no_control_frame_then_decode_error(frame: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_control(frame)


def test_control_cut_anywhere_then_decode_error() -> None:
    frame = encode_control(MESSAGES[1])
    for length in range(len(frame)):
        with pytest.raises(DecodeError):
            decode_control(frame[:length])


def test_control_too_large_then_not_sent() -> None:
    def hello(links: int) -> Hello:
        return Hello(Introduction(NAME, 1, "c", links=("tcp://" + "x" * 900,) * links), "a@h", 1, 1)

    assert len(encode_control(hello(17))) <= CONTROL_BYTES_MAX
    with pytest.raises(FrameTooLarge):
        encode_control(hello(19))
