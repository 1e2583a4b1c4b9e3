"""SUP: supervisors. One test per case of the behaviour list, named after it; in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest

import zmqcluster as zc
from tests.support.running import arriving, end_of, forever, now_ms, run
from zmqcluster.otp.children import ChildInfo

EVENTS: list[str] = []


@pytest.fixture(autouse=True)
def events() -> Iterator[list[str]]:
    """What the children did, in order."""
    EVENTS.clear()
    yield EVENTS


class Child(zc.GenServer):
    """Tells when it starts and stops; starts and stops slowly, so that two at a time would show."""

    async def init(self, id: str) -> None:
        zc.trap_exits(True)
        self.id = id
        EVENTS.append(f"+{self.id}")
        await asyncio.sleep(0.01)
        EVENTS.append(f"{self.id} is up")

    def handle_cast(self, request: Any) -> Any:
        return zc.Stop(request)

    async def terminate(self, reason: Any) -> None:
        EVENTS.append(f"-{self.id}")
        await asyncio.sleep(0.01)
        EVENTS.append(f"{self.id} is down")


class Plain(zc.GenServer):
    """A child that does nothing and does not trap exits."""

    def init(self) -> None: ...

    def handle_cast(self, request: Any) -> Any:
        return zc.Stop(request)


class Fails(zc.GenServer):
    """Its init fails."""

    def init(self) -> zc.Stop:
        return zc.Stop("broken")


class Ignores(zc.GenServer):
    """Its init says that it is not needed."""

    def init(self) -> zc.Ignore:
        return zc.Ignore()


def child(id: str, **options: Any) -> zc.ChildSpec:
    return zc.ChildSpec(id, Child, (id,), **options)


def plain(id: str, **options: Any) -> zc.ChildSpec:
    return zc.ChildSpec(id, Plain, **options)


async def pids_of(supervisor: zc.Supervisor) -> dict[str, Any]:
    return {info.id: info.pid for info in await supervisor.which_children()}


async def crash(supervisor: zc.Supervisor, id: str, reason: Any = "bang") -> None:
    """End a child, and let the supervisor see to it."""
    pid = (await pids_of(supervisor))[id]
    assert pid is not None
    EVENTS.clear()
    zc.cast(pid, reason)
    await arriving(1)


def starts_and_stops() -> list[str]:
    return [event for event in EVENTS if event[0] in "+-"]


# --- start and stop


def test_SUP_01_children_start_in_order_and_stop_in_reverse_one_at_a_time() -> None:
    """Source: supervisor_SUITE:order_of_children."""

    async def main() -> None:
        supervisor = await zc.Supervisor.start([child("a"), child("b"), child("c")])
        assert EVENTS == ["+a", "a is up", "+b", "b is up", "+c", "c is up"]
        EVENTS.clear()
        await zc.stop(supervisor, zc.Shutdown())
        assert EVENTS == ["-c", "c is down", "-b", "b is down", "-a", "a is down"]

    run(main)


def test_SUP_02_defaults_of_a_child_spec_and_of_a_supervisor() -> None:
    """Source: supervisor_SUITE:sup_start_map; Elixir supervisor_test init/2."""
    worker, tree = zc.ChildSpec("w", Plain), zc.ChildSpec("s", zc.Supervisor)
    assert (worker.restart, worker.shutdown_s, worker.kind) == ("permanent", 5.0, "worker")
    assert (tree.restart, tree.shutdown_s, tree.kind) == ("permanent", None, "supervisor")
    assert (zc.Supervisor.max_restarts, zc.Supervisor.max_seconds) == (3, 5.0)
    assert (zc.Supervisor.strategy, zc.Supervisor.auto_shutdown) == ("one_for_one", "never")


# --- strategies


def test_one_for_one_when_b_dies_then_only_b_is_started() -> None:
    """Source: supervisor, seen on OTP 25."""

    async def main() -> None:
        supervisor = await zc.Supervisor.start([child("a"), child("b"), child("c")])
        before = await pids_of(supervisor)
        await crash(supervisor, "b")
        after = await pids_of(supervisor)
        assert starts_and_stops() == ["-b", "+b"]
        assert [id for id in before if before[id] != after[id]] == ["b"]

    run(main)


def test_SUP_04_one_for_all_stops_the_others_in_reverse_and_starts_all_in_order() -> None:
    """Source: seen on OTP 25."""

    async def main() -> None:
        supervisor = await zc.Supervisor.start([child("a"), child("b"), child("c")], strategy="one_for_all")
        await crash(supervisor, "b")
        assert starts_and_stops() == ["-b", "-c", "-a", "+a", "+b", "+c"]

    run(main)


def test_SUP_05_rest_for_one_stops_and_starts_those_after_it() -> None:
    """Source: seen on OTP 25."""

    async def main() -> None:
        supervisor = await zc.Supervisor.start([child("a"), child("b"), child("c")], strategy="rest_for_one")
        before = await pids_of(supervisor)
        await crash(supervisor, "b")
        assert starts_and_stops() == ["-b", "-c", "+b", "+c"]
        assert (await pids_of(supervisor))["a"] == before["a"]

    run(main)


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_SUP_07_temporary_sibling_is_stopped_and_forgotten(strategy: Any) -> None:
    """Source: supervisor_SUITE:temporary_bystander."""

    async def main() -> None:
        specs = [child("a"), child("t", restart="temporary")]
        supervisor = await zc.Supervisor.start(specs, strategy=strategy)
        await crash(supervisor, "a")
        assert starts_and_stops() == ["-a", "-t", "+a"]
        assert list(await pids_of(supervisor)) == ["a"]

    run(main)


def test_SUP_08_group_restart_also_starts_children_that_ended_normally_or_were_stopped() -> None:
    """Source: seen on OTP 25."""

    async def main() -> None:
        specs = [child("a", restart="transient"), child("b"), child("c")]
        supervisor = await zc.Supervisor.start(specs, strategy="one_for_all")
        await crash(supervisor, "a", zc.Normal())
        await supervisor.terminate_child("c")
        assert [pid is None for pid in (await pids_of(supervisor)).values()] == [True, False, True]
        await crash(supervisor, "b")
        assert starts_and_stops() == ["-b", "+a", "+b", "+c"]
        assert None not in (await pids_of(supervisor)).values()

    run(main)


RESTARTS = [
    ("permanent", zc.Normal(), True),
    ("permanent", "bang", True),
    ("transient", zc.Normal(), False),
    ("transient", zc.Shutdown(), False),
    ("transient", zc.Shutdown("detail"), False),
    ("transient", "bang", True),
    ("transient", zc.Killed(), True),
    ("temporary", zc.Normal(), False),
    ("temporary", "bang", False),
]


@pytest.mark.parametrize(("restart", "reason", "again"), RESTARTS)
def test_child_that_ends_is_started_again_by_its_restart_and_its_reason(restart: Any, reason: Any, again: bool) -> None:
    """Source: supervisor_SUITE:permanent_normal, transient_abnormal, temporary_normal and so on."""

    async def main() -> None:
        supervisor = await zc.Supervisor.start([plain("a", restart=restart)])
        pid = (await pids_of(supervisor))["a"]
        await crash(supervisor, "a", reason)
        after = await pids_of(supervisor)
        if again:
            assert after["a"] not in (None, pid)
        else:
            assert after == ({} if restart == "temporary" else {"a": None})

    run(main)


# --- limits


def test_more_deaths_than_max_restarts_in_the_window_end_the_supervisor_with_shutdown() -> None:
    """Source: supervisor_SUITE:permanent_shutdown; DSUP-05 for the default of 3 in 5 s: the fourth ends it."""

    async def main() -> None:
        supervisor = await zc.Supervisor.start([plain("a"), child("b")])
        ref = zc.monitor(supervisor)
        for _ in range(3):
            await crash(supervisor, "a")
        assert zc.is_alive(supervisor.pid)
        pid = (await pids_of(supervisor))["a"]
        assert pid is not None
        EVENTS.clear()
        zc.cast(pid, "bang")
        (down,) = await arriving()
        assert (down.ref, down.reason) == (ref, zc.Shutdown("reached_max_restart_intensity"))
        assert EVENTS == ["-b", "b is down"]

    run(main)


def test_deaths_outside_of_the_window_do_not_count() -> None:
    """Source: supervisor:in_period/3."""

    async def main() -> None:
        supervisor = await zc.Supervisor.start([plain("a")], max_restarts=1, max_seconds=0.5)
        for _ in range(10):
            await crash(supervisor, "a")  # a second each
        assert zc.is_alive(supervisor.pid)

    run(main)


def test_SUP_10_failed_restart_counts_and_is_tried_again_while_the_supervisor_answers() -> None:
    """Source: supervisor_SUITE:hanging_restart_loop."""
    lives = {"left": 1, "tries": 0}

    class Flaky(zc.GenServer):
        async def init(self) -> zc.Stop | None:
            lives["tries"] += 1
            await asyncio.sleep(0.01)
            lives["left"] -= 1
            return zc.Stop("no") if lives["left"] < 0 else None

        def handle_cast(self, request: Any) -> Any:
            return zc.Stop(request)

    async def main() -> None:
        supervisor = await zc.Supervisor.start([zc.ChildSpec("f", Flaky)], max_restarts=1000, max_seconds=1)
        pid = (await pids_of(supervisor))["f"]
        zc.cast(pid, "bang")
        await arriving(0.2)
        assert await supervisor.which_children() == [ChildInfo("f", None, "restarting", "worker")]
        assert lives["tries"] > 10
        with pytest.raises(zc.SupervisionError, match="restarting"):
            await supervisor.restart_child("f")
        with pytest.raises(zc.SupervisionError, match="restarting"):
            await supervisor.delete_child("f")
        await supervisor.terminate_child("f")
        tries = lives["tries"]
        await arriving(0.2)
        assert lives["tries"] == tries
        assert await supervisor.which_children() == [ChildInfo("f", None, "stopped", "worker")]
        lives["left"] = 1
        assert await supervisor.restart_child("f") == (await pids_of(supervisor))["f"]

    run(main)


@pytest.mark.parametrize("way", ["stop", "limit"])
def test_SUP_10_supervisor_ends_during_the_restart_loop_by_stop_or_by_its_limit(way: str) -> None:
    """Source: supervisor_SUITE:hanging_restart_loop: each try counts."""
    tries: list[float] = []

    class Flaky(zc.GenServer):
        async def init(self) -> zc.Stop | None:
            tries.append(now_ms())
            await asyncio.sleep(0.01)
            return zc.Stop("no") if len(tries) > 1 else None

        def handle_cast(self, request: Any) -> Any:
            return zc.Stop(request)

    async def main() -> None:
        supervisor = await zc.Supervisor.start([zc.ChildSpec("f", Flaky)], max_restarts=100, max_seconds=5)
        zc.cast((await pids_of(supervisor))["f"], "bang")
        if way == "stop":
            await arriving(0.1)
            await zc.stop(supervisor, zc.Shutdown(), timeout_s=0.1)
        else:
            assert await end_of(supervisor.pid) == zc.Shutdown("reached_max_restart_intensity")
            assert len(tries) == 1 + 100

    run(main)


def test_SUP_11_child_that_fails_at_the_first_start_stops_those_before_it_and_is_named() -> None:
    """Source: seen on OTP 25: {shutdown, {failed_to_start_child, Id, Reason}}."""

    async def main() -> None:
        zc.trap_exits(True)
        specs = [child("a"), child("b"), zc.ChildSpec("f", Fails), child("never")]
        with pytest.raises(zc.StartFailed) as caught:
            await zc.Supervisor.start_link(specs)
        assert caught.value.reason == zc.Shutdown(("failed_to_start_child", "f", "broken"))
        assert starts_and_stops() == ["+a", "+b", "-b", "-a"]
        assert await arriving() == []

    run(main)


# --- how children are stopped


class Stubborn(zc.GenServer):
    """Traps exits and does not end: each signal is noted, and terminate takes for ever."""

    def init(self) -> None:
        zc.trap_exits(True)

    async def terminate(self, reason: Any) -> None:
        EVENTS.append(f"told {reason!r}")
        await forever()


STUBBORN: list[tuple[float, list[str], float]] = [
    (0.05, ["told Shutdown(detail=None)"], 50),
    (0, [], 0),
]


class Hangs(zc.GenServer):
    """Its init does not return, while HANGING."""

    async def init(self) -> None:
        EVENTS.append("tries")
        if HANGING:
            await forever()


HANGING: list[bool] = []


@pytest.mark.parametrize("name", ["hangs", None])
def test_SUP_11_child_whose_init_hangs_is_killed_after_its_time_and_named(name: str | None) -> None:
    """Source: a start option timeout in the start function of an OTP child spec."""
    hangs = zc.ChildSpec("h", Hangs, name=name, start_timeout_s=0.2)
    HANGING[:] = [True]

    async def main() -> None:
        began_ms = now_ms()
        with pytest.raises(zc.StartFailed) as caught:
            await zc.Supervisor.start([child("a"), hangs])
        assert caught.value.reason == zc.Shutdown(("failed_to_start_child", "h", zc.TimedOut("init")))
        assert 200 <= now_ms() - began_ms <= 250
        dynamic = await zc.DynamicSupervisor.start()
        before = set(zc.node().scheduler.pids())
        for _ in range(2):  # the second finds the name free
            with pytest.raises(zc.StartFailed) as failed:
                await dynamic.start_child(hangs)
            assert failed.value.reason == zc.TimedOut("init")
            assert zc.whereis("hangs") is None
        await arriving(0.01)
        assert set(zc.node().scheduler.pids()) == before
        assert await dynamic.which_children() == []
        HANGING.clear()
        assert await dynamic.start_child(hangs) is not None
        assert await arriving(1) == []
        assert len(await dynamic.which_children()) == 1

    run(main)


@pytest.mark.parametrize("kind", [zc.Supervisor, zc.DynamicSupervisor])
def test_SUP_10_restart_whose_init_hangs_is_a_failed_restart(kind: Any) -> None:
    hangs = zc.ChildSpec("h", Hangs, name="h", start_timeout_s=0.1)
    HANGING.clear()

    async def main() -> None:
        supervisor = await (kind.start([hangs]) if kind is zc.Supervisor else kind.start())
        if kind is zc.DynamicSupervisor:
            await supervisor.start_child(hangs)
        HANGING[:] = [True]
        EVENTS.clear()
        zc.exit(zc.whereis("h"), zc.Kill())
        assert await end_of(supervisor.pid) == zc.Shutdown("reached_max_restart_intensity")
        assert EVENTS == ["tries"] * 3

    run(main)


@pytest.mark.parametrize(("shutdown_s", "told", "after_ms"), STUBBORN)
def test_SUP_13_child_that_does_not_stop_is_killed_after_its_shutdown_time(
    shutdown_s: float, told: list[str], after_ms: float
) -> None:
    """Source: supervisor_SUITE:sup_stop_timeout, sup_stop_brutal_kill; 51 ms seen on OTP 25."""

    async def main() -> None:
        supervisor = await zc.Supervisor.start([zc.ChildSpec("s", Stubborn, shutdown_s=shutdown_s)])
        ref = zc.monitor((await supervisor.which_children())[0].pid)  # type: ignore[arg-type]
        began_ms = now_ms()
        await supervisor.terminate_child("s")
        assert now_ms() - began_ms == pytest.approx(after_ms, abs=1.1)
        (down,) = await arriving(0)
        assert (down.ref, down.reason) == (ref, zc.Killed())
        assert told == EVENTS

    run(main)


def test_SUP_13_shutdown_none_waits_as_long_as_it_takes() -> None:
    """Source: supervisor_SUITE:sup_stop_infinity."""

    class Slow(zc.GenServer):
        def init(self) -> None:
            zc.trap_exits(True)

        async def terminate(self, reason: Any) -> None:
            await asyncio.sleep(3600)

    async def main() -> None:
        supervisor = await zc.Supervisor.start([zc.ChildSpec("s", Slow, shutdown_s=None)])
        await supervisor.terminate_child.within(None)("s")
        assert now_ms() == pytest.approx(3_600_000)

    run(main)


def test_SUP_14_child_that_unlinked_itself_does_not_hang_its_supervisor() -> None:
    """Source: supervisor_SUITE:child_unlink."""

    class Unlinks(Plain):
        def init(self, *parent: zc.Pid) -> None: ...

        @zc.call
        def leave(self, parent: zc.Pid) -> None:
            zc.unlink(parent)

    async def main() -> None:
        supervisor = await zc.Supervisor.start([zc.ChildSpec("u", Unlinks)])
        pid = (await pids_of(supervisor))["u"]
        assert pid is not None
        await Unlinks.at(pid).leave(supervisor.pid)
        await zc.stop(supervisor, zc.Shutdown(), timeout_s=1)
        assert not zc.is_alive(pid)

    run(main)


def test_SUP_14_child_that_dies_by_itself_during_the_shutdown_does_not_hang_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Source: supervisor_SUITE:sup_stop_race."""

    async def main() -> None:
        supervisor = await zc.Supervisor.start([plain("early"), child("late")])
        early = (await pids_of(supervisor))["early"]
        assert early is not None
        stopping = asyncio.ensure_future(zc.stop(supervisor, zc.Shutdown(), timeout_s=1))
        await arriving(0.005)  # "late" is in its terminate
        zc.exit(early, "bang")
        await stopping

    run(main)
    (record,) = caplog.records
    assert "shutdown_error" in record.getMessage()
    assert "'bang'" in record.getMessage()


# --- specs


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
def test_SUP_16_child_that_is_ignored_has_no_pid_and_is_kept_unless_temporary(restart: Any) -> None:
    """Source: supervisor_SUITE:sup_start_ignore_permanent_start_child, _temporary_."""

    async def main() -> None:
        ignored = zc.ChildSpec("i", Ignores, restart=restart)
        supervisor = await zc.Supervisor.start([ignored, plain("a")])
        kept = {} if restart == "temporary" else {"i": None}
        pids = await pids_of(supervisor)
        assert {id: pid for id, pid in pids.items() if id != "a"} == kept
        assert await supervisor.start_child(zc.ChildSpec("j", Ignores, restart=restart)) is None
        assert ("j" in await pids_of(supervisor)) == bool(kept)
        if kept:
            assert await supervisor.restart_child("i") is None

    run(main)


BAD_SPECS: list[tuple[str, dict[str, Any]]] = [
    ("id", {"id": ""}),
    ("id", {"id": None}),
    ("server", {"server": object}),
    ("server", {"server": "Plain"}),
    ("restart", {"restart": "always"}),
    ("shutdown_s", {"shutdown_s": -1}),
    ("shutdown_s", {"shutdown_s": "soon"}),
    ("kind", {"kind": "boss"}),
    ("name", {"name": 7}),
]


@pytest.mark.parametrize(("field", "bad"), BAD_SPECS)
def test_SUP_17_bad_child_spec_is_refused_and_names_the_field(field: str, bad: dict[str, Any]) -> None:
    """Source: supervisor_SUITE:child_specs_map."""
    with pytest.raises(zc.ConfigError, match=f"(?i){field}"):
        zc.ChildSpec(**{"id": "a", "server": Plain, **bad})


BAD_CHILDREN: list[tuple[str, list[Any]]] = [
    ("'a' is used twice", [child("a"), child("a")]),
    ("is not a child", [child("a"), "b"]),
    ("is not a child", [child("a"), (object, 1)]),
    ("is not a child", [child("a"), object]),
]


@pytest.mark.parametrize(("problem", "children"), BAD_CHILDREN)
def test_SUP_17_bad_list_of_children_fails_the_start_and_starts_nothing(problem: str, children: list[Any]) -> None:
    """Source: supervisor_SUITE:sup_start_map_faulty_specs."""

    async def main() -> None:
        with pytest.raises(zc.StartFailed) as caught:
            await zc.Supervisor.start(children)
        assert caught.value.reason.kind == "ConfigError"
        assert problem in caught.value.reason.text
        assert EVENTS == []

    run(main)


def test_SUP_17_bad_spec_for_start_child_fails_the_caller_and_not_the_supervisor() -> None:
    """Source: supervisor_SUITE:child_adm; DSUP-07."""

    async def main() -> None:
        supervisor = await zc.Supervisor.start([])
        with pytest.raises(zc.ConfigError):
            await supervisor.start_child("no child")  # type: ignore[arg-type]
        assert await supervisor.start_child(plain("a")) is not None

    run(main)


BAD_LIMITS: list[dict[str, Any]] = [
    {"strategy": "all"},
    {"max_restarts": -1},
    {"max_restarts": True},
    {"max_restarts": 1.5},
    {"max_seconds": 0},
    {"max_seconds": "5"},
    {"auto_shutdown": "maybe"},
]


@pytest.mark.parametrize("options", BAD_LIMITS)
def test_SUP_17_bad_settings_of_the_supervisor_fail_its_start(options: dict[str, Any]) -> None:
    """Source: supervisor_SUITE:sup_start_map_faulty_specs; Elixir supervisor_test init/2."""

    async def main() -> None:
        with pytest.raises(zc.StartFailed) as caught:
            await zc.Supervisor.start([child("a")], **options)
        assert caught.value.reason.kind == "ConfigError"
        assert next(iter(options)) in caught.value.reason.text
        assert EVENTS == []

    run(main)


def test_SUP_19_significant_child_that_says_nothing_is_refused() -> None:
    """Source: supervisor_SUITE:child_specs_map: bad with auto_shutdown never, and on a permanent child."""

    async def main() -> None:
        with pytest.raises(zc.ConfigError, match="permanent"):
            plain("a", significant=True)
        significant = plain("a", significant=True, restart="transient")
        with pytest.raises(zc.StartFailed) as caught:
            await zc.Supervisor.start([significant])
        assert "auto_shutdown" in caught.value.reason.text
        supervisor = await zc.Supervisor.start([])
        with pytest.raises(zc.ConfigError, match="auto_shutdown"):
            await supervisor.start_child(significant)

    run(main)


@pytest.mark.parametrize("auto_shutdown", ["any_significant", "all_significant"])
def test_auto_shutdown_ends_the_supervisor_when_significant_children_end_by_themselves(auto_shutdown: Any) -> None:
    """Source: supervisor_SUITE:significant_any, significant_all."""

    async def main() -> None:
        specs = [plain(id, significant=True, restart="transient") for id in "ab"] + [child("c")]
        supervisor = await zc.Supervisor.start(specs, auto_shutdown=auto_shutdown)
        await crash(supervisor, "a")  # abnormal: a transient one is started again
        await supervisor.terminate_child("a")  # not by itself
        await supervisor.restart_child("a")
        pids = await pids_of(supervisor)
        ref = zc.monitor(supervisor)
        zc.cast(pids["a"], zc.Normal())
        if auto_shutdown == "all_significant":
            assert await arriving() == []
            zc.cast(pids["b"], zc.Normal())
        (down,) = await arriving()
        assert (down.ref, down.reason) == (ref, zc.Shutdown("auto_shutdown"))
        assert EVENTS[-1] == "c is down"

    run(main)


def test_SUP_20_which_children_and_count_children_tell_what_is_there_and_what_lives() -> None:
    """Source: supervisor_SUITE:count_children*."""

    async def main() -> None:
        tree = zc.ChildSpec("tree", zc.Supervisor, ([plain("leaf")],))
        specs = [plain("a"), plain("b", restart="transient"), tree]
        supervisor = await zc.Supervisor.start(specs)
        pids = await pids_of(supervisor)
        await crash(supervisor, "b", zc.Normal())
        assert await supervisor.which_children() == [
            ChildInfo("a", pids["a"], "running", "worker"),
            ChildInfo("b", None, "stopped", "worker"),
            ChildInfo("tree", pids["tree"], "running", "supervisor"),
        ]
        assert await supervisor.count_children() == {"specs": 3, "active": 2, "supervisors": 1, "workers": 2}

    run(main)


def test_child_administration_tells_what_it_cannot_do() -> None:
    """Source: supervisor_SUITE:child_adm: already_present, running, not_found."""

    async def main() -> None:
        supervisor = await zc.Supervisor.start([plain("a")])
        with pytest.raises(zc.AlreadyStarted) as running:
            await supervisor.start_child(plain("a"))
        assert running.value.pid == (await pids_of(supervisor))["a"]
        for refused in (supervisor.restart_child, supervisor.delete_child):
            with pytest.raises(zc.ChildPresent, match="'a', which is running"):
                await refused("a")
        for missing in (supervisor.terminate_child, supervisor.restart_child, supervisor.delete_child):
            with pytest.raises(zc.NotRegistered):
                await missing("nobody")
        with pytest.raises(zc.StartFailed):
            await supervisor.start_child(zc.ChildSpec("f", Fails))
        await supervisor.terminate_child("a")
        await supervisor.terminate_child("a")
        with pytest.raises(zc.ChildPresent, match="'a', which is stopped"):
            await supervisor.start_child(plain("a"))
        await supervisor.delete_child("a")
        assert await supervisor.which_children() == []

    run(main)


def test_SUP_22_many_children_start_and_stop_in_about_linear_time() -> None:
    """Source: supervisor_SUITE:scale_start_stop_many_children; of OTP's 50 000, as many as fit a quick test."""

    async def cost_s(count: int) -> float:
        began_s = time.perf_counter()
        supervisor = await zc.Supervisor.start([zc.ChildSpec(str(number), Plain) for number in range(count)])
        assert (await supervisor.count_children())["active"] == count
        await zc.stop(supervisor, zc.Shutdown())
        return time.perf_counter() - began_s

    async def main() -> None:
        few_s = min([await cost_s(500) for _ in range(3)])
        many_s = min([await cost_s(4_000) for _ in range(2)])
        assert many_s < 8 * few_s * 2.5

    run(main)


def test_tree_of_supervisors_stops_from_the_leaves_of_the_last_child_on() -> None:
    """Source: supervisor: shutdown infinity of supervisors, so that grandchildren end in order."""

    async def main() -> None:
        left = zc.ChildSpec("left", zc.Supervisor, ([child("a"), child("b")],))
        right = zc.ChildSpec("right", zc.Supervisor, ([child("c")],))
        root = await zc.Supervisor.start([left, right])
        EVENTS.clear()
        await zc.stop(root, zc.Shutdown())
        assert starts_and_stops() == ["-c", "-b", "-a"]

    run(main)


def test_supervisor_whose_restarts_are_exceeded_is_started_again_by_its_own_supervisor() -> None:
    """Source: supervisor: the end is shutdown, so a permanent spec starts it again (a transient one does not)."""

    async def main() -> None:
        inner = zc.ChildSpec("inner", zc.Supervisor, ([plain("a", name="a")],), {"max_restarts": 0})
        root = await zc.Supervisor.start([inner])
        before = (await pids_of(root))["inner"]
        with contextlib.suppress(zc.NotRegistered):
            zc.cast("a", "bang")
        await arriving(1)
        assert (await pids_of(root))["inner"] not in (None, before)
        assert zc.whereis("a") is not None

    run(main)


def test_unknown_message_is_logged_and_dropped_and_the_supervisor_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """Source: supervisor:handle_info/2."""

    async def main() -> None:
        supervisor = await zc.Supervisor.start([plain("a")])
        zc.send(supervisor, "noise")
        assert (await supervisor.count_children())["active"] == 1

    run(main)
    assert [record.getMessage() for record in caplog.records] == ["Supervisor dropped an unexpected message: 'noise'"]
