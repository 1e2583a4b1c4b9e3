"""Processes of different nodes: what holds on one node holds across two.

The cases NODE-13, NODE-14, MON-10, and those of PROC, EXIT, MON, TMR, GS and SYS once more, with the other end away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from tests.support.running import arriving, end_of, forever
from zmqcluster.core import Call, Down, Exit, NoReply, Stop
from zmqcluster.errors import (
    AlreadyStarted,
    CallRefused,
    CallTimeout,
    ConfigError,
    EncodeError,
    NoConnectionError,
    NoProcessError,
    NoSuchMethod,
    NotExported,
    Refusal,
    ServerExited,
    StartFailed,
)
from zmqcluster.exits import Crashed, Kill, Killed, NoConnection, NoProcess, Normal, Shutdown
from zmqcluster.ids import Pid, Ref
from zmqcluster.monitoring import inspect
from zmqcluster.otp import sys
from zmqcluster.otp.gen_server import GenServer, reply, stop
from zmqcluster.otp.methods import call, cast
from zmqcluster.otp.requests import Requests, send_request
from zmqcluster.runtime.process import (
    alias,
    demonitor,
    exit,
    is_alive,
    link,
    monitor,
    process_info,
    receive,
    register,
    send,
    send_after,
    spawn,
    trap_exits,
    unalias,
    unlink,
)
from zmqcluster.runtime.process import self as this_process
from zmqcluster.testing.simulation import Simulation

UNREACHABLE = "nobody@10.0.0.99:7100"


class Far:
    """Node b of a simulation, as the processes of node a meet it."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.name = simulation.full_name("b")

    def spawn(self, function: Callable[..., Coroutine[Any, Any, object]], *arguments: Any) -> Pid:
        return self.simulation.spawn("b", function, *arguments)

    def is_alive(self, pid: Pid) -> bool:
        return self.simulation.node("b").scheduler.is_alive(pid)

    def info(self, pid: Pid) -> dict[str, Any]:
        return self.simulation.node("b").scheduler.describe(pid) or {}


Main = Callable[[Far], Coroutine[Any, Any, Any]]


@pytest.fixture
def pair() -> Iterator[Simulation]:
    with Simulation(seed=2, nodes=2) as simulation:
        for name in simulation.names:
            simulation.start(name)
        simulation.eventually(lambda: simulation.node("a").nodes(), within_ms=5_000)
        yield simulation


def run(pair: Simulation, main: Main, within_ms: float = 60_000.0) -> Any:
    """Run ``main`` as a process of node a."""
    return pair.run_on("a", lambda: main(Far(pair)), within_ms)


# --- what runs on b


async def keep(to: Pid, name: str | None = None, trap: bool = True) -> None:
    """Send on whatever arrives; of an Exit its fields."""
    trap_exits(trap)
    if name is not None:
        register(name)
    while True:
        match await receive():
            case Exit(pid, reason):
                send(to, ("kept", ("exit", pid, reason)))
            case message:
                send(to, ("kept", message))


async def end_when_told() -> None:
    reason = await receive()
    if reason == "crash":
        raise ValueError("told")
    if reason != "return":
        exit(reason)


async def kept(timeout_s: float = 1.0) -> Any:
    _, message = await receive(("kept", ...), timeout_s=timeout_s)
    return message


# --- PROC: order


def test_proc_02_ten_thousand_messages_to_another_node_arrive_once_and_in_order(pair: Simulation) -> None:
    async def main(far: Far) -> Any:
        pid = far.spawn(keep, this_process())
        for number in range(10_000):
            send(pid, number)
        return [await kept() for _ in range(10_000)]

    assert run(pair, main) == list(range(10_000))


def test_proc_07_send_to_a_finished_process_or_an_unknown_name_away_is_silent(pair: Simulation) -> None:
    async def main(far: Far) -> Any:
        pid = far.spawn(end_when_told)
        send(pid, "return")
        await end_of(pid)
        send(pid, "late")
        send(("nobody", far.name), "late")
        send(("nobody", UNREACHABLE), "late")
        return await arriving(8.0)

    assert run(pair, main) == []


def test_proc_08_exit_signal_between_two_messages_keeps_its_place(pair: Simulation) -> None:
    async def main(far: Far) -> Any:
        pid = far.spawn(keep, this_process(), None, False)
        ref = monitor(pid)
        send(pid, 1)
        exit(pid, "between")
        send(pid, 2)
        heard = await arriving()
        return [each for each in heard if each != ("kept", 1)] == [Down(ref, pid, "between")]

    assert run(pair, main)


def test_proc_08_pid_name_and_alias_are_one_order(pair: Simulation) -> None:
    async def aliased(to: Pid) -> None:
        register("one")
        send(to, alias())
        await keep(to)

    async def main(far: Far) -> Any:
        pid = far.spawn(aliased, this_process())
        other = await receive(Ref)
        for number in range(300):
            send((pid, ("one", far.name), other)[number % 3], number)
        return [await kept() for _ in range(300)]

    assert run(pair, main) == list(range(300))


def test_proc_11_info_of_a_process_away_is_an_argument_error(pair: Simulation) -> None:
    async def main(far: Far) -> None:
        pid = far.spawn(forever)
        for look in (process_info, is_alive):
            with pytest.raises(ConfigError):
                look(pid)

    run(pair, main)


# --- EXIT: the table, with the sender away

ENDS = {
    "return": (Normal(), None),
    "crash": (Crashed("ValueError", "told"), Crashed("ValueError", "told")),
    "reason": ("reason", "reason"),
    "shutdown": (Shutdown("s"), Shutdown("s")),
    "kill": (Kill(), Kill()),
    "killed": (Killed(), Killed()),
}  # what is told b -> the Exit of one that traps, the end of one that does not (None: it lives)


@pytest.mark.parametrize("told", ENDS)
def test_exit_signal_of_a_linked_process_away(pair: Simulation, told: str) -> None:
    """EXIT-01, EXIT-02, EXIT-05."""
    message, end = ENDS[told]
    order: Any = {"shutdown": Shutdown("s"), "kill": Kill(), "killed": Killed()}.get(told, told)

    async def owner(pid: Pid, trap: bool, to: Pid) -> None:
        trap_exits(trap)
        link(pid)
        send(to, "linked")
        send(to, ("got", await receive()))

    async def main(far: Far) -> Any:
        results = []
        for trap in (True, False):
            pid = far.spawn(end_when_told)
            linked = spawn(owner, pid, trap, this_process())
            await receive("linked")
            ref = monitor(linked)
            send(pid, order)
            heard = await arriving(0.3)
            results.append([each.reason for each in heard if isinstance(each, Down) and each.ref == ref])
            results.append([each[1].reason for each in heard if isinstance(each, tuple)])
        return results

    trapped_end, trapped, plain_end, plain = run(pair, main)
    assert [same(message)(each) for each in trapped] == [True] and trapped_end == [Normal()]
    assert plain == [] and [same(end)(each) for each in plain_end] == ([] if end is None else [True])


def same(reason: Any) -> Callable[[Any], bool]:
    """Equal but for the traceback."""
    if isinstance(reason, Crashed):
        return lambda other: isinstance(other, Crashed) and (other.kind, other.text) == (reason.kind, reason.text)
    return lambda other: bool(other == reason)


@pytest.mark.parametrize("trap", [True, False])
@pytest.mark.parametrize("reason", [Normal(), Kill(), Killed(), "reason", Shutdown()])
def test_exit_sent_to_a_process_away(pair: Simulation, reason: Any, trap: bool) -> None:
    """EXIT-04 and the rows ``exit(P, R)`` of the table: one that traps gets it, but for Kill."""

    async def main(far: Far) -> Any:
        pid = far.spawn(keep, this_process(), None, trap)
        ref = monitor(pid)
        exit(pid, reason)
        heard = await arriving(0.3)
        ends = [each.reason for each in heard if isinstance(each, Down) and each.ref == ref]
        return ends, [each[1] for each in heard if isinstance(each, tuple)], this_process()

    ends, messages, sender = run(pair, main)
    if reason == Kill():
        assert (ends, messages) == ([Killed()], [])
    elif trap:
        assert (ends, messages) == ([], [("exit", sender, reason)])
    else:
        assert (ends, messages) == ([] if reason == Normal() else [reason], [])


def test_exit_07_link_to_a_dead_process_away_is_noproc(pair: Simulation) -> None:
    async def main(far: Far) -> Any:
        pid = far.spawn(end_when_told)
        send(pid, "return")
        await end_of(pid)
        trap_exits()
        link(pid)
        return await receive(timeout_s=1.0) == Exit(pid, NoProcess())

    assert run(pair, main)


def test_exit_10_links_are_a_set_also_across_nodes(pair: Simulation) -> None:
    async def main(far: Far) -> Any:
        pid = far.spawn(end_when_told)
        trap_exits()
        link(pid)
        link(pid)
        unlink(pid)
        await asyncio.sleep(0.1)
        assert far.info(pid)["links"] == []
        send(pid, "crash")
        return await arriving(0.3)

    assert run(pair, main) == []


def test_exit_11_after_unlink_no_exit_that_was_under_way_arrives(pair: Simulation) -> None:
    """The signal has left the other node when unlink is called here."""

    async def main(far: Far) -> Any:
        trap_exits()
        for _ in range(20):
            pid = far.spawn(end_when_told)
            link(pid)
            await asyncio.sleep(0.05)
            pair.at("b", lambda pid=pid: far.simulation.node("b").scheduler.exit(pid, pid, "under way"))
            unlink(pid)
        return await arriving(0.5)

    assert run(pair, main) == []


def test_exit_11_linked_again_while_the_exit_is_under_way_then_one_exit(pair: Simulation) -> None:
    async def main(far: Far) -> Any:
        trap_exits()
        pid = far.spawn(end_when_told)
        link(pid)
        await asyncio.sleep(0.05)
        pair.at("b", lambda: far.simulation.node("b").scheduler.exit(pid, pid, "under way"))
        unlink(pid)
        link(pid)
        return [each.pid == pid and each.reason in ("under way", NoProcess()) for each in await arriving(0.5)]

    assert run(pair, main) == [True]


def test_exit_16_a_chain_over_both_nodes_ends_as_one(pair: Simulation) -> None:
    async def hop(far: Far, depth: int, to: Pid) -> None:
        if depth == 0:
            send(to, this_process())
        else:
            following = pair.spawn("ab"[depth % 2], hop, far, depth - 1, to)
            link(following)
        await forever()

    async def main(far: Far) -> Any:
        first = spawn(hop, far, 10, this_process())
        last = await receive(Pid)
        await asyncio.sleep(0.2)
        ref = monitor(first)
        exit(last, "the end")
        down = await receive(timeout_s=1.0)
        return down == Down(ref, first, "the end")

    assert run(pair, main)


def test_exit_link_and_monitor_of_an_unreachable_node_are_noconnection(pair: Simulation) -> None:
    stranger = Pid(UNREACHABLE, 1, 5)

    async def main(far: Far) -> Any:
        trap_exits()
        link(stranger)
        ref, named = monitor(stranger), monitor(("name", UNREACHABLE))
        heard = [await receive(timeout_s=20.0) for _ in range(3)]
        lost = NoConnection(UNREACHABLE)
        expected = [
            Exit(stranger, lost),
            Down(ref, stranger, lost),
            Down(named, ("name", UNREACHABLE), lost),
        ]
        return all(each in heard for each in expected)

    assert run(pair, main)


# --- MON


@pytest.mark.parametrize("told", ENDS)
def test_mon_01_monitor_of_a_process_away_tells_every_end_once(pair: Simulation, told: str) -> None:
    order: Any = {"shutdown": Shutdown("s"), "kill": Kill(), "killed": Killed()}.get(told, told)

    async def main(far: Far) -> Any:
        pid = far.spawn(end_when_told)
        refs = [monitor(pid), monitor(pid)]
        send(pid, order)
        heard = await arriving(0.3)
        return [same(ENDS[told][0])(each.reason) for each in heard], {each.ref for each in heard} == set(refs)

    assert run(pair, main) == ([True, True], True)


def test_mon_03_end_of_the_watcher_leaves_nothing_at_the_watched(pair: Simulation) -> None:
    async def main(far: Far) -> Any:
        pid = far.spawn(forever)

        async def watcher() -> None:
            monitor(pid)
            monitor(pid)
            await asyncio.sleep(0.1)

        await end_of(spawn(watcher))
        await asyncio.sleep(0.1)
        return far.info(pid)["watchers"], far.is_alive(pid)

    assert run(pair, main) == ([], True)


def test_mon_04_demonitor_flush_and_info_across_nodes(pair: Simulation) -> None:
    """MON-05: info is False exactly when the Down was delivered."""

    async def main(far: Far) -> Any:
        alive, dead = far.spawn(forever), far.spawn(end_when_told)
        standing, fired, queued = monitor(alive), monitor(dead), monitor(dead)
        send(dead, "return")
        await asyncio.sleep(0.1)
        answers = (
            demonitor(standing, info=True),
            demonitor(fired, flush=True, info=True),
            demonitor(queued, info=True),
            demonitor(standing, info=True),
        )
        exit(alive, Kill())
        return answers, [each.ref == queued for each in await arriving(0.3)]

    assert run(pair, main) == ((True, False, False, False), [True])


def test_mon_04_demonitor_while_the_down_is_under_way_then_it_never_arrives(pair: Simulation) -> None:
    async def main(far: Far) -> Any:
        pid = far.spawn(end_when_told)
        ref = monitor(pid)
        await asyncio.sleep(0.05)
        pair.at("b", lambda: far.simulation.node("b").scheduler.exit(pid, pid, "under way"))
        return demonitor(ref, info=True), await arriving(0.5)

    assert run(pair, main) == (True, [])


def test_mon_10_monitor_of_a_name_that_nobody_has_there(pair: Simulation) -> None:
    async def main(far: Far) -> Any:
        ref = monitor(("nobody", far.name))
        return await receive(timeout_s=1.0) == Down(ref, ("nobody", far.name), NoProcess())

    assert run(pair, main)


def test_mon_10_monitor_by_name_follows_the_process_and_tells_the_pair(pair: Simulation) -> None:
    async def main(far: Far) -> Any:
        first = far.spawn(keep, this_process(), "held", False)
        await asyncio.sleep(0.05)
        ref = monitor(("held", far.name))
        exit(first, "first")
        down = await receive(Down, timeout_s=1.0)
        far.spawn(keep, this_process(), "held")
        await asyncio.sleep(0.05)
        again = monitor(("held", far.name))
        send(("held", far.name), 1)
        heard = await kept()
        return down == Down(ref, ("held", far.name), "first"), heard, demonitor(again, info=True)

    assert run(pair, main) == (True, 1, True)


def test_mon_node_lost_then_noconnection_and_the_watched_lives_on(pair: Simulation) -> None:
    async def main(far: Far) -> Any:
        pid = far.spawn(keep, this_process(), "held")
        refs = {monitor(pid): pid, monitor(("held", far.name)): ("held", far.name)}
        await asyncio.sleep(0.1)
        pair.cut("a", "b")
        downs = [await receive(Down, timeout_s=5.0) for _ in refs]
        told = [refs[down.ref] == down.object and down.reason == NoConnection(far.name) for down in downs]
        lives = far.is_alive(pid)
        pair.heal()
        await asyncio.sleep(20.0)
        send(pid, "after the heal")
        return told, lives, await kept(), far.info(pid)["watchers"]

    assert run(pair, main) == ([True, True], True, "after the heal", [])


# --- NODE-13, NODE-14


def test_node_13_pids_of_an_earlier_life_reach_nobody(pair: Simulation) -> None:
    async def main(far: Far) -> Any:
        me = this_process()
        old = [far.spawn(keep, me) for _ in range(5)]
        server = await Server.start_on(far.name)
        await asyncio.sleep(0.1)
        pair.crash("b")
        await asyncio.sleep(1.0)
        return old, server.pid

    old, server = run(pair, main)
    pair.restart("b")
    pair.eventually(lambda: pair.node("a").nodes(), within_ms=20_000)

    async def again(far: Far) -> Any:
        trap_exits()
        new = [far.spawn(keep, this_process()) for _ in range(10)]
        assert {pid.id for pid in new} & {pid.id for pid in old}
        downs, exits = [], []
        for pid in [*old, server]:
            send(pid, "for the old one")
            cast(pid, "for the old one")
            ref = monitor(pid)
            downs.append(await receive(Down, timeout_s=1.0) == Down(ref, pid, NoProcess()))
            link(pid)
            exits.append(await receive(Exit, timeout_s=1.0) == Exit(pid, NoProcess()))
            with pytest.raises(NoProcessError):
                await call(pid, "for the old one")
            exit(pid, Kill())
        return downs, exits, await arriving(0.3), all(map(far.is_alive, new))

    assert run(pair, again) == ([True] * 6, [True] * 6, [], True)


def test_node_14_what_waited_when_the_connection_was_lost_never_arrives(pair: Simulation) -> None:
    async def main(far: Far) -> Any:
        pid = far.spawn(keep, this_process(), "held")
        await asyncio.sleep(0.1)
        pair.cut("a", "b")
        for number in range(100):
            send(("held", far.name), ("before", number))
            send(pid, ("before", number))
        ref = monitor(pid)
        await receive(Down, timeout_s=5.0)
        pair.heal()
        await asyncio.sleep(20.0)
        send(("held", far.name), "after")
        assert ref is not None
        return [message for _, message in await arriving(2.0)]

    assert run(pair, main) == ["after"]


# --- TMR: aliases and timers


def test_tmr_01_reply_to_an_alias_that_has_ended_never_enters_the_mailbox(pair: Simulation) -> None:
    async def reply_later(to: Ref) -> None:
        await asyncio.sleep(0.2)
        send(to, "late")

    async def main(far: Far) -> Any:
        ended, kept_one = alias(), alias()
        far.spawn(reply_later, ended)
        far.spawn(reply_later, kept_one)
        assert unalias(ended) and not unalias(ended)
        return await arriving(1.0)

    assert run(pair, main) == ["late"]


def test_tmr_02_alias_for_one_reply_takes_the_first_from_another_node(pair: Simulation) -> None:
    async def twice(to: Ref) -> None:
        send(to, 1)
        send(to, 2)

    async def main(far: Far) -> Any:
        far.spawn(twice, alias("reply"))
        return await arriving(0.5)

    assert run(pair, main) == [1]


def test_tmr_01_alias_of_a_monitor_across_nodes_ends_with_demonitor(pair: Simulation) -> None:
    async def serve() -> None:
        while True:
            to, number = await receive()
            send(to, ("reply", number))

    async def main(far: Far) -> Any:
        pid = far.spawn(serve)
        ref = monitor(pid, alias="demonitor")
        send(pid, (ref, 1))
        first = await receive(timeout_s=1.0)
        send(pid, (ref, 2))
        demonitor(ref, flush=True)
        return first, await arriving(0.5)

    assert run(pair, main) == (("reply", 1), [])


def test_tmr_04_timer_to_a_process_away(pair: Simulation) -> None:
    async def main(far: Far) -> Any:
        pid = far.spawn(keep, this_process(), "held")
        send_after(0.05, pid, "pid")
        send_after(0.1, ("held", far.name), "name")
        return [await kept(), await kept()]

    assert run(pair, main) == ["pid", "name"]


# --- GS: servers away


class Server(GenServer):
    """Does what it is asked."""

    def init(self, mode: str = "") -> Any:
        self.told: list[Any] = []
        self.mode = mode
        if mode == "crash":
            raise ValueError("no")
        if mode == "stop":
            return Stop("unwilling")
        if mode == "trap":
            trap_exits()
        return None

    def handle_call(self, request: Any, caller: Call) -> Any:
        match request:
            case ("later", seconds):
                spawn(_reply_later, caller, seconds)
                return NoReply()
            case "stop":
                return Stop("asked", reply="stopping")
            case "end":
                return Stop("asked")
            case "crash":
                raise ValueError("handler")
            case "refuse":
                raise Refusal(ValueError("not now"))
            case "object":
                return object()
            case "forget":
                return NoReply()
            case "told":
                return self.told
        return ("did", request)

    def handle_cast(self, request: Any) -> None:
        self.told.append(request)

    def handle_info(self, message: Any) -> None:
        self.told.append(("info", message))

    @call
    def double(self, number: int, *, plus: int = 0) -> int:
        return 2 * number + plus

    @cast
    def note(self, what: str) -> None:
        self.told.append(what)


class Other(Server):
    """The next version of it."""

    def code_change(self, old_version: Any, extra: Any) -> None:
        self.told.append(("changed", old_version, extra))


async def _reply_later(caller: Call, seconds: float) -> None:
    await asyncio.sleep(seconds)
    reply(caller, "later")
    reply(caller, "twice")


@pytest.mark.parametrize("by", ["pid", "name"])
def test_gs_calls_and_casts_to_a_server_away(pair: Simulation, by: str) -> None:
    """GS-10 and GS-25 too: the reply comes from another process, and only the first counts."""

    async def main(far: Far) -> Any:
        started = await Server.start_on(far.name, name="server")
        server = started if by == "pid" else Server.at(("server", far.name))
        server.note("typed")
        cast(server.dest, "plain")
        send(server.dest, "info")
        return (
            await server.double(2, plus=1),
            await call(server.dest, 1),
            await call(server.dest, ("later", 0.1)),
            await call(server.dest, "told"),
        )

    assert run(pair, main) == (5, ("did", 1), "later", ["typed", "plain", ("info", "info")])


def test_gs_07_late_reply_from_another_node_never_shows_up(pair: Simulation) -> None:
    async def main(far: Far) -> Any:
        server = await Server.start_on(far.name)
        with pytest.raises(CallTimeout) as late:
            await call(server.pid, ("later", 0.3), 0.05)
        assert late.value.server == server.pid
        return await arriving(1.0), await call(server.pid, 1)

    assert run(pair, main) == ([], ("did", 1))


def test_gs_08_nobody_there_or_no_way(pair: Simulation) -> None:
    async def main(far: Far) -> None:
        server = await Server.start_on(far.name)
        await stop(server.pid)
        for dest in (server.pid, ("nobody", far.name)):
            with pytest.raises(NoProcessError) as nobody:
                await call(dest, 1)
            assert nobody.value.dest == dest
            cast(dest, "nothing comes back")
        with pytest.raises(NoConnectionError):
            await call(("server", UNREACHABLE), 1)

    run(pair, main)


@pytest.mark.parametrize("request_", ["end", "crash"])
def test_gs_server_away_ends_before_it_replies_then_its_reason(pair: Simulation, request_: str) -> None:
    async def main(far: Far) -> Any:
        server = await Server.start_on(far.name)
        with pytest.raises(ServerExited) as ended:
            await call(server.pid, request_)
        return ended.value.reason

    expected = "asked" if request_ == "end" else Crashed("ValueError", "handler")
    assert same(expected)(run(pair, main))


def test_gs_server_away_that_has_forgotten_its_callers_is_killed_then_they_are_told(pair: Simulation) -> None:
    """Nothing but the server's own list holds these calls."""

    async def main(far: Far) -> Any:
        server = await Server.start_on(far.name)
        waiting = [send_request(server.pid, "forget") for _ in range(50)]
        await asyncio.sleep(0.1)
        exit(server.pid, Kill())
        reasons = []
        for request in waiting:
            with pytest.raises(ServerExited) as ended:
                await request
            reasons.append(ended.value.reason)
        return reasons

    assert run(pair, main) == [Killed()] * 50


def test_gs_11_stop_with_a_reply_then_the_reply_and_then_down(pair: Simulation) -> None:
    async def main(far: Far) -> Any:
        server = await Server.start_on(far.name)
        ref = monitor(server.pid)
        answer = await call(server.pid, "stop")
        return answer, await receive(timeout_s=1.0) == Down(ref, server.pid, "asked")

    assert run(pair, main) == ("stopping", True)


def test_gs_refusal_unknown_method_and_unsendable_reply_leave_the_server_alone(pair: Simulation) -> None:
    async def main(far: Far) -> Any:
        server = await Server.start_on(far.name)
        with pytest.raises(CallRefused, match="ValueError: not now"):
            await call(server.pid, "refuse")
        with pytest.raises(EncodeError):
            await call(server.pid, "object")
        with pytest.raises(NoSuchMethod):
            await _Wider.at(server.pid).triple(1)
        with pytest.raises(EncodeError):
            await call(server.pid, object())
        return await call(server.pid, 1)

    assert run(pair, main) == ("did", 1)


class _Wider(GenServer):
    @call
    def triple(self, number: int) -> int:
        return 3 * number


def test_gs_17_stop_a_server_away(pair: Simulation) -> None:
    async def main(far: Far) -> Any:
        server = await Server.start_on(far.name, name="server")
        await stop(("server", far.name), "reason")
        with pytest.raises(NoProcessError):
            await stop(server.pid)
        return far.is_alive(server.pid)

    assert run(pair, main) is False


def test_gs_node_lost_during_a_call_then_no_connection(pair: Simulation) -> None:
    async def main(far: Far) -> Any:
        server = await Server.start_on(far.name)
        asking = send_request(server.pid, ("later", 60.0))
        await asyncio.sleep(0.1)
        pair.crash("b")
        with pytest.raises(NoConnectionError) as lost:
            await asking
        return lost.value.node == far.name

    assert run(pair, main)


def test_gs_requests_to_servers_of_both_nodes_in_one_collection(pair: Simulation) -> None:
    async def main(far: Far) -> Any:
        here, there = await Server.start(), await Server.start_on(far.name)
        requests = Requests()
        for label, server in (("here", here), ("there", there)):
            for delay_s in (0.3, 0.1):
                requests.add(send_request(server.pid, ("later", delay_s), label=(label, delay_s)))
        received = [await requests.receive(5.0) for _ in range(4)]
        return {label for label, _ in received[:2]}, {label for label, _ in received[2:]}

    first, last = run(pair, main)
    assert first == {("here", 0.1), ("there", 0.1)} and last == {("here", 0.3), ("there", 0.3)}


# --- servers started there


def test_start_on_then_a_server_of_that_node(pair: Simulation) -> None:
    async def main(far: Far) -> Any:
        server = await Server.start_on(far.name, mode="trap", name="server", timeout_s=1.0)
        assert server.pid.node == far.name and far.info(server.pid)["names"] == ["server"]
        with pytest.raises(AlreadyStarted) as taken:
            await Server.start_on(far.name, name="server")
        return taken.value.pid == server.pid

    assert run(pair, main)


def test_start_on_that_fails_then_as_it_fails_here(pair: Simulation) -> None:
    """GS-02 across nodes: and the name is free again."""

    async def main(far: Far) -> Any:
        reasons = []
        for mode in ("crash", "stop"):
            with pytest.raises(StartFailed) as failed:
                await Server.start_on(far.name, mode, name="server")
            reasons.append(failed.value.reason)
        assert (await Server.start_on(far.name, name="server")).pid.node == far.name
        return reasons

    crashed, stopped = run(pair, main)
    assert same(Crashed("ValueError", "no"))(crashed) and stopped == "unwilling"


def test_start_on_of_an_unknown_class_or_node(pair: Simulation) -> None:
    async def main(far: Far) -> Any:
        with pytest.raises(NoConnectionError):
            await Server.start_on(UNREACHABLE)
        hidden = type("Hidden", (Server,), {"__module__": "elsewhere"})
        hidden.__module__ = "not.imported.there"
        with pytest.raises(NotExported) as refused:
            await hidden.start_on(far.name)
        return refused.value.function

    assert run(pair, main) == "not.imported.there:Hidden"


# --- SYS and inspection


def test_sys_of_a_server_away(pair: Simulation) -> None:
    """SYS-01, SYS-02, and new code by its name."""

    async def main(far: Far) -> Any:
        server = await Server.start_on(far.name, name="server")
        dest = ("server", far.name)
        assert (await sys.get_state(dest))["told"] == []
        await sys.suspend(dest)
        with pytest.raises(CallTimeout):
            await call(dest, 1, 0.1)
        assert (await sys.get_status(dest)).status == "suspended"
        await sys.change_code(dest, f"{Other.__module__}:{Other.__qualname__}", 1, "extra")
        await sys.resume(dest)
        with pytest.raises(EncodeError):
            await sys.replace_state(dest, lambda state: state)
        await sys.statistics(dest)
        await call(dest, 1)
        statistics = await sys.get_statistics(dest)
        assert statistics is not None and statistics.messages_in == 1
        return (await sys.get_status(server.pid)).server, await call(dest, "told")

    server, told = run(pair, main)
    assert server.endswith(":Other") and told == [("changed", 1, "extra")]


def test_inspect_a_process_away(pair: Simulation) -> None:
    pair.spawn("b", inspect.serve)

    async def main(far: Far) -> Any:
        server = await Server.start_on(far.name, name="server")
        link(server.pid)
        monitor(server.pid)
        await asyncio.sleep(0.1)
        seen = await inspect.at(far.name).process(server.pid)
        assert seen is not None
        return seen.names, seen.label, seen.links == (this_process(),), seen.watchers == (this_process(),)

    assert run(pair, main) == (("server",), "Server", True, True)
