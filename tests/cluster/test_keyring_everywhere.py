"""One step of a rotation on all nodes, and on how many of them it was done."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest

from tests.support.guarded import Guarded, asynchronous
from tests.support.guarded import guarded as guarded
from zmqcluster.cluster import keyring
from zmqcluster.errors import UsageError
from zmqcluster.runtime.node import Node
from zmqcluster.runtime.run import first_process
from zmqcluster.transport.keyring import Keyring

pytestmark = pytest.mark.cluster

OLD, NEW = "the old cookie", "the new cookie"


async def on(node: Node, work: Coroutine[Any, Any, Any]) -> Any:
    """The result of what a process of ``node`` does."""
    return await first_process(node, lambda: work)[1]


async def trio(guarded: Guarded, **options: Any) -> list[Node]:
    nodes = [await guarded.start(letter, **options) for letter in "abc"]
    for other in nodes[1:]:
        assert await nodes[0].connect(str(other.name))
    return nodes


@asynchronous
async def test_steps_are_taken_on_all_nodes_and_told(guarded: Guarded) -> None:
    nodes = await trio(guarded, cookie=OLD)
    names = sorted(str(node.name) for node in nodes)
    for step, cookie, left in (
        (keyring.add, NEW, Keyring(OLD, NEW)),
        (keyring.use, NEW, Keyring(NEW, OLD)),
        (keyring.remove, OLD, Keyring(NEW)),
    ):
        for _ in range(2):
            report = await on(nodes[0], step(cookie))
            assert (str(report), report.is_complete) == ("3 of 3 nodes", True)
            assert report.ids == dict.fromkeys(names, left.ids())
    assert all(node.keyring.ids() == Keyring(NEW).ids() for node in nodes)
    assert (await on(nodes[1], keyring.ids())).ids[names[0]] == Keyring(NEW).ids()


@asynchronous
async def test_node_that_cannot_take_a_step_is_named_with_its_reason(guarded: Guarded) -> None:
    nodes = await trio(guarded, cookie=OLD)
    for node in nodes[:2]:
        node.keyring.add(NEW)
    report = await on(nodes[0], keyring.use(NEW))
    assert (len(report.ids), report.is_complete) == (2, False)
    assert str(report).startswith("2 of 3 nodes; c@")
    assert "add it first" in report.failed[str(nodes[2].name)]
    report = await on(nodes[0], keyring.remove(NEW))
    assert len(report.ids) == 1  # on c it is not there, which is as good; the others use it


@asynchronous
async def test_cookie_does_not_travel_unencrypted(guarded: Guarded) -> None:
    nodes = await trio(guarded, cookie=OLD, encryption="none")
    with pytest.raises(UsageError, match="not encrypted"):
        await on(nodes[0], keyring.add(NEW))
    assert all(node.keyring.ids() == Keyring(OLD).ids() for node in nodes)


@asynchronous
async def test_node_without_a_cookie_has_none_to_change(guarded: Guarded) -> None:
    node = await guarded.start("a")
    with pytest.raises(UsageError, match="no cookie"):
        await on(node, keyring.add(NEW))
