"""Groups and presences under faults: a model of who is where, and what the monitors were told of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.core_network import CoreNetwork
from zmqcluster.ids import Pid, Ref
from zmqcluster.protocol.effects import Effect, Emit, Send
from zmqcluster.protocol.entries import Delta
from zmqcluster.protocol.group_monitors import Joined, Left
from zmqcluster.protocol.groups import Memberships
from zmqcluster.protocol.presence import PresenceDiff, Presences, Tracked
from zmqcluster.protocol.replication import DIGEST_MS, ReplicaJoined
from zmqcluster.protocol.streams import Copy

NODES = ("a@h", "b@h", "c@h", "d@h")
GROUPS = ("g", "h", 1, 1.0, ("m", True))
STEPS = ("join", "join", "join", "leave", "die", "wait", "wait", "cut", "heal", "crash", "restart")


class Model:
    """Cores, the processes of each node, and what must be true of them; what is modelled is said by the subclasses."""

    build: type[Any]

    def __init__(self, seed: int) -> None:
        self.network = CoreNetwork(NODES, self.build, seed)
        self.network.told = self.on_told
        self.random = self.network.random
        self.held: dict[str, Counter[Any]] = {}  # by node: what its processes have joined
        self.process_count = 0
        for node in NODES:
            self.start(node)

    def on_told(self, node: str, effect: Effect) -> None:
        assert isinstance(effect, Emit)
        if not isinstance(effect.event, ReplicaJoined):
            self.on_event(node, effect.event)

    def on_event(self, node: str, event: Any) -> None:
        raise NotImplementedError

    def core(self, node: str) -> Any:
        return self.network.cores[node]

    def start(self, node: str) -> None:
        self.network.start(node)
        self.held[node] = Counter()

    def running(self) -> list[str]:
        return sorted(self.network.cores)

    def perform(self, node: str, effects: list[Effect]) -> None:
        """Do at once what the host does at once, and flush now or later."""
        self.network.perform(node, effects)
        if self.random.random() < 0.7:
            self.network.perform(node, self.core(node).flush())

    def some_node(self) -> str:
        return self.random.choice(self.running())

    def some_held(self, node: str) -> Any:
        held = sorted(self.held[node], key=repr)
        return self.random.choice(held) if held else None

    def new_pid(self, node: str) -> Pid:
        self.process_count += 1
        return Pid(node, self.core(node).me.incarnation, self.process_count)

    def die(self) -> None:
        node = self.some_node()
        if held := self.some_held(node):
            pid = held[-1]
            self.held[node] = Counter({each: count for each, count in self.held[node].items() if each[-1] != pid})
            self.perform(node, self.core(node).remove_pid(pid))
            assert not self.core(node).is_holder(pid)

    def cut(self) -> None:
        some = self.random.sample(NODES, self.random.randint(1, len(NODES) - 1))
        self.network.cut(some, [node for node in NODES if node not in some])

    def heal(self) -> None:
        self.network.heal()

    def crash(self) -> None:
        if len(self.running()) > 1:
            node = self.some_node()
            self.network.crash(node)
            self.held[node] = Counter()

    def restart(self) -> None:
        for node in NODES:
            if node not in self.network.cores:
                self.start(node)

    def wait(self) -> None:
        self.network.run(self.random.choice((1, 5, 30, 200, 1_000)))

    def settle(self) -> None:
        self.heal()
        if self.random.random() < 0.5:  # in the other half the crashed nodes stay away, and their members with them
            self.restart()
        for node in self.running():
            self.network.perform(node, self.core(node).flush())
        self.network.run(4 * DIGEST_MS)
        self.network.loss = 0.0  # what is left unrepaired by a streak of bad luck is repaired by the next digest
        self.network.run(2 * DIGEST_MS)

    def expected(self) -> Counter[Any]:
        return sum((self.held[node] for node in self.running()), Counter())


class GroupsModel(Model):
    """Members are (group, process); each node has a monitor of all groups and one of the first."""

    build = Memberships

    def start(self, node: str) -> None:
        super().start(node)
        self.known = getattr(self, "known", {})
        watcher, core = self.new_pid(node), self.core(node)
        scope, first = Ref(node, 1, 1), Ref(node, 1, 2)
        assert core.monitor_scope(scope, watcher) == {} and core.monitor(first, GROUPS[0], watcher) == []
        self.known[scope], self.known[first] = Counter(), Counter()

    def on_event(self, node: str, event: Joined | Left) -> None:
        assert event.ref.node == node and event.pids
        known = self.known[event.ref]
        members = Counter((repr(event.group), pid) for pid in event.pids)
        if isinstance(event, Joined):
            known.update(members)
        else:
            assert members <= known, "left who never joined"
            known.subtract(members)

    def join(self) -> None:
        node, group = self.some_node(), self.random.choice(GROUPS)
        held = self.some_held(node)
        pid = held[-1] if held and self.random.random() < 0.5 else self.new_pid(node)
        pids = [pid] * self.random.randint(1, 2)
        self.held[node][repr(group), pid] += len(pids)
        self.perform(node, self.core(node).join(group, pids))

    def leave(self) -> None:
        node = self.some_node()
        if held := self.some_held(node):
            group = next(group for group in GROUPS if repr(group) == held[0])
            has_left, effects = self.core(node).leave(group, [held[1]])
            assert has_left
            self.held[node] -= Counter([held])
            self.perform(node, effects)

    def seen(self, node: str) -> Counter[Any]:
        core = self.core(node)
        assert all(core.members(group) for group in core.groups()), "a group without members"
        return Counter((repr(group), pid) for group in GROUPS for pid in core.members(group))

    def check_events(self) -> None:
        """At all times: snapshot and events make the members."""
        for node in self.running():
            seen = self.seen(node)
            assert +self.known[Ref(node, 1, 1)] == seen
            assert +self.known[Ref(node, 1, 2)] == Counter({k: n for k, n in seen.items() if k[0] == repr(GROUPS[0])})

    def check(self) -> None:
        for node in self.running():
            assert self.seen(node) == self.expected(), node
            core = self.core(node)
            assert Counter((repr(g), p) for g in GROUPS for p in core.local_members(g)) == self.held[node]


class PresenceModel(Model):
    """Presences are (topic, key, process)."""

    build = Presences

    def start(self, node: str) -> None:
        super().start(node)
        self.known = getattr(self, "known", {})
        self.known[node] = {}

    def on_event(self, node: str, event: PresenceDiff) -> None:
        known = self.known[node]
        assert event.joins or event.leaves
        for joins in event.joins.items():
            for tracked in joins[1]:
                assert (event.topic, joins[0], tracked) not in known
                known[event.topic, joins[0], tracked] = None
        for leaves in event.leaves.items():
            for tracked in leaves[1]:
                del known[event.topic, leaves[0], tracked]

    def join(self) -> None:
        node, topic, key = self.some_node(), self.random.choice("tu"), self.random.choice("kl")
        pid = self.new_pid(node)
        _, effects = self.core(node).track(topic, key, pid, self.process_count)
        self.held[node][topic, key, pid] = self.process_count
        self.perform(node, effects)
        if self.random.random() < 0.3:
            _, effects = self.core(node).update(topic, key, pid, lambda meta: -meta)
            self.held[node][topic, key, pid] *= -1
            self.perform(node, effects)

    def leave(self) -> None:
        node = self.some_node()
        if held := self.some_held(node):
            was_there, effects = self.core(node).untrack(*held)
            assert was_there
            del self.held[node][held]
            self.perform(node, effects)

    def seen(self, node: str) -> dict[tuple[str, str, Tracked], None]:
        core = self.core(node)
        return {(t, key, each): None for t in "tu" for key, found in core.present(t).items() for each in found}

    def check_events(self) -> None:
        for node in self.running():
            assert self.known[node] == self.seen(node)

    def check(self) -> None:
        expected = {held: meta for node in self.running() for held, meta in self.held[node].items()}
        for node in self.running():
            assert {(t, key, each.pid): each.meta for t, key, each in self.seen(node)} == expected, node


MODELS = pytest.mark.parametrize("model", [GroupsModel, PresenceModel])


@MODELS
@settings(max_examples=75, deadline=None)
@given(seed=st.integers(0, 2**32), steps=st.lists(st.sampled_from(STEPS), max_size=40))
def test_members_when_the_network_fails_and_heals_then_every_node_sees_them(
    model: type[Any], seed: int, steps: list[str]
) -> None:
    world = model(seed)
    for step in steps:
        getattr(world, step)()
        world.check_events()
    world.settle()
    world.check_events()
    world.check()


# --- shown to bite: the models fail on these bugs


def broken(monkeypatch: Any, model: type[Any], name: str, replacement: Any) -> bool:
    """Whether some seed of the model fails once the method ``name`` of its core is replaced."""
    monkeypatch.setattr(model.build, name, replacement)
    for seed in range(40):
        try:
            world = model(seed)
            for _ in range(40):
                getattr(world, world.random.choice(STEPS))()
                world.check_events()
            world.settle()
            world.check()
        except AssertionError:
            return True
    return False


@MODELS
def test_model_when_digests_are_ignored_then_it_fails(monkeypatch: Any, model: type[Any]) -> None:
    assert broken(monkeypatch, model, "_on_digest", lambda self, peer, digest, now_ms: [])


@MODELS
def test_model_when_a_lost_node_keeps_its_members_then_it_fails(monkeypatch: Any, model: type[Any]) -> None:
    assert broken(monkeypatch, model, "on_node_down", lambda self, peer, now_ms: [])


@MODELS
def test_model_when_a_lost_node_goes_untold_then_it_fails(monkeypatch: Any, model: type[Any]) -> None:
    merge_all = model.build.merge_all

    def silent(self: Any, copy: Copy, changes: list[Any], now_ms: int) -> list[Effect]:
        merge_all(self, copy, changes, now_ms)
        return []

    assert broken(monkeypatch, model, "merge_all", silent)


def test_model_when_a_second_join_is_forgotten_then_it_fails(monkeypatch: Any) -> None:
    assert broken(monkeypatch, GroupsModel, "_count", lambda self, name, pid: 0)


def test_model_when_a_node_up_is_not_greeted_then_it_fails(monkeypatch: Any) -> None:
    def on_node_up(self: Memberships, peer: str, now_ms: int) -> list[Effect]:
        return [Send(peer, Delta(self.me, 0, []))]

    assert broken(monkeypatch, GroupsModel, "on_node_up", on_node_up)
