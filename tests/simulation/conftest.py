"""Which seeds a test runs: ZMQCLUSTER_SEED=17 only that one, ZMQCLUSTER_SEEDS=5000 so many (with ``-m soak``)."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

SEEDS = 200
CHUNK = 20
KNOWN_BAD = Path(__file__).with_name("seeds.txt")


def known_bad() -> list[int]:
    """Every seed that ever failed, so that it never does again."""
    lines = (line.partition("#")[0].strip() for line in KNOWN_BAD.read_text().splitlines())
    return [int(line) for line in lines if line]


def chunks(first: int, count: int) -> dict[str, range | list[int]]:
    """``count`` seeds in ranges, by their names."""
    ranges = (range(start, min(start + CHUNK, first + count)) for start in range(first, first + count, CHUNK))
    return {f"seeds {each[0]} to {each[-1]}": each for each in ranges}


@pytest.fixture
def quiet() -> Iterator[None]:
    """No logs: formatting the thousands of warnings that faults deserve takes a third of the time."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``seeds`` are those of CI, in chunks; ``soak_seeds`` those beyond them."""
    for argument in {"seeds", "soak_seeds"} & set(metafunc.fixturenames):
        only = os.environ.get("ZMQCLUSTER_SEED")
        runs: dict[str, range | list[int]]
        if only is not None:
            runs = {f"seed {only}": [int(only)]}
        elif argument == "seeds":
            runs = {"known seeds": known_bad()} | chunks(0, SEEDS)
        else:
            runs = dict(chunks(SEEDS, int(os.environ.get("ZMQCLUSTER_SEEDS", "2000")) - SEEDS))
        metafunc.parametrize(argument, runs.values(), ids=runs.keys())
