"""One sample of everything that can be on the wire, made by the code of today: for the frozen format.

    samples() -> {"control HELLO": b"...", "envelope CALL_METHOD by name": b"...", "value tuple": b"...", ...}
    python -m tests.support.wire_samples        writes tests/conformance/wire_v1.txt and wire_v1_messages.txt anew

Envelopes are taken from frames between two schedulers whose names, incarnations and ids are always the same.
"""

from __future__ import annotations

import contextlib
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import zmqcluster
from tests.support.joined import DATA_HEADER_BYTES, Echo, Mail, World, start_echo
from zmqcluster import _core as core
from zmqcluster import exits
from zmqcluster._ids import Pid, Ref
from zmqcluster._messages import SHAPES_BY_TAG
from zmqcluster.constants import LANE_BYTES
from zmqcluster.core import encode, message
from zmqcluster.errors import CallTimeout
from zmqcluster.protocol import handshake, probes
from zmqcluster.transport.curve import derive
from zmqcluster.transport.keyring import Keyring
from zmqcluster.transport.proof import Identity, Prover, Verifier
from zmqcluster.transport.ticket import ticket
from zmqcluster.wire.datagrams import Knock, encode_knock
from zmqcluster.wire.frames import Kind, beat_prefix, delta_frame, lost_frame
from zmqcluster.wire.schema import encode_control

A, B = "a@10.0.0.1:7100", "b@10.0.0.2:7100"
LIFE = 450_000_000_000_007
EPOCH = 0x1122_3344_5566_7788
PART_BYTES = 64  # of a part, as much as the sample holds

INTRODUCTION = handshake.Introduction(
    A, LIFE, "zmqcluster", (1, 1), ("mesh",), ("ipc:///run/z/a.ipc", "tcp://10.0.0.1:7100"), ("tcp://10.0.0.1:20001",)
)
CONTROL: list[Any] = [
    handshake.Hello(INTRODUCTION, B, 5, 1),
    handshake.Welcome(INTRODUCTION, B, 6, 2, 5),
    handshake.Refused(5, "cluster", "this is cluster 'c', not 'd'"),
    handshake.Ready(A, EPOCH),
    handshake.Goodbye(EPOCH),
    handshake.GoodbyeAck(EPOCH),
    handshake.Neighbours(EPOCH, (handshake.Neighbour(B, LIFE, ("tcp://10.0.0.2:7100",)),)),
    probes.Ping(3),
    probes.Ack(3),
    probes.PingRequest(B, LIFE, 57),
    probes.Alive(B, LIFE, 58),
    probes.Suspect(B, LIFE, 57),
    probes.Lost(A, B, EPOCH),
]
GOSSIP = {
    "BEAT": beat_prefix(A, LIFE) + bytes.fromhex("0000000000000039 0000001e"),
    "DELTA": delta_frame(A, LIFE, "topic", encode(("put", 5))),
    "LOST": lost_frame(A, LIFE, B, EPOCH),
}
KNOCKS = [Knock(kind, LIFE, A, 3) for kind in (Kind.PING, Kind.ACK)]
COOKIE = "twenty random letters"


@message(tag="sample.colour")
class Colour(Enum):
    RED = 1


@message(tag="sample.point")
@dataclass(frozen=True)
class Point:
    x: int
    y: float


VALUES: dict[str, Any] = {
    "None": None,
    "bool": [False, True],
    "int": [0, -1, 127, -32, 128, 65_535, 2**32, -(2**31), 2**63 - 1],
    "big int": [2**64, -(2**64)],
    "float": 0.5,
    "str": ["", "é", "x" * 40],
    "bytes": b"\x00\xff",
    "list": [1, [2]],
    "tuple": (1, (2,)),
    "dict": {"a": 1, 2: None},
    "set": {3, 1, 2},
    "frozenset": frozenset({1}),
    "Pid": Pid(A, LIFE, 2**33),
    "Ref": Ref(A, LIFE, 9),
    "datetime": [datetime(2024, 6, 1, 12, 30), datetime(2024, 6, 1, tzinfo=UTC)],
    "Decimal": Decimal("1.50"),
    "UUID": UUID(int=7),
    "enum": Colour.RED,
    "message": Point(1, 2.0),
    "date": date(2024, 6, 1),
    "time": time(12, 30, fold=1),
    "timedelta": timedelta(days=1, seconds=-1),
    "exit reasons": [
        exits.Normal(),
        exits.Shutdown("x"),
        exits.Kill(),
        exits.Killed(),
        exits.NoProcess(),
        exits.NoConnection(B),
        exits.TimedOut(),
        exits.NameConflict("key", 1, "names", Pid(B, 1, 2)),
        exits.Crashed("ValueError", "text", "trace"),
    ],
}


def samples() -> dict[str, bytes]:
    """Return the bytes of every sample, by its name."""
    found = {f"control {name_of(each)}": encode_control(each) for each in CONTROL}
    found |= {f"gossip {name}": frame for name, frame in GOSSIP.items()}
    found |= {f"datagram {knock.kind.name}": encode_knock(knock, EPOCH) for knock in KNOCKS}
    found |= security()
    found |= envelopes()
    found |= {f"value {name}": encode(value) for name, value in VALUES.items()}
    return found


def as_lines() -> list[str]:
    """Return the samples, a line each."""
    return [f"{name}: {content.hex()}" for name, content in samples().items()]


def message_lines() -> list[str]:
    """Return the tag and the fields of every message of the package, a line each, sorted."""
    for module in pkgutil.walk_packages(zmqcluster.__path__, "zmqcluster."):
        if not module.name.endswith("__main__"):
            with contextlib.suppress(ImportError):  # of an extra that is not installed
                import_module(module.name)
    package = [shape for shape in SHAPES_BY_TAG.values() if shape.cls.__module__.startswith("zmqcluster.")]
    return sorted(f"{shape.tag}: {' '.join(shape.names or ())}".rstrip() for shape in package)


def from_lines(text: str) -> dict[str, bytes]:
    """Return the samples of ``as_lines``."""
    pairs = (line.split(": ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: bytes.fromhex(content) for name, content in pairs}


def name_of(control: Any) -> str:
    """The name of a message's kind: GOODBYE_ACK of GoodbyeAck."""
    name = type(control).__name__
    return "".join(f"_{letter}" if letter.isupper() and at else letter for at, letter in enumerate(name)).upper()


# --- security: what a cookie becomes, and what proves that one has it


def security() -> dict[str, bytes]:
    key = derive(COOKIE)
    found = {
        "key id": key.mark,
        "key curve": key.curve,
        "key proof": key.proof,
        "key token": key.token,
        "key seal": key.seal,
        "ticket": ticket(key, b"zmqcluster links", 1_700_000_000_000, bytes(range(16))),
    }
    with patch("secrets.token_bytes", lambda count: bytes(range(count))):
        dialler, acceptor = Prover(key, Identity(A, LIFE)), Verifier(Keyring(COOKIE), Identity(B, LIFE))
    asked = found["proof ASK"] = dialler.ask()
    challenge = found["proof CHALLENGE"] = acceptor.on_frame(b"connection", asked) or b""
    proof = found["proof PROOF"] = dialler.on_reply(challenge) or b""
    found["proof PROVED"] = acceptor.on_frame(b"connection", proof) or b""
    return found


# --- envelopes: what one scheduler writes when something is done


@contextmanager
def pair() -> Iterator[World]:
    world = World("a", "b")
    try:
        world.join("a", "b")
        yield world
    finally:
        world.close()


class Tapped:
    """Two joined nodes with a process on each; what each action makes the one or the other write is kept."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.taken: dict[str, bytes] = {}
        self.echo = Echo()
        self.near = Mail(world["a"], name="near")
        self.far = Mail(world["b"], name="far")
        self.server = start_echo(world["b"], self.echo, name="server")
        world.run()

    def take(self, name: str, action: Callable[[], Any], *, size_bytes: int | None = None) -> Any:
        """Keep the envelopes that ``a`` writes because of ``action``, then let everything arrive."""
        result = self.near.do(action)
        return self._keep(name, ("a", "b"), result, size_bytes)

    def take_answer(self, name: str, action: Callable[[], Any]) -> None:
        """Keep what ``b`` writes because of ``action``, which runs here and is about ``a``."""
        action()
        self.world["b"].drain()
        self._keep(name, ("b", "a"), None, None)

    def _keep(self, name: str, way: tuple[str, str], result: Any, size_bytes: int | None) -> Any:
        frames = [frame for frame in self.world.wires[way].frames if len(frame) > DATA_HEADER_BYTES]
        assert frames, name
        if name == "SEND by pid":
            self.taken["frame DATA"] = frames[0]
        self.taken[f"envelope {name}"] = b"".join(frame[DATA_HEADER_BYTES:] for frame in frames)[:size_bytes]
        self.world.run()
        return result


def envelopes() -> dict[str, bytes]:
    """One of every kind; a kind with another form of destination is another sample."""
    with pair() as world:
        tapped = Tapped(world)
        _messages(tapped)
        _requests(tapped)
        _signals(tapped)
        return tapped.taken


def _messages(tapped: Tapped) -> None:
    far = tapped.far
    alias = far.do(core.alias)
    tapped.take("SEND by pid", lambda: core.send(far.pid, "hello"))
    tapped.take("SEND by name", lambda: core.send(("far", "b"), {"n": 7}))
    tapped.take("SEND by alias", lambda: core.send(alias, "hello"))
    long = bytes(LANE_BYTES + 1)
    tapped.take("PART, its beginning", lambda: core.send(far.pid, long), size_bytes=PART_BYTES)


def _requests(tapped: Tapped) -> None:
    a, server = tapped.world["a"], tapped.server
    tapped.take("CALL by pid", lambda: a.call(server, "hold", None))
    tapped.take("CALL_METHOD by name", lambda: a.call(("server", "b"), (1, 2), None, "add", {"unit": "EUR"}))
    tapped.take("CAST by pid", lambda: a.cast(server, "note"))
    tapped.take("CAST_METHOD by name", lambda: a.cast(("server", "b"), (1,), "note", None))
    (held,) = tapped.echo.held
    tapped.take_answer("REPLY", lambda: held.reply("value"))
    tapped.take("CALL to the node itself", lambda: a.call(Pid("b", 0, 0), ("m:f", (1,)), None, "$call", {}))
    tapped.take("CALL of nobody", lambda: a.call(("nobody", "b"), 5, None))
    tapped.take("CALL that is refused", lambda: a.call(server, "hold", None))
    held = tapped.echo.held[-1]
    tapped.take_answer("FAIL error", lambda: held.fail(CallTimeout("server", 5.0)))
    tapped.take("CALL that another error ends", lambda: a.call(server, "hold", None))
    other = tapped.echo.held[-1]
    tapped.take_answer("FAIL refused", lambda: other.fail(ValueError("not today")))


def _signals(tapped: Tapped) -> None:
    near, far, world = tapped.near, tapped.far, tapped.world
    ref = tapped.take("MONITOR by name", lambda: core.monitor(("far", "b")))
    tapped.take("DEMONITOR", lambda: core.demonitor(ref))
    tapped.take("LINK", lambda: core.link(far.pid))
    tapped.take("UNLINK", lambda: core.unlink(far.pid))
    tapped.take("EXIT", lambda: world["a"].exit(near.pid, far.pid, "asked"))
    ending = Mail(world["b"], trap=False)
    tapped.take("LINK to one that ends", lambda: core.link(ending.pid))
    tapped.take("MONITOR by pid", lambda: core.monitor(ending.pid))
    tapped.take_answer("EXIT_LINKED and DOWN", lambda: world["b"].exit(ending.pid, ending.pid, exits.Shutdown("done")))
    linked = Mail(world["b"])
    linked.do(core.link, near.pid)
    world.run()
    linked.do(core.unlink, near.pid)
    world["b"].drain()
    for frame in world.wires["b", "a"].frames:
        world["a"].feed_bytes(b"b>a", frame)
    world.wires["b", "a"].frames.clear()
    world["a"].drain()
    tapped._keep("UNLINKED", ("a", "b"), None, None)


if __name__ == "__main__":
    FOLDER = Path(__file__).parents[1] / "conformance"
    (FOLDER / "wire_v1.txt").write_text("\n".join(as_lines()) + "\n")
    (FOLDER / "wire_v1_messages.txt").write_text("\n".join(message_lines()) + "\n")
