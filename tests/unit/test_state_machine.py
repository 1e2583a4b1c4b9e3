"""The state machine as a server: its status, its time-outs by name, and its crash."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tests.support.running import end_of, run
from zmqcluster.errors import StartFailed
from zmqcluster.otp.methods import call, cast
from zmqcluster.otp.state_machine import (
    Answer,
    Called,
    Elapsed,
    Event,
    Keep,
    Next,
    Postpone,
    Result,
    State,
    StateMachine,
    Timeout,
    Told,
)
from zmqcluster.otp.state_timers import Due, StateTimers
from zmqcluster.otp.sys import get_status
from zmqcluster.runtime.node import Node
from zmqcluster.runtime.process import receive
from zmqcluster.runtime.run import run_node
from zmqcluster.testing.clock import VirtualLoop


class Turnstile(StateMachine):
    """A coin lets one person through within ten seconds."""

    def initial(self, price: int) -> State:
        self.price = price
        self.passed_count = 0
        return self.locked

    def locked(self, event: Event) -> Result:
        match event:
            case Told(int() as coin) if coin >= self.price:
                return Next(self.unlocked, Timeout(10.0))
            case Called("push", caller):
                return Keep(Answer(caller, False))
            case Told("later"):
                return Keep(Postpone())
            case Told("broken"):
                raise ValueError("broken")
        return None

    def unlocked(self, event: Event) -> Result:
        match event:
            case Called("push", caller):
                self.passed_count += 1
                return Next(self.locked, Answer(caller, True))
            case Elapsed("state"):
                return Next(self.locked)
        return None


async def play_turnstile() -> None:
    machine = await Turnstile.start_link(2)
    assert await call(machine, "push") is False
    cast(machine, 1)
    assert await call(machine, "push") is False
    cast(machine, 2)
    assert await call(machine, "push") is True
    assert await call(machine, "push") is False
    cast(machine, 2)
    await asyncio.sleep(10.01)
    assert await call(machine, "push") is False


def test_turnstile() -> None:
    run(play_turnstile)


def test_turnstile_where_messages_are_copied() -> None:
    loop = VirtualLoop()
    loop.run(run_node(Node(copy_messages=True), play_turnstile))
    loop.close()


def test_status_shows_the_state_its_data_and_what_is_postponed() -> None:
    async def main() -> None:
        machine = await Turnstile.start(2)
        cast(machine, "later")
        status = await get_status(machine)
        assert status.state == {
            "state": "locked",
            "data": {"price": 2, "passed_count": 0},
            "postponed": [Told("later")],
        }

    run(main)


def test_crash_is_reported_with_the_state(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        machine = await Turnstile.start(2)
        cast(machine, "broken")
        reason = await end_of(machine.pid)
        assert (reason.kind, reason.text) == ("ValueError", "broken")

    caplog.set_level(logging.ERROR)
    run(main)
    (report,) = [record for record in caplog.records if "Turnstile" in record.getMessage()]
    assert "'state': 'locked'" in report.getMessage()


def test_machine_without_initial_does_not_start() -> None:
    async def main() -> None:
        with pytest.raises(StartFailed) as failure:
            await StateMachine.start()
        assert failure.value.reason.text == "StateMachine has no initial()"

    run(main)


def test_timers_hand_out_each_time_out_once_and_only_the_latest_of_a_name() -> None:
    async def main() -> None:
        timers = StateTimers()
        assert timers.set(Timeout(0.01, "first")) is None
        assert timers.set(Timeout(0.02, "second")) is None
        late = await receive(Due, timeout_s=1.0)
        assert timers.take(late) == Elapsed("state", "second")
        assert timers.take(late) is None
        timers.set(Timeout(0.01, "third"))
        early = await receive(Due, timeout_s=1.0)
        timers.set(Timeout(0.01, "fourth"))  # the third was on its way already
        assert timers.take(early) is None
        assert timers.take(await receive(Due, timeout_s=1.0)) == Elapsed("state", "fourth")
        at_once = timers.set(Timeout(0, "now", "event"))
        assert at_once is not None
        timers.cancel("event")
        timers.cancel("event")
        assert timers.take(at_once) is None
        with pytest.raises(TimeoutError):
            await receive(Due, timeout_s=1.0)

    run(main)
