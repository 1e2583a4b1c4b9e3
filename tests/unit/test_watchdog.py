"""The thread that says where a loop hangs, and the pulse that other processes read. Real time, a tenth of a second."""

from __future__ import annotations

import ctypes
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from zmqcluster import telemetry
from zmqcluster.runtime.watchdog import Watchdog
from zmqcluster.transport.pulse import Pulse, lag_ms
from zmqcluster.transport.rundir import NameLock

LIMIT_MS = 20
HANG_S = 0.15
NAME = "a@127.0.0.1:7100"


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    dog = Watchdog(NAME, LIMIT_MS)
    yield dog
    dog.stop()
    dog.stop()


@pytest.fixture
def stalls() -> Iterator[list[dict[str, Any]]]:
    told: list[dict[str, Any]] = []
    telemetry.attach("test", "zmqcluster.loop.stalled", lambda _, fields: told.append(dict(fields)))
    yield told
    telemetry.detach("test", "zmqcluster.loop.stalled")


def compute_for_long() -> None:
    end_s = time.monotonic() + HANG_S
    while time.monotonic() < end_s:
        pass


def hold_the_gil_for_long() -> None:
    ctypes.PyDLL(None).usleep(int(HANG_S * 1e6))
    time.sleep(0.01)  # gives the GIL away, as the next line of any program does before long


@pytest.mark.parametrize("hang", [compute_for_long, hold_the_gil_for_long])
def test_loop_that_hangs_then_its_stack_is_logged_and_told(
    hang: Any, watchdog: Watchdog, stalls: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "zmqcluster.node"):
        watchdog.turned()
        hang()
        watchdog.turned()
    warned = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert warned and hang.__name__ in warned[0].getMessage() and NAME in warned[0].getMessage()
    assert warned[0].zmqcluster["event"] == "loop.stalled"  # type: ignore[attr-defined]
    assert "turns again" in warned[-1].getMessage()
    (stall,) = stalls
    assert stall["node"] == NAME and stall["lag_ms"] >= HANG_S * 1000 - 1 and hang.__name__ in stall["stack"]


def test_loop_that_turns_then_nothing_is_told(
    watchdog: Watchdog, stalls: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    watchdog._limit_s = 10.0  # whatever this machine does meanwhile
    for _ in range(10):
        watchdog.turned()
    assert stalls == [] and caplog.records == []


def test_stopped_then_its_thread_is_gone(watchdog: Watchdog) -> None:
    watchdog.stop()
    assert not watchdog._thread.is_alive()


# --- pulse


@pytest.fixture
def run_dir(tmp_path: Path) -> Iterator[Path]:
    lock = NameLock(tmp_path, NAME)
    lock.acquire()
    yield tmp_path
    lock.release()


def test_pulse_then_others_read_for_how_long_the_loop_has_not_turned(run_dir: Path) -> None:
    assert lag_ms(run_dir, NAME) is None
    pulse = Pulse(run_dir, NAME)
    compute_for_long()
    lag = lag_ms(run_dir, NAME)
    assert lag is not None and lag >= HANG_S * 1000 - 1
    pulse.turned()
    turned = lag_ms(run_dir, NAME)
    assert turned is not None and turned < lag
    pulse.close()
    pulse.close()


def test_pulse_of_nobody_then_unknown(tmp_path: Path) -> None:
    assert lag_ms(tmp_path, NAME) is None
