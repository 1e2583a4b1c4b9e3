"""The network in memory: what a node sees of order, windows, refusals, cuts, crashes and gossip."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from zmqcluster._ports import CallableInlet
from zmqcluster.errors import NameInUse
from zmqcluster.testing.clock import VirtualLoop
from zmqcluster.transport.interface import DialEvent
from zmqcluster.transport.memory import MemoryNetwork, MemoryTransport
from zmqcluster.transport.memory_dial import MemoryDial
from zmqcluster.transport.memory_pipe import Calm

A, B, C = "a@10.0.0.1:7100", "b@10.0.0.2:7100", "c@10.0.0.3:7100"
CONNECTED, DISCONNECTED, REFUSED, WRITABLE = (
    DialEvent.CONNECTED,
    DialEvent.DISCONNECTED,
    DialEvent.REFUSED,
    DialEvent.WRITABLE,
)


class Weather(Calm):
    """Faults set by hand."""

    def __init__(self) -> None:
        self.cuts: set[tuple[str, str]] = set()
        self.latencies_ms: list[float] = []
        self.lost_gossip = 0
        self.outlives = True
        self.gives_up: float | None = None
        self.keeps = 0

    def passes(self, source: str, target: str) -> bool:
        return (source, target) not in self.cuts

    def latency_ms(self, source: str, target: str) -> float:
        return self.latencies_ms.pop(0) if self.latencies_ms else 1.0

    def gossip_ms(self, source: str, target: str) -> float | None:
        self.lost_gossip -= 1
        return None if self.lost_gossip >= 0 else self.latency_ms(source, target)

    def notice_ms(self) -> float:
        return 50.0

    def outlives_cut(self) -> bool:
        return self.outlives

    def gives_up_ms(self) -> float | None:
        return self.gives_up

    def kept(self, frames: int) -> int:
        return min(frames, self.keeps)


class Machine:
    """A node's place, with a note of all that its transport told it."""

    def __init__(self, world: World, name: str, cookie: bytes) -> None:
        self.world = world
        self.transport: MemoryTransport = world.network.transport(name, cookie=cookie)
        self.frames: list[bytes] = []
        self.sources: list[bytes] = []
        self.batches = 0
        self.gossip: list[bytes] = []
        self.refused: list[tuple[str, str]] = []
        self.inlet = CallableInlet(self._feed, end=self._end)

    def _feed(self, source: bytes, frame: bytes) -> None:
        self.frames.append(frame)
        self.sources.append(source)

    def _end(self) -> None:
        self.batches += 1

    def on_datagram(self, datagram: bytes, source: str) -> None: ...

    def on_gossip(self, frame: bytes) -> None:
        self.gossip.append(frame)

    def on_refused(self, address: str, problem: str) -> None:
        self.refused.append((address, problem))

    def dial(self, peer: Machine) -> Line:
        return Line(self, peer.transport.endpoint)


class Line:
    """A dial with a note of its events."""

    def __init__(self, machine: Machine, endpoint: str) -> None:
        self.events: list[DialEvent] = []
        self.replies: list[bytes] = []
        self.dial: MemoryDial = machine.transport.dial(endpoint, self.events.append, self.replies.append)
        self.push = self.dial.outlet.push_bytes


class World:
    def __init__(self) -> None:
        self.loop = VirtualLoop()
        self.weather = Weather()
        self.network = MemoryNetwork(self.loop, self.weather, window_frames=4)

    def machine(self, name: str, cookie: bytes = b"") -> Machine:
        machine = Machine(self, name, cookie)
        self.loop.run(machine.transport.open(machine))
        return machine

    def cut(self, *routes: tuple[str, str]) -> None:
        self.weather.cuts = set(routes)
        self.network.routes_changed()


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.loop.close()


def numbered(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def connected(world: World) -> tuple[Machine, Machine, Line]:
    a, b = world.machine(A), world.machine(B)
    line = a.dial(b)
    world.loop.run_ms(5)
    assert line.events == [CONNECTED]
    return a, b, line


def test_frames_when_delays_differ_then_they_arrive_in_order(world: World) -> None:
    _, b, line = connected(world)
    world.weather.latencies_ms = [9, 1, 5]
    assert all(line.push(frame) for frame in numbered(3))
    world.loop.run_ms(8)
    assert b.frames == []
    world.loop.run_ms(2)
    assert (b.frames, b.batches) == (numbered(3), 1)


def test_sources_when_two_dial_then_each_connection_has_its_own_and_takes_replies(world: World) -> None:
    a, b, line = connected(world)
    other = a.dial(b)
    world.loop.run_ms(5)
    line.push(b"one"), other.push(b"two")
    world.loop.run_ms(5)
    assert len(set(b.sources)) == 2
    assert b.transport.reply(b.sources[1], b"refused")
    assert not b.transport.reply(b"unknown", b"x")
    world.loop.run_ms(5)
    assert (line.replies, other.replies) == ([], [b"refused"])


def test_push_when_the_window_is_full_then_false_and_later_writable(world: World) -> None:
    _, b, line = connected(world)
    assert [line.push(frame) for frame in numbered(6)] == [True] * 4 + [False] * 2
    world.loop.run_ms(5)
    assert (line.events, b.frames) == ([CONNECTED, WRITABLE], numbered(4))
    assert line.push(b"again")


def test_push_before_connected_then_false_and_writable_follows(world: World) -> None:
    a, b = world.machine(A), world.machine(B)
    line = a.dial(b)
    assert not line.push(b"early")
    world.loop.run_ms(5)
    assert (line.events, b.frames) == ([CONNECTED, WRITABLE], [])


def test_dial_when_nobody_listens_then_refused_until_somebody_does(world: World) -> None:
    a = world.machine(A)
    line = Line(a, "tcp://10.0.0.2:7100")
    world.loop.run_ms(150)
    assert line.events == [REFUSED, REFUSED]
    world.machine(B)
    world.loop.run_ms(100)
    assert line.events == [REFUSED, REFUSED, CONNECTED]


def test_open_when_the_address_is_taken_then_name_in_use(world: World) -> None:
    first = world.machine(A)
    with pytest.raises(NameInUse, match="taken"):
        world.machine(A)
    world.loop.run(first.transport.close())
    world.machine(A)


def test_dial_when_the_cookies_differ_then_both_sides_learn_it(world: World) -> None:
    a, b = world.machine(A, b"one"), world.machine(B, b"two")
    line = a.dial(b)
    world.loop.run_ms(200)
    assert line.events == [DialEvent.AUTH_FAILED]
    assert b.refused == [("tcp://10.0.0.1:7100", "its cookie is another")]


def test_close_of_a_dial_then_what_is_in_flight_arrives_and_no_event_follows(world: World) -> None:
    _, b, line = connected(world)
    line.push(b"last")
    line.dial.close(), line.dial.close()
    assert not line.push(b"after")
    world.loop.run_ms(200)
    assert (b.frames, line.events) == ([b"last"], [CONNECTED])
    assert not b.transport.reply(b.sources[0], b"x")


# --- cuts


def test_cut_when_it_lasts_then_silence_and_no_event(world: World) -> None:
    a, b, line = connected(world)
    world.cut((A, B), (B, A))
    hanging = a.dial(b)
    assert line.push(b"held")
    world.loop.run_ms(10_000)
    assert (b.frames, line.events, hanging.events) == ([], [CONNECTED], [])


def test_heal_when_the_connection_outlives_the_cut_then_what_was_held_arrives(world: World) -> None:
    _, b, line = connected(world)
    world.cut((A, B), (B, A))
    line.push(b"held")
    world.loop.run_ms(1000)
    world.cut()
    world.loop.run_ms(49)
    assert b.frames == []
    world.loop.run_ms(2)
    assert (b.frames, line.events) == ([b"held"], [CONNECTED])


def test_heal_when_the_connection_is_dead_then_disconnected_and_a_new_dial_succeeds(world: World) -> None:
    a, b, line = connected(world)
    world.weather.outlives = False
    world.cut((A, B), (B, A))
    line.push(b"lost")
    hanging = a.dial(b)
    world.loop.run_ms(1000)
    world.cut()
    line.push(b"lost too")
    world.loop.run_ms(200)
    assert (b.frames, line.events, hanging.events) == ([], [CONNECTED, DISCONNECTED], [CONNECTED])


def test_cut_when_the_kernel_gives_up_then_disconnected_within_it(world: World) -> None:
    _, b, line = connected(world)
    world.weather.gives_up = 300
    world.cut((A, B), (B, A))
    world.loop.run_ms(299)
    assert line.events == [CONNECTED]
    world.loop.run_ms(2)
    assert line.events == [CONNECTED, DISCONNECTED]
    world.cut()
    world.loop.run_ms(500)
    assert (b.frames, line.events) == ([], [CONNECTED, DISCONNECTED])


def test_cut_when_nothing_is_acknowledged_for_too_long_then_disconnected_but_only_who_sent(world: World) -> None:
    world.network.unacked_ms_max = 500
    a, b, line = connected(world)
    idle = a.dial(b)
    world.loop.run_ms(5)
    world.cut((B, A))
    world.loop.run_ms(1000)
    line.push(b"1")
    world.loop.run_ms(499)
    assert line.events == [CONNECTED]
    world.loop.run_ms(2)
    assert (line.events, idle.events, b.frames) == ([CONNECTED, DISCONNECTED], [CONNECTED], [b"1"])


def test_cut_when_it_heals_in_time_then_what_was_sent_is_acknowledged(world: World) -> None:
    world.network.unacked_ms_max = 500
    _, b, line = connected(world)
    line.push(b"1")
    world.cut((A, B))
    world.loop.run_ms(400)
    world.cut()
    world.loop.run_ms(1000)
    assert (line.events, b.frames) == ([CONNECTED], [b"1"])


def test_one_way_cut_when_only_acks_are_lost_then_frames_arrive_until_the_window_is_full(world: World) -> None:
    _, b, line = connected(world)
    world.cut((B, A))
    for frame in numbered(3):
        line.push(frame)
    world.loop.run_ms(100)
    assert b.frames == numbered(3)
    assert [line.push(b"3"), line.push(b"4")] == [True, False]
    world.loop.run_ms(100)
    assert line.events == [CONNECTED]
    world.cut()
    world.loop.run_ms(100)
    assert (b.frames, line.events) == (numbered(4), [CONNECTED, WRITABLE])


def test_cut_when_the_dial_was_closed_then_what_it_sent_arrives_after_the_heal(world: World) -> None:
    _, b, line = connected(world)
    world.cut((A, B))
    line.push(b"stale")
    line.dial.close()
    world.loop.run_ms(1000)
    world.cut()
    world.loop.run_ms(60)
    assert b.frames == [b"stale"]


def test_reset_then_disconnected_and_what_was_in_flight_is_lost(world: World) -> None:
    a, b, line = connected(world)
    back = b.dial(a)
    world.loop.run_ms(5)
    line.push(b"lost")
    world.network.reset(A, B)
    world.loop.run_ms(5)
    assert (line.events, back.events, b.frames) == ([CONNECTED, DISCONNECTED], [CONNECTED], [])
    assert len(world.network.connections) == 1


# --- crashes and stalls


def test_crash_of_the_acceptor_then_disconnected_at_once(world: World) -> None:
    _, b, line = connected(world)
    line.push(b"lost")
    world.network.crash(B)
    world.loop.run_ms(200)
    assert (b.frames, line.events) == ([], [CONNECTED, DISCONNECTED])


def test_crash_behind_a_cut_then_disconnected_only_after_the_heal(world: World) -> None:
    a, _, line = connected(world)
    world.cut((A, B), (B, A))
    world.network.crash(B)
    world.loop.run_ms(1000)
    assert line.events == [CONNECTED]
    world.cut()
    world.loop.run_ms(60)
    assert line.events == [CONNECTED, DISCONNECTED]
    assert world.network.connections == {}
    again = a.dial(world.machine(B))
    world.loop.run_ms(5)
    assert again.events == [CONNECTED]


def test_crash_of_the_dialler_then_a_prefix_of_what_it_sent_arrives(world: World) -> None:
    _, b, line = connected(world)
    world.weather.keeps = 2
    for frame in numbered(4):
        line.push(frame)
    world.network.crash(A)
    assert not line.push(b"never")
    world.loop.run_ms(200)
    assert (b.frames, line.events) == (numbered(2), [CONNECTED])
    assert world.network.connections == {}


def test_stall_then_no_beats_and_no_handshakes_until_it_resumes(world: World) -> None:
    a, b = world.machine(A), world.machine(B)
    a.transport.subscribe(b.transport.gossip)
    world.loop.run_ms(5)
    b.transport.start_beats(b"beat", 10)
    world.loop.run_ms(25)
    assert len(a.gossip) == 3
    world.network.stall(B)
    line = a.dial(b)
    world.loop.run_ms(1000)
    assert (line.events, len(a.gossip)) == ([], 3)
    world.network.resume(B)
    world.loop.run_ms(200)
    assert line.events == [CONNECTED] and len(a.gossip) > 10


# --- gossip


def test_gossip_when_published_then_only_subscribers_hear_it_in_order(world: World) -> None:
    a, b, c = world.machine(A), world.machine(B), world.machine(C)
    a.transport.subscribe(b.transport.gossip), a.transport.subscribe(b.transport.gossip)
    b.transport.publish(b"too early")
    world.loop.run_ms(5)
    world.weather.latencies_ms = [5, 1]
    b.transport.publish(b"one"), b.transport.publish(b"two")
    world.loop.run_ms(10)
    assert (a.gossip, b.gossip, c.gossip) == ([b"one", b"two"], [], [])
    a.transport.unsubscribe(b.transport.gossip)
    b.transport.publish(b"three")
    world.loop.run_ms(10)
    assert a.gossip == [b"one", b"two"]


def test_gossip_when_lost_or_cut_then_it_never_arrives(world: World) -> None:
    a, b = world.machine(A), world.machine(B)
    a.transport.subscribe(b.transport.gossip)
    world.loop.run_ms(5)
    world.weather.lost_gossip = 1
    b.transport.publish(b"lost"), b.transport.publish(b"one")
    world.cut((A, B))
    b.transport.publish(b"two")
    world.cut((B, A))
    b.transport.publish(b"cut")
    world.cut()
    b.transport.publish(b"silent for a while")
    world.loop.run_ms(60)
    b.transport.publish(b"three")
    world.loop.run_ms(60)
    assert a.gossip == [b"one", b"two", b"three"]


def test_gossip_when_the_publisher_restarts_then_its_successor_is_heard(world: World) -> None:
    a, b = world.machine(A), world.machine(B)
    a.transport.subscribe(b.transport.gossip)
    world.network.crash(B)
    b.transport.publish(b"the dead speak")
    successor = world.machine(B)
    world.loop.run_ms(150)
    successor.transport.publish(b"hello")
    world.loop.run_ms(5)
    assert a.gossip == [b"hello"]


def test_beats_when_the_loop_does_not_turn_then_they_go_out_with_a_growing_lag(world: World) -> None:
    a, b = world.machine(A), world.machine(B)
    a.transport.subscribe(b.transport.gossip)
    world.loop.run_ms(5)
    b.transport.turned()
    b.transport.start_beats(b"beat", 10)
    world.loop.run_ms(35)
    beats = [(frame[:4], *struct.unpack(">QI", frame[4:])) for frame in a.gossip]
    assert beats == [(b"beat", 1, 0), (b"beat", 2, 10), (b"beat", 3, 20), (b"beat", 4, 30)]
