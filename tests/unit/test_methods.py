"""The two forms of ``call`` and ``cast``: functions, and decorators of typed methods."""

from __future__ import annotations

from typing import Any

import pytest

import zmqcluster as zc
from tests.support.running import arriving, run
from zmqcluster.otp.methods import DEFAULT_TIMEOUT_S, BoundCall, BoundCast, CallMethod, CastMethod


class Echo(zc.GenServer):
    """Answers in both forms."""

    def init(self) -> None:
        self.told: list[Any] = []

    def handle_call(self, request: Any, caller: zc.Call) -> Any:
        return ("handle_call", request)

    def handle_cast(self, request: Any) -> None:
        self.told.append(("handle_cast", request))

    @zc.call
    def echo(self, value: Any = "nothing") -> Any:
        """Say it again."""
        return value

    @zc.cast
    def tell(self, value: Any) -> None:
        """Note it."""
        self.told.append(value)

    @zc.call
    def read(self) -> list[Any]:
        return self.told


def test_decorators_when_seen_on_the_class_then_they_hold_the_plain_functions() -> None:
    assert isinstance(Echo.echo, CallMethod)
    assert isinstance(Echo.tell, CastMethod)
    assert (Echo.echo.name, Echo.tell.name) == ("echo", "tell")
    assert Echo.echo.function(object(), "plain") == "plain"
    assert Echo.echo.function.__doc__ == "Say it again."


def test_decorators_when_seen_on_a_handle_then_they_are_bound() -> None:
    async def main() -> None:
        echo = await Echo.start()
        assert isinstance(echo.echo, BoundCall)
        assert isinstance(echo.tell, BoundCast)
        assert isinstance(echo.echo.within(1), BoundCall)

    run(main)


def test_call_and_cast_when_none_is_the_request_then_it_is_sent() -> None:
    async def main() -> None:
        echo = await Echo.start()
        assert await zc.call(echo, None) == ("handle_call", None)
        zc.cast(echo, None)
        echo.tell(None)
        assert await echo.read() == [("handle_cast", None), None]
        assert await echo.echo(None) is None
        assert await echo.echo() == "nothing"

    run(main)


@pytest.mark.parametrize("function", [zc.call, zc.cast])
@pytest.mark.parametrize("dest", ["name", ("name", "node"), zc.Pid("a@h", 1, 1)])
def test_call_and_cast_when_there_is_no_request_then_they_say_so(function: Any, dest: Any) -> None:
    with pytest.raises(zc.UsageError, match="needs a request"):
        function(dest)


def test_calls_when_awaited_later_then_they_ran_in_the_order_of_asking() -> None:
    async def main() -> None:
        echo = await Echo.start()
        asked = [echo.echo(number) for number in range(10)]
        echo.tell("between")
        asked += [echo.read()]
        assert [await each for each in reversed(asked)] == [["between"], *reversed(range(10))]

    run(main)


def test_call_when_it_is_not_awaited_then_it_was_asked_all_the_same_and_nothing_stays() -> None:
    async def main() -> None:
        echo = await Echo.start()
        echo.echo("dropped")
        zc.call(echo, "dropped")
        assert await arriving() == []
        assert await echo.echo("next") == "next"

    run(main)


def test_default_time_out_is_that_of_the_reference() -> None:
    async def main() -> None:
        class Deaf(Echo):
            def handle_call(self, request: Any, caller: zc.Call) -> Any:
                return zc.NoReply()

        with pytest.raises(zc.CallTimeout) as caught:
            await zc.call(await Deaf.start(), "x")
        assert caught.value.timeout_s == DEFAULT_TIMEOUT_S == 5.0

    run(main)
