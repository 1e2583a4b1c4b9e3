"""What is measured, against what, and what must hold."""

from __future__ import annotations

from dataclasses import dataclass

RATE, TIME, SIZE = "rate", "time", "size"  # of a rate more is better, of times and sizes less


@dataclass(frozen=True, slots=True)
class Measure:
    """One request to the contenders. Its figures have names of their own: p50 and p99 come of the same calls."""

    request: str
    kind: str
    unit: str
    baselines: tuple[str, ...]
    names: tuple[str, ...] = ()  # of its figures, where not the request itself
    fresh: bool = False  # each round in new processes: memory that was freed and taken again would not be seen

    def figures(self) -> tuple[str, ...]:
        return self.names or (self.request,)


QUEUE = ("asyncio_queue", "beam")
CALLS = ("link.call_p50_us", "link.call_p99_us")

MEASURES = [
    Measure("local.burst", RATE, "messages/s", QUEUE),
    Measure("local.ping_pong", RATE, "round trips/s", QUEUE),
    Measure("local.call", RATE, "calls/s", QUEUE),
    Measure("local.call_100", RATE, "calls/s", QUEUE),
    Measure("local.cast", RATE, "casts/s", QUEUE),
    Measure("local.spawn", RATE, "processes/s", QUEUE),
    Measure("local.memory_coroutine", SIZE, "bytes", QUEUE, fresh=True),
    Measure("local.memory_server", SIZE, "bytes", QUEUE, fresh=True),
    Measure("local.timer_lateness_flood_ms", TIME, "ms", QUEUE),
    Measure(
        "link.one_way", RATE, "messages/s", ("plain", "zmq_asyncio", "zmq_blocking", "zmq_blocking_batched", "beam")
    ),
    Measure("link.call", TIME, "us", ("plain", "raw_echo", "zmq_asyncio", "beam"), names=CALLS),
    Measure("link.call_100", RATE, "calls/s", ("plain", "zmq_asyncio", "beam")),
    Measure("link.payload_64k", RATE, "MB/s", ("plain", "zmq_blocking", "beam")),
    Measure("link.payload_1m", RATE, "MB/s", ("plain", "zmq_blocking", "beam")),
]

MEASURES += [
    Measure("otp.start_stop", RATE, "servers/s", ("goal",)),
    Measure("otp.supervisor_start", RATE, "children/s", ("goal",)),
    Measure("otp.supervisor_restart_2000_ms", TIME, "ms", ("goal",)),
    Measure("otp.monitor_demonitor", RATE, "pairs/s", ("goal",)),
    Measure("otp.registry_register", RATE, "keys/s", ("goal",)),
    Measure("otp.registry_lookup", RATE, "lookups/s", ("goal",)),
    Measure("otp.reply_among_200k", TIME, "x", ("goal",)),
    Measure("otp.memory_100k_servers_mb", SIZE, "MB", ("goal",), fresh=True),
]

MEASURES += [
    Measure("groups.broadcast_1000", RATE, "deliveries/s", ("beam",)),
]

MEASURES += [
    Measure("remote.spawn", RATE, "processes/s", ("beam",)),  # one process starts them all, and has their pids
    Measure("remote.spawn_awaited", RATE, "processes/s", ("beam",)),  # ... and has each before it starts the next
    Measure("remote.spawn_100", RATE, "processes/s", ("beam",)),  # 100 processes do so
    Measure("remote.erpc_call", RATE, "calls/s", ("beam",)),
]

MEASURES += [
    Measure("detect.kill9_ms", TIME, "ms", ("goal", "beam")),
    Measure("detect.sigstop_over_timeout", TIME, "x", ("goal",)),
    Measure("link.idle_cpu_share", TIME, "of a core", ("goal",)),
    Measure("mesh.20_ms", TIME, "ms", ("goal", "beam")),
]

# (figure, baseline) -> the least ratio, for times and sizes the greatest; baseline None: the greatest value itself.
FLOORS: dict[tuple[str, str | None], float] = {
    ("local.ping_pong", "asyncio_queue"): 10,
    ("local.call", "asyncio_queue"): 10,
    ("local.call_100", "asyncio_queue"): 3,
    ("local.burst", "asyncio_queue"): 2.5,
    ("local.spawn", "asyncio_queue"): 5,
    ("local.memory_coroutine", "asyncio_queue"): 1 / 4,
    ("local.memory_server", "asyncio_queue"): 1 / 12,
    ("link.one_way", "zmq_asyncio"): 20,
    ("link.one_way", "zmq_blocking"): 4,
    ("link.call_p50_us", "raw_echo"): 1.75,
    ("link.one_way", "plain"): 0.75,  # what CURVE may cost; of payloads it costs more, see docs/decisions/security.md
    ("link.call_p50_us", "plain"): 1.25,
    ("link.call_100", "plain"): 0.75,
    ("local.timer_lateness_flood_ms", None): 3.0,
    ("local.cast", "asyncio_queue"): 3,
    ("remote.spawn", "beam"): 2,
    ("groups.broadcast_1000", "beam"): 2,
}


def holds(name: str, kind: str, value: float, baseline: str, ratio: float) -> bool | None:
    """Return whether the floor of this pair holds, None where it has none."""
    if (name, None) in FLOORS:
        return value <= FLOORS[name, None]
    floor = 1.0 if baseline == "goal" else FLOORS.get((name, baseline))
    if floor is None:
        return None
    return ratio >= floor if kind == RATE else ratio <= floor
