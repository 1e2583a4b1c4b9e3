"""The ladder from no encryption to encryption: neighbours meet, others do not."""

from __future__ import annotations

from typing import get_args

import pytest

from zmqcluster.errors import ConfigError
from zmqcluster.transport.curve import derive
from zmqcluster.transport.ways import Encryption, Mechanism, Way, check_encryption, dialling, listening

LADDER: list[Encryption] = ["none", "listen_none", "listen_curve", "curve"]
KEY, OTHER = derive("monster"), derive("another")


def reaches(dialler: Encryption, acceptor: Encryption) -> bool:
    return listening(acceptor, KEY) in dialling(dialler, (KEY,))


@pytest.mark.parametrize("one", LADDER)
@pytest.mark.parametrize("other", LADDER)
def test_neighbours_meet_and_others_do_not(one: Encryption, other: Encryption) -> None:
    is_near = abs(LADDER.index(one) - LADDER.index(other)) <= 1
    assert (reaches(one, other) and reaches(other, one)) == is_near


def test_every_step_is_on_the_ladder() -> None:
    assert set(LADDER) == set(get_args(Encryption))


def test_encrypted_ways_come_first_and_keys_in_their_order() -> None:
    assert dialling("listen_none", (KEY, OTHER)) == (
        Way(Mechanism.CURVE, KEY),
        Way(Mechanism.CURVE, OTHER),
        Way(Mechanism.CHALLENGE, KEY),
        Way(Mechanism.CHALLENGE, OTHER),
    )
    assert dialling("curve", (KEY, OTHER)) == (Way(Mechanism.CURVE, KEY), Way(Mechanism.CURVE, OTHER))


@pytest.mark.parametrize("encryption", LADDER)
def test_without_a_cookie_there_is_one_way(encryption: Encryption) -> None:
    assert listening(encryption, None) == Way(Mechanism.NULL)
    assert dialling(encryption, ()) == (Way(Mechanism.NULL),)


@pytest.mark.parametrize("encryption", ["", "tls", "CURVE", "None"])
def test_unknown_encryption_is_a_config_error_naming_the_known(encryption: str) -> None:
    with pytest.raises(ConfigError, match="listen_curve"):
        check_encryption(encryption)
