"""Who is let in: exactly those who show the key. The native door gives the same answers, see test_beat."""

from __future__ import annotations

import pytest

from zmqcluster.transport.zap import answer

KEY = bytes(range(32))
REQUEST = [b"1.0", b"7", b"zmqcluster", b"10.0.0.7", b"", b"CURVE", KEY]


def test_the_key_is_admitted() -> None:
    assert answer(REQUEST, KEY) == [b"1.0", b"7", b"200", b"OK", b"", b""]


@pytest.mark.parametrize(
    "request_frames",
    [
        [*REQUEST[:6], bytes(32)],
        [*REQUEST[:6], KEY[:31]],
        [*REQUEST[:6], KEY + b"\x00"],
        [*REQUEST[:6], b""],
        [*REQUEST, b""],
        REQUEST[:6],
        [*REQUEST[:5], b"NULL"],
        [*REQUEST[:5], b"PLAIN", KEY],
        [*REQUEST[:5], b"PLAIN", b"user", b"password"],
    ],
)
def test_all_else_is_not(request_frames: list[bytes]) -> None:
    assert answer(request_frames, KEY) == [b"1.0", b"7", b"400", b"key not admitted", b"", b""]
