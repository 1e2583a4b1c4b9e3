"""An application for ``python -m zmqcluster node``: a server with a name, and workers of the cluster."""

from __future__ import annotations

import asyncio
import time

import zmqcluster as zc

workers = zc.ClusterSupervisor("shop.workers")


class Accounts(zc.GenServer):
    def init(self) -> None:
        self.noted: list[str] = []

    @zc.call
    def add(self, *amounts: float, currency: str = "EUR") -> str:
        return f"{sum(amounts):.2f} {currency}"

    @zc.call
    def noted_so_far(self) -> list[str]:
        return self.noted

    @zc.call
    def refuse(self) -> None:
        raise zc.Refusal(ValueError("not today"))

    @zc.cast
    def note(self, text: str) -> None:
        self.noted.append(text)

    def handle_call(self, request: object, caller: zc.Call) -> object:
        return {"asked": request, "pid": zc.self()} if request == "pid" else {"asked": request}


class Worker(zc.GenServer):
    pass


class Shop(zc.Supervisor):
    children = [zc.ChildSpec("accounts", Accounts, name="accounts"), workers]


@zc.remote
async def archive(month: str) -> None:
    """Done when it is told so; fails for a month that is no text."""
    if not isinstance(month, str):
        raise TypeError(month)
    if month != "now":
        await zc.receive()


async def hang() -> None:
    """What must not be done, and is: the loop does not turn any more."""
    await asyncio.sleep(0.05)
    time.sleep(60)


async def busy(count: int) -> None:
    """A shop with so many workers on this node and another one."""
    await Shop.start_link()
    while len(workers.members()) < 2:
        await asyncio.sleep(0.01)
    await asyncio.gather(*(workers.ensure(f"worker {number}", Worker) for number in range(count)))
    print("busy", flush=True)
    await zc.receive(lambda _: False)
