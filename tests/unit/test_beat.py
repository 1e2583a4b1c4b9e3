"""The beat thread and its stand-in in Python: the same duties, order and frames."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq
from zmq.backend.cython import _zmq

from zmqcluster._beat import Beat
from zmqcluster._ports import load_library
from zmqcluster.errors import AlreadyRunning
from zmqcluster.transport import zap
from zmqcluster.transport.gossip import BeatThread
from zmqcluster.transport.threadbeat import ThreadBeat, until_beat_ns

KEY, OTHER = bytes(range(32)), bytes(range(32, 64))
REQUEST = [b"1.0", b"7", b"zmqcluster", b"10.0.0.7", b"", b"CURVE", KEY]
TRAILER = struct.Struct(">QI")
WAIT_MS = 5_000
Socket = zmq.Socket[bytes]


class Stage:
    """The sockets around a beat thread: what the loop, a subscriber and libzmq's handshakes have of it."""

    def __init__(self, make: Callable[..., Any]) -> None:
        context: zmq.Context[Socket] = zmq.Context()
        self.context = context
        self.publisher, self.far, self.door = (context.socket(kind) for kind in (zmq.PUB, zmq.PAIR, zmq.REP))
        self.subscriber, self.near, self.knocking = (context.socket(kind) for kind in (zmq.SUB, zmq.PAIR, zmq.REQ))
        self.subscriber.subscribe(b"")
        for bound, connected in zip(
            (self.publisher, self.far, self.door), (self.subscriber, self.near, self.knocking), strict=True
        ):
            bound.bind(f"inproc://{id(bound)}")
            connected.connect(f"inproc://{id(bound)}")
            connected.rcvtimeo = WAIT_MS
        self.beat: BeatThread = make(self)

    def nudge(self) -> None:
        self.near.send(b"", zmq.NOBLOCK)

    def close(self) -> None:
        self.beat.stop()
        for socket in (self.publisher, self.far, self.door, self.subscriber, self.near, self.knocking):
            socket.close(linger=0)
        self.context.term()


def native(stage: Stage) -> Beat:
    assert load_library(_zmq.__file__)
    return Beat(stage.publisher, stage.far, stage.door, KEY, stage.nudge)


def plain(stage: Stage) -> ThreadBeat:
    poller = zmq.Poller()
    poller.register(stage.far, zmq.POLLIN)
    poller.register(stage.door, zmq.POLLIN)
    return ThreadBeat(stage.publisher, stage.far, stage.door, KEY, stage.nudge, poller.poll)


@pytest.fixture(params=[native, plain])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    stage = Stage(request.param)
    yield stage
    stage.close()


@pytest.fixture
def running(stage: Stage) -> Stage:
    stage.beat.start()
    return stage


def test_frames_are_forwarded_in_order_and_nudges_are_not(running: Stage) -> None:
    sent = [b"%d" % number for number in range(600)]
    for frame in sent:
        running.near.send(frame)
        running.nudge()
    assert [running.subscriber.recv() for _ in sent] == sent


def test_frames_sent_before_the_start_are_forwarded_after_it(stage: Stage) -> None:
    stage.near.send(b"early")
    stage.beat.start()
    assert stage.subscriber.recv() == b"early"


def test_beats_have_the_prefix_and_are_numbered_from_one(running: Stage) -> None:
    running.beat.pulse(b"prefix", 1)
    beats = [running.subscriber.recv() for _ in range(5)]
    assert [beat[:6] for beat in beats] == [b"prefix"] * 5
    assert [TRAILER.unpack(beat[6:])[0] for beat in beats] == [1, 2, 3, 4, 5]


def test_beats_may_be_asked_for_before_the_start(stage: Stage) -> None:
    stage.beat.pulse(b"", 1)
    stage.beat.start()
    assert TRAILER.unpack(stage.subscriber.recv())[0] == 1


def test_lag_grows_until_the_loop_turns(running: Stage) -> None:
    running.beat.pulse(b"", 5)

    def lag_ms() -> int:
        lag: int = TRAILER.unpack(running.subscriber.recv())[1]
        return lag

    while lag_ms() < 40:
        pass
    running.beat.turned()
    while lag_ms() >= 40:  # those under way
        pass
    while lag_ms() < 40:
        pass


def test_beats_and_frames_share_the_line(running: Stage) -> None:
    running.beat.pulse(b"beat", 1)
    sent = [b"frame %d" % number for number in range(50)]
    for frame in sent:
        running.near.send(frame)
    received: list[bytes] = []
    while len([frame for frame in received if frame.startswith(b"beat")]) < 3 or sent[-1] not in received:
        received.append(running.subscriber.recv())
    assert [frame for frame in received if frame.startswith(b"frame")] == sent


@pytest.mark.parametrize(
    "request_frames",
    [
        REQUEST,
        [*REQUEST[:6], bytes(32)],
        [*REQUEST[:6], KEY[:31]],
        [*REQUEST[:5], b"NULL"],
        [*REQUEST[:5], b"PLAIN", b"user", b"password"],
        [*REQUEST, b"", b"", b"", b""],
    ],
)
def test_door_answers_as_zap_does(running: Stage, request_frames: list[bytes]) -> None:
    for _ in range(2):
        running.knocking.send_multipart(request_frames)
        assert running.knocking.recv_multipart() == zap.answer(request_frames, zap.key_refusal(request_frames, {KEY}))


def admits(running: Stage, key: bytes) -> bool:
    running.knocking.send_multipart([*REQUEST[:6], key])
    return running.knocking.recv_multipart()[2] == b"200"


def test_keys_to_admit_are_changed_while_it_runs(running: Stage) -> None:
    assert (admits(running, KEY), admits(running, OTHER)) == (True, False)
    running.beat.admit(KEY + OTHER)
    assert (admits(running, KEY), admits(running, OTHER)) == (True, True)
    running.beat.admit(OTHER)
    assert (admits(running, KEY), admits(running, OTHER)) == (False, True)


@pytest.mark.parametrize("keys", [b"", KEY[:31], KEY * 17])
def test_native_door_takes_one_to_sixteen_keys(keys: bytes) -> None:
    stage = Stage(native)
    with pytest.raises(ValueError, match="1 to 16 keys"):
        stage.beat.admit(keys)
    stage.close()


def test_stop_ends_the_thread_and_gives_the_sockets_back(running: Stage) -> None:
    running.beat.pulse(b"", 1)
    running.beat.stop()
    running.beat.stop()
    running.publisher.send(b"mine again")
    received = b""
    while received != b"mine again":
        received = running.subscriber.recv()
    assert not running.beat.is_running  # type: ignore[attr-defined]


def test_starting_twice_is_an_error(running: Stage) -> None:
    with pytest.raises(AlreadyRunning, match="thread"):
        running.beat.start()


def test_pulsing_twice_is_an_error(running: Stage) -> None:
    running.beat.pulse(b"", 100)
    with pytest.raises(AlreadyRunning, match="beats"):
        running.beat.pulse(b"", 100)


def test_interval_of_nothing_is_an_error(running: Stage) -> None:
    with pytest.raises(ValueError, match="at least 1 ms"):
        running.beat.pulse(b"", 0)


@pytest.mark.parametrize(("door", "keys"), [(object(), b""), (None, KEY)])
def test_native_door_needs_keys_of_32_bytes_and_no_door_no_keys(door: Any, keys: bytes) -> None:
    socket: Any = object()
    with pytest.raises(ValueError, match="32 bytes"):
        Beat(socket, socket, door, keys, lambda: None)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_stop_in_a_forked_child_forgets_the_thread_it_does_not_have() -> None:
    stage = Stage(native)
    stage.beat.start()
    child = os.fork()
    if child == 0:
        stage.beat.stop()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    stage.near.send(b"the parent's goes on")
    assert stage.subscriber.recv() == b"the parent's goes on"
    stage.close()


def test_until_beat_then_to_a_multiple_of_the_interval_that_is_not_too_near() -> None:
    interval_ns = 250_000_000
    for now_ns in (0, 1, interval_ns // 2, interval_ns * 7 - 1, 1_700_000_000_123_456_789):
        left_ns = until_beat_ns(interval_ns, now_ns)
        assert interval_ns // 4 < left_ns <= interval_ns * 5 // 4
        assert (now_ns + left_ns) % interval_ns == 0


def test_beats_of_two_nodes_then_they_come_together(running: Stage) -> None:
    """From the second one on; who hears both is woken once. A busy machine may be late, never early."""
    interval_ms = 40
    running.beat.pulse(b"", interval_ms)
    phases_ms = []
    for _ in range(6):
        running.subscriber.recv()
        phases_ms.append(time.time_ns() // 1_000_000 % interval_ms)
    assert min(phases_ms[1:]) <= interval_ms // 2
