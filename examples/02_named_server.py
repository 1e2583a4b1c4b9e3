"""A server with state, under a name: called with its own methods, found by name, stopped in order.

python examples/02_named_server.py
"""

from decimal import Decimal

import zmqcluster as zc

ZAKAT = Decimal("0.025")


class Donor(zc.GenServer):
    """What one donor has given. The state is on ``self``; only this process ever touches it."""

    def init(self, donor_id: str) -> None:
        self.donor_id = donor_id
        self.total = Decimal(0)
        self.count = 0

    @zc.call  # the caller waits for the reply
    def give(self, amount: Decimal) -> Decimal:
        if amount <= 0:  # the mistake is the caller's: only the call fails, the server goes on
            raise zc.Refusal(ValueError(f"nobody gives {amount}"))
        self.total += amount
        self.count += 1
        return self.total

    @zc.call
    def zakat(self) -> Decimal:
        return (self.total * ZAKAT).quantize(Decimal("0.01"))

    @zc.cast  # the caller goes on at once
    def forget(self) -> None:
        self.total, self.count = Decimal(0), 0

    def terminate(self, reason: object) -> None:
        print(f"{self.donor_id} ends after {self.count} donations: {reason}")


async def main() -> None:
    donor = await Donor.start("DON-7", name="DON-7")  # returns when init has
    print("total:", await donor.give(Decimal("1000.00")))

    same = Donor.at("DON-7")  # anybody can make a handle from the name
    print("total:", await same.give(Decimal("500.50")))
    print("zakat:", await same.zakat())

    try:
        await same.give(Decimal(-5))
    except ValueError as error:
        print("refused:", error)

    try:
        await Donor.start("DON-7", name="DON-7")
    except zc.AlreadyStarted as error:
        print("taken by the same process:", error.pid == donor.pid)

    same.forget()
    print("zakat:", await same.zakat())  # messages of one process to another keep their order
    await zc.stop(donor.pid)
    print("still there:", zc.whereis("DON-7"))


if __name__ == "__main__":
    zc.run(main)

# Output:
# total: 1000.00
# total: 1500.50
# zakat: 37.51
# refused: nobody gives -5
# taken by the same process: True
# zakat: 0.00
# DON-7 ends after 0 donations: Normal()
# still there: None
