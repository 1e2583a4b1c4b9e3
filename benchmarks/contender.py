"""A contender: a process that measures on request, one line in, one line out.

    -> local.call\n
    <- local.call 2931000.0\n                               or several pairs: name value name value\n

The runner keeps one process per contender and asks them in turn, so that all of them meet the same noise; in any
language, since it is only lines. End of input ends the contender.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping

Figures = Mapping[str, float]
SMALL = {"op": "credit", "id": 123456, "amount": 12.5, "currency": "USD"}  # the small message of every contender
CALLERS_COUNT = 100


def scaled(count: int) -> int:
    """Return how often to do it: a fraction with BENCH_QUICK=1, which shows that it works and not how fast."""
    return max(200, count // 50) if os.environ.get("BENCH_QUICK") == "1" else count


def serve(measures: Mapping[str, Callable[[], Figures]]) -> None:
    """Answer requests until the input ends."""
    for line in sys.stdin:
        answer(measures[line.strip()]())


async def serve_async(measures: Mapping[str, Callable[[], Awaitable[Figures]]]) -> None:
    """As ``serve``, on an event loop that is not blocked while it waits for the next request."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        answer(await measures[line.strip()]())


def answer(figures: Figures) -> None:
    print(*(f"{name} {value!r}" for name, value in figures.items()), flush=True)


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the value that ``percent`` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def call_figures(latencies_s: list[float]) -> Figures:
    return {
        "link.call_p50_us": percentile(latencies_s, 50) * 1e6,
        "link.call_p99_us": percentile(latencies_s, 99) * 1e6,
    }


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
