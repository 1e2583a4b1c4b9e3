"""The switch of a lab: a process of its own that carries Ethernet frames between the taps of the hosts.

    tap of a ──frame──> whose MAC? ──> Wire a->b: fates ──> Port of b: when ──> now, or on the heap ──> tap of b
    lab ──one JSON line──> order        switch ──one JSON line──> done

Started by ``lab``: ``python -m tests.support.netlab.switch <control fd> <seed> <namespace> ...``
"""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import select
import socket
import sys
import time
from typing import Any

from tests.support.netlab.namespaces import tap
from tests.support.netlab.packets import Flows, parse
from tests.support.netlab.wire import Port, Weather, Wire

__all__ = ["Switch"]

BURST_FRAMES_MAX = 64  # of one host, then the next has its turn
FRAME_BYTES_MAX = 65_536
BROADCAST = 1  # the bit of a MAC that is for many


class Switch:
    """Carries frames until its control socket ends."""

    def __init__(self, control: socket.socket, seed: str, namespaces: list[str]) -> None:
        self._control = control
        self._orders = b""
        self._taps = [tap(name) for name in namespaces]
        hosts = range(len(namespaces))
        self._wires = {(a, b): Wire(f"{seed} {a} {b}") for a in hosts for b in hosts if a != b}
        self._ports = [Port() for _ in hosts]
        self._macs: dict[bytes, int] = {}
        self._hosts_of: dict[bytes, int] = {}  # by IPv4 address
        self._flows = Flows()
        self._late: list[tuple[float, int, int, bytes]] = []  # due, number, host, frame
        self._number = 0

    def run(self) -> None:
        poller = select.epoll()
        host_of = {fd: host for host, fd in enumerate(self._taps)}
        for fd in (*host_of, self._control.fileno()):
            poller.register(fd, select.EPOLLIN)
        while True:
            wait_s = max(0.0, self._late[0][0] - time.monotonic()) if self._late else -1
            for fd, _ in poller.poll(wait_s):
                if fd in host_of:
                    self._read(host_of[fd])
                elif not self._obey():
                    return
            self._deliver_late()

    # --- frames

    def _read(self, host: int) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(BURST_FRAMES_MAX):
                frame = os.read(self._taps[host], FRAME_BYTES_MAX)
                if self._ports[host].is_up:
                    self._carry(host, frame)

    def _carry(self, source: int, frame: bytes) -> None:
        self._macs[frame[6:12]] = source
        segment = parse(frame)
        if segment is not None:
            self._hosts_of[segment.flow.source] = source
            if answer := self._flows.on_segment(segment):
                self._put(source, answer)
                return
        target = None if frame[0] & BROADCAST else self._macs.get(frame[:6])
        for host in range(len(self._taps)) if target is None else (target,):
            if host != source:
                self._send(source, host, frame)

    def _send(self, source: int, target: int, frame: bytes) -> None:
        now_s = time.monotonic()
        for fate_s in self._wires[source, target].fates_s():
            due_s = self._ports[target].done_s(len(frame), now_s + fate_s)
            if due_s is None:
                continue
            if due_s <= now_s:
                self._put(target, frame)
            else:
                self._number += 1
                heapq.heappush(self._late, (due_s, self._number, target, frame))

    def _deliver_late(self) -> None:
        now_s = time.monotonic()
        while self._late and self._late[0][0] <= now_s:
            _, _, host, frame = heapq.heappop(self._late)
            self._put(host, frame)

    def _put(self, host: int, frame: bytes) -> None:
        if self._ports[host].is_up:
            with contextlib.suppress(OSError):  # its interface is down, or its queue full
                os.write(self._taps[host], frame)

    # --- orders

    def _obey(self) -> bool:
        """Do what the lab asks; return False when it has ended."""
        received = self._control.recv(65_536)
        *lines, self._orders = (self._orders + received).split(b"\n")
        for line in lines:
            answer = self._do(**json.loads(line))
            self._control.sendall(json.dumps(answer).encode() + b"\n")
        return bool(received)

    def _do(self, order: str, **fields: Any) -> Any:
        return getattr(self, f"_order_{order}")(**fields)

    def _order_weather(self, pairs: list[list[int]], **faults: Any) -> None:
        for a, b in pairs:
            for name, value in faults.items():
                setattr(self._wires[a, b].weather, name, value)

    def _order_heal(self) -> None:
        for wire in self._wires.values():
            wire.weather = Weather()

    def _order_port(self, host: int, is_up: bool) -> None:
        self._ports[host].is_up = is_up

    def _order_rate(self, host: int, mbit_s: float | None) -> None:
        self._ports[host].mbit_s = mbit_s

    def _order_reset(self, pairs: list[list[str]]) -> int:
        doomed = [end for a, b in pairs for end in self._flows.doom(socket.inet_aton(a), socket.inet_aton(b))]
        for address, frame in doomed:
            self._put(self._hosts_of[address], frame)
        return len(doomed) // 2

    def _order_counts(self) -> list[tuple[int, int, int, int]]:
        return [(a, b, wire.seen_count, wire.lost_count) for (a, b), wire in self._wires.items()]


if __name__ == "__main__":
    Switch(socket.socket(fileno=int(sys.argv[1])), sys.argv[2], sys.argv[3:]).run()
