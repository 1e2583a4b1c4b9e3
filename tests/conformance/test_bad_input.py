"""Bad input: each mistake has an error of its own, which says what is wrong and what to do. One test per mistake."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import zmqcluster as zc
from tests.support.running import arriving, run, run_real
from zmqcluster.testing.simulation import Simulation

ROOT = Path(__file__).parents[2]


class DonationWorker(zc.GenServer):
    """Sums what one donor gives; an amount of 0 is a bug of its caller that it does not expect."""

    def init(self, donor: str) -> None:
        self.donor = donor
        self.total = Decimal(0)

    @zc.call
    def process(self, amount: Decimal) -> Decimal:
        self.total += amount
        return self.total / (1 if amount else 0)

    @zc.call
    def report(self) -> Any:
        return {"donor": self.donor, "write_to": print}

    def handle_call(self, request: Any, caller: zc.Call) -> Any:
        return request


# --- calls


def test_call_to_a_dead_process_then_it_is_named_at_once() -> None:
    async def main() -> None:
        worker = await DonationWorker.start("ann")
        pid = worker.pid
        await zc.stop(worker)
        for ask in (lambda: worker.process(Decimal(1)), lambda: zc.call(pid, "x")):
            with pytest.raises(zc.NoProcessError) as caught:
                await ask()
            assert str(caught.value) in (f"No process at {worker!r}.", f"No process at {pid!r}.")

    run(main)


def test_call_to_a_process_that_dies_meanwhile_then_the_reason_is_told_and_that_it_may_have_been_handled() -> None:
    async def main() -> None:
        worker = await DonationWorker.start("ann")
        pending = worker.process(Decimal(1))
        zc.exit(worker.pid, zc.Shutdown("maintenance"))
        with pytest.raises(zc.ServerExited, match="may have been handled") as caught:
            await pending
        assert caught.value.reason == zc.Shutdown("maintenance")

    run(main)


def test_call_of_an_unknown_worker_then_its_name_is_in_the_error() -> None:
    async def main() -> None:
        with pytest.raises(zc.NoProcessError, match="'worker_nobody'"):
            await zc.call("worker_nobody", "x")
        worker = DonationWorker.at("worker_nobody")
        with pytest.raises(zc.NoProcessError, match="worker_nobody"):
            await worker.process(Decimal(1))
        with pytest.raises(zc.NotRegistered, match="worker_nobody"):
            zc.send("worker_nobody", "x")
        with pytest.raises(zc.NotRegistered, match="worker_nobody"):
            _ = worker.pid

    run(main)


def test_handler_that_raises_then_report_restart_and_the_caller_gets_server_exited(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        spec = zc.ChildSpec("ann", DonationWorker, ("ann",), name="worker_ann")
        await zc.Supervisor.start_link([spec])
        worker = DonationWorker.at("worker_ann")
        assert await worker.process(Decimal(5)) == 5
        failed = worker.pid
        with pytest.raises(zc.ServerExited) as caught:
            await worker.process(Decimal(0))
        assert caught.value.server == failed
        assert caught.value.reason.kind == "DivisionByZero"
        await arriving()
        assert worker.pid != failed
        assert await worker.process(Decimal(7)) == 7

    run(main)
    crash = caplog.records[0].getMessage()
    for part in ("DonationWorker", "last message: Call(process(Decimal('0'),))", "'donor': 'ann'", "in process"):
        assert part in crash
    assert [record.name for record in caplog.records] == ["zmqcluster.gen_server", "zmqcluster.supervisor"]


# --- times


async def rest() -> None:
    await zc.receive("never")


TIMED: dict[str, Callable[[Any, Any], Any]] = {
    "call": lambda worker, time_s: zc.call(worker, "x", timeout_s=time_s),
    "within": lambda worker, time_s: worker.process.within(time_s)(Decimal(1)),
    "send_request": lambda worker, time_s: zc.send_request(worker, "x", timeout_s=time_s),
    "multi_call": lambda worker, time_s: zc.multi_call(["nonode@nohost"], "worker", "x", timeout_s=time_s),
    "start": lambda worker, time_s: DonationWorker.start("bob", timeout_s=time_s),
    "start_link": lambda worker, time_s: DonationWorker.start_link("bob", timeout_s=time_s),
    "stop": lambda worker, time_s: zc.stop(worker, timeout_s=time_s),
    "receive": lambda worker, time_s: zc.receive(timeout_s=time_s),
    "receive a match": lambda worker, time_s: zc.receive(int, timeout_s=time_s),
    "send_after": lambda worker, time_s: zc.send_after(time_s, worker, "x"),
    "start_timer": lambda worker, time_s: zc.start_timer(time_s, worker, "x"),
    "task result": lambda worker, time_s: zc.Task.spawn(rest).result(time_s),
    "task poll": lambda worker, time_s: zc.Task.spawn(rest).poll(time_s),
    "task shutdown": lambda worker, time_s: zc.Task.spawn(rest).shutdown(time_s),
    "agent": lambda worker, time_s: zc.Agent.at("agent").get(len, timeout_s=time_s),
    "sys": lambda worker, time_s: zc.sys.get_state(worker, timeout_s=time_s),
    "shutdown_s": lambda worker, time_s: zc.ChildSpec("a", DonationWorker, shutdown_s=time_s),
    "start_timeout_s": lambda worker, time_s: zc.ChildSpec("a", DonationWorker, start_timeout_s=time_s),
    "Reply": lambda worker, time_s: zc.Reply("x", timeout_s=time_s),
    "NoReply": lambda worker, time_s: zc.NoReply(timeout_s=time_s),
}


@pytest.mark.parametrize("what", TIMED)
@pytest.mark.parametrize("time_s", [-1, -0.001, float("nan")])
def test_negative_time_then_it_is_refused_and_nothing_was_started_or_sent(what: str, time_s: float) -> None:
    async def main() -> None:
        worker = await DonationWorker.start("ann", name="worker")
        await zc.Agent.start(dict, name="agent")
        count = len(zc.node().scheduler.pids())
        with pytest.raises(zc.ConfigError, match="at least 0"):
            await TIMED[what](worker, time_s)
        assert len(zc.node().scheduler.pids()) - count == what.startswith("task")
        assert (await zc.sys.get_state(worker)) == {"donor": "ann", "total": 0}

    run(main)


# --- nodes


BAD_NAMES = ["orders", "@10.0.0.7:7101", "orders@", "orders@10.0.0.7:99999", "orders@10.0.0.7:http", "or ders@10.0.0.7"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_malformed_node_name_then_it_is_refused_before_anything_starts(name: str) -> None:
    async def never() -> None:
        raise AssertionError("it started")

    with pytest.raises(zc.ConfigError, match="node name"):
        zc.Node(name)
    with pytest.raises(zc.ConfigError, match="node name"):
        zc.run(never, name=name)


def test_malformed_name_of_a_peer_then_connect_refuses_it() -> None:
    with Simulation(seed=1, nodes=1) as simulation:
        simulation.start("a")

        async def connects() -> None:
            with pytest.raises(zc.ConfigError, match="node name"):
                await zc.connect("orders")

        simulation.run_on("a", connects)


def test_topologies_without_a_name_then_the_node_says_that_it_needs_one() -> None:
    with pytest.raises(zc.ConfigError, match="without a name"):
        zc.Node(topologies=[zc.Static(["a@127.0.0.1:7101"])])


@pytest.mark.parametrize("main", [None, 7, "main"])
def test_run_of_what_is_no_function_then_it_says_what_it_takes(main: Any) -> None:
    with pytest.raises(zc.ConfigError, match="async function or a Supervisor class"):
        zc.run(main)


# --- the extension


BROKEN = """
import sys

class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == "zmqcluster._core":
            raise ImportError("invalid ELF header" if {present} else "No module named 'zmqcluster._core'")

sys.meta_path.insert(0, Broken())
import zmqcluster
"""


@pytest.mark.parametrize("present", [True, False])
def test_missing_or_broken_extension_then_the_message_says_how_to_build_it(present: bool) -> None:
    program = BROKEN.format(present=present)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: zmqcluster's compiled core is missing or was built for another Python")
    assert "pip install ." in last
    assert "build_ext --inplace" in last
    assert ("invalid ELF header" if present else "No module named") in last


# --- messages that cannot be sent


@zc.message
@dataclass(frozen=True)
class Order:
    """A registered message with a field for anything."""

    callback: Any


@dataclass(frozen=True)
class Unregistered:
    """A dataclass that nobody registered."""


UNSENDABLE: list[tuple[str, str, Callable[[], Any]]] = [
    ("message", "type function", lambda: test_malformed_node_name_then_it_is_refused_before_anything_starts),
    ("message[1]", "type object", lambda: ("fine", object())),
    ("message['items'][3].callback", "cannot cross a link", lambda: {"items": [1, 2, 3, Order(object())]}),
    ("message[0]", "decorate the class with @message", lambda: [Unregistered()]),
]
PATHS = [path for path, _, _ in UNSENDABLE]


@pytest.mark.parametrize(("path", "problem", "message"), UNSENDABLE, ids=PATHS)
def test_message_that_cannot_be_sent_then_the_sender_is_told_where_and_nothing_was_sent(
    path: str, problem: str, message: Callable[[], Any]
) -> None:
    with Simulation(seed=1, nodes=2) as simulation:
        for name in simulation.names:
            simulation.start(name)

        async def receives() -> list[Any]:
            zc.register("reader")
            return await arriving(1)

        async def sends() -> None:
            for send in (zc.send, zc.cast, zc.call):
                with pytest.raises(zc.EncodeError, match="Nothing was sent") as caught:
                    pending: Any = send(("reader", simulation.full_name("b")), message())
                    await pending
                assert caught.value.path == path
                assert problem in caught.value.problem

        simulation.run_on("a", sends)
        assert simulation.run_on("b", receives) == []


@pytest.mark.parametrize(("path", "problem", "message"), UNSENDABLE, ids=PATHS)
def test_message_that_could_not_be_sent_then_a_node_that_copies_refuses_it_here_too(
    path: str, problem: str, message: Callable[[], Any]
) -> None:
    async def main() -> None:
        worker = await DonationWorker.start("ann")
        for send in (zc.send, zc.cast, zc.call):
            with pytest.raises(zc.EncodeError) as caught:
                pending: Any = send(worker, message())
                await pending
            assert caught.value.path == path
            assert problem in caught.value.problem
        assert await zc.call(worker, ("fine", 1)) == ("fine", 1)

    run_real(main, copy_messages=True)


def test_reply_that_cannot_be_sent_then_the_caller_is_told_and_the_server_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Simulation(seed=1, nodes=2) as simulation:
        for name in simulation.names:
            simulation.start(name)

        async def serves() -> None:
            await DonationWorker.start("ann", name="worker_ann")

        async def asks() -> None:
            worker = DonationWorker.at(("worker_ann", simulation.full_name("b")))
            with pytest.raises(zc.ClusterError) as caught:
                await worker.report()
            assert "write_to" in str(caught.value)
            assert await worker.process(Decimal("2.50")) == Decimal("2.50")

        simulation.run_on("b", serves)
        simulation.run_on("a", asks)
    assert "cannot be sent" in caplog.text or "replied with what" in caplog.text
