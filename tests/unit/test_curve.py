"""From cookie to key: the same for all who know the cookie, and another for all others."""

from __future__ import annotations

import pytest
import zmq
from zmq.utils import z85

from zmqcluster.errors import ConfigError
from zmqcluster.transport.curve import secret_key


def test_key_of_a_cookie_is_frozen() -> None:
    # Nodes of two releases must derive the same: a change of this value is a change of the protocol.
    assert secret_key("monster").hex() == "a0184429e4a1b6e7475aff01139b3d39aa4257a5251ca509024c15b4abecf944"


def test_text_and_its_bytes_are_the_same_cookie() -> None:
    assert secret_key("Zakāt") == secret_key("Zakāt".encode())


def test_another_cookie_has_another_key() -> None:
    assert secret_key("monster") != secret_key("Monster")


def test_key_is_clamped_as_x25519_asks() -> None:
    key = secret_key("monster")
    assert len(key) == 32
    assert key[0] & 7 == 0
    assert key[31] >> 6 == 1


def test_key_is_one_that_libzmq_takes() -> None:
    public = zmq.curve_public(z85.encode(secret_key("monster")))
    assert len(z85.decode(public)) == 32


@pytest.mark.parametrize("cookie", ["", b""])
def test_empty_cookie_is_a_config_error(cookie: str | bytes) -> None:
    with pytest.raises(ConfigError, match="empty"):
        secret_key(cookie)
