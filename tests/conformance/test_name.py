"""NAME: local registration of names. One test per case of the behaviour list, named after it."""

from __future__ import annotations

from typing import Any

import pytest

import zmqcluster as zc
from tests.support.running import arriving, end_of, forever, run


class Echo(zc.GenServer):
    """Answers what it is asked, and notes what it is told."""

    def init(self) -> None:
        self.told: list[Any] = []

    def handle_call(self, request: Any, caller: zc.Call) -> Any:
        return self.told if request == "told" else request

    def handle_cast(self, request: Any) -> None:
        self.told.append(request)


class Names:
    """A registry of a user: the three methods of a Via."""

    def __init__(self) -> None:
        self.pids: dict[str, zc.Pid] = {}

    def via(self, name: str) -> Name:
        return Name(self, name)


class Name:
    """One name of it."""

    def __init__(self, names: Names, name: str) -> None:
        self.names, self.name = names, name

    def whereis(self) -> zc.Pid | None:
        return self.names.pids.get(self.name)

    def register(self, pid: zc.Pid) -> None:
        holder = self.names.pids.setdefault(self.name, pid)
        if holder != pid:
            raise zc.AlreadyRegistered(self.name, holder)

    def unregister(self, pid: zc.Pid) -> None:
        self.names.pids.pop(self.name, None)


def test_NAME_01_taken_name_is_refused_to_others_and_to_its_own_process() -> None:
    """Source: process_SUITE:bad_register."""

    async def main() -> None:
        holder, other = zc.spawn(forever), zc.spawn(forever)
        zc.register("n", holder)
        for pid in (other, holder):
            with pytest.raises(zc.AlreadyRegistered) as caught:
                zc.register("n", pid)
            assert caught.value.pid == holder
        assert zc.whereis("n") == holder

    run(main)


def test_NAME_01_spawn_with_a_taken_name_starts_nothing() -> None:
    """Source: as register; the name is checked before the process exists."""
    ran: list[str] = []

    async def never() -> None:
        ran.append("it ran")

    async def main() -> None:
        zc.register("n")
        with pytest.raises(zc.AlreadyRegistered):
            zc.spawn(never, name="n")
        assert await arriving() == []

    run(main)
    assert ran == []


def test_NAME_02_dead_pid_and_what_is_no_pid_are_refused() -> None:
    """Source: process_SUITE:bad_register."""

    async def main() -> None:
        pid = zc.spawn(arriving, 0)
        await end_of(pid)
        with pytest.raises(zc.NoProcessError):
            zc.register("n", pid)
        for bad in ("pid", 7):
            with pytest.raises(TypeError):
                zc.register("n", bad)  # type: ignore[arg-type]
        for bad_name in ("", None, 7):
            with pytest.raises((zc.ConfigError, TypeError)):
                zc.register(bad_name)  # type: ignore[arg-type]
        assert zc.whereis("n") is None

    run(main)


def test_name_is_free_when_down_arrives_and_unregister_of_a_free_name_is_an_error() -> None:
    """Source: erlang:unregister/1; names are released before DOWN goes out."""

    async def main() -> None:
        pid = zc.spawn(forever, name="n")
        zc.exit(pid, "bang")
        await end_of(pid)
        zc.register("n")
        assert zc.whereis("n") == zc.self()
        zc.unregister("n")
        with pytest.raises(zc.NotRegistered):
            zc.unregister("n")

    run(main)


def test_NAME_04_start_send_call_cast_monitor_and_stop_accept_a_via() -> None:
    """Source: gen_server_SUITE:start via."""

    async def main() -> None:
        via = Names().via("echo")
        echo = await Echo.start(name=via)
        assert via.whereis() == echo.pid
        assert await zc.call(via, "hello") == "hello"
        zc.cast(via, "first")
        zc.send(via, "logged and dropped")
        assert await zc.call(via, "told") == ["first"]
        with pytest.raises(zc.AlreadyStarted) as caught:
            await Echo.start(name=via)
        assert caught.value.pid == echo.pid
        ref = zc.monitor(via)
        await zc.stop(via)
        assert await zc.receive() == zc.Down(ref, echo.pid, zc.Normal())

    run(main)


def test_NAME_04_via_of_nobody_fails_as_an_unknown_name_does() -> None:
    """Source: gen_server:call to an unknown via name is noproc."""

    async def main() -> None:
        via = Names().via("nobody")
        with pytest.raises(zc.NotRegistered):
            zc.send(via, "x")
        with pytest.raises(zc.NoProcessError):
            await zc.call(via, "x")
        zc.cast(via, "dropped")
        with pytest.raises(zc.NoProcessError):
            await zc.stop(via)
        ref = zc.monitor(via)
        down = await zc.receive(zc.Down)
        assert (down.ref, down.reason) == (ref, zc.NoProcess())

    run(main)


@pytest.mark.parametrize("name", ["", 7, ("via", "x"), ("n", "node"), object()])
def test_NAME_05_invalid_name_is_refused_before_any_process_is_spawned(name: Any) -> None:
    """Source: gen_server_test start_link/3."""

    async def main() -> None:
        before = zc.node().scheduler.process_count
        with pytest.raises(zc.ConfigError, match="a non-empty string or a Via"):
            await Echo.start_link(name=name)
        assert zc.node().scheduler.process_count == before

    run(main)
