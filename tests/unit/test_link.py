"""Links between schedulers, joined in memory: what crosses them, in which order, and what a broken peer can do."""

from __future__ import annotations

import contextvars
import struct
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from tests.support.joined import Echo, Mail, Order, World, outcome, start_echo
from zmqcluster import _core as core
from zmqcluster import constants
from zmqcluster._ports import CallableOutlet
from zmqcluster.errors import (
    CallRefused,
    CallTimeout,
    EncodeError,
    FrameTooLarge,
    LinkBusy,
    NoConnectionError,
    NoProcessError,
    ServerExited,
)
from zmqcluster.exits import Kill, Killed, NoConnection, NoProcess, Normal, Shutdown
from zmqcluster.runtime.process import asend

MEBIBYTE = bytes(1024 * 1024)
SHORT = bytes(100_000)  # of a length that leaves whole


@pytest.fixture
def world() -> Iterator[World]:
    world = World("a", "b", "c")
    yield world
    world.close()
    assert world.problems == []


@pytest.fixture
def joined(world: World) -> World:
    world.join("a", "b")
    return world


# --- what crosses a link


def test_pid_name_and_alias_of_one_process_are_one_order(joined: World) -> None:
    receiver, sender = Mail(joined["b"], name="box"), Mail(joined["a"])
    alias = receiver.do(core.alias)

    def burst() -> None:
        for number in range(0, 300, 3):
            core.send(receiver.pid, number)
            core.send(("box", "b"), number + 1)
            core.send(alias, number + 2)

    sender.do(burst)
    joined.run()
    assert receiver.messages == list(range(300))


def test_messages_and_signals_are_one_order(joined: World) -> None:
    receiver, sender = Mail(joined["b"], name="box"), Mail(joined["a"])

    def program() -> None:
        core.link(receiver.pid)
        core.send(receiver.pid, 1)
        core.monitor(("box", "b"))
        core.send(("box", "b"), 2)
        core.exit_self(Shutdown("done"))
        core.send(receiver.pid, 3)

    joined["a"].exit(sender.pid, receiver.pid, "asked")
    sender.do(core.trap_exits, False)
    sender.do(program)
    joined.run()
    assert receiver.messages == [
        core.Exit(sender.pid, "asked"),
        1,
        2,
        core.Exit(sender.pid, Shutdown("done")),
    ]


def test_exit_of_a_remote_sender_names_it(joined: World) -> None:
    trapping, other, plain = Mail(joined["b"]), Mail(joined["a"]), Mail(joined["b"], trap=False)
    joined["a"].exit(other.pid, trapping.pid, Normal())
    joined["a"].exit(other.pid, plain.pid, Normal())
    joined.run()
    assert trapping.messages == [core.Exit(other.pid, Normal())]
    assert plain.is_alive
    joined["a"].exit(other.pid, plain.pid, "reason")
    joined["a"].exit(other.pid, trapping.pid, Kill())
    joined.run()
    assert not plain.is_alive
    assert not trapping.is_alive


def test_link_exit_and_unlink_work_across_nodes(joined: World) -> None:
    one, two, three = Mail(joined["a"]), Mail(joined["b"]), Mail(joined["b"])
    one.do(core.link, two.pid)
    one.do(core.link, three.pid)
    one.do(core.unlink, two.pid)
    joined.run()
    joined["b"].exit(two.pid, two.pid, Kill())
    joined["b"].exit(three.pid, three.pid, Kill())
    joined.run()
    assert one.messages == [core.Exit(three.pid, Killed())]


def test_unlink_after_the_exit_has_been_sent_wins(joined: World) -> None:
    one, two = Mail(joined["a"]), Mail(joined["b"])
    one.do(core.link, two.pid)
    joined.run()
    joined["b"].exit(two.pid, two.pid, Kill())
    joined.turn()
    one.do(core.unlink, two.pid)
    joined.run()
    assert one.messages == []


def test_monitors_tell_reason_object_and_absence(joined: World) -> None:
    one, two = Mail(joined["a"]), Mail(joined["b"], name="two")
    by_pid, by_name = one.do(core.monitor, two.pid), one.do(core.monitor, ("two", "b"))
    gone, taken_back = one.do(core.monitor, ("nobody", "b")), one.do(core.monitor, two.pid)
    one.do(core.demonitor, taken_back)
    joined.run()
    joined["b"].exit(two.pid, two.pid, Kill())
    joined.run()
    assert one.messages == [
        core.Down(gone, ("nobody", "b"), NoProcess()),
        core.Down(by_pid, two.pid, Killed()),
        core.Down(by_name, ("two", "b"), Killed()),
    ]


def test_link_and_monitor_of_a_dying_process_hear_its_reason(joined: World) -> None:
    one, two = Mail(joined["a"]), Mail(joined["b"])
    one.do(core.link, two.pid)
    ref = one.do(core.monitor, two.pid)
    joined.turn()
    frames, joined.wires["a", "b"].frames = joined.wires["a", "b"].frames, []
    joined["b"].begin_batch()
    joined["b"].exit(two.pid, two.pid, Kill())
    for frame in frames:
        joined["b"].feed_bytes(b"a>b", frame)
    joined["b"].end_batch()
    joined.run()
    assert one.messages == [core.Exit(two.pid, Killed()), core.Down(ref, two.pid, Killed())]


def test_link_to_nobody_is_told_noproc(joined: World) -> None:
    one, two = Mail(joined["a"]), Mail(joined["b"])
    joined["b"].exit(two.pid, two.pid, Kill())
    joined.run()
    one.do(core.link, two.pid)
    joined.run()
    assert one.messages == [core.Exit(two.pid, NoProcess())]


def test_cut_tells_links_monitors_and_calls(joined: World) -> None:
    one, two = Mail(joined["a"]), Mail(joined["b"])
    one.do(core.link, two.pid)
    ref = one.do(core.monitor, ("anybody", "b"))
    call = joined["a"].call(start_echo(joined["b"]), "hold", 5.0)
    joined.turn()
    joined.cut("a", "b")
    joined.run()
    assert one.messages == [core.Exit(two.pid, NoConnection("b")), core.Down(ref, ("anybody", "b"), NoConnection("b"))]
    assert isinstance(outcome(call), NoConnectionError)
    assert joined["a"].link_of("b") is None


def test_reasons_that_cannot_be_sent_go_as_text(joined: World) -> None:
    class Sullen:
        def __repr__(self) -> str:
            raise ValueError

    one, two, three = Mail(joined["a"]), Mail(joined["b"]), Mail(joined["b"])
    refs = [one.do(core.monitor, mail.pid) for mail in (two, three)]
    joined.run()
    joined["b"].exit(two.pid, two.pid, Kill())
    three.do(core.trap_exits, False)
    three.do(core.exit_self, Sullen())
    joined.run()
    assert one.messages == [core.Down(refs[0], two.pid, Killed()), core.Down(refs[1], three.pid, "<Sullen>")]


# --- calls


def test_calls_reply_fail_and_refuse(joined: World) -> None:
    server = start_echo(joined["b"], name="echo")
    calls = [joined["a"].call(dest, {"n": 1}, 5.0) for dest in (server, ("echo", "b"))]
    nobody = joined["a"].call(("nobody", "b"), 1, 5.0)
    bad = joined["a"].call(server, "object", 5.0)
    joined.run()
    assert [outcome(call) for call in calls] == [{"n": 1}, {"n": 1}]
    assert isinstance(outcome(nobody), NoProcessError)
    assert isinstance(outcome(bad), EncodeError)
    assert joined["b"].is_alive(server)
    assert len(joined.hooks["b"].named("on_bad_reply")) == 1


def test_a_failure_that_cannot_be_sent_still_arrives(joined: World) -> None:
    class Silent(Exception):
        def __str__(self) -> str:
            raise ValueError

    echo = Echo()
    start_echo(joined["b"], echo, name="echo")
    calls = [joined["a"].call(("echo", "b"), "hold", None) for _ in range(3)]
    joined.run()
    echo.held[0].fail(Silent())
    echo.held[1].fail(NoConnectionError(object(), object()))
    echo.held[2].fail(EncodeError("path", "problem"))
    joined.run()
    first, second, third = (outcome(call) for call in calls)
    assert isinstance(first, CallRefused) and (first.kind, first.text) == ("Silent", "<Silent>")
    assert isinstance(second, CallRefused) and second.kind == "NoConnectionError"
    assert isinstance(third, EncodeError)


def test_server_that_ends_fails_its_callers(joined: World) -> None:
    server = start_echo(joined["b"])
    call = joined["a"].call(server, "hold", 5.0)
    joined.run()
    joined["b"].exit(server, server, Kill())
    joined.run()
    error = outcome(call)
    assert isinstance(error, ServerExited)
    assert error.reason == Killed()


def test_late_and_repeated_replies_vanish(joined: World) -> None:
    echo = Echo()
    server = start_echo(joined["b"], echo)
    call = joined["a"].call(server, "hold", 0.01)
    joined.run()
    joined.sleep(0.02)
    assert isinstance(outcome(call), CallTimeout)
    echo.held[0].reply("late")
    echo.held[0].reply("again")
    joined.run()
    assert isinstance(outcome(call), CallTimeout)


def test_forged_reply_numbers_reach_nobody(joined: World) -> None:
    call = joined["a"].call(start_echo(joined["b"]), "hold", None)
    joined.run()
    link = joined.link("b", "a")
    for number in (0, 2, 1 << 63):
        varint = core_varint(number)
        forge(joined, "b", "a", bytes([6]) + varint + b"\x01")
    assert not call.done()
    assert link.state == "up"
    forge(joined, "b", "a", bytes([6, 1, 7]))
    assert outcome(call) == 7


def test_an_unsendable_message_leaves_the_batch_intact(joined: World) -> None:
    receiver, sender = Mail(joined["b"]), Mail(joined["a"])

    def batch() -> None:
        core.send(receiver.pid, "before")
        for bad in (object(), [1, {"deep": object()}], "\ud800", MEBIBYTE * 129):
            with pytest.raises((EncodeError, FrameTooLarge)):
                core.send(receiver.pid, bad)
        with pytest.raises(EncodeError):
            core.send((object(), "b"), 1)
        core.send(receiver.pid, "after")

    assert sender.do(batch) is None
    joined.run()
    assert receiver.messages == ["before", "after"]


def test_a_value_that_sends_while_it_is_encoded_does_not_garble_the_frame(joined: World) -> None:
    receiver, sender = Mail(joined["b"]), Mail(joined["a"])
    problems: list[Exception] = []

    class Reason(Exception):
        def __str__(self) -> str:
            try:
                core.send(receiver.pid, "inside")
            except Exception as error:
                problems.append(error)
            return "reason"

        __repr__ = __str__

    sender.do(core.trap_exits, False)
    ref = receiver.do(core.monitor, sender.pid)
    joined.run()
    sender.do(core.exit_self, Reason())
    joined.run()
    assert receiver.messages == [core.Down(ref, sender.pid, "reason")]
    assert len(problems) == 1


# --- pending links and lives


def test_pending_link_delivers_in_order_once_it_is_up(world: World) -> None:
    receiver, sender = Mail(world["b"], name="box"), Mail(world["a"])

    def burst() -> None:
        core.link(receiver.pid)
        for number in range(10_000):
            core.send(receiver.pid if number % 2 else ("box", "b"), number)

    sender.do(burst)
    assert world.link("a", "b").state == "pending"
    world.join("a", "b")
    world.run()
    assert receiver.messages == list(range(10_000))
    assert world.link("a", "b").unacked_count == 0
    world["a"].exit(sender.pid, sender.pid, Kill())
    world.run()
    assert receiver.messages[-1] == core.Exit(sender.pid, Killed())


def test_what_is_for_an_earlier_life_is_answered_noproc(world: World) -> None:
    old = Mail(world["b"])
    server = start_echo(world["b"])
    world["b"].close()
    new = Mail(world.start("b"), name="box")
    assert new.pid.id == old.pid.id
    sender = Mail(world["a"])
    sender.do(core.link, old.pid)
    ref = sender.do(core.monitor, old.pid)
    call = world["a"].call(Via(server), 1, None)
    sender.do(core.send, old.pid, "old")
    sender.do(core.send, ("box", "b"), "any")
    world.join("a", "b")
    world.run()
    assert sender.messages == [core.Exit(old.pid, NoProcess()), core.Down(ref, old.pid, NoProcess())]
    assert isinstance(outcome(call), NoProcessError)
    assert new.messages == ["any"]
    later = sender.do(core.monitor, old.pid)
    sender.do(core.link, old.pid)
    sender.do(core.send, old.pid, "older")
    world.run()
    assert sender.messages[2:] == [core.Down(later, old.pid, NoProcess()), core.Exit(old.pid, NoProcess())]
    with pytest.raises(NoProcessError):
        world["a"].call(old.pid, 1, None)


class Via:
    def __init__(self, pid: Any) -> None:
        self.pid = pid

    def whereis(self) -> Any:
        return self.pid


def test_cast_to_a_node_that_cannot_be_dialled_is_dropped_and_counted(world: World) -> None:
    sender = Mail(world["a"])
    world.may_dial.clear()
    for dest in (("p", "b"), Mail(world["b"]).pid):
        assert sender.do(world["a"].cast, dest, "request") is None
        assert isinstance(sender.do(world["a"].cast, dest, object()), EncodeError)
    assert world["a"].dropped_messages == 2


def test_node_that_cannot_be_dialled_is_no_connection(world: World) -> None:
    one = Mail(world["a"])
    pid = type(one.pid)("nowhere", 1, 1)
    one.do(core.link, pid)
    ref = one.do(core.monitor, pid)
    one.do(core.send, pid, 1)
    assert isinstance(one.do(world["a"].call, pid, 1, None), NoConnectionError)
    world.run()
    assert one.messages == [core.Exit(pid, NoConnection("nowhere")), core.Down(ref, pid, NoConnection("nowhere"))]


def test_a_hook_that_fails_to_connect_leaves_no_link_behind(world: World) -> None:
    one, two = Mail(world["a"]), Mail(world["b"])
    world.hooks["a"].failing.add("connect")
    assert isinstance(one.do(core.link, two.pid), ValueError)
    world.hooks["a"].failing.clear()
    one.do(core.link, two.pid)
    world.join("a", "b")
    world.run()
    world["b"].exit(two.pid, two.pid, Kill())
    world.run()
    assert one.messages == [core.Exit(two.pid, Killed())]


# --- sessions


def header(world: World, sender: str, receiver: str, sequence: int, acked: tuple[int, int] = (0, 0)) -> bytes:
    link = world.link(receiver, sender)
    numbers = (link.epoch, sequence, *acked)
    return b"\x01" + b"".join(number.to_bytes(8, "big") for number in numbers)


def core_varint(number: int) -> bytes:
    from_low = []
    while number >= 0x80:
        from_low.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*from_low, number])


def forge(world: World, sender: str, receiver: str, *envelopes: bytes) -> None:
    """Send envelopes of our own making over ``sender``'s connection, in the next frame of its session."""
    link = world.link(receiver, sender)
    body = b"".join(len(envelope).to_bytes(4, "big") + envelope for envelope in envelopes)
    acked = (link.acked_bytes, link.acked_count)
    frame = header(world, sender, receiver, next_sequence(world, sender, receiver), acked) + body
    world.deliver(sender, receiver, [frame])
    world.turn()


_sequences: dict[int, int] = {}


def next_sequence(world: World, sender: str, receiver: str) -> int:
    """One frame has come from ``sender`` at most, or forged ones only."""
    link = world.link(receiver, sender)
    number = _sequences.setdefault(link.epoch, 1 if link.received_bytes else 0) + 1
    _sequences[link.epoch] = number
    return number


@pytest.fixture(autouse=True)
def _fresh_sequences() -> None:
    _sequences.clear()


def test_frames_of_another_epoch_or_connection_are_dropped_and_counted(joined: World) -> None:
    receiver = Mail(joined["b"])
    envelope = bytes([1]) + core_varint(receiver.pid.id) + b"\x2a"
    body = len(envelope).to_bytes(4, "big") + envelope
    good = header(joined, "a", "b", 1) + body
    other = bytearray(good)
    other[8] ^= 1
    joined.deliver("a", "b", [bytes(other)])
    joined.deliver("c", "b", [good])
    joined.deliver("a", "b", [good[:20]])
    joined.run()
    assert receiver.messages == []
    assert joined["b"].foreign_frames == 3
    joined.deliver("a", "b", [good])
    joined.run()
    assert receiver.messages == [42]


@pytest.mark.parametrize("sequence", [2, 0x7FFF])
def test_a_gap_breaks_the_link(joined: World, sequence: int) -> None:
    joined.deliver("a", "b", [header(joined, "a", "b", sequence)])
    [(link, problem)] = joined.hooks["b"].named("on_link_broken")
    assert link is joined.link("b", "a")
    assert str(sequence) in problem


@pytest.mark.parametrize("tail", [b"\x00", b"\x00\x00\x00\x00\x00", b"\x00\x00\x00\x09\x01", b"\xff\xff\xff\xff\x01"])
def test_a_broken_envelope_breaks_the_link(joined: World, tail: bytes) -> None:
    joined.deliver("a", "b", [header(joined, "a", "b", 1) + tail])
    assert len(joined.hooks["b"].named("on_link_broken")) == 1


def test_acknowledging_what_was_not_sent_breaks_the_link(joined: World) -> None:
    joined.deliver("a", "b", [header(joined, "a", "b", 0, (1, 0))])
    joined.deliver("a", "b", [header(joined, "a", "b", 0, (0, 1))])
    assert len(joined.hooks["b"].named("on_link_broken")) == 2


@pytest.mark.parametrize("kind", [0, 15, 33, 63, 128 + 2, 128 + 8])
def test_an_envelope_of_an_unknown_kind_is_dropped_alone(joined: World, kind: int) -> None:
    receiver = Mail(joined["b"])
    varint = core_varint(receiver.pid.id)
    forge(joined, "a", "b", bytes([kind]) + varint + b"\x01\x01", bytes([1]) + varint + b"\x2a")
    assert receiver.messages == [42]
    assert len(joined.hooks["b"].named("on_undecodable")) == 1


def test_malformed_failures_are_internal_errors_not_exceptions_of_the_peers_choice(joined: World) -> None:
    server = start_echo(joined["b"])
    calls = [joined["a"].call(server, "hold", None) for _ in range(5)]
    joined.run()
    codec = [("error", ("ProcessExit", (1,))), ("error", ("ServerExited", ())), ("error", 7), ("refused", 7), (9, 9)]
    for number, (code, detail) in enumerate(codec, 1):
        body = core_encode(code) + core_encode(detail)
        forge(joined, "b", "a", bytes([7]) + core_varint(number) + body)
    assert all(isinstance(outcome(call), Exception) for call in calls)


def core_encode(value: object) -> bytes:
    from_core: bytes = core.encode(value)
    return from_core


def test_reconnected_nodes_start_with_nothing(joined: World) -> None:
    one, two = Mail(joined["a"]), Mail(joined["b"])
    one.do(core.link, two.pid)
    one.do(core.monitor, two.pid)
    joined.run()
    joined.cut("a", "b")
    joined.join("a", "b")
    joined.run()
    one.messages.clear()
    joined["b"].exit(two.pid, two.pid, Kill())
    joined.run()
    assert one.messages == []


def test_link_down_from_a_hook_during_dispatch_stops_it(joined: World) -> None:
    receiver = Mail(joined["b"])
    joined.hooks["b"].on_undecodable = lambda *_: joined["b"].link_down(joined.link("b", "a"))  # type: ignore[method-assign]
    varint = core_varint(receiver.pid.id)
    forge(joined, "a", "b", bytes([1]) + varint + b"\xc1", bytes([1]) + varint + b"\x2a")
    assert receiver.messages == []
    assert joined["b"].link_of("a") is None


# --- flow


def send_all(dest: Any, messages: Iterable[Any]) -> list[Exception | None]:
    """In one step of a process: what each ``send`` raised, or None."""
    results: list[Exception | None] = []
    for message in messages:
        try:
            core.send(dest, message)
            results.append(None)
        except LinkBusy as error:
            results.append(error)
    return results


def test_sender_stops_at_the_window_and_resumes_with_acknowledgements(joined: World) -> None:
    receiver, sender = Mail(joined["b"]), Mail(joined["a"])
    sender.do(send_all, receiver.pid, [MEBIBYTE] * 20)
    joined.turn()
    link = joined.link("a", "b")
    assert constants.WINDOW_BYTES_MIN <= link.sent_bytes < 2 * constants.WINDOW_BYTES_MIN
    assert link.unacked_count == 20
    joined.run()
    assert len(receiver.messages) == 20
    assert (link.unacked_count, link.buffered_bytes) == (0, 0)
    assert link.acked_bytes == link.sent_bytes
    assert link.window_bytes == constants.WINDOW_BYTES_MAX  # no time passed: it opened at each acknowledgement


def test_window_closes_when_acknowledgements_take_longer_and_opens_again(joined: World) -> None:
    receiver, sender = Mail(joined["b"]), Mail(joined["a"])
    sender.do(send_all, receiver.pid, [MEBIBYTE] * 20)
    joined.run()
    link = joined.link("a", "b")
    sender.do(send_all, receiver.pid, [MEBIBYTE] * 30)
    for _ in range(20):
        joined.turn()
        joined.loop.call_later(1.0, joined.loop.stop)
        joined.loop.run_forever()
        joined.move()
    assert link.window_bytes == constants.WINDOW_BYTES_MIN
    joined.run()
    assert link.window_bytes > 8 * constants.WINDOW_BYTES_MIN


def test_a_long_message_leaves_in_parts_and_a_short_one_of_another_process_passes_it(joined: World) -> None:
    slow, quick, receiver = Mail(joined["a"]), Mail(joined["a"]), Mail(joined["b"])
    long = bytes(range(256)) * 4096
    slow.do(send_all, receiver.pid, ["before", long, "after"])
    quick.do(core.send, receiver.pid, "quick")
    joined.run()
    assert [message for message in receiver.messages if message != "quick"] == ["before", long, "after"]
    assert receiver.messages.index("quick") < receiver.messages.index(long)
    assert joined.link("a", "b").unacked_count == 0


def test_what_a_process_says_after_a_long_message_stays_behind_it(joined: World) -> None:
    """Every kind of signal, up to its end; what others say may pass."""
    watcher, receiver = Mail(joined["b"]), Mail(joined["b"])
    sender = Mail(joined["a"], trap=False)
    ref = receiver.do(core.monitor, sender.pid)
    receiver.do(core.link, sender.pid)
    joined.run()

    def say() -> None:
        core.send(receiver.pid, MEBIBYTE)
        joined["a"].exit(sender.pid, receiver.pid, "told to")
        core.send(receiver.pid, 1)
        core.exit_self("over")

    joined["a"].deliver(sender.pid, Order(say))
    joined.run()
    assert receiver.messages == [
        MEBIBYTE,
        core.Exit(sender.pid, "told to"),
        1,
        core.Exit(sender.pid, "over"),
        core.Down(ref, sender.pid, "over"),
    ]
    late = watcher.do(core.monitor, sender.pid)
    joined.run()
    assert watcher.messages == [core.Down(late, sender.pid, NoProcess())]


def test_replies_of_a_server_keep_their_order_with_its_messages(joined: World) -> None:
    receiver = Mail(joined["b"])

    def answer() -> Any:
        core.send(receiver.pid, MEBIBYTE)
        return "reply"

    server = start_echo(joined["a"], Echo())
    call = joined["b"].call(server, "hold", None)
    joined.run()
    calls = joined["a"].call  # by a process of the node itself: no link
    calls(server, ("run", answer), None)
    joined.turn()
    assert receiver.messages == []
    joined.run()
    assert receiver.messages == [MEBIBYTE]
    joined["a"].exit(server, server, Kill())
    joined.run()
    assert isinstance(outcome(call), ServerExited)


def test_long_messages_of_many_processes_take_turns(joined: World) -> None:
    senders, receiver = [Mail(joined["a"]) for _ in range(4)], Mail(joined["b"])
    for number, sender in enumerate(senders):
        sender.do(send_all, receiver.pid, [[number, part, MEBIBYTE] for part in range(3)])
    joined.run()
    numbers = [message[0] for message in receiver.messages]
    assert sorted(numbers[:4]) == [0, 1, 2, 3]
    for number in range(4):
        assert [message[1] for message in receiver.messages if message[0] == number] == [0, 1, 2]


def test_who_fills_a_link_does_not_run_until_it_drains_and_others_do(joined: World) -> None:
    receiver, sender, other = Mail(joined["b"]), Mail(joined["a"]), Mail(joined["a"])
    joined.wires["a", "b"].room = 0
    sender.do(send_all, receiver.pid, [bytes(20_000)] * 100)
    joined["a"].deliver(sender.pid, "while held")
    joined["a"].deliver(other.pid, "not held")
    joined.turn()
    assert (sender.messages, other.messages) == ([], ["not held"])
    joined.wires["a", "b"].room = None
    joined.link("a", "b").writable()
    joined.run()
    assert sender.messages == ["while held"]
    assert len(receiver.messages) == 100


def test_long_messages_of_one_process_fill_its_lane_only(joined: World) -> None:
    receiver, sender, other = Mail(joined["b"]), Mail(joined["a"]), Mail(joined["a"])
    joined.wires["a", "b"].room = 0
    results = sender.do(send_all, receiver.pid, [MEBIBYTE] * 70)
    assert isinstance(results[-1], LinkBusy)
    assert other.do(core.send, receiver.pid, "short") is None
    assert other.do(core.send, receiver.pid, MEBIBYTE) is None
    joined.wires["a", "b"].room = None
    joined.link("a", "b").writable()
    joined.run()
    assert len(receiver.messages) == results.count(None) + 2


def test_who_sends_a_long_message_is_held_alone(joined: World) -> None:
    receiver, sender, other = Mail(joined["b"]), Mail(joined["a"]), Mail(joined["a"])
    sender.do(send_all, receiver.pid, [MEBIBYTE] * 4)
    other.do(core.send, receiver.pid, "short")
    for mail in (sender, other):
        joined["a"].deliver(mail.pid, "go on")
    joined.turn()
    assert (sender.messages, other.messages) == ([], ["go on"])
    joined.run()
    assert sender.messages == ["go on"]


def test_a_held_process_can_be_killed_and_is_let_go_when_the_link_is_down(joined: World) -> None:
    receiver, sender, doomed = Mail(joined["b"]), Mail(joined["a"]), Mail(joined["a"])
    joined.wires["a", "b"].room = 0
    for mail in (sender, doomed):
        mail.do(send_all, receiver.pid, [bytes(20_000)] * 100)
        joined["a"].deliver(mail.pid, "go on")
    joined["a"].exit(receiver.pid, doomed.pid, Kill())
    joined.turn()
    assert not doomed.is_alive and sender.messages == []
    joined.cut("a", "b")
    joined.turn()
    assert sender.messages == ["go on"]


def test_asend_waits_for_room_and_loses_nothing(joined: World) -> None:
    receiver, filler, sent = Mail(joined["b"]), Mail(joined["a"]), []
    joined.wires["a", "b"].room = 0
    filler.do(send_all, receiver.pid, [MEBIBYTE] * 70)

    async def run() -> None:
        for number in range(3):
            await asend(receiver.pid, [number, MEBIBYTE])
            sent.append(number)

    joined["a"].spawn(run())
    joined.turn()
    assert sent == []
    joined.wires["a", "b"].room = None
    joined.link("a", "b").writable()
    joined.run()
    assert sent == [0, 1, 2]
    assert [message[0] for message in receiver.messages if isinstance(message, list)] == [0, 1, 2]


def test_asend_of_a_task_raises_where_it_cannot_wait(joined: World) -> None:
    receiver, filler = Mail(joined["b"]), Mail(joined["a"])
    joined.wires["a", "b"].room = 0
    filler.do(send_all, receiver.pid, [SHORT] * 700)

    async def run() -> None:
        with pytest.raises(LinkBusy):
            await asend(receiver.pid, 1)

    joined.loop.run_until_complete(contextvars_of(joined["a"]).run(joined.loop.create_task, run()))


def contextvars_of(node: core.Scheduler) -> contextvars.Context:
    context: contextvars.Context = node.context
    return context.copy()


def test_who_is_never_held_goes_on(joined: World) -> None:
    receiver, sender = Mail(joined["b"]), Mail(joined["a"])
    joined.wires["a", "b"].room = 0
    sender.do(core.never_hold)
    sender.do(send_all, receiver.pid, [bytes(20_000)] * 100)
    joined["a"].deliver(sender.pid, "goes on")
    joined.turn()
    assert sender.messages == ["goes on"]


def test_parts_without_an_end_are_bounded(joined: World) -> None:
    Mail(joined["b"])
    link, count = joined.link("b", "a"), constants.MESSAGE_BYTES_MAX // len(MEBIBYTE)
    for sequence in range(1, count + 1):
        joined.deliver("a", "b", [part(link, sequence, bytes([7, 0]) + MEBIBYTE)])
        assert not joined.hooks["b"].named("on_link_broken")
    joined.deliver("a", "b", [part(link, count + 1, bytes([7, 0, 1]))])
    [(_, problem)] = joined.hooks["b"].named("on_link_broken")
    assert "in parts" in problem
    joined["b"].link_down(link, problem)


@pytest.mark.parametrize("content", [b"", b"\x80", b"\x07", b"\x07\x01", b"\xff" * 11])
def test_malformed_parts_break_the_link(joined: World, content: bytes) -> None:
    link = joined.link("b", "a")
    joined.deliver("a", "b", [part(link, 1, content)])
    assert len(joined.hooks["b"].named("on_link_broken")) == 1
    joined["b"].link_down(link, None)


def part(link: core.Link, sequence: int, content: bytes) -> bytes:
    envelope = struct.pack(">IB", len(content) + 1, 15) + content
    return struct.pack(">BQQQQ", 1, link.epoch, sequence, 0, 0) + envelope


def test_two_full_windows_do_not_wait_for_each_other(joined: World) -> None:
    mails = [Mail(joined["a"]), Mail(joined["b"])]
    for _ in range(30):
        mails[0].do(core.send, mails[1].pid, MEBIBYTE)
        mails[1].do(core.send, mails[0].pid, MEBIBYTE)
    joined.run()
    assert [len(mail.messages) for mail in mails] == [30, 30]
    assert not joined.hooks["a"].named("on_link_broken") + joined.hooks["b"].named("on_link_broken")


def test_frames_cut_while_the_outlet_is_full_never_acknowledge_less_than_an_earlier_one(joined: World) -> None:
    mails = [Mail(joined["a"]), Mail(joined["b"])]
    joined.wires["a", "b"].room = 0
    Mail(joined["a"]).do(send_all, mails[1].pid, [[number, bytes(10_000)] for number in range(200)])
    Mail(joined["b"]).do(send_all, mails[0].pid, [[number, bytes(10_000)] for number in range(10)])
    joined.run()
    assert len(mails[0].messages) == 10
    joined.wires["a", "b"].room = 1
    joined.link("a", "b").writable()
    joined.run()
    assert [message[0] for message in mails[1].messages] == list(range(200))
    assert joined.hooks["b"].named("on_link_broken") == []
    assert joined.link("b", "a").unacked_count == 0


def test_above_the_buffer_limit_messages_are_refused_and_signals_are_not(joined: World) -> None:
    near, far = Mail(joined["a"]), Mail(joined["b"])
    watched = Mail(joined["a"], trap=False)
    ref = far.do(core.monitor, watched.pid)
    far.do(core.link, watched.pid)
    echo = Echo()
    call = joined["b"].call(start_echo(joined["a"], echo), "hold", None)
    joined.run()
    joined.wires["a", "b"].room = 0
    results = near.do(send_all, far.pid, [SHORT] * 700)
    assert isinstance(results[-1], LinkBusy)
    late = Mail(joined["a"])
    assert isinstance(late.do(joined["a"].call, far.pid, 1, None), LinkBusy)
    assert isinstance(late.do(joined["a"].cast, far.pid, 1), LinkBusy)
    echo.held[0].reply("no room")
    late.do(core.link, far.pid)
    joined["a"].exit(near.pid, watched.pid, "ended")
    joined.turn()
    sent = sum(result is None for result in results)
    joined.wires["a", "b"].room = None
    joined.link("a", "b").writable()
    joined.run()
    assert len(far.messages) == sent + 2
    ends = [message for message in far.messages if message != SHORT]
    assert ends == [core.Exit(watched.pid, "ended"), core.Down(ref, watched.pid, "ended")]
    assert isinstance(outcome(call), LinkBusy)
    assert near.do(core.send, far.pid, 1) is None


def test_pending_link_has_the_same_limit(world: World) -> None:
    near, far = Mail(world["a"]), Mail(world["b"])
    results = near.do(send_all, far.pid, [MEBIBYTE] * 70)
    assert isinstance(results[-1], LinkBusy)
    late = Mail(world["a"])
    ref = late.do(core.monitor, far.pid)
    world.join("a", "b")
    world.run()
    world["b"].exit(far.pid, far.pid, Kill())
    world.run()
    assert late.messages == [core.Down(ref, far.pid, Killed())]


def test_an_outlet_that_raises_breaks_its_link_only(world: World) -> None:
    world.join("a", "b")
    world.join("a", "c")
    sender, b, c = Mail(world["a"]), Mail(world["b"]), Mail(world["c"])
    world.wires["a", "b"].problem = OSError("closed")

    def both() -> None:
        core.send(b.pid, 1)
        core.send(c.pid, 1)

    sender.do(both)
    world.run()
    assert c.messages == [1]
    [(link, problem)] = world.hooks["a"].named("on_link_broken")
    assert link.node == "b" and "closed" in problem


def test_a_blocked_link_that_went_down_holds_nothing(joined: World) -> None:
    sender, receiver = Mail(joined["a"]), Mail(joined["b"])
    joined.wires["a", "b"].room = 0
    for _ in range(30):
        sender.do(core.send, receiver.pid, bytes(20_000))
    link = joined.link("a", "b")
    joined["a"].link_down(link)
    assert link.state == "down"
    link.writable()
    assert link.buffered_bytes == 0


@pytest.mark.parametrize("size_bytes", [20_000, 200_000])
def test_dropping_the_link_inside_push_ends_the_flush(world: World, size_bytes: int) -> None:
    sender, far = Mail(world["a"]), Mail(world["b"])
    sender.do(send_all, far.pid, [bytes(size_bytes)] * 30)
    link, pushes = world.link("a", "b"), []

    def push(frame: bytes) -> bool:
        pushes.append(len(frame))
        world["a"].link_down(link)
        return True

    world["a"].link_up(link, CallableOutlet(push), 77, b"b", world["b"].incarnation)
    world.run()
    assert len(pushes) == 1
    assert (link.state, link.buffered_bytes) == ("down", 0)
