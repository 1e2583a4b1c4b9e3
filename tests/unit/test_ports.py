"""The ports: callables as inlets and outlets, and libzmq called by its functions."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator

import pytest
import zmq
from zmq.backend.cython import _zmq

from zmqcluster._ports import (
    CallableInlet,
    CallableOutlet,
    Inlet,
    Outlet,
    RawOutlet,
    drain_raw,
    load_library,
)


class Recorder:
    """What an inlet was told, in order."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.inlet = CallableInlet(self._feed, lambda: self.told.append("begin"), lambda: self.told.append("end"))

    def _feed(self, source: bytes, frame: bytes) -> None:
        self.told.append(frame)

    @property
    def frames(self) -> list[object]:
        return [each for each in self.told if isinstance(each, bytes)]


Socket = zmq.Socket[bytes]
Opener = Callable[[int], Socket]


@pytest.fixture
def opener() -> Iterator[Opener]:
    assert load_library(_zmq.__file__)
    sockets: list[Socket] = []
    context = zmq.Context()

    def open_socket(kind: int) -> Socket:
        sockets.append(context.socket(kind))
        return sockets[-1]

    yield open_socket
    for socket in sockets:
        socket.close(linger=0)
    context.term()


@pytest.fixture
def router(opener: Opener) -> Socket:
    router = opener(zmq.ROUTER)
    router.bind("inproc://router")
    return router


@pytest.fixture
def dealer(opener: Opener, router: Socket) -> Socket:
    """A DEALER that is full after a few frames."""
    router.rcvhwm = 1
    router.bind("inproc://narrow")
    dealer = opener(zmq.DEALER)
    dealer.sndhwm = 1
    dealer.connect("inproc://narrow")
    return dealer


def handle(socket: Socket) -> int:
    return int(socket.underlying)


def test_inlet_of_callables_gets_sources_and_frames_within_a_batch() -> None:
    told: list[object] = []
    inlet = CallableInlet(lambda *fed: told.append(fed), lambda: told.append("begin"), lambda: told.append("end"))
    inlet.begin_batch()
    inlet.feed_bytes(b"\x00source", b"a frame\x00with zero")
    inlet.feed_bytes(b"", b"")
    inlet.end_batch()
    assert told == ["begin", (b"\x00source", b"a frame\x00with zero"), (b"", b""), "end"]


def test_inlet_of_one_callable_ignores_batches() -> None:
    told: list[bytes] = []
    inlet = CallableInlet(lambda source, frame: told.append(frame))
    inlet.begin_batch()
    inlet.feed_bytes(b"source", b"frame")
    inlet.end_batch()
    assert told == [b"frame"]


def test_inlet_passes_its_callables_error_on() -> None:
    def fail(source: bytes, frame: bytes) -> None:
        raise ValueError("planted")

    with pytest.raises(ValueError, match="planted"):
        CallableInlet(fail).feed_bytes(b"source", b"frame")


@pytest.mark.parametrize("method", ["begin_batch", "end_batch"])
def test_bare_inlet_has_no_batches(method: str) -> None:
    with pytest.raises(NotImplementedError):
        getattr(Inlet(), method)()


def test_bare_ports_take_nothing() -> None:
    with pytest.raises(NotImplementedError):
        Inlet().feed_bytes(b"source", b"frame")
    with pytest.raises(NotImplementedError):
        Outlet().push_bytes(b"frame")


@pytest.mark.parametrize("frame", ["text", None, bytearray(b"frame")])
def test_ports_take_bytes_only(frame: object) -> None:
    with pytest.raises(TypeError):
        CallableInlet(lambda source, frame: None).feed_bytes(b"source", frame)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        CallableOutlet(lambda frame: True).push_bytes(frame)  # type: ignore[arg-type]


@pytest.mark.parametrize("taken", [True, False])
def test_outlet_of_a_callable_says_what_it_says(taken: bool) -> None:
    pushed: list[bytes] = []
    outlet = CallableOutlet(lambda frame: pushed.append(frame) or taken)
    assert outlet.push_bytes(b"frame") is taken
    assert pushed == [b"frame"]


class Outgoing:
    """A raw outlet, and how often it asked to be looked at."""

    def __init__(self, dealer: Socket) -> None:
        self.looks = 0
        self.outlet = RawOutlet(handle(dealer), self._look)

    def _look(self) -> None:
        self.looks += 1

    def fill(self) -> int:
        """Push numbers until one is not taken; return that one."""
        number = 0
        while self.outlet.push_bytes(b"%d" % number):
            number += 1
        return number


def test_raw_outlet_sends_until_full_then_asks_once(router: Socket, dealer: Socket) -> None:
    outgoing = Outgoing(dealer)
    outgoing.outlet.settle()
    count = outgoing.fill()
    assert outgoing.outlet.blocked
    assert not outgoing.outlet.push_bytes(b"again")
    assert outgoing.looks == 1
    recorder = Recorder()
    drain_raw(handle(router), recorder.inlet, 100)
    assert not outgoing.outlet.push_bytes(b"again")  # there is room, but it was not told
    outgoing.outlet.unblock()
    assert outgoing.outlet.push_bytes(b"again")
    drain_raw(handle(router), recorder.inlet, 100)
    assert recorder.frames == [b"%d" % number for number in range(count)] + [b"again"]


def test_raw_outlet_whose_frames_left_meanwhile_is_not_full(router: Socket, dealer: Socket) -> None:
    outgoing = Outgoing(dealer)
    recorder = Recorder()
    for number in range(100):
        assert outgoing.outlet.push_bytes(b"%d" % number)
        drain_raw(handle(router), recorder.inlet, 100)
    assert len(recorder.frames) == 100


def test_raw_outlet_asks_to_be_looked_at_after_each_push_until_it_is_settled(dealer: Socket) -> None:
    outgoing = Outgoing(dealer)
    assert outgoing.outlet.push_bytes(b"hello")
    assert outgoing.looks == 1
    outgoing.outlet.settle()
    outgoing.fill()
    assert outgoing.looks == 2


def test_detached_raw_outlet_takes_nothing(dealer: Socket) -> None:
    outgoing = Outgoing(dealer)
    outgoing.outlet.detach()
    dealer.close()
    assert not outgoing.outlet.push_bytes(b"frame")
    assert outgoing.looks == 0


def test_raw_outlet_on_a_socket_that_cannot_send_raises_the_error(opener: Opener) -> None:
    outlet = RawOutlet(handle(opener(zmq.SUB)), lambda: None)
    with pytest.raises(OSError, match="libzmq") as raised:
        outlet.push_bytes(b"frame")
    assert raised.value.errno == errno.ENOTSUP


@pytest.fixture
def many(opener: Opener, router: Socket) -> Socket:
    dealer = opener(zmq.DEALER)
    dealer.connect("inproc://router")
    for number in range(10):
        dealer.send(b"%d" % number)
    return dealer


def test_drain_feeds_all_that_waits_as_one_batch(router: Socket, many: Socket) -> None:
    recorder = Recorder()
    assert drain_raw(handle(router), recorder.inlet, 64)
    assert recorder.told == ["begin", *(b"%d" % number for number in range(10)), "end"]


def test_drain_stops_at_its_limit_and_goes_on_there(router: Socket, many: Socket) -> None:
    recorder = Recorder()
    assert not drain_raw(handle(router), recorder.inlet, 4)
    assert recorder.told == ["begin", b"0", b"1", b"2", b"3", "end"]
    assert drain_raw(handle(router), recorder.inlet, 64)
    assert recorder.frames == [b"%d" % number for number in range(10)]


def test_drain_of_nothing_is_no_batch(router: Socket) -> None:
    recorder = Recorder()
    assert drain_raw(handle(router), recorder.inlet, 64)
    assert recorder.told == []


def test_drain_names_the_connection_of_each_frame(opener: Opener, router: Socket) -> None:
    fed: list[tuple[bytes, bytes]] = []
    for identity in (b"one", b"two"):
        dealer = opener(zmq.DEALER)
        dealer.set(zmq.ROUTING_ID, identity)
        dealer.connect("inproc://router")
        dealer.send(b"from " + identity)
    drain_raw(handle(router), CallableInlet(lambda source, frame: fed.append((source, frame))), 64)
    assert sorted(fed) == [(b"one", b"from one"), (b"two", b"from two")]


def test_drain_drops_what_follows_a_frame(router: Socket, many: Socket) -> None:
    recorder = Recorder()
    drain_raw(handle(router), recorder.inlet, 64)
    many.send_multipart([b"first", b"second", b"third"])
    many.send(b"next")
    assert drain_raw(handle(router), recorder.inlet, 64)
    assert recorder.frames[10:] == [b"first", b"next"]


def test_drain_passes_the_inlets_error_on_after_ending_the_batch(router: Socket, many: Socket) -> None:
    told: list[object] = []

    def feed(source: bytes, frame: bytes) -> None:
        told.append(frame)
        if frame == b"2":
            raise ValueError("planted")

    inlet = CallableInlet(feed, end=lambda: told.append("end"))
    with pytest.raises(ValueError, match="planted"):
        drain_raw(handle(router), inlet, 64)
    assert told == [b"0", b"1", b"2", "end"]
    assert drain_raw(handle(router), inlet, 64)
    assert told[4:] == [b"%d" % number for number in range(3, 10)] + ["end"]


def test_library_that_this_process_has_not_loaded_is_refused_only_before_the_right_one() -> None:
    assert load_library(_zmq.__file__)
    assert load_library("/nowhere/libzmq.so")  # it is loaded once
