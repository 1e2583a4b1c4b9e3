"""Two nodes: functions called on the other one, every way that can go, a process and a server started there.

python examples/04_remote_calls.py
"""

import asyncio
import os
import subprocess
import sys

import zmqcluster as zc

NAME = f"{os.getpid()}@127.0.0.1"  # no port: any that is free, found through the run directory of this host
COOKIE = "of this example"


@zc.remote  # other nodes may run it here: only what is marked so
def count_words(text: str) -> int:
    return len(text.split())


@zc.remote
async def where() -> str:
    return str(zc.node().name).partition("-")[0]


@zc.remote
async def go_wrong(how: str) -> None:
    if how == "raise":
        raise ValueError("not like this")
    if how == "exit":
        zc.exit("enough")
    await asyncio.sleep(60)


@zc.remote
async def ticker(listener: zc.Pid, count: int) -> None:
    for number in range(count):
        zc.send(listener, ("tick", number))


class Ledger(zc.GenServer):
    """A server class needs no mark: importing it is enough."""

    def init(self) -> None:
        self.total = 0

    @zc.call
    def add(self, amount: int) -> int:
        self.total += amount
        return self.total


async def main(other: str) -> None:
    await zc.joined(1, timeout_s=20)
    print("words:", await zc.erpc.call(other, count_words, "far away and quickly back"))

    for how in ("raise", "exit", "hang"):
        try:
            await zc.erpc.call(other, go_wrong, how, timeout_s=0.2)
        except zc.RemoteError as error:
            print("it raised:", error.kind, error.text)
        except zc.RemoteExit as error:
            print("it exited:", error.reason)
        except zc.CallTimeout:
            print("it took too long")

    try:
        await zc.erpc.call(other, "os:system", "echo no")
    except zc.NotExported as error:
        print("refused:", error.function)

    outcomes = await zc.erpc.multicall([str(zc.node().name), other], where)
    print("everywhere:", *(each.value if isinstance(each, zc.erpc.Returned) else each.error for each in outcomes))

    pid, ref = await zc.spawn_monitor_on(other, ticker, zc.self(), 2)
    print("heard:", await zc.receive(), await zc.receive())
    down = await zc.receive()
    print("its end:", down.reason, down.ref == ref, down.object == pid)

    ledger = await Ledger.start_on(other, name="ledger")
    await ledger.add(10)
    print("the ledger over there:", await Ledger.at(("ledger", other)).add(5))


async def serve() -> None:
    """The other node, until its input ends."""
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        zc.run(serve, name=sys.argv[1], cookie=COOKIE, topologies=[zc.Local()])
    else:
        there = f"there-{NAME}"
        child = subprocess.Popen([sys.executable, __file__, there], stdin=subprocess.PIPE)
        try:
            zc.run(main, there, name=f"here-{NAME}", cookie=COOKIE, topologies=[zc.Local()])
        finally:
            child.communicate()

# Output:
# words: 5
# it raised: ValueError not like this
# it exited: enough
# it took too long
# refused: os:system
# everywhere: here there
# heard: ('tick', 0) ('tick', 1)
# its end: Normal() True True
# the ledger over there: 15
