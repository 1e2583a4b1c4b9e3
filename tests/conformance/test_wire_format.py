"""The wire format is frozen: what is in wire_v1.txt is what nodes of version 1 write, and what every later one reads.

When this fails, the change would part the nodes of one cluster that are not upgraded at the same moment. What is new
may be added (``python -m tests.support.wire_samples`` writes the files anew), for peers that said they know it; what is
there stays. See docs/wire-format.md.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.joined import Mail, World
from tests.support.wire_samples import CONTROL, EPOCH, KNOCKS, VALUES, A, from_lines, message_lines, name_of, samples
from zmqcluster import _extensions
from zmqcluster.core import decode
from zmqcluster.errors import DecodeError
from zmqcluster.wire.datagrams import decode_knock, is_proven
from zmqcluster.wire.frames import Kind, decode_gossip
from zmqcluster.wire.schema import decode_control

ROOT = Path(__file__).parents[2]
FROZEN = from_lines((Path(__file__).parent / "wire_v1.txt").read_text("ascii"))
PAGE = (ROOT / "docs" / "wire-format.md").read_text("utf-8")
HEAD = struct.Struct(">BQQQQ")


def test_every_sample_has_the_bytes_it_always_had() -> None:
    made = samples()
    assert [name for name in made if name not in FROZEN] == [], "new on the wire: python -m tests.support.wire_samples"
    changed = [name for name in FROZEN if made.get(name) != FROZEN[name]]
    assert changed == []


def test_every_message_of_the_framework_has_the_tag_and_the_fields_it_always_had() -> None:
    frozen = (Path(__file__).parent / "wire_v1_messages.txt").read_text("ascii").splitlines()
    made = message_lines()
    assert [line for line in frozen if line not in made] == []
    assert [line for line in made if line not in frozen] == [], "new on the wire: python -m tests.support.wire_samples"


def test_every_kind_of_frame_envelope_and_value_has_a_sample() -> None:
    frames = {kind.name for kind in Kind} - {"DATA", "LOST_GOSSIP", "BEAT", "DELTA"}
    assert {name.removeprefix("control ") for name in FROZEN if name.startswith("control ")} == frames
    sampled = " ".join(name for name in FROZEN if name.startswith("envelope "))
    assert [kind for kind in envelope_kinds() if not re.search(rf"\b{kind}\b", sampled)] == []
    extensions = {content[index + 2] for content in FROZEN.values() for index in find(content, b"\xc7")}
    numbers = {number for name, number in vars(_extensions).items() if name.startswith("EXT_")}
    assert numbers <= extensions


def find(content: bytes, tag: bytes) -> list[int]:
    return [index for index in range(len(content) - 2) if content[index : index + 1] == tag]


def envelope_kinds() -> dict[str, int]:
    """The kinds of envelopes, read from the source of the core."""
    source = (ROOT / "zmqcluster" / "_link.pxi").read_text("utf-8")
    body = source.partition("cdef enum Kind:\n")[2].partition("\n\n")[0]
    kinds = {name: int(number) for name, number in re.findall(r"^    ([A-Z_]+) = (\d+)", body, re.MULTILINE)}
    return {name: number for name, number in kinds.items() if not name.startswith("BY_")}


def test_the_page_has_every_kind_and_extension_with_its_number() -> None:
    rows = re.findall(r"^\| (\d+) \| `([A-Za-z_ ]+)`", PAGE, re.MULTILINE)
    told = {(int(number), name) for number, name in rows}
    kinds = {(int(kind), kind.name.removesuffix("_GOSSIP")) for kind in Kind}
    assert kinds <= told
    assert {(number, name) for name, number in envelope_kinds().items()} <= told
    extensions = [number for name, number in vars(_extensions).items() if name.startswith("EXT_")]
    assert [number for number in extensions if f"| ext {number} |" not in PAGE] == []


def test_frozen_control_and_gossip_are_understood() -> None:
    for each in CONTROL:
        assert decode_control(FROZEN[f"control {name_of(each)}"]) == each
    for name, frame in FROZEN.items():
        if name.startswith("gossip "):
            assert decode_gossip(frame).name == A


def test_frozen_datagrams_are_understood_and_proven() -> None:
    for knock in KNOCKS:
        datagram = FROZEN[f"datagram {knock.kind.name}"]
        assert decode_knock(datagram) == knock
        assert is_proven(datagram, EPOCH) and not is_proven(datagram, EPOCH + 1)


@pytest.mark.parametrize("name", VALUES)
def test_frozen_value_is_understood(name: str) -> None:
    value = decode(FROZEN[f"value {name}"])
    assert value == VALUES[name] and repr(value) == repr(VALUES[name])


@pytest.fixture
def world() -> Iterator[World]:
    world = World("a", "b")
    world.join("a", "b")
    yield world
    world.close()


def session(world: World) -> tuple[int, bytes]:
    """The epoch of the session, and the connection whose frames ``b`` takes."""
    return world.link("b", "a").epoch, b"a>b"


def test_frozen_envelopes_are_understood(world: World) -> None:
    box = Mail(world["b"], name="far")
    epoch, source = session(world)
    names = [name for name in FROZEN if name.startswith("envelope ") and "PART" not in name]
    for sequence, name in enumerate(names, 1):
        world["b"].feed_bytes(source, HEAD.pack(1, epoch, sequence, 0, 0) + FROZEN[name])
        world["b"].drain()
    assert world.hooks["b"].named("on_link_broken") == world.hooks["b"].named("on_undecodable") == []
    assert {"n": 7} in box.messages


def test_frozen_frame_is_understood(world: World) -> None:
    """The sample is of another session: its epoch is made this one's."""
    box = Mail(world["b"])
    epoch, source = session(world)
    frame = FROZEN["frame DATA"]
    assert HEAD.unpack_from(frame)[0::2] == (1, 1, 0)
    world["b"].feed_bytes(source, frame[:1] + epoch.to_bytes(8, "big") + frame[9:])
    world["b"].drain()
    assert box.messages == ["hello"]


def test_planted_change_then_it_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VALUES, "tuple", [1, (2,)])
    made = samples()
    assert [name for name in FROZEN if made.get(name) != FROZEN[name]] == ["value tuple"]
    with pytest.raises(DecodeError):
        decode_control(FROZEN["control HELLO"][:-1])
