"""The mailbox of the core beside a deque, which has no selective receive."""

from __future__ import annotations

from collections import deque

from pytest_benchmark.fixture import BenchmarkFixture

from zmqcluster.core import Mailbox

COUNT = 1_000
SKIPPED_COUNT = 100


def test_put_and_take_1000(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "1,000 messages in and out"
    mailbox = Mailbox()

    def fill_and_empty() -> int:
        for number in range(COUNT):
            mailbox.put(number)
        return sum(mailbox.take() for _ in range(COUNT))

    assert benchmark(fill_and_empty) == sum(range(COUNT))


def test_put_and_take_1000_by_deque(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "1,000 messages in and out"
    queue: deque[int] = deque()

    def fill_and_empty() -> int:
        for number in range(COUNT):
            queue.append(number)
        return sum(queue.popleft() for _ in range(COUNT))

    assert benchmark(fill_and_empty) == sum(range(COUNT))


def test_take_match_behind_100_others(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "selective receive"
    mailbox = Mailbox()
    for number in range(SKIPPED_COUNT):
        mailbox.put(number)

    def put_and_take() -> object:
        mailbox.put("wanted")
        return mailbox.take_match(str)

    assert benchmark(put_and_take) == "wanted"
    assert len(mailbox) == SKIPPED_COUNT
