"""Links between processes of two nodes, for drawn programs: both ends agree on whether they are linked, always at rest.

What each end does crosses what the other does, for frames move only when the program says so. At rest, that is when
every frame has arrived: one is linked to the other exactly if the other is linked to it; the end of one is told to the
other exactly if they were linked; and no unlink waits for its answer.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.joined import Mail, World
from zmqcluster import _core as core
from zmqcluster.exits import Kill, Killed

NODES = ("a", "b")
STEPS = st.lists(st.tuples(st.sampled_from(["link", "unlink", "move", "turn"]), st.sampled_from(NODES)), max_size=40)


class Couple:
    """A process on each of two nodes, and the way of the frames between them."""

    def __init__(self) -> None:
        self.world = World(*NODES)
        self.world.join(*NODES)
        self.mails = {node: Mail(self.world[node]) for node in NODES}

    def other(self, node: str) -> str:
        return "b" if node == "a" else "a"

    def step(self, verb: str, node: str) -> None:
        if verb == "turn":
            self.world.turn()
        elif verb == "move":
            self.world.turn()
            wire = self.world.wires[node, self.other(node)]
            frames, wire.frames = wire.frames[:1], wire.frames[1:]
            if frames:
                self.world.deliver(node, self.other(node), frames)
        else:
            self.mails[node].do(core.link if verb == "link" else core.unlink, self.mails[self.other(node)].pid)
            self.world.turn()  # a frame for each: they can cross

    def is_linked(self, node: str) -> bool:
        seen: Any = self.world[node].describe(self.mails[node].pid)
        return self.mails[self.other(node)].pid in seen["links"]


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_links_agree_at_rest_whatever_crossed(steps: list[tuple[str, str]]) -> None:
    couple = Couple()
    for step in steps:
        couple.step(*step)
    couple.world.run()
    a, b = couple.mails["a"], couple.mails["b"]
    linked = couple.is_linked("a")
    assert linked == couple.is_linked("b")
    last = [verb for verb, _ in steps if verb in ("link", "unlink")][-1:]
    if len({node for verb, node in steps if verb in ("link", "unlink")}) == 1:
        assert linked == (last == ["link"])  # nothing crossed
    couple.world["a"].exit(a.pid, a.pid, Kill())
    couple.world.run()
    assert b.messages == ([core.Exit(a.pid, Killed())] if linked else [])
    for hooks in couple.world.hooks.values():
        assert hooks.named("on_link_broken") == hooks.named("on_undecodable") == []
    couple.world.close()
    assert couple.world.problems == []


def test_unlink_and_link_across_an_unlink_then_neither_is_linked() -> None:
    """The shortest program on which they disagreed when UNLINK had no answer."""
    couple = Couple()
    for step in [("link", "a"), ("move", "a"), ("unlink", "a"), ("link", "a"), ("unlink", "b")]:
        couple.step(*step)
    couple.world.run()
    assert (couple.is_linked("a"), couple.is_linked("b")) == (False, False)
    couple.world.close()
