"""A connection whose data nobody acknowledges ends by itself, on a real cut: the kernel gives it up, see ``Timing``."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.netlab import Host, Lab
from tests.support.node_process import ROOT

UNACKED_S = 1.5
# Listens, or dials the node it is told, and pushes a frame each time it is told to; says what becomes of the dial.
PROGRAM = """
import asyncio, sys, time
from zmqcluster._ports import CallableInlet
from zmqcluster.ids import NodeName
from zmqcluster.transport.zmq import ZmqTransport

class Deaf:
    inlet = CallableInlet(lambda source, frame: None)
    def on_gossip(self, frame): pass
    def on_datagram(self, datagram, source): pass
    def on_refused(self, address, problem): pass

async def main(name, unacked_s, *peers):
    transport = ZmqTransport(NodeName.parse(name), cookie="secret", unacked_ms_max=int(float(unacked_s) * 1000))
    await transport.open(Deaf())
    print("open", flush=True)
    for peer in peers:
        on_event = lambda event: print(event.value, time.monotonic(), flush=True)
        dial = transport.dial(f"tcp://{peer.partition('@')[2]}", on_event, lambda frame: None)
    while await asyncio.to_thread(sys.stdin.readline):
        print("pushed", time.monotonic(), dial.outlet.push_bytes(b"frame"), flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


class Speaker:
    """The program on a host."""

    def __init__(self, lab: Lab, host: Host, *peers: str) -> None:
        environment = os.environ | {"ZMQCLUSTER_RUN_DIR": str(lab.run_dir), "PYTHONPATH": str(ROOT)}
        command = [*host.prefix, sys.executable, "-c", PROGRAM, host.node_name, str(UNACKED_S), *peers]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
        )
        assert self.says()[0] == "open"

    def says(self) -> list[str]:
        assert self.process.stdout is not None
        return self.process.stdout.readline().split()

    def push(self) -> float:
        """Push a frame; return when."""
        assert self.process.stdin is not None
        self.process.stdin.write("push\n")
        self.process.stdin.flush()
        word, at_s, was_taken = self.says()
        assert (word, was_taken) == ("pushed", "True")
        return float(at_s)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.mark.parametrize("one_way", [True, pytest.param(False, marks=pytest.mark.soak)])
def test_cut_then_a_connection_with_unacknowledged_data_ends_in_time(one_way: bool) -> None:
    with Lab(2) as lab:
        listener = Speaker(lab, lab["b"])
        dialler = Speaker(lab, lab["a"], lab["b"].node_name)
        try:
            assert dialler.says()[0] == "connected"
            dialler.push()
            lab.cut("b", "a", one_way=one_way)  # one way: what a sends arrives, and a never learns it
            pushed_s = dialler.push()
            event, at_s = dialler.says()
            assert event == "disconnected"
            assert UNACKED_S - 0.1 <= float(at_s) - pushed_s <= UNACKED_S + 1.0
        finally:
            dialler.end()
            listener.end()
