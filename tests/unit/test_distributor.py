"""The two legs of a broadcast: who gets it when something on the way is full, gone or cannot be sent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.running import arriving, forever, run
from zmqcluster.cluster import distributor
from zmqcluster.cluster.distributor import Distributor, Fanout, deliver_to_all, distribute
from zmqcluster.errors import LinkBusy
from zmqcluster.runtime.process import self, send, spawn


def test_deliver_when_a_mailbox_refuses_then_the_others_get_it() -> None:
    async def main() -> None:
        full = spawn(forever, bound=1, policy="refuse")
        deliver_to_all([full, full, self()], "message")
        assert await arriving() == ["message"]

    run(main)


def test_deliver_when_one_is_skipped_then_all_others_get_it_so_often() -> None:
    async def main() -> None:
        deliver_to_all([self(), self()], "no", self())
        deliver_to_all([self(), self()], "twice", spawn(forever))
        assert await arriving() == ["twice", "twice"]

    run(main)


def test_distribute_when_a_link_is_full_then_all_others_get_it_and_the_sender_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[Any] = []

    def busy(dest: tuple[str, str], message: Fanout) -> None:
        if dest[1] == "b":
            raise LinkBusy("b", "full")
        sent.append((dest, message))

    async def main() -> None:
        fanout = Fanout("g", "message")
        with pytest.raises(LinkBusy):
            distribute("name", ["a", "b", "c"], [self()], fanout)
        assert sent == [(("name", "a"), fanout), (("name", "c"), fanout)]
        assert await arriving() == ["message"]

    monkeypatch.setattr(distributor, "send", busy)
    run(main)


def test_distributor_when_it_gets_something_else_then_it_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        me = self()
        server = await Distributor.start(lambda key: [me] if key == "g" else [])
        send(server.pid, "noise")
        send(server.pid, Fanout("other", "message"))
        send(server.pid, Fanout("g", "message"))
        await asyncio.sleep(0)
        assert await arriving() == ["message"]

    run(main)
    assert "noise" in caplog.text
