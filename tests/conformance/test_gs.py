"""GS: GenServer. One test per case of the behaviour list, named after it; in virtual time."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

import zmqcluster as zc
from tests.support.running import arriving, end_of, forever, now_ms, run, run_real
from zmqcluster.otp import sys


class Scripted(zc.GenServer):
    """Its init runs what it was given; it tells its owner what its callbacks get."""

    def init(self, owner: zc.Pid, script: Callable[[], Any] = lambda: None, traps: bool = False) -> Any:
        self.owner = owner
        zc.trap_exits(traps)
        return script()

    async def handle_call(self, request: Any, caller: zc.Call) -> Any:
        match request:
            case ("sleep", seconds):
                await asyncio.sleep(seconds)
                return "slept"
            case ("return", control):
                return control
            case ("later", seconds):
                zc.spawn(answer_later, caller, seconds)
                return zc.NoReply()
            case ("raise", error):
                raise error
        return request

    def handle_cast(self, request: Any) -> Any:
        zc.send(self.owner, ("cast", request))
        return request if isinstance(request, zc.NoReply) else None

    def handle_info(self, message: Any) -> Any:
        zc.send(self.owner, ("info", message))
        return message if isinstance(message, zc.NoReply) else None

    def terminate(self, reason: Any) -> None:
        zc.send(self.owner, ("terminate", reason))


class Bare(zc.GenServer):
    """Nothing of its own."""


async def answer_later(caller: zc.Call, seconds: float) -> None:
    await asyncio.sleep(seconds)
    zc.reply(caller, "first")
    zc.reply(caller, "second")


def fail() -> None:
    raise ValueError("no luck")


def never_called() -> None:
    raise AssertionError("init was run")


# --- start


@pytest.mark.parametrize("link", [True, False])
def test_GS_01_start_returns_after_init_and_only_start_link_links(link: bool) -> None:
    """Source: gen_server_SUITE:start."""

    class Slow(zc.GenServer):
        async def init(self) -> None:
            await asyncio.sleep(0.3)

    async def main() -> None:
        server = await (Slow.start_link() if link else Slow.start())
        assert now_ms() == pytest.approx(300)
        info = zc.process_info(server.pid)
        assert info is not None
        assert info["links"] == ([zc.self()] if link else [])
        assert info["parent"] == (zc.self() if link else None)

    run(main)


FAILURES: list[tuple[str, Callable[[], Any], Any]] = [
    ("ignore", zc.Ignore, "ignore"),
    ("stop", lambda: zc.Stop("no"), "no"),
    ("garbage", lambda: "garbage", zc.BadReturn("init", "'garbage'")),
]


@pytest.mark.parametrize(("what", "script", "reason"), FAILURES)
@pytest.mark.parametrize("link", [True, False])
def test_GS_02_failed_init_is_told_and_its_name_is_free(
    what: str, script: Callable[[], Any], reason: Any, link: bool
) -> None:
    """Source: gen_server_SUITE:otp_7669, 100 repeats; and nothing is left in the mailbox of a starter that traps."""

    async def main() -> None:
        zc.trap_exits(True)
        start = Scripted.start_link if link else Scripted.start
        for _ in range(100):
            with pytest.raises(zc.StartFailed) as caught:
                await start(zc.self(), script, name="server")
            assert caught.value.reason == reason
            assert zc.whereis("server") is None
            zc.register("server")
            zc.unregister("server")
        assert await arriving() == []

    run(main)


def test_GS_02_init_that_raises_is_told_with_its_exception(caplog: pytest.LogCaptureFixture) -> None:
    """Source: gen_server_SUITE:start; error -> {E, stack}."""

    async def main() -> None:
        with pytest.raises(zc.StartFailed) as caught:
            await Scripted.start(zc.self(), fail, name="server")
        assert isinstance(caught.value.reason, zc.Crashed)
        assert (caught.value.reason.kind, caught.value.reason.text) == ("ValueError", "no luck")
        assert isinstance(caught.value.__cause__, ValueError)
        zc.register("server")
        assert await arriving() == []

    run(main)
    assert [record.name for record in caplog.records] == ["zmqcluster.gen_server"]


@pytest.mark.parametrize("link", [True, False])
def test_GS_04_start_that_takes_too_long_fails_in_time_and_leaves_nothing(
    link: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Source: gen_server_SUITE:start."""
    pids: list[zc.Pid] = []

    class Slow(zc.GenServer):
        async def init(self) -> None:
            pids.append(zc.self())
            zc.trap_exits(True)
            await asyncio.sleep(0.3)

    async def main() -> None:
        zc.trap_exits(True)
        with pytest.raises(zc.StartFailed) as caught:
            await (Slow.start_link if link else Slow.start)(name="slow", timeout_s=0.05)
        assert caught.value.reason == zc.TimedOut("init")
        assert now_ms() == pytest.approx(50, abs=1)
        assert not zc.is_alive(pids[0])
        zc.register("slow")
        assert await arriving(1) == []

    run(main)
    assert caplog.records == []


def test_GS_05_start_with_a_taken_name_names_the_holder_and_runs_no_init() -> None:
    """Source: gen_server_SUITE:start."""

    async def main() -> None:
        zc.trap_exits(True)
        server = await Scripted.start(zc.self(), name="server")
        for start in (Scripted.start, Scripted.start_link):
            with pytest.raises(zc.AlreadyStarted) as caught:
                await start(zc.self(), never_called, name="server")
            assert caught.value.pid == server.pid
        assert await arriving() == []

    run(main)


# --- calls


def test_GS_07_call_that_times_out_fails_in_the_caller_only_and_its_reply_vanishes() -> None:
    """Source: seen on OTP 25."""

    async def main() -> None:
        server = await Scripted.start(zc.self())
        with pytest.raises(zc.CallTimeout) as caught:
            await zc.call(server, ("sleep", 0.1), timeout_s=0.02)
        assert (caught.value.server, caught.value.timeout_s) == (server, 0.02)
        assert now_ms() == pytest.approx(20, abs=1)
        assert await arriving(1) == []
        assert await zc.call(server, "still there") == "still there"

    run(main)


def test_GS_08_call_to_nobody_and_to_oneself_fails_at_once_and_cast_to_nobody_does_not() -> None:
    """Source: gen_server_test call/3 exit messages."""

    class Narcissus(zc.GenServer):
        def init(self) -> None: ...

        async def handle_call(self, request: Any, caller: zc.Call) -> Any:
            with pytest.raises(zc.CallingSelf):
                await zc.call(zc.self(), request)
            return "alone"

    async def main() -> None:
        server = await Narcissus.start()
        assert await zc.call(server, "me") == "alone"
        await zc.stop(server)
        for dest in (server, server.pid, "nobody", ("nobody", "nonode@nohost")):
            with pytest.raises(zc.NoProcessError):
                await zc.call(dest, "x")
            zc.cast(dest, "x")
        assert now_ms() == 0

    run(main)


def test_GS_10_reply_from_another_process_reaches_the_caller_while_others_are_served() -> None:
    """Source: gen_server:reply/2, seen on OTP 25."""

    async def main() -> None:
        server = await Scripted.start(zc.self())
        first = asyncio.ensure_future(zc.call(server, ("later", 0.1)))
        assert await zc.call(server, "meanwhile") == "meanwhile"
        assert now_ms() == 0
        assert await first == "first"
        assert now_ms() == pytest.approx(100)

    run(main)


def test_GS_11_stop_with_a_reply_terminates_first_and_then_replies() -> None:
    """Source: seen on OTP 25."""
    order: list[str] = []

    class Noting(Scripted):
        async def terminate(self, reason: Any) -> None:  # type: ignore[override]
            await asyncio.sleep(0.1)
            order.append("terminated")

    async def main() -> None:
        server = await Noting.start(zc.self())
        ref = zc.monitor(server)
        reply = await zc.call(server, ("return", zc.Stop(zc.Normal(), reply="bye")))
        order.append(reply)
        assert order == ["terminated", "bye"]
        assert await arriving() == [zc.Down(ref, server.pid, zc.Normal())]

    run(main)


def test_GS_11_stop_without_a_reply_fails_the_caller_with_the_reason() -> None:
    """Source: seen on OTP 25."""

    async def main() -> None:
        server = await Scripted.start(zc.self())
        with pytest.raises(zc.ServerExited) as caught:
            await zc.call(server, ("return", zc.Stop(zc.Shutdown("enough"))))
        assert caught.value.reason == zc.Shutdown("enough")

    run(main)


def test_GS_25_second_reply_is_dropped_and_never_answers_a_later_call() -> None:
    """Source: seen on OTP 25, where the second may stay as a stray message; here it does not."""

    async def main() -> None:
        server = await Scripted.start(zc.self())
        assert await zc.call(server, ("later", 0.1)) == "first"
        assert await zc.call(server, "next") == "next"
        assert await arriving(1) == []

    run(main)


def test_GS_25_second_reply_is_reported_and_one_that_is_merely_late_is_not(caplog: pytest.LogCaptureFixture) -> None:
    """Ours: the mistake is shown to who made it, and the server goes on."""
    told: list[Any] = []

    async def main() -> None:
        server = await Scripted.start(zc.self())
        zc.telemetry.attach("test", "zmqcluster.call.replied_twice", lambda name, fields: told.append(fields["value"]))
        with pytest.raises(zc.CallTimeout):
            await zc.call(server, ("later", 0.1), timeout_s=0.05)
        await arriving(1)
        assert (told, caplog.records) == ([], [])
        await zc.call(server, ("later", 0.1))
        await arriving(1)

    try:
        run(main)
    finally:
        zc.telemetry.detach("test", "zmqcluster.call.replied_twice")
    assert told == ["second"]
    assert [record.getMessage() for record in caplog.records] == [
        "dropped a second reply to Call(('later', 0.1)): 'second'"
    ]


class Till(zc.GenServer):
    """Typed calls that are answered later."""

    def init(self) -> None:
        self.waiting: dict[int, zc.Call] = {}

    @zc.call
    def order(self, number: int) -> str | zc.NoReply:
        self.waiting[number] = zc.caller()
        return zc.NoReply()

    @zc.call
    async def order_slowly(self, number: int) -> str | zc.NoReply:
        await asyncio.sleep(0.01)
        self.waiting[number] = zc.caller()
        return zc.NoReply()

    @zc.call
    def order_and_go_on(self, number: int) -> str | zc.Continue:
        return zc.Continue(number)

    def handle_continue(self, value: int) -> None:
        self.waiting[value] = zc.caller()

    @zc.cast
    def paid(self, number: int) -> None:
        zc.reply(self.waiting.pop(number), f"order {number}")

    def handle_call(self, request: Any, caller: zc.Call) -> zc.NoReply:
        assert caller is zc.caller()
        return zc.NoReply()

    def handle_info(self, message: Any) -> None:
        with pytest.raises(zc.UsageError, match="for the handler of a call"):
            zc.caller()
        zc.send(message, "no caller")


@pytest.mark.parametrize("method", ["order", "order_slowly", "order_and_go_on"])
def test_GS_10_typed_call_is_answered_later_through_its_caller(method: str) -> None:
    """Source: gen_server's From; ours for typed methods is ``caller()``."""

    async def orders(till: Till, number: int, owner: zc.Pid) -> None:
        zc.send(owner, await getattr(till, method)(number))

    async def main() -> None:
        till = await Till.start()
        for number in (1, 2):
            zc.spawn(orders, till, number, zc.self())
        assert await arriving(0.1) == []
        till.paid(2)
        till.paid(1)
        assert await arriving(0.1) == ["order 2", "order 1"]
        zc.send(till, zc.self())
        assert await zc.receive() == "no caller"

    run(main)


def test_GS_10_callers_end_or_the_servers_while_a_typed_call_waits() -> None:
    """A held call fails with its server; a reply to a caller that ended vanishes."""

    async def main() -> None:
        till = await Till.start()
        asking = zc.spawn(till_order, till)
        await arriving(0.01)
        zc.exit(asking, zc.Kill())
        till.paid(1)
        waiting = zc.send_request(till, "handle", label="held")
        await arriving(0.01)
        await zc.stop(till, zc.Shutdown("closed"))
        with pytest.raises(zc.ServerExited) as ended:
            await waiting
        assert ended.value.reason == zc.Shutdown("closed")

    run(main)


async def till_order(till: Till) -> str:
    return await till.order(1)


def test_caller_where_no_call_is_handled_then_it_says_so() -> None:
    class Kid(zc.GenServer):
        def init(self) -> None:
            zc.caller()

    async def main() -> None:
        for what in (zc.caller, Kid.start):
            with pytest.raises((zc.UsageError, zc.StartFailed)) as caught:
                result: Any = what()
                await result
            assert "for the handler of a call" in str(caught.value)
        workers = await zc.DynamicSupervisor.start()
        with pytest.raises(zc.StartFailed, match="for the handler of a call"):
            await workers.start_child(Kid)  # its init runs inside the handler of the supervisor's call

    run(main)


@pytest.mark.parametrize("wrong", [-1, -0.001, float("nan")])
def test_GS_13_negative_timeout_of_a_handler_is_refused_where_it_is_made(wrong: float) -> None:
    with pytest.raises(zc.ConfigError, match="timeout is None or a number of seconds of at least 0"):
        zc.Reply(1, timeout_s=wrong)
    with pytest.raises(zc.ConfigError, match="timeout is None or a number of seconds of at least 0"):
        zc.NoReply(timeout_s=wrong)


# --- time-outs between messages


def test_GS_13_timeout_asked_for_is_told_when_no_message_comes() -> None:
    """Source: gen_server callback results; the case list."""

    async def main() -> None:
        server = await Scripted.start(zc.self())
        zc.cast(server, zc.NoReply(timeout_s=0.03))
        await zc.receive()
        began_ms = now_ms()
        assert await zc.receive() == ("info", zc.TIMEOUT)
        assert 30 <= now_ms() - began_ms <= 31
        assert await arriving(1) == []

    run(main)


def test_GS_13_any_message_cancels_the_timeout_for_good() -> None:
    """Source: seen on OTP 25."""

    async def main() -> None:
        server = await Scripted.start(zc.self())
        assert await zc.call(server, ("return", zc.Reply("armed", timeout_s=0.03))) == "armed"
        assert await arriving(0.02) == []
        assert await zc.call(server, "disturbs") == "disturbs"
        assert await arriving(1) == []

    run(main)


def test_GS_13_init_may_ask_for_a_timeout_too() -> None:
    """Source: gen_server:init/1 -> {ok, State, Timeout}."""

    async def main() -> None:
        await Scripted.start(zc.self(), lambda: zc.NoReply(timeout_s=0.03))
        assert await zc.receive() == ("info", zc.TIMEOUT)
        assert now_ms() == pytest.approx(30, abs=1)

    run(main)


def test_GS_14_timeout_0_loses_against_a_queued_message_and_wins_against_none() -> None:
    """Source: seen on OTP 25."""

    async def main() -> None:
        server = await Scripted.start(zc.self())
        zc.cast(server, zc.NoReply(timeout_s=0))
        zc.cast(server, "queued")
        assert [message[1] for message in (await arriving())[1:]] == ["queued"]
        zc.cast(server, zc.NoReply(timeout_s=0))
        assert [message[1] for message in (await arriving())[1:]] == [zc.TIMEOUT]

    run(main)


@pytest.mark.parametrize("timeout_s", [0, 0.03])
def test_GS_14_system_message_starts_the_same_timeout_again(timeout_s: float) -> None:
    """Source: seen on OTP 25; elixir#5950."""

    async def main() -> None:
        server = await Scripted.start(zc.self())
        zc.cast(server, zc.NoReply(timeout_s=timeout_s))
        asked = zc.node().scheduler.call(server, (), None, "$get_state")  # queued right behind it
        assert (await zc.receive())[0] == "cast"
        assert (await asked)["owner"] == zc.self()
        if timeout_s:
            assert await arriving(0.02) == []
            await sys.get_state(server)
            assert await arriving(0.02) == []
        assert await zc.receive() == ("info", zc.TIMEOUT)
        assert now_ms() == pytest.approx(50 if timeout_s else 0, abs=1.1)
        assert await arriving(1) == []

    run(main)


# --- the end


@pytest.mark.parametrize("traps", [False, True])
def test_GS_16_end_of_the_parent_calls_terminate_only_when_the_server_traps_exits(traps: bool) -> None:
    """Source: gen_server:decode_msg; seen on OTP 25 for a server that does not trap."""

    async def parent(owner: zc.Pid) -> None:
        server = await Scripted.start_link(owner, traps=traps)
        zc.send(owner, server.pid)
        await forever()

    async def main() -> None:
        parent_pid = zc.spawn(parent, zc.self())
        server_pid = await zc.receive(zc.Pid)
        ref = zc.monitor(server_pid)
        zc.exit(parent_pid, zc.Shutdown())
        terminated = [("terminate", zc.Shutdown())] if traps else []
        assert await arriving() == [*terminated, zc.Down(ref, server_pid, zc.Shutdown())]

    run(main)


def test_GS_16_exit_of_another_link_goes_to_handle_info_when_the_server_traps() -> None:
    """Source: gen_server:decode_msg."""

    class Linked(Scripted):
        def handle_call(self, request: Any, caller: zc.Call) -> Any:
            zc.link(request)

    async def main() -> None:
        server = await Linked.start_link(zc.self(), traps=True)
        other = zc.spawn(forever)
        await zc.call(server, other)
        zc.exit(other, "bang")
        assert await arriving() == [("info", zc.Exit(other, "bang"))]
        assert zc.is_alive(server.pid)

    run(main)


def test_GS_17_stop_runs_terminate_and_returns_when_the_server_is_dead() -> None:
    """Source: gen_server_SUITE:stop1-10."""

    async def main() -> None:
        server = await Scripted.start(zc.self(), name="server")
        ref = zc.monitor(server)
        await zc.stop(server, zc.Shutdown("over"), timeout_s=1)
        assert zc.whereis("server") is None
        assert await arriving(0) == [
            ("terminate", zc.Shutdown("over")),
            zc.Down(ref, server.pid, zc.Shutdown("over")),
        ]
        with pytest.raises(zc.NoProcessError):
            await zc.stop(server)
        with pytest.raises(zc.NoProcessError):
            await zc.stop("server")

    run(main)


def test_GS_17_stop_of_oneself_and_with_a_bad_timeout_fails_and_the_server_stays() -> None:
    """Source: gen_server_SUITE:stop1-10."""

    class Suicidal(zc.GenServer):
        def init(self) -> None: ...

        async def handle_call(self, request: Any, caller: zc.Call) -> Any:
            with pytest.raises(zc.CallingSelf):
                await zc.stop(zc.self())
            return "alive"

    async def main() -> None:
        server = await Suicidal.start()
        assert await zc.call(server, "stop yourself") == "alive"
        for bad in (-1, "soon", float("nan")):
            with pytest.raises((zc.ConfigError, TypeError)):
                await zc.stop(server, timeout_s=bad)  # type: ignore[arg-type]
        assert await zc.call(server, "again") == "alive"

    run(main)


def test_GS_17_stop_that_takes_too_long_times_out_and_the_server_ends_later() -> None:
    """Source: gen_server_SUITE:stop."""

    async def main() -> None:
        server = await Scripted.start(zc.self())
        busy = asyncio.ensure_future(zc.call(server, ("sleep", 0.1)))
        await arriving(0.001)
        with pytest.raises(zc.CallTimeout):
            await zc.stop(server, timeout_s=0.05)
        assert zc.is_alive(server.pid)
        assert await busy == "slept"
        assert await end_of(server.pid) == zc.Normal()

    run(main)


def test_GS_17_stop_whose_terminate_fails_tells_the_real_reason(caplog: pytest.LogCaptureFixture) -> None:
    """Source: proc_lib:stop/3 fails with the reason the process ended with."""

    class Fails(zc.GenServer):
        def init(self) -> None: ...

        def terminate(self, reason: Any) -> None:
            raise ValueError("no")

    async def main() -> None:
        server = await Fails.start()
        with pytest.raises(zc.ServerExited) as caught:
            await zc.stop(server)
        assert caught.value.reason.kind == "ValueError"

    run(main)
    assert len(caplog.records) == 1


# --- what is not there


def test_GS_19_unknown_message_is_logged_and_dropped_and_the_server_lives(caplog: pytest.LogCaptureFixture) -> None:
    """Source: gen_server_SUITE:undef_handle_info."""

    async def main() -> None:
        server = await Bare.start()
        zc.send(server, "what is this")
        assert await arriving() == []
        assert zc.is_alive(server.pid)

    run(main)
    assert [(record.levelno, "what is this" in record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, True)
    ]


@pytest.mark.parametrize("kind", ["call", "cast"])
def test_GS_19_undefined_handle_call_or_handle_cast_ends_the_server(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Source: gen_server_SUITE:undef_handle_call, undef_handle_cast."""

    async def main() -> None:
        server = await Bare.start()
        ref = zc.monitor(server)
        if kind == "call":
            with pytest.raises(zc.ServerExited) as caught:
                await zc.call(server, "x")
            assert caught.value.reason.kind == "UsageError"
        else:
            zc.cast(server, "x")
        (down,) = await arriving()
        assert down.ref == ref
        assert f"has no handle_{kind}" in down.reason.text

    run(main)
    assert len(caplog.records) == 1


@pytest.mark.cluster
def test_GS_22_cast_to_a_node_that_accepts_and_never_answers_returns_at_once() -> None:
    """Source: gen_server_SUITE:cast_fast: less than a second, whatever the handshake does."""

    async def main(port: int) -> None:
        began_s = time.monotonic()
        for number in range(100):
            zc.cast(("server", f"mute@127.0.0.1:{port}"), number)
        assert time.monotonic() - began_s < 0.5

    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        with socket.create_server(("127.0.0.1", 0)) as probe:
            own_port = probe.getsockname()[1]
        run_real(main, port, name=f"fast@127.0.0.1:{own_port}", cookie="secret")


def test_GS_23_hibernated_server_is_shown_so_and_answers_the_next_message() -> None:
    """Source: gen_server_SUITE:hibernate; asked for with a call of ``hibernate`` in the handler."""

    class Sleepy(Scripted):
        def handle_call(self, request: Any, caller: zc.Call) -> Any:
            if request == "hibernate":
                zc.hibernate()
            return request

    async def main() -> None:
        server = await Sleepy.start(zc.self())
        seen = []
        for request in ("hibernate", "wake", "hibernate"):
            assert await zc.call(server, request) == request
            await arriving(0.01)
            info = zc.process_info(server.pid)
            assert info is not None
            seen.append(info["status"])
        assert seen == ["hibernated", "waiting", "hibernated"]

    run(main)


class Dozing(zc.GenServer):
    """Hibernates after half a second without a message."""

    hibernate_after_s = 0.5

    def init(self) -> None:
        self.told: list[Any] = []

    @zc.call
    def work(self) -> int:
        return 1

    @zc.call
    async def work_slowly(self) -> int:
        await asyncio.sleep(1)
        return 2

    @zc.call
    def expect(self) -> int | zc.Reply:
        return zc.Reply(3, timeout_s=2)

    def handle_info(self, message: Any) -> None:
        self.told.append(message)


def status(server: zc.GenServer) -> str:
    info = zc.process_info(server.pid)
    assert info is not None
    return str(info["status"])


async def start_dozing() -> Dozing:
    return await Dozing.start(name="dozing")


async def start_dozing_child() -> Dozing:
    supervisor = await zc.DynamicSupervisor.start()
    return Dozing.at(await supervisor.start_child(Dozing))


@pytest.mark.parametrize("start", [start_dozing, start_dozing_child])
def test_GS_23_hibernate_after_when_no_message_came_for_so_long(start: Callable[[], Any]) -> None:
    """Source: gen_server_SUITE:auto_hibernate."""

    async def main() -> None:
        server = await start()
        for work in (None, server.work, server.work_slowly):
            if work is not None:
                await work()
            await asyncio.sleep(0.45)
            assert status(server) == "waiting"
            await asyncio.sleep(0.1)
            assert status(server) == "hibernated"
        await zc.sys.get_state(server)  # a system message wakes it too
        assert status(server) == "waiting"
        await asyncio.sleep(0.55)
        assert status(server) == "hibernated"

    run(main)


def test_GS_23_hibernate_after_gives_way_to_a_handlers_timeout_and_to_a_suspension() -> None:
    """Source: gen_server:loop/7: the time of a callback comes before the option."""

    async def main() -> None:
        server = await Dozing.start()
        await server.expect()
        await asyncio.sleep(1.95)
        assert status(server) == "waiting"
        await asyncio.sleep(0.1)
        assert (await zc.sys.get_state(server))["told"] == [zc.TIMEOUT]
        await asyncio.sleep(0.55)
        assert status(server) == "hibernated"
        await zc.sys.suspend(server)
        await asyncio.sleep(1)
        assert status(server) == "suspended"
        await zc.sys.resume(server)
        await asyncio.sleep(0.55)
        assert status(server) == "hibernated"

    run(main)


def test_GS_23_hibernated_server_takes_less_memory_and_one_with_a_queued_message_goes_on() -> None:
    """Source: erlang:hibernate/3: with a message in its mailbox a process wakes at once."""

    class Queued(Dozing):
        def handle_cast(self, request: Any) -> None:
            if request == "hibernate":
                zc.cast(zc.self(), "one more")
                zc.hibernate()

    async def main() -> None:
        server = await Queued.start()
        zc.cast(server, "hibernate")
        await asyncio.sleep(0.1)
        assert status(server) == "waiting"
        awake = zc.process_info(server.pid)
        await asyncio.sleep(0.5)
        asleep = zc.process_info(server.pid)
        assert awake is not None and asleep is not None
        assert asleep["memory"] < awake["memory"]

    run(main)


@pytest.mark.parametrize("wrong", [-1, "1", True, float("nan")])
def test_GS_23_hibernate_after_that_is_no_time_is_refused_at_the_start(wrong: Any) -> None:
    class Wrong(zc.GenServer):
        hibernate_after_s = wrong

    async def main() -> None:
        with pytest.raises(zc.ConfigError, match="hibernate_after_s is None or at least 0"):
            await Wrong.start(name="wrong")
        assert zc.whereis("wrong") is None

    run(main)


def test_GS_23_plain_process_that_hibernates_is_shown_so_until_its_next_message() -> None:
    """Source: erlang:hibernate/3."""

    async def dozes() -> None:
        zc.hibernate()
        await zc.receive()
        await zc.receive()

    async def main() -> None:
        pid = zc.spawn(dozes)
        await arriving(0.01)
        seen = []
        for _ in range(2):
            info = zc.process_info(pid)
            assert info is not None
            seen.append(info["status"])
            zc.send(pid, "wake")
            await arriving(0.01)
        assert seen == ["hibernated", "waiting"]

    run(main)


# --- beyond the list: what the cases leave out


def test_exit_of_oneself_in_a_handler_ends_the_server_without_terminate_and_fails_the_caller() -> None:
    """Source: an exit signal of oneself is a signal; terminate runs for exceptions. EXIT-08 for servers."""

    class Ends(Scripted):
        def handle_call(self, request: Any, caller: zc.Call) -> Any:
            try:
                zc.exit(zc.self(), "die")
            except BaseException:  # what the case is about
                return "survived"

    async def main() -> None:
        server = await Ends.start(zc.self())
        with pytest.raises(zc.ServerExited) as caught:
            await zc.call(server, "x")
        assert caught.value.reason == "die"
        assert await arriving() == []

    run(main)


def test_continue_runs_before_anything_in_the_mailbox() -> None:
    """Source: gen_server handle_continue/2, seen on OTP 25."""
    order: list[Any] = []

    class Continues(zc.GenServer):
        def init(self) -> zc.Continue:
            zc.cast(zc.self(), "queued")
            return zc.Continue("first")

        async def handle_continue(self, value: Any) -> zc.Continue | None:
            order.append(value)
            await asyncio.sleep(0)
            return zc.Continue("second") if value == "first" else None

        def handle_cast(self, request: Any) -> None:
            order.append(request)

    async def main() -> None:
        await Continues.start()
        await arriving()
        assert order == ["first", "second", "queued"]

    run(main)
