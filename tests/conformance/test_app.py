"""Application against OTP's application: one test per case, named after it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Iterable
from typing import Any

import pytest

from tests.support.running import end_of, run, run_real
from zmqcluster.core import Stop
from zmqcluster.errors import AlreadyStarted, ConfigError, NotRegistered, ServerExited, StartFailed
from zmqcluster.exits import Kill, Normal, Shutdown
from zmqcluster.ids import Pid
from zmqcluster.otp.application import Application, start_order
from zmqcluster.otp.child_spec import Child, ChildSpec
from zmqcluster.otp.gen_server import GenServer, stop
from zmqcluster.runtime.process import exit, is_alive, trap_exits, whereis

LOG: list[str] = []


@pytest.fixture(autouse=True)
def log() -> list[str]:
    LOG.clear()
    return LOG


class Worker(GenServer):
    """Writes its start and its end into the log."""

    def init(self, name: str) -> None:
        self.name = name
        trap_exits()
        LOG.append(f"{name} starts")

    async def terminate(self, reason: Any) -> None:
        await asyncio.sleep(0.001)
        LOG.append(f"{self.name} stops")


def worker(name: str, **fields: Any) -> ChildSpec:
    return ChildSpec(name, Worker, (name,), name=name, **fields)


class Base(Application):
    children = (worker("base 1"), worker("base 2"))


class Middle(Application):
    depends_on = (Base,)
    children = (worker("middle"),)


class Other(Application):
    depends_on = (Base,)
    children = (worker("other"),)


class Top(Application):
    depends_on = (Middle, Other)

    def tree(self) -> Iterable[Child]:
        return [worker(f"top {argument}") for argument in self.arguments]

    def stopping(self) -> None:
        LOG.append("top is stopping")

    async def stopped(self) -> None:
        await asyncio.sleep(0)
        LOG.append("top has stopped")


class Broken(Application):
    depends_on = (Base,)

    class Refusing(GenServer):
        def init(self) -> Stop:
            return Stop("broken")

    children = (Refusing,)


class Lone(Application):
    children = (worker("lone"),)
    max_restarts = 0


UP = ["base 1 starts", "base 2 starts", "middle starts", "other starts", "top a starts"]
DOWN = [
    "top is stopping",
    "top a stops",
    "top has stopped",
    "other stops",
    "middle stops",
    "base 2 stops",
    "base 1 stops",
]


def test_APP_01_start_needs_its_dependencies_and_ensure_started_starts_them_first() -> None:
    async def main() -> None:
        with pytest.raises(StartFailed) as failure:
            await Middle.start()
        assert failure.value.reason == ("not_started", "Base")
        assert await Middle.ensure_started() == [Base, Middle]
        assert await Middle.ensure_started() == []
        assert await Top.ensure_started("a") == [Other, Top]
        assert LOG == UP
        with pytest.raises(AlreadyStarted) as already:
            await Base.start()
        assert already.value.pid == Base.whereis()
        await Other.stop()
        assert Other.whereis() is None
        assert is_alive(await Other.start())

    run(main)
    assert LOG[-4:] == ["top has stopped", "middle stops", "base 2 stops", "base 1 stops"]


def test_APP_01_stop_order_is_the_reverse_when_the_program_returns() -> None:
    async def main() -> None:
        await Top.ensure_started("a")

    run(main)
    assert LOG == UP + DOWN


def test_APP_01_failed_start_stops_what_the_call_had_started() -> None:
    async def main() -> None:
        with pytest.raises(StartFailed) as failure:
            await Broken.ensure_started()
        assert failure.value.server == "Broken"
        assert failure.value.reason.detail[::2] == ("failed_to_start_child", "broken")
        assert LOG == ["base 1 starts", "base 2 starts", "base 2 stops", "base 1 stops"]
        assert Base.whereis() is None
        await Base.start()
        with pytest.raises(StartFailed):
            await Broken.ensure_started()
        assert Base.whereis() is not None

    run(main)


def test_APP_01_stop_of_what_does_not_run_is_not_registered() -> None:
    async def main() -> None:
        with pytest.raises(NotRegistered):
            await Base.stop()

    run(main)


def test_APP_start_order_names_a_circle() -> None:
    class One(Application):
        pass

    class Two(Application):
        depends_on = (One,)

    One.depends_on = (Two,)
    with pytest.raises(ConfigError, match=r"Two -> .*One -> .*Two"):
        start_order(Two)
    assert start_order(Top) == [Base, Middle, Other, Top]
    Two.depends_on = (7,)  # type: ignore[assignment]
    with pytest.raises(ConfigError, match="7, which is no Application class"):
        start_order(Two)


async def run_and_end(restart: Any, reason: Any) -> None:
    """Start Lone, and let its tree end with ``reason``."""
    await Base.ensure_started()
    pid = await Lone.start(restart=restart)
    if reason is None:
        await Lone.stop()
    elif isinstance(reason, Normal):
        await stop(pid, reason)
    else:
        exit(pid, reason)
        await end_of(pid)
    await asyncio.sleep(0.1)
    LOG.append("the node runs on")


@pytest.mark.parametrize(
    ("restart", "reason"),
    [("permanent", Kill()), ("permanent", Normal()), ("transient", Kill())],
)
def test_APP_02_end_of_the_tree_ends_the_node(restart: str, reason: Any) -> None:
    with pytest.raises(ServerExited) as ended:
        run(run_and_end, restart, reason)
    assert ended.value.reason[:2] == ("application_ended", "Lone")
    assert LOG[-2:] == ["base 2 stops", "base 1 stops"]
    assert "the node runs on" not in LOG


@pytest.mark.parametrize(
    ("restart", "reason"),
    [("transient", Normal()), ("temporary", Kill()), ("temporary", Normal()), ("permanent", None), ("transient", None)],
)
def test_APP_02_end_of_the_tree_is_only_logged(
    restart: str, reason: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "zmqcluster.application")
    run(run_and_end, restart, reason)
    assert "the node runs on" in LOG
    reported = [record for record in caplog.records if "application Lone" in record.getMessage()]
    assert len(reported) == (0 if reason is None else 1)  # a stop that was asked for is no event


def test_APP_02_restarts_exceeded_ends_the_node_of_a_permanent_application() -> None:
    async def main() -> None:
        await Lone.start(restart="permanent")
        pid = whereis("lone")
        assert isinstance(pid, Pid)
        exit(pid, Kill())
        await asyncio.sleep(1)

    with pytest.raises(ServerExited) as ended:
        run(main)
    assert ended.value.reason == ("application_ended", "Lone", Shutdown("reached_max_restart_intensity"))


def test_APP_restart_that_is_none_is_refused() -> None:
    async def main() -> None:
        with pytest.raises(ConfigError, match="restart is one of"):
            await Lone.start(restart="always")  # type: ignore[arg-type]

    run(main)


def test_APP_run_of_an_application_starts_all_and_sigterm_stops_them_in_reverse() -> None:
    class Program(Application):
        depends_on = (Middle, Lone)
        children = (worker("program"),)

        def tree(self) -> Iterable[Child]:
            asyncio.get_running_loop().call_later(0.01, os.kill, os.getpid(), signal.SIGTERM)
            return self.children

    run_real(Program)  # type: ignore[arg-type]
    started = ["base 1 starts", "base 2 starts", "middle starts", "lone starts", "program starts"]
    stopped = ["program stops", "lone stops", "middle stops", "base 2 stops", "base 1 stops"]
    assert started + stopped == LOG


def test_APP_run_of_an_application_that_does_not_start_raises() -> None:
    with pytest.raises(StartFailed) as failure:
        run_real(Broken)  # type: ignore[arg-type]
    assert failure.value.server == "Broken"
    assert LOG == ["base 1 starts", "base 2 starts", "base 2 stops", "base 1 stops"]


def test_APP_run_of_an_application_whose_tree_ends_raises() -> None:
    class Program(Application):
        depends_on = (Base,)
        children = (worker("program"),)
        max_restarts = 0

        def tree(self) -> Iterable[Child]:
            def kill() -> None:
                pid = whereis("program")
                assert pid is not None
                exit(pid, Kill())

            asyncio.get_running_loop().call_later(0.01, kill)
            return self.children

    with pytest.raises(ServerExited) as ended:
        run_real(Program)  # type: ignore[arg-type]
    assert ended.value.reason[2] == Shutdown("reached_max_restart_intensity")
    assert LOG[-2:] == ["base 2 stops", "base 1 stops"]
