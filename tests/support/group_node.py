"""A node with three members of a group, one of them present: ``python -m tests.support.group_node NAME OTHER``."""

from __future__ import annotations

import sys

import zmqcluster as zc

COOKIE = "of this test alone"
GROUPS = zc.Groups("test")
CHAT = zc.PubSub("chat")
ONLINE = zc.Presence("online", pubsub=CHAT)


async def member(number: int) -> None:
    """Send back what is broadcast, with a number; it is from the group or from the topic."""
    GROUPS.join("members")
    CHAT.subscribe("topic")
    if number == 0:
        ONLINE.track("room", "somebody", {"device": "far"})
    while True:
        sender, message = await zc.receive()
        zc.send(sender, (number, message))


async def main() -> None:
    await zc.Supervisor.start_link([GROUPS, CHAT, ONLINE])
    for number in range(3):
        zc.spawn(member, number)
    await zc.receive("never")


if __name__ == "__main__":
    zc.run(main, name=sys.argv[1], cookie=COOKIE, topologies=[zc.Static([sys.argv[2]])], timing=zc.Timing.local())
