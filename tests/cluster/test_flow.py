"""Flow control between OS processes: who is slow stops those that send to it, and nobody else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from tests.support.node_process import ROOT, free_name

PROGRAM = [sys.executable, "-m", "tests.support.flow_node"]
GROWN_BYTES_MAX = 64 << 20
BLOCKED_S = 3.0


@contextmanager
def serving(name: str) -> Iterator[str]:
    with subprocess.Popen(
        [*PROGRAM, "serve", name], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None and child.stdin is not None
        assert child.stdout.readline() == "ready\n"
        yield name
        child.stdin.close()
        assert child.wait(20) == 0


def found_by(*words: str) -> dict[str, Any]:
    run = subprocess.run([*PROGRAM, *words], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def test_node_22_a_peer_that_does_not_read_holds_its_senders_within_bounds_and_no_other_peer_feels_it() -> None:
    with ExitStack() as peers:
        slow, other = (peers.enter_context(serving(free_name(name))) for name in ("slow", "other"))
        found = found_by("flood", free_name("sender"), slow, other, str(BLOCKED_S))
    assert found["told"] == found["sent"] > 0
    assert found["grown_bytes"] < GROWN_BYTES_MAX
    assert found["sink_grown_bytes"] < GROWN_BYTES_MAX
    assert found["slowest_s"] < BLOCKED_S / 2
    assert found["downs"] == []


def test_node_20_a_hundred_megabytes_under_way_let_others_speak_and_nobody_is_down() -> None:
    with serving(free_name("receiver")) as receiver:
        found = found_by("bulk", free_name("sender"), receiver, str(100 * 1000 * 1000))
    assert found["downs"] == []
    assert found["slowest_s"] < 1.0
