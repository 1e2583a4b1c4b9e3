"""A pledge: promised, reminded of, paid or given up. Each state is a method; what happens next depends on it.

              pay all                     pay all
    promised ─────────> paid <──────────── reminded ──┐ 3 reminders
        └── after 30 days: remind ────────────^  └─────┴──> given up

python examples/04_state_machine.py
"""

import asyncio
from decimal import Decimal

import zmqcluster as zc
from zmqcluster.otp.state_machine import (
    Answer,
    Called,
    Elapsed,
    Entered,
    Event,
    Keep,
    Next,
    Result,
    State,
    Timeout,
    Told,
)

DAY_S = 0.002  # a day is short here, so that the example is
REMINDERS_MAX = 3


class Pledge(zc.StateMachine):
    """Somebody promised to give ``due``."""

    state_enter = True  # each state is told when it is entered

    def initial(self, donor_id: str, due: Decimal) -> State:
        self.donor_id = donor_id
        self.due = due
        self.reminders = 0
        return self.promised

    def promised(self, event: Event) -> Result:
        match event:
            case Entered():
                self.say(f"promised {self.due}")
                return Keep(Timeout(30 * DAY_S))  # ends with the state
            case Elapsed("state"):
                return Next(self.reminded)
        return self.any_state(event)

    def reminded(self, event: Event) -> Result:
        match event:
            case Entered():
                return Keep(Timeout(0, name="remind"))
            case Elapsed("remind") if self.reminders == REMINDERS_MAX:
                return Next(self.given_up)
            case Elapsed("remind"):
                self.reminders += 1
                self.say(f"reminder {self.reminders}")
                return Keep(Timeout(7 * DAY_S, name="remind"))
        return self.any_state(event)

    def paid(self, event: Event) -> Result:
        match event:
            case Entered(before):
                self.say(f"paid all, having been {before}")
                return Keep(Timeout(None, name="remind"))
        return self.any_state(event)

    def given_up(self, event: Event) -> Result:
        match event:
            case Entered():
                self.say("given up")
                return None
            case Told(("pay", _)):
                return Next(self.paid)
        return self.any_state(event)

    def any_state(self, event: Event) -> Result:
        """What all states have in common."""
        match event:
            case Told(("pay", amount)):
                self.due -= amount
                return Next(self.paid) if self.due <= 0 else None
            case Called("due", caller):
                return Keep(Answer(caller, self.due))
        return None

    def say(self, what: str) -> None:
        print(f"{self.donor_id}: {what}")


async def main() -> None:
    quick = await Pledge.start_link("DON-7", Decimal(100))
    zc.cast(quick, ("pay", Decimal(60)))
    print("still due:", await zc.call(quick, "due"))
    zc.cast(quick, ("pay", Decimal(40)))
    await zc.call(quick, "due")

    slow = await Pledge.start_link("DON-8", Decimal(100))
    await asyncio.sleep(100 * DAY_S)
    zc.cast(slow, ("pay", Decimal(100)))
    await zc.call(slow, "due")


if __name__ == "__main__":
    zc.run(main)

# Output:
# DON-7: promised 100
# still due: 40
# DON-7: paid all, having been promised
# DON-8: promised 100
# DON-8: reminder 1
# DON-8: reminder 2
# DON-8: reminder 3
# DON-8: given up
# DON-8: paid all, having been given_up
