"""Telemetry: handlers are called in order and in place, and one that raises hurts nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from zmqcluster import telemetry

Told = list[tuple[str, str, Mapping[str, Any]]]


@pytest.fixture
def told() -> Iterator[Told]:
    """What ``listen`` handlers were told; they are gone after the test."""
    told: Told = []
    yield told
    for handlers in telemetry._handlers.values():
        for handler_id in [each for each in handlers if each.startswith("test")]:
            del handlers[handler_id]


def listen(told: Told, handler_id: str, event: str) -> None:
    telemetry.attach(handler_id, event, lambda name, fields: told.append((handler_id, name, fields)))


def test_emit_when_attached_then_handlers_are_called_in_order_with_the_fields(told: Told) -> None:
    for handler_id in ("test 2", "test 1"):
        listen(told, handler_id, "event")
    listen(told, "test 3", "other")
    telemetry.emit("event", pid=7, reason="x")
    fields = {"pid": 7, "reason": "x"}
    assert told == [("test 2", "event", fields), ("test 1", "event", fields)]


def test_emit_when_nobody_is_attached_then_nothing_happens(told: Told) -> None:
    listen(told, "test", "event")
    telemetry.emit("an event of nobody", x=1)
    assert told == []


def test_attach_when_the_id_is_attached_to_the_event_then_it_is_refused(told: Told) -> None:
    listen(told, "test", "event")
    listen(told, "test", "another event")
    with pytest.raises(ValueError, match=r"'test'.*'event'"):
        listen(told, "test", "event")


def test_detach_then_no_more_calls_and_it_tells_whether_there_was_one(told: Told) -> None:
    listen(told, "test", "event")
    assert telemetry.detach("test", "event") is True
    assert telemetry.detach("test", "event") is False
    telemetry.emit("event")
    assert told == []


def test_handler_that_raises_then_it_is_detached_and_told_and_the_others_are_called(
    told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    error = RuntimeError("broken handler")

    def breaks(event: str, fields: Mapping[str, Any]) -> None:
        raise error

    telemetry.attach("test broken", "event", breaks)
    listen(told, "test", "event")
    listen(told, "test failed", telemetry.FAILED)
    telemetry.emit("event", n=1)
    telemetry.emit("event", n=2)
    assert told == [
        ("test failed", telemetry.FAILED, {"handler_id": "test broken", "failed_event": "event", "error": error}),
        ("test", "event", {"n": 1}),
        ("test", "event", {"n": 2}),
    ]
    assert len(caplog.records) == 1


def test_handler_of_failures_that_raises_then_it_is_detached_and_that_is_all(
    told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(event: str, fields: Mapping[str, Any]) -> None:
        raise RuntimeError("broken too")

    telemetry.attach("test broken", "event", breaks)
    telemetry.attach("test failed", telemetry.FAILED, breaks)
    telemetry.emit("event")
    texts = [record.getMessage() for record in caplog.records]
    assert ["'test broken' of 'event'" in texts[0], f"'test failed' of {telemetry.FAILED!r}" in texts[1]] == [
        True,
        True,
    ]
    assert telemetry.detach("test failed", telemetry.FAILED) is False


def test_handler_that_detaches_another_while_called_then_that_one_still_sees_this_event(told: Told) -> None:
    def detaches(event: str, fields: Mapping[str, Any]) -> None:
        telemetry.detach("test", "event")

    telemetry.attach("test first", "event", detaches)
    listen(told, "test", "event")
    telemetry.emit("event", n=1)
    telemetry.emit("event", n=2)
    assert [fields["n"] for _, _, fields in told] == [1]


def test_span_when_it_fails_by_cancellation_then_that_is_told_too(told: Told) -> None:
    listen(told, "test", "work.exception")
    with pytest.raises(KeyboardInterrupt), telemetry.span("work"):
        raise KeyboardInterrupt
    ((_, _, fields),) = told
    assert isinstance(fields["error"], KeyboardInterrupt)
