"""The networks whose machines may connect: all others are hung up on before libzmq reads a byte of theirs.

    allow=["10.0.0.0/8"]    bound to a v4 address    10.0.0.0/8
                            bound to a v6 address    ::ffff:10.0.0.0/104, as v4 peers look from there

libzmq lets everybody in where it has no filter, so one that nobody matches takes the place of none.
Nodes of the same host and user use ipc, which only they can open; the list is about tcp.
Source: ZMQ_TCP_ACCEPT_FILTER; memberlist's CIDRsAllowed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from zmqcluster.errors import ConfigError

__all__ = ["Network", "accept_filters", "parse_networks"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
NOBODY = {4: "0.0.0.0/32", 6: "::/128"}  # what is no peer's address
MAPPED_BITS = 96  # in front of a v4 address that is written as a v6 one


def parse_networks(allow: Sequence[str]) -> tuple[Network, ...]:
    """Return the networks that ``allow`` names.

    Raises:
        ConfigError: one of them is no network, or has bits set beyond its mask.
    """
    if isinstance(allow, str):
        raise ConfigError(f"allow={allow!r}: a list of networks, such as [{allow!r}]")
    try:
        return tuple(ipaddress.ip_network(network) for network in allow)
    except ValueError as error:
        raise ConfigError(f"allow: {error}") from None


def accept_filters(networks: Sequence[Network], bound: str) -> list[str]:
    """Return the filters for a socket that is bound to the address ``bound``; none without networks."""
    if not networks:
        return []
    version = ipaddress.ip_address(bound).version
    filters = [_filter(network, version) for network in networks]
    return [each for each in filters if each] or [NOBODY[version]]


def _filter(network: Network, version: int) -> str:
    if network.version == version:
        return str(network)
    if version == 6:
        return f"::ffff:{network.network_address}/{MAPPED_BITS + network.prefixlen}"
    return ""  # no v6 peer reaches a v4 address
