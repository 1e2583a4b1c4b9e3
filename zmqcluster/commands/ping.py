"""``ping``: is the node there, does it let us in, and how long does an answer take?

    $ python -m zmqcluster ping orders@10.0.0.7
    orders@10.0.0.7 answers in 0.31 ms, protocol version 1

The question is a monitor of a name that nobody has: any node answers it, whatever runs there.
"""

from __future__ import annotations

import argparse
import asyncio
import time

from zmqcluster.commands.command import Command, Options, add_security, security_of
from zmqcluster.commands.terminal import EVERY_S, tell
from zmqcluster.core import Down
from zmqcluster.errors import ConnectionFailed
from zmqcluster.exits import NoProcess
from zmqcluster.ids import NodeName
from zmqcluster.monitoring.visit import TIMEOUT_S, find, reach, visit
from zmqcluster.runtime.current import node
from zmqcluster.runtime.process import monitor, receive

__all__ = ["PING"]

NOBODY = "zmqcluster.ping"  # no process has this name


def _configure(options: argparse.ArgumentParser) -> None:
    options.add_argument("node", help="its full name, or the part before the @ of one of this host")
    options.add_argument("--count", type=int, default=1, help="how often; 0: until it is interrupted")
    options.add_argument("--every", type=float, default=EVERY_S, metavar="SECONDS", help="between two")
    add_security(options)


def _perform(options: Options) -> None:
    target = find(options.node)
    visit(_ping, target, options.count, options.every, toward=target, purpose="ping", **security_of(options))


async def _ping(target: NodeName, count: int, every_s: float) -> None:
    await reach(target)
    terms = node().terms(target)
    asked = 0
    while True:
        took_ms = await _round_trip_ms(target)
        tell(f"{target} answers in {took_ms:.2f} ms, protocol version {terms.version if terms else '?'}")
        asked += 1
        if asked == count:
            return
        await asyncio.sleep(every_s)


async def _round_trip_ms(target: NodeName) -> float:
    began_ns = time.perf_counter_ns()
    ref = monitor((NOBODY, target))
    try:
        down: Down = await receive(lambda each: isinstance(each, Down) and each.ref == ref, timeout_s=TIMEOUT_S)
    except TimeoutError:
        raise ConnectionFailed(target, f"no answer within {TIMEOUT_S:g} s, though it is connected") from None
    if down.reason != NoProcess():
        raise ConnectionFailed(target, f"the connection was lost: {down.reason!r}")
    return (time.perf_counter_ns() - began_ns) / 1e6


PING = Command("ask whether a node is there, and how long an answer takes", _configure, _perform)
