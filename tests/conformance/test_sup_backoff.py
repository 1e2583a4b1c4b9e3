"""Back-off of restarts, which OTP lacks: waits grow, count as restarts always did, and block nobody. Virtual time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

import zmqcluster as zc
from tests.support.running import arriving, end_of, now_ms, run
from zmqcluster.otp.children import ChildInfo

BACKOFF = zc.Backoff(first_s=0.1, factor=2, max_s=0.5, reset_after_s=5)
STARTS: list[tuple[str, float]] = []
FAILING: set[str] = set()


@pytest.fixture(autouse=True)
def starts() -> Iterator[None]:
    STARTS.clear()
    FAILING.clear()
    yield


class Child(zc.GenServer):
    """Says when it is started; fails to start while it is in FAILING."""

    def init(self, id: str) -> zc.Stop | None:
        STARTS.append((id, round(now_ms())))
        return zc.Stop("away") if id in FAILING else None


class SlowChild(Child):
    """Its start takes a moment: it is started in turns of its supervisor's."""

    async def init(self, id: str) -> zc.Stop | None:  # type: ignore[override]
        await asyncio.sleep(0.001)
        return super().init(id)


def spec(id: str, **options: Any) -> zc.ChildSpec:
    return zc.ChildSpec(id, Child, (id,), name=id, **options)


def kill(id: str) -> None:
    pid = zc.whereis(id)
    assert pid is not None, f"{id} does not run"
    zc.exit(pid, zc.Kill())


def waits_of(id: str) -> list[float]:
    """The times between the starts of a child, in milliseconds."""
    times = [at for started, at in STARTS if started == id]
    return [later - earlier for earlier, later in itertools.pairwise(times)]


async def start(kind: str, *specs: zc.ChildSpec, **options: Any) -> Any:
    if kind == "dynamic":
        dynamic = await zc.DynamicSupervisor.start(**options)
        await dynamic.start_children(specs)
        return dynamic
    return await zc.Supervisor.start(specs, **options)


async def states(supervisor: Any) -> list[str]:
    return [child.state for child in await supervisor.which_children()]


BOTH = pytest.mark.parametrize("kind", ["supervisor", "dynamic"])


@BOTH
@pytest.mark.parametrize("server", [Child, SlowChild])
def test_backoff_waits_grow_with_each_restart_and_the_supervisor_answers_meanwhile(kind: str, server: Any) -> None:
    async def main() -> None:
        child = zc.ChildSpec("a", server, ("a",), name="a")
        supervisor = await start(kind, child, max_restarts=100, backoff=BACKOFF)
        for wait_ms in (100, 200, 400, 500, 500):
            kill("a")
            await asyncio.sleep(wait_ms / 1000 - 0.01)
            assert zc.whereis("a") is None
            assert await states(supervisor) == ["restarting"]
            await asyncio.sleep(0.02)
            assert await states(supervisor) == ["running"]
            STARTS.append(("a", round(now_ms())))  # it is killed now
        assert [round(wait, -1) for wait in waits_of("a")[0::2]] == [100, 200, 400, 500, 500]

    run(main)


@BOTH
def test_backoff_failed_restarts_grow_it_and_count_for_the_intensity(kind: str) -> None:
    async def main() -> None:
        supervisor = await start(kind, spec("a"), max_restarts=4, max_seconds=60, backoff=BACKOFF)
        FAILING.add("a")
        kill("a")
        assert await end_of(supervisor.pid) == zc.Shutdown("reached_max_restart_intensity")
        assert waits_of("a") == [100, 200, 400, 500]

    run(main)


@BOTH
def test_backoff_begins_anew_when_the_child_lived_long_enough(kind: str) -> None:
    async def main() -> None:
        await start(kind, spec("a"), max_restarts=100, backoff=BACKOFF)
        seen = []
        for longer_s in (0, 0, 4.5, 5, 0):  # than what is left of the 0.6 s below
            await asyncio.sleep(longer_s)
            kill("a")
            killed_ms = now_ms()
            await asyncio.sleep(0.6)
            seen.append(STARTS[-1][1] - round(killed_ms))
            assert zc.whereis("a") is not None
        assert seen == [100, 200, 400, 100, 200]

    run(main)


@BOTH
def test_backoff_failed_restarts_after_a_long_life_still_grow(kind: str) -> None:
    """The time before the first failure is no life of the later ones."""

    async def main() -> None:
        await start(kind, spec("a"), max_restarts=100, backoff=BACKOFF)
        await asyncio.sleep(3600)
        FAILING.add("a")
        STARTS.clear()
        kill("a")
        await asyncio.sleep(1.3)
        assert waits_of("a") == [200, 400, 500]

    run(main)


@BOTH
def test_backoff_child_that_waits_is_terminated_and_never_started(kind: str) -> None:
    async def main() -> None:
        supervisor = await start(kind, spec("a"), backoff=BACKOFF)
        pid = zc.whereis("a")
        kill("a")
        await asyncio.sleep(0.05)
        await supervisor.terminate_child(pid if kind == "dynamic" else "a")
        await asyncio.sleep(1)
        assert len(STARTS) == 1
        assert await states(supervisor) == ([] if kind == "dynamic" else ["stopped"])

    run(main)


@BOTH
def test_backoff_supervisor_that_stops_leaves_no_timer(kind: str) -> None:
    async def main() -> None:
        refs: list[Any] = []
        supervisor = await start(kind, spec("a"), backoff=BACKOFF)
        zc.node().scheduler.birth_observer = refs.append
        kill("a")
        await asyncio.sleep(0.05)
        zc.node().scheduler.birth_observer = None
        await zc.stop(supervisor, zc.Shutdown())
        timers = [ref for ref in refs if isinstance(ref, zc.Ref)]
        assert timers and all(zc.read_timer(ref) is None for ref in timers)
        await asyncio.sleep(1)
        assert len(STARTS) == 1

    run(main)


@BOTH
def test_backoff_of_one_child_is_not_that_of_another(kind: str) -> None:
    async def main() -> None:
        await start(kind, spec("a"), spec("b"), max_restarts=100, backoff=BACKOFF)
        for _ in range(3):
            kill("a")
            await asyncio.sleep(0.6)
        kill("b")
        killed_ms = round(now_ms())
        await asyncio.sleep(0.6)
        assert STARTS[-1] == ("b", killed_ms + 100)

    run(main)


def test_backoff_child_that_waits_may_be_started_by_hand_after_it_was_terminated_and_begins_anew() -> None:
    async def main() -> None:
        supervisor = await start("supervisor", spec("a"), max_restarts=100, backoff=BACKOFF)
        for _ in range(2):
            kill("a")
            await asyncio.sleep(0.25)
        kill("a")
        await asyncio.sleep(0.05)
        with pytest.raises(zc.SupervisionError, match="restarting"):
            await supervisor.restart_child("a")
        await supervisor.terminate_child("a")
        await supervisor.restart_child("a")
        kill("a")
        killed_ms = round(now_ms())
        await asyncio.sleep(0.6)
        assert STARTS[-1] == ("a", killed_ms + 100)

    run(main)


def test_backoff_of_a_group_stops_it_at_once_and_starts_it_together_after_the_wait() -> None:
    async def main() -> None:
        specs = [spec("a"), spec("b"), spec("c")]
        supervisor = await start("supervisor", *specs, strategy="rest_for_one", backoff=BACKOFF)
        first = zc.whereis("a")
        STARTS.clear()
        kill("b")
        killed_ms = round(now_ms())
        await asyncio.sleep(0.05)
        assert await states(supervisor) == ["running", "restarting", "stopped"]
        assert await supervisor.restart_child("c") is not None  # by hand: it is stopped and started with its group
        await asyncio.sleep(0.1)
        assert await states(supervisor) == ["running"] * 3
        started = [(id, at - killed_ms) for id, at in STARTS]
        assert started == [("c", 50), ("b", 100), ("c", 100)]
        assert zc.whereis("a") == first

    run(main)


def test_backoff_of_a_child_ends_when_one_before_it_takes_it_along() -> None:
    async def main() -> None:
        specs = [spec("a"), spec("b")]
        supervisor = await start("supervisor", *specs, strategy="rest_for_one", max_restarts=100, backoff=BACKOFF)
        kill("b")
        await asyncio.sleep(0.05)
        kill("a")
        await asyncio.sleep(0.07)  # when b alone would have been started
        assert await states(supervisor) == ["restarting", "stopped"]
        await asyncio.sleep(0.05)
        assert await states(supervisor) == ["running", "running"]
        await asyncio.sleep(1)
        assert [id for id, _ in STARTS] == ["a", "b", "a", "b"]

    run(main)


def test_backoff_when_a_sibling_fails_in_the_restart_of_the_group_then_that_one_waits() -> None:
    async def main() -> None:
        specs = [spec("a"), spec("b")]
        supervisor = await start("supervisor", *specs, strategy="one_for_all", max_restarts=100, backoff=BACKOFF)
        FAILING.add("b")
        kill("a")
        await asyncio.sleep(0.15)
        assert await supervisor.which_children() == [
            ChildInfo("a", None, "stopped", "worker"),
            ChildInfo("b", None, "restarting", "worker"),
        ]
        FAILING.clear()
        await asyncio.sleep(0.1)
        assert await states(supervisor) == ["running", "running"]

    run(main)


def test_backoff_dynamic_child_that_waits_counts_for_max_children() -> None:
    async def main() -> None:
        supervisor = await start("dynamic", spec("a"), max_children=1, backoff=BACKOFF)
        kill("a")
        await asyncio.sleep(0.05)
        with pytest.raises(zc.MaxChildren):
            await supervisor.start_child(spec("b"))
        assert await supervisor.count_children() == {"specs": 1, "active": 0, "supervisors": 0, "workers": 1}

    run(main)


def test_backoff_is_told_as_an_event() -> None:
    told: list[Any] = []

    async def main() -> None:
        await start("supervisor", spec("a"), backoff=BACKOFF)
        kill("a")
        await arriving(1)

    zc.telemetry.attach("test", "zmqcluster.supervisor.backoff", lambda _, fields: told.append(fields))
    try:
        run(main)
    finally:
        zc.telemetry.detach("test", "zmqcluster.supervisor.backoff")
    ((event),) = told
    assert (event["waiting"]["id"], event["delay_s"]) == ("a", 0.1)


@BOTH
def test_backoff_of_the_class_and_one_that_is_none(kind: str) -> None:
    class Patient(zc.Supervisor):
        backoff = BACKOFF
        children = [spec("a")]

    class PatientPool(zc.DynamicSupervisor):
        backoff = BACKOFF

    async def main() -> None:
        if kind == "dynamic":
            await (await PatientPool.start()).start_child(spec("a"))
        else:
            await Patient.start()
        kill("a")
        await asyncio.sleep(0.2)
        assert waits_of("a") == [100]
        with pytest.raises(zc.StartFailed, match="backoff is None or a Backoff"):
            await start(kind, backoff=0.5)

    run(main)


def test_backoff_of_partitions_and_of_applications() -> None:
    class App(zc.Application):
        backoff = BACKOFF
        children = [spec("a")]

    async def main() -> None:
        partitions = zc.PartitionSupervisor("parts", (Child, "p"), partitions=1, backoff=BACKOFF)
        await partitions.start_link()
        await App.start()
        kill("a")
        zc.exit(partitions.via(0).whereis(), zc.Kill())
        await asyncio.sleep(0.2)
        assert (waits_of("a"), waits_of("p")) == ([100], [100])

    run(main)
