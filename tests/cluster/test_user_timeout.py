"""A connection that is heard by nobody ends by itself: the kernel is told how long to wait for acknowledgements."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import sys
from pathlib import Path

import pytest

from zmqcluster._ports import CallableInlet
from zmqcluster.ids import NodeName
from zmqcluster.transport.interface import DialEvent
from zmqcluster.transport.zmq import ZmqTransport

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(sys.platform != "linux", reason="TCP_USER_TIMEOUT is Linux's"),
]

UNACKED_MS_MAX = 12_345


class Deaf:
    """Takes everything and does nothing."""

    def __init__(self) -> None:
        self.inlet = CallableInlet(lambda source, frame: None)

    def on_gossip(self, frame: bytes) -> None: ...

    def on_datagram(self, datagram: bytes, source: str) -> None: ...

    def on_refused(self, address: str, problem: str) -> None: ...


def user_timeouts_ms() -> list[int]:
    """The timeouts of all TCP connections of this process."""
    found = []
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            if not stat.S_ISSOCK(os.fstat(fd).st_mode):
                continue
            with socket.socket(fileno=os.dup(fd)) as each:
                if each.family == socket.AF_INET and each.type == socket.SOCK_STREAM:
                    found.append(each.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))
        except OSError:
            continue  # closed meanwhile
    return found


async def connected_timeouts_ms(run_dir: Path) -> list[int]:
    a, b = (
        ZmqTransport(NodeName(f"{name}@127.0.0.1:{port}"), cookie=None, run_dir=run_dir, unacked_ms_max=UNACKED_MS_MAX)
        for name, port in (("unacked-a", 21_311), ("unacked-b", 21_312))
    )
    await a.open(Deaf())
    endpoints = await b.open(Deaf())
    connected = asyncio.Event()

    def on_event(event: DialEvent) -> None:
        if event is DialEvent.CONNECTED:
            connected.set()

    dial = a.dial(endpoints.links[-1], on_event, lambda frame: None)
    try:
        await asyncio.wait_for(connected.wait(), 5)
        return user_timeouts_ms()
    finally:
        dial.close()
        await a.close()
        await b.close()


def test_dial_when_connected_then_its_kernel_gives_up_what_is_not_acknowledged(tmp_path: Path) -> None:
    assert UNACKED_MS_MAX in asyncio.run(connected_timeouts_ms(tmp_path))
