"""Names of nodes, and the identifiers of the core under their public address.

A node's identity is its full name as given, ``name@host`` or ``name@host:port``; it is parsed once, at the edge.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable
from typing import Protocol, runtime_checkable

from zmqcluster._ids import Pid, Ref
from zmqcluster.core import register_str
from zmqcluster.errors import ConfigError

__all__ = ["Addressee", "Destination", "NodeName", "Pid", "Ref", "Via"]

_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_HOST = re.compile(r"\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_.\-]{1,253}")


class NodeName(str):
    """The full name of a node: ``orders@10.0.0.7:7101``; an IPv6 host stands in brackets."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> NodeName:
        """Return ``text`` as a node name.

        Raises:
            ConfigError: it is not ``name@host`` or ``name@host:port``; the message names the wrong part.
        """
        if not isinstance(text, str):
            raise ConfigError(f"a node name is a string such as 'orders@10.0.0.7:7101', not {text!r}")
        name, at, address = text.partition("@")
        if not at:
            raise ConfigError(f"node name {text!r} lacks '@host': write it like 'orders@10.0.0.7:7101'")
        if not _NAME.fullmatch(name):
            raise ConfigError(f"node name {text!r}: before '@' stand 1 to 64 letters, digits, '_', '-' or '.'")
        host, port = _split_address(address)
        if not _HOST.fullmatch(host):
            raise ConfigError(f"node name {text!r}: {host!r} is not a host name or address")
        if port is not None and not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
            raise ConfigError(f"node name {text!r}: the port is a number from 1 to 65535, not {port!r}")
        return cls(text)

    @property
    def name(self) -> str:
        """The part before ``@``."""
        return self.partition("@")[0]

    @property
    def host(self) -> str:
        """The host name or address; IPv6 without its brackets."""
        return _split_address(self.partition("@")[2])[0].strip("[]")

    @property
    def port(self) -> int | None:
        """The port, or None where the name has none."""
        port = _split_address(self.partition("@")[2])[1]
        return None if port is None else int(port)


register_str(NodeName)  # in messages a name is a plain string


def _split_address(address: str) -> tuple[str, str | None]:
    if address.startswith("["):
        host, bracket, rest = address.partition("]")
        if rest and not rest.startswith(":"):
            return address, None  # which is no host
        return host + bracket, (rest[1:] if rest else None)
    host, colon, port = address.partition(":")
    return host, port if colon else None


@runtime_checkable
class Addressee(Protocol):
    """Whatever knows the pid behind it, such as the handle of a server."""

    def whereis(self) -> Pid | None: ...


@runtime_checkable
class Via(Addressee, Protocol):
    """A name kept by a registry: what ``name=`` and every destination accept."""

    def register(self, pid: Pid) -> Awaitable[None] | None: ...
    def unregister(self, pid: Pid) -> Awaitable[None] | None: ...


Destination = Pid | str | tuple[str, str] | Ref | Addressee
