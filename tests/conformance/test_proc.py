"""PROC: processes and their mailbox. One test per case of the behaviour list, named after it."""

from __future__ import annotations

import typing
from typing import Any

import pytest

import zmqcluster as zc
from tests.support.running import arriving, forever, run


def test_PROC_01_spawn_returns_a_live_process_that_ends_normal_when_its_function_returns() -> None:
    """Source: Erlang reference manual, Processes."""

    async def wait_for_one() -> None:
        await zc.receive()

    async def main() -> None:
        pid, ref = zc.spawn_monitor(wait_for_one)
        assert isinstance(pid, zc.Pid)
        assert zc.is_alive(pid)
        zc.send(pid, "go")
        assert await zc.receive() == zc.Down(ref, pid, zc.Normal())
        assert not zc.is_alive(pid)

    run(main)


def test_PROC_02_messages_arrive_in_sending_order_none_lost_none_twice() -> None:
    """Source: signal_SUITE:monitor_named_order."""

    async def collect(owner: zc.Pid) -> None:
        zc.send(owner, [await zc.receive() for _ in range(10_000)])

    async def main() -> None:
        reader = zc.spawn(collect, zc.self())
        for number in range(10_000):
            zc.send(reader, number)
        assert await zc.receive() == list(range(10_000))

    run(main)


def test_PROC_04_selective_receive_when_it_skips_then_the_others_keep_their_order() -> None:
    """Source: seen on OTP 25."""

    async def main() -> None:
        for letter in "abc":
            zc.send(zc.self(), letter)
        assert await zc.receive(lambda message: message == "b") == "b"
        assert await arriving(0) == ["a", "c"]

    run(main)


def test_PROC_05_receive_with_timeout_0_looks_once_and_consumes_nothing() -> None:
    """Source: Erlang reference manual, receive ... after 0."""

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await zc.receive(timeout_s=0)
        zc.send(zc.self(), "other")
        with pytest.raises(TimeoutError):
            await zc.receive(lambda message: message == "x", timeout_s=0)
        zc.send(zc.self(), "x")
        assert await zc.receive(lambda message: message == "x", timeout_s=0) == "x"
        assert await arriving(0) == ["other"]

    run(main)


def test_PROC_07_send_to_a_dead_pid_is_dropped_and_to_an_unknown_name_is_an_error() -> None:
    """Source: seen on OTP 25; erlang:send/2 with a name is badarg."""

    async def main() -> None:
        pid, _ = zc.spawn_monitor(arriving, 0)
        await zc.receive(zc.Down)
        zc.send(pid, "late")
        with pytest.raises(zc.NotRegistered) as caught:
            zc.send("nobody", "x")
        assert caught.value.name == "nobody"
        zc.send(("nobody", "nonode@nohost"), "never an error")

    run(main)


def test_PROC_08_message_after_an_exit_signal_is_never_processed() -> None:
    """Source: signal_SUITE:xm_sig_order."""
    handled: list[Any] = []

    async def loop() -> None:
        while True:
            handled.append(await zc.receive())

    async def main() -> None:
        pid, ref = zc.spawn_monitor(loop)
        zc.send(pid, 1)
        assert await arriving() == []
        zc.exit(pid, "bang")
        zc.send(pid, 2)
        assert await zc.receive() == zc.Down(ref, pid, "bang")
        assert handled == [1]

    run(main)


PATTERNS: list[tuple[Any, int]] = [
    (int, 1),
    (("order", ...), 3),
    (("order", int), 4),
    (("order", lambda number: number == "7"), 3),
    (("order", ..., ...), 5),
    ("text", 0),
    (True, 2),
    (1, 1),
    (lambda message: message is True, 2),
    (tuple, 3),
]


@pytest.mark.parametrize(("pattern", "position"), PATTERNS)
def test_PROC_04_pattern_takes_the_first_message_that_fits_it(pattern: Any, position: int) -> None:
    """Source: receive with patterns; ``...`` is the underscore, and equal values of another type do not match."""
    messages: list[Any] = ["text", 1, True, ("order", "7"), ("order", 7), ("order", 7, None)]

    async def main() -> None:
        for message in messages:
            zc.send(zc.self(), message)
        assert await zc.receive(pattern) == messages[position]
        rest = await arriving(0)
        assert rest == messages[:position] + messages[position + 1 :]

    run(main)


def test_PROC_04_union_of_types_matches_the_instances_of_each() -> None:
    async def main() -> None:
        for message in ("text", 1.5, ("k", None), 7):
            zc.send(zc.self(), message)
        assert await zc.receive(int | float) == 1.5
        assert await zc.receive(("k", int | None)) == ("k", None)
        assert await arriving(0) == ["text", 7]

    run(main)


async def decides_later(message: Any) -> bool:
    return bool(message)


class Decides:
    async def later(self, message: Any) -> bool:
        return bool(message)


NO_PATTERNS = [
    *[list[int], int | list[str], Any, ("k", dict[str, int]), typing.Union["int", "str"]],
    *[decides_later, Decides().later],
]


@pytest.mark.parametrize("pattern", NO_PATTERNS, ids=repr)
def test_PROC_04_pattern_that_is_none_is_refused_before_anything_is_taken(pattern: Any) -> None:
    """Each of these would match everything, or nothing ever."""

    async def main() -> None:
        zc.send(zc.self(), "text")
        with pytest.raises(zc.ConfigError, match=r"is no pattern|is async"):
            await zc.receive(pattern, timeout_s=0)
        assert await arriving(0) == ["text"]

    run(main)


def test_PROC_10_dictionary_belongs_to_its_process() -> None:
    """Source: process_test dictionary. It is a dict: put, get and erase are its own operations."""

    async def looks(owner: zc.Pid) -> None:
        zc.send(owner, dict(zc.dictionary()))

    async def main() -> None:
        assert zc.dictionary() == {}
        zc.dictionary()["k"] = "v1"
        assert zc.dictionary().setdefault("k", "v2") == "v1"
        zc.dictionary()["k"] = "v2"
        assert [key for key, value in zc.dictionary().items() if value == "v1"] == []
        zc.spawn(looks, zc.self())
        assert await zc.receive() == {}
        assert zc.dictionary().pop("k") == "v2"
        assert zc.dictionary() == {}

    run(main)


def test_PROC_11_info_of_a_live_process_a_dead_one_and_one_of_another_node() -> None:
    """Source: process_test info/2; a remote pid is badarg on OTP 25."""

    async def main() -> None:
        owner = zc.self()
        pid = zc.spawn_link(forever, name="sleeper")
        ref = zc.monitor(pid)
        zc.send(pid, "unread")
        assert await arriving() == []
        info = zc.process_info(pid)
        assert info is not None
        seen = {key: info[key] for key in ("names", "links", "monitors", "watchers", "trap_exits", "queued", "status")}
        assert seen == {
            "names": ["sleeper"],
            "links": [owner],
            "monitors": [],
            "watchers": [owner],
            "trap_exits": False,
            "queued": 1,
            "status": "waiting",
        }
        assert info["label"] == "forever"
        zc.unlink(pid)
        zc.exit(pid, zc.Kill())
        assert (await zc.receive(zc.Down)).ref == ref
        assert zc.process_info(pid) is None
        with pytest.raises(zc.ConfigError):
            zc.process_info(zc.Pid("b@10.0.0.7:7101", 1, 1))

    run(main)
