"""The transport contract: what a node may rely on, on sockets (tcp and ipc, with and without a cookie, libzmq called
directly and through pyzmq) and in memory.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.support.transport_world import WORLDS, Node, World, on_loop
from zmqcluster.errors import NameInUse
from zmqcluster.transport.interface import DialEvent

BEAT = struct.Struct(">QI")
FAILED = {DialEvent.AUTH_FAILED, DialEvent.HANDSHAKE_FAILED}


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return World(request.param, tmp_path)


@on_loop
async def test_frames_of_one_dial_arrive_once_in_order_and_in_batches(world: World) -> None:
    a, b = await world.open("a"), await world.open("b")
    dialled = await a.dial(b.link).connected()
    sent = [b"%d" % number for number in range(300)]
    for frame in sent:
        while not dialled.push(frame):
            dialled.events.clear()
            await dialled.until(DialEvent.WRITABLE)
    await world.until(lambda: len(b.frames) >= len(sent))
    assert b.frames == sent
    assert len(b.sources) == 1


@on_loop
async def test_frames_sent_one_at_a_time_are_always_taken(world: World) -> None:
    a, b = await world.open("a"), await world.open("b")
    dialled = await a.dial(b.link).connected()
    dialled.dial.established()
    for number in range(1, 101):
        assert dialled.push(b"ping")
        await world.until(lambda: len(b.frames) == number)  # noqa: B023 - waited for within its round
    assert dialled.events == [DialEvent.CONNECTED]


@on_loop
async def test_two_dials_have_two_sources(world: World) -> None:
    a, b = await world.open("a"), await world.open("b")
    for frame in (b"one", b"two"):
        assert (await a.dial(b.link).connected()).push(frame)
    await world.until(lambda: len(b.frames) == 2)
    assert len(b.sources) == 2


@on_loop
async def test_dial_when_nobody_listens_is_refused_and_connects_to_whoever_comes(world: World) -> None:
    a, b = await world.open("a"), await world.open("b")
    endpoint = b.link
    await b.transport.close()
    dialled = a.dial(endpoint)
    await dialled.until(DialEvent.REFUSED)
    assert not dialled.push(b"to nobody")
    successor = await world.open(b.name)
    await dialled.until(DialEvent.CONNECTED)
    while not dialled.push(b"hello"):
        await dialled.until(DialEvent.WRITABLE)
    await world.until(lambda: successor.frames)
    assert successor.frames == [b"hello"]


@on_loop
async def test_peer_closes_then_the_dial_is_over(world: World) -> None:
    a, b = await world.open("a"), await world.open("b")
    dialled = await a.dial(b.link).connected()
    await b.transport.close()
    await dialled.until(DialEvent.DISCONNECTED)
    assert not dialled.push(b"too late")
    successor = await world.open(b.name)
    assert (await a.dial(b.link).connected()).push(b"hello")  # another dial; this one stays as it is
    await world.until(lambda: successor.frames)
    assert successor.frames == [b"hello"]
    assert dialled.events == [DialEvent.CONNECTED, DialEvent.DISCONNECTED]


@on_loop
async def test_reply_goes_back_over_the_connection_it_answers(world: World) -> None:
    a, b = await world.open("a"), await world.open("b")
    dialled, other = await a.dial(b.link).connected(), await a.dial(b.link).connected()
    assert dialled.push(b"hello")
    await world.until(lambda: b.frames)
    (source,) = b.sources
    assert b.transport.reply(source, b"go away")
    await world.until(lambda: dialled.replies)
    assert (dialled.replies, other.replies) == ([b"go away"], [])


@on_loop
async def test_reply_to_a_connection_that_is_not_there_is_false(world: World) -> None:
    a = await world.open("a")
    assert not a.transport.reply(b"\x00nobody", b"hello")


@on_loop
async def test_established_dial_goes_on_sending_and_learns_of_the_end(world: World) -> None:
    a, b = await world.open("a"), await world.open("b")
    dialled = await a.dial(b.link).connected()
    dialled.dial.established()
    assert dialled.push(b"hello")
    await world.until(lambda: b.frames)
    await b.transport.close()
    await dialled.until(DialEvent.DISCONNECTED)
    assert b.frames == [b"hello"]


@on_loop
async def test_full_dial_takes_nothing_until_it_is_writable_and_loses_nothing(world: World) -> None:
    a, b = await world.open("a"), await world.open("b")
    dialled = await a.dial(b.link).connected()
    dialled.dial.established()
    filling = bytes(64 * 1024)
    count = 0
    while dialled.push(struct.pack(">I", count) + filling):
        count += 1
    assert count > 0
    await dialled.until(DialEvent.WRITABLE)
    assert dialled.push(struct.pack(">I", count) + filling)
    await world.until(lambda: len(b.frames) == count + 1)
    assert [struct.unpack(">I", frame[:4])[0] for frame in b.frames] == list(range(count + 1))


@on_loop
async def test_closed_dial_hears_nothing_more_and_takes_nothing(world: World) -> None:
    a, b = await world.open("a"), await world.open("b")
    closed, kept = await a.dial(b.link).connected(), await a.dial(b.link).connected()
    before = list(closed.events)
    closed.dial.close()
    closed.dial.close()
    closed.dial.established()
    await b.transport.close()
    await kept.until(DialEvent.DISCONNECTED)
    assert closed.events == before
    assert not closed.push(b"too late")


@on_loop
async def test_dial_closed_in_its_own_event_hears_nothing_more(world: World) -> None:
    a, b = await world.open("a"), await world.open("b")
    heard: list[DialEvent] = []

    def close_at_once(event: DialEvent) -> None:
        heard.append(event)
        dial.close()
        world.tell("a", "closed", event)

    dial = a.transport.dial(b.link, close_at_once, lambda frame: None)
    await world.until(lambda: heard)
    kept = await a.dial(b.link).connected()
    await b.transport.close()
    await kept.until(DialEvent.DISCONNECTED)
    assert heard == [DialEvent.CONNECTED]


async def subscribed(world: World) -> tuple[Node, Node]:
    """A node that beats, and one that hears it."""
    publisher, subscriber = await world.open("publisher"), await world.open("subscriber")
    subscriber.transport.subscribe(publisher.gossip_endpoint)
    subscriber.transport.subscribe(publisher.gossip_endpoint)
    publisher.transport.start_beats(b"beat", 10)
    await world.until(lambda: subscriber.gossip)
    return publisher, subscriber


def beats(node: Node) -> list[tuple[int, int]]:
    """The numbers and lags heard."""
    return [BEAT.unpack(frame[4:]) for frame in node.gossip if frame.startswith(b"beat")]


@on_loop
async def test_published_frames_reach_subscribers_in_order(world: World) -> None:
    publisher, subscriber = await subscribed(world)
    sent = [b"frame %d" % number for number in range(100)]
    for frame in sent:
        publisher.transport.publish(frame)
    await world.until(lambda: sent[-1] in subscriber.gossip)
    assert [frame for frame in subscriber.gossip if frame.startswith(b"frame")] == sent


@on_loop
async def test_beats_come_numbered_from_one_after_another(world: World) -> None:
    _, subscriber = await subscribed(world)
    await world.until(lambda: len(beats(subscriber)) >= 5)
    numbers = [number for number, _ in beats(subscriber)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@on_loop
async def test_lag_is_the_time_since_the_loop_turned(world: World) -> None:
    publisher, subscriber = await subscribed(world)
    await world.until(lambda: beats(subscriber)[-1][1] >= 100)
    lags = [lag_ms for _, lag_ms in beats(subscriber)]
    assert lags == sorted(lags)
    publisher.transport.turned()
    await world.until(lambda: beats(subscriber)[-1][1] < 100)


@on_loop
async def test_unsubscribed_node_hears_no_more(world: World) -> None:
    publisher, left = await subscribed(world)
    stayed = await world.open("stayed")
    stayed.transport.subscribe(publisher.gossip_endpoint)
    left.transport.unsubscribe(publisher.gossip_endpoint)
    left.transport.unsubscribe(publisher.gossip_endpoint)
    await world.until(lambda: beats(stayed) and beats(stayed)[-1][0] >= beats(left)[-1][0] + 3)
    before = len(left.gossip)
    await world.until(lambda: beats(stayed)[-1][0] >= beats(left)[-1][0] + 6)
    assert len(left.gossip) == before


@on_loop
async def test_second_node_of_a_name_is_refused_and_the_first_stays(world: World) -> None:
    a, b = await world.open("a"), await world.open("b")
    with pytest.raises(NameInUse, match=str(b.name)):
        await world.open(b.name)
    assert (await a.dial(b.link).connected()).push(b"hello")
    await world.until(lambda: b.frames)
    assert b.frames == [b"hello"]


@on_loop
async def test_name_is_free_again_after_close(world: World) -> None:
    a, b = await world.open("a"), await world.open("b")
    await b.transport.close()
    await b.transport.close()
    successor = await world.open(b.name)
    assert (await a.dial(successor.link).connected()).push(b"hello")
    await world.until(lambda: successor.frames)
    assert (b.frames, successor.frames) == ([], [b"hello"])


@on_loop
async def test_stranger_with_another_cookie_is_not_connected_and_is_reported(world: World) -> None:
    a, b = await world.open("a", cookie="another cookie"), await world.open("b", cookie="the right cookie")
    dialled = a.dial(b.link)
    await world.until(lambda: dialled.events and b.refused)
    assert set(dialled.events) <= FAILED
    assert not dialled.push(b"let me in")
    address, problem = b.refused[0]
    assert address
    assert "cookie" in problem
    assert b.frames == []


@on_loop
async def test_stranger_without_a_cookie_is_not_connected(world: World) -> None:
    # Whether the acceptor learns why depends on who reads the other's greeting first.
    a, b = await world.open("a", cookie=None), await world.open("b", cookie="the right cookie")
    dialled = a.dial(b.link)
    await world.until(lambda: dialled.events)
    assert set(dialled.events) <= FAILED
    assert not dialled.push(b"let me in")
    assert b.frames == []
