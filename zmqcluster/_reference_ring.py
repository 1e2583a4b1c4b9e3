"""The ring once more, plainly: a sorted list of points, searched. See _reference.py, and _ring.pyx for the idea."""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping

from zmqcluster.errors import ConfigError, NoMember

__all__ = ["HashRing", "hash64"]

_BITS64 = 0xFFFFFFFFFFFFFFFF
_P1, _P2, _P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
_P4, _P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
_POINTS_MAX = 1 << 24
_MEMBER_BYTES_MAX = 1 << 16


def hash64(key: str | bytes) -> int:
    """Return XXH64, seed 0, of the bytes of ``key``.

    Raises:
        ConfigError: ``key`` is neither bytes nor a str with a UTF-8 form.
    """
    content = _key_bytes(key)
    stripes_end = len(content) // 32 * 32
    hash_ = _stripes(content[:stripes_end]) if stripes_end else _P5
    hash_ += len(content)
    at = stripes_end
    for at in range(stripes_end + 8, len(content) + 1, 8):
        (lane,) = struct.unpack_from("<Q", content, at - 8)
        hash_ = _rotated(hash_ ^ _round(0, lane), 27) * _P1 + _P4
    if len(content) - at >= 4:
        (lane,) = struct.unpack_from("<I", content, at)
        hash_ = _rotated(hash_ ^ lane * _P1, 23) * _P2 + _P3
        at += 4
    for byte in content[at:]:
        hash_ = _rotated(hash_ ^ byte * _P5, 11) * _P1
    hash_ &= _BITS64
    hash_ = (hash_ ^ hash_ >> 33) * _P2 & _BITS64
    hash_ = (hash_ ^ hash_ >> 29) * _P3 & _BITS64
    return hash_ ^ hash_ >> 32


def _key_bytes(key: object) -> bytes:
    if isinstance(key, bytes):
        return key
    try:
        return key.encode()  # type: ignore[attr-defined, no-any-return]
    except (AttributeError, UnicodeEncodeError):
        raise ConfigError(f"a key is a str that has a UTF-8 form, or bytes, not {key!r}") from None


def _stripes(content: bytes) -> int:
    sums = [_P1 + _P2, _P2, 0, -_P1]
    for at in range(0, len(content), 32):
        sums = [_round(sum_, lane) for sum_, lane in zip(sums, struct.unpack_from("<4Q", content, at), strict=True)]
    hash_ = sum(_rotated(sum_, bits) for sum_, bits in zip(sums, (1, 7, 12, 18), strict=True))
    for sum_ in sums:
        hash_ = (hash_ ^ _round(0, sum_)) * _P1 + _P4
    return hash_


def _round(sum_: int, lane: int) -> int:
    return _rotated(sum_ + lane * _P2, 31) * _P1 & _BITS64


def _rotated(number: int, bits: int) -> int:
    number &= _BITS64
    return (number << bits | number >> (64 - bits)) & _BITS64


def _points(seed: int, count: int) -> Iterator[int]:
    """The first ``count`` outputs of SplitMix64."""
    for _ in range(count):
        seed = seed + 0x9E3779B97F4A7C15 & _BITS64
        z = (seed ^ seed >> 30) * 0xBF58476D1CE4E5B9 & _BITS64
        z = (z ^ z >> 27) * 0x94D049BB133111EB & _BITS64
        yield z ^ z >> 31


class HashRing:
    """An immutable ring of members: a sorted list of points (hash, member). See _ring.pyx."""

    def __init__(self, members: Iterable[str] | Mapping[str, int] = (), points_per_weight: int = 512) -> None:
        weights = _checked_weights(members)
        self.points_per_weight = _checked_number(points_per_weight, "points_per_weight")
        points = sum(weights.values()) * points_per_weight
        if points > _POINTS_MAX:
            raise ConfigError(f"a ring has at most {_POINTS_MAX} points, not {points}")
        self._weights = {member: weights[member] for member in sorted(weights)}
        self._points = sorted(
            (point, member)
            for member, weight in weights.items()
            for point in _points(hash64(member), weight * points_per_weight)
        )

    @property
    def members(self) -> tuple[str, ...]:
        """The names, sorted."""
        return tuple(self._weights)

    @property
    def weights(self) -> dict[str, int]:
        """The weight of each member, by name; a copy."""
        return dict(self._weights)

    def add(self, member: str, weight: int = 1) -> HashRing:
        """Return the ring with ``member`` of ``weight``; one that was there gets this weight."""
        return HashRing({**self._weights, member: weight}, self.points_per_weight)

    def remove(self, member: str) -> HashRing:
        """Return the ring without ``member``, who need not be there."""
        return HashRing({name: self._weights[name] for name in self._weights if name != member}, self.points_per_weight)

    def owner(self, key: str | bytes) -> str:
        """Return the member of the first point at or after the key."""
        return self.owners(key, 1)[0]

    def owners(self, key: str | bytes, count: int) -> list[str]:
        """Return the first ``min(count, members)`` distinct members at or after the key, around the ring."""
        _checked_number(count, "count")
        start = bisect_left(self._points, (hash64(key), ""))
        if not self._points:
            raise NoMember("the ring is empty; retry after a nodeup")
        around = self._points[start:] + self._points[:start]
        return list(dict.fromkeys(member for _, member in around))[:count]

    def digest(self) -> int:
        """Return 64 bits that are equal for equal rings."""
        parts = [b"%d points;" % self.points_per_weight]
        for member, weight in self._weights.items():
            parts.append(b"%d:%s=%d;" % (len(member.encode()), member.encode(), weight))
        return hash64(b"".join(parts))

    def __len__(self) -> int:
        return len(self._weights)

    def __contains__(self, member: object) -> bool:
        return member in self._weights

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HashRing):
            return NotImplemented
        return (self._weights, self.points_per_weight) == (other._weights, other.points_per_weight)

    def __hash__(self) -> int:
        return hash(self.digest())

    def __repr__(self) -> str:
        return f"HashRing({self._weights!r}, points_per_weight={self.points_per_weight})"


def _checked_number(number: int, name: str) -> int:
    if type(number) is not int or not 1 <= number <= _POINTS_MAX:
        raise ConfigError(f"{name} is a whole number from 1 to {_POINTS_MAX}, not {number!r}")
    return number


def _checked_weights(members: Iterable[str] | Mapping[str, int]) -> dict[str, int]:
    if isinstance(members, str | bytes):
        raise ConfigError(f"members are several names, or a mapping of names to weights, not {members!r}")
    try:
        weights = dict(members) if isinstance(members, Mapping) else dict.fromkeys(members, 1)
    except TypeError as error:
        raise ConfigError(f"members are names, or a mapping of names to weights: {error}") from None
    for member, weight in weights.items():
        _checked_number(weight, "a weight")
        if not isinstance(member, str) or not 0 < len(member.encode(errors="ignore")) <= _MEMBER_BYTES_MAX:
            raise ConfigError(f"a member is a str of 1 to {_MEMBER_BYTES_MAX} bytes, not {member!r}")
    return weights
