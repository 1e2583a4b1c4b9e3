"""The driver of the failure detector: what it sends, whom it believes, and what it tells the others."""

from __future__ import annotations

from random import Random

import pytest

from zmqcluster.errors import DecodeError
from zmqcluster.protocol import steps
from zmqcluster.protocol.handshake import HIDDEN, Introduction
from zmqcluster.protocol.probes import Ack, Lost, Ping, PingRequest, Probe
from zmqcluster.runtime.detector import Detector
from zmqcluster.runtime.timing import Timing
from zmqcluster.wire.datagrams import Knock, decode_knock, encode_knock
from zmqcluster.wire.frames import Kind, LostFrame, decode_gossip

A, B, C, D = (f"{name}@10.0.0.{number}:7100" for number, name in enumerate("abcd", 1))
TIMING = Timing.local()
T = TIMING.silence_ms
EPOCHS = {B: 0xB, C: 0xC, D: 0xD}
DOOR = "tcp://10.0.0.2:7100"


class World:
    """A detector of node A, and all that it asks for."""

    def __init__(self) -> None:
        self.probes: list[tuple[str, Probe]] = []
        self.published: list[bytes] = []
        self.knocks: list[tuple[str, bytes]] = []
        self.verdicts: list[tuple[str, str]] = []
        self.received = dict.fromkeys(EPOCHS, 0)
        self.detector = Detector(
            A,
            1,
            TIMING,
            random=Random(1),
            prober=self,
            publish=self.published.append,
            knock=lambda endpoint, datagram: self.knocks.append((endpoint, datagram)),
            on_verdict=self.on_verdict,
        )
        self.detector.on_tick(0)

    def send_probe(self, peer: str, probe: Probe) -> None:
        self.probes.append((peer, probe))

    def received_bytes(self, peer: str) -> int:
        return self.received[peer]

    def epoch_of(self, peer: str) -> int | None:
        return EPOCHS[peer]

    def on_verdict(self, peer: str, reason: str) -> None:
        self.verdicts.append((peer, reason))
        self.detector.on_down(peer, reason, 0)

    def up(self, *peers: str, capabilities: tuple[str, ...] = ()) -> World:
        for peer in peers:
            self.detector.on_up(peer, Introduction(peer, 7, "", capabilities=capabilities, links=(DOOR,)), 0)
        return self

    def tick_to(self, last_ms: int, *beating: str, first_ms: int = TIMING.tick_ms) -> None:
        for now_ms in range(first_ms, last_ms + 1, TIMING.tick_ms):
            for peer in beating:
                self.detector.on_beat(peer, now_ms, 0, now_ms)
            self.detector.on_tick(now_ms)


def test_silence_then_the_verdict_and_the_helpers_and_everybody_are_told() -> None:
    world = World().up(B, C)
    world.tick_to(2 * T, C)
    assert world.verdicts == [(B, steps.SILENCE)]  # C was asked and did not answer: later, but nobody vouched
    assert (C, Lost(A, B, EPOCHS[B])) in world.probes
    assert {decode_gossip(frame) for frame in world.published} == {LostFrame(A, 1, EPOCHS[B], B)}
    assert len(world.published) == 2


def test_connection_that_broke_then_the_peer_is_told_and_not_when_it_left() -> None:
    for reason, count in ((steps.CONNECTION_CLOSED, 2), (steps.LEFT, 0), (steps.DISCONNECT, 0)):
        world = World().up(B, C)
        world.detector.on_down(B, reason, 0)
        world.tick_to(200, C)
        assert len(world.published) == count, reason


def test_new_session_before_all_was_told_then_the_old_one_is_no_news() -> None:
    world = World().up(B, C)
    world.detector.on_down(B, steps.CONNECTION_CLOSED, 0)
    world.up(B)
    world.tick_to(200, B, C)
    assert world.published == []


def test_lost_of_our_session_then_it_ends_and_of_another_nothing() -> None:
    world = World().up(B, C)
    world.detector.on_lost(LostFrame(B, 7, EPOCHS[B] + 1, A))
    world.detector.on_lost(LostFrame(B, 7, EPOCHS[B], C))
    world.detector.on_lost(LostFrame(D, 7, EPOCHS[D], A))
    assert world.verdicts == []
    world.detector.on_lost(LostFrame(B, 7, EPOCHS[B], A))
    assert world.verdicts == [(B, steps.CONNECTION_CLOSED)]


def test_lost_by_a_helper_then_passed_on_once_or_it_is_for_us() -> None:
    world = World().up(B, C)
    world.detector.on_probe(B, Lost(B, C, 99), 10)
    assert world.probes == [(C, Lost(B, C, 99))]
    world.detector.on_probe(C, Lost(B, D, 99), 10)  # passed on by C already
    assert len(world.probes) == 1
    world.detector.on_probe(C, Lost(B, A, EPOCHS[B]), 10)
    assert world.verdicts == [(B, steps.CONNECTION_CLOSED)]


def test_suspect_then_pinged_over_the_link_and_knocked_at_each_tick_and_the_visible_are_asked() -> None:
    world = World().up(B, C).up(D, capabilities=(HIDDEN,))
    world.tick_to(TIMING.suspect_ms + 4 * TIMING.tick_ms, C, D)
    assert [peer for peer, probe in world.probes if isinstance(probe, Ping)] == [B]
    assert [peer for peer, probe in world.probes if isinstance(probe, PingRequest)] == [C]
    assert [endpoint for endpoint, _ in world.knocks] == [DOOR] * 3
    assert {decode_knock(datagram)[:3] for _, datagram in world.knocks} == {(Kind.PING, 1, A)}


def test_ack_of_a_knock_then_it_lived_when_we_asked() -> None:
    world = World().up(B, C)
    world.tick_to(400, C)
    world.detector.on_datagram(encode_knock(Knock(Kind.ACK, 7, B, 350), EPOCHS[B]), DOOR, 410)
    assert world.detector.state(B) == "up"
    world.tick_to(350 + TIMING.suspect_ms + TIMING.tick_ms, C, first_ms=425)
    assert world.detector.state(B) == "suspect"  # from then on, not from when the answer came


@pytest.mark.parametrize("number", [0, 500])
def test_ack_that_is_old_or_not_yet_asked_for_then_nothing(number: int) -> None:
    world = World().up(B)
    world.tick_to(400)
    world.detector.on_datagram(encode_knock(Knock(Kind.ACK, 7, B, number), EPOCHS[B]), DOOR, 410)
    assert world.detector.state(B) == "suspect"


def test_knock_that_proves_nothing_then_neither_answered_nor_believed() -> None:
    world = World().up(B)
    world.tick_to(TIMING.suspect_ms + TIMING.tick_ms)
    world.knocks.clear()
    for forged in (
        encode_knock(Knock(Kind.ACK, 7, B, 320), EPOCHS[B] + 1),
        encode_knock(Knock(Kind.PING, 7, B, 320), EPOCHS[B] + 1),
        encode_knock(Knock(Kind.PING, 7, C, 320), EPOCHS[C]),  # no session with C
    ):
        world.detector.on_datagram(forged, "tcp://6.6.6.6:6", 330)
    assert world.knocks == [] and world.detector.state(B) == "suspect"
    with pytest.raises(DecodeError):
        world.detector.on_datagram(b"nonsense", "tcp://6.6.6.6:6", 330)


def test_ping_of_a_peer_then_answered_to_where_it_came_from_and_no_sign_of_life() -> None:
    """A PING may have been recorded; only an ACK to a number of ours is fresh."""
    world = World().up(B)
    world.tick_to(TIMING.suspect_ms + TIMING.tick_ms)
    world.knocks.clear()
    world.detector.on_datagram(encode_knock(Knock(Kind.PING, 7, B, 5), EPOCHS[B]), "tcp://10.0.0.9:4", 330)
    ((endpoint, answer),) = world.knocks
    assert endpoint == "tcp://10.0.0.9:4" and decode_knock(answer) == Knock(Kind.ACK, 1, A, 5)
    assert world.detector.state(B) == "suspect"


def test_only_datagrams_for_long_then_given_up_for_they_carry_no_messages() -> None:
    world = World().up(B)
    now_ms = 0
    while not world.verdicts and now_ms < 2 * TIMING.unacked_ms:
        now_ms += TIMING.tick_ms
        world.detector.on_tick(now_ms)
        for _, datagram in world.knocks[-1:]:
            number = decode_knock(datagram).number
            world.detector.on_datagram(encode_knock(Knock(Kind.ACK, 7, B, number), EPOCHS[B]), DOOR, now_ms)
    assert TIMING.unacked_ms < now_ms <= TIMING.unacked_ms + 2 * T


def test_data_of_a_suspect_then_it_lives() -> None:
    world = World().up(B)
    world.tick_to(TIMING.suspect_ms + 2 * TIMING.tick_ms)
    assert world.detector.state(B) == "suspect"
    world.received[B] += 100
    world.detector.on_tick(TIMING.suspect_ms + 3 * TIMING.tick_ms)
    assert world.detector.state(B) == "up"


def test_ping_over_the_link_then_answered() -> None:
    world = World().up(B)
    world.detector.on_probe(B, Ping(9), 10)
    assert world.probes == [(B, Ack(9))]
