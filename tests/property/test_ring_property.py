"""The compiled ring against the plain one, for drawn members, weights and keys."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from zmqcluster import _reference, _ring

SETTINGS = settings(max_examples=200, deadline=None)
WEIGHTS = st.dictionaries(st.text(min_size=1, max_size=5), st.integers(1, 4), min_size=1, max_size=8)
POINTS = st.sampled_from([1, 2, 3, 7, 64])
KEYS = st.lists(st.text() | st.binary(max_size=80), max_size=10)


@SETTINGS
@given(weights=WEIGHTS, points=POINTS, keys=KEYS, count=st.integers(1, 10))
def test_both_rings_answer_the_same(weights: dict[str, int], points: int, keys: list[str | bytes], count: int) -> None:
    fast, plain = _ring.HashRing(weights, points), _reference.HashRing(weights, points)
    assert fast.digest() == plain.digest()
    assert (fast.members, fast.weights) == (plain.members, plain.weights)
    assert [fast.owner(key) for key in keys] == [plain.owner(key) for key in keys]
    assert [fast.owners(key, count) for key in keys] == [plain.owners(key, count) for key in keys]


@SETTINGS
@given(weights=WEIGHTS, order=st.randoms(use_true_random=False), keys=KEYS)
def test_the_order_of_joins_leaves_no_trace(weights: dict[str, int], order: object, keys: list[str | bytes]) -> None:
    members = list(weights)
    order.shuffle(members)  # type: ignore[attr-defined]
    for module in (_ring, _reference):
        grown = module.HashRing((), 5)
        for member in members:
            grown = grown.add(member, weights[member])
        whole = module.HashRing(weights, 5)
        assert grown == whole
        assert grown.digest() == whole.digest()
        assert [grown.owners(key, 3) for key in keys] == [whole.owners(key, 3) for key in keys]


@SETTINGS
@given(weights=WEIGHTS, leaver=st.integers(0), keys=KEYS)
def test_only_keys_of_the_leaver_move(weights: dict[str, int], leaver: int, keys: list[str | bytes]) -> None:
    gone = sorted(weights)[leaver % len(weights)]
    for module in (_ring, _reference):
        before = module.HashRing(weights, 5)
        after = before.remove(gone)
        for key in keys:
            expected = [member for member in before.owners(key, len(weights)) if member != gone]
            assert (after.owners(key, len(weights)) if len(after) else []) == expected


@SETTINGS
@given(key=st.text() | st.binary(max_size=200))
def test_both_hashes_are_the_same(key: str | bytes) -> None:
    assert _ring.hash64(key) == _reference.hash64(key)
