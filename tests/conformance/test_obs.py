"""OBS: what is logged and told of crashes and supervision. One test per case of the behaviour list, named after it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

import zmqcluster as zc
from tests.support.running import arriving, end_of, forever, run
from zmqcluster import telemetry


class Worker(zc.GenServer):
    """Ends as it is told."""

    def init(self, secret: str = "none", fails: bool = False) -> zc.Stop | None:
        self.secret = secret
        return zc.Stop("broken") if fails else None

    def handle_call(self, request: Any, caller: zc.Call) -> Any:
        raise ValueError(request)

    def handle_cast(self, request: Any) -> Any:
        return zc.Stop(request)

    def format_status(self) -> Any:
        return {"secret": "*" * len(self.secret)}


Told = list[tuple[str, Mapping[str, Any]]]

EVENTS = ("zmqcluster.gen_server.terminated", "zmqcluster.supervisor.report", "zmqcluster.supervisor.progress")


@pytest.fixture
def told() -> Iterator[Told]:
    """The telemetry of servers and supervisors, in order."""
    events: Told = []
    for event in EVENTS:
        telemetry.attach("test", event, lambda name, fields: events.append((name, fields)))
    yield events
    for event in EVENTS:
        telemetry.detach("test", event)


@pytest.mark.parametrize("reason", [zc.Normal(), zc.Shutdown(), zc.Shutdown("detail")])
def test_OBS_01_orderly_end_of_a_server_is_not_reported(
    reason: Any, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    """Source: gen_server_SUITE:crash."""

    async def main() -> None:
        worker = await Worker.start()
        zc.cast(worker, reason)
        assert await end_of(worker.pid) == reason

    run(main)
    assert caplog.records == []
    assert told == []


def test_OBS_01_crash_is_one_report_with_all_that_is_needed_to_find_its_cause(
    told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    """Source: gen_server_SUITE:crash; Elixir translator_test."""
    pids: dict[str, Any] = {}

    async def parent(owner: zc.Pid) -> None:
        pids["worker"] = (await Worker.start_link("hidden", name="worker")).pid
        zc.send(owner, "started")
        await forever()

    async def main() -> None:
        zc.trap_exits(True)
        pids["parent"], pids["client"] = zc.spawn(parent, zc.self()), zc.self()
        await zc.receive()
        with pytest.raises(zc.ServerExited) as caught:
            await zc.call("worker", "the request")
        assert caught.value.server == pids["worker"]
        assert (caught.value.reason.kind, caught.value.reason.text) == ("ValueError", "the request")

    run(main)
    ((_, fields),) = told
    reason = fields["reason"]
    assert {key: fields[key] for key in ("server", "pid", "names", "client", "ancestors", "state")} == {
        "server": "Worker",
        "pid": pids["worker"],
        "names": ["worker"],
        "client": pids["client"],
        "ancestors": [pids["parent"]],
        "state": {"secret": "******"},
    }
    assert fields["initial_call"].endswith("test_obs:Worker.init")
    assert fields["last_message"].request == "the request"
    assert "handle_call" in reason.trace
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("zmqcluster.gen_server", logging.ERROR)
    assert vars(record)["zmqcluster"] == fields
    for part in ("Worker", repr(pids["worker"]), "the request", "******", "ValueError", "handle_call"):
        assert part in record.getMessage()
    assert "hidden" not in record.getMessage()


def test_OBS_01_crash_of_a_plain_process_is_one_report_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """Source: proc_lib crash report."""

    async def breaks() -> None:
        raise ValueError("boom")

    async def main() -> None:
        pid = zc.spawn(breaks)
        await end_of(pid)
        expected = zc.spawn(ends_with, zc.Shutdown())
        await end_of(expected)

    async def ends_with(reason: Any) -> None:
        zc.exit(reason)

    run(main)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("zmqcluster.process", logging.ERROR)
    assert "breaks" in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ValueError)


def test_OBS_02_supervisor_reports_progress_crashes_failed_starts_and_the_limit(
    told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    """Source: supervisor reports and progress reports of sasl."""
    pids: dict[str, Any] = {}

    async def main() -> None:
        spec = zc.ChildSpec("w", Worker, shutdown_s=1)
        supervisor = await zc.Supervisor.start([spec], max_restarts=1)
        pids["supervisor"] = supervisor.pid
        with pytest.raises(zc.StartFailed):
            await zc.Supervisor.start([zc.ChildSpec("f", Worker, ("", True))])
        for _ in range(2):
            pids["w"] = (await supervisor.which_children())[0].pid
            zc.cast(pids["w"], "bang")
            await arriving()

    with caplog.at_level(logging.INFO, "zmqcluster.supervisor"):
        run(main)
    seen = [
        (name.rpartition(".")[2], fields.get("context"), fields.get("offender", fields.get("started"))["id"])
        for name, fields in told
        if "supervisor" in name
    ]
    assert seen == [
        ("progress", None, "w"),
        ("report", "start_error", "f"),
        ("report", "child_terminated", "w"),
        ("progress", None, "w"),
        ("report", "child_terminated", "w"),
        ("report", "shutdown", "w"),
    ]
    crash = [fields for name, fields in told if fields.get("context") == "child_terminated"][-1]
    assert crash["supervisor"] == pids["supervisor"]
    assert crash["reason"] == "bang"
    assert crash["offender"] == {
        "id": "w",
        "pid": pids["w"],
        "server": "Worker",
        "restart": "permanent",
        "shutdown_s": 1,
        "kind": "worker",
    }
    levels = [record.levelname for record in caplog.records if record.name == "zmqcluster.supervisor"]
    assert levels == ["INFO", "ERROR", "ERROR", "INFO", "ERROR", "ERROR"]


def test_OBS_02_child_that_had_to_be_killed_is_a_shutdown_error(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    """Source: supervisor:shutdown/1."""

    class Stubborn(Worker):
        def init(self, secret: str = "none", fails: bool = False) -> None:
            zc.trap_exits(True)

        async def terminate(self, reason: Any) -> None:
            await asyncio.sleep(3600)

    async def main() -> None:
        supervisor = await zc.Supervisor.start([zc.ChildSpec("s", Stubborn, shutdown_s=0.05)])
        await zc.stop(supervisor, zc.Shutdown())

    run(main)
    (report,) = [fields for name, fields in told if name.endswith("supervisor.report")]
    assert (report["context"], report["reason"]) == ("shutdown_error", zc.Killed())
    assert len(caplog.records) == 1


def test_OBS_04_span_tells_start_and_stop_or_the_exception_with_one_context() -> None:
    """Source: telemetry_SUITE span."""
    events: Told = []
    names = ("work.start", "work.stop", "work.exception")
    for name in names:
        telemetry.attach("test", name, lambda name, fields: events.append((name, fields)))
    with telemetry.span("work", job=7):
        pass
    with pytest.raises(ValueError, match="boom"), telemetry.span("work", job=8):
        raise ValueError("boom")
    for name in names:
        telemetry.detach("test", name)
    assert [(name, fields["job"]) for name, fields in events] == [
        ("work.start", 7),
        ("work.stop", 7),
        ("work.start", 8),
        ("work.exception", 8),
    ]
    contexts = [fields["span_context"] for _, fields in events]
    assert contexts[0] is contexts[1]
    assert contexts[1] is not contexts[2]
    assert contexts[2] is contexts[3]
    assert events[1][1]["duration_ns"] >= 0
    assert str(events[3][1]["error"]) == "boom"
    assert events[3][1]["error"].__traceback__ is not None


def test_OBS_05_processes_of_this_node_are_listed_with_what_describes_them() -> None:
    """Source: LiveDashboard, processes page. The other nodes' part of this case comes with cluster monitoring."""

    async def main() -> None:
        worker = await Worker.start_link(name="worker")
        zc.send(worker, "unread")
        scheduler = zc.node().scheduler
        listed = {pid: scheduler.describe(pid) for pid in scheduler.pids()}
        info = listed[worker.pid]
        assert info is not None
        assert {key: info[key] for key in ("names", "queued", "links", "parent", "label")} == {
            "names": ["worker"],
            "queued": 1,
            "links": [zc.self()],
            "parent": zc.self(),
            "label": "Worker",
        }
        assert listed[zc.self()]["label"]  # type: ignore[index]
        await arriving()

    run(main)
