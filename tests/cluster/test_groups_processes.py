"""Groups, topics and presences between OS processes: what travels arrives, and goes with a process that is killed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable

import pytest

import zmqcluster as zc
from tests.support.group_node import CHAT, COOKIE, GROUPS, ONLINE
from tests.support.node_process import ROOT, free_name
from tests.support.running import run_real

pytestmark = pytest.mark.cluster

COUNT = 200


async def eventually(predicate: Callable[[], bool]) -> None:
    async with asyncio.timeout(20.0):
        while not predicate():
            await asyncio.sleep(0.01)


async def echoes(count: int) -> dict[int, list[object]]:
    """What each of the members has sent back."""
    heard: dict[int, list[object]] = {}
    for _ in range(count):
        number, message = await zc.receive(tuple, timeout_s=20.0)
        heard.setdefault(number, []).append(message)
    return heard


def test_members_of_another_os_process_then_they_hear_all_in_order_and_leave_when_it_is_killed() -> None:
    here, far = free_name("here"), free_name("far")

    async def main(child: subprocess.Popen[bytes]) -> None:
        await zc.Supervisor.start_link([GROUPS, CHAT, ONLINE])
        await eventually(lambda: len(GROUPS.get_members("members")) == 3 and "somebody" in ONLINE.list("room"))
        me = zc.self()
        for number in range(COUNT):
            assert GROUPS.broadcast("members", (me, number)) == 3
        assert await echoes(3 * COUNT) == {number: [*range(COUNT)] for number in range(3)}
        for number in range(COUNT):
            CHAT.broadcast("topic", (me, number))
        assert await echoes(3 * COUNT) == {number: [*range(COUNT)] for number in range(3)}

        ref, members = GROUPS.monitor("members")
        CHAT.subscribe("room")
        child.kill()
        left: zc.Left = await zc.receive(zc.Left, timeout_s=10.0)
        assert (left.ref, sorted(left.pids), left.reason) == (ref, sorted(members), "scope_down")
        diff: zc.PresenceDiff = await zc.receive(zc.PresenceDiff, timeout_s=10.0)
        assert [tracked.meta for tracked in diff.leaves["somebody"]] == [{"device": "far"}]
        assert GROUPS.which_groups() == [] and ONLINE.list("room") == {}

    with subprocess.Popen([sys.executable, "-m", "tests.support.group_node", far, here], cwd=ROOT) as child:
        try:
            run_real(main, child, name=here, cookie=COOKIE, topologies=[zc.Static([far])], timing=zc.Timing.local())
        finally:
            child.kill()
