"""A short run of every fuzz target: the corpus, and what comes of changing it. Longer: ``python -m tests.fuzz``."""

from __future__ import annotations

import itertools
from random import Random

import pytest

from tests.fuzz.mutation import inputs
from tests.fuzz.seeds import CORPUS
from tests.fuzz.targets import TARGETS, split_parts, with_parts

RUNS_COUNT = 3_000
SEED = 20_261_123


def corpus_of(target: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]


@pytest.mark.parametrize("target", TARGETS)
def test_corpus_is_survived(target: str) -> None:
    contents = corpus_of(target)
    assert contents
    for content in contents:
        TARGETS[target](content)


@pytest.mark.parametrize("target", TARGETS)
def test_changed_corpus_is_survived(target: str) -> None:
    run = TARGETS[target]
    for content in itertools.islice(inputs(corpus_of(target), Random(SEED)), RUNS_COUNT):
        try:
            run(content)
        except Exception as error:
            error.add_note(f"replay: TARGETS[{target!r}](bytes.fromhex({content.hex()!r}))")
            raise


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_and_noise_are_survived(target: str) -> None:
    random = Random(SEED)
    for size_bytes in range(200):
        TARGETS[target](random.randbytes(size_bytes))


def test_fuzzer_is_deterministic_and_changes_things() -> None:
    corpus = [b"one seed", b"another seed"]
    first = list(itertools.islice(inputs(corpus, Random(1)), 100))
    assert first == list(itertools.islice(inputs(corpus, Random(1)), 100))
    assert len(set(first)) > 90


def test_planted_mistake_is_found() -> None:
    def careless(content: bytes) -> None:
        if content and content[0] < len(content):
            content[content[0] + len(content) // 2]

    with pytest.raises(IndexError):
        for content in itertools.islice(inputs([bytes((3, 1, 1, 1, 1))], Random(SEED)), RUNS_COUNT):
            careless(content)


def test_parts_are_split_as_they_were_joined() -> None:
    assert split_parts(with_parts(b"", b"a", b"bc")) == [b"", b"a", b"bc"]
    assert split_parts(b"\0\5abc") == [b"abc"]
