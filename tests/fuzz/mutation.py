"""A small mutational fuzzer: seeds, a random number generator, and changes that find parsers' mistakes.

Without coverage; for that there is atheris, see ``__main__``. The same seed gives the same inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

__all__ = ["inputs"]

INPUT_BYTES_MAX = 4_096
CHANGES_MAX = 4
EDGES = (0, 1, 0x7F, 0x80, 0xC1, 0xFE, 0xFF)
LENGTHS = (0, 1, 0x7F, 0xFF, 0x100, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF)

Change = Callable[[bytearray, Random, Sequence[bytes]], None]


def inputs(corpus: Sequence[bytes], random: Random) -> Iterator[bytes]:
    """Yield changed seeds, without end."""
    while True:
        content = bytearray(random.choice(corpus))
        for _ in range(random.randint(1, CHANGES_MAX)):
            random.choice(CHANGES)(content, random, corpus)
        yield bytes(content[:INPUT_BYTES_MAX])


def _place(content: bytearray, random: Random) -> int:
    return random.randrange(len(content) + 1)


def flip(content: bytearray, random: Random, _: Sequence[bytes]) -> None:
    if content:
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)


def set_edge(content: bytearray, random: Random, _: Sequence[bytes]) -> None:
    if content:
        content[random.randrange(len(content))] = random.choice(EDGES)


def write_length(content: bytearray, random: Random, _: Sequence[bytes]) -> None:
    start, size = _place(content, random), random.choice((1, 2, 4, 8))
    content[start : start + size] = (random.choice(LENGTHS) % (1 << 8 * size)).to_bytes(size, "big")


def cut(content: bytearray, random: Random, _: Sequence[bytes]) -> None:
    del content[_place(content, random) :]


def remove(content: bytearray, random: Random, _: Sequence[bytes]) -> None:
    start = _place(content, random)
    del content[start : start + random.randint(1, 16)]


def repeat(content: bytearray, random: Random, _: Sequence[bytes]) -> None:
    start = _place(content, random)
    part = content[start : start + random.randint(1, 64)]
    content[start:start] = part * random.randint(1, 8)


def insert(content: bytearray, random: Random, _: Sequence[bytes]) -> None:
    start = _place(content, random)
    content[start:start] = random.randbytes(random.randint(1, 8))


def splice(content: bytearray, random: Random, corpus: Sequence[bytes]) -> None:
    other = random.choice(corpus)
    content[_place(content, random) :] = other[random.randrange(len(other) + 1) :]


CHANGES: Sequence[Change] = (flip, set_edge, write_length, cut, remove, repeat, insert, splice)
