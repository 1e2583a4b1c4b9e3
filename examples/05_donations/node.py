"""One node of the demo, an OS process of its own. It hosts workers, and it is a door through which donations come in.

The parent talks JSON lines: on stdin the settings, then donations; on stdout what happened. End of stdin ends the node.
Times are of CLOCK_MONOTONIC, which all processes of a host share.
"""

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from worker import STARTED, DonationWorker

import zmqcluster as zc
from zmqcluster import telemetry

NAMES, WORKERS = zc.ClusterRegistry("donations.names"), zc.ClusterSupervisor("donations.workers")
RETRIED = (zc.ServerExited, zc.NoProcessError, zc.NoConnectionError, zc.CallTimeout, zc.StartFailed)
PAUSE_S = 0.02  # between two tries; a failover takes about this long
TRIES_MAX = 1_000


class Reports:
    """Events for the parent: those of one turn of the loop go out in one write."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, event: str, **fields: Any) -> None:
        if not self._lines:
            asyncio.get_running_loop().call_soon(self._write)
        self._lines.append(json.dumps({"event": event, **fields}))

    def _write(self) -> None:
        sys.stdout.write("\n".join(self._lines) + "\n")
        sys.stdout.flush()
        self._lines.clear()


class Door:
    """Takes donations in and brings each to the worker of its donor, wherever that runs."""

    def __init__(self, reports: Reports) -> None:
        self.reports = reports
        self.ensured: set[str] = set()

    async def donate(self, donation_id: str, donor: str, amount: Decimal) -> None:
        """Have one donation processed; try again as long as its worker is on the way from a dead node to another."""
        failures: list[str] = []
        while len(failures) < TRIES_MAX:
            try:
                zakat = await self._process(donor, amount)
            except RETRIED as error:
                failures.append(type(error).__name__)
                await asyncio.sleep(PAUSE_S)
            else:
                pid = NAMES.whereis(donor)
                node = pid.node if pid else ""
                self.reports.add("finished", id=donation_id, zakat=str(zakat), node=node, failures=failures)
                return
        self.reports.add("failed", id=donation_id, donor=donor, failures=failures)

    async def _process(self, donor: str, amount: Decimal) -> Decimal:
        name = NAMES.via(donor)
        if donor not in self.ensured:
            await WORKERS.ensure(donor, DonationWorker, donor, name=name)
            self.ensured.add(donor)
        return await DonationWorker.at(name).process(amount)


async def report_nodes(reports: Reports) -> None:
    """Tell the parent of every nodedown, with its time."""
    zc.monitor_nodes()
    while True:
        match await zc.receive():
            case zc.NodeDown(node=name):
                reports.add("nodedown", node=name, at=time.monotonic())


async def lines_of_stdin() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def main(nodes_count: int) -> None:
    reports = Reports()

    def started(event: str, fields: Mapping[str, Any]) -> None:
        reports.add("started", donor=fields["donor"], at=time.monotonic())

    telemetry.attach("demo", STARTED, started)
    await zc.Supervisor.start_link([NAMES, WORKERS])
    zc.spawn_link(report_nodes, reports)
    door = Door(reports)
    await zc.joined(nodes_count - 1, 20.0)
    reports.add("ready")
    async for line in await lines_of_stdin():
        for donation_id, donor, amount in json.loads(line):
            zc.spawn(door.donate, donation_id, donor, Decimal(amount))


if __name__ == "__main__":
    # The parent sends nothing more until we are ready, so no line is lost between the two readers of stdin.
    settings = json.loads(sys.stdin.readline())
    zc.run(
        main,
        settings["nodes_count"],
        name=settings["name"],
        cookie=settings["cookie"],
        cluster=settings["cluster"],
        topologies=[zc.Local()],
    )
