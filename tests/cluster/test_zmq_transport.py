"""The zmq transport among real processes, and what it leaves behind in the operating system."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.transport_world import COOKIE, World, free_port, on_loop
from zmqcluster.ids import NodeName
from zmqcluster.transport.interface import DialEvent

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).parents[2]

# A node whose loop stops for good once it is open: only its threads live on.
BLOCKED_NODE = """
import asyncio, sys
from pathlib import Path
from zmqcluster._ports import CallableInlet
from zmqcluster.ids import NodeName
from zmqcluster.transport.zmq import ZmqTransport

class Handler:
    inlet = CallableInlet(lambda source, frame: None)
    def on_gossip(self, frame): pass
    def on_datagram(self, datagram, source): pass
    def on_refused(self, address, problem): pass

async def main(name, run_dir, cookie):
    transport = ZmqTransport(NodeName.parse(name), cookie=cookie, run_dir=Path(run_dir))
    endpoints = await transport.open(Handler())
    transport.start_beats(b"", 20)
    transport.turned()
    print(*endpoints.links, *endpoints.gossip, flush=True)
    sys.stdin.read()

asyncio.run(main(*sys.argv[1:]))
"""


class BlockedNode:
    """The process and the endpoints it printed."""

    def __init__(self, run_dir: Path) -> None:
        self.name = NodeName.parse(f"blocked@127.0.0.1:{free_port()}")
        self.process = subprocess.Popen(
            [sys.executable, "-c", BLOCKED_NODE, self.name, str(run_dir), COOKIE],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        printed = self.process.stdout.readline().split()
        self.links, self.gossip = printed[:2], printed[2:]

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def blocked(tmp_path: Path) -> Iterator[BlockedNode]:
    node = BlockedNode(tmp_path)
    yield node
    node.kill()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World("tcp-cookie", tmp_path)


async def eventually(predicate: Callable[[], bool], value: Callable[[], object], within_s: float = 5.0) -> None:
    """Wait for what nobody tells: descriptors and threads that libzmq gives back in its own time."""
    deadline_s = asyncio.get_running_loop().time() + within_s
    while not predicate():
        assert asyncio.get_running_loop().time() < deadline_s, f"still {value()} after {within_s} s"
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("which", [0, 1], ids=["ipc", "tcp"])
@on_loop
async def test_killed_process_disconnects_and_then_refuses(world: World, blocked: BlockedNode, which: int) -> None:
    a = await world.open("a")
    dialled = await a.dial(blocked.links[which]).connected()
    blocked.process.send_signal(signal.SIGKILL)
    await dialled.until(DialEvent.DISCONNECTED)
    while (event := await a.dial(blocked.links[which]).first()) is not DialEvent.REFUSED:
        assert event is DialEvent.HANDSHAKE_FAILED  # a dying process can still accept, and then hangs up


@on_loop
async def test_blocked_loop_still_lets_subscribers_in_and_beats_with_growing_lag(
    world: World, blocked: BlockedNode
) -> None:
    a = await world.open("a")
    a.transport.subscribe(blocked.gossip[0])
    await world.until(lambda: len(a.gossip) >= 10)
    lags = [int.from_bytes(frame[8:], "big") for frame in a.gossip]
    numbers = [int.from_bytes(frame[:8], "big") for frame in a.gossip]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert lags == sorted(lags)
    assert lags[-1] >= lags[0] + 100


@on_loop
async def test_stopped_process_is_silent_and_goes_on_beating_after_it(world: World, blocked: BlockedNode) -> None:
    a = await world.open("a")
    a.transport.subscribe(blocked.gossip[1])
    dialled = await a.dial(blocked.links[1]).connected()
    await world.until(lambda: a.gossip)
    blocked.process.send_signal(signal.SIGSTOP)
    heard = len(a.gossip)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(world.until(lambda: len(a.gossip) > heard + 2), 0.3)
    blocked.process.send_signal(signal.SIGCONT)
    await world.until(lambda: len(a.gossip) > heard + 5)
    assert dialled.events == [DialEvent.CONNECTED]  # a silence, not an end


@on_loop
async def test_killed_nodes_name_and_files_are_free_for_its_successor(
    world: World, blocked: BlockedNode, tmp_path: Path
) -> None:
    blocked.kill()
    assert list(tmp_path.iterdir()) != []
    successor, a = await world.open(blocked.name), await world.open("a")
    for endpoint in successor.endpoints.links:
        assert (await a.dial(endpoint).connected()).push(b"hello")
    await world.until(lambda: len(successor.frames) == 2)
    assert list(successor.endpoints.links) == blocked.links


def open_descriptors() -> int:
    return len(os.listdir("/dev/fd"))


def os_threads() -> int:
    """All threads, also those Python does not know; where that cannot be asked, those it knows."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.is_dir() else threading.active_count()


@pytest.mark.parametrize("raw", [True, False])
@on_loop
async def test_two_hundred_dials_leave_no_descriptor_behind(world: World, raw: bool) -> None:
    a, b = await world.open("a", raw=raw), await world.open("b", raw=raw)
    nobody = f"tcp://127.0.0.1:{free_port()}"
    await a.dial(b.link).connected()
    before = open_descriptors()
    for number in range(200):
        endpoint = nobody if number % 4 == 3 else b.endpoints.links[number % 2]
        dialled = a.dial(endpoint)
        if number % 4 == 0:
            assert (await dialled.connected()).push(b"hello")
        elif number % 4 == 3:
            await dialled.until(DialEvent.REFUSED)
        dialled.dial.close()  # the others in the middle of connecting
    await eventually(lambda: open_descriptors() <= before, open_descriptors)


async def live_a_little(world: World, raw: bool) -> None:
    """Open two nodes, use all there is, close them with dials in every state."""
    a, b = await world.open("a", raw=raw), await world.open("b", raw=raw)
    a.transport.subscribe(b.gossip_endpoint)
    b.transport.start_beats(b"beat", 10)
    dialled, _, _ = await a.dial(b.link).connected(), a.dial(b.link), a.dial(f"tcp://127.0.0.1:{free_port()}")
    assert dialled.push(bytes(100_000))
    await world.until(lambda: a.gossip)
    await a.transport.close()
    await b.transport.close()


@pytest.mark.parametrize("raw", [True, False])
@on_loop
async def test_closed_transport_leaves_no_descriptor_and_no_thread(world: World, raw: bool) -> None:
    await (await world.open("warm", raw=raw)).transport.close()
    before, threads = open_descriptors(), os_threads()
    for _ in range(10):
        await live_a_little(world, raw)
    await eventually(lambda: open_descriptors() <= before, open_descriptors)
    await eventually(lambda: os_threads() <= threads, os_threads)
