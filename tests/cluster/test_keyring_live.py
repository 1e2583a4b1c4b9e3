"""Cookies change while nodes run and talk: nothing is lost, nobody goes down. Over tcp and over ipc."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.guarded import Guarded, Traffic, asynchronous, settled
from tests.support.guarded import guarded as guarded
from zmqcluster.errors import UsageError
from zmqcluster.runtime.node import Node
from zmqcluster.transport.keyring import Keyring

pytestmark = pytest.mark.cluster

OLD, NEW = "the old cookie", "the new cookie"


async def meet(*nodes: Node) -> None:
    for node in nodes:
        for other in nodes:
            if other is not node:
                assert await node.connect(str(other.name))


def is_meshed(*nodes: Node) -> bool:
    return all(len(node.nodes()) == len(nodes) - 1 for node in nodes)


@pytest.mark.parametrize("encryption", ["curve", "none"])
@asynchronous
async def test_x_04_rotation_over_live_cluster_loses_nothing_and_downs_nobody(
    guarded: Guarded, encryption: str
) -> None:
    nodes = [await guarded.start(letter, cookie=OLD, encryption=encryption) for letter in "abc"]
    await meet(*nodes)
    traffics = [Traffic(nodes[0], nodes[1]), Traffic(nodes[1], nodes[2])]
    for step in ("add", "use"):
        for node in nodes:
            getattr(node.keyring, step)(NEW)
            getattr(node.keyring, step)(NEW)
            await settled(lambda: is_meshed(*nodes))
        newcomer = await guarded.start("n", cookie=Keyring(OLD, NEW), encryption=encryption)
        await meet(newcomer, *nodes)
        await guarded.stop("n")
    for node in nodes:
        with pytest.raises(UsageError, match="in use"):
            node.keyring.remove(NEW)
        node.keyring.remove(OLD)
        node.keyring.remove(OLD)
    for traffic in traffics:
        await traffic.end()
    assert [event for letter in "abc" for event in guarded.events[letter] if event.startswith("down")] == [
        "down n left"
    ] * 6
    fresh = await guarded.start("f", cookie=NEW, encryption=encryption)
    await meet(fresh, *nodes)
    assert all(node.keyring.ids() == Keyring(NEW).ids() for node in nodes)


@pytest.mark.parametrize("encryption", ["curve", "none"])
@asynchronous
async def test_x_05_node_with_the_removed_cookie_cannot_join_and_is_told_nothing(
    guarded: Guarded, encryption: str
) -> None:
    a = await guarded.start("a", cookie=Keyring(NEW, OLD), encryption=encryption)
    a.keyring.remove(OLD)
    late = await guarded.start("b", cookie=OLD, encryption=encryption)
    assert not await late.connect(str(a.name), timeout_s=2)
    assert not await a.connect(str(late.name), timeout_s=2)
    assert (late.nodes(), a.nodes()) == ([], [])
    assert a.counters["auth_failed"] > 0
    assert late.links is not None
    assert late.links.peers.get(str(a.name)) is None  # no incarnation, no cluster name, nothing


@asynchronous
async def test_session_that_breaks_after_a_rotation_comes_back_with_the_new_cookie(guarded: Guarded) -> None:
    a, b = [await guarded.start(letter, cookie=OLD) for letter in "ab"]
    await meet(a, b)
    for step in ("add", "use"):
        for node in (a, b):
            getattr(node.keyring, step)(NEW)
    for node in (a, b):
        node.keyring.remove(OLD)
    assert a.disconnect(str(b.name))
    await settled(lambda: not b.nodes())
    await meet(a, b)
    traffic = Traffic(a, b)
    await settled(lambda: len(traffic.received) > 100)
    await traffic.end()


@asynchronous
async def test_beats_reach_a_node_across_a_change_of_the_publishers_cookie(guarded: Guarded) -> None:
    a, b = [await guarded.start(letter, cookie=Keyring(OLD, NEW)) for letter in "ab"]
    await meet(a, b)
    a.keyring.use(NEW)  # b still dials with the old one first
    assert b.disconnect(str(a.name))
    await settled(lambda: not a.nodes())
    assert await b.connect(str(a.name))
    await settled(lambda: a.nodes() and b.nodes())
    before = [list(guarded.events[letter]) for letter in "ab"]
    await asyncio.sleep(2 * a.timing.silence_ms / 1000)  # time enough for the one who hears nothing to say so
    assert [guarded.events[letter] for letter in "ab"] == before
    assert b.counters["auth_failed"] == 0


@asynchronous
async def test_neighbours_over_ipc_take_the_new_cookie_too(guarded: Guarded) -> None:
    a, b = [await guarded.start(letter, cookie=Keyring(OLD, NEW), over_ipc=True) for letter in "ab"]
    await meet(a, b)
    for step in ("use", "remove"):
        for node in (a, b):
            getattr(node.keyring, step)(NEW if step == "use" else OLD)
    assert a.disconnect(str(b.name))
    await settled(lambda: not b.nodes())
    await meet(a, b)


@asynchronous
async def test_node_is_dialled_with_the_cookie_set_for_it(guarded: Guarded) -> None:
    a, b = await guarded.start("a", cookie="of a"), await guarded.start("b", cookie="of b")
    assert not await a.connect(str(b.name), timeout_s=1)
    a.set_cookie(str(b.name), "of b")
    assert not await a.connect(str(b.name), timeout_s=1)  # b cannot dial back
    b.set_cookie(str(a.name), "of a")
    await meet(a, b)
    traffic = Traffic(a, b)
    await settled(lambda: len(traffic.received) > 100)
    await traffic.end()


@asynchronous
async def test_cookie_of_a_node_needs_a_cookie_of_our_own(guarded: Guarded) -> None:
    a = await guarded.start("a")
    with pytest.raises(UsageError):
        a.set_cookie("b@127.0.0.1:7102", "of b")
