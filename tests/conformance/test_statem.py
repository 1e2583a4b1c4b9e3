"""StateMachine against gen_statem: one test per rule, named after it. Source: gen_statem_SUITE, gen_statem(3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.running import end_of, now_ms, run
from zmqcluster.core import Ignore, Stop
from zmqcluster.errors import ConfigError, ServerExited, StartFailed
from zmqcluster.exits import Crashed
from zmqcluster.otp.methods import call, cast
from zmqcluster.otp.state_machine import (
    Answer,
    Called,
    Elapsed,
    Entered,
    Event,
    Insert,
    Internal,
    Keep,
    Next,
    Postpone,
    Received,
    Repeat,
    Result,
    State,
    StateMachine,
    Timeout,
    Told,
)
from zmqcluster.runtime.process import is_alive, send

Script = dict[tuple[str, Any], Any]


def content_of(event: Event) -> Any:
    match event:
        case Called(content) | Told(content) | Received(content) | Internal(content):
            return content
        case Elapsed(name):
            return f"{name} over"
        case Entered(previous):
            return f"from {previous}"


class Scripted(StateMachine):
    """Three states that do what a script says, and write down what they are told."""

    def initial(self, script: Script, log: list[Any]) -> Any:
        self.script = script
        self.log = log
        return self._scripted(("start", None), self.red)

    def _scripted(self, at: tuple[str, Any], otherwise: Any) -> Any:
        answer = self.script.get(at, otherwise)
        return answer(self) if callable(answer) and not hasattr(answer, "__self__") else answer

    def _told(self, state: str, event: Event) -> Any:
        content = content_of(event)
        self.log.append((state, content))
        if isinstance(event, Called) and (state, content) not in self.script:
            return Keep(Answer(event.caller, state))
        return self._scripted((state, content), None)

    def red(self, event: Event) -> Result:
        return self._told("red", event)  # type: ignore[no-any-return]

    async def green(self, event: Event) -> Result:
        await asyncio.sleep(0)
        return self._told("green", event)  # type: ignore[no-any-return]

    def blue(self, event: Event) -> Result:
        return self._told("blue", event)  # type: ignore[no-any-return]


class Entering(Scripted):
    state_enter = True


def go(state: str, *actions: Any) -> Callable[[Scripted], Next]:
    return lambda machine: Next(getattr(machine, state), *actions)


def play(script: Script, *casts: Any, cls: type[Scripted] = Scripted, for_s: float = 0.0) -> list[Any]:
    """What a machine with this script was told, when it was told ``casts``."""
    log: list[Any] = []

    async def main() -> None:
        machine = await cls.start_link(script, log)
        for each in casts:
            cast(machine, each)
        await asyncio.sleep(for_s)
        assert await call(machine, "state")

    run(main)
    assert log.pop()[1] == "state"
    return log


def test_STM_01_each_kind_of_event_reaches_the_method_of_the_state() -> None:
    log: list[Any] = []

    async def main() -> None:
        machine = await Scripted.start({("red", "go"): go("green", Insert("inserted"))}, log)
        cast(machine, 1)
        send(machine.pid, 2)
        assert await call(machine, 3) == "red"
        cast(machine, "go")
        assert await call(machine, 4) == "green"

    run(main)
    assert log == [("red", 1), ("red", 2), ("red", 3), ("red", "go"), ("green", "inserted"), ("green", 4)]


def test_STM_02_postponed_events_are_tried_again_in_order_after_a_change_of_state_only() -> None:
    script = {
        ("red", 1): Keep(Postpone()),
        ("red", 2): Keep(Postpone()),
        ("red", "stay"): go("red"),
        ("red", "go"): go("green"),
    }
    log = play(script, 1, "stay", 2, "go", 3)
    assert log == [
        *[("red", 1), ("red", "stay"), ("red", 2), ("red", "go")],
        *[("green", 1), ("green", 2), ("green", 3)],
    ]


def test_STM_02_event_postponed_again_waits_for_the_next_change() -> None:
    script = {
        ("red", 1): Keep(Postpone()),
        ("red", "go"): go("green"),
        ("green", 1): Keep(Postpone()),
        ("green", "go"): go("blue"),
    }
    log = play(script, 1, "go", 2, "go")
    assert log == [
        *[("red", 1), ("red", "go"), ("green", 1), ("green", 2), ("green", "go"), ("blue", 1)],
    ]


def test_STM_02_event_that_changes_the_state_and_is_postponed_comes_again_in_the_new_one() -> None:
    assert play({("red", 1): go("green", Postpone())}, 1) == [("red", 1), ("green", 1)]


def test_STM_03_inserted_events_come_before_postponed_and_queued_ones() -> None:
    script = {
        ("red", "early"): Keep(Postpone()),
        ("red", "go"): go("green", Insert("a"), Insert(Told("b"))),
        ("green", "a"): Keep(Insert("a1")),
    }
    log = play(script, "early", "go", "late")
    assert log[2:] == [("green", "a"), ("green", "a1"), ("green", "b"), ("green", "early"), ("green", "late")]


def test_STM_04_state_timeout_comes_unless_the_state_changes() -> None:
    script = {
        ("red", "arm"): Keep(Timeout(0.05)),
        ("red", "go"): go("green"),
    }
    assert play(script, "arm", 1, for_s=0.1) == [("red", "arm"), ("red", 1), ("red", "state over")]
    assert play(script, "arm", "go", for_s=0.1) == [("red", "arm"), ("red", "go")]


def test_STM_04_state_timeout_set_by_the_change_belongs_to_the_new_state() -> None:
    log = play({("red", "go"): go("green", Timeout(0.05))}, "go", for_s=0.1)
    assert log == [("red", "go"), ("green", "state over")]


def test_STM_05_event_timeout_comes_unless_any_event_does() -> None:
    script = {("red", "arm"): Keep(Timeout(0.05, name="event"))}
    assert play(script, "arm", for_s=0.1) == [("red", "arm"), ("red", "event over")]
    assert play(script, "arm", 1, for_s=0.1) == [("red", "arm"), ("red", 1)]


def test_STM_06_named_timeout_survives_events_and_changes_and_is_replaced_by_its_name() -> None:
    script = {
        ("red", "arm"): Keep(Timeout(0.05, name="retry"), Timeout(0.03, name="other")),
        ("red", "go"): go("green"),
    }
    log = play(script, "arm", 1, "go", for_s=0.1)
    assert log == [("red", "arm"), ("red", 1), ("red", "go"), ("green", "other over"), ("green", "retry over")]
    script[("green", "other over")] = Keep(Timeout(0.2, name="retry"))
    assert play(script, "arm", "go", for_s=0.1)[2:] == [("green", "other over")]
    script[("green", "other over")] = Keep(Timeout(None, name="retry"))
    assert play(script, "arm", "go", for_s=1.0)[2:] == [("green", "other over")]


def test_STM_07_zero_timeout_comes_before_events_that_have_not_been_taken_yet() -> None:
    script = {("red", "arm"): Keep(Timeout(0, name="a"), Timeout(0, name="b"), Insert("first"))}
    log = play(script, "arm", "queued")
    assert log == [("red", "arm"), ("red", "first"), ("red", "a over"), ("red", "b over"), ("red", "queued")]


def test_STM_07_zero_event_timeout_is_cancelled_by_an_inserted_event() -> None:
    script = {("red", "arm"): Keep(Timeout(0, name="event"), Insert("first"))}
    assert play(script, "arm", "queued") == [("red", "arm"), ("red", "first"), ("red", "queued")]
    del script[("red", "arm")]
    script[("red", "arm")] = Keep(Timeout(0, name="event"))
    assert play(script, "arm", "queued") == [("red", "arm"), ("red", "event over"), ("red", "queued")]


def test_STM_08_state_enter_is_told_at_the_start_at_each_change_and_at_repeat() -> None:
    script = {
        ("red", "stay"): Keep(),
        ("red", "go"): go("green"),
        ("green", "again"): Repeat(),
        ("green", "from red"): Keep(Timeout(0.01, name="retry")),
    }
    log = play(script, "stay", "go", "again", cls=Entering, for_s=0.05)
    assert log == [
        *[("red", "from None"), ("red", "stay"), ("red", "go"), ("green", "from red")],
        *[("green", "again"), ("green", "from green"), ("green", "retry over")],
    ]


def test_STM_08_state_enter_comes_before_inserted_and_postponed_events() -> None:
    script = {("red", 1): Keep(Postpone()), ("red", "go"): go("green", Insert("inserted"))}
    log = play(script, 1, "go", cls=Entering)
    assert log[3:] == [("green", "from red"), ("green", "inserted"), ("green", 1)]


@pytest.mark.parametrize("wrong", [Keep(Postpone()), Keep(Insert(1)), Repeat(), go("blue")])
def test_STM_08_state_enter_may_not_change_the_state_or_the_queue(wrong: Any) -> None:
    async def main() -> None:
        machine = await Entering.start({("red", "go"): go("green"), ("green", "from red"): wrong}, [])
        cast(machine, "go")
        reason = await end_of(machine.pid)
        assert isinstance(reason, Crashed) and reason.kind == "UsageError"

    run(main)


def test_STM_09_caller_may_be_answered_later_and_in_another_state() -> None:
    class Waiting(StateMachine):
        def initial(self) -> State:
            return self.closed

        def closed(self, event: Event) -> Result:
            match event:
                case Called("enter"):
                    return Keep(Postpone())
                case Told("open"):
                    return Next(self.opened)
            return None

        def opened(self, event: Event) -> Result:
            match event:
                case Called("enter", caller):
                    return Keep(Answer(caller, "welcome"))
            return None

    async def main() -> None:
        machine = await Waiting.start()
        entering = asyncio.ensure_future(enter(machine))
        await asyncio.sleep(0.02)
        cast(machine, "open")
        assert await entering == ("welcome", 20)

    async def enter(machine: StateMachine) -> tuple[Any, int]:
        return await call(machine, "enter"), round(now_ms())

    run(main)


def test_STM_10_stop_ends_the_machine_and_fails_or_answers_the_caller() -> None:
    async def main() -> None:
        script = {("red", "quit"): Stop("done"), ("red", "bye"): Stop("done", reply="bye")}
        for request in ("quit", "bye"):
            machine = await Scripted.start(script, [])
            if request == "bye":
                assert await call(machine, request) == "bye"
            else:
                with pytest.raises(ServerExited) as ended:
                    await call(machine, request)
                assert ended.value.reason == "done"
            assert not is_alive(machine.pid)

    run(main)


def test_STM_11_initial_may_refuse_ignore_or_begin_with_actions() -> None:
    async def main() -> None:
        with pytest.raises(StartFailed) as failure:
            await Scripted.start({("start", None): Stop("refused")}, [])
        assert failure.value.reason == "refused"
        with pytest.raises(StartFailed) as failure:
            await Scripted.start({("start", None): Ignore()}, [])
        assert failure.value.reason == "ignore"
        log: list[Any] = []
        begin = go("green", Insert("first"), Timeout(0.01, name="later"))
        machine = await Entering.start({("start", None): begin}, log)
        cast(machine, "second")
        await asyncio.sleep(0.02)
        assert log == [("green", "from None"), ("green", "first"), ("green", "second"), ("green", "later over")]

    run(main)


def test_STM_12_what_is_no_state_or_no_answer_crashes_the_machine() -> None:
    async def main() -> None:
        for wrong in ("garbage", lambda _: Next(print), lambda _: Next(lambda event: None)):
            machine = await Scripted.start({("red", 1): wrong}, [])
            cast(machine, 1)
            reason = await end_of(machine.pid)
            assert isinstance(reason, Crashed) and reason.kind == "UsageError"

    run(main)


def test_STM_13_bad_actions_and_delays_are_refused_where_they_are_made() -> None:
    for wrong in (-1, True, "1", float("nan")):
        with pytest.raises(ConfigError, match="a delay is None or a number"):
            Timeout(wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="is no action"):
        Keep("reply")  # type: ignore[arg-type]
