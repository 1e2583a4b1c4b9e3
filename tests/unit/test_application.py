"""The application: its class, its callbacks, and reading what runs."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.support.running import run
from zmqcluster.errors import StartFailed
from zmqcluster.otp.application import CONTROLLER, Application, start_order
from zmqcluster.otp.application_controller import Applications, running_applications
from zmqcluster.otp.gen_server import GenServer
from zmqcluster.otp.supervisor import Supervisor
from zmqcluster.otp.sys import get_status
from zmqcluster.runtime.node import Node
from zmqcluster.runtime.process import whereis
from zmqcluster.runtime.run import run_node
from zmqcluster.testing.clock import VirtualLoop


class Worker(GenServer):
    def init(self, *arguments: Any) -> None:
        self.arguments = arguments


class Ledger(Application):
    children = (Worker,)


class Finance(Application):
    depends_on = (Ledger,)
    children = (Worker,)
    strategy = "one_for_all"
    max_restarts = 7

    def stopping(self) -> None:
        raise ValueError("cannot stop now")

    async def stopped(self) -> None:
        raise ValueError("cannot be stopped")


async def start_both() -> None:
    assert running_applications() == {}
    assert Ledger.whereis() is None
    await Finance.ensure_started()
    assert list(running_applications()) == ["Ledger", "Finance"]
    supervisor = Finance.whereis()
    assert supervisor is not None
    assert await Supervisor.at(supervisor).count_children() == {
        "specs": 1,
        "active": 1,
        "supervisors": 0,
        "workers": 1,
    }
    await Finance.stop()
    assert list(running_applications()) == ["Ledger"]


def test_running_applications_are_read_without_asking() -> None:
    run(start_both)


def test_applications_start_where_messages_are_copied() -> None:
    loop = VirtualLoop()
    loop.run(run_node(Node(copy_messages=True), start_both))
    loop.close()


def test_callback_that_raises_is_logged_and_does_not_keep_it_running(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "zmqcluster.application")
    run(start_both)
    assert [record.getMessage() for record in caplog.records] == [
        "application Finance: stopping raised",
        "application Finance: stopped raised",
    ]


def test_limits_of_the_class_are_those_of_its_supervisor() -> None:
    async def main() -> None:
        await Finance.ensure_started()
        supervisor = Finance.whereis()
        assert supervisor is not None
        status = await get_status(supervisor)
        assert (status.state["_strategy"], status.state["_max_restarts"]) == ("one_for_all", 7)
        controller = whereis(CONTROLLER)
        assert controller is not None
        assert (await get_status(Applications.at(controller))).state == running_applications()

    run(main)


def test_tree_that_is_no_list_of_children_does_not_start() -> None:
    class Wrong(Application):
        children = (7,)  # type: ignore[assignment]

    async def main() -> None:
        with pytest.raises(StartFailed) as failure:
            await Wrong.start()
        assert failure.value.reason.kind == "ConfigError"
        assert Wrong.whereis() is None

    run(main)


def test_start_order_has_each_once_after_what_it_needs() -> None:
    class A(Application):
        pass

    class B(Application):
        depends_on = (A,)

    class C(Application):
        depends_on = (A, B)

    class D(Application):
        depends_on = (C, B)

    assert start_order(D) == [A, B, C, D]
    assert start_order(A) == [A]
