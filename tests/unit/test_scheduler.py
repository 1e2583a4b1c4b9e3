"""The scheduler when the layers above misbehave: hooks that raise, code that reaches back into it, garbage."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.joined import Echo, Mail, World, outcome, start_echo
from zmqcluster import _core as core
from zmqcluster.errors import AlreadyRegistered, ConfigError, EncodeError, MailboxFull, ServerExited, UsageError
from zmqcluster.exits import Crashed, Kill, Killed, Shutdown


@pytest.fixture
def world() -> Iterator[World]:
    world = World("a", "b")
    yield world
    world.close()


def problems(world: World) -> list[str]:
    return [f"{context['message']}: {context['exception']}" for context in world.problems]


# --- hooks that raise


def test_crash_hook_raises_then_the_process_still_ends_and_tells(world: World) -> None:
    async def crash() -> None:
        await core.receive()
        raise KeyError("crashed")

    watcher, node = Mail(world["a"]), world["a"]
    world.hooks["a"].failing.add("on_crash")
    pid = node.spawn(crash(), name="crasher")
    ref = watcher.do(core.monitor, pid)
    node.deliver(pid, "now")
    world.turn()
    [down] = watcher.messages
    assert (down.ref, type(down.reason), down.reason.kind) == (ref, Crashed, "KeyError")
    assert node.whereis("crasher") is None
    assert problems(world) == ["zmqcluster: the hook on_crash failed: on_crash fails"]


def test_every_reporting_hook_raises_then_nothing_is_lost(world: World) -> None:
    node = world["a"]
    world.hooks["a"].failing.update(["on_full_mailbox", "on_no_such_cast", "on_undecodable", "on_control"])
    full, echo = Mail(node, bound=1), Echo()
    server = start_echo(node, echo)
    for number in range(3):
        node.deliver(full.pid, number)
    node.cast(server, (), "missing")
    node.cast(server, "there")
    node.begin_batch()
    node.feed_bytes(b"x", b"\x02control")
    node.feed_bytes(b"x", b"")
    node.end_batch()
    world.turn()
    assert full.messages == [0]
    assert echo.cast == ["there"]
    assert len(world.problems) == 5


def test_unwinding_raises_then_the_others_still_end(world: World) -> None:
    async def stubborn() -> None:
        try:
            await core.receive()
        finally:
            raise ValueError("at the end")

    node, watcher = world["a"], Mail(world["a"])
    world.hooks["a"].failing.add("on_unwind_error")
    pids = [node.spawn(stubborn()) for _ in range(3)]
    for pid in pids:
        watcher.do(core.monitor, pid)
        node.exit(watcher.pid, pid, Kill())
    world.turn()
    assert [down.reason for down in watcher.messages] == [Killed()] * 3


def test_future_that_cannot_be_waited_for_is_raised_where_it_is_awaited(world: World) -> None:
    class Odd(asyncio.Future[None]):
        def add_done_callback(self, *_: Any, **__: Any) -> None:
            raise ValueError("odd")

    caught: list[BaseException] = []

    async def wait() -> None:
        try:
            await Odd(loop=world.loop)
        except ValueError as error:
            caught.append(error)

    world["a"].spawn(wait())
    world.turn()
    assert [str(error) for error in caught] == ["odd"]


def test_future_that_cannot_be_cancelled_does_not_keep_a_process_alive(world: World) -> None:
    class Odd(asyncio.Future[None]):
        def cancel(self, msg: Any = None) -> bool:
            raise ValueError("odd")

    async def wait() -> None:
        await Odd(loop=world.loop)

    pid = world["a"].spawn(wait())
    world.turn()
    world["a"].exit(pid, pid, Kill())
    world.turn()
    assert not world["a"].is_alive(pid)
    assert len(world.problems) == 1


def test_timer_fails_then_the_others_of_its_tick_fire(world: World) -> None:
    world["a"].copy_messages = True
    mail = Mail(world["a"])
    world["a"].send_after(0.005, mail.pid, 1)
    world["a"].send_after(0.005, mail.pid, object())
    world["a"].send_after(0.005, mail.pid, 2)
    world["a"].send_after(0.007, mail.pid, 3)
    world.sleep(0.02)
    assert mail.messages == [1, 2, 3]
    assert len(world.problems) == 1


def test_reply_that_cannot_be_copied_fails_the_caller_alone(world: World) -> None:
    node = world["a"]
    node.copy_messages = True
    server = start_echo(node)
    bad, good = node.call(server, "object", None), node.call(server, "good", None)
    world.turn()
    assert isinstance(outcome(bad), EncodeError)
    assert outcome(good) == "good"


def test_observer_raises_then_it_is_taken_off_and_the_server_goes_on(world: World) -> None:
    def observer(*_: Any) -> None:
        raise ValueError("observer")

    node = world["a"]
    server = start_echo(node)
    first = node.call(server, ("run", lambda: core.observe(observer)), None)
    calls = [node.call(server, number, None) for number in range(3)]
    world.turn()
    assert [outcome(call) for call in [first, *calls]] == [None, 0, 1, 2]
    assert len(world.problems) == 1


# --- code that reaches back


def test_handler_closes_its_own_scheduler_then_all_others_end_and_it_ends_next(world: World) -> None:
    node, ended = world["a"], []

    async def waits() -> None:
        try:
            await core.receive()
        finally:
            ended.append(core.self())

    others = [node.spawn(waits()) for _ in range(3)]
    world.turn()
    server = start_echo(node)
    call = node.call(server, ("run", node.close), None)
    world.turn()
    assert ended == others
    assert isinstance(outcome(call), ServerExited)
    assert node.process_count == 0
    assert problems(world) == []


def test_coroutine_closes_its_own_scheduler_and_keeps_its_identity(world: World) -> None:
    node, seen = world["a"], []

    async def closes() -> None:
        before = asyncio.current_task()
        node.close()
        seen.extend([asyncio.current_task() is before, before is not None])
        await core.receive()

    node.spawn(closes())
    world.turn()
    assert seen == [True, True]
    assert node.process_count == 0


def test_a_turn_of_another_node_inside_a_process_gives_the_process_back(world: World) -> None:
    seen, far = [], Mail(world["b"])

    async def nests() -> None:
        before = asyncio.current_task()
        world["b"].deliver(far.pid, 1)
        world["b"].begin_batch()
        world["b"].end_batch()
        seen.extend([asyncio.current_task() is before, core.self(), list(far.messages)])
        await asyncio.sleep(0)

    pid = world["a"].spawn(nests())
    world.turn()
    assert seen == [True, pid, [1]]
    assert problems(world) == []


def test_process_started_while_its_node_closes_ends_too(world: World) -> None:
    node = world["a"]

    async def waits() -> None:
        await core.receive()

    async def spawns() -> None:
        try:
            await core.receive()
        finally:
            node.spawn(waits())

    node.spawn(spawns())
    world.turn()
    node.close()
    assert node.process_count == 0


def test_spawn_link_on_another_node_is_refused(world: World) -> None:
    async def nothing() -> None:
        """Not started."""

    problem = Mail(world["a"]).do(lambda: world["b"].spawn(nothing(), link=True))
    assert isinstance(problem, UsageError)
    assert world["b"].process_count == 0


def test_name_of_a_dying_process_is_free_at_once(world: World) -> None:
    node = world["a"]
    old, new = Mail(node, name="name"), Mail(node)
    with pytest.raises(AlreadyRegistered):
        node.register("name", new.pid)
    node.exit(old.pid, old.pid, Kill())
    assert node.whereis("name") is None
    assert node.registered() == []
    node.register("name", new.pid)
    world.turn()
    assert node.whereis("name") == new.pid


# --- mailboxes


def test_drop_old_keeps_exits_and_downs(world: World) -> None:
    node = world["a"]
    server = start_echo(node, bound=2, policy="drop_old")
    echo = node.server_of(server)
    hold = node.call(server, ("run", lambda: burst()), None)

    def burst() -> None:
        core.monitor(("nobody", "a"))
        for number in range(4):
            core.send(core.self(), number)

    world.turn()
    assert outcome(hold) is None
    assert [type(message) for message in echo.info] == [core.Down, int]
    assert echo.info[1] == 3


def test_selective_receive_sees_what_comes_after_drops(world: World) -> None:
    node, found = world["a"], []

    async def waits() -> None:
        found.append(await core.receive(str))

    pid = node.spawn(waits(), bound=3, policy="drop_old")
    for message in [0, 1, 2, 3, 4, "found"]:
        node.deliver(pid, message)
        world.turn()
    assert found == ["found"]


def test_predicate_that_changes_the_mailbox_is_asked_again(world: World) -> None:
    node, found = world["a"], []

    async def waits() -> None:
        def match(message: Any) -> bool:
            if message == 0:
                for number in range(10):
                    core.send(core.self(), f"{number}")
            return isinstance(message, str)

        found.append(await core.receive(match))
        found.append(await core.receive())

    pid = node.spawn(waits(), bound=3, policy="drop_old")
    node.deliver(pid, 0)
    world.turn()
    assert found == ["7", "8"]


def test_predicate_raises_then_its_timer_is_gone(world: World) -> None:
    node, seen = world["a"], []

    async def waits() -> None:
        try:
            await core.receive(lambda message: 1 // message, timeout_s=0.01)
        except ZeroDivisionError:
            seen.append(await core.receive(int))
        seen.append(await core.receive())
        try:
            await core.receive(str, timeout_s=1.0)
        except TimeoutError:
            seen.append(world.loop.time())

    pid = node.spawn(waits())
    world.turn()
    node.deliver(pid, 0)
    world.sleep(0.05)
    began = world.loop.time()
    node.deliver(pid, "next")
    world.sleep(2.0)
    assert seen[:2] == [0, "next"]
    assert seen[2] - began >= 1.0


def test_timeout_of_a_receive_that_a_message_has_just_woken_is_not_lost(world: World) -> None:
    node, seen = world["a"], []

    async def waits() -> None:
        try:
            await core.receive(str, timeout_s=0.01)
        except TimeoutError:
            seen.append("timeout")

    pid = node.spawn(waits())
    world.turn()

    def deliver_and_tick() -> None:
        node.deliver(pid, 1)
        node.on_tick()

    world.loop.call_later(0.0105, deliver_and_tick)
    world.sleep(0.1)
    assert seen == ["timeout"]


def test_refused_message_is_told_to_its_sender_only(world: World) -> None:
    full, sender = Mail(world["a"], bound=1, policy="refuse"), Mail(world["a"])

    def two() -> None:
        core.send(full.pid, 1)
        core.send(full.pid, 2)

    assert isinstance(sender.do(two), MailboxFull)
    assert full.messages == [1]


# --- calls


def test_a_call_can_be_awaited_by_several(world: World) -> None:
    node, seen = world["a"], []
    promise = node.promise()

    async def waits(number: int) -> None:
        seen.append((number, await promise))

    async def plain() -> None:
        seen.append(("task", await promise))

    for number in range(3):
        node.spawn(waits(number))
    task = world.loop.create_task(plain())
    promise.add_done_callback(lambda call: seen.append("callback"))
    world.turn()
    promise.reply("value")
    world.turn()
    assert task.done()
    assert sorted(map(str, seen)) == sorted(
        map(str, [(0, "value"), (1, "value"), (2, "value"), ("task", "value"), "callback"])
    )


def test_removed_callback_is_the_one_that_was_meant(world: World) -> None:
    seen: list[str] = []

    def first(_: Any) -> None:
        seen.append("first")

    def second(_: Any) -> None:
        seen.append("second")

    promise = world["a"].promise()
    promise.add_done_callback(first)
    promise.add_done_callback(second)
    assert promise.remove_done_callback(first) == 1
    promise.reply(1)
    world.turn()
    assert seen == ["second"]


@pytest.mark.parametrize("timeout_s", [float("nan"), -1.0])
def test_timeouts_that_are_none_are_config_errors(world: World, timeout_s: float) -> None:
    node, mail = world["a"], Mail(world["a"])
    with pytest.raises(ConfigError):
        node.promise(None, timeout_s)
    with pytest.raises(ConfigError):
        node.call(mail.pid, 1, timeout_s)
    with pytest.raises(ConfigError):
        node.send_after(timeout_s, mail.pid, 1)


def test_process_that_awaits_itself_is_told(world: World) -> None:
    caught: list[str] = []

    async def waits() -> None:
        itself: Any = asyncio.current_task()
        try:
            await itself
        except RuntimeError as error:
            caught.append(str(error))

    world["a"].spawn(waits())
    world.turn()
    assert "cannot await itself" in caught[0]


# --- garbage


def test_garbage_with_armed_timers_leaves_the_wheel(world: World) -> None:
    node, mail = world["a"], Mail(world["a"])
    for _ in range(200):
        promise = node.promise(None, 0.01)
        promise.add_done_callback(lambda call, promise=promise: promise)
        del promise
    node.send_after(0.02, mail.pid, "fired")
    gc.collect()
    world.sleep(0.05)
    assert mail.messages == ["fired"]


def test_forgotten_scheduler_with_live_processes_and_timers_is_freed() -> None:
    gc.collect()
    before = sum(isinstance(held, core.Scheduler) for held in gc.get_objects())

    def forget() -> None:
        world = World("a", "b")
        world.join("a", "b")
        node = world["a"]

        async def waits() -> None:
            await core.receive(str, timeout_s=5.0)

        for _ in range(50):
            node.deliver(node.spawn(waits()), [node])
            node.send_after(5.0, "nobody", node)
            node.call(start_echo(node), "hold", 5.0)
        world.turn()
        world.loop.close()

    forget()
    gc.collect()
    assert sum(isinstance(held, core.Scheduler) for held in gc.get_objects()) == before


def test_shutdown_reason_of_close_reaches_monitors_of_other_nodes(world: World) -> None:
    world.join("a", "b")
    watcher, mail = Mail(world["b"]), Mail(world["a"])
    ref = watcher.do(core.monitor, mail.pid)
    world.run()
    world["a"].close()
    world.run()
    assert watcher.messages == [core.Down(ref, mail.pid, Shutdown("node stopped"))]
