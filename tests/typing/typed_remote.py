"""What mypy knows of functions and servers on other nodes. A line with ``# E: text`` is an error there.

Not run: ``test_typing.py`` gives it to mypy --strict.
"""

from __future__ import annotations

from typing import assert_type

import zmqcluster as zc


@zc.remote
async def measure(text: str) -> float:
    return float(len(text))


@zc.remote(name="texts.count")
def count(text: str) -> int:
    return len(text)


class Ledger(zc.GenServer):
    @zc.call
    def total(self) -> int:
        return 0


async def calls(node: str) -> None:
    assert_type(count("a"), int)
    assert_type(await measure("a"), float)
    assert_type(await zc.erpc.call(node, measure, "a"), float)
    assert_type(await zc.erpc.call(node, count, "a", timeout_s=None), int)
    for outcome in await zc.erpc.multicall([node], count, "a", timeout_s=1.0):
        match outcome:
            case zc.erpc.Returned(value):
                assert_type(value, int)
            case zc.erpc.Failed(error):
                assert_type(error, Exception)
    zc.erpc.cast(node, "texts.count", "a")
    (await zc.erpc.call(node, count, "a")).upper()  # E: "int" has no attribute "upper"
    await zc.erpc.call(count, "a")  # E: No overload variant of "call" matches
    await zc.erpc.call(node, count, timeout_s="soon")  # E: No overload variant of "call" matches


async def processes(node: str) -> None:
    assert_type(await zc.spawn_on(node, measure, "a", name="measuring"), zc.Pid)
    assert_type(await zc.spawn_link_on(node, "texts.count", "a"), zc.Pid)
    pid, ref = await zc.spawn_monitor_on(node, measure, "a")
    assert_type(pid, zc.Pid)
    assert_type(ref, zc.Ref)
    zc.send(zc.spawn_on(node, measure, "a"), 1)  # E: Argument 1 has incompatible type
    zc.spawn_on(node, measure, policy="never")  # E: Argument "policy" to "spawn_on" has incompatible type


async def servers(node: str) -> None:
    ledger = await Ledger.start_on(node, name="ledger")
    assert_type(ledger, Ledger)
    assert_type(await ledger.total(), int)
    await Ledger.start_on(7)  # E: Argument 1 to "start_on" of "GenServer" has incompatible type "int"
