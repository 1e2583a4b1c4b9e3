"""What a link promises, while its connections are reset again and again under 20,000 messages a second."""

from __future__ import annotations

import time
from random import Random

from tests.support.netlab import LabCluster

PER_S = 20_000
STORM_S = 3.5
PAUSE_S = (0.1, 0.6)  # between two resets


def numbers(line: str) -> dict[str, int]:
    """``sent 60000 unacked 731`` as a dict."""
    words = line.split(" ")
    return {name: int(number) for name, number in zip(words[::2], words[1::2], strict=True)}


def test_reset_storm_then_in_order_nothing_twice_and_what_is_missing_was_reported(quick: LabCluster) -> None:
    a, b = quick["a"], quick["b"]
    b.ask("listen")
    a.tell(f"stream {b.name} {PER_S} {STORM_S}")
    chance, resets = Random(quick.lab.seed), 0
    end_s = time.monotonic() + STORM_S - 0.5
    while time.monotonic() < end_s:
        time.sleep(chance.uniform(*PAUSE_S))
        resets += quick.lab.reset("a", "b")
    sent = numbers(a.expect("sent"))
    b.tell("heard")
    heard = numbers(b.expect("heard"))
    told = [line for line in b.lines if line.startswith(("stray", "repeated", "torn"))]
    assert told == []
    assert resets > 10 and quick.events("a").count("down b connection_closed") > 3
    assert sent["sent"] == heard["last"]
    missing = sent["sent"] - heard["heard"]
    assert 0 <= missing <= sent["unacked"] + sent["dropped"]
    assert heard["heard"] > sent["sent"] / 4
    quick.await_mesh()
    kinds = [event.split(" ")[0] for event in quick.events("a")]
    assert kinds == ["down", "up"] * (len(kinds) // 2)
