"""Addresses of the zmq transport: which host, which port, and what libzmq may be given.

    orders@db7.local:7101  --resolve, once-->  tcp://10.0.0.7:7101      and on the same host  ipc:///run/.../4c1f….ipc

Rule: libzmq gets IP addresses only. It resolves names in its I/O thread, where a silent DNS server stops every link
(libzmq #2961); so a name is resolved on the loop, before, and an endpoint that still holds one is refused.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import re
import socket
from collections.abc import Iterator

from zmqcluster.constants import DEFAULT_PORT
from zmqcluster.errors import ConfigError, ConnectionFailed
from zmqcluster.ids import NodeName

__all__ = ["bind_address", "check_endpoint", "free_ports", "is_loopback", "resolve", "tcp_address", "tcp_endpoint"]

# Ports we choose ourselves: below the ephemeral range, where a DEALER that retries a dead port could meet itself.
FREE_PORT_MIN, FREE_PORT_MAX = 20_000, 32_000
FREE_PORT_TRIES_MAX = 100
IPC_PATH_BYTES_MAX = 100  # sun_path holds 108, 104 on macOS

assert FREE_PORT_MAX < 32_768  # net.ipv4.ip_local_port_range of Linux begins here
assert not FREE_PORT_MIN <= DEFAULT_PORT <= FREE_PORT_MAX

_TCP = re.compile(r"tcp://(?:\[(?P<six>[^\]]+)\]|(?P<four>[0-9.]+)):(?P<port>[0-9]{1,5})")


async def resolve(host: str) -> str:
    """Return the first IP address of ``host``; an address is returned as it is.

    Raises:
        ConnectionFailed: the name is unknown, or no name server answered.
    """
    if _is_address(host):
        return host
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConnectionFailed(host, f"its name cannot be resolved: {error.strerror or error}") from error
    return str(found[0][4][0])


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(address: str) -> bool:
    """Whether only this host can reach the IP address."""
    return ipaddress.ip_address(address).is_loopback


def tcp_endpoint(address: str, port: int) -> str:
    """``tcp://10.0.0.7:7101``, ``tcp://[::1]:7101``."""
    return f"tcp://[{address}]:{port}" if ":" in address else f"tcp://{address}:{port}"


def tcp_address(endpoint: str) -> tuple[str, int] | None:
    """Return address and port of a tcp endpoint; None for any other."""
    match = _TCP.fullmatch(endpoint)
    if match is None or not _is_address(match["six"] or match["four"]):
        return None
    return match["six"] or match["four"], int(match["port"])


def check_endpoint(endpoint: str) -> None:
    """Let an endpoint pass that libzmq may be given.

    Raises:
        ConfigError: it is neither ``tcp://`` with an IP address and a port nor ``ipc://`` with a short absolute path.
    """
    path = endpoint.removeprefix("ipc://")
    if endpoint.startswith("ipc:///") and len(path.encode()) <= IPC_PATH_BYTES_MAX:
        return
    if tcp_address(endpoint) is None:
        raise ConfigError(f"endpoint {endpoint!r} is not tcp://<IP address>:<port> nor ipc://<path up to 100 bytes>")


def bind_address(listen: str) -> tuple[str, int | None]:
    """Split where to listen, ``host``, ``host:port`` or ``[v6]:port``.

    Raises:
        ConfigError: it is none of them.
    """
    try:
        parsed = NodeName.parse(f"listen@{listen}")
    except ConfigError as error:
        raise ConfigError(f"listen={listen!r} is not 'host:port', such as '0.0.0.0:7101'") from error
    return parsed.host, parsed.port


def free_ports(name: str, purpose: str) -> Iterator[int]:
    """Yield the ports to try for ``purpose`` of the node ``name``: the same ones in the same order at each start."""
    digest = hashlib.blake2b(f"{purpose} {name}".encode(), digest_size=8).digest()
    first, span = int.from_bytes(digest, "big"), FREE_PORT_MAX - FREE_PORT_MIN
    for step in range(FREE_PORT_TRIES_MAX):
        yield FREE_PORT_MIN + (first + step) % span
