"""Links against a model, for drawn programs on two nodes; and against frames that no node would send.

The model of a pair of processes: what one sends arrives at the other in order, a link fires once at most and a monitor
exactly once, and after the session's end both sides agree that it is over.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.joined import DATA_HEADER_BYTES, Mail, World, start_echo
from zmqcluster import _core as core
from zmqcluster.exits import Kill, Killed, NoConnection, NoProcess

PROCESSES = 3  # on each node
SIZES_BYTES = (3_000, 150_000, 50, 400_000)  # the long ones leave in parts
NODES = ("a", "b")
place = st.tuples(st.sampled_from(NODES), st.integers(0, PROCESSES - 1))
ACTS = ["send", "send", "send", "name", "alias", "link", "unlink", "monitor", "exit"]
SHAKES = ["kill", "move", "turn", "block", "unblock", "cut"]
STEPS = st.lists(st.tuples(st.sampled_from(ACTS) | st.sampled_from(SHAKES), place, place), max_size=80)


class Program:
    """Runs drawn steps and keeps what must come of them."""

    def __init__(self) -> None:
        self.world = World(*NODES)
        self.world.join(*NODES)
        self.mails = {
            (node, index): Mail(self.world[node], name=f"p{index}") for node in NODES for index in range(PROCESSES)
        }
        self.aliases = {key: mail.do(core.alias) for key, mail in self.mails.items()}
        self.dead: set[tuple[str, int]] = set()
        self.sent: Counter[tuple[Any, Any]] = Counter()
        self.monitors: dict[Any, tuple[Any, Any]] = {}
        self.cuts = 0
        self.count = 0
        for mail in self.mails.values():
            mail.do(core.never_hold)

    def step(self, verb: str, one: tuple[str, int], other: tuple[str, int]) -> None:
        if verb in ("send", "name", "alias") and one not in self.dead:
            self.send(verb, one, other)
        elif verb in ("link", "unlink", "exit") and one not in self.dead and one != other:
            self.signal(verb, one, other)
        elif verb == "monitor" and one not in self.dead and one != other:
            self.monitors[self.mails[one].do(core.monitor, self.mails[other].pid)] = (one, other)
        elif verb == "kill":
            self.world[one[0]].exit(self.mails[one].pid, self.mails[one].pid, Kill())
            self.dead.add(one)
        else:
            self.shake(verb, one)

    def send(self, verb: str, one: tuple[str, int], other: tuple[str, int]) -> None:
        if verb == "name" and other in self.dead and one[0] == other[0]:
            return
        dest = {"send": self.mails[other].pid, "name": (f"p{other[1]}", other[0]), "alias": self.aliases[other]}[verb]
        self.mails[one].do(core.send, dest, ("message", one, self.sent[one, other], bytes(SIZES_BYTES[self.count % 4])))
        self.sent[one, other] += 1
        self.count += 1

    def signal(self, verb: str, one: tuple[str, int], other: tuple[str, int]) -> None:
        pid = self.mails[other].pid
        if verb == "exit":
            self.world[one[0]].exit(self.mails[one].pid, pid, ("asked", one))
        else:
            self.mails[one].do(core.link if verb == "link" else core.unlink, pid)

    def shake(self, verb: str, one: tuple[str, int]) -> None:
        wires = [wire for (sender, _), wire in self.world.wires.items() if sender == one[0]]
        if verb == "cut":
            self.world.cut(*NODES)
            self.world.join(*NODES)
            self.cuts += 1
        elif verb in ("block", "unblock"):
            for wire in wires:
                wire.room = 0 if verb == "block" else None
            if verb == "unblock":
                self.world.link(one[0], "b" if one[0] == "a" else "a").writable()
        elif verb == "move":
            self.world.move()
        elif verb == "turn":
            self.world.turn()

    def finish(self) -> None:
        for node in NODES:
            self.shake("unblock", (node, 0))
        self.world.run()


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_programs_on_two_nodes_keep_order_and_are_told_of_every_end(steps: list[Any]) -> None:
    program = Program()
    for step in steps:
        program.step(*step)
    program.finish()
    for key, mail in program.mails.items():
        check_mail(program, key, mail)
    check_monitors(program)
    if not program.cuts:
        for one, other in (NODES, NODES[::-1]):
            assert program.world.link(one, other).unacked_count == 0
    for hooks in program.world.hooks.values():
        assert hooks.named("on_link_broken") == hooks.named("on_undecodable") == []
    program.world.close()
    assert program.world.problems == []


def check_mail(program: Program, key: tuple[str, int], mail: Mail) -> None:
    for one in program.mails:
        numbers = [message[2] for message in mail.messages if type(message) is tuple and message[1] == one]
        assert numbers == sorted(set(numbers))
        complete = one[0] == key[0] or not program.cuts
        if complete and key not in program.dead:
            assert numbers == list(range(program.sent[one, key]))
    for message in mail.messages:
        if type(message) is core.Exit and type(message.reason) is not tuple:
            assert type(message.reason) in (Killed, NoProcess, NoConnection)


def check_monitors(program: Program) -> None:
    told: Counter[Any] = Counter()
    for mail in program.mails.values():
        told.update(message.ref for message in mail.messages if type(message) is core.Down)
    for ref, (one, other) in program.monitors.items():
        if one in program.dead:
            assert told[ref] <= 1
        elif other in program.dead:
            assert told[ref] == 1
        elif not program.cuts:
            assert told[ref] == 0
        else:
            assert told[ref] <= 1


# --- frames that no node would send


def captured() -> tuple[World, list[bytes]]:
    """Two nodes, and real frames from a to b of every kind that have not been delivered."""
    world = World(*NODES)
    world.join(*NODES)
    near, far = Mail(world["a"]), Mail(world["b"], name="box")
    server, local = start_echo(world["b"], name="echo"), start_echo(world["a"])
    alias = far.do(core.alias)
    ref = far.do(core.monitor, near.pid)
    far.do(core.link, near.pid)
    world["b"].call(local, "hold", None)
    world["b"].call(local, 1, None)
    world["b"].call(("nobody", "a"), 1, None)
    assert ref is not None
    world.turn()
    world.move()

    def burst() -> None:
        core.send(far.pid, {"key": [1, 2.5, (None, True)], "b": b"bytes"})
        core.send(("box", "b"), "text")
        core.send(alias, far.pid)
        core.link(far.pid)
        core.unlink(far.pid)
        core.demonitor(core.monitor(("box", "b")))
        world["a"].call(server, {"request": 1}, 5.0)
        world["a"].call(server, (1,), 5.0, "method", {"keyword": 1})
        world["a"].cast(server, 1)
        world["a"].cast(server, (1,), "method", {"keyword": 1})

    near.do(burst)
    world["a"].exit(near.pid, far.pid, "asked")
    world["a"].exit(near.pid, near.pid, Kill())
    world.turn()
    frames, world.wires["a", "b"].frames = world.wires["a", "b"].frames, []
    return world, frames


def mutated(frame: bytes, dice: random.Random) -> bytes:
    """Mostly the body is changed, so that most frames get past the header."""
    changed = bytearray(frame)
    for _ in range(dice.choice((1, 1, 2, 5, 20))):
        if not changed:
            break
        low = DATA_HEADER_BYTES if dice.random() < 0.9 and len(changed) > DATA_HEADER_BYTES else 0
        at = dice.randrange(low, len(changed))
        action = dice.randrange(4)
        if action == 0:
            changed[at] = dice.getrandbits(8)
        elif action == 1:
            changed[at] ^= 1 << dice.randrange(8)
        elif action == 2:
            changed[at:at] = dice.randbytes(dice.randrange(1, 9))
        else:
            del changed[at : at + dice.randrange(1, 9)]
    return bytes(changed)


def renumbered(frame: bytes, world: World, sequence: int) -> bytes:
    link = world.link("b", "a")
    acked = link.acked_bytes.to_bytes(8, "big") + link.acked_count.to_bytes(8, "big")
    return b"\x01" + link.epoch.to_bytes(8, "big") + sequence.to_bytes(8, "big") + acked + frame[DATA_HEADER_BYTES:]


def fuzz(seed: int, rounds: int) -> World:
    """Feed mutated frames, of which none may raise, crash, or stop the receiver."""
    dice = random.Random(seed)
    world, frames = captured()
    alive = Mail(world["b"])
    sequence = 1 if world.link("b", "a").received_bytes else 0
    for number in range(rounds):
        if world.hooks["b"].named("on_link_broken"):
            world.hooks["b"].calls.clear()
            world.cut(*NODES)
            world.join(*NODES)
            sequence = 0
        sequence += 1
        frame = mutated(dice.choice(frames), dice)
        world.deliver("a", "b", [frame if dice.random() < 0.05 else renumbered(frame, world, sequence)])
        if frame and number % 10 == 0:
            world.turn()
    world.turn()
    world["b"].deliver(alive.pid, "still here")
    world.turn()
    if world["b"].is_alive(alive.pid):
        assert alive.messages[-1] == "still here"
    return world


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_mutated_frames_never_raise_and_never_stop_the_receiver(seed: int) -> None:
    world = fuzz(seed, 60)
    world.close()
    assert world.problems == []


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=8))
def test_random_bytes_never_raise(frames: list[bytes]) -> None:
    world = World(*NODES)
    world.join(*NODES)
    world.deliver("a", "b", frames)
    world.deliver("a", "b", [b"\x01" + frame for frame in frames])
    link = world.link("b", "a")
    world.deliver("a", "b", [b"\x01" + link.epoch.to_bytes(8, "big") + frame for frame in frames])
    world.close()
    assert world.problems == []
