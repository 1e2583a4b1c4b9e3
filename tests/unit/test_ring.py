"""The ring: who owns what, what moves, and what is refused, compiled and plain."""

from __future__ import annotations

import pickle
from collections import Counter
from typing import Any

import pytest

from zmqcluster import _reference, _ring
from zmqcluster._reference_ring import _points
from zmqcluster.errors import ConfigError, NoMember
from zmqcluster.ids import NodeName

KEYS = [f"donor-{number}" for number in range(2000)]
MEMBERS = ["a@h", "b@h", "c@h", "d@h", "e@h"]
POINTS = 64  # enough here, and soon drawn


@pytest.fixture(params=[_ring, _reference], ids=["core", "reference"])
def ring(request: pytest.FixtureRequest) -> Any:
    return request.param


# Published vectors of XXH64 with seed 0; the longer ones pass through its stripes of 32 bytes.
@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        ("", 0xEF46DB3751D8E999),
        ("a", 0xD24EC4F1A98C6E5B),
        ("as", 0x1C330FB2D66BE179),
        ("asd", 0x631C37CE72A97393),
        ("asdf", 0x415872F599CEA71E),
        ("abc", 0x44BC2CF5AD770999),
        ("Call me Ishmael. Some years ago--never mind how long precisely-", 0x02A2E85470D6FD96),
        ("Nobody inspects the spammish repetition", 0xFBCEA83C8A378BF1),
    ],
)
def test_hash64_of_a_published_text_is_its_published_hash(ring: Any, key: str, hashed: int) -> None:
    assert ring.hash64(key) == ring.hash64(key.encode()) == hashed


def test_hash64_of_each_length_is_the_same_in_both() -> None:
    text = bytes(range(256))
    assert [_ring.hash64(text[:n]) for n in range(140)] == [_reference.hash64(text[:n]) for n in range(140)]


@pytest.mark.parametrize("key", [1, 1.0, True, None, ("a",), bytearray(b"a"), "\ud800"], ids=repr)
def test_keys_other_than_text_and_bytes_are_refused(ring: Any, key: object) -> None:
    for ask in (ring.hash64, ring.HashRing(MEMBERS).owner):
        with pytest.raises(ConfigError):
            ask(key)


def test_owner_of_equal_text_and_bytes_is_one(ring: Any) -> None:
    hashring = ring.HashRing(MEMBERS)
    assert hashring.owner("zakāt") == hashring.owner("zakāt".encode())


def test_owner_is_frozen(ring: Any) -> None:
    """Nodes of two versions must agree: these answers never change."""
    hashring = ring.HashRing(MEMBERS)
    assert [hashring.owner(key) for key in ("DON-001", "DON-002", "DON-003", b"\x00")] == ["b@h", "e@h", "a@h", "e@h"]
    assert hashring.digest() == 0x86B34738DD5A0D1C


def test_owner_does_not_depend_on_the_order_of_joins(ring: Any) -> None:
    grown = ring.HashRing(["c@h"], POINTS).add("e@h").add("x@h").add("a@h").remove("x@h").add("d@h").add("b@h")
    whole = ring.HashRing(reversed(MEMBERS), POINTS)
    assert grown == whole == ring.HashRing(dict.fromkeys(MEMBERS, 1), POINTS)
    assert hash(grown) == hash(whole)
    assert grown.digest() == whole.digest()
    assert [grown.owner(key) for key in KEYS] == [whole.owner(key) for key in KEYS]


def test_owner_moves_only_to_who_joined_and_from_who_left(ring: Any) -> None:
    before, after = ring.HashRing(MEMBERS, POINTS), ring.HashRing(MEMBERS, POINTS).add("f@h")
    moved = [owner for key in KEYS if (owner := after.owner(key)) != before.owner(key)]
    assert set(moved) == {"f@h"}
    assert 0.7 / 6 < len(moved) / len(KEYS) < 1.3 / 6
    assert after.remove("f@h") == before


def test_owner_follows_the_weights(ring: Any) -> None:
    shares = Counter(map(ring.HashRing({"a": 1, "b": 3}, 256).owner, KEYS))
    assert shares["b"] / len(KEYS) == pytest.approx(0.75, abs=0.05)


def test_owners_are_distinct_and_as_many_as_there_are(ring: Any) -> None:
    hashring = ring.HashRing(MEMBERS, points_per_weight=3)
    for key in KEYS[:200]:
        owners = hashring.owners(key, 9)
        assert sorted(owners) == MEMBERS
        assert hashring.owners(key, 2) == owners[:2]
        assert hashring.owner(key) == owners[0]


def test_owners_of_many_members_are_all_of_them(ring: Any) -> None:
    members = [f"n{number}" for number in range(300)]
    assert sorted(ring.HashRing(members, points_per_weight=1).owners("k", 300)) == sorted(members)


def test_next_owner_takes_over_when_the_first_leaves(ring: Any) -> None:
    hashring = ring.HashRing(MEMBERS, POINTS)
    for key in KEYS[:50]:
        first, second = hashring.owners(key, 2)
        assert hashring.remove(first).owner(key) == second


def test_a_ring_of_one_point_owns_everything(ring: Any) -> None:
    assert set(map(ring.HashRing(["a"], 1).owner, KEYS[:100])) == {"a"}


BITS64 = 2**64 - 1
P1, P2, P3, P4, P5 = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)


def rotated(number: int, bits: int) -> int:
    return (number << bits | number >> (64 - bits)) & BITS64


def key_with_hash(hashed: int) -> bytes:
    """The 8 bytes whose hash64 this is: on 8 bytes it can be undone step by step, from the last to the first."""
    hashed ^= hashed >> 32
    hashed = hashed * pow(P3, -1, 2**64) & BITS64
    hashed ^= hashed >> 29 ^ hashed >> 58
    hashed = hashed * pow(P2, -1, 2**64) & BITS64
    hashed ^= hashed >> 33
    mixed = rotated((hashed - P4) * pow(P1, -1, 2**64) & BITS64, 64 - 27) ^ (P5 + 8)
    lane = rotated(mixed * pow(P1, -1, 2**64) & BITS64, 64 - 31) * pow(P2, -1, 2**64) & BITS64
    return lane.to_bytes(8, "little")


def test_owner_has_the_first_point_at_or_after_the_key(ring: Any) -> None:
    hashring = ring.HashRing(MEMBERS, points_per_weight=1)
    points = sorted((point, member) for member in MEMBERS for point in _points(ring.hash64(member), 1))
    for index, (point, member) in enumerate(points):
        following = points[(index + 1) % len(points)][1]
        assert hashring.owner(key_with_hash(point - 1)) == member
        assert hashring.owner(key_with_hash(point)) == member
        assert hashring.owner(key_with_hash(point + 1)) == following
    assert hashring.owner(key_with_hash(0)) == hashring.owner(key_with_hash(BITS64)) == points[0][1]


def test_points_that_fall_together_belong_to_the_smaller_name(ring: Any) -> None:
    small, large = "5uxikvf@kSxhzArN", "shard-01@a.local"  # made to have one hash, and so the same points
    assert ring.hash64(small) == ring.hash64(large)
    for members in ([small, large], [large, small]):
        hashring = ring.HashRing(members, POINTS)
        assert {tuple(hashring.owners(key, 2)) for key in KEYS[:100]} == {(small, large)}


def test_an_empty_ring_has_no_owner(ring: Any) -> None:
    for ask in (ring.HashRing().owner, lambda key: ring.HashRing(["a"]).remove("a").owners(key, 1)):
        with pytest.raises(NoMember, match="empty"):
            ask("k")


def test_add_of_a_member_that_is_there_sets_its_weight(ring: Any) -> None:
    hashring = ring.HashRing(MEMBERS)
    assert hashring.add("a@h") == hashring
    assert hashring.add("a@h", 2).weights == {**dict.fromkeys(MEMBERS, 1), "a@h": 2}
    assert hashring.weights == dict.fromkeys(MEMBERS, 1)


def test_remove_of_who_is_not_there_changes_nothing(ring: Any) -> None:
    assert ring.HashRing(MEMBERS).remove("z@h") == ring.HashRing(MEMBERS)


def test_digest_tells_rings_apart(ring: Any) -> None:
    rings = [
        ring.HashRing(),
        ring.HashRing(["a", "b"]),
        ring.HashRing(["a", "b"], 256),
        ring.HashRing({"a": 1, "b": 2}),
        ring.HashRing({"a": 2, "b": 1}),
        ring.HashRing(["a=1;1:b"]),
    ]
    assert len({each.digest() for each in rings}) == len(rings)
    assert len(set(rings)) == len(rings)


def test_the_surface_of_a_ring(ring: Any) -> None:
    hashring = ring.HashRing({"b": 2, "a": 1}, points_per_weight=4)
    assert hashring.members == ("a", "b")
    assert list(hashring.weights.items()) == [("a", 1), ("b", 2)]
    assert hashring.points_per_weight == 4
    assert len(hashring) == 2
    assert "a" in hashring
    assert "c" not in hashring
    assert hashring != {"a": 1, "b": 2}
    assert repr(hashring) == "HashRing({'a': 1, 'b': 2}, points_per_weight=4)"
    assert pickle.loads(pickle.dumps(hashring)) == hashring


def test_a_ring_of_node_names_answers_with_node_names(ring: Any) -> None:
    hashring = ring.HashRing([NodeName.parse("a@h:1"), NodeName.parse("b@h:2")])
    assert hashring.owner("k").port in (1, 2)
    assert hashring == ring.HashRing(["a@h:1", "b@h:2"])


@pytest.mark.parametrize(
    "members",
    [
        "abc",
        b"abc",
        None,
        7,
        [1],
        [""],
        ["\ud800"],
        [["a"]],
        ["x" * 65537],
        {"a": 0},
        {"a": -1},
        {"a": 1.5},
        {"a": True},
    ],
    ids=lambda members: repr(members)[:20],
)
def test_members_that_are_none_are_refused(ring: Any, members: Any) -> None:
    with pytest.raises(ConfigError):
        ring.HashRing(members)


def test_numbers_that_are_none_are_refused(ring: Any) -> None:
    hashring = ring.HashRing(["a"])
    for number in (0, -1, 1.5, True, "1", 2**70):
        with pytest.raises(ConfigError):
            hashring.owners("k", number)
        with pytest.raises(ConfigError):
            ring.HashRing(["a"], number)
        with pytest.raises(ConfigError):
            hashring.add("b", number)


def test_more_points_than_memory_are_refused(ring: Any) -> None:
    with pytest.raises(ConfigError, match="at most 16777216 points"):
        ring.HashRing({"a": 1 << 24, "b": 1})
