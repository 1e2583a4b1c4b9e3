"""Attacks with raw sockets on a live node: it goes on serving, and its memory stays bounded.

The strangers have no cookie, unless a test says so. While they are at it an honest node calls the victim all the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.guarded import Guarded, asynchronous, settled
from tests.support.guarded import guarded as guarded
from tests.support.victim import Counter, Victim
from tests.support.zmtp import Address, Wire, command, frame, greeting, header, plain_hello, ready
from zmqcluster.runtime.node import Node
from zmqcluster.transport.ticket import TICKET_USER

pytestmark = pytest.mark.cluster

COOKIE = "the cookie of the victim"
GROWTH_BYTES_MAX = 64 * 1024 * 1024
SECURED = ("curve", "none")


@pytest.fixture(scope="module", params=SECURED)
def victim(request: pytest.FixtureRequest) -> Iterator[Victim]:
    with Victim(cookie=COOKIE, encryption=request.param) as victim:
        yield victim


@contextlib.asynccontextmanager
async def served(guarded: Guarded, victim: Victim) -> AsyncIterator[Node]:
    """An honest node that calls the victim all the time; each call is answered, and its session never ends."""
    node = await guarded.start("h", cookie=COOKIE, encryption=victim.encryption)
    assert await node.connect(victim.name)
    before_bytes, answered, is_over = victim.memory_bytes(), 0, False
    grown_bytes = 0
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def call() -> None:
        nonlocal answered, grown_bytes
        counter = Counter.at(("counter", victim.name))
        try:
            while not is_over:
                assert await counter.same(answered) == answered
                answered += 1
                grown_bytes = max(grown_bytes, victim.memory_bytes() - before_bytes)
                await asyncio.sleep(0.005)
        except Exception as error:
            ended.set_exception(error)
        else:
            ended.set_result(None)

    node.scheduler.spawn(call())
    await settled(lambda: answered > 2)
    yield node
    seen = answered
    await settled(lambda: answered > seen + 5 or ended.done())
    is_over = True
    await asyncio.wait_for(ended, 10)
    assert victim.is_alive(), victim.log()
    assert [event for event in guarded.events["h"] if event.startswith("down")] == []
    assert grown_bytes < GROWTH_BYTES_MAX, f"{grown_bytes / 1e6:.0f} MB"


def shower(wire: Wire, content: bytes, within_s: float) -> None:
    """Send ``content`` again and again until the other end hangs up or the time is over."""
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s and wire.send(content):
        pass


def ways_in(socket_type: bytes) -> dict[str, bytes]:
    """What a stranger may say first."""
    return {
        "nothing": b"",
        "null": greeting() + ready(socket_type),
        "plain": greeting(b"PLAIN") + plain_hello(b"admin", b"admin"),
        "ticket": greeting(b"PLAIN") + plain_hello(TICKET_USER, b"00" * 60),
        "plain, at once": greeting(b"PLAIN") + ready(socket_type),
        "curve": greeting(b"CURVE") + command(b"HELLO", bytes(194)),
        "curve, at once": greeting(b"CURVE") + ready(socket_type),
    }


@pytest.mark.parametrize("way", ways_in(b""))
@asynchronous
async def test_endless_multipart_of_a_stranger_is_cut(guarded: Guarded, victim: Victim, way: str) -> None:
    parts = frame(b"x" * 60_000, more=True) * 16

    def attack(address: Address, socket_type: bytes) -> None:
        with Wire(address) as wire:
            wire.send(ways_in(socket_type)[way])
            shower(wire, parts, 1.0)
            assert wire.is_hung_up(1.0), wire.sent_bytes

    async with served(guarded, victim):
        await asyncio.gather(
            asyncio.to_thread(attack, victim.links, b"DEALER"), asyncio.to_thread(attack, victim.gossip, b"SUB")
        )


@pytest.mark.parametrize("flags", [0, 4], ids=["message", "command"])
@pytest.mark.parametrize("size_bytes", [2**30, 2**63, 2_000_000], ids=["1 GB", "all there is", "2 MB"])
@asynchronous
async def test_long_header_of_a_stranger_makes_no_room(
    guarded: Guarded, victim: Victim, size_bytes: int, flags: int
) -> None:
    def attack(mechanism: bytes) -> None:
        wires = [Wire(victim.links) for _ in range(60)]
        for wire in wires:  # all but the last bytes of what was announced: it would have to be kept
            wire.send(greeting(mechanism) + header(size_bytes, flags=flags) + bytes(1_990_000))
        for wire in wires:
            assert wire.is_hung_up(2.0)
            wire.close()

    async with served(guarded, victim):
        for mechanism in (b"NULL", b"PLAIN", b"CURVE"):
            await asyncio.to_thread(attack, mechanism)


@asynchronous
async def test_300_000_subscriptions_of_a_stranger_are_not_taken(guarded: Guarded, victim: Victim) -> None:
    subscriptions = b"".join(frame(b"\x01topic %d" % number) for number in range(300_000))

    def attack(first: bytes) -> None:
        with Wire(victim.gossip) as wire:
            wire.send(first + subscriptions)
            assert wire.is_hung_up()

    async with served(guarded, victim):
        for first in ways_in(b"SUB").values():
            await asyncio.to_thread(attack, first)


@asynchronous
async def test_mechanism_of_less_is_refused(guarded: Guarded, victim: Victim) -> None:
    def attack() -> None:
        for first in ways_in(b"DEALER").values():
            with Wire(victim.links) as wire:
                wire.send(first + frame(b"") + frame(b"\x02hello"))
                said = wire.received(1.0 if first else 0.1)
                assert b"READY" not in said
                assert b"WELCOME" not in said

    async with served(guarded, victim):
        await asyncio.to_thread(attack)


@asynchronous
async def test_garbage_in_place_of_a_greeting_is_dropped(guarded: Guarded, victim: Victim) -> None:
    def attack() -> None:
        for number in range(200):
            with Wire(victim.links if number % 2 else victim.gossip) as wire:
                wire.send(os.urandom(number * 50))

    async with served(guarded, victim):
        await asyncio.to_thread(attack)


@asynchronous
async def test_half_handshakes_to_the_limit_of_descriptors_keep_nobody_out(guarded: Guarded) -> None:
    wires: list[Wire] = []

    def knock(victim: Victim) -> None:
        for number in range(400):
            with contextlib.suppress(OSError):
                wires.append(Wire(victim.links if number % 2 else victim.gossip))
                wires[-1].send(b"" if number % 3 else greeting(b"CURVE"))

    with Victim(cookie=COOKIE, descriptors_max=160) as victim:
        async with served(guarded, victim):
            attack = asyncio.create_task(asyncio.to_thread(knock, victim))
            await settled(lambda: len(wires) > 100)
            late = await guarded.start("l", cookie=COOKIE)
            async with asyncio.timeout(5):
                while not await late.connect(victim.name, timeout_s=2):
                    pass
            await attack
            assert len(wires) > 200
            assert len(os.listdir(f"/proc/{victim.pid}/fd")) < 160
        assert "too many handshakes at once" in victim.log()
    for wire in wires:
        wire.close()
