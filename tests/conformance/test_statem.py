"""StateMachine against gen_statem: one test per rule, named after it. Source: gen_statem_SUITE, gen_statem(3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.running import end_of, now_ms, run
from zmqcluster.core import Call, Ignore, Stop
from zmqcluster.errors import CallbackFailed, ConfigError, ServerExited, StartFailed
from zmqcluster.exits import Crashed
from zmqcluster.otp.gen_server import reply
from zmqcluster.otp.methods import call, cast
from zmqcluster.otp.requests import send_request
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
    StopAndReply,
    Timeout,
    Told,
)
from zmqcluster.otp.sys import change_code, get_state, get_status, resume, suspend
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


def test_STM_10_stop_and_reply_answers_any_callers_before_terminate() -> None:
    """Source: gen_statem(3), stop_and_reply: sends all replies, then terminates."""
    order: list[Any] = []

    class Club(StateMachine):
        def initial(self) -> State:
            self.guests: list[Call] = []
            return self.opened

        def opened(self, event: Event) -> Result:
            match event:
                case Called("wait", caller):
                    self.guests.append(caller)
                case Called("close", caller):
                    goodbyes = [Answer(guest, "go home") for guest in self.guests]
                    return StopAndReply("closed", *goodbyes, Answer(caller, len(goodbyes)))
            return None

        def terminate(self, reason: Any) -> None:
            order.append((reason, [guest.done() for guest in self.guests]))

    async def main() -> None:
        club = await Club.start()
        waiting = [send_request(club, "wait") for _ in range(2)]
        assert await call(club, "close") == 2
        assert [await each for each in waiting] == ["go home", "go home"]
        assert await end_of(club.pid) is not None
        assert order == [("closed", [True, True])]
        with pytest.raises(ConfigError, match="can give answers, and nothing else"):
            StopAndReply("closed", Postpone())  # type: ignore[arg-type]

    run(main)


def test_STM_10_stop_and_reply_when_a_state_is_entered() -> None:
    class Brief(StateMachine):
        state_enter = True

        def initial(self) -> State:
            return self.closed

        def closed(self, event: Event) -> Result:
            match event:
                case Called("open", caller):
                    self.caller = caller
                    return Next(self.opened)
            return None

        def opened(self, event: Event) -> Result:
            return StopAndReply("done", Answer(self.caller, "it was open"))

    async def main() -> None:
        machine = await Brief.start()
        assert await call(machine, "open") == "it was open"
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


# --- one handler for all states


class Counting(StateMachine):
    """States are values: ("counting", n) up to 2, then "full"."""

    state_enter = True

    def initial(self, log: list[Any]) -> Any:
        self.log = log
        return Next(("counting", 0), Timeout(0.01))

    def handle_event(self, event: Event, state: Any) -> Result:
        self.log.append((state, content_of(event)))
        match event, state:
            case Told("up"), ("counting", 2):
                return Next("full")
            case Told("up"), ("counting", number):
                return Next(("counting", number + 1), Timeout(0.05))
            case Told("same"), _:
                return Next(("counting", 1))
            case Told("later"), ("counting", _):
                return Keep(Postpone())
            case Told("same again"), _:
                return Repeat()
            case Told("as bool"), _:
                return Next(True)
            case Told("as int"), _:
                return Next(1)
            case Called("state", caller), _:
                return Keep(Answer(caller, state))
            case Told("object"), _:
                return Next({"any": ["value"]})
        return None


def count(*casts: Any, for_s: float = 0.0) -> list[Any]:
    log: list[Any] = []

    async def main() -> None:
        machine = await Counting.start_link(log)
        for each in casts:
            cast(machine, each)
        await asyncio.sleep(for_s)

    run(main)
    return log


def test_STM_14_one_handler_is_told_the_state_which_is_any_value() -> None:
    """Source: gen_statem, callback_mode handle_event_function."""

    async def main() -> None:
        log: list[Any] = []
        machine = await Counting.start(log)
        assert await call(machine, "state") == ("counting", 0)
        cast(machine, "up")
        assert await call(machine, "state") == ("counting", 1)
        cast(machine, "object")
        assert await call(machine, "state") == {"any": ["value"]}
        status = await get_status(machine)
        assert status.state["state"] == {"any": ["value"]}

    run(main)


def test_STM_14_states_that_are_values_are_entered_postponed_and_timed_as_methods_are() -> None:
    log = count("later", "up", "same", "up", "up", for_s=0.1)
    assert log == [
        *[(("counting", 0), "from None"), (("counting", 0), "later"), (("counting", 0), "up")],
        *[(("counting", 1), "from ('counting', 0)"), (("counting", 1), "later"), (("counting", 1), "same")],
        *[(("counting", 1), "up"), (("counting", 2), "from ('counting', 1)"), (("counting", 2), "later")],
        *[(("counting", 2), "up"), ("full", "from ('counting', 2)"), ("full", "later")],
    ]
    assert count(for_s=0.1) == [(("counting", 0), "from None"), (("counting", 0), "state over")]
    assert count("same again") == [
        *[(("counting", 0), "from None"), (("counting", 0), "same again")],
        (("counting", 0), "from ('counting', 0)"),
    ]


def test_STM_14_values_of_another_type_are_another_state() -> None:
    """As Erlang's =:=: 1 and True are two states."""
    log = count("as int", "as bool", "as int", "as int")
    assert [(state, type(state), content) for state, content in log[2:]] == [
        *[(1, int, "from ('counting', 0)"), (1, int, "as bool")],
        *[(True, bool, "from 1"), (True, bool, "as int")],
        *[(1, int, "from True"), (1, int, "as int")],
    ]


# --- new code


class Old(StateMachine):
    """Version 1."""

    def initial(self) -> State:
        self.pushes = 0
        return self.shut

    def shut(self, event: Event) -> Result:
        match event:
            case Told("push"):
                self.pushes += 1
                return Keep(Postpone(), Timeout(0.1, name="state"))
            case Called("where", caller):
                return Keep(Answer(caller, ("old shut", self.pushes)))
        return None


class Renamed(Old):
    """Version 2 calls the state closed."""

    shut = None  # type: ignore[assignment]

    def code_change(self, old_version: Any, extra: Any) -> Any:
        self.pushes *= extra
        return Next(self.closed)

    def closed(self, event: Event) -> Result:
        match event:
            case Called("where", caller):
                return Keep(Answer(caller, ("new closed", self.pushes)))
            case Elapsed("state"):
                return Next(self.opened)
        return None

    async def opened(self, event: Event) -> Result:
        match event:
            case Told("push"):
                self.pushes += 1
            case Called("where", caller):
                return Keep(Answer(caller, ("new opened", self.pushes)))
        return None


class Forgetful(Renamed):
    """Its code_change forgets that the state has another name."""

    def code_change(self, old_version: Any, extra: Any) -> Any:
        self.pushes = -1


class Wrong(Renamed):
    """Its code_change says what it may not."""

    def code_change(self, old_version: Any, extra: Any) -> Any:
        return Next(self.closed, Timeout(1.0))


def test_STM_15_code_change_renames_the_state_and_keeps_what_was_postponed_and_timed() -> None:
    """Source: gen_statem:code_change/4."""

    async def main() -> None:
        machine = await Old.start()
        cast(machine, "push")
        await suspend(machine)
        await change_code(machine, Renamed, 1, 10)
        await resume(machine)
        assert await call(machine, "where") == ("new closed", 10)
        await asyncio.sleep(0.2)
        assert await call(machine, "where") == ("new opened", 11)

    run(main)


@pytest.mark.parametrize(("wrong", "why"), [(Forgetful, "has no state 'shut'"), (Wrong, "returns None or Next")])
def test_STM_15_code_change_that_leaves_no_state_changes_nothing(wrong: type[StateMachine], why: str) -> None:
    async def main() -> None:
        machine = await Old.start()
        await suspend(machine)
        with pytest.raises(CallbackFailed, match=why):
            await change_code(machine, wrong, 1, 10)
        await resume(machine)
        assert await call(machine, "where") == ("old shut", 0)
        assert (await get_state(machine))["pushes"] == 0

    run(main)


def test_STM_16_zero_state_timeout_comes_before_queued_events_and_dies_with_the_state() -> None:
    """Source: gen_statem(3): a zero time-out is inserted in the queue at once, after those queued already."""
    script = {("red", "arm"): Keep(Timeout(0)), ("red", "go"): go("green", Timeout(0))}
    assert play(script, "arm", 1) == [("red", "arm"), ("red", "state over"), ("red", 1)]
    assert play(script, "go", 1) == [("red", "go"), ("green", "state over"), ("green", 1)]
    script[("red", "arm")] = Keep(Timeout(0), Insert("go"))
    assert play(script, "arm", 1)[:3] == [("red", "arm"), ("red", "go"), ("green", "state over")]


def test_STM_17_answer_to_a_caller_who_waits_no_more_is_dropped() -> None:
    async def main() -> None:
        class Late(StateMachine):
            def initial(self) -> State:
                return self.only

            def only(self, event: Event) -> Result:
                match event:
                    case Called(_, caller):
                        return Keep(Timeout(0.1, caller, name="answer"))
                    case Elapsed("answer", caller):
                        reply(caller, "late")
                return None

        machine = await Late.start()
        with pytest.raises(TimeoutError):
            await call(machine, "x", timeout_s=0.05)
        await asyncio.sleep(0.1)
        assert await call(machine, "x") == "late"

    run(main)
