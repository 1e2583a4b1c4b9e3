"""The parts of the network lab that need no network: the fate of frames, and the segments that end connections."""

from __future__ import annotations

import struct

import pytest

from tests.support.netlab.packets import ACK, ETHERNET, IP, RST, TCP, Flow, Flows, checksum, parse, reset_frame
from tests.support.netlab.wire import QUEUE_S, Port, Wire

A, B = bytes([10, 77, 0, 1]), bytes([10, 77, 0, 2])
MAC_A, MAC_B = b"\x02aaaaa", b"\x02bbbbb"
SYN = 0x02


def segment(source: bytes, target: bytes, seq: int, ack: int, payload: bytes = b"", flags: int = ACK) -> bytes:
    tcp = TCP.pack(4000, 7100, seq, ack, 5 << 4, flags, 1000, 0, 0) + payload
    if source == B:
        tcp = TCP.pack(7100, 4000, seq, ack, 5 << 4, flags, 1000, 0, 0) + payload
    macs = (MAC_B, MAC_A) if source == A else (MAC_A, MAC_B)
    return ETHERNET.pack(*macs, 0x0800) + IP.pack(0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, source, target) + tcp


# --- wires


def test_wire_without_faults_then_every_frame_at_once() -> None:
    assert [Wire("a").fates_s() for _ in range(3)] == [[0.0]] * 3


def test_wire_that_loses_then_that_share_and_the_same_for_a_seed() -> None:
    def lost(seed: str) -> list[bool]:
        wire = Wire(seed)
        wire.weather.loss = 0.3
        return [wire.fates_s() == [] for _ in range(2_000)]

    assert lost("1") == lost("1") != lost("2")
    assert 0.25 < sum(lost("1")) / 2_000 < 0.35


def test_wire_that_is_cut_then_nothing() -> None:
    wire = Wire("a")
    wire.weather.cut = True
    assert [wire.fates_s(), wire.seen_count, wire.lost_count] == [[], 1, 1]


def test_wire_with_delay_and_jitter_then_within_them_and_some_twice_and_some_late() -> None:
    wire = Wire("a")
    wire.weather.delay_ms, wire.weather.jitter_ms = 200.0, 100.0
    fates = [wire.fates_s() for _ in range(1_000)]
    assert all(len(fate) == 1 and 0.1 <= fate[0] <= 0.3 for fate in fates)
    wire.weather.twice = wire.weather.overtaken = 0.5
    fates = [wire.fates_s() for _ in range(1_000)]
    assert 400 < sum(len(fate) == 2 for fate in fates) < 600
    assert max(fate[0] for fate in fates) > 0.3


def test_port_of_a_rate_then_frames_take_their_time_and_a_full_queue_loses() -> None:
    port = Port()
    assert port.done_s(1_500, 5.0) == 5.0
    port.mbit_s = 1.0
    assert port.done_s(1_250, 5.0) == pytest.approx(5.01)
    taken = 1
    while port.done_s(1_250, 5.0) is not None:
        taken += 1
    assert taken == pytest.approx(QUEUE_S / 0.01, abs=2)
    port.is_up = False
    assert port.done_s(1, 100.0) is None


# --- connections


def test_parse_then_whose_it_is_and_what_is_expected_next() -> None:
    found = parse(segment(A, B, 100, 700, b"x" * 20))
    assert found is not None
    assert (found.flow, found.next_seq, found.ack) == (Flow(A, 4000, B, 7100), 120, 700)
    assert found.flow.back() == Flow(B, 7100, A, 4000)
    syn = parse(segment(A, B, 0xFFFFFFFF, 0, flags=SYN))
    assert syn is not None and syn.next_seq == 0  # the SYN counts, and numbers begin anew


def test_parse_of_anything_else_then_nothing() -> None:
    arp = ETHERNET.pack(MAC_B, MAC_A, 0x0806) + bytes(60)
    udp = bytearray(segment(A, B, 1, 1))
    udp[ETHERNET.size + 9] = 17
    assert [parse(frame) for frame in (b"", arp, bytes(udp))] == [None] * 3


def test_reset_then_it_comes_from_the_peer_with_the_number_that_is_expected() -> None:
    sent = parse(segment(A, B, 100, 700, b"x" * 20))
    assert sent is not None
    frame = reset_frame(sent)
    reset = parse(frame)
    assert reset is not None and reset.flags & RST
    assert reset.flow == sent.flow.back()
    (seq,) = struct.unpack_from("!I", frame, ETHERNET.size + IP.size + 4)
    assert (seq, reset.ack) == (700, 120)
    assert frame[:6] == MAC_A
    pseudo = B + A + struct.pack("!BBH", 0, 6, TCP.size)
    assert checksum(frame[ETHERNET.size : ETHERNET.size + IP.size]) == 0
    assert checksum(pseudo + frame[ETHERNET.size + IP.size :]) == 0


def test_doomed_flow_then_its_segments_are_answered_until_it_begins_anew() -> None:
    flows = Flows()
    there, back = parse(segment(A, B, 100, 700)), parse(segment(B, A, 700, 100))
    assert there and back
    assert flows.on_segment(there) is None and flows.on_segment(back) is None
    doomed = flows.doom(B, A)
    assert sorted(address for address, _ in doomed) == [A, B]
    answer = flows.on_segment(there)
    assert answer == reset_frame(there)
    syn = parse(segment(A, B, 5_000, 0, flags=SYN))
    assert syn is not None and flows.on_segment(syn) is None
    assert flows.on_segment(there) is None and flows.on_segment(back) is None
    assert flows.doom(A, bytes(4)) == []
