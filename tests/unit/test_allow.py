"""The networks that may connect, as libzmq is told of them."""

from __future__ import annotations

import pytest

from zmqcluster.errors import ConfigError
from zmqcluster.transport.allow import accept_filters, parse_networks


def filters(allow: list[str], bound: str) -> list[str]:
    return accept_filters(parse_networks(allow), bound)


def test_networks_of_the_same_kind_are_told_as_they_are() -> None:
    assert filters(["10.0.0.0/8", "192.168.1.7"], "0.0.0.0") == ["10.0.0.0/8", "192.168.1.7/32"]
    assert filters(["fd00::/8"], "::") == ["fd00::/8"]


def test_v4_networks_are_mapped_where_v4_peers_look_like_v6() -> None:
    assert filters(["10.0.0.0/8", "0.0.0.0/0"], "::") == ["::ffff:10.0.0.0/104", "::ffff:0.0.0.0/96"]


def test_v6_networks_alone_let_nobody_in_at_a_v4_address() -> None:
    assert filters(["fd00::/8"], "10.0.0.5") == ["0.0.0.0/32"]


def test_without_networks_there_is_no_filter() -> None:
    assert filters([], "0.0.0.0") == []


@pytest.mark.parametrize("allow", [["10.0.0.1/8"], ["10.0.0.0/33"], ["db7.local"], [""]])
def test_what_is_no_network_is_a_config_error(allow: list[str]) -> None:
    with pytest.raises(ConfigError, match="allow"):
        parse_networks(allow)


def test_text_in_place_of_a_list_is_a_config_error_that_says_so() -> None:
    with pytest.raises(ConfigError, match="a list of networks"):
        parse_networks("10.0.0.0/8")
