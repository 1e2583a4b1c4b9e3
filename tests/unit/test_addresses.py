"""Addresses: what is resolved, what libzmq may be given, and which ports are tried."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from zmqcluster.errors import ConfigError, ConnectionFailed
from zmqcluster.transport.addresses import (
    FREE_PORT_MAX,
    FREE_PORT_MIN,
    bind_address,
    check_endpoint,
    free_ports,
    is_loopback,
    resolve,
    tcp_address,
    tcp_endpoint,
)


def resolved(host: str, answer: Any) -> tuple[str, list[str]]:
    """Resolve with a name server that answers so; return the address and what it was asked."""
    asked: list[str] = []

    async def getaddrinfo(host: str, port: object, **options: object) -> Any:
        asked.append(host)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def scenario() -> str:
        asyncio.get_running_loop().getaddrinfo = getaddrinfo  # type: ignore[method-assign,assignment]
        return await resolve(host)

    return asyncio.run(scenario()), asked


@pytest.mark.parametrize("address", ["10.0.0.7", "::1", "fe80::1"])
def test_address_is_not_asked_for(address: str) -> None:
    assert resolved(address, AssertionError("asked")) == (address, [])


def test_name_resolves_to_its_first_address() -> None:
    found = [(2, 1, 6, "", ("10.0.0.7", 0)), (2, 1, 6, "", ("10.0.0.8", 0))]
    assert resolved("db7.local", found) == ("10.0.0.7", ["db7.local"])


def test_unknown_name_is_a_failed_connection_that_says_which() -> None:
    with pytest.raises(ConnectionFailed, match=r"db7\.local.*Name or service not known"):
        resolved("db7.local", socket.gaierror(-2, "Name or service not known"))


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("10.0.0.7", False), ("::", False)],
)
def test_loopback_is_what_only_this_host_reaches(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected


@pytest.mark.parametrize(("address", "port"), [("10.0.0.7", 7101), ("::1", 7101), ("fe80::1", 65535)])
def test_tcp_endpoint_and_address_are_inverse(address: str, port: int) -> None:
    endpoint = tcp_endpoint(address, port)
    assert tcp_address(endpoint) == (address, port)
    check_endpoint(endpoint)


@pytest.mark.parametrize(
    "endpoint",
    [
        "tcp://db7.local:7101",
        "tcp://*:7101",
        "tcp://10.0.0.7",
        "tcp://10.0.0.7:x",
        "tcp://10.0.0.1:0;10.0.0.7:7101",
        "tcp://[db7]:7101",
        "tcp://999.0.0.1:7101",
        "ipc://relative",
        "ipc:///" + "x" * 100,
        "inproc://a",
        "",
    ],
)
def test_endpoint_with_anything_but_an_address_is_a_config_error(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="endpoint"):
        check_endpoint(endpoint)


def test_short_absolute_ipc_path_passes() -> None:
    check_endpoint("ipc:///run/user/1000/zmqcluster/4c1f.ipc")


@pytest.mark.parametrize(
    ("listen", "expected"),
    [("0.0.0.0:7101", ("0.0.0.0", 7101)), ("[::]:7101", ("::", 7101)), ("10.0.0.7", ("10.0.0.7", None))],
)
def test_listen_is_split(listen: str, expected: tuple[str, int | None]) -> None:
    assert bind_address(listen) == expected


@pytest.mark.parametrize("listen", ["", ":7101", "10.0.0.7:x", "10.0.0.7:0", "10.0.0.7:70000"])
def test_malformed_listen_is_a_config_error_with_an_example(listen: str) -> None:
    with pytest.raises(ConfigError, match=r"0\.0\.0\.0:7101"):
        bind_address(listen)


def test_free_ports_are_the_same_at_each_start_and_differ_by_name_and_purpose() -> None:
    ports = list(free_ports("a@127.0.0.1", "gossip"))
    assert ports == list(free_ports("a@127.0.0.1", "gossip"))
    assert ports[0] != next(free_ports("b@127.0.0.1", "gossip"))
    assert ports[0] != next(free_ports("a@127.0.0.1", "links"))


def test_free_ports_are_distinct_and_below_the_ephemeral_ones() -> None:
    for name in ("a", "b", "c"):
        ports = list(free_ports(name, "gossip"))
        assert len(set(ports)) == len(ports) > 10
        assert all(FREE_PORT_MIN <= port < FREE_PORT_MAX for port in ports)
