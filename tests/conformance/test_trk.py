"""PubSub and Presence against Phoenix's: one test per case, named after it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.groups_world import HEAL_MS, PUSH_MS, end, member, nodes, settle
from tests.support.running import arriving, forever, run
from zmqcluster.cluster.presence import Presence
from zmqcluster.cluster.pubsub import PubSub
from zmqcluster.errors import (
    AlreadyTracked,
    ConfigError,
    EncodeError,
    NoProcessError,
    NotTracked,
    StartFailed,
    UsageError,
)
from zmqcluster.exits import Kill
from zmqcluster.ids import Pid
from zmqcluster.otp.gen_server import GenServer
from zmqcluster.otp.methods import call
from zmqcluster.otp.supervisor import Supervisor
from zmqcluster.protocol.presence import PresenceDiff, Tracked
from zmqcluster.runtime.process import exit, receive, self, spawn, whereis
from zmqcluster.testing.simulation import Simulation

chat = PubSub("chat")
online = Presence("online", pubsub=chat)


@pytest.fixture
def pair() -> Iterator[Simulation]:
    with nodes(2, chat, online) as world:
        yield world


@pytest.fixture
def trio() -> Iterator[Simulation]:
    with nodes(3, chat, online) as world:
        yield world


def subscriber(world: Simulation, name: str, *topics: str) -> tuple[Pid, list[Any]]:
    """A process that has subscribed, and what it hears."""
    heard: list[Any] = []

    async def listen() -> None:
        for topic in topics:
            chat.subscribe(topic)
        while True:
            message = await receive()
            heard.append(message)

    pid = world.spawn(name, listen)
    world.run_ms(1)
    return pid, heard


def on_one_node(main: Any) -> Any:
    async def program() -> Any:
        await chat.start_link()
        await online.start_link()
        return await main()

    return run(program)


class Follower:
    """Subscribes, lists, and then knows only what the diffs say."""

    def __init__(self, world: Simulation, name: str, topic: str) -> None:
        self.diffs: list[PresenceDiff] = []
        self.known: dict[str, list[Tracked]] = {}
        world.spawn(name, self.follow, topic)
        world.run_ms(1)

    async def follow(self, topic: str) -> None:
        chat.subscribe(topic)
        self.known = online.list(topic)
        while True:
            self.take(await receive())

    def take(self, diff: PresenceDiff) -> None:
        self.diffs.append(diff)
        for key, joins in diff.joins.items():
            self.known.setdefault(key, []).extend(joins)
        for key, leaves in diff.leaves.items():
            for tracked in leaves:
                self.known[key].remove(tracked)
            if not self.known[key]:
                del self.known[key]


def tracked(world: Simulation, name: str, topic: str, key: str, meta: Any = None) -> Pid:
    pid = member(world, name)
    world.at(name, lambda: online.track(topic, key, meta, pid))
    return pid


def lists(world: Simulation, topic: str) -> list[dict[str, list[tuple[Pid, Any]]]]:
    """Who is present, as each node sees it."""

    def seen() -> dict[str, list[tuple[Pid, Any]]]:
        return {key: sorted((each.pid, each.meta) for each in found) for key, found in online.list(topic).items()}

    return [world.at(name, seen) for name in world.running]


# --- PubSub


def test_trk_01_broadcast_then_each_subscriber_once_for_each_subscription(pair: Simulation) -> None:
    (pid, here), (_, twice), (_, far) = (
        subscriber(pair, "a", "t"),
        subscriber(pair, "b", "t", "t"),
        subscriber(pair, "b", "t", "other"),
    )
    pair.at("a", lambda: chat.broadcast("t", "all"))
    pair.at("a", lambda: chat.broadcast("nobody", "nobody"))
    pair.at("a", lambda: chat.broadcast_from("t", "but one", pid))
    pair.at("b", lambda: chat.local_broadcast("t", "on b"))
    pair.run_ms(PUSH_MS)
    assert here == ["all"]
    assert sorted(far) == ["all", "but one", "on b"]
    assert sorted(twice) == sorted(["all", "but one", "on b"] * 2)


def test_trk_01_broadcast_from_then_the_sender_gets_none_wherever_it_is(pair: Simulation) -> None:
    heard: list[Any] = []

    async def both() -> None:
        chat.subscribe("t")
        chat.broadcast_from("t", "mine")
        chat.local_broadcast_from("t", "mine too")
        while True:
            message = await receive()
            heard.append(message)

    _, other = subscriber(pair, "a", "t")
    pid = pair.spawn("a", both)
    pair.run_ms(PUSH_MS)
    pair.at("b", lambda: chat.broadcast_from("t", "in its name", pid))
    pair.run_ms(PUSH_MS)
    assert (heard, other) == ([], ["mine", "mine too", "in its name"])


def test_trk_01_direct_broadcast_then_one_node_gets_it_and_an_unknown_one_is_silent(pair: Simulation) -> None:
    (_, here), (_, far) = subscriber(pair, "a", "t"), subscriber(pair, "b", "t")
    for node in (pair.full_name("a"), pair.full_name("b"), "unknown@10.0.0.9:7100"):
        pair.at("a", lambda node=node: chat.direct_broadcast(node, "t", node))  # type: ignore[misc]
    pair.run_ms(PUSH_MS)
    assert (here, far) == ([pair.full_name("a")], [pair.full_name("b")])
    with pytest.raises(ConfigError):
        pair.at("a", lambda: chat.direct_broadcast("no node name", "t", 1))


def test_trk_01_unsubscribe_and_end_then_nothing_comes_any_more() -> None:
    async def main() -> None:
        chat.subscribe("t")
        chat.subscribe("t")
        pid = spawn(lambda: chat.subscribe("t"))
        await asyncio.sleep(0)
        assert chat.subscribers("t") == [self(), self()]
        assert pid not in chat.subscribers("t")
        chat.unsubscribe("t")
        chat.unsubscribe("t")
        chat.broadcast("t", "message")
        assert await arriving() == []

    on_one_node(main)


def test_trk_01_subscription_that_is_told_to_another_node_then_its_next_broadcast_arrives(pair: Simulation) -> None:
    """Nothing of a subscription is replicated, so nothing can come too late."""
    heard: list[Any] = []

    async def subscribe_and_tell(other: Pid) -> None:
        chat.subscribe("t")
        Asked.at(other).ask()
        heard.append(await receive())

    async def serve() -> Pid:
        return (await Asked.start()).pid

    other = pair.run_on("b", serve)
    pair.spawn("a", subscribe_and_tell, other)
    pair.run_ms(PUSH_MS)
    assert heard == ["asked for"]


class Asked(GenServer):
    """Broadcasts when asked."""

    def init(self) -> None:
        pass

    @call
    def ask(self) -> None:
        chat.broadcast("t", "asked for")


def test_trk_01_broadcast_then_a_link_carries_it_once_and_order_is_kept(trio: Simulation) -> None:
    inboxes = [subscriber(trio, name, "t")[1] for name in "bbbccc"]
    links = [trio.node("a").scheduler.link_of(trio.full_name(name)) for name in "bc"]
    before = [link.sent_count for link in links if link]

    async def speak() -> None:
        for number in range(50):
            chat.broadcast("t", number)

    trio.run_on("a", speak)
    assert [link.sent_count - count for link, count in zip(links, before, strict=True) if link] == [50, 50]
    trio.run_ms(PUSH_MS)
    assert inboxes == [[*range(50)]] * 6


def test_trk_01_what_cannot_be_sent_then_nobody_gets_it(pair: Simulation) -> None:
    _, here = subscriber(pair, "a", "t")
    with pytest.raises(EncodeError):
        pair.at("a", lambda: chat.broadcast("t", object()))
    with pytest.raises(ConfigError):
        pair.at("a", lambda: chat.broadcast(7, "message"))  # type: ignore[arg-type]
    pair.run_ms(PUSH_MS)
    assert here == []


def test_pubsub_on_a_node_that_does_not_take_part_then_a_usage_error_there_and_silence_elsewhere() -> None:
    async def main() -> None:
        for ask in (chat.subscribe, chat.subscribers, lambda topic: chat.broadcast(topic, 1), online.list):
            with pytest.raises(UsageError):
                ask("t")
        with pytest.raises(StartFailed):  # its PubSub does not run
            await Supervisor.start([online])

    run(main)


def test_pubsub_when_its_parts_are_killed_then_they_come_back_and_others_go_on(pair: Simulation) -> None:
    _, here = subscriber(pair, "b", "t")
    distributor = pair.at("b", lambda: whereis("zmqcluster.pubsub:chat.distributor"))
    assert distributor is not None
    end(pair, distributor, Kill())
    pair.run_ms(PUSH_MS)
    pair.at("a", lambda: chat.broadcast("t", "message"))
    pair.run_ms(PUSH_MS)
    assert here == ["message"]


# --- Presence


def test_trk_02_track_then_every_node_lists_key_meta_and_ref(pair: Simulation) -> None:
    pid = member(pair, "a")
    ref = pair.at("a", lambda: online.track("room", "ada", {"device": "phone"}, pid))
    assert pair.at("a", lambda: online.list("room")) == {"ada": [Tracked(pid, {"device": "phone"}, ref)]}
    pair.run_ms(PUSH_MS)
    assert pair.at("b", lambda: online.list("room")) == {"ada": [Tracked(pid, {"device": "phone"}, ref)]}
    assert pair.at("b", lambda: online.get_by_key("room", "ada")) == [Tracked(pid, {"device": "phone"}, ref)]
    assert pair.at("b", lambda: online.get_by_key("room", "bob")) == []
    assert pair.at("b", lambda: online.list("other")) == {}


def test_trk_02_track_twice_then_already_tracked_but_other_keys_and_topics_are_free() -> None:
    async def main() -> None:
        online.track("room", "ada")
        with pytest.raises(AlreadyTracked) as refused:
            online.track("room", "ada", "again")
        assert (refused.value.topic, refused.value.key, refused.value.pid) == ("room", "ada", self())
        online.track("room", "ada's other name")
        online.track("hall", "ada")
        other = spawn(forever)
        online.track("room", "ada", "second device", other)
        assert [each.pid for each in online.get_by_key("room", "ada")] == [self(), other]

    on_one_node(main)


def test_trk_02_process_when_it_ends_then_its_leaves_come_on_every_node(pair: Simulation) -> None:
    phone = tracked(pair, "a", "room", "ada", "phone")
    desk = tracked(pair, "b", "room", "ada", "desk")
    pair.run_ms(PUSH_MS)
    followers = [Follower(pair, name, "room") for name in "ab"]
    end(pair, phone, Kill())
    pair.run_ms(PUSH_MS)
    assert lists(pair, "room") == [{"ada": [(desk, "desk")]}] * 2
    for follower in followers:
        (diff,) = follower.diffs
        assert (diff.joins, [each.pid for each in diff.leaves["ada"]]) == ({}, [phone])


def test_update_then_a_leave_and_a_join_in_one_diff_with_another_ref(pair: Simulation) -> None:
    pid = member(pair, "a")
    first = pair.at("a", lambda: online.track("room", "ada", {"status": "here"}, pid))
    pair.run_ms(PUSH_MS)
    followers = [Follower(pair, name, "room") for name in "ab"]
    second = pair.at("a", lambda: online.update("room", "ada", {"status": "away"}, pid))
    pair.run_ms(PUSH_MS)
    assert second != first
    for follower in followers:
        assert follower.diffs == [
            PresenceDiff(
                "room",
                {"ada": [Tracked(pid, {"status": "away"}, second)]},
                {"ada": [Tracked(pid, {"status": "here"}, first)]},
            )
        ]
        assert follower.known == {"ada": [Tracked(pid, {"status": "away"}, second)]}


def test_update_or_untrack_of_who_is_not_present_then_refused_or_false() -> None:
    async def main() -> None:
        with pytest.raises(NotTracked):
            online.update("room", "ada", 1)
        assert not online.untrack("room", "ada")
        online.track("room", "ada", 1)
        with pytest.raises(ZeroDivisionError):
            online.update("room", "ada", lambda meta: meta // 0)
        with pytest.raises(EncodeError):
            online.update("room", "ada", object())
        assert [each.meta for each in online.get_by_key("room", "ada")] == [1]
        assert online.untrack("room", "ada")
        assert online.list("room") == {}
        online.track("room", "ada")
        online.track("hall", "ada")
        online.untrack_all()
        assert online.list("room") == online.list("hall") == {}

    on_one_node(main)


def test_trk_04_silent_node_then_its_presences_leave_and_come_back_with_it(pair: Simulation) -> None:
    here, far = tracked(pair, "a", "room", "ada"), tracked(pair, "b", "room", "bob")
    pair.run_ms(PUSH_MS)
    follower = Follower(pair, "a", "room")
    pair.stall("b")
    pair.eventually(lambda: follower.diffs, HEAL_MS)
    assert lists(pair, "room")[0] == {"ada": [(here, None)]}
    assert [each.pid for each in follower.diffs[0].leaves["bob"]] == [far]
    pair.run_ms(60_000)  # however long: it comes back when the node does
    pair.resume("b")
    settle(pair)
    assert lists(pair, "room") == [{"ada": [(here, None)], "bob": [(far, None)]}] * 2
    assert follower.known == pair.at("a", lambda: online.list("room"))


def test_trk_04_node_that_is_restarted_then_its_old_presences_never_reappear(trio: Simulation) -> None:
    tracked(trio, "b", "room", "bob", "old")
    trio.run_ms(PUSH_MS)
    followers = [Follower(trio, name, "room") for name in "ac"]
    trio.cut("a", "c")  # a and c learn of it at different times, and from nobody else
    trio.crash("b")
    trio.run_ms(500)
    trio.restart("b")
    trio.run_ms(5_000)
    trio.heal()
    settle(trio)
    assert lists(trio, "room") == [{}] * 3
    new = tracked(trio, "b", "room", "bob", "new")
    trio.run_ms(PUSH_MS)
    assert lists(trio, "room") == [{"bob": [(new, "new")]}] * 3
    for follower in followers:
        assert [[*diff.joins] for diff in follower.diffs] == [[], ["bob"]]


def test_trk_04_split_in_which_presences_change_then_the_heal_tells_what_is_true(pair: Simulation) -> None:
    """Cases phoenix_pubsub#60 and #111: leaves of the time of the split are not lost."""
    stays, goes = tracked(pair, "b", "room", "stays"), tracked(pair, "b", "room", "goes")
    pair.run_ms(PUSH_MS)
    follower = Follower(pair, "a", "room")
    pair.cut("a", "b")
    pair.eventually(lambda: lists(pair, "room")[0] == {}, HEAL_MS)
    end(pair, goes, Kill())
    pair.at("b", lambda: online.update("room", "stays", "changed", stays))
    comes = tracked(pair, "b", "room", "comes")
    pair.heal()
    settle(pair)
    assert lists(pair, "room") == [{"stays": [(stays, "changed")], "comes": [(comes, None)]}] * 2
    assert follower.known == pair.at("a", lambda: online.list("room"))


def test_trk_05_node_that_leaves_in_order_then_its_presences_leave_at_once(pair: Simulation) -> None:
    tracked(pair, "b", "room", "bob")
    pair.run_ms(PUSH_MS)
    follower = Follower(pair, "a", "room")
    pair.stop("b")
    pair.run_ms(PUSH_MS)
    assert [[*diff.leaves] for diff in follower.diffs] == [["bob"]]


def test_g_07_update_by_two_callers_then_none_is_lost(pair: Simulation) -> None:
    """The function runs on the node of the process, one after the other; who is elsewhere asks the process."""

    async def counter() -> Pid:
        return (await Counted.start()).pid

    pid = pair.run_on("a", counter)

    def increment(meta: int) -> int:
        return meta + 1

    async def many() -> None:
        for _ in range(100):
            online.update("room", "counter", increment, pid)
            await asyncio.sleep(0)

    async def many_from_afar() -> None:
        for _ in range(100):
            await Counted.at(pid).increment()

    for name, work in (("a", many), ("a", many), ("b", many_from_afar)):
        pair.spawn(name, work)
    pair.run_ms(2_000)
    assert lists(pair, "room") == [{"counter": [(pid, 300)]}] * 2
    with pytest.raises(ConfigError):
        pair.at("b", lambda: online.update("room", "counter", increment, pid))


class Counted(GenServer):
    """Is present, and counts there."""

    def init(self) -> None:
        online.track("room", "counter", 0)

    @call
    def increment(self) -> None:
        online.update("room", "counter", lambda meta: meta + 1)


def test_presence_under_faults_then_the_diffs_of_each_node_are_its_list(trio: Simulation) -> None:
    followers = {name: Follower(trio, name, "room") for name in trio.names}
    present: list[Pid] = []
    for number in range(30):
        name = trio.chance.choice(trio.names)
        pid = tracked(trio, name, "room", f"user {number % 5}", number)
        trio.at(name, lambda p=pid, n=number: online.update("room", f"user {n % 5}", "updated", p))  # type: ignore[misc]
        present.append(pid)
        if trio.chance.random() < 0.4:
            end(trio, present.pop(trio.chance.randrange(len(present))), Kill())
        if trio.chance.random() < 0.2:
            trio.cut(*trio.chance.sample(trio.names, 2))
        if trio.chance.random() < 0.3:
            trio.heal()
        trio.run_ms(trio.chance.choice([1, 5, 400]))
        for here, follower in followers.items():
            assert follower.known == trio.at(here, lambda: online.list("room"))
    trio.heal()
    settle(trio)
    assert lists(trio, "room")[1:] == lists(trio, "room")[:1] * 2
    assert sorted(pid for found in lists(trio, "room")[0].values() for pid, _ in found) == sorted(present)


def test_presence_when_its_replica_crashes_then_those_of_this_node_go_on(pair: Simulation) -> None:
    here, far = tracked(pair, "a", "room", "ada"), tracked(pair, "b", "room", "bob")
    pair.run_ms(PUSH_MS)
    followers = [Follower(pair, name, "room") for name in "ab"]
    replica = pair.at("a", lambda: whereis("zmqcluster.presence:online"))
    assert replica is not None
    end(pair, replica, Kill())
    pair.run_ms(10 * PUSH_MS)
    assert lists(pair, "room") == [{"ada": [(here, None)], "bob": [(far, None)]}] * 2
    assert [follower.known for follower in followers] == [pair.at(name, lambda: online.list("room")) for name in "ab"]
    assert followers[1].diffs == []  # elsewhere nothing was to be seen of it
    end(pair, here, Kill())
    pair.run_ms(PUSH_MS)
    assert lists(pair, "room") == [{"bob": [(far, None)]}] * 2


def test_presence_that_cannot_be_then_refused(pair: Simulation) -> None:
    local, remote = member(pair, "a"), member(pair, "b")
    dead = member(pair, "a")
    end(pair, dead, Kill())
    pair.run_ms(1)
    refused: list[tuple[type[Exception], tuple[Any, ...]]] = [
        (ConfigError, ("room", "ada", None, remote)),
        (ConfigError, (7, "ada", None, local)),
        (ConfigError, ("room", 7, None, local)),
        (EncodeError, ("room", "ada", object(), local)),
        (NoProcessError, ("room", "ada", None, dead)),
    ]
    for error, arguments in refused:
        with pytest.raises(error):
            pair.at("a", lambda arguments=arguments: online.track(*arguments))  # type: ignore[misc]
    assert lists(pair, "room") == [{}] * 2
    with pytest.raises(ConfigError):
        Presence("x", pubsub="chat")  # type: ignore[arg-type]


def test_presence_without_a_pubsub_then_lists_only() -> None:
    async def main() -> None:
        alone = await Presence("alone").start_link()
        pid = spawn(forever)
        alone.track("room", "ada", 1, pid)
        assert [*alone.list("room")] == ["ada"]
        exit(pid, Kill())
        await asyncio.sleep(0.01)
        assert alone.list("room") == {}

    run(main)
