"""TCP as the switch sees it: which connection a frame belongs to, and the segment that ends it.

    a ── seq 100, 20 bytes, ack 700 ──> b         a expects 700 next, so RST with seq 700 ends the connection at a.

A kernel takes a RST only with the very number it expects next, which is the ``ack`` of what it sent last.
Source: RFC 793, RFC 5961. IPv4 only.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Flow", "Flows", "Segment", "parse", "reset_frame"]

ETHERNET = struct.Struct("!6s6sH")
IP = struct.Struct("!BBHHHBBH4s4s")
TCP = struct.Struct("!HHIIBBHHH")
IPV4, TCP_PROTOCOL = 0x0800, 6
RST_ACK, RST, ACK = 0x14, 0x04, 0x10


class Flow(NamedTuple):
    """One direction of a connection."""

    source: bytes
    source_port: int
    target: bytes
    target_port: int

    def back(self) -> Flow:
        return Flow(self.target, self.target_port, self.source, self.source_port)


@dataclass(frozen=True, slots=True)
class Segment:
    """What is needed of a TCP segment."""

    flow: Flow
    source_mac: bytes
    target_mac: bytes
    next_seq: int  # of the sender, after this
    ack: int  # what the sender expects next
    flags: int


def parse(frame: bytes) -> Segment | None:
    """Return the TCP segment in an Ethernet frame; None for anything else."""
    if len(frame) < ETHERNET.size + IP.size + TCP.size:
        return None
    target_mac, source_mac, kind = ETHERNET.unpack_from(frame)
    version, _, total, _, _, _, protocol, _, source, target = IP.unpack_from(frame, ETHERNET.size)
    if kind != IPV4 or protocol != TCP_PROTOCOL:
        return None
    at = ETHERNET.size + (version & 15) * 4
    source_port, target_port, seq, ack, offset, flags, _, _, _ = TCP.unpack_from(frame, at)
    payload_bytes = total - (version & 15) * 4 - (offset >> 4) * 4
    next_seq = seq + payload_bytes + (flags & 1) + (flags >> 1 & 1) & 0xFFFFFFFF  # FIN and SYN count as a byte each
    return Segment(Flow(source, source_port, target, target_port), source_mac, target_mac, next_seq, ack, flags)


def reset_frame(last: Segment) -> bytes:
    """Return the frame that ends the connection at the host that has sent ``last``."""
    flow = last.flow.back()
    tcp = TCP.pack(flow.source_port, flow.target_port, last.ack, last.next_seq, TCP.size // 4 << 4, RST_ACK, 0, 0, 0)
    pseudo = flow.source + flow.target + struct.pack("!BBH", 0, TCP_PROTOCOL, len(tcp))
    tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp)) + tcp[18:]
    ip = IP.pack(0x45, 0, IP.size + len(tcp), 0, 0, 64, TCP_PROTOCOL, 0, flow.source, flow.target)
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    return ETHERNET.pack(last.source_mac, last.target_mac, IPV4) + ip + tcp


def checksum(words: bytes) -> int:
    """The checksum of IP and TCP: the complement of the sum of 16-bit words. Source: RFC 1071."""
    total = sum(struct.unpack(f"!{len(words) // 2}H", words))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Flows:
    """The connections that passed the switch, and those that are to end."""

    def __init__(self) -> None:
        self._last: dict[Flow, Segment] = {}
        self._doomed: set[Flow] = set()

    def on_segment(self, segment: Segment) -> bytes | None:
        """Take note of a segment; return the frame to answer it with, in place of passing it on."""
        if segment.flags & RST:
            self._last.pop(segment.flow, None)
            self._doomed.discard(segment.flow)
            return None
        if segment.flags & ACK:
            self._last[segment.flow] = segment
        else:  # a SYN: the ports may be used anew
            self._doomed.difference_update((segment.flow, segment.flow.back()))
        return reset_frame(segment) if segment.flow in self._doomed else None

    def doom(self, one: bytes, other: bytes) -> list[tuple[bytes, bytes]]:
        """End all connections between two addresses; return (address, frame) to deliver at once.

        An end that has received more than it acknowledged so far ignores its frame; it is told again when it speaks.
        """
        found = [each for each in self._last.values() if {each.flow.source, each.flow.target} == {one, other}]
        for segment in found:
            self._doomed.add(segment.flow)
            del self._last[segment.flow]
        return [(segment.flow.source, reset_frame(segment)) for segment in found]
