"""Many servers asked at once: GS-20, and the collections of gen_server_SUITE's send_request cases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.running import arriving, now_ms, run
from zmqcluster.core import Call, NoReply, Stop
from zmqcluster.errors import (
    CallingSelf,
    CallTimeout,
    EncodeError,
    NoConnectionError,
    NoProcessError,
    RequestFailed,
    ServerExited,
    UsageError,
)
from zmqcluster.otp.gen_server import GenServer, reply
from zmqcluster.otp.methods import call
from zmqcluster.otp.requests import Requests, abcast, multi_call, send_request
from zmqcluster.runtime.process import receive, send_after
from zmqcluster.testing.simulation import Simulation

UNREACHABLE = "nobody@10.0.0.99:7100"


class Stock(GenServer):
    """Answers at once, later, never, or not at all, as it is asked."""

    def init(self, number: int = 0) -> None:
        self.number = number
        self.told: list[Any] = []

    def handle_call(self, request: Any, caller: Call) -> Any:
        match request:
            case "number":
                return self.number
            case ("after", seconds):
                send_after(seconds, "stock", ("reply", caller))
                return NoReply()
            case "told":
                return self.told
            case "end":
                return Stop()
        return NoReply()

    def handle_cast(self, request: Any) -> None:
        self.told.append(request)

    def handle_info(self, message: Any) -> None:
        _, caller = message
        reply(caller, self.number)

    @call
    async def ask_all(self) -> Any:
        return await multi_call(None, "stock", "number")


@pytest.fixture
def cluster() -> Iterator[Simulation]:
    with Simulation(seed=1, nodes=4) as simulation:
        for number, name in enumerate(simulation.names):

            async def main(number: int = number) -> None:
                if number < 3:
                    await Stock.start(number, name="stock")

            simulation.start(name, main)
        simulation.eventually(lambda: len(simulation.node("a").nodes()) == 3, within_ms=5_000)
        yield simulation


def names(cluster: Simulation, *places: str) -> list[str]:
    return [cluster.full_name(place) for place in places]


def test_GS_20_multi_call_then_replies_and_bad_nodes_in_the_order_asked(cluster: Simulation) -> None:
    """GS-20: here, there, no server of that name, not reachable."""
    a, b, c, d = names(cluster, "a", "b", "c", "d")

    async def main() -> Any:
        return await multi_call([c, UNREACHABLE, a, d, b], "stock", "number", 2.0)

    assert cluster.run_on("a", main) == ([(c, 2), (a, 0), (b, 1)], [UNREACHABLE, d])


def test_multi_call_of_no_nodes_then_nothing_and_of_none_all(cluster: Simulation) -> None:
    async def main() -> Any:
        return await multi_call([], "stock", "number"), await multi_call(None, "stock", "number")

    (none, (replies, bad)) = cluster.run_on("a", main)
    assert none == ([], [])
    assert [number for _, number in replies] == [0, 1, 2] and bad == names(cluster, "d")


def test_GS_20_multi_call_when_one_is_too_slow_then_it_is_bad_and_its_late_reply_vanishes(cluster: Simulation) -> None:
    """GS-20: all are asked at the same time, so the time-out counts once."""
    b, c = names(cluster, "b", "c")

    async def main() -> Any:
        before = now_ms()
        result = await multi_call([b, c], "stock", ("after", 1.0), 0.5)
        took_ms = now_ms() - before
        return result, took_ms, await arriving(2.0)

    result, took_ms, late = cluster.run_on("a", main)
    assert result == ([], [b, c]) and late == []
    assert 500 <= took_ms < 600


def test_multi_call_when_a_server_ends_first_then_it_is_bad(cluster: Simulation) -> None:
    b, c = names(cluster, "b", "c")

    async def main() -> Any:
        return await multi_call([b], "stock", "end"), await multi_call([b, c], "stock", "number")

    assert cluster.run_on("a", main) == (([], [b]), ([(c, 2)], [b]))


def test_multi_call_of_a_request_that_cannot_be_sent_then_the_mistake_is_the_callers(cluster: Simulation) -> None:
    async def main() -> None:
        await multi_call(names(cluster, "b"), "stock", object())

    with pytest.raises(EncodeError):
        cluster.run_on("a", main)


def test_multi_call_by_a_server_of_that_name_then_calling_self() -> None:
    async def main() -> None:
        stock = await Stock.start(name="stock")
        with pytest.raises(ServerExited) as ended:
            await stock.ask_all()
        assert isinstance(ended.value.reason.exception, CallingSelf)

    run(main)


def test_GS_20_abcast_then_at_once_and_every_server_that_is_there_is_told(cluster: Simulation) -> None:
    """GS-20."""
    everybody = [*names(cluster, "a", "b", "d"), UNREACHABLE]

    async def main() -> Any:
        before = now_ms()
        abcast(everybody, "stock", "apples")
        took_ms = now_ms() - before
        return took_ms, await multi_call(everybody[:2], "stock", "told")

    took_ms, (replies, _) = cluster.run_on("a", main)
    assert took_ms == 0
    assert [told for _, told in replies] == [["apples"], ["apples"]]


# --- send_request


def test_request_awaited_later_then_its_reply() -> None:
    async def main() -> None:
        stock = await Stock.start(7)
        request = send_request(stock.pid, "number")
        assert not request.done()
        assert await request == 7
        assert request.done()

    run(main)


def test_request_to_nobody_then_the_error_is_where_it_is_awaited() -> None:
    async def main() -> None:
        request = send_request("nobody", "number")
        with pytest.raises(NoProcessError):
            await request
        with pytest.raises(NoConnectionError):
            await send_request(("stock", UNREACHABLE), "number")

    run(main)


def test_request_with_time_out_then_call_timeout() -> None:
    async def main() -> None:
        stock = await Stock.start()
        with pytest.raises(CallTimeout):
            await send_request(stock.pid, "never", timeout_s=0.1)

    run(main)


def test_abandoned_request_then_its_reply_vanishes() -> None:
    async def main() -> None:
        stock = await Stock.start(name="stock")
        send_request(stock.pid, ("after", 0.1)).abandon()
        assert await arriving(1.0) == []
        with pytest.raises(TimeoutError):
            await receive(timeout_s=0)

    run(main)


def test_collection_then_replies_with_their_labels_as_they_come() -> None:
    async def main() -> None:
        stock = await Stock.start(5, name="stock")
        requests = Requests()
        for delay_s in (0.3, 0.1, 0.2):
            requests.add(send_request(stock.pid, ("after", delay_s), label=delay_s))
        assert (len(requests), requests.labels(), requests.check()) == (3, [0.3, 0.1, 0.2], None)
        received = []
        while requests:
            received.append(await requests.receive(1.0))
        assert received == [(0.1, 5), (0.2, 5), (0.3, 5)]

    run(main)


def test_collection_when_a_request_fails_then_the_label_is_in_the_error_and_the_others_go_on() -> None:
    async def main() -> None:
        stock = await Stock.start(5)
        requests = Requests([send_request("nobody", 1, "lost"), send_request(stock.pid, "number", "found")])
        with pytest.raises(RequestFailed) as failed:
            await requests.receive()
        assert failed.value.label == "lost" and isinstance(failed.value.error, NoProcessError)
        assert await requests.receive() == ("found", 5)

    run(main)


def test_collection_receive_in_vain_then_all_are_abandoned() -> None:
    async def main() -> None:
        stock = await Stock.start(name="stock")
        requests = Requests([send_request(stock.pid, ("after", 0.5), n) for n in range(3)])
        with pytest.raises(CallTimeout, match="any of 3 servers"):
            await requests.receive(0.1)
        assert len(requests) == 0 and await arriving(1.0) == []

    run(main)


def test_collection_wait_in_vain_then_the_requests_go_on() -> None:
    async def main() -> None:
        stock = await Stock.start(9, name="stock")
        requests = Requests([send_request(stock.pid, ("after", 0.5), "late")])
        with pytest.raises(CallTimeout):
            await requests.wait(0.1)
        assert await requests.wait(1.0) == ("late", 9)

    run(main)


def test_collection_check_then_a_reply_that_has_come_or_none() -> None:
    async def main() -> None:
        stock = await Stock.start(9)
        requests = Requests()
        request = requests.add(send_request(stock.pid, "number", "label"))
        assert requests.check() is None
        await arriving(0.1)
        assert request.done() and requests.check() == ("label", 9) and requests.check() is None

    run(main)


def test_collection_when_its_only_request_is_abandoned_then_no_receiver_hangs() -> None:
    async def main() -> None:
        stock = await Stock.start()
        request = send_request(stock.pid, "never")
        requests = Requests([request])
        request.abandon()
        with pytest.raises(UsageError, match="abandoned"):
            await requests.receive(1.0)
        assert len(requests) == 0

    run(main)


def test_collection_used_wrongly_then_usage_errors() -> None:
    async def main() -> None:
        stock = await Stock.start()
        requests = Requests()
        with pytest.raises(UsageError, match="no request"):
            await requests.receive()
        request = requests.add(send_request(stock.pid, "never"))
        with pytest.raises(UsageError, match="in a collection"):
            requests.add(request)
        with pytest.raises(UsageError, match="receive its reply there"):
            await request

    run(main)
