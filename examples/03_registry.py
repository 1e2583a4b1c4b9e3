"""Many donors, a process for each, found by the donor's id: a registry, and a supervisor of workers that come and go.

    main
     └── Supervisor
          ├── Registry "donors"                 unique keys: who works for "DON-7"?
          ├── Registry "news"                   duplicate keys: who wants to hear of a kind of donation?
          └── DynamicSupervisor "workers"       starts a worker when a donor gives for the first time

python examples/03_registry.py
"""

import asyncio
import contextlib
from decimal import Decimal
from functools import partial

import zmqcluster as zc
from zmqcluster.otp.registry import Entry

DONORS = zc.Registry("donors")
NEWS = zc.Registry("news", "duplicate")


class Worker(zc.GenServer):
    """Works for one donor."""

    def init(self, donor_id: str) -> None:
        self.donor_id = donor_id
        self.total = Decimal(0)

    @zc.call
    def give(self, amount: Decimal, kind: str) -> Decimal:
        self.total += amount
        DONORS.update_value(self.donor_id, lambda _: self.total)  # all may read it without asking
        NEWS.dispatch(kind, partial(tell, (self.donor_id, amount)))
        return self.total


def tell(what: object, entries: list[Entry]) -> None:
    for pid, _ in entries:
        zc.send(pid, what)


async def worker_of(donor_id: str) -> Worker:
    """The worker of the donor, started now if there is none."""
    name = DONORS.via(donor_id, Decimal(0))
    spec = zc.ChildSpec(donor_id, Worker, (donor_id,), name=name, restart="transient")
    with contextlib.suppress(zc.AlreadyStarted):  # by another that was faster, or long ago
        await zc.DynamicSupervisor.at("workers").start_child(spec)
    return Worker.at(name)  # by name, not by pid: it is found again after a restart


async def listener(kinds: list[str]) -> None:
    for kind in kinds:
        NEWS.register(kind)
    while True:
        donor_id, amount = await zc.receive()
        print(f"  a listener of {', '.join(kinds)} hears: {donor_id} gave {amount}")


async def main() -> None:
    await zc.Supervisor.start_link(
        [DONORS, NEWS, zc.ChildSpec("workers", zc.DynamicSupervisor, name="workers")],
        strategy="rest_for_one",
    )
    zc.spawn(listener, ["general"])
    zc.spawn(listener, ["general", "zakat"])
    await asyncio.sleep(0)  # let them register

    for donor_id, amount, kind in (("DON-7", 1000, "zakat"), ("DON-8", 50, "general"), ("DON-7", 500, "water")):
        total = await (await worker_of(donor_id)).give(Decimal(amount), kind)
        print(f"{donor_id} has given {total}")
        await asyncio.sleep(0)

    print("donors:", [(row.key, str(row.value)) for row in DONORS.select(value=lambda total: total > 100)])

    before = DONORS.whereis("DON-7")
    assert before is not None
    zc.exit(before, zc.Kill())  # the key is free when its holder has ended, and taken again by the restart
    await asyncio.sleep(0.01)
    print("another process:", DONORS.whereis("DON-7") != before)
    print("begins at zero:", await Worker.at(DONORS.via("DON-7")).give(Decimal(5), "water"))


if __name__ == "__main__":
    zc.run(main)

# Output:
#   a listener of general, zakat hears: DON-7 gave 1000
# DON-7 has given 1000
#   a listener of general hears: DON-8 gave 50
#   a listener of general, zakat hears: DON-8 gave 50
# DON-8 has given 50
# DON-7 has given 1500
# donors: [('DON-7', '1500')]
# another process: True
# begins at zero: 5
