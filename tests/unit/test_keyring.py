"""The cookies of a node: add, use, remove, each idempotent, and never without a primary."""

from __future__ import annotations

import pytest

from zmqcluster.errors import ConfigError, UsageError
from zmqcluster.transport.curve import derive
from zmqcluster.transport.keyring import KEYS_MAX, Keyring

OLD, NEW = "old", "new"


def test_rotation_is_add_use_remove() -> None:
    keyring = Keyring(OLD)
    keyring.add(NEW)
    assert keyring.ids() == (derive(OLD).id, derive(NEW).id)
    keyring.use(NEW)
    assert keyring.ids() == (derive(NEW).id, derive(OLD).id)
    assert keyring.primary == derive(NEW)
    keyring.remove(OLD)
    assert keyring.keys == (derive(NEW),)


def test_each_step_is_idempotent_and_tells_the_id() -> None:
    keyring = Keyring(OLD)
    changes: list[tuple[str, ...]] = []
    keyring.watch(lambda: changes.append(keyring.ids()))
    for _ in range(2):
        assert keyring.add(NEW) == derive(NEW).id
    for _ in range(2):
        assert keyring.use(NEW) == derive(NEW).id
    for _ in range(2):
        assert keyring.remove(OLD) == derive(OLD).id
    assert len(changes) == 3


def test_primary_is_not_removed() -> None:
    keyring = Keyring(OLD, NEW)
    with pytest.raises(UsageError, match="in use"):
        keyring.remove(OLD)
    assert keyring.ids() == Keyring(OLD, NEW).ids()


def test_only_a_listed_cookie_is_used() -> None:
    keyring = Keyring(OLD)
    with pytest.raises(UsageError, match="add it first"):
        keyring.use(NEW)
    assert keyring.primary == derive(OLD)


def test_text_and_its_bytes_are_one_cookie() -> None:
    assert Keyring(OLD, OLD.encode()).ids() == (derive(OLD).id,)


@pytest.mark.parametrize("cookies", [(), ("",), (b"",), ("good", "")])
def test_keyring_without_a_cookie_is_a_config_error(cookies: tuple[str | bytes, ...]) -> None:
    with pytest.raises(ConfigError):
        Keyring(*cookies)


def test_number_of_cookies_is_limited() -> None:
    keyring = Keyring(*(f"cookie {number}" for number in range(KEYS_MAX)))
    with pytest.raises(ConfigError, match="at most"):
        keyring.add("one more")
    assert len(keyring.keys) == KEYS_MAX


def test_change_that_a_watcher_refuses_is_undone_and_told_to_the_others() -> None:
    keyring = Keyring(OLD, NEW)
    told: list[tuple[str, ...]] = []

    def refuse() -> None:
        if keyring.primary == derive(NEW):
            raise ConfigError("this system cannot")

    keyring.watch(lambda: told.append(keyring.ids()))
    keyring.watch(refuse)
    with pytest.raises(ConfigError, match="cannot"):
        keyring.use(NEW)
    assert keyring.primary == derive(OLD)
    assert told == [Keyring(NEW, OLD).ids(), Keyring(OLD, NEW).ids()]


def test_watching_ends() -> None:
    keyring = Keyring(OLD)
    told: list[None] = []
    unwatch = keyring.watch(lambda: told.append(None))
    unwatch()
    keyring.add(NEW)
    assert told == []


def test_node_with_a_cookie_of_its_own_is_dialled_with_that_alone() -> None:
    keyring = Keyring(OLD, NEW)
    keyring.set_cookie("b@10.0.0.6", "of b")
    assert keyring.keys_for("b@10.0.0.6") == (derive("of b"),)
    assert keyring.keys_for("c@10.0.0.7") == keyring.keys
    assert "of b" not in keyring.ids()


def test_key_is_found_by_its_mark() -> None:
    keyring = Keyring(OLD, NEW)
    assert keyring.find(derive(NEW).mark) == derive(NEW)
    assert keyring.find(derive("another").mark) is None


def test_neither_keyring_nor_key_shows_a_secret() -> None:
    key = derive(OLD)
    shown = repr(Keyring(OLD)) + repr(key)
    assert key.id in shown
    for secret in (key.curve, key.proof, key.token, key.seal):
        assert secret.hex() not in shown
        assert repr(secret) not in shown


def test_keys_of_one_cookie_differ_by_purpose() -> None:
    key = derive(OLD)
    assert len({key.curve, key.proof, key.token, key.seal}) == 4
    assert bytes.fromhex(key.id) not in (key.curve[:4], key.proof[:4], key.token[:4], key.seal[:4])
